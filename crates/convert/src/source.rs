//! The hardware of one machine as its source describes it, whatever format said it.
//!
//! ```text
//! ovf::SelectedSystem --from_ovf--\
//!                                  source::System --map--> vm::Machine + rows
//! vmx::Vmx -------------from_vmx--/
//! ```
//!
//! A reader of a format fills it and decides nothing; the hardware map reads it and knows no format.

mod device;
mod storage;

use ovf::{descriptor::UnknownSection, selection::SelectedProperty};
use vm::Uuid;

use crate::Choices;
pub use device::{Device, DeviceKind, HostFeature, SoundCard, UsbClass};
pub use ovf::{
    descriptor::{GuestOs as Os, ImageFormat},
    selection::{Bus, Firmware},
};

pub use storage::{Controller, Disk, DiskNote, Drive, File, Loader};

/// One machine.
#[derive(Debug, Clone, Default)]
pub struct System {
    /// What described it.
    pub format: Format,
    /// Its id in a package of several.
    pub id: Option<String>,
    /// What it is chosen by; unique in its source.
    pub handle: String,
    /// The ids of the collections around it, the outermost first.
    pub collections: Vec<String>,
    /// Its name.
    pub name: Option<String>,
    /// Free text for people.
    pub annotation: Option<String>,
    /// The identity that the guest saw.
    pub uuid: Option<Uuid>,
    /// What is said of the system inside.
    pub os: Os,
    /// Processors and memory.
    pub compute: Compute,
    /// The firmware, where stated.
    pub firmware: Option<Firmware>,
    /// Secure boot, where stated.
    pub secure_boot: Option<bool>,
    /// Virtualization-based security, which needs Secure Boot.
    pub asks_for_vbs: bool,
    /// Whether there is a trusted platform module.
    pub tpm: bool,
    /// Whether the guest sees an IOMMU (VT-d).
    pub iommu: bool,
    /// The storage controllers.
    pub controllers: Vec<Controller>,
    /// The disks, in the order of controller and position.
    pub disks: Vec<Disk>,
    /// The CD and DVD drives.
    pub cdroms: Vec<Drive>,
    /// The floppy drives.
    pub floppies: Vec<Drive>,
    /// The network cards.
    pub nics: Vec<Nic>,
    /// Every other item.
    pub devices: Vec<Device>,
    /// What is said beside the items.
    pub remarks: Remarks,
    /// Every item as the source lists it.
    pub listing: Vec<Listed>,
}

/// Formats that describe a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// An OVF descriptor.
    #[default]
    Ovf,
    /// A VMX.
    Vmx,
}

/// Processors and memory.
#[derive(Debug, Clone, Default)]
pub struct Compute {
    /// Where the source says the number of processors.
    pub vcpus_path: Option<String>,
    /// Where the source says the memory.
    pub memory_path: Option<String>,
    /// The number of processors, where stated.
    pub vcpus: Option<u32>,
    /// The smallest and greatest number of processors, where stated.
    pub vcpu_range: (Option<u64>, Option<u64>),
    /// Cores a socket, where stated.
    pub cores_per_socket: Option<u32>,
    /// Threads a core, where stated.
    pub threads_per_core: Option<u32>,
    /// Virtualization inside the guest.
    pub nested: bool,
    /// Performance counters of the processor.
    pub pmu: bool,
    /// Processors may be added while the guest runs.
    pub cpu_hot_add: bool,
    /// Memory may be added while the guest runs.
    pub memory_hot_add: bool,
    /// Memory in bytes, where stated.
    pub memory_bytes: Option<u64>,
    /// The smallest and greatest memory in bytes, where stated.
    pub memory_range_bytes: (Option<u64>, Option<u64>),
}

/// One network card.
#[derive(Debug, Clone, Default)]
pub struct Nic {
    /// Where the source says it.
    pub origin: Origin,
    /// The network that it is plugged into.
    pub network: Option<String>,
    /// The model as written, such as `VmxNet3`.
    pub model: Option<String>,
    /// Words in lower case that may name the model, the surest first.
    pub words: Vec<String>,
    /// The Ethernet address as written.
    pub mac: Option<String>,
    /// The number that old Linux names the interface by.
    pub pci_slot: Option<u32>,
    /// Whether it is connected at start, where stated.
    pub connected: Option<bool>,
    /// Its place in the boot order, where stated; smaller is earlier.
    pub boot_rank: Option<u32>,
}

/// What a source says beside its items.
#[derive(Debug, Clone, Default)]
pub struct Remarks {
    /// The file with the firmware's variables.
    pub nvram: Option<Nvram>,
    /// Settings of the old host that mean nothing here.
    pub vendor_keys: Vec<String>,
    /// Properties for the guest.
    pub properties: Vec<SelectedProperty>,
    /// How the guest wants to be told them: `iso`, `com.vmware.guestInfo`.
    pub transports: Vec<String>,
    /// Whether there is something to tell the guest, or it asks to be told.
    pub wants_environment: bool,
    /// The texts of the licences that bind the machine.
    pub eulas: Vec<String>,
    /// The machine was saved, or suspended, while it ran.
    pub has_saved_state: bool,
    /// Sections of a descriptor that are not read.
    pub sections: Vec<UnknownSection>,
}

/// The file with the variables of the old host's firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nvram {
    /// What the source says of it.
    pub text: String,
    /// The file, where the source has one of that name.
    pub file: Option<File>,
}

/// One item as the source lists it.
#[derive(Debug, Clone, Default)]
pub struct Listed {
    /// Its id.
    pub id: Option<String>,
    /// Its type.
    pub kind: Option<String>,
    /// What it is more exactly.
    pub subtype: Option<String>,
    /// Its name for people.
    pub name: String,
}

/// Where the source says something, and what it is called in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The row of an item that has no better name: `item7`, `pciPassthru0`.
    pub row: String,
    /// The source's own id, as `--ignore item:ID` names it.
    pub id: Option<String>,
    /// The place in the source.
    pub path: String,
    /// `required`, where stated.
    pub required: Option<bool>,
}

impl System {
    /// Whether the machine has a controller of the bus, so that the guest drives it.
    #[must_use]
    pub fn proves(&self, bus: Bus) -> bool {
        self.controllers.iter().any(|controller| controller.bus == bus)
    }

    /// Whether it asks for virtualization-based security, and nobody waived that (`--ignore vbs`).
    pub(crate) fn wants_vbs(&self, choices: &Choices) -> bool {
        self.asks_for_vbs && !choices.ignores("vbs", None)
    }

    /// The files that its devices use, each once, in the order of first use; a parent comes before
    /// the disk that differs from it.
    #[must_use]
    pub fn files(&self) -> Vec<&File> {
        let disks = self.disks.iter().flat_map(|disk| disk.parents.iter().rev().chain(&disk.file));
        let drives = self.cdroms.iter().chain(&self.floppies);
        let mut files = Vec::new();
        for file in disks.chain(drives.filter_map(|drive| drive.file.as_ref())) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        files
    }
}
