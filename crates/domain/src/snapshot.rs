//! The documents by which libvirt takes a snapshot, or is told of one that exists already.
//!
//! The format is libvirt's "Snapshot XML format" (`formatsnapshot`), as of libvirt 9.0; they are given to
//! `virsh snapshot-create`, of one that exists with `--redefine`.

mod kept;

use std::{io, path::PathBuf};

use xml::Element;

pub use self::kept::{KeptPart, KeptSnapshot, move_snapshot_files, read_snapshot};

/// A state of a machine that can be gone back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot<'a> {
    /// Its name.
    pub name: &'a str,
    /// The snapshot that it follows.
    pub parent: Option<&'a str>,
    /// When it was taken, in seconds since 1970.
    pub unix_seconds: u64,
    /// The file with the guest's memory; without one only the disks were kept.
    pub memory: Option<PathBuf>,
    /// The drives, by their names, with the image that was begun when it was taken.
    pub overlays: Vec<(String, Option<PathBuf>)>,
    /// The domain XML of the machine as it was then.
    pub domain: &'a str,
}

/// Writes the document.
///
/// # Errors
/// A text that XML cannot hold.
pub fn write_snapshot(snapshot: &Snapshot<'_>) -> io::Result<String> {
    let state = if snapshot.memory.is_some() { "running" } else { "disk-snapshot" };
    let parent =
        snapshot.parent.map(|name| Element::new("parent").holding([Element::text("name", name)]));
    let memory = match &snapshot.memory {
        Some(file) => {
            Element::new("memory").with("snapshot", "external").with("file", file.to_string_lossy())
        }
        None => Element::new("memory").with("snapshot", "no"),
    };
    let document = Element::new("domainsnapshot")
        .holding([Element::text("name", snapshot.name)])
        .holding(parent)
        .holding([
            Element::text("creationTime", snapshot.unix_seconds.to_string()),
            Element::text("state", state),
            memory,
            Element::new("disks").holding(snapshot.overlays.iter().map(drive)),
        ]);
    let text = document.print()?;
    // The definition goes in as it stands, so that nothing in it is lost.
    let (head, tail) = text.rsplit_once("</domainsnapshot>").unwrap_or((&text, ""));
    let domain = snapshot.domain.trim_start_matches('\u{feff}').trim_start();
    let domain = match domain.strip_prefix("<?xml").and_then(|rest| rest.split_once("?>")) {
        Some((_, rest)) => rest.trim_start(),
        None => domain,
    };
    Ok(format!("{head}{}\n</domainsnapshot>{tail}", domain.trim_end()))
}

/// A snapshot that is to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSnapshot<'a> {
    /// Its name.
    pub name: &'a str,
    /// What somebody wrote of it.
    pub description: Option<&'a str>,
    /// The file that the guest's memory goes to; without one only the disks are kept.
    pub memory: Option<PathBuf>,
    /// Every drive, by its name, with the image that is begun; `None` for one that is not in it.
    pub overlays: Vec<(String, Option<PathBuf>)>,
}

/// Writes the document of a snapshot that is to be taken.
///
/// # Errors
/// A text that XML cannot hold.
pub fn write_new_snapshot(snapshot: &NewSnapshot<'_>) -> io::Result<String> {
    let memory = Element::new("memory");
    let memory = match &snapshot.memory {
        Some(file) => memory.with("snapshot", "external").with("file", file.to_string_lossy()),
        None => memory.with("snapshot", "no"),
    };
    Element::new("domainsnapshot")
        .holding([Element::text("name", snapshot.name)])
        .holding(snapshot.description.map(|text| Element::text("description", text)))
        .holding([memory, Element::new("disks").holding(snapshot.overlays.iter().map(drive))])
        .print()
}

fn drive((name, overlay): &(String, Option<PathBuf>)) -> Element<'_> {
    let disk = Element::new("disk").with("name", name.as_str());
    match overlay {
        None => disk.with("snapshot", "no"),
        Some(file) => disk.with("snapshot", "external").with("type", "file").holding([
            Element::new("driver").with("type", "qcow2"),
            Element::new("source").with("file", file.to_string_lossy()),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_libvirt_takes_a_snapshot_by() {
        let mut snapshot = NewSnapshot {
            name: "a",
            description: Some("x < y"),
            memory: Some("/m".into()),
            overlays: vec![("vda".into(), Some("/a".into())), ("sda".into(), None)],
        };
        let disks = "  <disks>\n    <disk name=\"vda\" snapshot=\"external\" type=\"file\">\n      \
                     <driver type=\"qcow2\"/>\n      <source file=\"/a\"/>\n    </disk>\n    \
                     <disk name=\"sda\" snapshot=\"no\"/>\n  </disks>\n</domainsnapshot>\n";
        let head = "<domainsnapshot>\n  <name>a</name>\n  <description>x &lt; y</description>\n  \
                    <memory snapshot=\"external\" file=\"/m\"/>\n";
        assert_eq!(write_new_snapshot(&snapshot).unwrap(), format!("{head}{disks}"));
        (snapshot.description, snapshot.memory) = (None, None);
        let head = "<domainsnapshot>\n  <name>a</name>\n  <memory snapshot=\"no\"/>\n";
        assert_eq!(write_new_snapshot(&snapshot).unwrap(), format!("{head}{disks}"));
    }

    #[test]
    fn writes_what_libvirt_takes_for_a_snapshot_that_exists() {
        let text = write_snapshot(&Snapshot {
            name: "before <update>",
            parent: Some("fresh"),
            unix_seconds: 17,
            memory: Some("/m".into()),
            overlays: vec![("vda".into(), Some("/a".into())), ("vdb".into(), None)],
            domain: "<?xml version='1.0'?>\n<domain type='kvm'><name>a</name></domain>\n",
        });
        assert_eq!(
            text.unwrap(),
            "<domainsnapshot>\n  <name>before &lt;update&gt;</name>\n  <parent>\n    \
             <name>fresh</name>\n  </parent>\n  <creationTime>17</creationTime>\n  \
             <state>running</state>\n  <memory snapshot=\"external\" file=\"/m\"/>\n  <disks>\n    \
             <disk name=\"vda\" snapshot=\"external\" type=\"file\">\n      \
             <driver type=\"qcow2\"/>\n      <source file=\"/a\"/>\n    </disk>\n    \
             <disk name=\"vdb\" snapshot=\"no\"/>\n  </disks>\n\
             <domain type='kvm'><name>a</name></domain>\n</domainsnapshot>\n"
        );
    }
}
