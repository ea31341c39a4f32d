//! Everything that is neither processor, memory, storage nor network.

use code::Code;
use ovf::descriptor::{Item, resource};
use vm::{ByteSize, Chipset, Serial, SerialTarget, Sound, Usb, Video, VideoModel};

use super::{Scene, item_id};
use crate::{
    Note, Profile, Row,
    guest::{Bits, Kind},
    hardware::storage,
};

/// The least video memory that is given: 16 MiB, QEMU's own default.
const MIN_VIDEO_BYTES: u64 = 16 << 20;

/// The most video memory that QEMU's VGA takes.
const MAX_VIDEO_BYTES: u64 = 256 << 20;

/// A PC has four serial ports, and so has QEMU's.
const MAX_SERIALS: usize = 4;

/// Devices of a machine, and a row for each item that they come from.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    pub(crate) video: Option<Video>,
    pub(crate) sound: Option<Sound>,
    pub(crate) serials: Vec<Serial>,
    pub(crate) wants_tpm: bool,
    has_usb: bool,
    pub(crate) rows: Vec<Row>,
}

impl Devices {
    /// Whether a device is built that a machine has one of.
    fn has(&self, kind: What) -> bool {
        match kind {
            What::Sound => self.sound.is_some(),
            What::Video => self.video.is_some(),
            What::Usb => self.has_usb,
            What::Tpm => self.wants_tpm,
            _ => false,
        }
    }
}

/// Goes through the items that no other file of the map reads.
pub(crate) fn build(scene: &Scene<'_>) -> Devices {
    let mut devices = Devices::default();
    for item in scene.system.items.iter().filter(|item| is_other(scene, item)) {
        let row = one(scene, item, &mut devices);
        devices.rows.push(row.at(&item.origin.path));
    }
    if scene.system.tpm && !devices.wants_tpm {
        devices.wants_tpm = true;
        devices.rows.push(Row::kept("tpm", "TPM", "TPM", "TPM 2.0, emulated").note(empty_tpm()));
    }
    if devices.video.is_none() {
        devices.video = Some(video(scene, None));
    }
    if devices.serials.is_empty() {
        devices.serials.push(Serial { target: SerialTarget::Pty });
    }
    devices
}

/// The USB controller: xHCI where the guest is known to drive it (Windows from 8, Linux from 2.6.36),
/// or so likely to as a 64-bit one.
pub(crate) fn usb(scene: &Scene<'_>) -> Usb {
    let proven = scene.system.items.iter().any(|item| {
        item.resource_type == Some(resource::USB_CONTROLLER)
            && item.subtype_words().iter().any(|word| word.contains("xhci"))
    });
    match (scene.guest.kind, scene.chipset) {
        _ if proven => Usb::Xhci,
        (kind, Chipset::Pc) if kind.is_old() => Usb::Uhci,
        (Kind::Unknown, Chipset::Q35) if scene.guest.bits == Some(Bits::B64) => Usb::Xhci,
        (kind, _) if kind.is_old() => Usb::Ehci,
        (Kind::WindowsVista7 | Kind::Unknown, _) => Usb::Ehci,
        _ => Usb::Xhci,
    }
}

/// Whether no other file of the map reads the item.
fn is_other(scene: &Scene<'_>, item: &Item) -> bool {
    let system = scene.system;
    let path = &item.origin.path;
    let drives = system.cdroms.iter().chain(&system.floppies);
    let read = system.disks.iter().map(|disk| &disk.item.origin.path);
    let read = read.chain(drives.map(|drive| &drive.item.origin.path));
    let mut read = read.chain(system.nics.iter().map(|nic| &nic.item.origin.path));
    !storage::is_controller(item)
        && !matches!(item.resource_type, Some(resource::PROCESSOR | resource::MEMORY))
        && !read.any(|other| other == path)
}

