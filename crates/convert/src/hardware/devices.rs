//! Everything that is neither processor, memory, storage nor network.

use code::Code;
use vm::{ByteSize, Chipset, Serial, SerialTarget, Sound, Usb, Video, VideoModel};

use super::{
    Scene, left_behind,
    offer::{self, Instead},
};
use crate::{
    Note, Profile, Row, Watchdog,
    guest::{Bits, Kind},
    source::{Device, DeviceKind, SoundCard, UsbClass},
};

/// The least video memory that is given: 16 MiB, QEMU's own default.
const MIN_VIDEO_BYTES: u64 = 16 << 20;

/// The most video memory that QEMU's VGA takes.
const MAX_VIDEO_BYTES: u64 = 256 << 20;

/// The screens that QEMU's virtio-gpu has at most.
const MAX_HEADS: u32 = 16;

/// A PC has four serial ports, and so has QEMU's.
const MAX_SERIALS: usize = 4;

/// What people call a watchdog timer.
const LABEL_WATCHDOG: &str = "watchdog";

/// The one that is built on request.
const WATCHDOG: &str = "i6300esb, without an action";

/// Devices of a machine, and a row for each item that they come from.
#[derive(Debug, Default)]
pub(crate) struct Devices {
    pub(crate) video: Option<Video>,
    pub(crate) sound: Option<Sound>,
    pub(crate) serials: Vec<Serial>,
    pub(crate) wants_tpm: bool,
    has_usb: bool,
    has_watchdog: bool,
    pub(crate) rows: Vec<Row>,
}

impl Devices {
    /// Whether a device is built that a machine has one of.
    fn has(&self, kind: &DeviceKind) -> bool {
        match kind {
            DeviceKind::Sound(_) => self.sound.is_some(),
            DeviceKind::Video { .. } => self.video.is_some(),
            DeviceKind::Usb(_) => self.has_usb,
            DeviceKind::Watchdog => self.has_watchdog,
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
        devices.video = Some(video(scene, None, None));
    }
    if scene.choices.watchdog == Watchdog::Add && !devices.has_watchdog {
        let id = devices.unique("watchdog".to_owned(), "watchdog");
        let row = Row::kept(&id, LABEL_WATCHDOG, "none", WATCHDOG).changed();
        devices.rows.push(row.because("set by you"));
    }
    if devices.serials.is_empty() {
        devices.serials.push(Serial { target: SerialTarget::Pty });
    }
    devices
}

/// The USB controller: the source's class, else xHCI where the guest is known to drive it (Windows
/// from 8, Linux from 2.6.36), or so likely to as a 64-bit one.
pub(crate) fn usb(scene: &Scene<'_>) -> Usb {
    let has =
        |class| scene.system.devices.iter().any(|device| device.kind == DeviceKind::Usb(class));
    let wanted = match (scene.guest.kind, scene.chipset) {
        _ if has(UsbClass::Xhci) => Usb::Xhci,
        (kind, Chipset::Pc) if kind.is_old() => Usb::Uhci,
        _ if has(UsbClass::Ehci) => Usb::Ehci,
        (Kind::Unknown, Chipset::Q35) if scene.guest.bits == Some(Bits::B64) => Usb::Xhci,
        (kind, _) if kind.is_old() => Usb::Ehci,
        (Kind::WindowsVista7 | Kind::Unknown, _) => Usb::Ehci,
        _ => Usb::Xhci,
    };
    offer::usb(&scene.choices.offer, wanted, scene.chipset)
}

/// The row of a USB controller: another class than the source's is the nearest model.
fn usb_row(scene: &Scene<'_>, id: &str, name: &str, class: UsbClass) -> Row {
    let ours = usb(scene);
    let to = match ours {
        Usb::Xhci => "xHCI and a tablet",
        Usb::Ehci => "EHCI and a tablet",
        Usb::Uhci => "UHCI and a tablet",
    };
    let row = Row::kept(id, "usb", name, to);
    match (class, ours) {
        (UsbClass::Xhci, Usb::Xhci) | (UsbClass::Ehci, Usb::Ehci) => {
            row.because("the same class of controller")
        }
        (UsbClass::Unknown, _) => row.because("a USB controller of the guest's age"),
        _ => row.changed().note(Note::new(Code::W0106, "a USB controller of the guest's age")),
    }
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
        DeviceKind::Video { memory_bytes, displays } => {
            let card = video(scene, *memory_bytes, *displays);
            devices.video = Some(card);
            video_row(&id, card, *displays)
        }
        DeviceKind::Usb(class) => {
            devices.has_usb = true;
            usb_row(scene, &id, name, *class)
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
        DeviceKind::Watchdog if scene.choices.watchdog == Watchdog::Add => {
            devices.has_watchdog = true;
            Row::kept(&id, label, &**name, WATCHDOG)
                .changed()
                .note(Note::new(Code::W0106, "the model that QEMU and most guests have"))
        }
        DeviceKind::Watchdog => {
            let note = Note::new(Code::W0203, "nothing proves that the guest feeds it");
            Row::dropped(&id, label, &**name, note.hint("--watchdog"))
        }
        other => left_behind::row(device, (&id, label), other),
    }
}

/// The id of a device that a machine has one of.
const fn only(kind: &DeviceKind) -> Option<&'static str> {
    match kind {
        DeviceKind::Sound(_) => Some("sound"),
        DeviceKind::Video { .. } => Some("video"),
        DeviceKind::Usb(_) => Some("usb"),
        DeviceKind::Watchdog => Some("watchdog"),
        DeviceKind::Tpm => Some("tpm"),
        _ => None,
    }
}

