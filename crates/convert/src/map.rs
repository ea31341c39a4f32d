//! One system of a source becomes one machine.

use std::collections::BTreeSet;

use code::Code;
use vm::{Clock, Cpus, DiskId, GuestFamily, Machine};

use crate::{
    Choices, Identity, Note, Origin, Profile, Row, Watchdog,
    guest::{self, GuestOs, Kind, Statement},
    hardware::{
        Scene, board, boot, devices, memory, names, network, nvram, overrides, processor, remarks,
        storage,
    },
    source::{File, ImageFormat, Os, Product, System},
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
    /// What each network card is of the source, in the machine's order.
    pub cards: Vec<SourceCard>,
    /// Which image lies in which drive.
    pub media: Vec<SourceMedium>,
    /// The drive that the OVF environment goes into, by its place in the machine's list.
    pub environment: Option<usize>,
    /// The variables of the old host's firmware, to be kept beside the machine.
    pub nvram: Option<SourceNvram>,
}

/// Where a disk comes from.
#[derive(Debug, Clone)]
pub struct SourceDisk {
    /// The disk.
    pub disk: DiskId,
    /// The id of its row, which has the source's number: disks that are left out count.
    pub row: String,
    /// The file of the source; an empty disk has none.
    pub file: Option<File>,
    /// The format that the source states.
    pub stated: Option<ImageFormat>,
    /// The capacity that the source states.
    pub capacity_bytes: Option<u64>,
    /// The files of the disks that this one is only the difference to, the nearest first.
    pub parents: Vec<File>,
}

/// What a network card is of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceCard {
    /// The id of its row, which has the source's number: cards that are left out count.
    pub row: String,
    /// The network of the source.
    pub network: Option<String>,
}

/// Which image lies in which drive.
#[derive(Debug, Clone)]
pub struct SourceMedium {
    /// The drive's place in the machine's list.
    pub removable: usize,
    /// The id of the drive's row.
    pub row: String,
    /// The file of the source.
    pub file: File,
}

/// A file of the source that is kept for people and that no device uses.
#[derive(Debug, Clone)]
pub struct SourceNvram {
    /// The file of the source.
    pub file: File,
    /// The id of its row.
    pub row: String,
}

/// Maps the hardware of one system.
///
/// `name` is the machine's final name. The result says everything that became of the source; what
/// keeps it from being built is a row with a blocker, never an error.
#[must_use]
pub fn map_hardware(
    system: &System,
    choices: &Choices,
    name: &str,
    identity: &Identity,
) -> Converted {
    let guest = identify(&system.os, choices);
    let (firmware, firmware_row) = board::firmware(system, choices, &guest);
    let keeping = names::Keeping::of(system, choices, &guest);
    let with_board = keeping.board(choices);
    let asked = storage::Asked { system, choices: &with_board, guest: &guest, firmware };
    let chosen = storage::choose(&asked);
    let chipset = board::chipset(&asked, &chosen);
    let scene = Scene { system, choices, guest: &guest, firmware, chipset };

    let (cpus, cpu_row) = processor::cpus(&scene);
    let (memory, memory_row) = memory::memory(&scene);
    let (iommu, iommu_row) = board::iommu(&scene);
    let mut stored = storage::build(&scene, &chosen, identity);
    let mut cards = network::cards(&scene, &keeping, identity);
    let mut devices = devices::build(&scene);
    let (nvram_row, nvram) = nvram::keep(&scene).unzip();

    let compute = &system.compute;
    let mut rows = vec![guest_row(&guest, choices)];
    rows.push(Row { path: compute.vcpus_path.clone(), ..cpu_row });
    rows.push(Row { path: compute.memory_path.clone(), ..memory_row });
    rows.push(firmware_row);
    rows.push(board::chipset_row(&scene, &keeping));
    rows.extend(iommu_row);
    rows.extend(uuid_row(system, choices));
    rows.append(&mut stored.rows);
    rows.append(&mut cards.rows);
    rows.extend(keeping.row(chipset));
    rows.append(&mut devices.rows);
    rows.extend(nvram_row);
    rows.extend(remarks::rows(&scene));
    rows.extend(overrides::rows(&scene));
    tell_apart(&mut rows);

    let ranks = boot::Ranks {
        disks: stored.disk_ranks,
        removables: stored.removable_ranks,
        nics: cards.ranks,
    };
    let mut machine = Machine {
        uuid: Some(choices.uuid_of(identity.uuid(), system.uuid)),
        cpus,
        memory_bytes: memory.bytes,
        max_memory_bytes: memory.max_bytes,
        controllers: stored.places.controllers,
        disks: stored.disks,
        removables: stored.removables,
        nics: cards.nics,
        video: devices.video,
        sound: devices.sound,
        serials: devices.serials,
        tpm: devices.wants_tpm,
        iommu,
        ..frame(&scene, name)
    };
    boot::order(&mut machine, &ranks);
    Converted {
        machine,
        guest,
        rows,
        disks: stored.sources,
        cards: cards.sources,
        media: stored.media,
        environment: stored.environment,
        nvram: nvram.flatten(),
    }
}

