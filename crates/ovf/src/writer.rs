//! Writing a descriptor: OVF 1.1 in the dialect of VMware's exporter (DSP0243 1.1.1).
//!
//! [`Document`] holds what is to be said, in the words of OVF; [`Document::write`] says it. The same
//! document gives the same text.

mod item;

use ::xml::Element;

use crate::Error;

pub use item::{Item, Setting};

/// The namespace of OVF 1.x.
const OVF: &str = "http://schemas.dmtf.org/ovf/envelope/1";
const RASD: &str =
    "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData";
const VSSD: &str = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData";
const VMW: &str = "http://www.vmware.com/schema/ovf";

/// What VMware calls the format of a streamOptimized VMDK.
const STREAM_OPTIMIZED: &str =
    "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized";

/// A package of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The files, in the order in which they stand in the package.
    pub files: Vec<File>,
    /// The disks.
    pub disks: Vec<Disk>,
    /// The names of the networks.
    pub networks: Vec<String>,
    /// The machine.
    pub system: System,
}

/// A file of the package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its id.
    pub id: String,
    /// Its name, a plain one.
    pub href: String,
    /// Its length.
    pub size_bytes: u64,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its id, which an item names.
    pub id: String,
    /// The id of its file, a streamOptimized VMDK.
    pub file_id: String,
    /// The size of the guest's disk.
    pub capacity_bytes: u64,
    /// Guest bytes that are not zeros.
    pub populated_bytes: u64,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct System {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Free text for people.
    pub annotation: Option<String>,
    /// What runs inside.
    pub os: Os,
    /// The family of virtual hardware, such as `vmx-14`.
    pub hardware: String,
    /// Processors, memory, controllers and devices.
    pub items: Vec<Item>,
    /// Settings of the whole machine.
    pub settings: Vec<Setting>,
    /// The items that the firmware tries, in order; empty leaves it to the reader.
    pub boot_order: Vec<u32>,
}

/// What runs inside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Os {
    /// The number of CIM's `OsType`.
    pub cim_id: u16,
    /// VMware's id.
    pub vmware: Option<String>,
    /// The name for people.
    pub description: String,
}

impl Document {
    /// Writes the descriptor, with an XML declaration and a final newline.
    ///
    /// # Errors
    /// The XML library failed: memory is the only thing written to.
    pub fn write(&self) -> Result<String, Error> {
        let text = self.envelope().print()?;
        Ok(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{text}"))
    }

    fn envelope(&self) -> Element<'_> {
        Element::new("Envelope")
            .with("xmlns", OVF)
            .with("xmlns:ovf", OVF)
            .with("xmlns:rasd", RASD)
            .with("xmlns:vmw", VMW)
            .with("xmlns:vssd", VSSD)
            .holding([self.references(), self.disk_section(), self.network_section()])
            .holding([self.system.element()])
    }

    fn references(&self) -> Element<'_> {
        Element::new("References").holding(self.files.iter().map(|file| {
            Element::new("File")
                .with("ovf:href", file.href.as_str())
                .with("ovf:id", file.id.as_str())
                .with_number("ovf:size", file.size_bytes)
        }))
    }

    fn disk_section(&self) -> Element<'_> {
        let disks = self.disks.iter().map(|disk| {
            Element::new("Disk")
                .with_number("ovf:capacity", disk.capacity_bytes)
                .with("ovf:capacityAllocationUnits", "byte")
                .with("ovf:diskId", disk.id.as_str())
                .with("ovf:fileRef", disk.file_id.as_str())
                .with("ovf:format", STREAM_OPTIMIZED)
                .with_number("ovf:populatedSize", disk.populated_bytes)
        });
        Element::new("DiskSection")
            .holding([Element::text("Info", "Virtual disk information")])
            .holding(disks)
    }

    fn network_section(&self) -> Element<'_> {
        let networks = self.networks.iter().map(|name| {
            Element::new("Network")
                .with("ovf:name", name.as_str())
                .holding([Element::text("Description", format!("The {name} network"))])
        });
        Element::new("NetworkSection")
            .holding([Element::text("Info", "The list of logical networks")])
            .holding(networks)
    }
}

