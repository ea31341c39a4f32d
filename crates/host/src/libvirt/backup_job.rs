//! The backup job of a running machine: QEMU keeps a moment of its disks and serves it over NBD.

use vm::Uuid;

use super::LibvirtError;

/// What libvirt is busy with for a machine (`virDomainGetJobStats`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Job {
    /// What kind of work it is.
    pub kind: JobKind,
    /// For how long, in milliseconds.
    pub elapsed_ms: u64,
    /// What the scratch files of a backup hold, in bytes.
    pub temporary_used_bytes: u64,
    /// What they hold at most, in bytes: the capacity of the disks.
    pub temporary_total_bytes: u64,
}

/// What kind of work a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum JobKind {
    /// There is none.
    #[default]
    None,
    /// A backup.
    Backup,
    /// Any other: a migration, a snapshot, a dump.
    Other,
}

/// Backup jobs; a machine has one at most, and no snapshot is taken meanwhile.
pub trait BackupJobs {
    /// Begins a backup, with a checkpoint of the same moment where one is given.
    ///
    /// Both are documents: `domain::backup`. libvirt makes the scratch files, and QEMU the socket: its
    /// user must be able to write the folder.
    ///
    /// # Errors
    /// Another job runs ([`Busy`](super::LibvirtKind::Busy), after 30 seconds), or the checkpoint that
    /// the increment is from has no bitmap any more ([`BadCheckpoint`](super::LibvirtKind::BadCheckpoint)).
    /// Then neither a job nor a new checkpoint is there.
    fn begin_backup(
        &self,
        machine: Uuid,
        backup: &str,
        checkpoint: Option<&str>,
    ) -> Result<(), LibvirtError>;

    /// What libvirt is busy with now.
    ///
    /// # Errors
    /// There is no such machine.
    fn job(&self, machine: Uuid) -> Result<Job, LibvirtError>;

    /// The document of the backup that runs; `None` where there is none.
    ///
    /// # Errors
    /// There is no such machine.
    fn running_backup(&self, machine: Uuid) -> Result<Option<String>, LibvirtError>;

    /// Ends the job, which is how a pull backup ends: socket and scratch files are gone then. No job is
    /// no error.
    ///
    /// # Errors
    /// The job cannot be ended.
    fn abort_job(&self, machine: Uuid) -> Result<(), LibvirtError>;
}
