//! What the host cannot give: the next device in place of one that its QEMU lacks.
//!
//! Every choice of the map passes here last. Without a host nothing is missing, and each choice stays.

use code::Code;
use vm::{Chipset, ControllerModel, Firmware, NicModel, Offer, Sound, Usb, Video, VideoModel};

use super::{Scene, storage::Hang};
use crate::Note;

/// Buses that take the place of a missing one, all of them readable by both kinds of firmware.
const NEXT_BUSES: [Hang; 4] = [
    Hang::Controller(ControllerModel::Ahci),
    Hang::Controller(ControllerModel::VirtioScsi),
    Hang::VirtioBlk,
    Hang::Controller(ControllerModel::Ide),
];

/// Cards that take the place of a missing one; virtio, the only one that needs a driver of this
/// century, is last.
const NEXT_CARDS: [NicModel; 5] =
    [NicModel::E1000e, NicModel::E1000, NicModel::Rtl8139, NicModel::Pcnet, NicModel::Virtio];

/// Sound cards that take the place of a missing one.
const NEXT_SOUNDS: [Sound; 3] = [Sound::Ac97, Sound::Ich9, Sound::Es1370];

/// What became of a choice that the host was asked about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Instead<T> {
    /// It stays.
    Same,
    /// The next one, and why.
    Next(T, String),
    /// The host has none.
    Nothing(String),
}

/// Whether a machine there can have IDE at all.
pub(crate) fn has_ide(offer: &Offer) -> bool {
    offer.chipsets.contains(&Chipset::Pc) && offer.controllers.contains(&ControllerModel::Ide)
}

/// The board, or the other one where the host has only that.
pub(crate) fn board(offer: &Offer, wanted: Chipset) -> Chipset {
    match offer.chipsets.as_slice() {
        [only] => *only,
        _ => wanted,
    }
}

/// What a disk hangs on; `may_be_ide` says whether the board can have IDE.
pub(crate) fn bus(offer: &Offer, wanted: Hang, may_be_ide: bool) -> Instead<Hang> {
    let has = |hang: &Hang| match hang {
        Hang::VirtioBlk => offer.virtio_blk,
        Hang::Controller(ControllerModel::Ide) => may_be_ide && has_ide(offer),
        Hang::Controller(model) => offer.controllers.contains(model),
    };
    // Whether IDE may be wanted is not asked here.
    let is_there = match wanted {
        Hang::Controller(ControllerModel::Ide) => has_ide(offer),
        other => has(&other),
    };
    if is_there {
        return Instead::Same;
    }
    next(lacks(wanted.describe()), NEXT_BUSES.into_iter().find(has), Hang::describe)
}

/// The model of a network card.
pub(crate) fn card(offer: &Offer, wanted: NicModel) -> Instead<NicModel> {
    let has = |model: &NicModel| offer.nics.contains(model);
    if has(&wanted) {
        return Instead::Same;
    }
    next(lacks(wanted.as_str()), NEXT_CARDS.into_iter().find(has), NicModel::as_str)
}

/// The model of a sound card.
pub(crate) fn sound(offer: &Offer, wanted: Sound) -> Instead<Sound> {
    let has = |card: &Sound| offer.sounds.contains(card);
    if has(&wanted) {
        return Instead::Same;
    }
    next(lacks(wanted.as_str()), NEXT_SOUNDS.into_iter().find(has), Sound::as_str)
}

/// The reason for another device than this one.
pub(crate) fn lacks(name: &str) -> String {
    format!("the host's QEMU has no {name}")
}

fn next<T: Copy>(why: String, next: Option<T>, name: fn(T) -> &'static str) -> Instead<T> {
    match next {
        Some(next) => Instead::Next(next, format!("{why}; {} is the next", name(next))),
        None => Instead::Nothing(why),
    }
}

/// The graphics card: the other model where the host has only that.
pub(crate) fn video(offer: &Offer, wanted: Video) -> Video {
    if offer.videos.contains(&wanted.model) {
        return wanted;
    }
    match offer.videos.first() {
        Some(VideoModel::Virtio) => {
            Video { model: VideoModel::Virtio, memory_bytes: None, ..wanted }
        }
        Some(VideoModel::Vga) => Video { model: VideoModel::Vga, heads: 1, ..wanted },
        None => wanted,
    }
}

/// The USB controller: the next older one, else the newest that the host has.
pub(crate) fn usb(offer: &Offer, wanted: Usb, chipset: Chipset) -> Usb {
    let has =
        |model: &Usb| offer.usbs.contains(model) && (*model != Usb::Uhci || chipset == Chipset::Pc);
    let older = match wanted {
        Usb::Xhci => [Usb::Xhci, Usb::Ehci, Usb::Uhci],
        Usb::Ehci => [Usb::Ehci, Usb::Uhci, Usb::Xhci],
        Usb::Uhci => [Usb::Uhci, Usb::Ehci, Usb::Xhci],
    };
    older.into_iter().find(has).unwrap_or(wanted)
}

