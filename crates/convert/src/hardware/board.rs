//! Firmware and board.

use code::Code;
use vm::{Accelerator, Chipset, ControllerModel, Firmware};

use super::{
    Scene,
    names::{self, Keeping},
    offer, storage,
};
use crate::{
    Choices, Note, Row,
    guest::{Bits, GuestOs},
    source::{Firmware as StatedFirmware, Loader, System},
};

/// The firmware: the user's, else the source's, else what its boot disk can be started by; BIOS where
/// nothing says more.
pub(crate) fn firmware(system: &System, choices: &Choices, guest: &GuestOs) -> (Firmware, Row) {
    let (firmware, row) = decide(system, choices, guest);
    (firmware, row.note_if(offer::missing_firmware(&choices.offer, firmware)))
}

fn decide(system: &System, choices: &Choices, guest: &GuestOs) -> (Firmware, Row) {
    let vbs = system.wants_vbs(choices);
    let secure = system.secure_boot == Some(true) || vbs;
    let loader = storage::boot_disk(system, choices).and_then(|disk| disk.loader);
    let stated = match (system.firmware, loader) {
        (Some(StatedFirmware::Efi), _) if secure => Firmware::UefiSecure,
        (Some(StatedFirmware::Efi), _) => Firmware::Uefi,
        (Some(StatedFirmware::Bios) | None, _) if vbs => Firmware::UefiSecure,
        (None, Some(Loader::Uefi)) => Firmware::Uefi,
        (Some(StatedFirmware::Bios) | None, _) => Firmware::Bios,
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
        let row = if differs { row.changed().note_if(note) } else { row };
        return (firmware, row.note_if(narrow(firmware, guest)));
    }
    let row = match (system.firmware, vbs, loader) {
        (Some(StatedFirmware::Bios) | None, true, _) => row.changed().note(
            Note::new(Code::W0108, "virtualization-based security needs Secure Boot")
                .hint("--ignore vbs, if the guest may do without it"),
        ),
        (None, false, Some(Loader::Uefi)) => row.changed().note(
            Note::new(
                Code::W0108,
                "guessed: the boot disk has an EFI partition and no BIOS loader",
            )
            .hint("if it does not boot: --firmware bios"),
        ),
        (None, false, Some(Loader::Bios)) => row.because("the boot disk has a BIOS loader"),
        (None, false, Some(Loader::None)) => {
            row.because("the package does not say; BIOS is what such packages mean")
        }
        (None, false, None) => row.because(
            "the package does not say, and no disk was looked at; BIOS is what such packages mean",
        ),
        _ => row,
    };
    (firmware, row.note_if(narrow(firmware, guest)))
}

/// A note where a 32-bit guest gets firmware that starts 64-bit loaders only.
fn narrow(firmware: Firmware, guest: &GuestOs) -> Option<Note> {
    let is_narrow = firmware.is_uefi() && guest.bits == Some(Bits::B32);
    let text = "a 32-bit guest, and the firmware starts 64-bit loaders only";
    is_narrow.then(|| Note::new(Code::W0108, text).hint("if it does not boot: --firmware bios"))
}

/// The IOMMU that the source lets the guest use, where the board and the host can have it.
pub(crate) fn iommu(scene: &Scene<'_>) -> (bool, Option<Row>) {
    if !scene.system.iommu {
        return (false, None);
    }
    let row = "iommu";
    let dropped = |text: &str, hint: &str| {
        let note = Note::new(Code::W0203, text).hint(hint);
        (false, Some(Row::dropped(row, "IOMMU", "Intel VT-d", note)))
    };
    match (scene.chipset, scene.choices.accelerator) {
        _ if scene.choices.ignores(row, None) => {
            let note = Note::new(Code::W0203, "left out on request");
            (false, Some(Row::dropped(row, "IOMMU", "Intel VT-d", note)))
        }
        (Chipset::Pc, _) => dropped("the pc board has none", "--machine q35"),
        (_, Accelerator::Qemu) => {
            dropped("the emulator cannot remap interrupts", "--virt-type kvm")
        }
        (Chipset::Q35, Accelerator::Kvm) => {
            (true, Some(Row::kept(row, "IOMMU", "Intel VT-d", "Intel IOMMU")))
        }
    }
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
pub(crate) fn chipset_row(scene: &Scene<'_>, keeping: &Keeping) -> Row {
    let to = match scene.chipset {
        Chipset::Pc => "pc (i440FX)",
        Chipset::Q35 => "q35",
    };
    let row = Row::kept("machine", "machine", "VMware board", to);
    let row = match scene.choices.chipset {
        Some(_) => row.because("set by you"),
        None if keeping.needs_q35() => row.because(format!("{} needs it", names::FLAG)),
        None => row,
    };
    let blocker = |text: String, hint: &str| Note::blocker(Code::E0305, text).hint(hint);
    match scene.chipset {
        Chipset::Pc if scene.firmware.is_uefi() => {
            row.note(blocker("UEFI needs the q35 board".to_owned(), "--machine q35"))
        }
        Chipset::Pc if keeping.needs_q35() => {
            let text = format!("{} needs the q35 board", names::FLAG);
            row.note(blocker(text, "--machine q35, or let the names change"))
        }
        _ => row,
    }
}
