//! Everything that is neither processor, memory, storage nor network.

use code::Code;
use ovf::{
    descriptor::resource,
    writer::{Item, Setting},
};
use vm::{Sound, Usb, VideoModel};

use super::{Draft, Reader};
use crate::{Note, Row};

/// CIM's number of a sound card, as VirtualBox uses it.
const SOUND: u32 = 35;

/// Writes the devices, and says what has no place in an OVF.
pub(super) fn devices(draft: &mut Draft<'_>) {
    video(draft);
    sound(draft);
    usb(draft);
    serials(draft);
    if draft.machine.tpm {
        let subtype = Some("vmware.vtpm".to_owned());
        draft.add(Item { subtype, ..Item::new(0, resource::OTHER, "Virtual TPM") }, None);
        let text = "its content stays here; keys sealed to it are lost for the copy";
        let row = Row::kept("tpm", "TPM", "TPM 2.0", "an empty TPM 2.0");
        draft.say(row.changed().note(Note::new(Code::W0109, text)));
    }
    if draft.machine.watchdog {
        let subtype = Some("vmware.watchdogtimer".to_owned());
        let item = Item { subtype, is_optional: true, ..Item::new(0, resource::OTHER, "Watchdog") };
        draft.add(item, None);
        let note = Note::new(Code::W0106, "each product has a model of its own");
        let row = Row::kept("watchdog", "watchdog", "i6300ESB", "vmware.watchdogtimer");
        draft.say(row.changed().note(note));
    }
    let extras = [
        (draft.machine.agent_channel, "agent", "guest agent channel"),
        (draft.machine.rng, "rng", "virtio random numbers"),
        (draft.machine.balloon, "balloon", "virtio memory balloon"),
    ];
    for (_, id, what) in extras.into_iter().filter(|(is_there, ..)| *is_there) {
        let note = Note::new(Code::W0203, "a device of KVM; relift adds it when it imports");
        draft.say(Row::dropped(id, what, what, note));
    }
}

fn video(draft: &mut Draft<'_>) {
    let Some(video) = draft.machine.video else { return };
    let kib = video.memory_bytes.map(|bytes| (bytes >> 10).to_string());
    let settings = kib.map(|kib| Setting::new("videoRamSizeInKB", kib)).into_iter().collect();
    let item =
        Item { settings, is_optional: true, ..Item::new(0, resource::GRAPHICS, "Video card") };
    draft.add(item, None);
    let from = match video.model {
        VideoModel::Vga => "VGA",
        VideoModel::Virtio => "virtio-gpu",
    };
    let note = Note::new(Code::W0106, "each product has a card of its own");
    draft.say(Row::kept("video", "video", from, "the reader's own card").changed().note(note));
}

fn sound(draft: &mut Draft<'_>) {
    let Some(sound) = draft.machine.sound else { return };
    let subtype = match (draft.reader, sound) {
        (Reader::VirtualBox, Sound::Ac97 | Sound::Es1370) => "ensoniq1371",
        (_, Sound::Ich9) => "vmware.soundcard.hdaudio",
        (_, Sound::Sb16) => "vmware.soundcard.sb16",
        (Reader::Generic, Sound::Ac97) => "ac97",
        (_, Sound::Ac97 | Sound::Es1370) => "vmware.soundcard.ensoniq1371",
    };
    let kind = if subtype.starts_with("vmware.") { resource::OTHER } else { SOUND };
    let item = Item { subtype: Some(subtype.to_owned()), ..Item::new(0, kind, "Sound card") };
    draft.add(item, None);
    let row = Row::kept("sound", "sound", sound.as_str(), subtype);
    let same = matches!(sound, Sound::Ich9 | Sound::Sb16) || draft.reader == Reader::Generic;
    let note = Note::new(Code::W0106, "nearest model");
    draft.say(if same { row } else { row.changed().note(note) });
}

fn usb(draft: &mut Draft<'_>) {
    let Some(usb) = draft.machine.usb else { return };
    let (from, subtype) = match usb {
        Usb::Xhci => ("xHCI", Some("vmware.usb.xhci")),
        Usb::Ehci => ("EHCI", Some("vmware.usb.ehci")),
        Usb::Uhci => ("UHCI", None),
    };
    let subtype = subtype.filter(|_| draft.reader != Reader::VirtualBox);
    let item = Item {
        subtype: subtype.map(str::to_owned),
        is_optional: true,
        ..Item::new(0, resource::USB_CONTROLLER, "USB controller")
    };
    draft.add(item, None);
    draft.say(Row::kept("usb", "usb", from, subtype.unwrap_or("USB")));
}

fn serials(draft: &mut Draft<'_>) {
    for at in 0..draft.machine.serials.len() {
        let item = Item {
            subtype: Some("vmware.serialport.device".to_owned()),
            is_optional: true,
            connected: Some(false),
            ..Item::new(0, resource::SERIAL_PORT, format!("Serial port {}", at + 1))
        };
        draft.add(item, None);
        let note = Note::new(Code::W0105, "its other end is a device of the new host")
            .hint("choose one there, or remove the port");
        let row = Row::kept(&format!("serial{at}"), "serial port", "pseudo terminal", "device");
        draft.say(row.changed().note(note));
    }
}
