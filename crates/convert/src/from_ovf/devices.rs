//! Items of an OVF that are neither processor, memory, storage nor network.

use ovf::{
    descriptor::{Hardware, Item, VirtualSystem, resource},
    selection::SelectedSystem,
};

use super::{origin, settings};
use crate::source::{Device, DeviceKind, HostFeature, Origin, SoundCard, UsbClass};

/// Items that every machine has.
const IMPLICIT: [&str; 6] = [
    "pcicontroller",
    "ps2controller",
    "siocontroller",
    "keyboard",
    "pointingdevice",
    "precisionclock",
];

/// How many words of `OtherResourceType` count (ours; real ones have one).
const OTHER_WORDS: usize = 16;

/// Reads one item.
pub(super) fn read(stated: &VirtualSystem, system: &SelectedSystem, item: &Item) -> Device {
    let kind = match kind(item) {
        DeviceKind::HostAdapter { .. } => {
            DeviceKind::HostAdapter { carries_disk: carries_disk(system, item) }
        }
        // VirtualBox writes every card as the same one, and the truth into its own element.
        DeviceKind::Sound(card) => {
            let audio = stated.vbox.as_ref().and_then(|machine| machine.audio.as_deref());
            DeviceKind::Sound(audio.and_then(own_word).unwrap_or(card))
        }
        kind => kind,
    };
    let name = match (item.subtype.as_ref().or(item.other_resource_type.as_ref()), &kind) {
        (Some(named), _) => named.clone(),
        (None, DeviceKind::Sound(_)) => "sound card".to_owned(),
        (None, _) => item.display_name(),
    };
    Device { origin: origin(item), kind, name }
}

/// Features of the old host that settings of the machine speak of.
pub(super) fn features(hardware: &Hardware) -> impl Iterator<Item = Device> {
    let enclaves = hardware.setting("sgxInfo.epcSize").unwrap_or_default().trim();
    [
        ("sevEnabled", settings::says(hardware, "sevEnabled"), HostFeature::Sev),
        ("sgxInfo.epcSize", !matches!(enclaves, "" | "0"), HostFeature::Sgx),
        ("virtualSMCPresent", settings::says(hardware, "virtualSMCPresent"), HostFeature::AppleSmc),
    ]
    .into_iter()
    .filter(|(_, is_there, _)| *is_there)
    .map(|(key, _, feature)| Device {
        origin: Origin { row: key.to_owned(), ..Origin::default() },
        kind: DeviceKind::Feature(feature),
        name: key.to_owned(),
    })
}

/// Whether a disk says that the item is what it hangs on.
fn carries_disk(system: &SelectedSystem, item: &Item) -> bool {
    let id = item.instance_id.as_ref();
    id.is_some() && system.disks.iter().any(|disk| disk.item.parent.as_ref() == id)
}

/// The sound card of `vbox:Machine`, which beats the item.
fn own_word(audio: &str) -> Option<SoundCard> {
    Some(match audio.to_ascii_lowercase().as_str() {
        "hda" => SoundCard::Hda,
        "sb16" => SoundCard::Sb16,
        "ac97" => SoundCard::Ac97,
        _ => return None,
    })
}

/// Reads type and subtype. OVF leaves the number of many devices open; the subtype decides.
fn kind(item: &Item) -> DeviceKind {
    let mut words = item.subtype_words();
    // CIM: the text completes the types "other" and "unknown".
    if let (Some(0 | resource::OTHER), Some(other)) =
        (item.resource_type, &item.other_resource_type)
    {
        words.extend(other.split_whitespace().take(OTHER_WORDS).map(str::to_lowercase));
    }
    let has = |part: &str| words.iter().any(|word| word.contains(part));
    match item.resource_type {
        Some(resource::PROCESSOR | resource::MEMORY) => DeviceKind::Repeated,
        _ if has("vtpm") => DeviceKind::Tpm,
        _ if has("vmci") => DeviceKind::Vmci,
        _ if has("nvdimm") => DeviceKind::Nvdimm,
        _ if has("pci.passthrough") => passthrough(item),
        _ if has("scsi.passthrough") => DeviceKind::HostAdapter { carries_disk: false },
        Some(7..=9 | 18) => DeviceKind::HostAdapter { carries_disk: false },
        Some(35) => DeviceKind::Sound(sound(&words, item)),
        _ if has("soundcard") => DeviceKind::Sound(sound(&words, item)),
        Some(resource::GRAPHICS) => video(item),
        Some(20) if item.ovirt_type.as_deref() == Some("video") => video(item),
        Some(resource::USB_CONTROLLER) if has("xhci") => DeviceKind::Usb(UsbClass::Xhci),
        Some(resource::USB_CONTROLLER) if has("ehci") => DeviceKind::Usb(UsbClass::Ehci),
        Some(resource::USB_CONTROLLER) => DeviceKind::Usb(UsbClass::Unknown),
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

fn video(item: &Item) -> DeviceKind {
    DeviceKind::Video {
        memory_bytes: kib_setting(item, "videoRamSizeInKB"),
        displays: item.setting("numDisplays").and_then(|text| text.trim().parse().ok()),
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
    fn the_other_resource_type_says_what_the_number_leaves_open() {
        let item = |number: u32| Item {
            resource_type: Some(number),
            other_resource_type: Some("vmware.VMCI".to_owned()),
            ..Item::default()
        };
        for number in [0, 1] {
            assert_eq!(kind(&item(number)), DeviceKind::Vmci);
        }
        assert_eq!(kind(&item(21)), DeviceKind::Serial);
    }

    #[test]
    fn virtualbox_s_own_word_for_the_sound_card_counts() {
        for (audio, want) in [
            ("AC97", Some(SoundCard::Ac97)),
            ("HDA", Some(SoundCard::Hda)),
            ("SB16", Some(SoundCard::Sb16)),
            ("new", None),
        ] {
            assert_eq!(own_word(audio), want, "{audio}");
        }
    }

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
