//! The values of a selected machine.

use crate::descriptor::{Compression, GuestOs, ImageFormat, Item, resource};

/// The firmware that a descriptor states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Firmware {
    /// PC BIOS.
    Bios,
    /// UEFI.
    Efi,
}

impl Firmware {
    /// The word used in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Efi => "efi",
        }
    }
}

/// The bus of a controller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bus {
    /// Resource type 5.
    Ide,
    /// Resource type 6, or a subtype that says so.
    Scsi,
    /// Resource type 20 with an AHCI subtype, or without one.
    Sata,
    /// Resource type 20 with an NVMe subtype.
    Nvme,
    /// oVirt's virtio-blk, which has no controller.
    Virtio,
}

impl Bus {
    /// The bus of a controller item; `None` for what is no storage controller.
    ///
    /// oVirt's graphics card has the type of a storage controller, VMware's passed-through SCSI
    /// device that of an adapter, and NVDIMMs hang on no disk bus: none of them is one.
    #[must_use]
    pub fn of(item: &Item) -> Option<Self> {
        let words = item.subtype_words();
        let has = |part: &str| words.iter().any(|word| word.contains(part));
        match item.resource_type? {
            resource::IDE_CONTROLLER => Some(Self::Ide),
            resource::SCSI_CONTROLLER if has("scsi.passthrough") => None,
            resource::SCSI_CONTROLLER => Some(Self::Scsi),
            resource::OTHER_STORAGE if is_graphics(item) || has("nvdimm") => None,
            resource::OTHER_STORAGE if has("nvme") => Some(Self::Nvme),
            resource::OTHER_STORAGE if has("virtio") || has("scsi") => Some(Self::Scsi),
            resource::OTHER_STORAGE => Some(Self::Sata),
            _ => None,
        }
    }

    /// The word used in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::Scsi => "scsi",
            Self::Sata => "sata",
            Self::Nvme => "nvme",
            Self::Virtio => "virtio",
        }
    }
}

fn is_graphics(item: &Item) -> bool {
    matches!(item.ovirt_type.as_deref(), Some("video" | "graphics"))
}

/// A storage controller that a device hangs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// Its instance id.
    pub instance_id: String,
    /// Its bus.
    pub bus: Bus,
    /// Its subtype as written, such as `lsilogic`.
    pub subtype: Option<String>,
    /// Its number among the controllers of its bus: `Address`, else `BusNumber`, else the order.
    /// For IDE it is the channel: 0 primary, 1 secondary.
    pub number: u32,
}

/// A file of the package that a device uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageFile {
    /// The id of the `File`.
    pub id: String,
    /// The href as written; resolve it with [`crate::resolve_parts`].
    pub href: String,
    /// The stated size in bytes: a hint, the archive decides.
    pub size_bytes: Option<u64>,
    /// The size of a chunk in bytes, if the file is cut.
    pub chunk_bytes: Option<u64>,
    /// How it is stored: identity or gzip.
    pub compression: Compression,
}

impl PackageFile {
    /// The number of chunks, if the file is cut and its size is stated.
    pub(crate) fn chunk_count(&self) -> Option<u64> {
        let (size, chunk) = self.size_bytes.zip(self.chunk_bytes)?;
        size.checked_add(chunk.checked_sub(1)?)?.checked_div(chunk)
    }
}

/// A disk that another one differs from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParentDisk {
    /// The id of the `Disk`.
    pub id: String,
    /// Its file; `None` is an empty disk.
    pub file: Option<PackageFile>,
    /// Its format as stated.
    pub format: Option<ImageFormat>,
    /// Its capacity in bytes.
    pub capacity_bytes: Option<u64>,
}

/// One disk of a selected machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedDisk {
    /// The id of the `Disk`; `None` when the item names a file, or nothing.
    pub id: Option<String>,
    /// The item.
    pub item: Item,
    /// The file; `None` is an empty disk.
    pub file: Option<PackageFile>,
    /// The stated format: by `ovf:format`; `None` when it is absent or not known.
    pub format: Option<ImageFormat>,
    /// `ovf:format` as written.
    pub format_uri: Option<String>,
    /// The capacity in bytes as stated, not rounded; `None` where only the image can say.
    pub capacity_bytes: Option<u64>,
    /// The disks it differs from, nearest first; empty for a whole disk.
    pub parents: Vec<ParentDisk>,
    /// The controller it hangs on, if one can be found.
    pub controller: Option<Controller>,
    /// `AddressOnParent`, if it is a number.
    pub unit: Option<u32>,
}

