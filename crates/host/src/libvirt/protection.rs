//! Everything that is asked of and done to a machine to keep it safe, as one trait for a caller's bound.

use super::{Agent, BackupJobs, BlockJobs, Checkpoints, Guest, Hypervisor, Snapshots};

/// A host whose machines can be backed up and given snapshots.
///
/// One who needs less asks for less: each part is a trait of its own.
pub trait Protection:
    Hypervisor + Guest + Agent + BackupJobs + Checkpoints + Snapshots + BlockJobs
{
}

impl<T> Protection for T where
    T: Hypervisor + Guest + Agent + BackupJobs + Checkpoints + Snapshots + BlockJobs
{
}
