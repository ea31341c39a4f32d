//! Storage controllers, disks and removable media.

use std::path::PathBuf;

/// A storage controller of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// What it is.
    pub model: ControllerModel,
    /// Its number among the controllers of one bus.
    pub index: u16,
}

/// Storage controllers that QEMU has and relift may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ControllerModel {
    /// The two IDE channels of the PIIX chip (`pc` only).
    Ide,
    /// AHCI with 6 ports.
    Ahci,
    /// VMware paravirtual SCSI.
    VmPvScsi,
    /// LSI SAS 1068: each disk on it needs a WWN, or Linux attaches none.
    LsiSas1068,
    /// LSI 53C895A, which is not VMware's `lsilogic`.
    LsiLogic,
    /// virtio SCSI.
    VirtioScsi,
}

impl ControllerModel {
    /// The bus that the controller's disks are on.
    #[must_use]
    pub const fn bus(self) -> Bus {
        match self {
            Self::Ide => Bus::Ide,
            Self::Ahci => Bus::Sata,
            Self::VmPvScsi | Self::LsiSas1068 | Self::LsiLogic | Self::VirtioScsi => Bus::Scsi,
        }
    }
}

/// What a disk hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bus {
    /// IDE (`hda`…).
    Ide,
    /// SATA (`sda`…).
    Sata,
    /// SCSI of any controller model (`sda`…).
    Scsi,
    /// virtio-blk (`vda`…): a PCI device of its own, without a controller.
    VirtioBlk,
    /// NVMe.
    Nvme,
    /// The floppy controller (`fda`…).
    Fdc,
}

/// The number of a disk within its machine, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskId(pub u16);

/// A hard disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its number, which is also its place in the machine's list.
    pub id: DiskId,
    /// Where its image will be.
    pub image: PathBuf,
    /// The format of the image.
    pub format: DiskFormat,
    /// Guest-visible size.
    pub capacity_bytes: u64,
    /// What it hangs on.
    pub bus: Bus,
    /// Where on that bus; `None` for virtio-blk, which is placed on PCI by the host.
    pub address: Option<DriveAddress>,
    /// Serial number shown to the guest, at most 20 bytes of `[A-Za-z0-9_.-]`.
    pub serial: String,
    /// World wide name, needed on an [`ControllerModel::LsiSas1068`].
    pub wwn: Option<u64>,
    /// The guest must not write to it.
    pub read_only: bool,
    /// The guest is told that nothing turns in it, on IDE, SATA and SCSI.
    pub solid_state: bool,
    /// Rank in the boot order, from 1.
    pub boot_order: Option<u16>,
}

/// A place on a bus with controllers, as libvirt's `<address type='drive'>` counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DriveAddress {
    /// Index of the controller.
    pub controller: u16,
    /// Bus of the controller: the channel on IDE, else 0.
    pub bus: u16,
    /// SCSI target, else 0.
    pub target: u16,
    /// Unit: the LUN where `target` counts, else the port.
    pub unit: u16,
}

/// Formats that a disk image of the machine can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DiskFormat {
    /// qcow2, version 3.
    #[default]
    Qcow2,
    /// The guest's bytes, nothing else.
    Raw,
}

impl DiskFormat {
    /// The name that QEMU and libvirt use, which is also the file name's ending.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

/// A drive whose medium can be taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removable {
    /// CD or floppy.
    pub kind: RemovableKind,
    /// The raw image in the drive; an empty drive has none.
    pub image: Option<PathBuf>,
    /// What it hangs on.
    pub bus: Bus,
    /// Where on that bus.
    pub address: DriveAddress,
    /// Rank in the boot order, from 1.
    pub boot_order: Option<u16>,
}

/// Kinds of removable media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemovableKind {
    /// CD or DVD, read-only.
    Cdrom,
    /// Floppy disk.
    Floppy,
}