/// A warning where the machine's firmware is not installed on the host.
pub(crate) fn missing_firmware(offer: &Offer, firmware: Firmware) -> Option<Note> {
    let name = match firmware {
        _ if offer.firmwares.contains(&firmware) => return None,
        Firmware::UefiSecure => "UEFI firmware with Secure Boot",
        Firmware::Uefi | Firmware::Bios => "such firmware",
    };
    let text = format!("the host has no {name}: the machine does not start there");
    Some(Note::new(Code::W0108, text).hint("install ovmf (edk2-ovmf) on the host"))
}

/// A warning where the host cannot emulate a TPM.
pub(crate) fn missing_tpm(scene: &Scene<'_>) -> Option<Note> {
    let text = "the host cannot emulate a TPM: the machine does not start there";
    let note = || Note::new(Code::W0109, text).hint("install swtpm and swtpm-tools on the host");
    (!scene.choices.offer.tpm).then(note)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VMPVSCSI: Hang = Hang::Controller(ControllerModel::VmPvScsi);
    const AHCI: Hang = Hang::Controller(ControllerModel::Ahci);
    const IDE: Hang = Hang::Controller(ControllerModel::Ide);

    /// What the QEMU of an Enterprise Linux 9 host has.
    fn el9() -> Offer {
        Offer {
            controllers: vec![ControllerModel::Ahci, ControllerModel::VirtioScsi],
            nics: vec![NicModel::Virtio, NicModel::E1000e],
            sounds: vec![Sound::Ich9],
            usbs: vec![Usb::Xhci],
            ..Offer::default()
        }
    }

    #[test]
    fn without_a_host_every_choice_stays() {
        let all = Offer::default();
        for model in all.controllers.clone() {
            assert_eq!(bus(&all, Hang::Controller(model), false), Instead::Same, "{model:?}");
        }
        assert_eq!(card(&all, NicModel::Vmxnet3), Instead::Same);
        assert_eq!(sound(&all, Sound::Sb16), Instead::Same);
        assert_eq!(usb(&all, Usb::Uhci, Chipset::Pc), Usb::Uhci);
        assert_eq!(board(&all, Chipset::Pc), Chipset::Pc);
        assert_eq!(missing_firmware(&all, Firmware::UefiSecure), None);
    }

    #[test]
    fn a_missing_device_gives_way_to_the_next_with_the_reason() {
        let el9 = el9();
        let next = |text: &str| text.to_owned();
        assert_eq!(
            bus(&el9, VMPVSCSI, true),
            Instead::Next(AHCI, next("the host's QEMU has no vmpvscsi; SATA (AHCI) is the next"))
        );
        assert_eq!(
            card(&el9, NicModel::Vmxnet3),
            Instead::Next(
                NicModel::E1000e,
                next("the host's QEMU has no vmxnet3; e1000e is the next")
            )
        );
        assert_eq!(
            sound(&el9, Sound::Es1370),
            Instead::Next(Sound::Ich9, next("the host's QEMU has no es1370; ich9 is the next"))
        );
        assert_eq!(usb(&el9, Usb::Ehci, Chipset::Q35), Usb::Xhci);
    }

    #[test]
    fn ide_is_the_next_only_where_the_board_can_have_it() {
        let only_ide = Offer {
            controllers: vec![ControllerModel::Ide],
            virtio_blk: false,
            ..Offer::default()
        };
        assert!(matches!(bus(&only_ide, AHCI, true), Instead::Next(IDE, _)));
        let nothing = Instead::Nothing("the host's QEMU has no SATA (AHCI)".to_owned());
        assert_eq!(bus(&only_ide, AHCI, false), nothing);
        let q35 = Offer { chipsets: vec![Chipset::Q35], ..only_ide };
        assert!(!has_ide(&q35) && board(&q35, Chipset::Pc) == Chipset::Q35);
    }

    #[test]
    fn firmware_that_is_not_installed_is_said() {
        let bios = Offer { firmwares: vec![Firmware::Bios, Firmware::Uefi], ..Offer::default() };
        let note = missing_firmware(&bios, Firmware::UefiSecure).unwrap();
        assert_eq!(
            (note.code, note.text.as_str()),
            (
                Code::W0108,
                "the host has no UEFI firmware with Secure Boot: the machine does not start there"
            )
        );
        assert_eq!(missing_firmware(&bios, Firmware::Uefi), None);
    }

    #[test]
    fn the_other_graphics_card_takes_the_place_of_a_missing_one() {
        let vga = Video { model: VideoModel::Vga, memory_bytes: Some(16 << 20), heads: 1 };
        let virtio = Video { model: VideoModel::Virtio, memory_bytes: None, heads: 1 };
        let only = |model| Offer { videos: vec![model], ..Offer::default() };
        assert_eq!(video(&only(VideoModel::Virtio), vga), virtio);
        assert_eq!(video(&only(VideoModel::Vga), virtio).model, VideoModel::Vga);
        assert_eq!(video(&Offer::default(), vga), vga);
    }
}
