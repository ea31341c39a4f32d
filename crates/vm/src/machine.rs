//! The machine itself: processors, memory, firmware, guest.

use std::path::PathBuf;

use crate::{Controller, Disk, Nic, Removable, Serial, Sound, Usb, Uuid, Video};

/// A virtual machine, ready to be written for a hypervisor.
///
/// Everything that has an order is in the order in which the guest shall see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Name on the host: no `/`, no control characters, at most 255 bytes.
    pub name: String,
    /// The source's own name, where `name` had to differ from it.
    pub title: Option<String>,
    /// Free text for people.
    pub description: Option<String>,
    /// Identity; the host makes one up when it is absent.
    pub uuid: Option<Uuid>,
    /// What runs inside.
    pub guest: Guest,
    /// How the host executes the guest's instructions.
    pub accelerator: Accelerator,
    /// Virtual processors.
    pub cpus: Cpus,
    /// Main memory in bytes, a multiple of 1 KiB.
    pub memory_bytes: u64,
    /// What memory may grow to while the guest runs, in bytes; absent: it does not grow.
    pub max_memory_bytes: Option<u64>,
    /// The board.
    pub chipset: Chipset,
    /// What starts the guest.
    pub firmware: Firmware,
    /// What the guest takes the hardware clock for.
    pub clock: Clock,
    /// Storage controllers, by kind and index.
    pub controllers: Vec<Controller>,
    /// Hard disks in the order of their addresses.
    pub disks: Vec<Disk>,
    /// CD and floppy drives.
    pub removables: Vec<Removable>,
    /// Network cards in the order in which the guest shall number them.
    pub nics: Vec<Nic>,
    /// Graphics card; a machine without one is headless.
    pub video: Option<Video>,
    /// Sound card.
    pub sound: Option<Sound>,
    /// USB controller; a tablet is attached to it.
    pub usb: Option<Usb>,
    /// Serial ports; the first is the console.
    pub serials: Vec<Serial>,
    /// An emulated TPM 2.0.
    pub tpm: bool,
    /// An Intel IOMMU (VT-d) for the guest's own use; needs Q35 and hardware virtualization.
    pub iommu: bool,
    /// Performance counters of the processor, asked for expressly.
    pub pmu: bool,
    /// A watchdog timer (i6300ESB) that does nothing but be there when it runs out.
    pub watchdog: bool,
    /// A virtio channel for the guest agent.
    pub agent_channel: bool,
    /// A virtio random number generator fed by the host.
    pub rng: bool,
    /// A virtio memory balloon.
    pub balloon: bool,
    /// Files that the guest reads from the firmware's configuration.
    pub fw_cfg: Vec<FwCfg>,
}

/// A file in QEMU's firmware configuration (`fw_cfg`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FwCfg {
    /// Its name there: `opt/`, then at most 51 bytes.
    pub name: String,
    /// Where it is on the host.
    pub file: PathBuf,
}

/// What is known of the system inside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guest {
    /// The family that decides the clock and what the guest is offered.
    pub family: GuestFamily,
    /// The libosinfo id, a URL such as `http://debian.org/debian/12`.
    pub osinfo: Option<String>,
}

/// Families of guest systems, as far as they change the hardware offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum GuestFamily {
    /// Linux of any kind.
    Linux,
    /// Windows of any kind.
    Windows,
    /// FreeBSD, NetBSD, OpenBSD.
    Bsd,
    /// Solaris and its descendants.
    Solaris,
    /// Anything else that is known.
    Other,
    /// Nothing is known.
    #[default]
    Unknown,
}

/// How the host executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accelerator {
    /// Hardware virtualization (`<domain type='kvm'>`).
    #[default]
    Kvm,
    /// Emulation (`<domain type='qemu'>`): slow, and needs nothing of the host.
    Qemu,
}

/// Virtual processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus {
    /// Number of virtual processors at start, 1..=4096.
    pub count: u32,
    /// How many there may be while the guest runs, `count` at least; absent: `count`.
    pub max_count: Option<u32>,
    /// How they are grouped; the product is always [`Cpus::most`].
    pub topology: Option<Topology>,
    /// The model as the host names it; the host's own model when absent.
    pub model: Option<String>,
    /// Single features asked for beside the model.
    pub features: Vec<CpuFeature>,
}

impl Cpus {
    /// The most processors that the guest can ever see.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.max_count.unwrap_or(self.count)
    }
}

/// How processors are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    /// Sockets, at least 1.
    pub sockets: u32,
    /// Cores a socket, at least 1.
    pub cores: u32,
    /// Threads a core, at least 1.
    pub threads: u32,
}

/// A processor feature that the source asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CpuFeature {
    /// Virtualization inside the guest, where the host can nest.
    Nested,
}

/// The board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chipset {
    /// i440fx, `pc`: has IDE, no PCI Express.
    Pc,
    /// Q35: PCI Express and AHCI, no IDE.
    #[default]
    Q35,
}

/// What starts the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Firmware {
    /// SeaBIOS.
    #[default]
    Bios,
    /// UEFI without Secure Boot.
    Uefi,
    /// UEFI with Secure Boot and the usual keys enrolled.
    UefiSecure,
}

impl Firmware {
    /// Whether it is UEFI of either kind.
    #[must_use]
    pub const fn is_uefi(self) -> bool {
        matches!(self, Self::Uefi | Self::UefiSecure)
    }
}

/// What the guest takes the hardware clock for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Clock {
    /// UTC.
    #[default]
    Utc,
    /// Local time, as Windows and DOS keep it.
    LocalTime,
}
