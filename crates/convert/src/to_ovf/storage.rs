//! Controllers, disks and drives.

use code::Code;
use ovf::{
    descriptor::resource,
    writer::{Item, Setting},
};
use vm::{Bus, ByteSize, ControllerModel, Disk, DriveAddress, Removable, RemovableKind};

use super::{Draft, Image, Reader};
use crate::{Note, Row};

/// The SCSI id of the adapter itself.
const ADAPTER_UNIT: u32 = 7;

/// What a drive of the machine hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Home {
    /// A channel of IDE.
    Channel(u16),
    /// A controller of the machine, by bus and index.
    Controller(Bus, u16),
    /// The SCSI controller that stands for all virtio-blk disks.
    VirtioBlk,
    /// The NVMe controller.
    Nvme,
}

/// What a controller is called in the OVF.
struct Named {
    kind: u32,
    subtype: Option<&'static str>,
    /// Why it is another one; `None` where it is the same.
    why: Option<&'static str>,
}

/// Writes controllers as they are first needed, then what hangs on them.
pub(super) fn drives(draft: &mut Draft<'_>) {
    let machine = draft.machine;
    let mut homes: Vec<(Home, u32)> = Vec::new();
    for home in machine.disks.iter().map(home_of_disk).chain(drives_with_home(machine)) {
        if homes.iter().all(|(known, _)| *known != home) {
            let id = controller(draft, home, &homes);
            homes.push((home, id));
        }
    }
    let parent = |home: Home| homes.iter().find(|(known, _)| *known == home).map(|(_, id)| *id);
    let mut virtio_units = (0..).filter(|unit| *unit != ADAPTER_UNIT);
    for at in &machine.disks {
        let home = home_of_disk(at);
        let unit = match home {
            Home::VirtioBlk => virtio_units.next(),
            _ => at.address.map(|address| unit(home, address)),
        };
        disk(draft, at, parent(home), unit);
    }
    for (place, at) in machine.removables.iter().enumerate() {
        let on = home(at.bus, at.address);
        drive(draft, place, at, on.and_then(parent).zip(on.map(|home| unit(home, at.address))));
    }
}

fn home_of_disk(disk: &Disk) -> Home {
    home(disk.bus, disk.address.unwrap_or_default()).unwrap_or(Home::VirtioBlk)
}

fn drives_with_home(machine: &vm::Machine) -> impl Iterator<Item = Home> + '_ {
    machine.removables.iter().filter_map(|drive| home(drive.bus, drive.address))
}

/// What a drive hangs on; a floppy hangs on nothing that OVF would name.
const fn home(bus: Bus, address: DriveAddress) -> Option<Home> {
    match bus {
        Bus::Ide => Some(Home::Channel(address.bus)),
        Bus::Sata | Bus::Scsi => Some(Home::Controller(bus, address.controller)),
        Bus::VirtioBlk => Some(Home::VirtioBlk),
        Bus::Nvme => Some(Home::Nvme),
        Bus::Fdc => None,
    }
}

/// The number of a drive on its controller.
fn unit(home: Home, address: DriveAddress) -> u32 {
    match home {
        Home::Controller(Bus::Scsi, _) => u32::from(address.target.max(address.unit)),
        _ => address.unit.into(),
    }
}

/// Writes a controller, and says what became of it.
fn controller(draft: &mut Draft<'_>, home: Home, before: &[(Home, u32)]) -> u32 {
    let model = match home {
        Home::Controller(bus, index) => draft
            .machine
            .controllers
            .iter()
            .find(|controller| controller.model.bus() == bus && controller.index == index)
            .map(|controller| controller.model),
        _ => None,
    };
    let named = name(home, model, draft.reader);
    let class = |home: &Home| match home {
        Home::Channel(_) => resource::IDE_CONTROLLER,
        Home::Controller(Bus::Sata, _) | Home::Nvme => resource::OTHER_STORAGE,
        Home::Controller(..) | Home::VirtioBlk => resource::SCSI_CONTROLLER,
    };
    let number = match home {
        Home::Channel(channel) => u32::from(channel),
        Home::Controller(Bus::Sata, index) => u32::from(index),
        _ => count(before.iter().filter(|(known, _)| class(known) == class(&home)).count()),
    };
    let shown = describe(home, model);
    let text = format!("{shown} {number}");
    let item = Item {
        address: Some(number.to_string()),
        subtype: named.subtype.map(str::to_owned),
        ..Item::new(0, named.kind, text)
    };
    let id = draft.add(item, None);
    let to = named.subtype.unwrap_or(shown);
    let row = Row::kept(&format!("controller{id}"), "disk controller", shown, to);
    draft.say(match named.why {
        Some(why) => row.changed().note(Note::new(Code::W0101, why)),
        None => row,
    });
    id
}

