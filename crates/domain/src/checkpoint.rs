//! The document in which libvirt tells of a checkpoint.
//!
//! The format is libvirt's "Checkpoint XML format" (`formatcheckpoint`), as `virsh checkpoint-dumpxml` of
//! libvirt 9.0 writes it.

use crate::{
    Error,
    document::{Document, Element, Shown},
};

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

/// Reads the document of a checkpoint that is there.
///
/// # Errors
///
/// Text that is no bounded, sound XML, or without a name or a time; a size that is no number.
pub fn read_checkpoint(xml: &[u8]) -> Result<Checkpoint, Error> {
    let document = Document::parse_as(xml, "domaincheckpoint")?;
    let root = &document.root;
    let disks = root.first("disks").into_iter().flat_map(|disks| disks.all("disk"));
    let mut tracked = Vec::new();
    for disk in disks {
        tracked.extend(tracked_disk(&document, disk)?);
    }
    let created = required(&document, "creationTime")?;
    Ok(Checkpoint {
        name: required(&document, "name")?.to_owned(),
        description: root.first("description").map(|child| child.text.clone()),
        parent: root.at(&["parent", "name"]).and_then(Element::word).map(str::to_owned),
        created_unix_seconds: number(&document, root, "creation time", created)?,
        disks: tracked,
    })
}

fn tracked_disk(
    document: &Document<'_>,
    disk: &Element<'_>,
) -> Result<Option<CheckpointDisk>, Error> {
    let Some(bitmap) = disk.value("bitmap") else { return Ok(None) };
    let target =
        disk.value("name").ok_or_else(|| document.refuse(disk, "a disk without a name"))?;
    let size = disk.value("size").map(|text| number(document, disk, "size", text));
    Ok(Some(CheckpointDisk {
        target: target.to_owned(),
        bitmap: bitmap.to_owned(),
        dirty_bytes: size.transpose()?,
    }))
}

/// The text of a child of the root that has to be there.
fn required<'d>(document: &'d Document<'_>, child: &str) -> Result<&'d str, Error> {
    let text = document.root.first(child).and_then(Element::word);
    text.ok_or_else(|| document.refuse(&document.root, &format!("there is no <{child}>")))
}

/// A number of an element; `what` is the word that messages use for it.
fn number(
    document: &Document<'_>,
    element: &Element<'_>,
    what: &str,
    text: &str,
) -> Result<u64, Error> {
    text.trim().parse().map_err(|_| {
        let message = format!("the {what} {} is not a number in 0..={}", Shown(text), u64::MAX);
        document.refuse(element, &message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