/// The machine as far as no item of the source decides it.
fn frame(scene: &Scene<'_>, name: &str) -> Machine {
    let Scene { system, choices, guest, firmware, chipset } = *scene;
    let title = system.name.as_deref().map(one_line);
    let extras = guest.kind.takes_paravirtual_extras();
    let has_balloon = choices.profile == Profile::Virtio
        || matches!(guest.kind, Kind::Linux | Kind::LinuxVirtio | Kind::BsdVirtio);
    let mut known = guest.guest();
    known.osinfo = choices.osinfo.clone().or(known.osinfo);
    Machine {
        name: name.to_owned(),
        title: title.filter(|title| title != name && !title.is_empty()),
        description: description(system),
        uuid: None,
        guest: known,
        accelerator: choices.accelerator,
        cpus: Cpus { count: 1, max_count: None, topology: None, model: None, features: Vec::new() },
        memory_bytes: 0,
        max_memory_bytes: None,
        chipset,
        firmware,
        clock: match guest.kind.family() {
            GuestFamily::Windows => Clock::LocalTime,
            _ => Clock::Utc,
        },
        controllers: Vec::new(),
        disks: Vec::new(),
        removables: Vec::new(),
        nics: Vec::new(),
        video: None,
        sound: None,
        usb: Some(devices::usb(scene)),
        serials: Vec::new(),
        tpm: false,
        iommu: false,
        pmu: system.compute.pmu,
        watchdog: choices.watchdog == Watchdog::Add,
        agent_channel: extras,
        rng: extras,
        balloon: extras && has_balloon,
        fw_cfg: Vec::new(),
    }
}

/// What becomes of the machine's identity, which QEMU shows the guest in its SMBIOS tables.
fn uuid_row(system: &System, choices: &Choices) -> Option<Row> {
    let uuid = system.uuid?.to_string();
    Some(match (choices.given_uuid, choices.uuid) {
        (Some(given), _) if system.uuid != Some(given) => {
            let row = Row::kept("uuid", "UUID", uuid, given.to_string());
            row.changed().because("set by you")
        }
        (Some(_), _) | (None, Origin::Keep) => {
            Row::kept("uuid", "UUID", uuid.clone(), uuid).because("kept by you")
        }
        (None, Origin::New) => Row::kept("uuid", "UUID", uuid, "made anew")
            .changed()
            .because("licences may be bound to the old one: --uuid keep"),
    })
}

/// Gives a row whose id is taken a number of its own: sections may be there several times.
fn tell_apart(rows: &mut [Row]) {
    let mut taken = BTreeSet::new();
    for row in rows {
        let numbered = (2..).map(|number| format!("{}-{number}", row.item));
        let mut ids = std::iter::once(row.item.clone()).chain(numbered);
        row.item = ids.find(|id| !taken.contains(id)).unwrap_or_default();
        taken.insert(row.item.clone());
    }
}

/// What people are told of the machine: the annotation, else which product it is.
fn description(system: &System) -> Option<String> {
    let product = || system.remarks.product.as_ref().map(Product::line);
    let text = printable(&system.annotation.clone().or_else(product)?);
    (!text.trim().is_empty()).then_some(text)
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
fn identify(os: &Os, choices: &Choices) -> GuestOs {
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
    let row = match guest.kind {
        Kind::MacOs => row.note(
            Note::new(Code::W0201, "macOS starts only on a machine with Apple's SMC")
                .hint("this guest is not expected to boot"),
        ),
        Kind::Special => row.note(Note::new(
            Code::W0503,
            "a special system: nothing is known of the drivers that it has",
        )),
        _ => row,
    };
    if guest.is_recognised() || choices.osinfo.is_some() {
        return row;
    }
    let note = Note::new(Code::W0501, "the source does not say which system runs inside");
    row.note(note.hint("--os-id http://…"))
}
