//! Controllers, disks and drives of a VMX.

use vmx::{Device, FileName, Vmx};

use super::boot::{Boots, Order};
use crate::source::{Bus, Controller, Disk, DiskNote, Drive, File, ImageFormat, Origin};

/// The buses in the order of the machine's disks, with how many controllers VMware has of each and
/// how many units a controller has. Keys of more are none of a device.
const BUSES: [(&str, Bus, u16, u16); 4] = [
    ("scsi", Bus::Scsi, 4, 64),
    ("sata", Bus::Sata, 4, 30),
    ("nvme", Bus::Nvme, 4, 64),
    ("ide", Bus::Ide, 2, 2),
];

/// VMware has two floppy drives.
const FLOPPIES: u16 = 2;

/// Names that stand for a drive of the host, or for none.
const NO_FILE: [&str; 4] =
    ["auto detect", "emptybackingstring", "vmware-null-remote-floppy", "vmware-null-remote-cdrom"];

/// The storage of a machine.
#[derive(Debug, Default)]
pub(super) struct Storage {
    pub(super) controllers: Vec<Controller>,
    pub(super) disks: Vec<Disk>,
    pub(super) cdroms: Vec<Drive>,
    pub(super) floppies: Vec<Drive>,
}

/// What a slot of a bus holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Medium {
    Disk,
    Cdrom,
    /// A SCSI device of the old host.
    Passthrough,
}

/// Reads every slot that is there.
pub(super) fn read(vmx: &Vmx) -> Storage {
    let all = vmx.devices();
    let order = Order::of(vmx);
    let mut storage = Storage { controllers: controllers(&all), ..Storage::default() };
    for (bus, slot) in slots(&all) {
        let number = slot.number.unwrap_or_default();
        let mut there = storage.controllers.iter();
        let controller = there.find(|one| one.bus == bus && one.number == u32::from(number));
        let controller = controller.cloned();
        match medium(slot) {
            Medium::Disk => storage.disks.push(disk(slot, controller, &order)),
            Medium::Cdrom => storage.cdroms.push(cdrom(slot, controller, &order)),
            Medium::Passthrough => {}
        }
    }
    forget_shared_names(&mut storage.disks);
    let floppies = all.iter().filter(|one| one.class == "floppy" && is_floppy(one));
    storage.floppies = floppies.map(floppy).collect();
    storage
}

/// The slots that hold something, in the order of buses, controllers and units.
pub(super) fn slots<'a>(all: &'a [Device<'a>]) -> impl Iterator<Item = (Bus, &'a Device<'a>)> {
    BUSES.into_iter().flat_map(move |(class, bus, ..)| {
        let is_slot = move |one: &&Device<'_>| {
            let is_bus = one.class == class && one.unit.is_some() && is_place(one);
            is_bus && one.is_present() && !is_switched_off(all, one)
        };
        let mut slots: Vec<&Device<'_>> = all.iter().filter(is_slot).collect();
        slots.sort_by_key(|one| (one.number, one.unit));
        slots.into_iter().map(move |one| (bus, one))
    })
}

/// Whether the keys are those of a controller, a slot or a floppy drive that VMware can have.
pub(super) fn is_place(device: &Device<'_>) -> bool {
    let is_on = |(class, _, controllers, units): &(&str, Bus, u16, u16)| {
        device.class == *class
            && device.number.is_some_and(|number| number < *controllers)
            && device.unit.is_none_or(|unit| unit < *units)
    };
    let is_floppy = device.class == "floppy" && device.number.is_some_and(|n| n < FLOPPIES);
    is_floppy || BUSES.iter().any(is_on)
}

/// Whether the controller of a slot says that it is not there.
fn is_switched_off(all: &[Device<'_>], slot: &Device<'_>) -> bool {
    let is_its = |one: &&Device<'_>| {
        one.class == slot.class && one.number == slot.number && one.unit.is_none()
    };
    all.iter().find(is_its).is_some_and(|one| one.boolean("present") == Some(false))
}

