//! One item of a hardware section.

use code::Code;

use super::{Setting, hardware, reader::Reader};
use crate::{
    quote,
    xml::{self, Element, Space},
};

/// How many words of a subtype count (ours; real lists have two).
const MAX_SUBTYPE_WORDS: usize = 16;

/// The resource types that the hardware map names (CIM `ResourceType`, DSP0243 table 2).
pub mod resource {
    /// Other: the subtype or `OtherResourceType` says what.
    pub const OTHER: u32 = 1;
    /// Processor.
    pub const PROCESSOR: u32 = 3;
    /// Memory.
    pub const MEMORY: u32 = 4;
    /// IDE controller.
    pub const IDE_CONTROLLER: u32 = 5;
    /// Parallel SCSI controller.
    pub const SCSI_CONTROLLER: u32 = 6;
    /// Ethernet adapter.
    pub const ETHERNET: u32 = 10;
    /// Floppy drive.
    pub const FLOPPY: u32 = 14;
    /// CD drive.
    pub const CD_DRIVE: u32 = 15;
    /// DVD drive.
    pub const DVD_DRIVE: u32 = 16;
    /// Disk drive.
    pub const DISK_DRIVE: u32 = 17;
    /// Storage extent.
    pub const STORAGE_EXTENT: u32 = 19;
    /// Other storage device: in practice a SATA or NVMe controller.
    pub const OTHER_STORAGE: u32 = 20;
    /// Serial port.
    pub const SERIAL_PORT: u32 = 21;
    /// USB controller.
    pub const USB_CONTROLLER: u32 = 23;
    /// Graphics controller.
    pub const GRAPHICS: u32 = 24;
    /// Logical disk (OVF 2).
    pub const LOGICAL_DISK: u32 = 31;
    /// Storage volume (OVF 2).
    pub const STORAGE_VOLUME: u32 = 32;
    /// Ethernet connection (OVF 2).
    pub const ETHERNET_CONNECTION: u32 = 33;
}

/// Which element the item was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ItemKind {
    #[default]
    /// `Item` (CIM `ResourceAllocationSettingData`).
    Item,
    /// `StorageItem` of OVF 2 (CIM `StorageAllocationSettingData`).
    Storage,
    /// `EthernetPortItem` of OVF 2 (CIM `EthernetPortAllocationSettingData`).
    EthernetPort,
}

/// Whether the item states the value or an end of its range (`ovf:bound`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Bound {
    /// The value that is built.
    #[default]
    Normal,
    /// The smallest value allowed.
    Min,
    /// The greatest value allowed.
    Max,
}

/// A number of an item, as it is written and as it is read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quantity {
    /// The text, trimmed.
    pub text: String,
    /// The number, if the text is an unsigned one below 2^64.
    pub value: Option<u64>,
}

impl Quantity {
    /// Reads a number: digits, with a plus sign at most.
    pub(crate) fn read(text: &str) -> Self {
        let text = text.trim();
        let digits = text.strip_prefix('+').unwrap_or(text);
        let value = if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            digits.parse().ok()
        } else {
            None
        };
        Self { text: text.to_owned(), value }
    }
}

/// Where an item stands in the descriptor.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The line of the start tag, counted from 1.
    pub line: u64,
    /// The path, such as `/VirtualSystem[demo]/VirtualHardwareSection/Item[5]`; ids are escaped.
    pub path: String,
}

