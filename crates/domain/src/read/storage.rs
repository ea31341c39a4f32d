//! Storage controllers, disks and removable media.

use std::{collections::BTreeSet, path::PathBuf};

use code::Code;
use vm::{
    Bus, Controller, ControllerModel, Disk, DiskFormat, DiskId, DriveAddress, Removable,
    RemovableKind,
};

use super::devices;
use crate::{
    Error,
    bus::{bus_name, bus_of, scsi_model_of},
    document::{Element, Shown},
    drives::{DriveSource, is_encrypted},
    notes::Notes,
};

/// Everything that holds data.
#[derive(Debug, Default)]
pub(super) struct Drives {
    pub(super) controllers: Vec<Controller>,
    pub(super) disks: Vec<Disk>,
    pub(super) removables: Vec<Removable>,
}

impl Drives {
    /// The place of a removable drive in the boot order.
    pub(super) fn removable_rank(&mut self, at: usize) -> Option<&mut Option<u16>> {
        self.removables.get_mut(at).map(|drive| &mut drive.boot_order)
    }

    /// Adds the controllers that a document does not list: libvirt makes them for the drives.
    fn add_implied_controllers(&mut self) {
        let mut listed: BTreeSet<_> =
            self.controllers.iter().map(|c| (bus_name(c.model.bus()), c.index)).collect();
        let disks = self.disks.iter().filter_map(|disk| Some((disk.bus, disk.address?)));
        let removables = self.removables.iter().map(|drive| (drive.bus, drive.address));
        for (bus, address) in disks.chain(removables) {
            let Some(model) = default_model(bus) else { continue };
            if listed.insert((bus_name(bus), address.controller)) {
                self.controllers.push(Controller { model, index: address.controller });
            }
        }
    }
}

/// Reads controllers and drives, and gives each drive the address that libvirt would give it.
pub(super) fn drives(root: &Element<'_>, notes: &mut Notes<'_>) -> Result<Drives, Error> {
    let mut drives = Drives::default();
    for element in devices(root, "controller") {
        drives.controllers.extend(controller(element, &drives.controllers, notes)?);
    }
    for element in devices(root, "disk") {
        let Some(slot) = slot(element, notes)? else { continue };
        let kind = match element.value("device").unwrap_or("disk") {
            "disk" => {
                // A document has fewer elements than there are numbers.
                let id = DiskId(u16::try_from(drives.disks.len()).unwrap_or(u16::MAX));
                drives.disks.extend(disk(element, id, slot, notes)?);
                continue;
            }
            "cdrom" => RemovableKind::Cdrom,
            "floppy" => RemovableKind::Floppy,
            other => {
                let message = format!("a device of type {} is left out", Shown(other));
                notes.leave_out(element, Code::E0305, message);
                continue;
            }
        };
        drives.removables.extend(removable(kind, element, slot, notes));
    }
    drives.add_implied_controllers();
    Ok(drives)
}

/// A storage controller; those of other kinds (PCI, USB, serial) are none.
fn controller(
    element: &Element<'_>,
    before: &[Controller],
    notes: &mut Notes<'_>,
) -> Result<Option<Controller>, Error> {
    let bus = match element.value("type") {
        Some("ide") => Bus::Ide,
        Some("sata") => Bus::Sata,
        Some("scsi") => Bus::Scsi,
        _ => return Ok(None),
    };
    let model = match (default_model(bus), element.value("model")) {
        (Some(ControllerModel::LsiLogic), Some(name)) => scsi_model(element, name, notes),
        (Some(model), _) => model,
        (None, _) => return Ok(None),
    };
    let count = before.iter().filter(|other| other.model.bus() == bus).count();
    let next = u16::try_from(count).unwrap_or(u16::MAX);
    let index = notes.short(element, "index")?.unwrap_or(next);
    Ok(Some(Controller { model, index }))
}