impl System {
    fn element(&self) -> Element<'_> {
        let annotation = self.annotation.as_deref().map(|text| {
            Element::new("AnnotationSection").holding([
                Element::text("Info", "A human-readable annotation"),
                Element::text("Annotation", text),
            ])
        });
        Element::new("VirtualSystem")
            .with("ovf:id", self.id.as_str())
            .holding([Element::text("Info", "A virtual machine")])
            .holding([Element::text("Name", self.name.as_str()), self.os.element()])
            .holding([self.hardware_section()])
            .holding(annotation)
            .holding(self.boot_order.iter().map(|id| boot_entry(*id)))
    }

    fn hardware_section(&self) -> Element<'_> {
        let family = Element::new("System").holding([
            Element::text("vssd:ElementName", "Virtual Hardware Family"),
            Element::text("vssd:InstanceID", "0"),
            Element::text("vssd:VirtualSystemIdentifier", self.name.as_str()),
            Element::text("vssd:VirtualSystemType", self.hardware.as_str()),
        ]);
        Element::new("VirtualHardwareSection")
            .holding([Element::text("Info", "Virtual hardware requirements"), family])
            .holding(self.items.iter().map(Item::element))
            .holding(self.settings.iter().map(Setting::element))
    }
}

/// One device that the firmware tries, as VMware writes it.
fn boot_entry(id: u32) -> Element<'static> {
    Element::new("vmw:BootOrderSection")
        .with("ovf:required", "false")
        .with_number("vmw:instanceId", id)
        .holding([Element::text("Info", "Virtual hardware device boot order")])
}

impl Os {
    fn element(&self) -> Element<'_> {
        let section = Element::new("OperatingSystemSection").with_number("ovf:id", self.cim_id);
        let section = match &self.vmware {
            Some(id) => section.with("vmw:osType", id.as_str()),
            None => section,
        };
        section.holding([
            Element::text("Info", "The kind of installed guest operating system"),
            Element::text("Description", self.description.as_str()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Choices, Envelope};

    fn document() -> Document {
        Document {
            files: vec![File { id: "file1".into(), href: "vm-disk1.vmdk".into(), size_bytes: 7 }],
            disks: vec![Disk {
                id: "vmdisk1".into(),
                file_id: "file1".into(),
                capacity_bytes: 1 << 30,
                populated_bytes: 65536,
            }],
            networks: vec!["a & b".into()],
            system: System {
                id: "vm".into(),
                name: "<vm>".into(),
                annotation: Some("two\nlines".into()),
                os: Os {
                    cim_id: 96,
                    vmware: Some("debian12_64Guest".into()),
                    description: "Debian 12".into(),
                },
                hardware: "vmx-14".into(),
                items: vec![
                    Item::processors(2, Some(2)),
                    Item::memory(512),
                    Item {
                        subtype: Some("VirtualSCSI".into()),
                        address: Some("0".into()),
                        ..Item::new(3, 6, "SCSI Controller 0")
                    },
                    Item {
                        host_resource: Some("ovf:/disk/vmdisk1".into()),
                        parent: Some(3),
                        address_on_parent: Some(0),
                        ..Item::new(4, 17, "Hard disk 1")
                    },
                ],
                settings: vec![Setting::new("firmware", "efi")],
                boot_order: vec![4],
            },
        }
    }

    #[test]
    fn our_own_reader_reads_what_is_written() {
        let text = document().write().unwrap();
        let envelope = Envelope::parse(text.as_bytes()).unwrap();
        assert_eq!(envelope.findings, [], "{text}");
        let selection = envelope.select(&Choices::default()).unwrap();
        let system = &selection.systems[0];
        assert_eq!(system.name.as_deref(), Some("<vm>"));
        assert_eq!((system.vcpus, system.cores_per_socket), (Some(2), Some(2)));
        assert_eq!(system.memory_bytes, Some(512 << 20));
        assert_eq!(system.disks[0].capacity_bytes, Some(1 << 30));
        assert_eq!(system.disks[0].file.as_ref().unwrap().href, "vm-disk1.vmdk");
        assert_eq!(selection.networks, ["a & b"]);
    }

    #[test]
    fn children_of_an_item_are_in_the_order_of_the_schema() {
        let text = document().write().unwrap();
        for item in text.split("<Item").skip(1) {
            let item = item.split("</Item>").next().unwrap();
            let names: Vec<&str> =
                item.split("<rasd:").skip(1).map(|part| part.split('>').next().unwrap()).collect();
            assert!(names.is_sorted(), "{names:?}");
        }
    }
}
