//! The document of a snapshot whose images got other names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{Error, document::Document, patch::Editor};

/// Lets a document name other files in the place of these, for who has moved their content.
///
/// They are changed wherever they stand as the source of a disk, or of an image behind one.
///
/// # Errors
/// Text that is no bounded, sound XML, or no document of a snapshot.
pub fn move_snapshot_files(
    xml: &[u8],
    moved: &BTreeMap<PathBuf, PathBuf>,
) -> Result<String, Error> {
    let document = Document::parse_as("domainsnapshot", xml)?;
    let mut editor = Editor::new(&document);
    let mut open = vec![&document.root];
    while let Some(element) = open.pop() {
        open.extend(&element.children);
        let file = element.value("file").filter(|_| element.is("source"));
        if let Some(new) = file.and_then(|file| moved.get(Path::new(file))) {
            editor.set_attribute(element, "file", &new.to_string_lossy());
        }
    }
    Ok(editor.apply())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: &str = "<domainsnapshot>
  <name>s3</name>
  <disks><disk name='vda' snapshot='external'><source file='/i/a.s3.qcow2'/></disk></disks>
  <domain type='qemu'>
    <devices><disk type='file'><source file='/i/a.s2.qcow2' index='1'/><backingStore type='file'>
      <source file='/i/a.qcow2'/></backingStore><target dev='vda'/></disk></devices>
  </domain>
  <inactiveDomain type='qemu'>
    <devices><disk type='file'><source file='/i/a.s2.qcow2'/><target dev='vda'/></disk></devices>
  </inactiveDomain>
</domainsnapshot>
";

    #[test]
    fn files_that_moved_are_changed_wherever_they_stand_and_nothing_else() {
        let moved = [("/i/a.s2.qcow2".into(), "/i/a & b".into())].into();
        let text = move_snapshot_files(KEPT.as_bytes(), &moved).unwrap();
        assert_eq!(text, KEPT.replace("'/i/a.s2.qcow2'", "\"/i/a &amp; b\""));
        assert_eq!(move_snapshot_files(KEPT.as_bytes(), &BTreeMap::new()).unwrap(), KEPT);
        let error = move_snapshot_files(b"<domain/>", &moved).unwrap_err().to_string();
        assert!(error.starts_with("the root element is \"domain\""), "{error}");
    }
}