/// The controller that libvirt makes for drives of a bus when a document does not say which.
const fn default_model(bus: Bus) -> Option<ControllerModel> {
    match bus {
        Bus::Ide => Some(ControllerModel::Ide),
        Bus::Sata => Some(ControllerModel::Ahci),
        Bus::Scsi => Some(ControllerModel::LsiLogic),
        Bus::VirtioBlk | Bus::Nvme | Bus::Fdc => None,
    }
}

fn scsi_model(element: &Element<'_>, name: &str, notes: &mut Notes<'_>) -> ControllerModel {
    if let Some(model) = scsi_model_of(name) {
        return model;
    }
    let is_virtio = matches!(name, "virtio-transitional" | "virtio-non-transitional");
    let (taken, word) = if is_virtio {
        (ControllerModel::VirtioScsi, "virtio-scsi")
    } else {
        (ControllerModel::LsiLogic, "lsilogic")
    };
    if name != "auto" {
        let message = format!("the controller {} is read as {word}", Shown(name));
        notes.note(element, Code::W0101, message);
    }
    taken
}

/// Where a drive hangs.
#[derive(Debug, Clone, Copy)]
struct Slot {
    bus: Bus,
    address: DriveAddress,
    boot_order: Option<u16>,
}

/// The bus and address of a drive; without them, what libvirt takes from the drive's name.
fn slot(element: &Element<'_>, notes: &mut Notes<'_>) -> Result<Option<Slot>, Error> {
    let name = element.child_value("target", "dev").unwrap_or_default();
    let Some((prefix, number)) = split_name(name) else {
        let message = format!("{} is no name of a drive", Shown(name));
        return Err(notes.contradiction(element, &message));
    };
    let bus_text = element.child_value("target", "bus").unwrap_or(match prefix {
        "hd" => "ide",
        "sd" => "scsi",
        "vd" => "virtio",
        "fd" => "fdc",
        _ => "",
    });
    let Some(bus) = bus_of(bus_text) else {
        let message = format!("a drive on the bus {} is left out", Shown(bus_text));
        notes.leave_out(element, Code::E0305, message);
        return Ok(None);
    };
    let given = element.all("address").find(|address| address.value("type") == Some("drive"));
    let address = match given {
        Some(given) => DriveAddress {
            controller: notes.short(given, "controller")?.unwrap_or(0),
            bus: notes.short(given, "bus")?.unwrap_or(0),
            target: notes.short(given, "target")?.unwrap_or(0),
            unit: notes.short(given, "unit")?.unwrap_or(0),
        },
        None => implied_address(bus, number),
    };
    let boot = element.first("boot").map(|boot| notes.short(boot, "order"));
    Ok(Some(Slot { bus, address, boot_order: boot.transpose()?.flatten() }))
}

/// Splits `sdc` into its kind and its number, 2: letters count as Linux counts its disks.
fn split_name(name: &str) -> Option<(&str, u16)> {
    let prefix = ["hd", "sd", "vd", "fd", "ubd", "xvd", "nvme"];
    let prefix = prefix.into_iter().find(|prefix| name.starts_with(prefix))?;
    let rest = name.strip_prefix(prefix)?;
    let letters = rest.trim_end_matches(|c: char| c.is_ascii_digit());
    let mut count = 0_u16;
    for letter in letters.bytes() {
        let digit = letter.checked_sub(b'a').filter(|digit| *digit < 26)?;
        count = count.checked_mul(26)?.checked_add(u16::from(digit))?.checked_add(1)?;
    }
    Some((prefix, count.saturating_sub(1)))
}

