//! One system of a descriptor becomes one machine.

use code::Code;
use ovf::{
    Envelope,
    descriptor::ImageFormat,
    selection::{Firmware as StatedFirmware, PackageFile, SelectedSystem},
};
use vm::{Chipset, Clock, DiskId, Firmware, GuestFamily, Machine};

use crate::{
    Choices, Identity, Note, Row,
    guest::{self, GuestOs, Kind, Statement},
    hardware::{Scene, boot, devices, network, processor, settings, storage},
};

/// A machine, what became of each item, and where its disks come from.
#[derive(Debug)]
pub struct Converted {
    /// The machine; the images of its disks have no path yet.
    pub machine: Machine,
    /// What is known of the guest.
    pub guest: GuestOs,
    /// One row for each item of the source.
    pub rows: Vec<Row>,
    /// Where each disk comes from, in the machine's order.
    pub disks: Vec<SourceDisk>,
    /// Which image lies in which drive.
    pub media: Vec<SourceMedium>,
}

/// Where a disk comes from.
#[derive(Debug, Clone)]
pub struct SourceDisk {
    /// The disk.
    pub disk: DiskId,
    /// The id of its row, which has the source's number: disks that are left out count.
    pub row: String,
    /// The file of the package; an empty disk has none.
    pub file: Option<PackageFile>,
    /// The format that the descriptor states.
    pub stated: Option<ImageFormat>,
    /// The capacity that the descriptor states.
    pub capacity_bytes: Option<u64>,
    /// The files of the disks that this one is only the difference to, the nearest first.
    pub parents: Vec<PackageFile>,
}

/// Which image lies in which drive.
#[derive(Debug, Clone)]
pub struct SourceMedium {
    /// The drive's place in the machine's list.
    pub removable: usize,
    /// The file of the package.
    pub file: PackageFile,
}

/// Maps the hardware of one system.
///
/// `name` is the machine's final name. The result says everything that became of the source; what
/// keeps it from being built is a row with a blocker, never an error.
#[must_use]
pub fn from_ovf(
    envelope: &Envelope,
    system: &SelectedSystem,
    choices: &Choices,
    name: &str,
    identity: &Identity,
) -> Converted {
    let stated = &envelope.systems[system.index];
    let guest = identify(system, choices);
    let (firmware, firmware_row) = choose_firmware(system, choices, settings::asks_for_vbs(stated));
    let asked = storage::Asked { system, stated, choices, guest: &guest, firmware };
    let chosen = storage::choose(&asked);
    let chipset = choose_chipset(&asked, &chosen);
    let scene = Scene { system, stated, choices, guest: &guest, firmware, chipset };

    let (cpus, cpu_row) = processor::cpus(&scene);
    let (memory_bytes, memory_row) = processor::memory(&scene);
    let stored = storage::build(&scene, &chosen, identity);
    let cards = network::cards(&scene, identity);
    let devices = devices::build(&scene);

    let mut rows = vec![guest_row(&guest, choices), cpu_row, memory_row, firmware_row];
    rows.push(chipset_row(firmware, chipset, choices));
    rows.extend(stored.rows);
    rows.extend(cards.rows);
    rows.extend(devices.rows);
    rows.extend(settings::rows(&scene));

    let extras = guest.kind.takes_paravirtual_extras();
    let mut machine = Machine {
        name: name.to_owned(),
        title: system
            .name
            .as_deref()
            .map(one_line)
            .filter(|title| title != name && !title.is_empty()),
        description: stated.annotation.as_deref().map(printable),
        uuid: Some(choices.uuid_of(identity.uuid(), source_uuid(stated))),
        guest: guest.guest(),
        accelerator: choices.accelerator,
        cpus,
        memory_bytes,
        chipset,
        firmware,
        clock: if guest.kind.family() == GuestFamily::Windows {
            Clock::LocalTime
        } else {
            Clock::Utc
        },
        controllers: stored.places.controllers,
        disks: stored.disks,
        removables: stored.removables,
        nics: cards.nics,
        video: devices.video,
        sound: devices.sound,
        usb: Some(devices::usb(&scene)),
        serials: devices.serials,
        tpm: devices.wants_tpm,
        agent_channel: extras,
        rng: extras,
        balloon: matches!(guest.kind, Kind::Linux | Kind::LinuxVirtio | Kind::BsdVirtio),
    };
    if let Some(osinfo) = &choices.osinfo {
        machine.guest.osinfo = Some(osinfo.clone());
    }
    let ranks = boot::Ranks {
        disks: stored.disk_ranks,
        removables: stored.removable_ranks,
        nics: cards.ranks,
    };
    boot::order(&mut machine, &ranks);
    Converted { machine, guest, rows, disks: stored.sources, media: stored.media }
}

/// A text without what XML or libvirt has no place for; lines stay.
fn printable(text: &str) -> String {
    let sound = |c: &char| matches!(c, '\n' | '\t') || !c.is_control();
    text.chars().filter(sound).filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}')).collect()
}

/// The same as one line: a title.
fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ").trim().to_owned()
}

/// Which system runs inside.
fn identify(system: &SelectedSystem, choices: &Choices) -> GuestOs {
    let os = system.os.clone().unwrap_or_default();
    let said = Statement {
        virtualbox: os.vbox.as_deref(),
        vmware: os.vmware.as_deref(),
        cim_id: os.cim_id.and_then(|id| u16::try_from(id).ok()),
        version: os.version.as_deref(),
        description: os.description.as_deref(),
    };
    let mut guest = guest::identify(said);
    if let Some(osinfo) = &choices.osinfo {
        guest.osinfo = Some(osinfo.clone());
    }
    guest
}

fn guest_row(guest: &GuestOs, choices: &Choices) -> Row {
    let to = guest.osinfo.clone().unwrap_or_else(|| "no libosinfo id".to_owned());
    let row = Row::kept("guest", "guest", guest.label.clone(), to);
    if guest.is_recognised() || choices.osinfo.is_some() {
        return row;
    }
    let note = Note::new(Code::W0501, "the descriptor does not say which system runs inside");
    row.note(note.hint("--os-id http://…"))
}

fn choose_firmware(system: &SelectedSystem, choices: &Choices, vbs: bool) -> (Firmware, Row) {
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
        let note =
            differs.then(|| Note::new(Code::W0108, "set by you; the package says otherwise"));
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
fn choose_chipset(asked: &storage::Asked<'_>, chosen: &[Option<storage::Hung>]) -> Chipset {
    let ide = storage::Hang::Controller(vm::ControllerModel::Ide);
    let mut hung = chosen.iter().flatten().peekable();
    let needs_ide = match hung.peek() {
        None => asked.has_ide_cd(),
        Some(_) => hung.any(|hung| hung.hang == ide),
    };
    match asked.choices.chipset {
        Some(chipset) => chipset,
        None if asked.firmware.is_uefi() => Chipset::Q35,
        None if needs_ide || asked.guest.kind.is_old() => Chipset::Pc,
        None => Chipset::Q35,
    }
}

fn chipset_row(firmware: Firmware, chipset: Chipset, choices: &Choices) -> Row {
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

/// VMware's `uuid.bios`, as exporters write it.
fn source_uuid(system: &ovf::descriptor::VirtualSystem) -> Option<vm::Uuid> {
    ["uuid", "uuid.bios"].iter().find_map(|key| system.hardware.setting(key)?.parse().ok())
}
