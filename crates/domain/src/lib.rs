//! libvirt domain XML: what defines a machine on a KVM host.
//!
//! ```text
//!              check: every refusal          write: one element after the other
//! vm::Machine ----------------------> sound ---------------------------------> Element -> XML text
//!                       \-> Error: which item, what was found, what is allowed
//!
//!           document: bounded XML             read: what the guest sees
//! XML text -----------------------> Document ---------------------------> vm::Machine
//!                       \-> Error: line and column   \-> Finding: what a machine has no place for
//! ```
//!
//! [`write()`] is pure and deterministic: the same machine gives the same bytes. It chooses nothing
//! that the guest can notice; the planner has done that. It refuses what libvirt would refuse, and
//! what libvirt would accept but QEMU or the guest would not (an `lsisas1068` disk without a WWN, a
//! second LUN on a `vmpvscsi`), so that a definition that exists also starts.
//!
//! [`read()`] takes what [`write()`] made, and what others wrote: definitions of virt-manager, dumps of
//! running machines. What it does not carry over it says.
//!
//! [`drives()`] lists the drives of a document, whatever they are on, and [`firmware_files()`] the files
//! of its firmware, [`host_devices()`] what the guest has of the host.
//!
//! [`scrub()`] takes out of a document what a host must not take from it.
//!
//! Beside the machine stand documents of its moments: [`write_backup_job()`], [`write_checkpoint()`],
//! [`write_new_snapshot()`] and what reads them back.
//!
//! [`patch()`] changes single values of a document and leaves every other byte of it as it is.
//!
//! The format is libvirt's "Domain XML format" (`formatdomain`), as of libvirt 9.0.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::expect_used,
        clippy::unwrap_used
    )
)]

mod backup_job;
mod bus;
mod check;
mod checkpoint;
mod document;
mod drives;
mod error;
mod host_devices;
mod moment;
mod notes;
mod patch;
mod read;
mod scrub;
mod snapshot;
mod write;

pub use backup_job::{
    BackedUpDisk, BackupJob, DiskMode, RunningBackup, RunningDisk, read_backup_job,
    write_backup_job,
};
pub use checkpoint::{
    Checkpoint, CheckpointDisk, NewCheckpoint, Tracked, read_checkpoint, write_checkpoint,
};
pub use drives::{
    BackingImage, Drive, DriveDevice, DriveSource, FirmwareFiles, drives, firmware_files,
};
pub use error::{Error, Kind};
pub use host_devices::{HostDevice, HostDeviceKind, host_devices};
pub use notes::Finding;
pub use patch::{Changes, patch};
pub use read::{Read, read};
pub use scrub::{Scrubbed, scrub};
pub use snapshot::{
    Kept, KeptMemory, NewSnapshot, ReadSnapshot, Snapshot, SnapshotDisk, SnapshotState,
    move_snapshot_files, read_snapshot, write_new_snapshot, write_snapshot,
};
pub use write::{write, write_bundled};

/// The namespace of the libosinfo element, which virt-manager and its like write and read.
const LIBOSINFO: &str = "http://libosinfo.org/xmlns/libvirt/domain/1.0";
