//! Everything that is neither processor, memory, storage nor network.

use code::Code;
use vm::{ByteSize, Chipset, Serial, SerialTarget, Sound, Usb, Video, VideoModel};

use super::{
    Scene,
    offer::{self, Instead},
};
use crate::{
    Note, Profile, Row,
    guest::{Bits, Kind},
    source::{Device, DeviceKind, SoundCard},
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
    fn has(&self, kind: &DeviceKind) -> bool {
        match kind {
            DeviceKind::Sound(_) => self.sound.is_some(),
            DeviceKind::Video(_) => self.video.is_some(),
            DeviceKind::Usb { .. } => self.has_usb,
            DeviceKind::Tpm => self.wants_tpm,
            _ => false,
        }
    }

    /// An id that no row has: the wanted one, else the item's own, else that with a number.
    fn unique(&self, wanted: String, own: &str) -> String {
        let numbered = (2..).map(|number| format!("{own}-{number}"));
        let mut ids = [wanted.clone(), own.to_owned()].into_iter().chain(numbered);
        let is_free = |id: &String| self.rows.iter().all(|row| row.item != *id);
        ids.find(is_free).unwrap_or(wanted)
    }
}

/// Goes through the items that no other file of the map reads.
pub(crate) fn build(scene: &Scene<'_>) -> Devices {
    let mut devices = Devices::default();
    for device in &scene.system.devices {
        let row = one(scene, device, &mut devices);
        devices.rows.push(row.at(&device.origin.path));
    }
    if scene.system.tpm && !devices.wants_tpm {
        devices.wants_tpm = true;
        devices.rows.push(
            Row::kept("tpm", "TPM", "TPM", "TPM 2.0, emulated")
                .note(empty_tpm())
                .note_if(offer::missing_tpm(scene)),
        );
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
    let xhci = DeviceKind::Usb { xhci: true };
    let proven = scene.system.devices.iter().any(|device| device.kind == xhci);
    let wanted = match (scene.guest.kind, scene.chipset) {
        _ if proven => Usb::Xhci,
        (kind, Chipset::Pc) if kind.is_old() => Usb::Uhci,
        (Kind::Unknown, Chipset::Q35) if scene.guest.bits == Some(Bits::B64) => Usb::Xhci,
        (kind, _) if kind.is_old() => Usb::Ehci,
        (Kind::WindowsVista7 | Kind::Unknown, _) => Usb::Ehci,
        _ => Usb::Xhci,
    };
    offer::usb(&scene.choices.offer, wanted, scene.chipset)
}

/// What becomes of one device.
fn one(scene: &Scene<'_>, device: &Device, devices: &mut Devices) -> Row {
    let Device { origin, kind, name } = device;
    let label = label(kind);
    let dropped =
        |id: &str, code: Code, text: &str| Row::dropped(id, label, &**name, Note::new(code, text));
    let id = match kind {
        DeviceKind::Serial => format!("serial{}", devices.serials.len()),
        _ => only(kind).unwrap_or(&origin.row).to_owned(),
    };
    let is_left_out = scene.ignores(&id, origin);
    let id = devices.unique(id, &origin.row);
    if is_left_out {
        return dropped(&id, Code::W0203, "left out on request");
    }
    if devices.has(kind) {
        return dropped(&id, Code::W0203, "a machine has one");
    }
    match kind {
        DeviceKind::Sound(card) => sound(scene, (device, &id), *card, devices),
        DeviceKind::Video(bytes) => {
            let card = video(scene, *bytes);
            devices.video = Some(card);
            Row::kept(&id, label, "VMware SVGA", describe_video(card))
                .changed()
                .note(Note::new(Code::W0106, "the nearest card that QEMU and every guest have"))
        }
        DeviceKind::Usb { .. } => {
            devices.has_usb = true;
            let to = match usb(scene) {
                Usb::Xhci => "xHCI and a tablet",
                Usb::Ehci => "EHCI and a tablet",
                Usb::Uhci => "UHCI and a tablet",
            };
            Row::kept(&id, label, &**name, to).because("a USB controller of the guest's age")
        }
        DeviceKind::Serial if devices.serials.len() >= MAX_SERIALS => {
            dropped(&id, Code::W0203, "a PC has four serial ports")
        }
        DeviceKind::Serial => {
            devices.serials.push(Serial { target: SerialTarget::Pty });
            let text = "host paths are not carried over; open it with virsh console";
            Row::kept(&id, label, &**name, "pseudo terminal")
                .changed()
                .note(Note::new(Code::W0105, text))
        }
        DeviceKind::Tpm => {
            devices.wants_tpm = true;
            Row::kept(&id, label, &**name, "TPM 2.0, emulated")
                .changed()
                .note(empty_tpm())
                .note_if(offer::missing_tpm(scene))
        }
        DeviceKind::Implicit => Row::kept(&id, label, &**name, "part of the machine"),
        DeviceKind::PrinterPort => dropped(&id, Code::W0203, "VMware's virtual printer"),
        DeviceKind::Parallel => dropped(&id, Code::W0203, "no printer is there on the host"),
        DeviceKind::Watchdog => dropped(&id, Code::W0203, "nothing proves that the guest feeds it"),
        DeviceKind::Vmci => dropped(&id, Code::W0201, "VMware-only device"),
        DeviceKind::SharedFolder => {
            dropped(&id, Code::W0201, "VMware shares a folder of the old host with the guest")
        }
        DeviceKind::Nvdimm => {
            dropped(&id, Code::W0207, "its content lies in a file of the old host")
        }
        DeviceKind::Repeated => dropped(&id, Code::W0203, "said twice; the first one counts"),
        DeviceKind::Passthrough(ids) => {
            let note = Note::blocker(Code::W0206, passthrough(*ids))
                .hint(format!("--ignore {id}, if the guest works without it"));
            Row::blocked(&id, label, &**name, note)
        }
        DeviceKind::Unknown(what) => unknown(device, &id, what),
    }
}

/// The id of a device that a machine has one of.
const fn only(kind: &DeviceKind) -> Option<&'static str> {
    match kind {
        DeviceKind::Sound(_) => Some("sound"),
        DeviceKind::Video(_) => Some("video"),
        DeviceKind::Usb { .. } => Some("usb"),
        DeviceKind::Tpm => Some("tpm"),
        _ => None,
    }
}