/// One `Item`, `StorageItem` or `EthernetPortItem` with everything the hardware map needs.
///
/// Texts are trimmed, and an empty one is absent. Names that carry `ID` or `Id` are one name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Item {
    /// Which element it was.
    pub kind: ItemKind,
    /// `InstanceID`: an opaque text, not always unique, sometimes absent.
    pub instance_id: Option<String>,
    /// `ResourceType` as a number; the constants are in [`resource`].
    pub resource_type: Option<u32>,
    /// `OtherResourceType`.
    pub other_resource_type: Option<String>,
    /// `ResourceSubType` as written: one word, or a list with spaces or commas.
    pub subtype: Option<String>,
    /// `ElementName`.
    pub element_name: Option<String>,
    /// `Caption`.
    pub caption: Option<String>,
    /// `Description`.
    pub description: Option<String>,
    /// `Address`: the number of a controller, or the MAC address of a network card.
    pub address: Option<String>,
    /// `BusNumber` of OVF 0.9, beside or instead of `Address`.
    pub bus_number: Option<String>,
    /// `AddressOnParent`.
    pub address_on_parent: Option<String>,
    /// `Parent`: the instance id of the controller.
    pub parent: Option<String>,
    /// `VirtualQuantity`.
    pub quantity: Option<Quantity>,
    /// `Reservation`.
    pub reservation: Option<Quantity>,
    /// `Limit`.
    pub limit: Option<Quantity>,
    /// `Weight`.
    pub weight: Option<Quantity>,
    /// `AllocationUnits`: the unit of the quantity, the reservation and the limit.
    pub units: Option<String>,
    /// `VirtualQuantityUnits` of OVF 2: the unit of the quantity alone.
    pub quantity_units: Option<String>,
    /// `HostResource` texts, in order.
    pub host_resources: Vec<String>,
    /// `Connection` texts, in order: names of networks.
    pub connections: Vec<String>,
    /// `AutomaticAllocation`: connected when the machine starts.
    pub automatic_allocation: Option<bool>,
    /// The ids of the configurations the item is made for; empty is all of them.
    pub configurations: Vec<String>,
    /// The value itself, or an end of its range.
    pub bound: Bound,
    /// `ovf:required`; `None` when the attribute is absent.
    pub required: Option<bool>,
    /// `vmw:CoresPerSocket`.
    pub cores_per_socket: Option<Quantity>,
    /// `vmw:Config` settings of the item.
    pub config: Vec<Setting>,
    /// The MAC address as written: oVirt's `MACAddress`, else the `Address` of a network card.
    pub mac: Option<String>,
    /// oVirt: `<Type>`, such as `disk`, `video`, `rng`.
    pub ovirt_type: Option<String>,
    /// oVirt: `<Device>`, such as `memballoon`.
    pub ovirt_device: Option<String>,
    /// oVirt: `BootOrder`.
    pub boot_order: Option<u32>,
    /// oVirt: `num_of_sockets`.
    pub sockets: Option<Quantity>,
    /// oVirt: `cpu_per_socket`.
    pub cpu_per_socket: Option<Quantity>,
    /// oVirt: `threads_per_cpu`.
    pub threads_per_cpu: Option<Quantity>,
    /// Where the item stands.
    pub origin: Origin,
}

impl Item {
    /// The name to show: `ElementName`, else `Caption`, else `Description`, else `RT n`.
    ///
    /// Never a name to decide by.
    #[must_use]
    pub fn display_name(&self) -> String {
        [&self.element_name, &self.caption, &self.description]
            .into_iter()
            .flatten()
            .next()
            .cloned()
            .unwrap_or_else(|| self.resource_type.map_or("item".into(), |rt| format!("RT {rt}")))
    }

    /// The unit of the quantity as written.
    #[must_use]
    pub fn unit_of_quantity(&self) -> Option<&str> {
        self.quantity_units.as_deref().or(self.units.as_deref())
    }

    /// The value of a `vmw:Config` key of the item, without regard to the case of the key.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&str> {
        hardware::find(&self.config, key)
    }

    /// The first 16 words of the subtype: split at blanks and commas, in lower case.
    #[must_use]
    pub fn subtype_words(&self) -> Vec<String> {
        self.subtype
            .iter()
            .flat_map(|text| text.split([' ', ',', '\t', '\n']))
            .filter(|word| !word.is_empty())
            .take(MAX_SUBTYPE_WORDS)
            .map(str::to_lowercase)
            .collect()
    }
}

/// Elements that say nothing about the machine that is built.
const IGNORED: [&str; 23] = [
    "ApplicationList",
    "ChangeableType",
    "ConfigurationName",
    "ConsumerVisibility",
    "CreationDate",
    "DefaultEndpointMode",
    "DesiredVLANEndpointMode",
    "HostExtentName",
    "Info",
    "InstructionSet",
    "InstructionSetExtensionName",
    "LastModified",
    "MappingBehavior",
    "Name",
    "NetworkPortProfileID",
    "NetworkPortProfileIDType",
    "OtherEndpointMode",
    "PoolID",
    "SpecParams",
    "StorageId",
    "StoragePoolId",
    "Template",
    "last_modified_date",
];

impl Item {
    /// Reads an item; `kind` is the element that it is.
    pub(super) fn read(
        element: &Element,
        kind: ItemKind,
        origin: Origin,
        reader: &mut Reader,
    ) -> Self {
        let mut item = Self {
            kind,
            configurations: reader.words(element, "configuration"),
            required: element.required(),
            origin,
            ..Self::default()
        };
        item.read_bound(element, reader);
        let mut unread = Vec::new();
        for child in &element.children {
            if !item.read_child(child, reader) {
                unread.push(child);
            }
        }
        item.config = hardware::settings(element, "Config");
        item.note_unread(&unread, reader);
        let is_card =
            matches!(item.resource_type, Some(resource::ETHERNET | resource::ETHERNET_CONNECTION));
        if item.mac.is_none() && is_card {
            item.mac.clone_from(&item.address);
        }
        item
    }