/// What becomes of one item.
fn one(scene: &Scene<'_>, item: &Item, devices: &mut Devices) -> Row {
    let words = item.subtype_words();
    let kind = kind(item, &words);
    let name = item.subtype.clone().unwrap_or_else(|| item.display_name());
    let dropped =
        |id: &str, text: &str| Row::dropped(id, kind.label(), &*name, Note::new(Code::W0203, text));
    let own_id = item_id(item);
    let id = match (kind.only(), kind) {
        (Some(only), _) => only.to_owned(),
        (None, What::Serial) => format!("serial{}", devices.serials.len()),
        (None, _) => own_id.clone(),
    };
    let is_left_out = scene.ignores(&id, item);
    // A second item of a kind keeps its own id, so that ids are unique.
    let is_taken = devices.rows.iter().any(|row| row.item == id);
    let id = if is_taken { own_id } else { id };
    if is_left_out {
        return dropped(&id, "left out on request");
    }
    if devices.has(kind) {
        return dropped(&id, "a machine has one");
    }
    match kind {
        What::Sound => sound(scene, (item, &id), &words, devices),
        What::Video => {
            let bytes = kib_setting(item, "videoRamSizeInKB");
            let card = video(scene, bytes);
            devices.video = Some(card);
            Row::kept(&id, "video", "VMware SVGA", describe_video(card))
                .changed()
                .note(Note::new(Code::W0106, "the nearest card that QEMU and every guest have"))
        }
        What::Usb => {
            devices.has_usb = true;
            let to = match usb(scene) {
                Usb::Xhci => "xHCI and a tablet",
                Usb::Ehci => "EHCI and a tablet",
                Usb::Uhci => "UHCI and a tablet",
            };
            Row::kept(&id, "usb", name, to).because("a USB controller of the guest's age")
        }
        What::Serial if devices.serials.len() >= MAX_SERIALS => {
            dropped(&id, "a PC has four serial ports")
        }
        What::Serial => {
            devices.serials.push(Serial { target: SerialTarget::Pty });
            let text = "host paths are not carried over; open it with virsh console";
            Row::kept(&id, "serial port", name, "pseudo terminal")
                .changed()
                .note(Note::new(Code::W0105, text))
        }
        What::Tpm => {
            devices.wants_tpm = true;
            Row::kept(&id, "TPM", name, "TPM 2.0, emulated").changed().note(empty_tpm())
        }
        What::Implicit => Row::kept(&id, kind.label(), name, "part of the machine"),
        What::Dropped(label, code, text) => Row::dropped(&id, label, name, Note::new(code, text)),
        What::Passthrough => {
            let note = Note::blocker(Code::W0206, passthrough(item))
                .hint(format!("--ignore {id}, if the guest works without it"));
            Row::blocked(&id, kind.label(), name, note)
        }
        What::Unknown => unknown(item, &id, &name),
    }
}

/// Kinds of items, as far as they are treated differently.
#[derive(Debug, Clone, Copy)]
enum What {
    Sound,
    Video,
    Usb,
    Serial,
    Tpm,
    Implicit,
    Dropped(&'static str, Code, &'static str),
    Passthrough,
    Unknown,
}

impl What {
    /// The id of a device that a machine has one of.
    const fn only(self) -> Option<&'static str> {
        match self {
            Self::Sound => Some("sound"),
            Self::Video => Some("video"),
            Self::Usb => Some("usb"),
            Self::Tpm => Some("tpm"),
            _ => None,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Video => "video",
            Self::Usb => "usb",
            Self::Serial => "serial port",
            Self::Tpm => "TPM",
            Self::Implicit => "board device",
            Self::Dropped(label, ..) => label,
            Self::Passthrough => "host device",
            Self::Unknown => "item",
        }
    }
}

/// Reads type and subtype. OVF leaves the number of many devices open; the subtype decides.
fn kind(item: &Item, words: &[String]) -> What {
    let has = |part: &str| words.iter().any(|word| word.contains(part));
    match item.resource_type {
        _ if has("vtpm") => What::Tpm,
        _ if has("vmci") => What::Dropped("VMCI", Code::W0201, "VMware-only device"),
        _ if has("nvdimm") => {
            What::Dropped("NVDIMM", Code::W0207, "its content lies in a file of the old host")
        }
        _ if has("pci.passthrough") || has("scsi.passthrough") => What::Passthrough,
        Some(7..=9) => What::Passthrough,
        Some(18) => What::Passthrough,
        _ if has("soundcard") => What::Sound,
        Some(35) => What::Sound,
        Some(resource::GRAPHICS) => What::Video,
        Some(20) if item.ovirt_type.as_deref() == Some("video") => What::Video,
        Some(resource::USB_CONTROLLER) => What::Usb,
        Some(resource::SERIAL_PORT) if has("thinprint") => {
            What::Dropped("serial port", Code::W0203, "VMware's virtual printer")
        }
        Some(resource::SERIAL_PORT) => What::Serial,
        Some(22) => What::Dropped("parallel port", Code::W0203, "no printer is there on the host"),
        _ if has("watchdog") => {
            What::Dropped("watchdog", Code::W0203, "nothing proves that the guest feeds it")
        }
        _ if [
            "pcicontroller",
            "ps2controller",
            "siocontroller",
            "keyboard",
            "pointingdevice",
            "precisionclock",
        ]
        .iter()
        .any(|part| has(part)) =>
        {
            What::Implicit
        }
        _ => match item.ovirt_type.as_deref() {
            Some("rng" | "balloon" | "channel" | "controller") => What::Implicit,
            _ => What::Unknown,
        },
    }
}

