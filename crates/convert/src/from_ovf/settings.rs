//! What an OVF says in settings of VMware: keys with values, of the machine or of an item.

use ovf::descriptor::{Hardware, Item, Quantity, resource};
use vm::Uuid;

/// Settings that the map reads, or that mean nothing outside VMware's products.
const SILENT: &[&str] = &[
    "firmware",
    "bootOptions.efiSecureBootEnabled",
    "uefi.secureBoot.enabled",
    "flags.vbsEnabled",
    "flags.vvtdEnabled",
    "nestedHVEnabled",
    "vPMCEnabled",
    "cpuHotAddEnabled",
    "memoryHotAddEnabled",
    "sevEnabled",
    "sgxInfo.",
    "virtualSMCPresent",
    "uuid",
    "uuid.bios",
    // libvirt gives every disk a serial number that the guest sees.
    "disk.enableUUID",
    "nvram",
    "tools.",
    "powerOpInfo.",
    "yieldOnPoll",
    "flags.enableMPTSupport",
    "enableMPTSupport",
    "slotInfo.",
    "wakeOnLanEnabled",
    "uptCompatibilityEnabled",
    "connectable.",
    "backing.",
    "videoRamSizeInKB",
];

/// Values with which a setting says what would be so without it.
const DEFAULTS: &[&str] = &["", "0", "-1", "false", "no", "none", "normal", "off", "unlimited"];

/// The settings that the map does not read and that say something, then the shares of processor and
/// memory that the old host was to keep for the machine.
pub(super) fn vendor_keys(hardware: &Hardware, items: &[Item]) -> Vec<String> {
    let all = hardware.config.iter().chain(&hardware.extra_config);
    let says = all.filter(|setting| {
        let value = setting.value.trim().to_ascii_lowercase();
        !DEFAULTS.contains(&value.as_str())
            && !is_silent(&setting.key)
            && !setting.key.to_ascii_lowercase().ends_with(".virtualssd")
    });
    says.map(|setting| setting.key.clone()).chain(items.iter().flat_map(shares)).collect()
}

/// What an item wants of the old host beside its quantity. Weight has no meaning by itself.
fn shares(item: &Item) -> Vec<String> {
    let name = match item.resource_type {
        Some(resource::PROCESSOR) => "processor",
        Some(resource::MEMORY) => "memory",
        _ => return Vec::new(),
    };
    let parts = [("reservation", &item.reservation), ("limit", &item.limit)];
    let is_some = |quantity: &Quantity| quantity.value.is_some_and(|value| value > 0);
    // Without a quantity the reservation is what is built.
    let stated = parts.into_iter().filter(|_| item.quantity.is_some());
    stated
        .filter(|(_, quantity)| quantity.as_ref().is_some_and(is_some))
        .map(|(part, _)| format!("{name} {part}"))
        .collect()
}

/// VMware's `uuid.bios`, as exporters write it.
pub(super) fn uuid(hardware: &Hardware) -> Option<Uuid> {
    ["uuid", "uuid.bios"].iter().find_map(|key| hardware.setting(key)?.parse().ok())
}

/// Whether a setting of the machine is there, and true.
pub(super) fn says(hardware: &Hardware, key: &str) -> bool {
    hardware.setting(key).is_some_and(is_true)
}

/// Reads a truth value as vendors write it.
pub(super) fn is_true(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "true" | "1" | "yes")
}

fn is_silent(key: &str) -> bool {
    SILENT.iter().any(|silent| {
        if silent.ends_with('.') {
            key.get(..silent.len()).is_some_and(|head| head.eq_ignore_ascii_case(silent))
        } else {
            key.eq_ignore_ascii_case(silent)
        }
    })
}