/// The table of controllers.
fn name(home: Home, model: Option<ControllerModel>, reader: Reader) -> Named {
    use Reader::{Generic, VirtualBox, Vmware};
    let same = |kind, subtype| Named { kind, subtype, why: None };
    let scsi = |subtype, why| Named { kind: resource::SCSI_CONTROLLER, subtype, why };
    let virtio = "the reader has no virtio disks; the guest needs the driver of this controller";
    match (home, model, reader) {
        (Home::Channel(_), ..) => same(resource::IDE_CONTROLLER, None),
        (Home::Nvme, _, Vmware | Generic) => {
            same(resource::OTHER_STORAGE, Some("vmware.nvme.controller"))
        }
        (Home::Nvme, _, VirtualBox) => same(resource::OTHER_STORAGE, Some("NVMe")),
        (Home::Controller(Bus::Sata, _), _, Vmware | Generic) => {
            same(resource::OTHER_STORAGE, Some("vmware.sata.ahci"))
        }
        (Home::Controller(Bus::Sata, _), _, VirtualBox) => {
            same(resource::OTHER_STORAGE, Some("AHCI"))
        }
        (_, Some(ControllerModel::LsiSas1068), _) => scsi(Some("lsilogicsas"), None),
        (_, Some(ControllerModel::VmPvScsi), Vmware | Generic) => scsi(Some("VirtualSCSI"), None),
        (_, Some(ControllerModel::VmPvScsi), VirtualBox) => {
            scsi(Some("lsilogicsas"), Some("VirtualBox has no PVSCSI"))
        }
        (_, Some(ControllerModel::VirtioScsi), Generic) => scsi(Some("virtio-scsi"), None),
        (_, Some(ControllerModel::VirtioScsi), VirtualBox) => scsi(Some("VirtioSCSI"), None),
        (_, Some(ControllerModel::LsiLogic), _) => {
            scsi(Some("lsilogic"), Some("another chip of the same maker; the driver differs"))
        }
        (_, None, Generic) => scsi(Some("virtio-scsi"), Some("OVF has no virtio-blk")),
        (_, _, Vmware) => scsi(Some("VirtualSCSI"), Some(virtio)),
        (_, _, VirtualBox) => scsi(Some("VirtioSCSI"), Some("VirtualBox has no virtio-blk")),
        (_, _, Generic) => scsi(None, None),
    }
}

const fn describe(home: Home, model: Option<ControllerModel>) -> &'static str {
    match (home, model) {
        (Home::Channel(_), _) => "IDE",
        (Home::Nvme, _) => "NVMe",
        (Home::VirtioBlk, _) => "virtio-blk",
        (_, Some(ControllerModel::Ahci)) => "SATA",
        (_, Some(ControllerModel::VmPvScsi)) => "vmpvscsi",
        (_, Some(ControllerModel::LsiSas1068)) => "lsisas1068",
        (_, Some(ControllerModel::LsiLogic)) => "lsi53c895a",
        (_, Some(ControllerModel::VirtioScsi)) => "virtio-scsi",
        _ => "SCSI",
    }
}

fn disk(draft: &mut Draft<'_>, disk: &Disk, parent: Option<u32>, unit: Option<u32>) {
    let number = u32::from(disk.id.0);
    let id = format!("vmdisk{}", number.saturating_add(1));
    let read_only = disk.read_only.then(|| Setting::new("backing.guestReadOnly", "true"));
    let item = Item {
        host_resource: Some(format!("ovf:/disk/{id}")),
        parent,
        address_on_parent: unit,
        settings: read_only.into_iter().collect(),
        ..Item::new(0, resource::DISK_DRIVE, format!("Hard disk {}", number.saturating_add(1)))
    };
    let size = ByteSize(disk.capacity_bytes);
    let from = format!("{size} {}", disk.format.as_str());
    draft.images.push(Image::Disk { disk: disk.id, id });
    draft.add(item, disk.boot_order);
    let label = format!("disk {number}");
    let row = Row::kept(&format!("disk{number}"), &label, from, "streamOptimized VMDK");
    let note = Note::new(Code::W0205, "an OVF does not say that nothing turns in it");
    draft.say(if disk.solid_state { row.changed().note(note) } else { row });
}

fn drive(draft: &mut Draft<'_>, place: usize, drive: &Removable, on: Option<(u32, u32)>) {
    let file = drive.image.as_ref().map(|_| format!("medium{}", place + 1));
    let (kind, subtype, word) = match (drive.kind, &file) {
        (RemovableKind::Cdrom, Some(_)) => (resource::CD_DRIVE, Some("vmware.cdrom.iso"), "CD"),
        (RemovableKind::Cdrom, None) => {
            (resource::CD_DRIVE, Some("vmware.cdrom.remotepassthrough"), "CD")
        }
        (RemovableKind::Floppy, _) => (resource::FLOPPY, None, "floppy"),
    };
    let item = Item {
        parent: on.map(|(parent, _)| parent),
        address_on_parent: on.map(|(_, unit)| unit),
        host_resource: file.as_ref().map(|id| format!("ovf:/file/{id}")),
        subtype: subtype.map(str::to_owned),
        connected: Some(file.is_some()),
        ..Item::new(0, kind, format!("{word} drive {}", place + 1))
    };
    let to = if file.is_some() { "the same image" } else { "empty drive" };
    draft.images.extend(file.map(|id| Image::Medium { removable: place, id }));
    draft.add(item, drive.boot_order);
    let label = format!("{word} drive {place}");
    draft.say(Row::kept(&format!("drive{place}"), &label, word, to));
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