    fn read_bound(&mut self, element: &Element, reader: &mut Reader) {
        self.bound = match element.filled("bound").as_deref() {
            None | Some("normal") => Bound::Normal,
            Some("min") => Bound::Min,
            Some("max") => Bound::Max,
            Some(other) => {
                let message = format!("the bound {} is read as normal", quote::Quoted(other));
                reader.note(Code::W0610, message, &self.origin);
                Bound::Normal
            }
        };
    }

    /// Reads one child; false if it is not one that is known.
    fn read_child(&mut self, child: &Element, reader: &mut Reader) -> bool {
        if child.space == Space::Vmware {
            return match child.name.as_str() {
                "Config" => true,
                "CoresPerSocket" => {
                    self.cores_per_socket = child.filled_text().map(|t| Quantity::read(&t));
                    true
                }
                _ => false,
            };
        }
        if !child.space.is_standard() {
            return false;
        }
        let Some(text) = reader.own_text(child) else { return says_nothing(child) };
        self.read_text(&child.name, text, reader)
    }

    fn read_text(&mut self, name: &str, text: String, reader: &mut Reader) -> bool {
        let field = match name {
            "InstanceID" | "InstanceId" => &mut self.instance_id,
            "OtherResourceType" => &mut self.other_resource_type,
            "ResourceSubType" | "ResourceSubtype" => &mut self.subtype,
            "ElementName" => &mut self.element_name,
            "Caption" => &mut self.caption,
            "Description" => &mut self.description,
            "Address" => &mut self.address,
            "BusNumber" => &mut self.bus_number,
            "AddressOnParent" => &mut self.address_on_parent,
            "Parent" => &mut self.parent,
            "AllocationUnits" => &mut self.units,
            "VirtualQuantityUnits" => &mut self.quantity_units,
            "MACAddress" => &mut self.mac,
            "Type" => &mut self.ovirt_type,
            "Device" => &mut self.ovirt_device,
            _ => return self.read_value(name, &text, reader),
        };
        if field.is_none() {
            *field = Some(text);
        } else {
            let message = format!("{name} is stated twice, the first is taken");
            reader.note(Code::W0610, message, &self.origin);
        }
        true
    }

    fn read_value(&mut self, name: &str, text: &str, reader: &mut Reader) -> bool {
        let field = match name {
            "VirtualQuantity" => &mut self.quantity,
            "Reservation" => &mut self.reservation,
            "Limit" => &mut self.limit,
            "Weight" => &mut self.weight,
            "num_of_sockets" => &mut self.sockets,
            "cpu_per_socket" => &mut self.cpu_per_socket,
            "threads_per_cpu" => &mut self.threads_per_cpu,
            _ => return self.read_other(name, text, reader),
        };
        if field.is_none() {
            *field = Some(Quantity::read(text));
        } else {
            let message = format!("{name} is stated twice, the first is taken");
            reader.note(Code::W0610, message, &self.origin);
        }
        true
    }

    fn read_other(&mut self, name: &str, text: &str, reader: &mut Reader) -> bool {
        match name {
            "HostResource" => self.host_resources.push(text.to_owned()),
            "Connection" => self.connections.push(text.to_owned()),
            "AutomaticAllocation" => self.automatic_allocation = xml::boolean(text),
            "BootOrder" => self.boot_order = text.parse().ok(),
            "ResourceType" => {
                self.resource_type = text.parse().ok();
                if self.resource_type.is_none() {
                    let message = format!("ResourceType {} is no number", quote::Quoted(text));
                    reader.note(Code::W0610, message, &self.origin);
                }
            }
            ignored => return IGNORED.contains(&ignored),
        }
        true
    }

    fn note_unread(&self, unread: &[&Element], reader: &mut Reader) {
        for child in unread {
            let (code, what) = match child.required() {
                Some(true) => (Code::E0305, "required element"),
                _ => (Code::W0204, "element"),
            };
            let message = format!("the {what} {} is not read", quote::Quoted(&child.name));
            reader.note(code, message, &self.origin);
            if let Some(finding) = reader.findings.last_mut() {
                finding.item = Some(format!("element.{}", quote::Plain(&child.name)));
            }
        }
    }
}

/// Tells an element without text that may be passed over: an empty one is absent, whatever its name.
fn says_nothing(element: &Element) -> bool {
    element.children.is_empty() || IGNORED.contains(&element.name.as_str())
}