impl SelectedDisk {
    /// The files that make the disk, the whole one first and its own last.
    pub(super) fn files(&self) -> impl Iterator<Item = &PackageFile> {
        let parents = self.parents.iter().rev().filter_map(|parent| parent.file.as_ref());
        parents.chain(&self.file)
    }
}

/// One CD or floppy drive of a selected machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    /// The item.
    pub item: Item,
    /// The image in it; `None` is an empty drive.
    pub file: Option<PackageFile>,
    /// The controller it hangs on, if one can be found.
    pub controller: Option<Controller>,
    /// `AddressOnParent`, if it is a number.
    pub unit: Option<u32>,
}

/// One network card of a selected machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// The item.
    pub item: Item,
    /// The first connection: the name of a network.
    pub network: Option<String>,
    /// The subtype as written, such as `VmxNet3`.
    pub model: Option<String>,
    /// VirtualBox's own word for the card, such as `82540EM`, which beats the model.
    pub adapter: Option<String>,
    /// The MAC address as written.
    pub mac: Option<String>,
    /// `slotInfo.pciSlotNumber`: the number that old Linux names the interface by.
    pub pci_slot: Option<u32>,
}

/// One property with its resolved value.
#[derive(Clone, PartialEq, Eq)]
pub struct SelectedProperty {
    /// The full key.
    pub key: String,
    /// The type as written, else `string`.
    pub kind: String,
    /// The default of the configuration, with `${…}` as written.
    pub default: Option<String>,
    /// The value: the user's, else the default, with every `${…}` replaced; `None` has none.
    pub value: Option<String>,
    /// `Label`.
    pub label: Option<String>,
    /// Whether the writer meant the user to set it.
    pub user_configurable: bool,
    /// Whether the value must never be printed: it is a password, or a `${…}` put one in.
    pub password: bool,
    /// Whether the property was inherited from a collection.
    pub inherited: bool,
}

impl std::fmt::Debug for SelectedProperty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = |value: &Option<String>| match value {
            Some(_) if self.password => Some("***".to_owned()),
            other => other.clone(),
        };
        f.debug_struct("SelectedProperty")
            .field("key", &self.key)
            .field("kind", &self.kind)
            .field("default", &shown(&self.default))
            .field("value", &shown(&self.value))
            .field("user_configurable", &self.user_configurable)
            .finish_non_exhaustive()
    }
}

/// One machine of a selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectedSystem {
    /// The index of the system in [`crate::Envelope::systems`].
    pub index: usize,
    /// `ovf:id` as written.
    pub id: Option<String>,
    /// What the system is chosen by; unique in the selection.
    pub handle: String,
    /// `Name`, else the id, else `VirtualSystemIdentifier`.
    pub name: Option<String>,
    /// The guest operating system as stated.
    pub os: Option<GuestOs>,
    /// The items that survive, in document order; ends of ranges are not among them.
    pub items: Vec<Item>,
    /// The number of processors; `None` when no item states it.
    pub vcpus: Option<u32>,
    /// The smallest and greatest number of processors, where stated.
    pub vcpu_range: (Option<u64>, Option<u64>),
    /// The memory in bytes; `None` when no item states it.
    pub memory_bytes: Option<u64>,
    /// The smallest and greatest memory in bytes, where stated.
    pub memory_range_bytes: (Option<u64>, Option<u64>),
    /// Cores per socket, where stated.
    pub cores_per_socket: Option<u32>,
    /// Threads per core, where stated.
    pub threads_per_core: Option<u32>,
    /// The firmware, where stated.
    pub firmware: Option<Firmware>,
    /// Secure boot, where stated.
    pub secure_boot: Option<bool>,
    /// Whether there is a trusted platform module.
    pub tpm: bool,
    /// The disks, in the order of controller and position.
    pub disks: Vec<SelectedDisk>,
    /// The CD and DVD drives, in document order.
    pub cdroms: Vec<Drive>,
    /// The floppy drives, in document order.
    pub floppies: Vec<Drive>,
    /// The network cards, in document order.
    pub nics: Vec<Nic>,
    /// The properties: its own, then inherited ones.
    pub properties: Vec<SelectedProperty>,
    /// Whether an environment document must be handed to the guest.
    pub wants_environment: bool,
}
