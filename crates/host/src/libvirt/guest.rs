//! What a machine is doing, what defines it, and how full its disks are.

use vm::Uuid;

use super::LibvirtError;

/// What a machine is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    Running,
    /// It has a process, and its processors stand still.
    Paused {
        /// Whether a disk that failed or filled up has stopped it, rather than somebody.
        by_error: bool,
    },
    /// It has no process.
    Off,
    /// Anything else, in libvirt's words: `in shutdown`, `crashed`, `pmsuspended (unknown)`.
    Other(String),
}

/// Which of the two definitions of a machine is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Definition {
    /// The one that it is started from the next time.
    Inactive,
    /// The one that it runs by; that of a machine that is off is the other.
    Live,
}

/// How large a disk is, and how much of it lies on the host (`virDomainBlockInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockInfo {
    /// What the guest sees, in bytes.
    pub capacity_bytes: u64,
    /// What is allocated on the host, in bytes. Of a running machine it is the highest byte that QEMU
    /// has written.
    pub allocation_bytes: u64,
    /// The length of the file or the device, in bytes.
    pub physical_bytes: u64,
}

/// A disk that the guest could not read or write.
///
/// libvirt keeps showing the error of a disk after its machine was resumed, until the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockError {
    /// The disk, by the name of its target: `vda`.
    pub target: String,
    /// Whether there was no room, rather than anything else.
    pub is_full: bool,
}

/// What a machine says of itself, and how it is stopped and goes on.
///
/// `start` and `destroy` are acts of [`Hypervisor`](super::Hypervisor).
pub trait Guest {
    /// What the machine is doing.
    ///
    /// # Errors
    /// There is no such machine.
    fn power(&self, machine: Uuid) -> Result<Power, LibvirtError>;

    /// The domain XML of a machine, without its secrets.
    ///
    /// # Errors
    /// There is no such machine, or its document is not UTF-8.
    fn definition(&self, machine: Uuid, which: Definition) -> Result<String, LibvirtError>;

    /// Lets a paused machine go on.
    ///
    /// # Errors
    /// It is off, or what stopped it lasts.
    fn resume(&self, machine: Uuid) -> Result<(), LibvirtError>;

    /// Starts a machine whose guest does not run: it has a process and its disks can be read.
    ///
    /// # Errors
    /// It is on, or something that it needs is missing on the host.
    fn start_paused(&self, machine: Uuid) -> Result<(), LibvirtError>;

    /// Asks the guest to turn itself off, and does not wait for it.
    ///
    /// # Errors
    /// It is off.
    fn shut_down(&self, machine: Uuid) -> Result<(), LibvirtError>;

    /// How large a disk is; `target` is its name in the definition: `vda`.
    ///
    /// # Errors
    /// There is no such machine or disk.
    fn block_info(&self, machine: Uuid, target: &str) -> Result<BlockInfo, LibvirtError>;

    /// The disks of a running machine that failed.
    ///
    /// # Errors
    /// It is off.
    fn block_errors(&self, machine: Uuid) -> Result<Vec<BlockError>, LibvirtError>;
}
