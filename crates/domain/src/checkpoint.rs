//! The document of a checkpoint: a moment since which QEMU notes what a guest writes.
//!
//! The format is libvirt's "Checkpoint XML format" (`formatcheckpoint`), as of libvirt 9.0.

use xml::Element;

use crate::{
    Error,
    check::Text,
    document::{Document, Element as Node},
    error::{Item, Refusal},
    moment,
};

/// A checkpoint that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCheckpoint<'a> {
    /// Its name, which its bitmaps get as well.
    pub name: &'a str,
    /// What people are told of it.
    pub description: Option<&'a str>,
    /// The disks that it is of. Every disk of the machine is named by its target: libvirt gives one
    /// that is not a bitmap, too.
    pub disks: Vec<(&'a str, Tracked)>,
}

/// Whether what is written to a disk is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracked {
    /// It is, in a bitmap inside its qcow2 image.
    Yes,
    /// It is not.
    No,
}

/// A checkpoint as libvirt tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Its name.
    pub name: String,
    /// What people are told of it.
    pub description: Option<String>,
    /// The checkpoint before it.
    pub parent: Option<String>,
    /// When it was made, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// The disks that have a bitmap of it.
    pub disks: Vec<CheckpointDisk>,
}

/// A disk of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointDisk {
    /// The name of its target, such as `vda`.
    pub target: String,
    /// The name of its bitmap.
    pub bitmap: String,
    /// What was written since, in bytes, where that was asked for. libvirt says 0 also of a bitmap
    /// that is gone.
    pub dirty_bytes: Option<u64>,
}

/// Writes the document that makes a checkpoint.
///
/// # Errors
///
/// A name that libvirt would read otherwise.
pub fn write_checkpoint(checkpoint: &NewCheckpoint<'_>) -> Result<String, Error> {
    let item = Item::Checkpoint;
    moment::require_name(item, checkpoint.name)?;
    let mut disks = Vec::new();
    for (target, tracked) in &checkpoint.disks {
        Text::new(item, "disk", target).require_token()?;
        let how = match tracked {
            Tracked::Yes => "bitmap",
            Tracked::No => "no",
        };
        disks.push(Element::new("disk").with("name", *target).with("checkpoint", how));
    }
    if let Some(text) = checkpoint.description {
        Text::new(item, "description", text).require_xml()?;
    }
    let description = checkpoint.description.map(|text| Element::text("description", text));
    let document = Element::new("domaincheckpoint")
        .holding([Element::text("name", checkpoint.name)])
        .holding(description)
        .holding([Element::new("disks").holding(disks)]);
    document.print().map_err(|error| item.refuse(Refusal::Xml(error)))
}

/// Reads the document of a checkpoint that is there.
///
/// # Errors
///
/// Text that is no bounded, sound XML, or without a name or a time; a size that is no number.
pub fn read_checkpoint(xml: &[u8]) -> Result<Checkpoint, Error> {
    let document = Document::parse_as("domaincheckpoint", xml)?;
    let root = &document.root;
    let disks = root.first("disks").into_iter().flat_map(|disks| disks.all("disk"));
    let mut tracked = Vec::new();
    for disk in disks {
        tracked.extend(tracked_disk(&document, disk)?);
    }
    Ok(Checkpoint {
        name: moment::required(&document, root, "name")?.to_owned(),
        description: root.first("description").map(|child| child.text.clone()),
        parent: moment::parent(root),
        created_unix_seconds: moment::created(&document)?,
        disks: tracked,
    })
}

fn tracked_disk(document: &Document<'_>, disk: &Node<'_>) -> Result<Option<CheckpointDisk>, Error> {
    let Some(bitmap) = disk.value("bitmap") else { return Ok(None) };
    let target =
        disk.value("name").ok_or_else(|| document.refuse(disk, "a disk without a name"))?;
    let size = disk.value("size").map(|text| moment::number(document, disk, "size", text));
    Ok(Some(CheckpointDisk {
        target: target.to_owned(),
        bitmap: bitmap.to_owned(),
        dirty_bytes: size.transpose()?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_disks_that_are_tracked_and_those_that_are_not() {
        let disks = vec![("vda", Tracked::No), ("vdb", Tracked::Yes)];
        let new = NewCheckpoint { name: "relift-1", description: Some("a < b"), disks };
        assert_eq!(
            write_checkpoint(&new).unwrap(),
            "<domaincheckpoint>\n  <name>relift-1</name>\n  <description>a &lt; b</description>\n  \
             <disks>\n    <disk name=\"vda\" checkpoint=\"no\"/>\n    \
             <disk name=\"vdb\" checkpoint=\"bitmap\"/>\n  </disks>\n</domaincheckpoint>\n"
        );
        let refused = write_checkpoint(&NewCheckpoint { name: "a/b", ..new }).unwrap_err();
        assert_eq!(
            refused.to_string(),
            r#"checkpoint: name "a/b" is not a name without / that begins with neither . nor -"#
        );
    }

    /// What libvirt 9.0 writes, without the machine.
    const KNOWN: &str = "<domaincheckpoint>\n  <name>relift-5</name>\n  <parent>\n    \
        <name>relift-1</name>\n  </parent>\n  <creationTime>1795289245</creationTime>\n  <disks>\n    \
        <disk name='vda' checkpoint='no'/>\n    \
        <disk name='vdb' checkpoint='bitmap' bitmap='relift-5' size='8847360'/>\n  </disks>\n\
        </domaincheckpoint>";

    #[test]
    fn reads_what_libvirt_tells_of_a_checkpoint() {
        let want = Checkpoint {
            name: "relift-5".into(),
            description: None,
            parent: Some("relift-1".into()),
            created_unix_seconds: 1_795_289_245,
            disks: vec![CheckpointDisk {
                target: "vdb".into(),
                bitmap: "relift-5".into(),
                dirty_bytes: Some(8_847_360),
            }],
        };
        assert_eq!(read_checkpoint(KNOWN.as_bytes()).unwrap(), want);
    }

    #[test]
    fn refuses_a_spoiled_checkpoint() {
        for (good, bad, want) in [
            (
                "8847360",
                "-1",
                r#"the size "-1" is not a number in 0..=18446744073709551615 (/domaincheckpoint/disks/disk[2], line 9)"#,
            ),
            (
                "1795289245",
                "now",
                r#"the creation time "now" is not a number in 0..=18446744073709551615 (/domaincheckpoint, line 1)"#,
            ),
            ("<name>relift-5</name>", "<name/>", "there is no <name> (/domaincheckpoint, line 1)"),
            ("name='vdb' ", "", "a disk without a name (/domaincheckpoint/disks/disk[2], line 9)"),
        ] {
            let spoiled = KNOWN.replace(good, bad);
            assert_eq!(read_checkpoint(spoiled.as_bytes()).unwrap_err().to_string(), want);
        }
        for end in 0..KNOWN.len() {
            read_checkpoint(&KNOWN.as_bytes()[..end]).unwrap_err();
        }
    }
}
