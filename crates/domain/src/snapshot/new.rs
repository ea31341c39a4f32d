//! The document that takes a snapshot.

use std::path::Path;

use xml::Element;

use crate::{
    Error,
    check::{Text, require_path},
    error::{Item, Refusal},
    moment,
};

/// A snapshot that is to be taken, with files of its own beside the machine's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSnapshot<'a> {
    /// Its name.
    pub name: &'a str,
    /// What people are told of it.
    pub description: Option<&'a str>,
    /// The file that gets the guest's memory; it must not be there.
    pub memory: Option<&'a Path>,
    /// Every disk of the machine, by its target: libvirt takes one that is not named as it likes. Each
    /// is written to a new qcow2 image from then on, or is not in the snapshot.
    pub disks: Vec<(&'a str, Option<&'a Path>)>,
}

/// Writes the document that takes a snapshot.
///
/// # Errors
///
/// A name or a path that libvirt would read otherwise.
pub fn write_new_snapshot(snapshot: &NewSnapshot<'_>) -> Result<String, Error> {
    let item = Item::Snapshot;
    moment::require_name(item, snapshot.name)?;
    if let Some(text) = snapshot.description {
        Text::new(item, "description", text).require_xml()?;
    }
    if let Some(file) = snapshot.memory {
        require_path(item, "memory path", file)?;
    }
    let disks = snapshot.disks.iter().map(|(target, overlay)| disk(target, *overlay));
    let disks = disks.collect::<Result<Vec<_>, _>>()?;
    let memory = Element::new("memory");
    let memory = match snapshot.memory {
        Some(file) => memory.with("snapshot", "external").with("file", file.to_string_lossy()),
        None => memory.with("snapshot", "no"),
    };
    let description = snapshot.description.map(|text| Element::text("description", text));
    let document = Element::new("domainsnapshot")
        .holding([Element::text("name", snapshot.name)])
        .holding(description)
        .holding([memory, Element::new("disks").holding(disks)]);
    document.print().map_err(|error| item.refuse(Refusal::Xml(error)))
}

fn disk<'a>(target: &'a str, overlay: Option<&'a Path>) -> Result<Element<'a>, Error> {
    Text::new(Item::Snapshot, "disk", target).require_token()?;
    if let Some(file) = overlay {
        require_path(Item::Snapshot, "image path", file)?;
    }
    Ok(super::drive(target, overlay))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new<'a>() -> NewSnapshot<'a> {
        NewSnapshot {
            name: "s1",
            description: Some("first <one>"),
            memory: Some(Path::new("/m")),
            disks: vec![("vda", None), ("vdb", Some(Path::new("/b")))],
        }
    }

    #[test]
    fn every_disk_gets_an_overlay_or_is_left_out() {
        assert_eq!(
            write_new_snapshot(&new()).unwrap(),
            "<domainsnapshot>\n  <name>s1</name>\n  \
             <description>first &lt;one&gt;</description>\n  \
             <memory snapshot=\"external\" file=\"/m\"/>\n  <disks>\n    \
             <disk name=\"vda\" snapshot=\"no\"/>\n    \
             <disk name=\"vdb\" snapshot=\"external\" type=\"file\">\n      \
             <driver type=\"qcow2\"/>\n      <source file=\"/b\"/>\n    </disk>\n  </disks>\n\
             </domainsnapshot>\n"
        );
        let disks_only = NewSnapshot { memory: None, ..new() };
        let text = write_new_snapshot(&disks_only).unwrap();
        assert!(text.contains("<memory snapshot=\"no\"/>"), "{text}");
    }

    #[test]
    fn refuses_what_libvirt_would_read_otherwise() {
        let path = Some(Path::new("b"));
        for (bad, want) in [
            (
                NewSnapshot { name: ".a", ..new() },
                r#"snapshot: name ".a" is not a name without / that begins with neither . nor -"#,
            ),
            (
                NewSnapshot { description: Some("\u{1}"), ..new() },
                "snapshot: description holds the character U+0001 at byte 0",
            ),
            (NewSnapshot { memory: path, ..new() }, r#"snapshot: memory path "b" is not absolute"#),
            (
                NewSnapshot { disks: vec![("vda", path)], ..new() },
                r#"snapshot: image path "b" is not absolute"#,
            ),
        ] {
            assert_eq!(write_new_snapshot(&bad).unwrap_err().to_string(), want);
        }
    }
}
