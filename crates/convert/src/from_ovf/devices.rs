//! Items of an OVF that are neither processor, memory, storage nor network.

use ovf::descriptor::{Item, resource};

use super::origin;
use crate::source::{Device, DeviceKind, SoundCard};

/// Items that every machine has.
const IMPLICIT: [&str; 6] = [
    "pcicontroller",
    "ps2controller",
    "siocontroller",
    "keyboard",
    "pointingdevice",
    "precisionclock",
];

/// Reads one item.
pub(super) fn read(item: &Item) -> Device {
    let kind = kind(item);
    let name = match (&item.subtype, &kind) {
        (Some(subtype), _) => subtype.clone(),
        (None, DeviceKind::Sound(_)) => "sound card".to_owned(),
        (None, _) => item.display_name(),
    };
    Device { origin: origin(item), kind, name }
}

/// Reads type and subtype. OVF leaves the number of many devices open; the subtype decides.
fn kind(item: &Item) -> DeviceKind {
    let words = item.subtype_words();
    let has = |part: &str| words.iter().any(|word| word.contains(part));
    match item.resource_type {
        Some(resource::PROCESSOR | resource::MEMORY) => DeviceKind::Repeated,
        _ if has("vtpm") => DeviceKind::Tpm,
        _ if has("vmci") => DeviceKind::Vmci,
        _ if has("nvdimm") => DeviceKind::Nvdimm,
        _ if has("pci.passthrough") || has("scsi.passthrough") => passthrough(item),
        Some(7..=9 | 18) => passthrough(item),
        Some(35) => DeviceKind::Sound(sound(&words, item)),
        _ if has("soundcard") => DeviceKind::Sound(sound(&words, item)),
        Some(resource::GRAPHICS) => DeviceKind::Video(kib_setting(item, "videoRamSizeInKB")),
        Some(20) if item.ovirt_type.as_deref() == Some("video") => {
            DeviceKind::Video(kib_setting(item, "videoRamSizeInKB"))
        }
        Some(resource::USB_CONTROLLER) => DeviceKind::Usb { xhci: has("xhci") },
        Some(resource::SERIAL_PORT) if has("thinprint") => DeviceKind::PrinterPort,
        Some(resource::SERIAL_PORT) => DeviceKind::Serial,
        Some(22) => DeviceKind::Parallel,
        _ if has("watchdog") => DeviceKind::Watchdog,
        _ if IMPLICIT.iter().any(|part| has(part)) => DeviceKind::Implicit,
        _ => match item.ovirt_type.as_deref() {
            Some("rng" | "balloon" | "channel" | "controller") => DeviceKind::Implicit,
            _ => DeviceKind::Unknown(item.resource_type.map_or_else(
                || "an item without a resource type".to_owned(),
                |number| format!("resource type {number} is not known"),
            )),
        },
    }
}

/// VirtualBox gives its cards resource type 35.
fn sound(words: &[String], item: &Item) -> SoundCard {
    let has = |part: &str| words.iter().any(|word| word.contains(part));
    match item.resource_type {
        _ if has("hdaudio") || has("hda") => SoundCard::Hda,
        _ if has("sb16") => SoundCard::Sb16,
        _ if has("ac97") => SoundCard::Ac97,
        Some(35) => SoundCard::VirtualBox,
        _ if has("ensoniq") => SoundCard::Ensoniq,
        _ => SoundCard::Unknown,
    }
}

fn kib_setting(item: &Item, key: &str) -> Option<u64> {
    item.setting(key)?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What the passed-through device is, as far as the descriptor says it.
fn passthrough(item: &Item) -> DeviceKind {
    let id = |key: &str| item.setting(key).and_then(pci_id);
    DeviceKind::Passthrough(id("backing.vendorId").zip(id("backing.deviceId")))
}

/// A PCI id: hexadecimal with or without `0x`, or a decimal number that was taken for a signed one.
pub(crate) fn pci_id(text: &str) -> Option<u16> {
    let text = text.trim();
    if let Some(negative) = text.strip_prefix('-') {
        let value: u16 = negative.parse().ok()?;
        return Some(value.wrapping_neg());
    }
    u16::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_ids_of_passed_through_devices() {
        for (text, want) in [
            ("-32634", Some(0x8086)),
            ("10d3", Some(0x10d3)),
            ("0x10D3", Some(0x10d3)),
            ("x", None),
        ] {
            assert_eq!(pci_id(text), want, "{text}");
        }
    }
}
