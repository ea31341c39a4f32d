//! Which device the firmware tries first.
//!
//! Ranks change the numbers of `<boot order>` only: no device moves in the machine's lists.

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

/// The rank that counts: a device that the source does not rank is behind all others.
pub(crate) fn rank(stated: Option<u32>) -> u32 {
    stated.unwrap_or(UNRANKED)
}

/// Numbers the boot order: what the source ranks first, then disks, CDs, floppies and cards.
///
/// libvirt has the firmware try nothing else than what has a number.
pub(crate) fn order(machine: &mut Machine, ranks: &Ranks) {
    let disks = machine.disks.iter_mut().map(|disk| &mut disk.boot_order).zip(&ranks.disks);
    let drives = machine.removables.iter_mut().zip(&ranks.removables);
    let (cds, floppies): (Vec<_>, Vec<_>) =
        drives.partition(|(drive, _)| drive.kind == RemovableKind::Cdrom);
    let drives = cds.into_iter().chain(floppies);
    let drives = drives.map(|(drive, rank)| (&mut drive.boot_order, rank));
    let nics = machine.nics.iter_mut().map(|nic| &mut nic.boot_order).zip(&ranks.nics);
    let mut ranked: Vec<(&mut Option<u16>, &u32)> = disks.chain(drives).chain(nics).collect();
    ranked.sort_by_key(|(_, rank)| **rank);
    for (number, (order, _)) in (1..=MAX_ORDER).zip(ranked) {
        *order = Some(number);
    }
}