const fn label(kind: &DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Sound(_) => "sound",
        DeviceKind::Video { .. } => "video",
        DeviceKind::Usb(_) => "usb",
        DeviceKind::Serial | DeviceKind::PrinterPort => "serial port",
        DeviceKind::Parallel => "parallel port",
        DeviceKind::Tpm => "TPM",
        DeviceKind::Watchdog => LABEL_WATCHDOG,
        DeviceKind::Vmci => "VMCI",
        DeviceKind::SharedFolder => "shared folder",
        DeviceKind::Nvdimm => "NVDIMM",
        DeviceKind::Passthrough(_) | DeviceKind::HostAdapter { .. } => "host device",
        DeviceKind::Feature(_) => "host feature",
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
    if scene.guest.is_server() {
        return drop("a server has no listener");
    }
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

/// More screens than one take virtio-gpu, which the user must ask for.
fn video(scene: &Scene<'_>, bytes: Option<u64>, displays: Option<u32>) -> Video {
    if scene.choices.profile == Profile::Virtio {
        let heads = displays.unwrap_or(1).clamp(1, MAX_HEADS);
        let card = Video { model: VideoModel::Virtio, memory_bytes: None, heads };
        return offer::video(&scene.choices.offer, card);
    }
    let wanted = bytes.unwrap_or(MIN_VIDEO_BYTES).clamp(MIN_VIDEO_BYTES, MAX_VIDEO_BYTES);
    let memory_bytes = Some(wanted.next_power_of_two());
    let card = Video { model: VideoModel::Vga, memory_bytes, heads: 1 };
    offer::video(&scene.choices.offer, card)
}

fn video_row(id: &str, card: Video, displays: Option<u32>) -> Row {
    let row = Row::kept(id, "video", "VMware SVGA", describe_video(card)).changed();
    let row = row.note(Note::new(Code::W0106, "the nearest card that QEMU and every guest have"));
    match displays {
        Some(count) if count > card.heads => {
            let text = format!("{count} screens, and the card has {}", card.heads);
            row.note(Note::new(Code::W0106, text).hint("--profile virtio has up to 16"))
        }
        _ => row,
    }
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