fn sound(
    scene: &Scene<'_>,
    (item, id): (&Item, &str),
    words: &[String],
    devices: &mut Devices,
) -> Row {
    let name = item.subtype.clone().unwrap_or_else(|| "sound card".to_owned());
    let short = name.trim_start_matches("vmware.soundcard.").to_owned();
    let drop = |text: &str| Row::dropped(id, "sound", short.clone(), Note::new(Code::W0203, text));
    if scene.choices.profile == Profile::Virtio {
        return drop("profile virtio has no sound card");
    }
    let has = |part: &str| words.iter().any(|word| word.contains(part));
    let from_virtualbox = item.resource_type == Some(35);
    let card = match () {
        () if has("hdaudio") || has("hda") => Sound::Ich9,
        () if has("sb16") && scene.chipset == Chipset::Pc => Sound::Sb16,
        () if has("sb16") => return drop("q35 has no ISA sound card"),
        () if from_virtualbox || has("ac97") => Sound::Ac97,
        () if has("ensoniq") => Sound::Es1370,
        () => return drop("unknown sound card"),
    };
    let same = matches!(card, Sound::Ich9 | Sound::Sb16) || has("ac97");
    if !same && item.required == Some(false) {
        return drop("not required, and QEMU has another model only");
    }
    devices.sound = Some(card);
    let row = Row::kept(id, "sound", short, card.as_str());
    if same { row } else { row.changed().note(Note::new(Code::W0106, "nearest model")) }
}

fn video(scene: &Scene<'_>, bytes: Option<u64>) -> Video {
    if scene.choices.profile == Profile::Virtio {
        return Video { model: VideoModel::Virtio, memory_bytes: None };
    }
    let wanted = bytes.unwrap_or(MIN_VIDEO_BYTES).clamp(MIN_VIDEO_BYTES, MAX_VIDEO_BYTES);
    Video { model: VideoModel::Vga, memory_bytes: Some(wanted.next_power_of_two()) }
}

fn describe_video(card: Video) -> String {
    let name = match card.model {
        VideoModel::Vga => "VGA",
        VideoModel::Virtio => "virtio-gpu",
    };
    card.memory_bytes
        .map_or_else(|| name.to_owned(), |bytes| format!("{name}, {}", ByteSize(bytes)))
}

fn kib_setting(item: &Item, key: &str) -> Option<u64> {
    item.setting(key)?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

fn empty_tpm() -> Note {
    Note::new(Code::W0109, "its content cannot leave the old host; keys sealed to it are lost")
        .hint("have the recovery keys of encrypted disks at hand")
}

/// What the passed-through device is, as far as the descriptor says it.
fn passthrough(item: &Item) -> String {
    let id = |key: &str| item.setting(key).and_then(pci_id);
    match (id("backing.vendorId"), id("backing.deviceId")) {
        (Some(vendor), Some(device)) => {
            format!("the device {vendor:04x}:{device:04x} of the old host is not here")
        }
        _ => "a device of the old host is not here".to_owned(),
    }
}

/// A PCI id: hexadecimal with or without `0x`, or a decimal number that was taken for a signed one.
fn pci_id(text: &str) -> Option<u16> {
    let text = text.trim();
    if let Some(negative) = text.strip_prefix('-') {
        let value: u16 = negative.parse().ok()?;
        return Some(value.wrapping_neg());
    }
    u16::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

/// An item that the map does not know: required ones wait for somebody.
fn unknown(item: &Item, id: &str, name: &str) -> Row {
    let what = item.resource_type.map_or_else(
        || "an item without a resource type".to_owned(),
        |number| format!("resource type {number} is not known"),
    );
    if item.required == Some(true) {
        let note = Note::blocker(Code::E0305, format!("{what}, and the package requires it"))
            .hint(format!("--ignore {id}, if the guest works without it"));
        return Row::blocked(id, "item", name, note);
    }
    Row::dropped(id, "item", name, Note::new(Code::W0204, what))
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
