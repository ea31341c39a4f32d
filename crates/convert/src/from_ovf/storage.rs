//! The disks of an OVF.

use ovf::{
    descriptor::{Hardware, VirtualSystem},
    selection::SelectedDisk,
};

use super::{boot, controller, origin, settings};
use crate::source::{Disk, DiskNote, File};

/// Reads one disk.
pub(super) fn disk(stated: &VirtualSystem, disk: &SelectedDisk) -> Disk {
    let parents = disk.parents.iter().filter_map(|parent| parent.file.clone());
    Disk {
        origin: origin(&disk.item),
        id: disk.id.clone(),
        file: disk.file.clone().map(File::Packed),
        format: disk.format,
        capacity_bytes: disk.capacity_bytes,
        parents: parents.map(File::Packed).collect(),
        controller: disk.controller.as_ref().map(controller),
        unit: disk.unit,
        read_only: says(disk, "guestReadOnly"),
        solid_state: is_solid_state(&stated.hardware, disk),
        lost: lost(disk),
        loader: None,
        boot_rank: boot::rank(stated, &disk.item),
    }
}

/// Whether a setting of the disk's backing is there, and true.
fn says(disk: &SelectedDisk, key: &str) -> bool {
    let backing = format!("backing.{key}");
    let stated = disk.item.setting(&backing).or_else(|| disk.item.setting(key));
    stated.is_some_and(settings::is_true)
}

/// VMware says it of the place, in a setting of the machine: `scsi0:1.virtualSSD`.
fn is_solid_state(hardware: &Hardware, disk: &SelectedDisk) -> bool {
    let Some((controller, unit)) = disk.controller.as_ref().zip(disk.unit) else { return false };
    let key = format!("{}{}:{unit}.virtualSSD", controller.bus.as_str(), controller.number);
    settings::says(hardware, &key)
}

fn lost(disk: &SelectedDisk) -> Vec<DiskNote> {
    let mode = disk.item.setting("backing.diskMode").unwrap_or_default().to_ascii_lowercase();
    let is_independent = mode.starts_with("independent") || mode.ends_with("nonpersistent");
    let through = says(disk, "writeThrough").then_some(DiskNote::WriteThrough);
    through.into_iter().chain(is_independent.then_some(DiskNote::Independent)).collect()
}
