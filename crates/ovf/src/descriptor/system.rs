//! One virtual system.

use code::Code;

use super::{
    Hardware, Origin, Product, UnknownSection, VboxMachine,
    reader::{Reader, section_name},
};
use crate::{
    quote,
    xml::{Element, Space},
};

/// `OperatingSystemSection`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GuestOs {
    /// `ovf:id`: the CIM `OsType`, if it is a number.
    pub cim_id: Option<u32>,
    /// `ovf:version`.
    pub version: Option<String>,
    /// `vmw:osType`, such as `debian10_64Guest`.
    pub vmware: Option<String>,
    /// `vbox:OSType`, such as `Debian_64`.
    pub vbox: Option<String>,
    /// `Description`.
    pub description: Option<String>,
}

/// A device of the boot order, first one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootEntry {
    /// The kind of device as written (`disk`, `cdrom`, `net`, `HardDisk`), if it is stated.
    pub device: Option<String>,
    /// The instance id of the item, if it is stated.
    pub instance_id: Option<String>,
}

/// One `VirtualSystem`, wherever in the collections it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VirtualSystem {
    /// `ovf:id` as written; `None` when it is absent or empty.
    pub id: Option<String>,
    /// What the system is chosen by: the id if there is one and it is the only one of that text,
    /// else `vm1`, `vm2` … in document order.
    pub handle: String,
    /// `Name`.
    pub name: Option<String>,
    /// `Info`.
    pub info: Option<String>,
    /// The ids of the collections around it, outermost first.
    pub collections: Vec<String>,
    /// The guest operating system, if a section states it.
    pub os: Option<GuestOs>,
    /// The hardware; empty when the system has no hardware section.
    pub hardware: Hardware,
    /// Product sections: its own, then those inherited from collections.
    pub products: Vec<Product>,
    /// The texts of the licences that bind it: its own, then those of its collections.
    pub eulas: Vec<String>,
    /// `Annotation`, else oVirt's `Description`.
    pub annotation: Option<String>,
    /// The boot order, if one is stated.
    pub boot_order: Vec<BootEntry>,
    /// Sections that are not read.
    pub sections: Vec<UnknownSection>,
    /// VirtualBox's own description of the machine, which beats the items.
    pub vbox: Option<VboxMachine>,
    /// Where it stands.
    pub origin: Origin,
}

impl VirtualSystem {
    /// The name to show: `Name`, else the id, else `VirtualSystemIdentifier`.
    #[must_use]
    pub fn display_name(&self) -> Option<&str> {
        self.name.as_deref().or(self.id.as_deref()).or(self.hardware.identifier.as_deref())
    }
}

/// What the collections around a system hand down to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    /// The ids of the collections, outermost first.
    pub(super) collections: Vec<String>,
    /// How much text they hand down, in bytes.
    pub(super) text_bytes: usize,
    /// Their product sections, innermost first.
    pub(super) products: Vec<Product>,
    /// Their licences.
    pub(super) eulas: Vec<String>,
}

impl VirtualSystem {
    /// Reads one system; its handle is given later, when all ids are known.
    pub(super) fn read(element: &Element, around: &Surroundings, reader: &mut Reader) -> Self {
        let id = element.filled("id");
        let shown = id.clone().unwrap_or_default();
        let path = format!("/VirtualSystem[{}]", quote::Plain(&shown));
        let origin = Origin { line: element.line, path };
        if id.is_none() {
            reader.note(Code::W0610, "a virtual system without an id", &origin);
        }
        let mut system = Self {
            id,
            name: reader.text(element, "Name"),
            info: reader.text(element, "Info"),
            collections: around.collections.clone(),
            origin,
            ..Self::default()
        };
        system.read_sections(element, reader);
        system.read_ovirt(element);
        system.inherit(around);
        system
    }

