//! Storage controllers, disks and removable media.

use std::path::Path;

use vm::{Bus, Controller, Disk, DriveAddress, Machine, Removable, RemovableKind};

use crate::bus::{bus_name, model_name};
use xml::Element;

pub(super) fn controllers(machine: &Machine) -> impl Iterator<Item = Element<'static>> {
    let floppy = machine.removables.iter().any(|drive| drive.bus == Bus::Fdc);
    let fdc = floppy.then(|| numbered("fdc", 0));
    machine.controllers.iter().map(controller).chain(fdc)
}

fn controller(controller: &Controller) -> Element<'static> {
    let element = numbered(bus_name(controller.model.bus()), controller.index);
    match model_name(controller.model) {
        Some(model) => element.with("model", model),
        None => element,
    }
}

fn numbered(kind: &'static str, index: u16) -> Element<'static> {
    Element::new("controller").with("type", kind).with_number("index", index)
}

/// Disks first, then removable media, each under a device name of its own.
pub(super) fn drives(machine: &Machine) -> Vec<Element<'_>> {
    let mut names = DeviceNames::default();
    let disks = machine.disks.iter().map(|drive| disk(drive, &mut names)).collect::<Vec<_>>();
    let removables = machine.removables.iter().map(|drive| removable(drive, &mut names));
    disks.into_iter().chain(removables).collect()
}

fn disk<'a>(disk: &'a Disk, names: &mut DeviceNames) -> Element<'a> {
    let device = names.next(disk.bus, disk.address);
    drive("disk")
        .holding([
            driver(disk.format.as_str()).with("discard", "unmap"),
            source(&disk.image),
            rotating(target(disk.bus, device), disk),
        ])
        .holding(disk.read_only.then(|| Element::new("readonly")))
        .holding((!disk.serial.is_empty()).then(|| Element::text("serial", disk.serial.as_str())))
        .holding(disk.wwn.map(|wwn| Element::text("wwn", format!("{wwn:016x}"))))
        .holding(disk.boot_order.map(boot))
        .holding(disk.address.map(address))
}

fn removable<'a>(removable: &'a Removable, names: &mut DeviceNames) -> Element<'a> {
    let device = names.next(removable.bus, Some(removable.address));
    let (kind, readonly) = match removable.kind {
        RemovableKind::Cdrom => ("cdrom", Some(Element::new("readonly"))),
        RemovableKind::Floppy => ("floppy", None),
    };
    drive(kind)
        .holding([driver("raw")])
        .holding(removable.image.as_deref().map(source))
        .holding([target(removable.bus, device)])
        .holding(readonly)
        .holding(removable.boot_order.map(boot))
        .holding([address(removable.address)])
}

fn drive(device: &'static str) -> Element<'static> {
    Element::new("disk").with("type", "file").with("device", device)
}

fn driver(format: &'static str) -> Element<'static> {
    Element::new("driver").with("name", "qemu").with("type", format)
}

/// Nothing is lost here: a path that is no UTF-8 has been refused.
fn source(image: &Path) -> Element<'_> {
    Element::new("source").with("file", image.to_string_lossy())
}

fn target(bus: Bus, device: String) -> Element<'static> {
    Element::new("target").with("dev", device).with("bus", bus_name(bus))
}

/// libvirt counts 1 for a disk in which nothing turns.
fn rotating(target: Element<'static>, disk: &Disk) -> Element<'static> {
    if disk.solid_state { target.with("rotation_rate", "1") } else { target }
}

pub(super) fn boot(order: u16) -> Element<'static> {
    Element::new("boot").with_number("order", order)
}

fn address(address: DriveAddress) -> Element<'static> {
    Element::new("address")
        .with("type", "drive")
        .with_number("controller", address.controller)
        .with_number("bus", address.bus)
        .with_number("target", address.target)
        .with_number("unit", address.unit)
}

/// The names of `<target dev=…>`, which libvirt wants different within a machine.
///
/// The guest does not see them. On IDE and the floppy controller they say the position, elsewhere
/// they count.
#[derive(Debug, Default)]
struct DeviceNames {
    sd: u32,
    vd: u32,
}

impl DeviceNames {
    fn next(&mut self, bus: Bus, address: Option<DriveAddress>) -> String {
        let DriveAddress { bus: channel, unit, .. } = address.unwrap_or_default();
        let (prefix, number) = match bus {
            Bus::Ide => ("hd", u32::from(channel).saturating_mul(2).saturating_add(unit.into())),
            Bus::Fdc => ("fd", unit.into()),
            Bus::VirtioBlk => ("vd", count(&mut self.vd)),
            Bus::Sata | Bus::Scsi | Bus::Nvme => ("sd", count(&mut self.sd)),
        };
        format!("{prefix}{}", letters(number))
    }
}

fn count(counter: &mut u32) -> u32 {
    let number = *counter;
    *counter = number.saturating_add(1);
    number
}

/// Writes 0 as `a`, 25 as `z`, 26 as `aa`, as Linux counts its disks.
fn letters(number: u32) -> String {
    let mut letters = Vec::new();
    let mut left = Some(number);
    while let Some(rest) = left {
        letters.push(char::from_u32(u32::from('a').saturating_add(rest % 26)).unwrap_or('a'));
        left = (rest / 26).checked_sub(1);
    }
    letters.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_letters_as_linux_does() {
        for (number, want) in
            [(0, "a"), (25, "z"), (26, "aa"), (51, "az"), (52, "ba"), (701, "zz"), (702, "aaa")]
        {
            assert_eq!(letters(number), want);
        }
    }

    #[test]
    fn names_ide_drives_by_position_and_counts_the_others() {
        let at = |bus, unit| Some(DriveAddress { bus, unit, ..DriveAddress::default() });
        let mut names = DeviceNames::default();
        for (bus, address, want) in [
            (Bus::Ide, at(1, 1), "hdd"),
            (Bus::Scsi, at(0, 0), "sda"),
            (Bus::Sata, at(0, 3), "sdb"),
            (Bus::VirtioBlk, None, "vda"),
            (Bus::Fdc, at(0, 1), "fdb"),
        ] {
            assert_eq!(names.next(bus, address), want);
        }
    }
}
