//! The document that begins a pull backup, and the one that tells of it while it runs.
//!
//! The format is libvirt's "Backup XML format" (`formatbackup`), as of libvirt 9.0.

use std::path::{Path, PathBuf};

use xml::Element;

use crate::{
    Error,
    check::{Text, require_path},
    document::{Document, Element as Node},
    error::{Item, Refusal},
    moment,
};

/// A backup in pull mode: QEMU serves the disks as they were when it began, until it is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupJob<'a> {
    /// The unix socket that QEMU makes, and serves an export at for each disk, by its target's name.
    pub socket: &'a Path,
    /// Every disk of the machine: libvirt takes one that is not named for one that is wanted.
    pub disks: Vec<BackedUpDisk<'a>>,
}

/// A disk of a machine, and what a backup does with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackedUpDisk<'a> {
    /// The name of its target, such as `vda`.
    pub target: &'a str,
    /// How it is served.
    pub mode: DiskMode<'a>,
}

/// How a backup serves a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskMode<'a> {
    /// Not at all.
    LeftOut,
    /// All of it.
    Full {
        /// The file that keeps what the guest over-writes meanwhile; libvirt makes it, and it must not
        /// be there.
        scratch: &'a Path,
    },
    /// All of it, and what was written since a checkpoint: the export's bitmap `backup-TARGET`.
    Since {
        /// The checkpoint.
        checkpoint: &'a str,
        /// As for a full one.
        scratch: &'a Path,
    },
}

/// A backup that runs, as libvirt tells of it.
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
    /// The name of its target, such as `vda`.
    pub target: String,
    /// The name of its export, where it has one.
    pub export: Option<String>,
    /// The checkpoint that it is an increment from.
    pub since: Option<String>,
    /// The export's bitmap with what was written since.
    pub bitmap: Option<String>,
    /// The file that keeps what the guest over-writes.
    pub scratch: Option<PathBuf>,
}

/// Writes the document that begins a backup.
///
/// # Errors
///
/// A name or a path that libvirt would read otherwise.
pub fn write_backup_job(job: &BackupJob<'_>) -> Result<String, Error> {
    require_path(Item::Backup, "socket path", job.socket)?;
    let disks = job.disks.iter().map(disk).collect::<Result<Vec<_>, _>>()?;
    let server = Element::new("server")
        .with("transport", "unix")
        .with("socket", job.socket.to_string_lossy());
    let document = Element::new("domainbackup")
        .with("mode", "pull")
        .holding([server, Element::new("disks").holding(disks)]);
    document.print().map_err(|error| Item::Backup.refuse(Refusal::Xml(error)))
}

fn disk<'a>(disk: &BackedUpDisk<'a>) -> Result<Element<'a>, Error> {
    Text::new(Item::Backup, "disk", disk.target).require_token()?;
    let element = Element::new("disk").with("name", disk.target);
    let (element, scratch) = match disk.mode {
        DiskMode::LeftOut => return Ok(element.with("backup", "no")),
        DiskMode::Full { scratch } => (element.with("backupmode", "full"), scratch),
        DiskMode::Since { checkpoint, scratch } => {
            moment::require_name(Item::Checkpoint, checkpoint)?;
            let mode = element.with("backupmode", "incremental");
            (mode.with("incremental", checkpoint), scratch)
        }
    };
    require_path(Item::Backup, "scratch path", scratch)?;
    let scratch = Element::new("scratch").with("file", scratch.to_string_lossy());
    Ok(element.with("backup", "yes").with("type", "file").holding([scratch]))
}

/// Reads the document of a backup that runs.
///
/// # Errors
///
/// Text that is no bounded, sound XML, or a disk without a name.
pub fn read_backup_job(xml: &[u8]) -> Result<RunningBackup, Error> {
    let document = Document::parse_as("domainbackup", xml)?;
    let socket = document.root.child_value("server", "socket").map(PathBuf::from);
    let disks = document.root.first("disks").into_iter().flat_map(|disks| disks.all("disk"));
    let disks = disks.filter(|disk| disk.value("backup") != Some("no"));
    let disks = disks.map(|disk| running(&document, disk)).collect::<Result<_, _>>()?;
    Ok(RunningBackup { socket, disks })
}

