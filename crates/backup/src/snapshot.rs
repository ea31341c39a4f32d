//! Snapshots of a machine: moments on the machine's own storage that it can be taken back to.
//!
//! ```text
//! create   disk.qcow2                               the machine writes here
//!          disk.qcow2 <- disk.s1.qcow2              s1: it goes on here, disk.qcow2 stays as it is
//! revert   disk.qcow2 <- disk.s1.qcow2   (removed)
//!                    \-- disk.s1-2.qcow2            it goes on here
//! delete   disk.qcow2                               what was written since is merged into it
//! clone    disk.qcow2 --copied--> new-disk0.qcow2   another machine
//! ```
//!
//! Running machines and those that are off get external overlays alike: libvirt 9.0 makes them for both.
//! It does not go back to them, nor merge them; that is done here, by its merging of single disks. A machine
//! that is off is started for that, and its guest is not: it stays paused, and is turned off again.
//! Internal snapshots, which others made, are left to libvirt.

pub(crate) mod chain;
mod clone;
mod create;
mod delete;
mod disks;
mod images;
mod overlay;
mod record;
mod revert;
mod tree;

use std::path::PathBuf;

use host::Host;
use vm::Uuid;

pub use clone::{CloneOptions, ClonePlan, Cloned, clone, plan_clone};
pub use create::{CreateOptions, CreatePlan, Created, MemoryFile, create, plan_create};
pub use delete::{DeletePlan, Deleted, Family, delete, plan_delete};
pub use disks::Included;
pub(crate) use images::Images;
pub use images::{End, Step};
pub use record::{Lock, Phase, Record, Records};
pub use revert::{Leftover, RevertPlan, plan_revert, revert, stop};
pub(crate) use tree::images as images_of;
pub use tree::{Content, Found, Tree, tree};

/// A machine whose snapshots are meant, and the ways to it.
#[derive(Clone, Copy)]
pub struct Subject<'a, H: ?Sized> {
    /// Its host.
    pub host: &'a H,
    /// The file system that its images lie in.
    pub files: &'a dyn Host,
    /// The machine.
    pub machine: Uuid,
    /// Its name.
    pub name: &'a str,
    /// What relift noted of its snapshots.
    pub records: &'a Records,
    /// The images that other machines of the host use.
    pub foreign: &'a [PathBuf],
}

impl<H: ?Sized> std::fmt::Debug for Subject<'_, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod fixture;
