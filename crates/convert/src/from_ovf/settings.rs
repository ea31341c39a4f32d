//! What an OVF says in settings of VMware: keys with values, of the machine or of an item.

use ovf::descriptor::Hardware;
use vm::Uuid;

/// Settings that the map reads, or that mean nothing outside VMware's products.
const SILENT: &[&str] = &[
    "firmware",
    "bootOptions.efiSecureBootEnabled",
    "uefi.secureBoot.enabled",
    "flags.vbsEnabled",
    "nestedHVEnabled",
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

/// The keys that the map does not read.
pub(super) fn vendor_keys(hardware: &Hardware) -> Vec<String> {
    let all = hardware.config.iter().chain(&hardware.extra_config);
    all.map(|setting| setting.key.clone()).filter(|key| !is_silent(key)).collect()
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
