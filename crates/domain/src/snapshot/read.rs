//! What libvirt tells of a snapshot that is there.

use std::path::PathBuf;

use crate::{
    Error,
    document::{Document, Element},
    moment,
};

/// A snapshot as its document tells it. Texts and paths are as they stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadSnapshot {
    /// Its name.
    pub name: String,
    /// What people are told of it.
    pub description: Option<String>,
    /// The snapshot that it follows.
    pub parent: Option<String>,
    /// When it was taken, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// What the machine did.
    pub state: SnapshotState,
    /// Where the guest's memory is.
    pub memory: KeptMemory,
    /// The disks.
    pub disks: Vec<SnapshotDisk>,
    /// The domain XML of the machine as it was then.
    pub domain: Option<String>,
    /// The domain XML that the machine would have been started from the next time, where it is
    /// another. Its root is `<domain>`, too.
    pub inactive_domain: Option<String>,
}

/// What a machine did when its snapshot was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotState {
    /// It ran, and its memory is kept.
    Running,
    /// It was paused, and its memory is kept.
    Paused,
    /// It was off.
    Off,
    /// It may have run, and only its disks are kept.
    DisksOnly,
    /// Anything else, in libvirt's words.
    Other(String),
}

/// Where a snapshot keeps the guest's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptMemory {
    /// Nowhere.
    No,
    /// Inside an image of a disk.
    Internal,
    /// In a file.
    External(PathBuf),
}

/// A disk of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotDisk {
    /// The name of its target, such as `vda`.
    pub target: String,
    /// How it is kept.
    pub kept: Kept,
}

/// How a snapshot keeps a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// Not at all.
    No,
    /// Inside its image.
    Internal,
    /// By what the machine writes to from then on: the file or the device; `None` where it is neither.
    External(Option<PathBuf>),
    /// In another way, in libvirt's words.
    Other(String),
}

/// Reads the document of a snapshot.
///
/// # Errors
///
/// Text that is no bounded, sound XML, or without a name, a state or a time; a disk without a name.
pub fn read_snapshot(xml: &[u8]) -> Result<ReadSnapshot, Error> {
    let document = Document::parse_as("domainsnapshot", xml)?;
    let root = &document.root;
    let disks = root.first("disks").into_iter().flat_map(|disks| disks.all("disk"));
    let domain = root.first("domain").map(|domain| as_domain(&document, domain));
    let inactive = root.first("inactiveDomain").map(|domain| as_domain(&document, domain));
    Ok(ReadSnapshot {
        name: moment::required(&document, root, "name")?.to_owned(),
        description: root.first("description").map(|child| child.text.clone()),
        parent: moment::parent(root),
        created_unix_seconds: moment::created(&document)?,
        state: state(moment::required(&document, root, "state")?),
        memory: memory(&document, root)?,
        disks: disks.map(|disk| kept(&document, disk)).collect::<Result<_, _>>()?,
        domain,
        inactive_domain: inactive,
    })
}

fn state(text: &str) -> SnapshotState {
    match text.trim() {
        "running" => SnapshotState::Running,
        "paused" => SnapshotState::Paused,
        "shutoff" => SnapshotState::Off,
        "disk-snapshot" => SnapshotState::DisksOnly,
        other => SnapshotState::Other(other.to_owned()),
    }
}

fn memory(document: &Document<'_>, root: &Element<'_>) -> Result<KeptMemory, Error> {
    let Some(memory) = root.first("memory") else { return Ok(KeptMemory::No) };
    match (memory.value("snapshot"), memory.value("file")) {
        (Some("external"), Some(file)) => Ok(KeptMemory::External(file.into())),
        (Some("external"), None) => {
            Err(document.refuse(memory, "memory that is external, and in no file"))
        }
        (Some("internal"), _) => Ok(KeptMemory::Internal),
        _ => Ok(KeptMemory::No),
    }
}

fn kept(document: &Document<'_>, disk: &Element<'_>) -> Result<SnapshotDisk, Error> {
    let target =
        disk.value("name").ok_or_else(|| document.refuse(disk, "a disk without a name"))?;
    let source = disk.first("source");
    let file = source.and_then(|source| source.value("file").or_else(|| source.value("dev")));
    let kept = match disk.value("snapshot") {
        Some("no") | None => Kept::No,
        Some("internal") => Kept::Internal,
        Some("external") => Kept::External(file.map(PathBuf::from)),
        Some(other) => Kept::Other(other.to_owned()),
    };
    Ok(SnapshotDisk { target: target.to_owned(), kept })
}

