//! The document in which libvirt tells of a snapshot that it keeps.
//!
//! The format is libvirt's "Snapshot XML format" (`formatsnapshot`), as `virsh snapshot-dumpxml` of
//! libvirt 9.0 writes it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use code::Code;

use crate::{
    Error, Kind,
    document::{Document, Element, Fault, Shown},
    patch::Editor,
};

/// The root of the document.
const ROOT: &str = "domainsnapshot";

/// A snapshot as libvirt keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSnapshot {
    /// Its name.
    pub name: String,
    /// What somebody wrote of it.
    pub description: Option<String>,
    /// The snapshot that it follows.
    pub parent: Option<String>,
    /// When it was taken, in seconds since 1970.
    pub unix_seconds: u64,
    /// What the machine was doing in libvirt's words: `running`, `shutoff`, `disk-snapshot`.
    pub state: String,
    /// Where the guest's memory is.
    pub memory: KeptPart,
    /// The disks, by their names.
    pub disks: BTreeMap<String, KeptPart>,
    /// The domain XML that the machine ran by, or was defined by.
    pub domain: String,
    /// That which it would have been started by next, where it ran by another.
    pub inactive: Option<String>,
}

/// Where a part of a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptPart {
    /// It is not in the snapshot.
    No,
    /// Inside an image.
    Internal,
    /// In a file of its own: of a disk the image that was begun then.
    External(PathBuf),
    /// Anywhere else: on a block device, in a volume.
    Elsewhere,
}

/// Reads the document.
///
/// # Errors
/// Text that is no bounded, sound XML, or no such document.
pub fn read_snapshot(xml: &[u8]) -> Result<KeptSnapshot, Error> {
    let document = Document::parse_as(xml, ROOT)?;
    let root = &document.root;
    let fail = |message: String| {
        let place = document.place(root);
        Error::from(Fault::new(Code::E0303, Kind::Malformed, message).at(place))
    };
    let word = |name: &str| root.first(name).and_then(Element::word).map(str::to_owned);
    let name = word("name").ok_or_else(|| fail("the snapshot has no name".to_owned()))?;
    let time = word("creationTime");
    let unix_seconds = match time.as_deref().map(str::parse) {
        None => 0,
        Some(Ok(time)) => time,
        Some(Err(_)) => {
            let time = time.unwrap_or_default();
            return Err(fail(format!("{} is no time in seconds since 1970", Shown(&time))));
        }
    };
    let definition = root.first("domain").ok_or_else(|| {
        fail(format!("the snapshot {} has no definition of its machine", Shown(&name)))
    })?;
    let disks = root.all("disks").flat_map(|disks| disks.all("disk"));
    let disks = disks.filter_map(|disk| Some((disk.value("name")?.to_owned(), part(disk))));
    Ok(KeptSnapshot {
        description: word("description"),
        parent: root.at(&["parent", "name"]).and_then(Element::word).map(str::to_owned),
        unix_seconds,
        state: word("state").unwrap_or_default(),
        memory: root.first("memory").map_or(KeptPart::No, part),
        disks: disks.collect(),
        domain: text_of(&document, definition),
        inactive: root.first("inactiveDomain").map(|element| text_of(&document, element)),
        name,
    })
}