const fn label(kind: &DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Sound(_) => "sound",
        DeviceKind::Video(_) => "video",
        DeviceKind::Usb { .. } => "usb",
        DeviceKind::Serial | DeviceKind::PrinterPort => "serial port",
        DeviceKind::Parallel => "parallel port",
        DeviceKind::Tpm => "TPM",
        DeviceKind::Watchdog => "watchdog",
        DeviceKind::Vmci => "VMCI",
        DeviceKind::SharedFolder => "shared folder",
        DeviceKind::Nvdimm => "NVDIMM",
        DeviceKind::Passthrough(_) => "host device",
        DeviceKind::Implicit => "board device",
        DeviceKind::Repeated | DeviceKind::Unknown(_) => "item",
    }
}

fn sound(
    scene: &Scene<'_>,
    (device, id): (&Device, &str),
    card: SoundCard,
    devices: &mut Devices,
) -> Row {
    let short = device.name.trim_start_matches("vmware.soundcard.").to_owned();
    let drop = |text: &str| Row::dropped(id, "sound", short.clone(), Note::new(Code::W0203, text));
    if scene.choices.profile == Profile::Virtio {
        return drop("profile virtio has no sound card");
    }
    let ours = match card {
        SoundCard::Hda => Sound::Ich9,
        SoundCard::Sb16 if scene.chipset == Chipset::Pc => Sound::Sb16,
        SoundCard::Sb16 => return drop("q35 has no ISA sound card"),
        SoundCard::Ac97 | SoundCard::VirtualBox => Sound::Ac97,
        SoundCard::Ensoniq => Sound::Es1370,
        SoundCard::Unknown => return drop("unknown sound card"),
    };
    let same = matches!(card, SoundCard::Hda | SoundCard::Sb16 | SoundCard::Ac97);
    if !same && device.origin.required == Some(false) {
        return drop("not required, and QEMU has another model only");
    }
    let nearest = || "nearest model".to_owned();
    let (ours, why) = match offer::sound(&scene.choices.offer, ours) {
        Instead::Same => (ours, (!same).then(nearest)),
        Instead::Next(next, why) => (next, Some(why)),
        Instead::Nothing(why) => return drop(&why),
    };
    devices.sound = Some(ours);
    let row = Row::kept(id, "sound", short, ours.as_str());
    match why {
        Some(why) => row.changed().note(Note::new(Code::W0106, why)),
        None => row,
    }
}

fn video(scene: &Scene<'_>, bytes: Option<u64>) -> Video {
    if scene.choices.profile == Profile::Virtio {
        let card = Video { model: VideoModel::Virtio, memory_bytes: None };
        return offer::video(&scene.choices.offer, card);
    }
    let wanted = bytes.unwrap_or(MIN_VIDEO_BYTES).clamp(MIN_VIDEO_BYTES, MAX_VIDEO_BYTES);
    let card = Video { model: VideoModel::Vga, memory_bytes: Some(wanted.next_power_of_two()) };
    offer::video(&scene.choices.offer, card)
}

fn describe_video(card: Video) -> String {
    let name = match card.model {
        VideoModel::Vga => "VGA",
        VideoModel::Virtio => "virtio-gpu",
    };
    card.memory_bytes
        .map_or_else(|| name.to_owned(), |bytes| format!("{name}, {}", ByteSize(bytes)))
}

fn empty_tpm() -> Note {
    Note::new(Code::W0109, "its content cannot leave the old host; keys sealed to it are lost")
        .hint("have the recovery keys of encrypted disks at hand")
}

/// What the passed-through device is, as far as the source says it.
fn passthrough(ids: Option<(u16, u16)>) -> String {
    match ids {
        Some((vendor, device)) => {
            format!("the device {vendor:04x}:{device:04x} of the old host is not here")
        }
        None => "a device of the old host is not here".to_owned(),
    }
}

/// An item that the map does not know: required ones wait for somebody.
fn unknown(device: &Device, id: &str, what: &str) -> Row {
    if device.origin.required == Some(true) {
        let note = Note::blocker(Code::E0305, format!("{what}, and the package requires it"))
            .hint(format!("--ignore {id}, if the guest works without it"));
        return Row::blocked(id, "item", &*device.name, note);
    }
    Row::dropped(id, "item", &*device.name, Note::new(Code::W0204, what))
}