/// The address that libvirt takes from the number in a drive's name (`formatdomain`, "Device
/// Addresses"): 2 on each of 2 IDE channels, 6 on an AHCI, 15 on a SCSI bus around its own unit 7.
const fn implied_address(bus: Bus, number: u16) -> DriveAddress {
    let (controller, channel, unit) = match bus {
        Bus::Ide => (number / 4, number % 4 / 2, number % 2),
        Bus::Sata => (number / 6, 0, number % 6),
        Bus::Scsi => {
            let unit = number % 15;
            (number / 15, 0, if unit < 7 { unit } else { unit.saturating_add(1) })
        }
        Bus::Fdc => (number / 2, 0, number % 2),
        Bus::VirtioBlk | Bus::Nvme => (0, 0, 0),
    };
    DriveAddress { controller, bus: channel, target: 0, unit }
}

/// A hard disk; one whose bytes cannot be reached by a path, or not be read, is left out.
fn disk(
    element: &Element<'_>,
    id: DiskId,
    slot: Slot,
    notes: &mut Notes<'_>,
) -> Result<Option<Disk>, Error> {
    let (image, is_device) = match image(element) {
        Ok(found) => found,
        Err(why) => {
            notes.leave_out(element, Code::E0305, format!("{why}; the disk is left out"));
            return Ok(None);
        }
    };
    let Some(format) = format(element) else {
        let found = element.child_value("driver", "type").unwrap_or_default();
        let message = format!("an image of format {} is left out", Shown(found));
        notes.leave_out(element, Code::E0305, message);
        return Ok(None);
    };
    if is_device {
        notes.note(element, Code::W0112, "a device of the host is read as an image file");
    }
    Ok(Some(Disk {
        id,
        image,
        format,
        capacity_bytes: 0,
        bus: slot.bus,
        address: default_model(slot.bus).map(|_| slot.address),
        serial: element.first("serial").and_then(Element::word).unwrap_or_default().to_owned(),
        wwn: wwn(element, notes)?,
        read_only: element.first("readonly").is_some(),
        // libvirt counts 1 for a disk in which nothing turns.
        solid_state: element.child_value("target", "rotation_rate") == Some("1"),
        boot_order: slot.boot_order,
    }))
}

/// The path to the bytes of a disk and whether it is a device of the host, or why it is not read.
fn image(element: &Element<'_>) -> Result<(PathBuf, bool), String> {
    if is_encrypted(element) {
        return Err("the source is encrypted".to_owned());
    }
    match DriveSource::of(element) {
        DriveSource::None => Err("there is no source".to_owned()),
        DriveSource::File(path) => Ok((path, false)),
        DriveSource::Block(path) => Ok((path, true)),
        other => Err(format!("a source of type {} is not read", Shown(other.kind()))),
    }
}

/// Without a word libvirt takes the bytes as they are and never looks.
fn format(element: &Element<'_>) -> Option<DiskFormat> {
    let name = element.child_value("driver", "type").unwrap_or("raw");
    [DiskFormat::Qcow2, DiskFormat::Raw].into_iter().find(|format| format.as_str() == name)
}

/// 16 hexadecimal digits, with or without `0x`, as libvirt takes them.
fn wwn(element: &Element<'_>, notes: &Notes<'_>) -> Result<Option<u64>, Error> {
    let Some(text) = element.first("wwn").and_then(Element::word) else { return Ok(None) };
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let is_sound = digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u64::from_str_radix(digits, 16) {
        Ok(wwn) if is_sound => Ok(Some(wwn)),
        _ => {
            let message = format!("{} is no world wide name of 16 digits", Shown(text));
            Err(notes.contradiction(element, &message))
        }
    }
}