/// Lets the document name other files in the place of these, for who has moved their content.
///
/// They are changed wherever they stand as the source of a disk or of an image behind one.
///
/// # Errors
/// Text that is no bounded, sound XML, or no such document.
pub fn move_snapshot_files(
    xml: &[u8],
    moved: &BTreeMap<PathBuf, PathBuf>,
) -> Result<String, Error> {
    let document = Document::parse_as(xml, ROOT)?;
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

fn part(element: &Element<'_>) -> KeptPart {
    let file = element.value("file").or_else(|| element.child_value("source", "file"));
    match (element.value("snapshot"), file) {
        (Some("external"), Some(file)) => KeptPart::External(file.into()),
        (Some("internal"), _) => KeptPart::Internal,
        (Some("no") | None, _) => KeptPart::No,
        _ => KeptPart::Elsewhere,
    }
}

/// A definition as a document of its own.
fn text_of(document: &Document<'_>, element: &Element<'_>) -> String {
    let whole = document.text.get(element.span.clone()).unwrap_or_default();
    let renamed = || {
        let inside = whole.strip_prefix("<inactiveDomain")?;
        let inside = inside.trim_end().strip_suffix("</inactiveDomain>")?;
        Some(format!("<domain{inside}</domain>"))
    };
    renamed().unwrap_or_else(|| whole.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As libvirt 9.0 wrote it, without most of the machine.
    const KEPT: &str = "<domainsnapshot>
  <name>s3</name>
  <description>before the &lt;update></description>
  <state>running</state>
  <parent>
    <name>s2</name>
  </parent>
  <creationTime>1795289134</creationTime>
  <memory snapshot='external' file='/i/s3.mem'/>
  <disks>
    <disk name='vda' snapshot='external' type='file'>
      <driver type='qcow2'/>
      <source file='/i/a.s3.qcow2'/>
    </disk>
    <disk name='vdb' snapshot='no'/>
    <disk name='vdc' snapshot='internal'/>
    <disk name='vdd' snapshot='external' type='block'><source dev='/dev/x'/></disk>
  </disks>
  <domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
    <devices><disk type='file'><source file='/i/a.s2.qcow2' index='1'/><backingStore type='file'>
      <source file='/i/a.qcow2'/></backingStore><target dev='vda'/></disk></devices>
  </domain>
  <inactiveDomain type='qemu'>
    <devices><disk type='file'><source file='/i/a.s2.qcow2'/><target dev='vda'/></disk></devices>
  </inactiveDomain>
</domainsnapshot>
";

    #[test]
    fn reads_what_libvirt_keeps() {
        let kept = read_snapshot(KEPT.as_bytes()).unwrap();
        let external = |file: &str| KeptPart::External(file.into());
        assert_eq!((kept.name.as_str(), kept.parent.as_deref()), ("s3", Some("s2")));
        assert_eq!(kept.description.as_deref(), Some("before the <update>"));
        assert_eq!((kept.unix_seconds, kept.state.as_str()), (1_795_289_134, "running"));
        assert_eq!(kept.memory, external("/i/s3.mem"));
        let disks = [
            ("vda", external("/i/a.s3.qcow2")),
            ("vdb", KeptPart::No),
            ("vdc", KeptPart::Internal),
            ("vdd", KeptPart::Elsewhere),
        ];
        assert_eq!(kept.disks, disks.map(|(name, part)| (name.to_owned(), part)).into());
        for document in [kept.domain.as_str(), kept.inactive.as_deref().unwrap()] {
            let drives = crate::drives(document.as_bytes()).unwrap();
            assert_eq!(drives[0].source, crate::DriveSource::File("/i/a.s2.qcow2".into()));
        }
        assert!(kept.domain.contains("xmlns:qemu"), "{}", kept.domain);
    }

    #[test]
    fn files_that_moved_are_changed_wherever_they_stand_and_nothing_else() {
        let moved = [("/i/a.s2.qcow2".into(), "/i/a & b".into())].into();
        let text = move_snapshot_files(KEPT.as_bytes(), &moved).unwrap();
        let want = KEPT.replace("'/i/a.s2.qcow2'", "\"/i/a &amp; b\"");
        assert_eq!(text, want);
        assert_eq!(move_snapshot_files(KEPT.as_bytes(), &BTreeMap::new()).unwrap(), KEPT);
    }

    #[test]
    fn refuses_what_is_no_snapshot() {
        for (old, new, want) in [
            ("<name>s3</name>", "", "the snapshot has no name (/domainsnapshot, line 1)"),
            (
                "1795289134",
                "-1",
                r#""-1" is no time in seconds since 1970 (/domainsnapshot, line 1)"#,
            ),
        ] {
            let text = KEPT.replace(old, new);
            let error = read_snapshot(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(error, want);
        }
        let error = read_snapshot(b"<domain/>").unwrap_err().to_string();
        assert_eq!(
            error,
            r#"the root element is "domain", not a domainsnapshot (line 1, column 1)"#
        );
        for end in 0..KEPT.trim_end().len() {
            read_snapshot(&KEPT.as_bytes()[..end]).unwrap_err();
        }
    }
}
