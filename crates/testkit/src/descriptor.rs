//! Descriptors in the layout of VMware's exporter.

use std::fmt::Write as _;

/// A descriptor of one machine, put together piece by piece.
#[derive(Debug, Clone)]
pub struct Descriptor {
    name: String,
    os: String,
    items: String,
    settings: String,
    files: String,
    disks: String,
    sections: String,
    networks: Vec<String>,
    next_id: u32,
}

/// One `Item`: what stands between its tags, as pairs of a local name and a text.
#[must_use]
pub fn item(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().fold(String::new(), |mut text, (name, value)| {
        write!(text, "<rasd:{name}>{value}</rasd:{name}>").expect("a String takes every write");
        text
    });
    format!("<Item>{fields}</Item>")
}

impl Descriptor {
    /// A machine with one processor and 512 MiB that runs this guest (a `vmw:osType`).
    #[must_use]
    pub fn new(name: &str, os: &str) -> Self {
        let new = Self {
            name: name.to_owned(),
            os: os.to_owned(),
            items: String::new(),
            settings: String::new(),
            files: String::new(),
            disks: String::new(),
            sections: String::new(),
            networks: Vec::new(),
            next_id: 100,
        };
        new.item(&[("InstanceID", "1"), ("ResourceType", "3"), ("VirtualQuantity", "1")]).item(&[
            ("AllocationUnits", "byte * 2^20"),
            ("InstanceID", "2"),
            ("ResourceType", "4"),
            ("VirtualQuantity", "512"),
        ])
    }

    /// Adds an item.
    #[must_use]
    pub fn item(mut self, fields: &[(&str, &str)]) -> Self {
        self.items.push_str(&item(fields));
        self
    }

    /// Adds text as it is to the hardware section.
    #[must_use]
    pub fn raw_item(mut self, xml: &str) -> Self {
        self.items.push_str(xml);
        self
    }

    /// Adds a controller: 5 IDE, 6 SCSI, 20 SATA or NVMe.
    #[must_use]
    pub fn controller(self, id: &str, resource_type: &str, subtype: &str, number: &str) -> Self {
        let mut fields =
            vec![("Address", number), ("InstanceID", id), ("ResourceType", resource_type)];
        if !subtype.is_empty() {
            fields.push(("ResourceSubType", subtype));
        }
        self.item(&fields)
    }

