//! The document in which libvirt tells of a backup that runs.
//!
//! The format is that of the document that began it, as `virsh backup-dumpxml` of libvirt 9.0 writes it.

use std::path::PathBuf;

use crate::{
    Error,
    document::{Document, Element},
};

/// A backup that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningBackup {
    /// The unix socket of a pull backup.
    pub socket: Option<PathBuf>,
    /// The disks that are in it.
    pub disks: Vec<RunningDisk>,
}

/// A disk of a backup that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningDisk {
    /// What the definition calls it: `vda`.
    pub target: String,
    /// The name of its export, where it has one.
    pub export: Option<String>,
    /// The checkpoint since which changes are told.
    pub since: Option<String>,
    /// The export's bitmap with those changes.
    pub bitmap: Option<String>,
    /// The file for what the guest overwrites.
    pub scratch: Option<PathBuf>,
}

/// Reads the document of a backup that runs.
///
/// # Errors
/// Text that is no bounded, sound XML, or no such document; a disk without a name.
pub fn read_backup_job(xml: &[u8]) -> Result<RunningBackup, Error> {
    let document = Document::parse_as(xml, "domainbackup")?;
    let socket = document.root.child_value("server", "socket").map(PathBuf::from);
    let disks = document.root.first("disks").into_iter().flat_map(|disks| disks.all("disk"));
    let disks = disks.filter(|disk| disk.value("backup") != Some("no"));
    let disks = disks.map(|disk| running(&document, disk)).collect::<Result<_, _>>()?;
    Ok(RunningBackup { socket, disks })
}

fn running(document: &Document<'_>, disk: &Element<'_>) -> Result<RunningDisk, Error> {
    let text = |name| disk.value(name).map(str::to_owned);
    let target = text("name").ok_or_else(|| document.refuse(disk, "a disk without a name"))?;
    Ok(RunningDisk {
        target,
        export: text("exportname"),
        since: text("incremental"),
        bitmap: text("exportbitmap"),
        scratch: disk.child_value("scratch", "file").map(PathBuf::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What libvirt 9.0 writes of an increment of one disk.
    const KNOWN: &str = "<domainbackup mode='pull'>\n  \
        <server transport='unix' socket='/w/lv.sock'/>\n  <disks>\n    \
        <disk name='vda' backup='no'/>\n    \
        <disk name='vdb' backup='yes' type='file' backupmode='incremental' incremental='relift-1' \
        exportname='vdb' exportbitmap='backup-vdb' index='6'>\n      <driver type='qcow2'/>\n      \
        <scratch file='/w/vdb.scratch'/>\n    </disk>\n  </disks>\n</domainbackup>";

    #[test]
    fn reads_what_libvirt_tells_of_a_backup() {
        let want = RunningBackup {
            socket: Some("/w/lv.sock".into()),
            disks: vec![RunningDisk {
                target: "vdb".into(),
                export: Some("vdb".into()),
                since: Some("relift-1".into()),
                bitmap: Some("backup-vdb".into()),
                scratch: Some("/w/vdb.scratch".into()),
            }],
        };
        assert_eq!(read_backup_job(KNOWN.as_bytes()).unwrap(), want);
    }

    #[test]
    fn refuses_a_spoiled_document() {
        for (text, want) in [
            ("<domain/>", r#"the root element is "domain", not a domainbackup (line 1, column 1)"#),
            (
                &*KNOWN.replace("name='vdb' ", ""),
                "a disk without a name (/domainbackup/disks/disk[2], line 5)",
            ),
        ] {
            assert_eq!(read_backup_job(text.as_bytes()).unwrap_err().to_string(), want);
        }
        for end in 0..KNOWN.len() {
            read_backup_job(&KNOWN.as_bytes()[..end]).unwrap_err();
        }
    }
}