/// Controllers that are there, and those that only their devices speak of: a channel of IDE is
/// never named by itself.
fn controllers(all: &[Device<'_>]) -> Vec<Controller> {
    let mut controllers = Vec::new();
    for (class, bus, count, _) in BUSES {
        for number in 0..count {
            let mut its = all.iter().filter(|one| one.class == class && one.number == Some(number));
            let own = its.clone().find(|one| one.unit.is_none());
            let stated = own.and_then(|own| own.boolean("present"));
            if stated == Some(false) || stated.is_none() && !its.any(Device::is_present) {
                continue;
            }
            let row = format!("{class}{number}");
            controllers.push(Controller {
                origin: Origin {
                    id: Some(row.clone()),
                    path: row.clone(),
                    row,
                    ..Origin::default()
                },
                bus,
                subtype: own.and_then(|own| own.text("virtualDev")).map(str::to_owned),
                number: u32::from(number),
            });
        }
    }
    controllers
}

/// What a slot holds: as its type says, else as the name of its file says.
pub(super) fn medium(slot: &Device<'_>) -> Medium {
    let kind = slot.text("deviceType").unwrap_or_default().to_ascii_lowercase();
    let file = slot.text("fileName").unwrap_or_default().to_ascii_lowercase();
    match kind.as_str() {
        "scsi-passthru" => Medium::Passthrough,
        kind if kind.contains("cdrom") => Medium::Cdrom,
        "" if file.ends_with(".iso") => Medium::Cdrom,
        _ => Medium::Disk,
    }
}

fn disk(slot: &Device<'_>, controller: Option<Controller>, order: &Order) -> Disk {
    let file = slot.text("fileName");
    Disk {
        origin: super::devices::origin(slot),
        id: Some(slot.head.to_owned()),
        file: file.map(|text| File::Named(FileName::new(text))),
        format: file.and_then(format),
        controller,
        unit: slot.unit.map(u32::from),
        solid_state: slot.boolean("virtualSSD") == Some(true),
        lost: lost(slot),
        boot_rank: order.rank(Boots::Disk, slot.head),
        ..Disk::default()
    }
}

fn lost(slot: &Device<'_>) -> Vec<DiskNote> {
    let mode = slot.text("mode").unwrap_or_default().to_ascii_lowercase();
    let is_independent = mode.starts_with("independent") || mode.ends_with("nonpersistent");
    let is_through = slot.boolean("writeThrough") == Some(true);
    let through = is_through.then_some(DiskNote::WriteThrough);
    through.into_iter().chain(is_independent.then_some(DiskNote::Independent)).collect()
}

/// VMware's disks are VMDK files, and say so in their names.
fn format(file: &str) -> Option<ImageFormat> {
    let is_vmdk = file.to_ascii_lowercase().ends_with(".vmdk");
    is_vmdk.then_some(ImageFormat::Vmdk)
}

/// Disks on two datastores often have one base name: then it does not tell which file is meant. A
/// snapshot of one of them counts as that disk.
fn forget_shared_names(disks: &mut [Disk]) {
    let base = |disk: &Disk| match &disk.file {
        Some(File::Named(name)) => name.base().or(name.beside()).map(without_snapshot),
        _ => None,
    };
    let bases: Vec<Option<String>> = disks.iter().map(base).collect();
    for (disk, own) in disks.iter_mut().zip(&bases) {
        let is_shared = bases.iter().filter(|other| *other == own).count() > 1;
        if let (true, Some(File::Named(name))) = (is_shared, &disk.file) {
            disk.file = Some(File::Named(name.clone().without_base()));
        }
    }
}

/// `vm.vmdk` of `vm-000002.vmdk`, in lower case.
fn without_snapshot(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let stem = name.strip_suffix(".vmdk").unwrap_or(&name);
    let is_number = |text: &str| text.len() == 6 && text.bytes().all(|b| b.is_ascii_digit());
    match stem.rsplit_once('-') {
        Some((disk, number)) if is_number(number) => format!("{disk}.vmdk"),
        _ => name,
    }
}

fn cdrom(slot: &Device<'_>, controller: Option<Controller>, order: &Order) -> Drive {
    let kind = slot.text("deviceType").unwrap_or_default();
    let is_image = kind.is_empty() || kind.eq_ignore_ascii_case("cdrom-image");
    Drive {
        subtype: Some(kind.to_owned()).filter(|kind| !kind.is_empty()),
        controller,
        unit: slot.unit.map(u32::from),
        boot_rank: order.rank(Boots::Cdrom, slot.head),
        ..drive(slot, is_image)
    }
}

fn floppy(device: &Device<'_>) -> Drive {
    let kind = device.text("fileType").unwrap_or_default();
    drive(device, kind.is_empty() || kind.eq_ignore_ascii_case("file"))
}

/// A floppy drive that is not taken away is there, as VMware counts; so is the first one only.
fn is_floppy(device: &Device<'_>) -> bool {
    let is_one = device.number.is_some_and(|number| number < FLOPPIES) && device.unit.is_none();
    is_one && device.boolean("present").unwrap_or(device.number == Some(0))
}

/// A drive with the image in it, where that lies beside the VMX.
fn drive(device: &Device<'_>, is_image: bool) -> Drive {
    let is_client = device.boolean("clientDevice") == Some(true);
    let text = device.text("fileName").filter(|text| {
        let lower = text.to_ascii_lowercase();
        is_image && !is_client && !NO_FILE.contains(&lower.as_str()) && !lower.starts_with("/dev/")
    });
    let name = text.map(FileName::new);
    let (file, left_behind) = match name {
        Some(name) if name.beside().is_some() => (Some(File::Named(name)), None),
        Some(name) => (None, Some(name.text().to_owned())),
        None => (None, None),
    };
    Drive { origin: super::devices::origin(device), file, left_behind, ..Drive::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Storage {
        read(&Vmx::parse(text.as_bytes()).unwrap())
    }

    /// Each disk as `bus number:unit file`.
    fn disks(storage: &Storage) -> Vec<String> {
        let each = storage.disks.iter().map(|disk| {
            let controller = disk.controller.as_ref().unwrap();
            let file = disk.file.as_ref().map_or("", File::text);
            let unit = disk.unit.unwrap();
            format!("{} {}:{unit} {file}", controller.bus.as_str(), controller.number)
        });
        each.collect()
    }

    #[test]
    fn orders_disks_by_bus_controller_and_unit() {
        let storage = read_text(
            "ide0:0.present = \"TRUE\"\nide0:0.fileName = \"i.vmdk\"\n\
             scsi1.present = \"TRUE\"\nscsi1:0.present = \"TRUE\"\nscsi1:0.fileName = \"c.vmdk\"\n\
             scsi0.present = \"TRUE\"\nscsi0.virtualDev = \"pvscsi\"\n\
             scsi0:10.present = \"TRUE\"\nscsi0:10.fileName = \"b.vmdk\"\n\
             scsi0:2.present = \"TRUE\"\nscsi0:2.fileName = \"a.vmdk\"\n\
             scsi0:3.present = \"FALSE\"\nscsi0:3.fileName = \"x.vmdk\"\n\
             scsi0:4.fileName = \"x.vmdk\"\n\
             scsi9:0.present = \"TRUE\"\nscsi0:99.present = \"TRUE\"\n\
             nvme0:0.present = \"TRUE\"\nnvme0:0.fileName = \"n.vmdk\"\n",
        );
        assert_eq!(
            disks(&storage),
            [
                "scsi 0:2 a.vmdk",
                "scsi 0:10 b.vmdk",
                "scsi 1:0 c.vmdk",
                "nvme 0:0 n.vmdk",
                "ide 0:0 i.vmdk"
            ]
        );
        let named: Vec<_> = storage.controllers.iter().map(|c| c.origin.row.as_str()).collect();
        assert_eq!(named, ["scsi0", "scsi1", "nvme0", "ide0"]);
        assert_eq!(storage.controllers[0].subtype.as_deref(), Some("pvscsi"));
    }

    #[test]
    fn a_controller_that_is_taken_away_takes_its_disks_along() {
        let storage = read_text(
            "sata0.present = \"FALSE\"\nsata0:0.present = \"TRUE\"\nsata0:0.fileName = \"a.vmdk\"\n",
        );
        assert_eq!((storage.disks.len(), storage.controllers.len()), (0, 0));
    }

    #[test]
    fn reads_what_a_disk_was_told_to_be() {
        let disk = |keys: &str| {
            let text = format!("scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"a.vmdk\"\n{keys}");
            read_text(&text).disks.remove(0)
        };
        assert!(disk("scsi0:0.virtualSSD = \"1\"").solid_state);
        assert!(!disk("scsi0:0.virtualSSD = \"0\"").solid_state);
        for (keys, want) in [
            ("scsi0:0.mode = \"persistent\"", &[][..]),
            ("scsi0:0.mode = \"independent-nonpersistent\"", &[DiskNote::Independent]),
            ("scsi0:0.writeThrough = \"TRUE\"", &[DiskNote::WriteThrough]),
        ] {
            assert_eq!(disk(keys).lost, want, "{keys}");
        }
    }

    #[test]
    fn tells_disks_from_drives() {
        for (keys, want) in [
            ("x.fileName = \"a.vmdk\"", Medium::Disk),
            ("x.fileName = \"A.ISO\"", Medium::Cdrom),
            ("x.deviceType = \"scsi-hardDisk\"", Medium::Disk),
            ("x.deviceType = \"rawDisk\"", Medium::Disk),
            ("x.deviceType = \"cdrom-image\"", Medium::Cdrom),
            ("x.deviceType = \"atapi-cdrom\"", Medium::Cdrom),
            ("x.deviceType = \"scsi-passthru\"", Medium::Passthrough),
        ] {
            let vmx = Vmx::parse(keys.replace("x.", "ide0:0.").as_bytes()).unwrap();
            assert_eq!(medium(&vmx.devices()[0]), want, "{keys}");
        }
    }

    #[test]
    fn an_image_that_lies_elsewhere_is_left_behind() {
        for (kind, name, file, left) in [
            ("cdrom-image", "a.iso", Some("a.iso"), None),
            ("cdrom-image", "/vmfs/a.iso", None, Some("/vmfs/a.iso")),
            ("cdrom-image", "emptyBackingString", None, None),
            ("cdrom-raw", "a.iso", None, None),
            ("", "/dev/cdrom.iso", None, None),
        ] {
            let text = format!(
                "ide1:0.present = \"TRUE\"\nide1:0.deviceType = \"{kind}\"\n\
                 ide1:0.fileName = \"{name}\"\n"
            );
            let storage = read_text(&text);
            let drive = &storage.cdroms[0];
            let got = (drive.file.as_ref().map(File::text), drive.left_behind.as_deref());
            assert_eq!(got, (file, left), "{kind} {name}");
        }
    }

    #[test]
    fn the_base_name_of_two_disks_tells_nothing() {
        let storage = read_text(
            "scsi0:0.present = \"TRUE\"\nscsi0:0.fileName = \"vm-000002.vmdk\"\n\
             scsi0:1.present = \"TRUE\"\nscsi0:1.fileName = \"/vmfs/volumes/b/vm/vm.vmdk\"\n\
             scsi0:2.present = \"TRUE\"\nscsi0:2.fileName = \"/vmfs/volumes/b/vm/other.vmdk\"\n",
        );
        let names = storage.disks.iter().map(|disk| match &disk.file {
            Some(File::Named(name)) => (name.beside(), name.base()),
            _ => (None, None),
        });
        let names: Vec<_> = names.collect();
        assert_eq!(
            names,
            [(Some("vm-000002.vmdk"), None), (None, None), (None, Some("other.vmdk"))]
        );
    }

    #[test]
    fn the_first_floppy_drive_is_there_unless_it_is_taken_away() {
        for (text, want) in [
            ("floppy0.present = \"FALSE\"\n", 0),
            ("floppy0.startConnected = \"FALSE\"\n", 1),
            ("floppy1.startConnected = \"FALSE\"\n", 0),
            ("floppy1.present = \"TRUE\"\nfloppy2.present = \"TRUE\"\n", 1),
            ("memsize = \"4\"\n", 0),
        ] {
            assert_eq!(read_text(text).floppies.len(), want, "{text}");
        }
    }
}