/// A definition inside a document, as one of its own. Its namespaces are declared on it.
fn as_domain(document: &Document<'_>, element: &Element<'_>) -> String {
    let part = |range| document.text.get(range).unwrap_or_default();
    let (start, end) = (element.span.start, element.span.end);
    let tag = start.saturating_add(1).saturating_add(element.name.len());
    if element.content.end == end {
        return format!("<domain{}", part(tag..end));
    }
    format!("<domain{}</domain>", part(tag..element.content.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What libvirt 9.0 writes of a snapshot of a running machine, with shorter definitions.
    const KNOWN: &str = "<domainsnapshot>\n  <name>m1</name>\n  \
        <description>first &lt;one&gt;</description>\n  <state>running</state>\n  <parent>\n    \
        <name>s1</name>\n  </parent>\n  <creationTime>1795288149</creationTime>\n  \
        <memory snapshot='external' file='/w/m1.mem'/>\n  <disks>\n    \
        <disk name='vda' snapshot='no'/>\n    \
        <disk name='vdb' snapshot='external' type='file'>\n      <driver type='qcow2'/>\n      \
        <source file='/w/vdb.m1.qcow2'/>\n    </disk>\n    <disk name='vdc' snapshot='internal'/>\n  \
        </disks>\n  <domain type='qemu'>\n    <name>lab</name>\n  </domain>\n  \
        <inactiveDomain type='qemu'>\n    <name>lab</name>\n  </inactiveDomain>\n  <cookie>\n    \
        <cpu mode='maximum'/>\n  </cookie>\n</domainsnapshot>\n";

    #[test]
    fn reads_what_libvirt_tells_of_a_snapshot() {
        let disk = |target: &str, kept| SnapshotDisk { target: target.into(), kept };
        let domain = "<domain type='qemu'>\n    <name>lab</name>\n  </domain>";
        let want = ReadSnapshot {
            name: "m1".into(),
            description: Some("first <one>".into()),
            parent: Some("s1".into()),
            created_unix_seconds: 1_795_288_149,
            state: SnapshotState::Running,
            memory: KeptMemory::External("/w/m1.mem".into()),
            disks: vec![
                disk("vda", Kept::No),
                disk("vdb", Kept::External(Some("/w/vdb.m1.qcow2".into()))),
                disk("vdc", Kept::Internal),
            ],
            domain: Some(domain.into()),
            inactive_domain: Some(domain.into()),
        };
        assert_eq!(read_snapshot(KNOWN.as_bytes()).unwrap(), want);
    }

    #[test]
    fn knows_every_state_and_keeps_the_words_of_others() {
        let state = |text: &str| {
            read_snapshot(KNOWN.replace(">running<", &format!(">{text}<")).as_bytes())
                .unwrap()
                .state
        };
        assert_eq!(state("paused"), SnapshotState::Paused);
        assert_eq!(state("shutoff"), SnapshotState::Off);
        assert_eq!(state("disk-snapshot"), SnapshotState::DisksOnly);
        assert_eq!(state("crashed"), SnapshotState::Other("crashed".into()));
    }

    #[test]
    fn what_it_has_written_it_reads() {
        let written = crate::write_snapshot(&crate::Snapshot {
            name: "a & b",
            parent: Some("p"),
            unix_seconds: 7,
            memory: None,
            overlays: vec![("vda".into(), Some("/a".into())), ("vdb".into(), None)],
            domain: "<domain/>",
        });
        let read = read_snapshot(written.unwrap().as_bytes()).unwrap();
        assert_eq!((read.name.as_str(), read.parent.as_deref()), ("a & b", Some("p")));
        assert_eq!((read.created_unix_seconds, read.state), (7, SnapshotState::DisksOnly));
        assert_eq!(read.disks[0].kept, Kept::External(Some("/a".into())));
        assert_eq!((read.domain.as_deref(), read.memory), (Some("<domain/>"), KeptMemory::No));
    }

    #[test]
    fn refuses_a_spoiled_snapshot() {
        for (good, bad, want) in [
            ("<name>m1</name>", "", "there is no <name> (/domainsnapshot, line 1)"),
            ("<state>running</state>", "", "there is no <state> (/domainsnapshot, line 1)"),
            (
                "1795288149",
                "99999999999999999999",
                r#"the creation time "99999999999999999999" is not a number in 0..=18446744073709551615 (/domainsnapshot, line 1)"#,
            ),
            (
                " file='/w/m1.mem'",
                "",
                "memory that is external, and in no file (/domainsnapshot/memory, line 9)",
            ),
            ("name='vdb' ", "", "a disk without a name (/domainsnapshot/disks/disk[2], line 12)"),
        ] {
            let spoiled = KNOWN.replacen(good, bad, 1);
            assert_eq!(read_snapshot(spoiled.as_bytes()).unwrap_err().to_string(), want);
        }
        for end in 0..KNOWN.len() - 1 {
            read_snapshot(&KNOWN.as_bytes()[..end]).unwrap_err();
        }
    }
}