fn running(document: &Document<'_>, disk: &Node<'_>) -> Result<RunningDisk, Error> {
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

    fn job<'a>(target: &'a str, mode: DiskMode<'a>) -> BackupJob<'a> {
        BackupJob { socket: Path::new("/run/a.sock"), disks: vec![BackedUpDisk { target, mode }] }
    }

    #[test]
    fn each_disk_is_left_out_whole_or_an_increment() {
        let mut wanted = job("vda", DiskMode::LeftOut);
        let scratch = Path::new("/s/b");
        let full = DiskMode::Full { scratch };
        let since = DiskMode::Since { checkpoint: "relift-1", scratch: Path::new("/s/<c>") };
        wanted.disks.push(BackedUpDisk { target: "vdb", mode: full });
        wanted.disks.push(BackedUpDisk { target: "sda", mode: since });
        assert_eq!(
            write_backup_job(&wanted).unwrap(),
            "<domainbackup mode=\"pull\">\n  \
             <server transport=\"unix\" socket=\"/run/a.sock\"/>\n  <disks>\n    \
             <disk name=\"vda\" backup=\"no\"/>\n    \
             <disk name=\"vdb\" backupmode=\"full\" backup=\"yes\" type=\"file\">\n      \
             <scratch file=\"/s/b\"/>\n    </disk>\n    \
             <disk name=\"sda\" backupmode=\"incremental\" incremental=\"relift-1\" backup=\"yes\" \
             type=\"file\">\n      <scratch file=\"/s/&lt;c&gt;\"/>\n    </disk>\n  </disks>\n\
             </domainbackup>\n"
        );
    }

    #[test]
    fn refuses_what_libvirt_would_read_otherwise() {
        let scratch = Path::new("s");
        let refusal = |job: &BackupJob<'_>| write_backup_job(job).unwrap_err().to_string();
        for (target, mode, want) in [
            ("vda", DiskMode::Full { scratch }, r#"backup: scratch path "s" is not absolute"#),
            (
                "/a",
                DiskMode::LeftOut,
                r#"backup: disk "/a" is not made of letters, digits and ._+- only"#,
            ),
            (
                "vda",
                DiskMode::Since { checkpoint: "", scratch: Path::new("/s") },
                r#"checkpoint: name "" is not a word"#,
            ),
        ] {
            assert_eq!(refusal(&job(target, mode)), want);
        }
        let mut job = job("vda", DiskMode::LeftOut);
        job.socket = Path::new("a.sock");
        assert_eq!(refusal(&job), r#"backup: socket path "a.sock" is not absolute"#);
    }

    #[test]
    fn reads_what_libvirt_tells_of_a_backup() {
        let text = "<domainbackup mode='pull'>\n\
            <server transport='unix' socket='/w/lv.sock'/><disks>\
            <disk name='vda' backup='no'/>\
            <disk name='vdb' backup='yes' type='file' backupmode='incremental' \
              incremental='relift-1' exportname='vdb' exportbitmap='backup-vdb' index='6'>\
              <driver type='qcow2'/><scratch file='/w/vdb.scratch'/></disk></disks></domainbackup>";
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
        assert_eq!(read_backup_job(text.as_bytes()).unwrap(), want);
        for (text, want) in [
            ("<domain/>", r#"the root element is "domain", not a domainbackup (line 1, column 1)"#),
            (
                "<domainbackup><disks><disk/></disks></domainbackup>",
                "a disk without a name (/domainbackup/disks/disk, line 1)",
            ),
        ] {
            assert_eq!(read_backup_job(text.as_bytes()).unwrap_err().to_string(), want);
        }
    }
}
