//! Firmware and board.

use code::Code;
use vm::{Chipset, ControllerModel, Firmware};

use super::{offer, storage};
use crate::{
    Choices, Note, Row,
    source::{Firmware as StatedFirmware, System},
};

/// The firmware: the user's, else the source's; BIOS where it does not say.
pub(crate) fn firmware(system: &System, choices: &Choices) -> (Firmware, Row) {
    let vbs = system.asks_for_vbs;
    let secure = system.secure_boot == Some(true) || vbs;
    let stated = match system.firmware {
        Some(StatedFirmware::Efi) if secure => Firmware::UefiSecure,
        Some(StatedFirmware::Efi) => Firmware::Uefi,
        Some(StatedFirmware::Bios) | None if vbs => Firmware::UefiSecure,
        Some(StatedFirmware::Bios) | None => Firmware::Bios,
    };
    let from = match (system.firmware, secure) {
        (Some(StatedFirmware::Efi), true) => "UEFI, Secure Boot",
        (Some(StatedFirmware::Efi), false) => "UEFI",
        (Some(StatedFirmware::Bios), _) => "BIOS",
        (None, _) => "not stated",
    };
    let firmware = choices.firmware.unwrap_or(stated);
    let to = match firmware {
        Firmware::Bios => "BIOS (SeaBIOS)",
        Firmware::Uefi => "UEFI (OVMF), Secure Boot off",
        Firmware::UefiSecure => "UEFI (OVMF), Secure Boot on",
    };
    let row = Row::kept("firmware", "firmware", from, to);
    if choices.firmware.is_some() {
        let row = row.because("set by you");
        let differs = system.firmware.is_some() && firmware != stated;
        let note = differs.then(|| Note::new(Code::W0108, "set by you; the source says otherwise"));
        return (firmware, if differs { row.changed().note_if(note) } else { row });
    }
    let row = match (system.firmware, vbs) {
        (Some(StatedFirmware::Bios) | None, true) => row
            .changed()
            .note(Note::new(Code::W0108, "virtualization-based security needs Secure Boot")),
        (None, false) => row.because("the package does not say; BIOS is what such packages mean"),
        _ => row,
    };
    (firmware, row)
}

/// `pc` for IDE and old guests under BIOS, else Q35.
///
/// A machine without a disk boots from its CD, so that the CD's bus decides.
pub(crate) fn chipset(asked: &storage::Asked<'_>, chosen: &[Option<storage::Hung>]) -> Chipset {
    let ide = storage::Hang::Controller(ControllerModel::Ide);
    let mut hung = chosen.iter().flatten().peekable();
    let needs_ide = match hung.peek() {
        None => asked.has_ide_cd(),
        Some(_) => hung.any(|hung| hung.hang == ide),
    };
    let wanted = match asked.choices.chipset {
        Some(chipset) => return chipset,
        None if asked.firmware.is_uefi() => Chipset::Q35,
        None if needs_ide || asked.guest.kind.is_old() => Chipset::Pc,
        None => Chipset::Q35,
    };
    offer::board(&asked.choices.offer, wanted)
}

/// What becomes of the board.
pub(crate) fn chipset_row(firmware: Firmware, chipset: Chipset, choices: &Choices) -> Row {
    let to = match chipset {
        Chipset::Pc => "pc (i440FX)",
        Chipset::Q35 => "q35",
    };
    let row = Row::kept("machine", "machine", "VMware board", to);
    let row = if choices.chipset.is_some() { row.because("set by you") } else { row };
    if firmware.is_uefi() && chipset == Chipset::Pc {
        let note = Note::blocker(Code::E0305, "UEFI needs the q35 board").hint("--machine q35");
        return row.note(note);
    }
    row
}