    fn read_sections(&mut self, element: &Element, reader: &mut Reader) {
        let path = self.origin.path.clone();
        let mut hardware = Vec::new();
        for child in &element.children {
            match (&child.space, section_name(child).unwrap_or(&child.name)) {
                (Space::Vmware, "BootOrderSection") => self.read_vmware_boot(child),
                (Space::Vbox, "Machine") => self.vbox = Some(VboxMachine::read(child)),
                (space, _) if !space.is_standard() => {
                    self.sections.push(reader.unknown_section(child, &path));
                }
                (_, "VirtualHardwareSection") => hardware.push(child),
                (_, "OperatingSystemSection") => self.os = Some(GuestOs::read(child, reader)),
                (_, "ProductSection") => self.products.push(Product::read(child, &path, reader)),
                (_, "EulaSection") => self.eulas.extend(reader.text(child, "License")),
                (_, "AnnotationSection") => self.annotation = reader.text(child, "Annotation"),
                (_, "BootDeviceSection") => self.read_boot_devices(child),
                // Read by the envelope: a disk section at the wrong place, message bundles.
                (_, "DiskSection" | "Strings") => {}
                (_, name) if name.ends_with("Section") => {
                    self.sections.push(reader.unknown_section(child, &path));
                }
                _ => {}
            }
        }
        if hardware.is_empty() {
            reader.note(Code::W0610, "a virtual system without hardware", &self.origin);
        }
        self.hardware = Hardware::read(&hardware, &path, reader);
        if let Some(vbox) = &self.vbox
            && vbox.os_type.is_some()
        {
            self.os.get_or_insert_default().vbox.clone_from(&vbox.os_type);
        }
    }

    fn read_vmware_boot(&mut self, section: &Element) {
        self.boot_order.push(BootEntry {
            device: section.own_attribute("type").map(str::to_owned),
            instance_id: section.own_attribute("instanceId").map(|id| id.trim().to_owned()),
        });
    }

    /// OVF 2, DSP0243 9.15: boot sources name the instance ids of items.
    fn read_boot_devices(&mut self, section: &Element) {
        for setting in section.all("CIM_BootConfigSetting") {
            for source in setting.all("CIM_BootSourceSetting") {
                let id = source.first("InstanceID").and_then(Element::filled_text);
                let device = source.first("Caption").and_then(Element::filled_text);
                self.boot_order.push(BootEntry { device, instance_id: id });
            }
        }
    }

    fn read_ovirt(&mut self, element: &Element) {
        let text = |name| element.first(name).and_then(Element::filled_text);
        self.hardware.ovirt_bios_type = text("BiosType").and_then(|value| value.parse().ok());
        if self.annotation.is_none() {
            self.annotation = text("Description");
        }
    }

    /// Product sections of a class that the system has not, and every licence.
    fn inherit(&mut self, around: &Surroundings) {
        let own: Vec<_> = self.products.iter().map(|product| product.class.clone()).collect();
        let inherited = around.products.iter().filter(|product| !own.contains(&product.class));
        self.products.extend(inherited.cloned());
        self.eulas.extend(around.eulas.iter().cloned());
    }
}

impl GuestOs {
    fn read(section: &Element, reader: &mut Reader) -> Self {
        let vbox = section.all_in(&Space::Vbox, "OSType").next().and_then(Element::filled_text);
        Self {
            cim_id: section.filled("id").and_then(|id| id.parse().ok()),
            version: section.filled("version"),
            vmware: section.attribute_in(&Space::Vmware, "osType").map(|os| os.trim().to_owned()),
            vbox,
            description: reader.text(section, "Description"),
        }
    }
}

/// Gives every system a handle that no other has.
pub(super) fn give_handles(systems: &mut [VirtualSystem]) {
    let ids: Vec<Option<String>> = systems.iter().map(|system| system.id.clone()).collect();
    let mut numbers = 1_u32..;
    for system in systems {
        let unique = system
            .id
            .clone()
            .filter(|id| ids.iter().filter(|other| other.as_ref() == Some(id)).count() == 1);
        system.handle = unique.unwrap_or_else(|| {
            numbers
                .by_ref()
                .map(|number| format!("vm{number}"))
                .find(|handle| !ids.iter().flatten().any(|id| id == handle))
                .unwrap_or_default()
        });
    }
}
