//! Documents of snapshots: the one that takes one, the one that libvirt tells of it, and the one by
//! which libvirt is told of a snapshot that exists already.
//!
//! The format is libvirt's "Snapshot XML format" (`formatsnapshot`), as of libvirt 9.0.

mod new;
mod read;

use std::{
    io,
    path::{Path, PathBuf},
};

use xml::Element;

pub use self::{
    new::{NewSnapshot, write_new_snapshot},
    read::{Kept, KeptMemory, ReadSnapshot, SnapshotDisk, SnapshotState, read_snapshot},
};

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

/// Writes the document by which libvirt is told of it: `virsh snapshot-create --redefine`.
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
    let overlays = snapshot.overlays.iter().map(|(name, file)| drive(name, file.as_deref()));
    let document = Element::new("domainsnapshot")
        .holding([Element::text("name", snapshot.name)])
        .holding(parent)
        .holding([
            Element::text("creationTime", snapshot.unix_seconds.to_string()),
            Element::text("state", state),
            memory,
            Element::new("disks").holding(overlays),
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

fn drive<'a>(name: &'a str, overlay: Option<&'a Path>) -> Element<'a> {
    let disk = Element::new("disk").with("name", name);
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
