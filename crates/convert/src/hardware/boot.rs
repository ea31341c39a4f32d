//! Which device the firmware tries first.
//!
//! A list of the whole system (`vmw:BootOrderSection`, the `BootDeviceSection` of OVF 2, DSP0243
//! 9.15) beats the `BootOrder` of an item. Ranks change the numbers of `<boot order>` only: no
//! device moves in the machine's lists.

use ovf::descriptor::{BootEntry, Item, VirtualSystem, resource};
use vm::{Machine, RemovableKind};

/// The rank of a device that the source does not rank: behind all others.
const UNRANKED: u32 = u32::MAX;

/// The greatest boot order that is given: more devices than any machine of ours has.
const MAX_ORDER: u16 = 512;

/// The rank of each device that was built, in the order of the machine's lists.
#[derive(Debug, Default)]
pub(crate) struct Ranks {
    pub(crate) disks: Vec<u32>,
    pub(crate) removables: Vec<u32>,
    pub(crate) nics: Vec<u32>,
}

/// The place of an item in the source's boot order; smaller is earlier.
pub(crate) fn rank(stated: &VirtualSystem, item: &Item) -> u32 {
    let listed = stated.boot_order.iter().position(|entry| names(entry, item));
    let listed = listed.and_then(|at| u32::try_from(at).ok());
    listed.or(item.boot_order).unwrap_or(UNRANKED)
}

/// Whether an entry means the item: by its instance id, or, without one, by the kind of device.
fn names(entry: &BootEntry, item: &Item) -> bool {
    if entry.instance_id.is_some() {
        return entry.instance_id == item.instance_id;
    }
    let Some(class) = entry.device.as_deref().map(str::to_ascii_lowercase) else { return false };
    match item.resource_type {
        Some(resource::DISK_DRIVE | resource::LOGICAL_DISK) => {
            matches!(class.as_str(), "disk" | "harddisk" | "hdd")
        }
        Some(resource::CD_DRIVE | resource::DVD_DRIVE) => {
            matches!(class.as_str(), "cdrom" | "cd" | "dvd")
        }
        Some(resource::FLOPPY) => class == "floppy",
        Some(resource::ETHERNET) => matches!(class.as_str(), "net" | "network" | "ethernet"),
        _ => false,
    }
}

/// Numbers the boot order: what the source ranks first, then disks, CDs and cards.
pub(crate) fn order(machine: &mut Machine, ranks: &Ranks) {
    let disks = machine.disks.iter_mut().map(|disk| &mut disk.boot_order).zip(&ranks.disks);
    let drives = machine.removables.iter_mut().zip(&ranks.removables);
    let cds = drives
        .filter(|(drive, _)| drive.kind == RemovableKind::Cdrom)
        .map(|(drive, rank)| (&mut drive.boot_order, rank));
    let nics = machine.nics.iter_mut().map(|nic| &mut nic.boot_order).zip(&ranks.nics);
    let mut ranked: Vec<(&mut Option<u16>, &u32)> = disks.chain(cds).chain(nics).collect();
    ranked.sort_by_key(|(_, rank)| **rank);
    for (number, (order, _)) in (1..=MAX_ORDER).zip(ranked) {
        *order = Some(number);
    }
}
