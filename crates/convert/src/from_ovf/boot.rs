//! Which device an OVF wants the firmware to try first.
//!
//! A list of the whole system (`vmw:BootOrderSection`, the `BootDeviceSection` of OVF 2, DSP0243
//! 9.15) beats the `BootOrder` of an item.

use ovf::descriptor::{BootEntry, Item, VirtualSystem, resource};

/// The place of an item in the source's boot order; smaller is earlier.
pub(super) fn rank(stated: &VirtualSystem, item: &Item) -> Option<u32> {
    let listed = stated.boot_order.iter().position(|entry| names(entry, item));
    let listed = listed.and_then(|at| u32::try_from(at).ok());
    listed.or(item.boot_order)
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