/// A drive with its medium, where that is a file; else the drive is read as empty.
fn removable(
    kind: RemovableKind,
    element: &Element<'_>,
    slot: Slot,
    notes: &mut Notes<'_>,
) -> Option<Removable> {
    if !matches!((kind, slot.bus), (RemovableKind::Floppy, Bus::Fdc))
        && !matches!((kind, slot.bus), (RemovableKind::Cdrom, Bus::Ide | Bus::Sata | Bus::Scsi))
    {
        notes.leave_out(element, Code::W0203, "a removable drive on this bus is left out");
        return None;
    }
    let image = match DriveSource::of(element) {
        DriveSource::None => None,
        DriveSource::File(path) if !is_encrypted(element) => Some(path),
        _ => {
            notes.leave_out(element, Code::W0202, "the medium is not a file; the drive is empty");
            None
        }
    };
    let Slot { bus, address, boot_order } = slot;
    Some(Removable { kind, image, bus, address, boot_order })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::{document, read_devices, refusal};

    const fn at(controller: u16, bus: u16, target: u16, unit: u16) -> DriveAddress {
        DriveAddress { controller, bus, target, unit }
    }

    #[test]
    fn reads_a_disk_of_a_running_machine() {
        let (machine, findings) = read_devices(
            "<controller type='scsi' index='0' model='virtio-scsi'><alias name='scsi0'/></controller>\
             <disk type='file' device='disk'><driver name='qemu' type='qcow2' discard='unmap'/>\
             <source file='/i/a.qcow2' index='1'><seclabel model='dac'/></source>\
             <backingStore type='file'><format type='qcow2'/><source file='/i/base'/></backingStore>\
             <target dev='sda' bus='scsi' rotation_rate='1'/><serial>S1</serial><wwn>0x5000c50015ea71ad</wwn>\
             <boot order='1'/><alias name='scsi0-0-3-0'/>\
             <address type='drive' controller='0' bus='0' target='3' unit='0'/></disk>",
        );
        assert_eq!(findings, [""; 0]);
        let model = ControllerModel::VirtioScsi;
        assert_eq!(machine.controllers, [Controller { model, index: 0 }]);
        assert_eq!(
            machine.disks,
            [Disk {
                id: DiskId(0),
                image: "/i/a.qcow2".into(),
                format: DiskFormat::Qcow2,
                capacity_bytes: 0,
                bus: Bus::Scsi,
                address: Some(at(0, 0, 3, 0)),
                serial: "S1".into(),
                wwn: Some(0x5000_c500_15ea_71ad),
                read_only: false,
                solid_state: true,
                boot_order: Some(1),
            }]
        );
    }

    #[test]
    fn gives_drives_the_addresses_and_controllers_that_follow_from_their_names() {
        for (name, bus, want) in [
            ("hdd", "ide", Some(at(0, 1, 0, 1))),
            ("sda", "sata", Some(at(0, 0, 0, 0))),
            ("sdh", "sata", Some(at(1, 0, 0, 1))),
            ("sdg", "scsi", Some(at(0, 0, 0, 6))),
            ("sdh", "scsi", Some(at(0, 0, 0, 8))),
            ("sdp", "scsi", Some(at(1, 0, 0, 0))),
            ("vdab", "virtio", None),
        ] {
            let (machine, findings) = read_devices(&format!(
                "<disk><source file='/d'/><target dev='{name}' bus='{bus}'/></disk>"
            ));
            assert_eq!(findings, [""; 0]);
            assert_eq!(machine.disks[0].address, want, "{name} on {bus}");
            assert_eq!(machine.disks[0].format, DiskFormat::Raw);
            let implied: Vec<_> =
                machine.controllers.iter().map(|c| (c.model.bus(), c.index)).collect();
            let expected = want.map(|address| (machine.disks[0].bus, address.controller));
            assert_eq!(implied, expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn counts_the_letters_of_a_name_as_linux_does() {
        for (name, want) in [
            ("sda", Some(0)),
            ("sdz", Some(25)),
            ("sdaa", Some(26)),
            ("vdb1", Some(1)),
            ("fda", Some(0)),
            ("sdzzzzzzzz", None),
            ("sdA", None),
            ("xda", None),
        ] {
            assert_eq!(split_name(name).map(|(_, number)| number), want, "{name}");
        }
    }

    #[test]
    fn leaves_out_and_blocks_what_holds_data_that_it_cannot_reach() {
        let disk = "/domain/devices/disk";
        let target = "<target dev='vda' bus='virtio'/>";
        for (element, want) in [
            (
                format!(
                    "<disk type='network'><source protocol='rbd' name='p/i'><host name='h'/></source>{target}</disk>"
                ),
                r#"a source of type "network" is not read; the disk is left out"#,
            ),
            (format!("<disk>{target}</disk>"), "there is no source; the disk is left out"),
            (
                format!(
                    "<disk><source file='/d'><encryption format='luks'/></source>{target}</disk>"
                ),
                "the source is encrypted; the disk is left out",
            ),
            (
                format!("<disk><driver type='vmdk'/><source file='/d'/>{target}</disk>"),
                r#"an image of format "vmdk" is left out"#,
            ),
            (
                format!("<disk device='lun' type='block'><source dev='/dev/x'/>{target}</disk>"),
                r#"a device of type "lun" is left out"#,
            ),
            (
                "<disk><source file='/d'/><target dev='sda' bus='usb'/></disk>".to_owned(),
                r#"a drive on the bus "usb" is left out"#,
            ),
        ] {
            let (machine, findings) = read_devices(&element);
            assert_eq!(machine.disks, []);
            assert_eq!(findings, [format!("E0305 {disk}: {want}")]);
        }
    }

    #[test]
    fn reads_a_device_of_the_host_by_its_path() {
        let (machine, findings) =
            read_devices("<disk type='block'><source dev='/dev/vg/lv'/><target dev='vda'/></disk>");
        assert_eq!(machine.disks[0].image, std::path::Path::new("/dev/vg/lv"));
        assert_eq!(
            findings,
            ["W0112 /domain/devices/disk: a device of the host is read as an image file"]
        );
    }

    #[test]
    fn empties_a_drive_whose_medium_is_no_file() {
        let (machine, findings) = read_devices(
            "<disk type='block' device='cdrom'><source dev='/dev/sr0'/><target dev='sda' bus='sata'/></disk>\
             <disk type='block' device='cdrom'><target dev='sdb' bus='sata'/></disk>",
        );
        assert!(machine.removables.iter().all(|drive| drive.image.is_none()));
        assert_eq!(machine.removables.len(), 2);
        assert_eq!(
            findings,
            ["W0202 /domain/devices/disk[1]: the medium is not a file; the drive is empty"]
        );
    }

    #[test]
    fn says_what_an_unknown_controller_becomes() {
        let (machine, findings) = read_devices(
            "<controller type='scsi' model='lsisas1078'/><controller type='scsi' model='virtio-transitional'/>",
        );
        let models: Vec<_> = machine.controllers.iter().map(|c| (c.model, c.index)).collect();
        assert_eq!(models, [(ControllerModel::LsiLogic, 0), (ControllerModel::VirtioScsi, 1)]);
        assert_eq!(
            findings,
            [
                r#"W0101 /domain/devices/controller[1]: the controller "lsisas1078" is read as lsilogic"#,
                r#"W0101 /domain/devices/controller[2]: the controller "virtio-transitional" is read as virtio-scsi"#,
            ]
        );
    }

    #[test]
    fn refuses_what_libvirt_refuses() {
        for (element, want) in [
            ("<disk/>", r#""" is no name of a drive"#),
            (
                "<disk><source file='/d'/><target dev='sda'/><wwn>12</wwn></disk>",
                r#""12" is no world wide name of 16 digits"#,
            ),
        ] {
            let want = format!("{want} (/domain/devices/disk, line 1)");
            assert_eq!(refusal(&document("", element)), want);
        }
        assert_eq!(
            refusal(&document(
                "",
                "<disk><target dev='sda'/><address type='drive' unit='65536'/></disk>"
            )),
            r#"unit of "65536" is not in 0..=65535 (/domain/devices/disk/address, line 1)"#
        );
    }
}
