//! Merging the images of a running machine: what was written into an overlay goes into the one below.

use std::time::Duration;

use disk::Progress;
use vm::Uuid;

use super::LibvirtError;

/// Which images of a disk become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit<'a> {
    /// The disk, by the name of its target: `vda`.
    pub target: &'a str,
    /// The image that takes the data; `None` for the bottom of the chain.
    pub base: Option<&'a str>,
    /// The newest image whose data is taken; `None` for the one that the machine writes to, which then
    /// goes on with the base.
    pub top: Option<&'a str>,
    /// How long it may take in all.
    pub limit: Duration,
}

/// How far a job on a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockJob {
    /// What is done, in the job's own units, which are bytes of the image.
    pub done: u64,
    /// What there is to do.
    pub total: u64,
}

/// Jobs on the disks of a running machine.
pub trait BlockJobs {
    /// Merges images, and waits until it is done. `progress` is told what was merged, and may end it;
    /// the chain is then as it was. The files that are merged stay.
    ///
    /// # Errors
    /// The machine is off, a file is not in the chain, there is no room, the time is over or `progress`
    /// said stop ([`Stopped`](super::LibvirtKind::Stopped)).
    fn commit_disk(
        &self,
        machine: Uuid,
        commit: &Commit<'_>,
        progress: &dyn Progress,
    ) -> Result<(), LibvirtError>;

    /// The job of a disk; `None` where there is none.
    ///
    /// # Errors
    /// There is no such machine or disk.
    fn block_job(&self, machine: Uuid, target: &str) -> Result<Option<BlockJob>, LibvirtError>;

    /// Ends the job of a disk, which goes on with the image that it had; no job is no error.
    ///
    /// # Errors
    /// The job cannot be ended.
    fn abort_block_job(&self, machine: Uuid, target: &str) -> Result<(), LibvirtError>;
}
