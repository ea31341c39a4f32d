//! Disks in true order, and drives.

use code::Code;

use super::{
    Bus, Controller, Drive, PackageFile, ParentDisk, SelectedDisk, Selector, at_most,
    controllers::Controllers,
    item_error,
    package::{Package, Reference},
    properties::Properties,
};
use crate::{
    Error, Kind,
    descriptor::{Disk, Item, Quantity, VirtualSystem, resource},
    quote,
    units::ByteUnit,
};

/// The most disks of one machine (ours).
const MAX_DISKS: usize = 64;
/// The most CD drives, and the most floppy drives, of one machine (ours).
const MAX_DRIVES: usize = 64;
/// The greatest disk in bytes (ours: 64 TiB).
const MAX_DISK_BYTES: u64 = 64 << 40;

pub(super) fn is_cd_drive(item: &Item) -> bool {
    matches!(item.resource_type, Some(resource::CD_DRIVE | resource::DVD_DRIVE))
}

pub(super) fn is_floppy_drive(item: &Item) -> bool {
    item.resource_type == Some(resource::FLOPPY)
}

impl<'a> Selector<'a> {
    /// The disks by controller, then position, then document order; those without a controller
    /// come last.
    pub(super) fn disks(
        &mut self,
        system: &VirtualSystem,
        items: &[&'a Item],
        (controllers, properties): (&Controllers, &Properties<'a>),
    ) -> Result<Vec<SelectedDisk>, Error> {
        let disks: Vec<&Item> = items.iter().copied().filter(|item| self.is_disk(item)).collect();
        at_most(MAX_DISKS, "disks", &disks)?;
        let mut ranked = Vec::new();
        for (position, item) in disks.into_iter().enumerate() {
            let mut disk = self.disk(item, properties)?;
            let rank = self.hang(&mut disk, (item, system), controllers);
            let last = (u64::MAX, usize::MAX);
            let unit = disk.unit.unwrap_or(u32::MAX);
            ranked.push(((rank.is_none(), rank.unwrap_or(last), unit, position), disk));
        }
        ranked.sort_by_key(|(key, _)| *key);
        Ok(ranked.into_iter().map(|(_, disk)| disk).collect())
    }

    /// Hangs a disk: where VirtualBox's own description says, else on the parent of its item, else
    /// on what oVirt calls its interface. Gives what it is sorted by, if it has a controller.
    fn hang(
        &mut self,
        disk: &mut SelectedDisk,
        (item, system): (&'a Item, &VirtualSystem),
        controllers: &Controllers,
    ) -> Option<(u64, usize)> {
        let described =
            disk.id.as_ref().and_then(|id| self.envelope.disks.iter().find(|d| d.id == *id));
        let image = described.and_then(|disk| disk.vbox_uuid.as_deref());
        if let (Some(machine), Some(image)) = (&system.vbox, image)
            && let Some(hung) = self.hung_by_virtualbox(machine, (image, item), controllers)
        {
            disk.controller = Some(hung.controller);
            disk.unit = hung.unit;
            return Some(hung.rank);
        }
        let parent = controllers.parent_of(item);
        let interface = described.and_then(|disk| disk.ovirt_interface.as_deref());
        disk.controller = match (parent, interface) {
            (Some(ranked), _) => Some(ranked.controller.clone()),
            (None, Some(interface)) => ovirt_controller(interface),
            (None, None) => None,
        };
        if disk.controller.is_none() && item.parent.is_some() {
            self.note(Code::W0610, "the parent of the disk is no controller", item);
        }
        parent.map(|ranked| ranked.rank)
    }

    /// The drives of one kind, in document order.
    pub(super) fn drives(
        &mut self,
        items: &[&'a Item],
        controllers: &Controllers,
        is_wanted: fn(&Item) -> bool,
    ) -> Result<Vec<Drive>, Error> {
        let drives: Vec<&Item> = items.iter().copied().filter(|item| is_wanted(item)).collect();
        at_most(MAX_DRIVES, "drives of one kind", &drives)?;
        let drives = drives
            .into_iter()
            .map(|item| Drive {
                item: item.clone(),
                file: self.medium(item),
                controller: controllers.parent_of(item).map(|ranked| ranked.controller.clone()),
                unit: unit_of(item),
            })
            .collect();
        Ok(drives)
    }

    /// A storage extent is a disk only when it refers to one.
    fn is_disk(&self, item: &Item) -> bool {
        match item.resource_type {
            Some(resource::DISK_DRIVE | resource::LOGICAL_DISK | resource::STORAGE_VOLUME) => true,
            Some(resource::STORAGE_EXTENT) => {
                item.host_resources.first().is_some_and(|text| match Reference::parse(text) {
                    Some(Reference::Disk(id)) => self.envelope.disks.iter().any(|d| d.id == id),
                    Some(Reference::File(id)) => self.envelope.files.iter().any(|f| f.id == id),
                    Some(Reference::Bare(_)) | None => false,
                })
            }
            _ => false,
        }
    }

    fn disk(&mut self, item: &'a Item, properties: &Properties<'a>) -> Result<SelectedDisk, Error> {
        let package = Package { envelope: self.envelope, item };
        if item.host_resources.len() > 1 {
            let message = format!("{} host resources, one is allowed", item.host_resources.len());
            return Err(item_error(Code::E0303, Kind::Malformed, message, item));
        }
        let mut selected = SelectedDisk {
            id: None,
            item: item.clone(),
            file: None,
            format: None,
            format_uri: None,
            capacity_bytes: None,
            parents: Vec::new(),
            controller: None,
            unit: unit_of(item),
        };
        let Some(text) = item.host_resources.first() else {
            selected.capacity_bytes = Some(blank_capacity(item)?);
            return Ok(selected);
        };
        let disk = match Reference::parse(text) {
            Some(Reference::Disk(id)) => package.disk(id)?,
            Some(Reference::Bare(text)) => package.bare_disk(text)?,
            Some(Reference::File(id)) => {
                selected.file = Some(package.file(id)?);
                return Ok(selected);
            }
            None => {
                let message =
                    format!("the host resource {} is of no known form", quote::Quoted(text));
                return Err(item_error(Code::E0303, Kind::Malformed, message, item));
            }
        };
        selected.id = Some(disk.id.clone());
        selected.file = package.file_of(disk)?;
        selected.format = disk.format;
        selected.format_uri.clone_from(&disk.format_uri);
        selected.capacity_bytes = self.capacity(item, disk, properties)?;
        for parent in package.chain(disk)? {
            selected.parents.push(ParentDisk {
                id: parent.id.clone(),
                file: package.file_of(parent)?,
                format: parent.format,
                capacity_bytes: self.capacity(item, parent, properties)?,
            });
        }
        Ok(selected)
    }

    /// The capacity of a disk in bytes; `None` where only the image can say.
    fn capacity(
        &mut self,
        item: &Item,
        disk: &Disk,
        properties: &Properties<'a>,
    ) -> Result<Option<u64>, Error> {
        let refuse = |what: &str| {
            let message = format!("the capacity of the disk {} {what}", quote::Quoted(&disk.id));
            item_error(Code::E0304, Kind::Malformed, message, item)
        };
        let is_blank = disk.file_ref.is_none() && disk.parent_ref.is_none();
        let Some(text) = &disk.capacity else {
            return if is_blank { Err(refuse("is missing")) } else { Ok(None) };
        };
        let text = match properties.placeholder(text) {
            None => text.clone(),
            Some(key) => {
                let value = self.expand_capacity(properties, key, item)?;
                if value.is_empty() {
                    let message = format!("the property {} has no value", quote::Quoted(key));
                    self.note(Code::W0401, message, item);
                    return Ok(None);
                }
                value
            }
        };
        let quoted = quote::Quoted(&text);
        let value = Quantity::read(&text)
            .value
            .ok_or_else(|| refuse(&format!("is {quoted}, no number")))?;
        let unit = match &disk.capacity_units {
            Some(units) => {
                ByteUnit::parse(units).map_err(|e| refuse("has an unknown unit").caused_by(e))?
            }
            None => ByteUnit::BYTE,
        };
        let bytes = unit.bytes(value).map_err(|e| refuse("is out of range").caused_by(e))?;
        if bytes > MAX_DISK_BYTES || (is_blank && bytes == 0) {
            return Err(refuse(&format!("is {bytes} bytes, not in 1..={MAX_DISK_BYTES}")));
        }
        Ok(Some(bytes))
    }

    /// The image in a drive; one that cannot be found leaves the drive empty.
    fn medium(&mut self, item: &'a Item) -> Option<PackageFile> {
        let package = Package { envelope: self.envelope, item };
        let text = item.host_resources.first()?;
        let file = match Reference::parse(text) {
            Some(Reference::File(id)) => package.file(id).map(Some),
            Some(Reference::Disk(id)) => package.disk(id).and_then(|disk| package.file_of(disk)),
            Some(Reference::Bare(_)) | None => Ok(None),
        };
        match file {
            Ok(Some(file)) => Some(file),
            Ok(None) => {
                let message = format!("no image for the drive in {}", quote::Quoted(text));
                self.note(Code::W0610, message, item);
                None
            }
            Err(error) => {
                let message = format!("no image for the drive: {}", error.message());
                self.note(Code::W0610, message, item);
                None
            }
        }
    }
}

/// The controller that oVirt's `disk-interface` stands for: it writes no items for controllers.
fn ovirt_controller(interface: &str) -> Option<Controller> {
    let (bus, subtype) = match interface.to_ascii_lowercase().as_str() {
        "virtio" => (Bus::Virtio, Some("virtio")),
        "virtio_scsi" => (Bus::Scsi, Some("virtio-scsi")),
        "sata" => (Bus::Sata, None),
        "ide" => (Bus::Ide, None),
        _ => return None,
    };
    let subtype = subtype.map(str::to_owned);
    Some(Controller { instance_id: String::new(), bus, subtype, number: 0 })
}

/// The position on the controller: `AddressOnParent`, else what oVirt writes into `Address`.
fn unit_of(item: &Item) -> Option<u32> {
    if let Some(text) = &item.address_on_parent {
        return text.parse().ok();
    }
    let fields = item.address.as_deref()?.strip_prefix('{')?.strip_suffix('}')?;
    fields.split(',').find_map(|field| field.trim().strip_prefix("unit=")?.parse().ok())
}

/// The capacity of an empty disk that no `Disk` describes, in bytes.
fn blank_capacity(item: &Item) -> Result<u64, Error> {
    let refuse = |message: String| item_error(Code::E0304, Kind::Malformed, message, item);
    let Some(quantity) = item.quantity.as_ref().or(item.reservation.as_ref()) else {
        return Err(refuse("an empty disk without a capacity".to_owned()));
    };
    let what = quote::Quoted(&quantity.text);
    let value = quantity
        .value
        .ok_or_else(|| refuse(format!("the capacity {what} of an empty disk is no number")))?;
    let unit = item.unit_of_quantity().map_or(Ok(ByteUnit::BYTE), ByteUnit::parse);
    let bytes = unit.and_then(|unit| unit.bytes(value)).map_err(|e| {
        refuse(format!("the capacity {what} of an empty disk cannot be read")).caused_by(e)
    })?;
    if bytes == 0 || bytes > MAX_DISK_BYTES {
        let message = format!("an empty disk of {bytes} bytes is not in 1..={MAX_DISK_BYTES}");
        return Err(refuse(message));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Selection,
        sample::{Sample, item, rasd},
    };

    fn disk(id: &str, resource: &str, parent: &str, unit: &str) -> String {
        let more = [("HostResource", resource), ("Parent", parent), ("AddressOnParent", unit)];
        item(17, id, &more.map(|(name, text)| rasd(name, text)).concat())
    }

    fn ids(selection: &Selection) -> Vec<String> {
        let disks = selection.systems[0].disks.iter();
        disks.map(|disk| disk.item.instance_id.clone().unwrap_or_default()).collect()
    }

    #[test]
    fn orders_disks_by_controller_and_position_wherever_they_stand() {
        let mut sample = Sample::new();
        let parts = [
            disk("20", "ovf:/disk/d1", "", ""),
            disk("21", "ovf:/disk/d1", "10", "1"),
            disk("22", "ovf:/disk/d1", "10", "0"),
            disk("23", "ovf:/disk/d1", "9", "5"),
            item(6, "10", ""),
            item(20, "9", &rasd("ResourceSubType", "vmware.sata.ahci")),
            item(20, "8", &rasd("ResourceSubType", "vmware.nvme.controller")),
            disk("24", "ovf:/disk/d1", "8", "0"),
        ];
        sample.items = parts.concat();
        let forward = sample.select().unwrap();
        assert_eq!(ids(&forward), ["24", "23", "22", "21", "20"]);
        let buses: Vec<_> = forward.systems[0]
            .disks
            .iter()
            .map(|disk| disk.controller.as_ref().map(|controller| controller.bus))
            .collect();
        let (nvme, sata, scsi) = (Some(Bus::Nvme), Some(Bus::Sata), Some(Bus::Scsi));
        assert_eq!(buses, [nvme, sata, scsi, scsi, None]);
        sample.items = parts.iter().rev().cloned().collect();
        assert_eq!(ids(&sample.select().unwrap()), ids(&forward));
    }

    #[test]
    fn a_disk_of_ovirt_hangs_on_its_interface() {
        for (interface, want) in [
            ("VirtIO", Some((Bus::Virtio, Some("virtio")))),
            ("VirtIO_SCSI", Some((Bus::Scsi, Some("virtio-scsi")))),
            ("SATA", Some((Bus::Sata, None))),
            ("IDE", Some((Bus::Ide, None))),
            ("SPAPR_VSCSI", None),
        ] {
            let mut sample = Sample::new();
            sample.disks =
                sample.disks.replace("/>", &format!(r#" ovf:disk-interface="{interface}"/>"#));
            let nil = "00000000-0000-0000-0000-000000000000";
            sample.items = disk("20", "ovf:/disk/d1", nil, "");
            let system = sample.select().unwrap().systems.remove(0);
            let controller = system.disks[0].controller.as_ref();
            let found = controller.map(|one| (one.bus, one.subtype.as_deref()));
            assert_eq!(found, want, "{interface}");
            // A parent that is a controller is surer.
            sample.items = disk("20", "ovf:/disk/d1", "9", "") + &item(6, "9", "");
            let system = sample.select().unwrap().systems.remove(0);
            assert_eq!(system.disks[0].controller.as_ref().unwrap().instance_id, "9");
        }
    }

    #[test]
    fn a_used_disk_must_lead_to_one_thing() {
        type Spoil = fn(&mut Sample);
        let cases: [(Spoil, Code, &str); 13] = [
            (|s| s.disks.clear(), Code::E0303, "no disk has the id 'd1'"),
            (|s| s.files.clear(), Code::E0303, "no file has the id 'f1'"),
            (
                |s| s.files = r#"<File ovf:id="f1"/>"#.into(),
                Code::E0303,
                "the file 'f1' has no href",
            ),
            (
                |s| s.files += r#"<File ovf:id="f1" ovf:href="other"/>"#,
                Code::E0303,
                "two files have the id 'f1'",
            ),
            (
                |s| s.disks += r#"<Disk ovf:diskId="d1" ovf:capacity="1"/>"#,
                Code::E0303,
                "two disks have the id 'd1'",
            ),
            (
                |s| s.files = s.files.replace("/>", r#" ovf:compression="lzma"/>"#),
                Code::E0303,
                "the compression 'lzma' of the file 'f1' is not known",
            ),
            (
                |s| s.files = s.files.replace("/>", r#" ovf:chunkSize="0"/>"#),
                Code::E0303,
                "the file 'f1' has chunks of 0 bytes",
            ),
            (
                |s| {
                    s.files =
                        r#"<File ovf:id="f1" ovf:href="x" ovf:size="9999" ovf:chunkSize="1"/>"#
                            .into();
                },
                Code::E0106,
                "the file 'f1' has 9999 chunks, at most 4096 are allowed",
            ),
            (
                |s| s.items = s.items.replace("ovf:/disk/d1", "http://h/d1"),
                Code::E0303,
                "the host resource 'http://h/d1' is of no known form",
            ),
            (
                |s| s.disks = s.disks.replace("/>", r#" ovf:parentRef="d1"/>"#),
                Code::E0303,
                "the disk 'd1' is its own parent",
            ),
            (
                |s| s.disks = s.disks.replace("/>", r#" ovf:parentRef="base"/>"#),
                Code::E0402,
                "the parent 'base' is not there",
            ),
            (
                |s| s.disks = s.disks.replace("\"64\"", "\"-64\""),
                Code::E0304,
                "the capacity of the disk 'd1' is '-64', no number",
            ),
            (
                |s| s.disks = s.disks.replace("2^20", "2^60"),
                Code::E0304,
                "the capacity of the disk 'd1' is out of range",
            ),
        ];
        for (spoil, code, want) in cases {
            let mut sample = Sample::new();
            spoil(&mut sample);
            assert_eq!(sample.refusal(), (code, want.to_owned()));
        }
    }

    #[test]
    fn equal_twins_are_one_thing() {
        let mut sample = Sample::new();
        sample.files = sample.files.repeat(2);
        sample.disks = sample.disks.repeat(2);
        assert!(sample.select().is_ok());
    }

    #[test]
    fn follows_a_chain_of_parents_up_to_the_limit() {
        let chain = |length: usize| {
            let mut sample = Sample::new();
            sample.disks = (1..=length)
                .map(|n| {
                    format!(
                        r#"<Disk ovf:diskId="d{n}" ovf:fileRef="f1" ovf:parentRef="d{}"/>"#,
                        n + 1
                    )
                })
                .collect::<String>()
                + &format!(r#"<Disk ovf:diskId="d{}" ovf:fileRef="f1"/>"#, length + 1);
            sample
        };
        let parents = chain(16).select().unwrap().systems.remove(0).disks.remove(0).parents;
        assert_eq!((parents.len(), parents[0].id.as_str()), (16, "d2"));
        assert_eq!(
            chain(17).refusal(),
            (Code::E0106, "a chain of more than 16 parents".to_owned())
        );
    }

    #[test]
    fn reads_empty_disks_of_both_kinds() {
        let mut sample = Sample::new();
        sample.disks +=
            r#"<Disk ovf:diskId="blank" ovf:capacity="1" ovf:capacityAllocationUnits="GB"/>"#;
        let units = rasd("VirtualQuantity", "2") + &rasd("AllocationUnits", "byte * 2^30");
        sample.items += &(disk("7", "ovf:/disk/blank", "3", "1") + &item(17, "8", &units));
        let disks = sample.select().unwrap().systems.remove(0).disks;
        let facts: Vec<_> = disks.iter().map(|d| (d.file.is_some(), d.capacity_bytes)).collect();
        assert_eq!(facts, [(true, Some(64 << 20)), (false, Some(1 << 30)), (false, Some(2 << 30))]);
    }

    #[test]
    fn refuses_an_empty_disk_without_a_capacity() {
        for (more, want) in [
            (String::new(), "an empty disk without a capacity"),
            (rasd("VirtualQuantity", "x"), "the capacity 'x' of an empty disk is no number"),
            (
                rasd("VirtualQuantity", "1") + &rasd("AllocationUnits", "hertz"),
                "the capacity '1' of an empty disk cannot be read",
            ),
            (rasd("VirtualQuantity", "0"), "an empty disk of 0 bytes is not in 1..=70368744177664"),
        ] {
            let sample = Sample { items: item(17, "1", &more), ..Sample::new() };
            assert_eq!(sample.refusal(), (Code::E0304, want.to_owned()));
        }
        let mut sample = Sample::new();
        sample.disks = r#"<Disk ovf:diskId="d1"/>"#.into();
        let want = "the capacity of the disk 'd1' is missing".to_owned();
        assert_eq!(sample.refusal(), (Code::E0304, want));
    }

    #[test]
    fn refuses_more_disks_than_the_limit() {
        let items = (0..65).map(|n| disk(&n.to_string(), "ovf:/disk/d1", "", "")).collect();
        let sample = Sample { items, ..Sample::new() };
        assert_eq!(sample.refusal(), (Code::E0106, "65 disks, at most 64 are allowed".to_owned()));
    }

    #[test]
    fn refuses_more_drives_than_the_limit() {
        for (resource_type, count) in [(15, 65), (16, 70), (14, 65)] {
            let drives = |count: usize| (0..count).map(|n| item(resource_type, &n.to_string(), ""));
            let sample = Sample { items: drives(64).collect(), ..Sample::new() };
            assert!(sample.select().is_ok());
            let sample = Sample { items: drives(count).collect(), ..Sample::new() };
            let want = format!("{count} drives of one kind, at most 64 are allowed");
            assert_eq!(sample.refusal(), (Code::E0106, want));
        }
    }

    #[test]
    fn finds_the_image_in_a_drive_or_leaves_it_empty() {
        let mut sample = Sample::new();
        sample.files += r#"<File ovf:id="iso" ovf:href="a.iso"/>"#;
        sample.items = [
            item(5, "1", &rasd("Address", "1")),
            item(15, "2", &(rasd("HostResource", "ovf:/file/iso") + &rasd("Parent", "1"))),
            item(16, "3", &rasd("HostResource", "/dev/cdrom")),
            item(15, "4", &rasd("HostResource", "ovf:/file/gone")),
            item(14, "5", ""),
        ]
        .concat();
        let system = sample.select().unwrap().systems.remove(0);
        let images: Vec<_> =
            system.cdroms.iter().map(|cd| cd.file.as_ref().map(|f| f.href.as_str())).collect();
        assert_eq!(images, [Some("a.iso"), None, None]);
        assert_eq!(system.cdroms[0].controller.as_ref().unwrap().number, 1);
        assert_eq!(system.floppies.len(), 1);
        assert_eq!(
            sample.messages(),
            [
                "no image for the drive in '/dev/cdrom'",
                "no image for the drive: no file has the id 'gone'"
            ]
        );
    }
}
