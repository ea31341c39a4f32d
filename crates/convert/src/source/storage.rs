//! Controllers, and what hangs on them.

use ovf::{descriptor::ImageFormat, selection::PackageFile};
use vmx::FileName;

use super::{Bus, Origin};

/// One storage controller.
#[derive(Debug, Clone)]
pub struct Controller {
    /// Where the source says it; its id is what disks refer to.
    pub origin: Origin,
    /// Its bus.
    pub bus: Bus,
    /// What it is more exactly, as written: `lsilogic`.
    pub subtype: Option<String>,
    /// Its number among the controllers of its bus; of IDE it is the channel.
    pub number: u32,
}

/// One disk.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    /// Where the source says it.
    pub origin: Origin,
    /// The source's own id of the disk.
    pub id: Option<String>,
    /// The file; an empty disk has none.
    pub file: Option<File>,
    /// The format, where stated.
    pub format: Option<ImageFormat>,
    /// The capacity in bytes, where stated.
    pub capacity_bytes: Option<u64>,
    /// The files of the disks that it is the difference to, the nearest first.
    pub parents: Vec<File>,
    /// The controller that it hangs on, if one can be found.
    pub controller: Option<Controller>,
    /// Its number on the controller, where stated.
    pub unit: Option<u32>,
    /// The guest must not write to it.
    pub read_only: bool,
    /// The guest is told that nothing turns in it.
    pub solid_state: bool,
    /// Settings of the old host that it is built without.
    pub lost: Vec<DiskNote>,
    /// What its first sectors can be started by, where somebody looked.
    pub loader: Option<Loader>,
    /// Its place in the boot order, where stated; smaller is earlier.
    pub boot_rank: Option<u32>,
}

/// Settings of a disk that have no equivalent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskNote {
    /// Writes were not to stay in the old host's cache.
    WriteThrough,
    /// Snapshots of the machine were to leave it out, or its changes were to be forgotten.
    Independent,
}

/// What the first sectors of a disk can be started by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loader {
    /// There is code for a BIOS.
    Bios,
    /// There is an EFI system partition and nothing that a BIOS would start.
    Uefi,
    /// Neither.
    None,
}

/// One CD or floppy drive.
#[derive(Debug, Clone, Default)]
pub struct Drive {
    /// Where the source says it.
    pub origin: Origin,
    /// What it is more exactly, as written: `vmware.cdrom.iso`.
    pub subtype: Option<String>,
    /// The image in it; an empty drive has none.
    pub file: Option<File>,
    /// An image of the old host that does not come with the machine.
    pub left_behind: Option<String>,
    /// The controller that it hangs on, if one can be found.
    pub controller: Option<Controller>,
    /// Its number on the controller, where stated.
    pub unit: Option<u32>,
    /// Its place in the boot order, where stated; smaller is earlier.
    pub boot_rank: Option<u32>,
}

/// A file that a device uses, by what the source calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// A file of an OVF package.
    Packed(PackageFile),
    /// A file that a VMX names.
    Named(FileName),
}

impl File {
    /// The text that the source has for it.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Packed(file) => &file.href,
            Self::Named(name) => name.text(),
        }
    }
}
