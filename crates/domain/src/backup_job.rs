//! The documents that begin a backup of a running machine: the job, and the checkpoint of its moment.
//!
//! The formats are libvirt's "Backup XML format" (`formatbackup`) and "Checkpoint XML format"
//! (`formatcheckpoint`), as of libvirt 9.0; they are given to `virsh backup-begin`.

mod running;

use std::{io, path::PathBuf};

use xml::Element;

pub use self::running::{RunningBackup, RunningDisk, read_backup_job};

/// A backup in pull mode: QEMU keeps the moment, and serves it over NBD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupJob {
    /// The unix socket that QEMU is to listen at.
    pub socket: PathBuf,
    /// Every disk of the machine.
    pub disks: Vec<BackupDisk>,
}

/// What a job does with a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupDisk {
    /// What the definition calls it: `vda`.
    pub target: String,
    /// The file for what the guest overwrites meanwhile, which is made; `None` for a disk that is not in
    /// the job.
    pub scratch: Option<PathBuf>,
    /// The checkpoint since which changes are told, in the bitmap `backup-TARGET`; `None` for all of it.
    pub since: Option<String>,
}

impl BackupDisk {
    /// A disk that is not in the job.
    #[must_use]
    pub fn none(target: &str) -> Self {
        Self { target: target.to_owned(), scratch: None, since: None }
    }

    fn element(&self) -> Element<'_> {
        let disk = Element::new("disk").with("name", &*self.target);
        let Some(scratch) = &self.scratch else { return disk.with("backup", "no") };
        let disk = disk.with("backup", "yes").with("type", "file");
        let disk = match &self.since {
            Some(since) => disk.with("backupmode", "incremental").with("incremental", &**since),
            None => disk.with("backupmode", "full"),
        };
        disk.holding([Element::new("scratch").with("file", scratch.to_string_lossy())])
    }
}

/// Writes the document of a job.
///
/// # Errors
/// A text that XML cannot hold.
pub fn write_backup_job(job: &BackupJob) -> io::Result<String> {
    Element::new("domainbackup")
        .with("mode", "pull")
        .holding([
            Element::new("server")
                .with("transport", "unix")
                .with("socket", job.socket.to_string_lossy()),
            Element::new("disks").holding(job.disks.iter().map(BackupDisk::element)),
        ])
        .print()
}

/// Writes the document of a checkpoint: from its moment on, what is written to the disks `kept` is
/// remembered, of the disks `rest` nothing.
///
/// # Errors
/// A text that XML cannot hold.
pub fn write_checkpoint(name: &str, kept: &[String], rest: &[String]) -> io::Result<String> {
    let kept = kept.iter().map(|target| remembered(target, "bitmap"));
    let rest = rest.iter().map(|target| remembered(target, "no"));
    Element::new("domaincheckpoint")
        .holding([Element::text("name", name), Element::new("disks").holding(kept.chain(rest))])
        .print()
}

fn remembered<'a>(target: &'a str, how: &'a str) -> Element<'a> {
    Element::new("disk").with("name", target).with("checkpoint", how)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_tells_for_each_disk_whether_and_since_when() {
        let disk = |target: &str, since: Option<&str>| BackupDisk {
            target: target.to_owned(),
            scratch: Some(format!("/s/{target}.scratch").into()),
            since: since.map(str::to_owned),
        };
        let job = BackupJob {
            socket: "/s/<nbd>".into(),
            disks: vec![disk("vda", Some("c1")), disk("vdb", None), BackupDisk::none("vdc")],
        };
        insta::assert_snapshot!(write_backup_job(&job).unwrap());
    }

    #[test]
    fn a_checkpoint_remembers_what_is_written_to_some_disks() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let text = write_checkpoint("c2", &names(&["vda"]), &names(&["vdb", "vdc"])).unwrap();
        insta::assert_snapshot!(text);
    }
}