    /// Adds a disk that is a file of the package, on a controller.
    #[must_use]
    pub fn disk(mut self, file: &str, capacity_bytes: u64, parent: &str, unit: &str) -> Self {
        let number = self.next_id;
        writeln!(self.files, r#"<File ovf:href="{file}" ovf:id="file{number}"/>"#)
            .expect("a String takes every write");
        writeln!(
            self.disks,
            r#"<Disk ovf:capacity="{capacity_bytes}" ovf:diskId="disk{number}" ovf:fileRef="file{number}" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>"#
        )
        .expect("a String takes every write");
        self.disk_item(parent, unit)
    }

    /// Adds attributes to a file of the package, such as `ovf:compression="gzip"`.
    #[must_use]
    pub fn file_attributes(mut self, file: &str, attributes: &str) -> Self {
        let plain = format!(r#"<File ovf:href="{file}""#);
        assert!(self.files.contains(&plain), "{file} is a file of the package");
        self.files = self.files.replace(&plain, &format!("{plain} {attributes}"));
        self
    }

    /// Makes the last disk a delta to one that is this file of the package, and no machine's own.
    #[must_use]
    pub fn above(mut self, file: &str, capacity_bytes: u64) -> Self {
        let last = format!(r#"ovf:diskId="disk{}""#, self.next_id - 1);
        assert!(self.disks.contains(&last), "a disk was added");
        self.disks = self.disks.replace(&last, &format!(r#"{last} ovf:parentRef="{file}""#));
        writeln!(self.files, r#"<File ovf:href="{file}" ovf:id="{file}"/>"#)
            .expect("a String takes every write");
        writeln!(
            self.disks,
            r#"<Disk ovf:capacity="{capacity_bytes}" ovf:diskId="{file}" ovf:fileRef="{file}" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>"#
        )
        .expect("a String takes every write");
        self
    }

    /// Adds a file of the package that no disk is.
    #[must_use]
    pub fn file(mut self, file: &str) -> Self {
        writeln!(self.files, r#"<File ovf:href="{file}" ovf:id="{file}"/>"#)
            .expect("a String takes every write");
        self
    }

    /// Adds an entry of the disk section that no item names yet: an empty disk of this id.
    #[must_use]
    pub fn loose_disk(mut self, id: &str, capacity_bytes: u64) -> Self {
        writeln!(self.disks, r#"<Disk ovf:capacity="{capacity_bytes}" ovf:diskId="{id}"/>"#)
            .expect("a String takes every write");
        self
    }

    /// Adds an empty disk, on a controller.
    #[must_use]
    pub fn empty_disk(mut self, capacity_bytes: u64, parent: &str, unit: &str) -> Self {
        let number = self.next_id;
        writeln!(
            self.disks,
            r#"<Disk ovf:capacity="{capacity_bytes}" ovf:diskId="disk{number}"/>"#
        )
        .expect("a String takes every write");
        self.disk_item(parent, unit)
    }

    fn disk_item(mut self, parent: &str, unit: &str) -> Self {
        let id = self.next_id.to_string();
        self.next_id += 1;
        self.item(&[
            ("AddressOnParent", unit),
            ("HostResource", &format!("ovf:/disk/disk{id}")),
            ("InstanceID", &id),
            ("Parent", parent),
            ("ResourceType", "17"),
        ])
    }

    /// Adds an empty CD drive, on a controller.
    #[must_use]
    pub fn cdrom(mut self, parent: &str, unit: &str) -> Self {
        let id = self.next_id.to_string();
        self.next_id += 1;
        self.item(&[
            ("AddressOnParent", unit),
            ("InstanceID", &id),
            ("Parent", parent),
            ("ResourceType", "15"),
        ])
    }

    /// Adds a network card.
    #[must_use]
    pub fn nic(self, model: &str, network: &str) -> Self {
        self.card(model, network, "")
    }

    /// Adds a network card in this slot, a `slotInfo.pciSlotNumber` as VMware writes it.
    #[must_use]
    pub fn nic_in_slot(self, model: &str, network: &str, slot: &str) -> Self {
        let config = format!(
            r#"<vmw:Config ovf:required="false" vmw:key="slotInfo.pciSlotNumber" vmw:value="{slot}"/>"#
        );
        self.card(model, network, &config)
    }

    fn card(mut self, model: &str, network: &str, config: &str) -> Self {
        let id = self.next_id.to_string();
        self.next_id += 1;
        if !self.networks.iter().any(|there| there == network) {
            self.networks.push(network.to_owned());
        }
        let card = item(&[
            ("Connection", network),
            ("InstanceID", &id),
            ("ResourceSubType", model),
            ("ResourceType", "10"),
        ]);
        self.raw_item(&card.replace("</Item>", &format!("{config}</Item>")))
    }

    /// Adds a `vmw:Config` setting of the machine.
    #[must_use]
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        write!(self.settings, r#"<vmw:Config vmw:key="{key}" vmw:value="{value}"/>"#)
            .expect("a String takes every write");
        self
    }

    /// Adds text as it is to the virtual system.
    #[must_use]
    pub fn section(mut self, xml: &str) -> Self {
        self.sections.push_str(xml);
        self
    }

    /// The descriptor.
    #[must_use]
    pub fn xml(&self) -> String {
        let Self { name, os, items, settings, files, disks, sections, networks, .. } = self;
        let networks: String =
            networks.iter().map(|name| format!(r#"<Network ovf:name="{name}"/>"#)).collect();
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
<References>{files}</References>
<DiskSection><Info>disks</Info>{disks}</DiskSection>
<NetworkSection><Info>networks</Info>{networks}</NetworkSection>
<VirtualSystem ovf:id="{name}"><Info>machine</Info><Name>{name}</Name>
<OperatingSystemSection ovf:id="1" vmw:osType="{os}"><Info>guest</Info></OperatingSystemSection>
<VirtualHardwareSection><Info>hardware</Info>
<System><vssd:ElementName>x</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID><vssd:VirtualSystemType>vmx-14</vssd:VirtualSystemType></System>
{items}{settings}</VirtualHardwareSection>
{sections}</VirtualSystem>
</Envelope>
"#
        )
    }
}
