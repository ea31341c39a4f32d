//! Devices that are neither processor, memory, storage nor network.

use super::Origin;

/// One device.
#[derive(Debug, Clone)]
pub struct Device {
    /// Where the source says it.
    pub origin: Origin,
    /// What it is.
    pub kind: DeviceKind,
    /// What the source calls it.
    pub name: String,
}

/// Kinds of devices, as far as they are treated differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceKind {
    /// A sound card.
    Sound(SoundCard),
    /// A graphics card.
    Video {
        /// Its memory in bytes, where stated.
        memory_bytes: Option<u64>,
        /// How many screens it has, where stated.
        displays: Option<u32>,
    },
    /// A USB controller.
    Usb(UsbClass),
    /// A serial port.
    Serial,
    /// A serial port that is VMware's virtual printer.
    PrinterPort,
    /// A parallel port.
    Parallel,
    /// A trusted platform module.
    Tpm,
    /// A watchdog timer.
    Watchdog,
    /// VMware's channel between machines.
    Vmci,
    /// A folder of the old host that VMware shares with the guest.
    SharedFolder,
    /// Memory that keeps its content in a file of the old host.
    Nvdimm,
    /// A device of the old host, with its PCI ids where they are stated.
    Passthrough(Option<(u16, u16)>),
    /// A bus adapter or SCSI device of the old host; whether a disk of the machine hangs on it.
    HostAdapter {
        /// A disk of the machine hangs on it.
        carries_disk: bool,
    },
    /// A feature of the old host's processor or board.
    Feature(HostFeature),
    /// Something that every machine has.
    Implicit,
    /// A second statement of what a machine has once.
    Repeated,
    /// Nothing that the map knows; the text says what it is.
    Unknown(String),
}

/// Sound cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoundCard {
    /// Intel HD Audio.
    Hda,
    /// Sound Blaster 16.
    Sb16,
    /// Intel AC'97.
    Ac97,
    /// VirtualBox writes AC'97 under the name of another card.
    VirtualBox,
    /// Ensoniq AudioPCI.
    Ensoniq,
    /// None of them.
    Unknown,
}

/// USB controllers, by what the guest's driver must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsbClass {
    /// xHCI.
    Xhci,
    /// EHCI or older.
    Ehci,
    /// Not stated.
    Unknown,
}

/// Features of the old host that the source lets the guest use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostFeature {
    /// AMD's encrypted memory.
    Sev,
    /// Intel's enclaves.
    Sgx,
    /// Apple's system management controller, which macOS asks for.
    AppleSmc,
}
