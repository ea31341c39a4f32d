//! Storage: which controller each disk and drive gets, and where on it.
//!
//! Two passes, because the board depends on the buses: [`choose`] decides what kind of controller
//! each disk hangs on, [`place`](place::place) gives the addresses once the board is known.

mod choose;
mod driven;
mod place;

use code::Code;
use vm::{Bus, ByteSize, ControllerModel, Disk, DiskId, Removable, RemovableKind};

pub(crate) use choose::{Asked, Hang, Hung, boot_disk, choose};
pub(crate) use place::Places;

use super::{Scene, boot};
use crate::{
    Identity, Note, Row, SourceDisk, SourceMedium,
    source::{self, Bus as SourceBus, Controller, DiskNote, Drive},
};

/// The storage of a machine.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    pub(crate) places: Places,
    pub(crate) disks: Vec<Disk>,
    /// The boot rank of each disk.
    pub(crate) disk_ranks: Vec<u32>,
    pub(crate) removables: Vec<Removable>,
    /// The boot rank of each drive.
    pub(crate) removable_ranks: Vec<u32>,
    pub(crate) sources: Vec<SourceDisk>,
    pub(crate) media: Vec<SourceMedium>,
    /// The drive with the OVF environment, by its place among the removable ones.
    pub(crate) environment: Option<usize>,
    pub(crate) rows: Vec<Row>,
}

/// Builds disks and drives with their addresses.
///
/// Ids and labels have the source's numbers, so that leaving out one device renames no other.
pub(crate) fn build(scene: &Scene<'_>, chosen: &[Option<Hung>], identity: &Identity) -> Storage {
    let mut storage = Storage::default();
    let disks = || scene.system.disks.iter().zip(chosen).enumerate();
    let kept: Vec<(&source::Disk, Hang)> =
        disks().filter_map(|(_, (source, hung))| Some((source, hung.as_ref()?.hang))).collect();
    let mut places = storage.places.disks(&kept).into_iter();
    for (at, (source, hung)) in disks() {
        let Some((hung, placed)) = hung.as_ref().and_then(|hung| Some((hung, places.next()?)))
        else {
            let note = Note::new(Code::W0203, "left out on request");
            let label = format!("disk {at}");
            let row = Row::dropped(&format!("disk{at}"), &label, describe(source), note);
            storage.rows.push(row.at(&source.origin.path));
            continue;
        };
        disk(&mut storage, &Built { at, source, hung, placed }, identity);
        storage.disk_ranks.push(boot::rank(source.boot_rank));
    }
    for (at, source) in scene.system.cdroms.iter().enumerate() {
        cdrom(scene, &mut storage, source, at);
    }
    for (at, source) in scene.system.floppies.iter().enumerate() {
        floppy(scene, &mut storage, source, at);
    }
    if wants_environment(scene) {
        environment(scene, &mut storage);
    }
    controllers(scene, chosen, &mut storage);
    storage
}

/// Whether the guest gets a CD with its OVF environment.
pub(crate) fn wants_environment(scene: &Scene<'_>) -> bool {
    scene.system.remarks.wants_environment && !scene.choices.ignores(ENVIRONMENT, None)
}

/// A drive of its own for the environment, so that the guest's own drives keep their places.
fn environment(scene: &Scene<'_>, storage: &mut Storage) {
    let source = Drive::default();
    let placed = storage.places.cdrom(scene.chipset, &source);
    storage.environment = Some(storage.removables.len());
    push_removable(storage, RemovableKind::Cdrom, ENVIRONMENT, (&source, placed));
}

/// The item that the OVF environment is called by.
pub(crate) const ENVIRONMENT: &str = "environment";

/// A disk with everything that was decided about it.
struct Built<'a> {
    /// Its number in the source.
    at: usize,
    source: &'a source::Disk,
    hung: &'a Hung,
    placed: place::Placed,
}

fn disk(storage: &mut Storage, built: &Built<'_>, identity: &Identity) {
    let Built { at, source, hung, placed } = built;
    let number = storage.disks.len();
    // The selection has 64 disks at most.
    let id = DiskId(u16::try_from(number).unwrap_or(u16::MAX));
    let row_id = format!("disk{at}");
    let bus = hung.hang.bus();
    let to = match source.capacity_bytes {
        Some(bytes) => format!("{} on {}", ByteSize(bytes), hung.hang.describe()),
        None => format!("on {}", hung.hang.describe()),
    };
    let mut row = Row::kept(&row_id, &format!("disk {at}"), describe(source), to)
        .because(hung.reason)
        .at(&source.origin.path)
        .note_if(hung.risk.clone())
        .note_if(placed.moved.clone());
    if let Some(text) = hung.refusal {
        row = row.note(Note::blocker(Code::E0305, text).hint("choose another --disk-bus"));
    }
    if source.read_only && matches!(bus, Bus::Ide | Bus::Sata) {
        let text = "was read-only; a hard disk on this bus cannot be";
        row = row.note(Note::new(Code::W0205, text).hint("--disk-bus virtio-scsi"));
    }
    row = source.lost.iter().fold(row, |row, lost| row.note(lost_note(*lost)));
    if placed.address.is_none() && bus != Bus::VirtioBlk {
        let note = Note::blocker(Code::E0305, "no place is left on this bus");
        row = row.note(note.hint("choose another --disk-bus"));
    }
    storage.rows.push(row);
    storage.sources.push(SourceDisk {
        disk: id,
        row: row_id,
        file: source.file.clone(),
        stated: source.format,
        capacity_bytes: source.capacity_bytes,
        parents: source.parents.clone(),
    });
    storage.disks.push(Disk {
        id,
        image: String::new().into(),
        format: vm::DiskFormat::default(),
        capacity_bytes: source.capacity_bytes.unwrap_or_default(),
        bus,
        address: placed.address,
        serial: identity.disk_serial(number),
        wwn: (hung.hang == Hang::Controller(ControllerModel::LsiSas1068))
            .then(|| identity.disk_wwn(number)),
        read_only: source.read_only && !matches!(bus, Bus::Ide | Bus::Sata),
        solid_state: source.solid_state && matches!(bus, Bus::Ide | Bus::Sata | Bus::Scsi),
        boot_order: None,
    });
}

/// What a disk is built without.
fn lost_note(lost: DiskNote) -> Note {
    match lost {
        DiskNote::WriteThrough => {
            Note::new(Code::W0205, "wrote through the old host's cache; here the host decides")
                .hint("<driver cache='writethrough'/> in the domain XML")
        }
        DiskNote::Independent => Note::new(
            Code::W0205,
            "stood outside snapshots on the old host; here it is a normal disk",
        ),
    }
}

fn describe(source: &source::Disk) -> String {
    let size =
        source.capacity_bytes.map(|bytes| format!("{} ", ByteSize(bytes))).unwrap_or_default();
    match (&source.file, source.format) {
        (None, _) => format!("{size}empty disk"),
        (Some(_), Some(format)) => format!("{size}{}", format.as_str()),
        (Some(_), None) => format!("{size}image"),
    }
}

fn cdrom(scene: &Scene<'_>, storage: &mut Storage, source: &Drive, at: usize) {
    let id = format!("cdrom{at}");
    let label = format!("cdrom {at}");
    let from = match &source.file {
        Some(file) => file.text().to_owned(),
        None => source
            .left_behind
            .as_ref()
            .or(source.subtype.as_ref())
            .map_or("drive", |text| text)
            .to_owned(),
    };
    let optional = source.origin.required == Some(false);
    let spare = at > 0 && optional && source.file.is_none();
    if scene.ignores(&id, &source.origin) || spare {
        let note = match (spare, &source.file) {
            (true, _) => Note::new(Code::W0203, "a second empty drive, not required"),
            (false, Some(_)) => Note::new(Code::W0202, "its image is left out on request"),
            (false, None) => Note::new(Code::W0203, "left out on request"),
        };
        storage.rows.push(Row::dropped(&id, &label, from, note).at(&source.origin.path));
        return;
    }
    let placed = storage.places.cdrom(scene.chipset, source);
    let bus = placed.bus;
    let to = if source.file.is_some() { "the same image" } else { "empty drive" };
    let to = format!("{to} on {}", if bus == Bus::Ide { "IDE" } else { "SATA (AHCI)" });
    let lost = source.left_behind.is_some().then(|| {
        Note::new(Code::W0202, "the image lies elsewhere on the old host")
            .hint("put it into the drive afterwards: virsh change-media")
    });
    let row = Row::kept(&id, &label, from, to).at(&source.origin.path);
    storage.rows.push(if lost.is_some() { row.changed().note_if(lost) } else { row });
    push_removable(storage, RemovableKind::Cdrom, &id, (source, placed));
}

fn floppy(scene: &Scene<'_>, storage: &mut Storage, source: &Drive, at: usize) {
    let id = format!("floppy{at}");
    let label = format!("floppy {at}");
    let path = &source.origin.path;
    let image = source.file.as_ref().map(source::File::text);
    let from = image.or(source.left_behind.as_deref()).unwrap_or("drive");
    let placed = if scene.ignores(&id, &source.origin) {
        Err("left out on request")
    } else if source.left_behind.is_some() {
        Err("its image lies elsewhere on the old host")
    } else if source.file.is_none() {
        Err("an empty floppy drive")
    } else {
        storage.places.floppy().ok_or("a PC has two floppy drives")
    };
    match placed {
        Ok(placed) => {
            storage.rows.push(Row::kept(&id, &label, from, "the same image").at(path));
            push_removable(storage, RemovableKind::Floppy, &id, (source, placed));
        }
        Err(why) => {
            let note = Note::new(Code::W0203, why);
            storage.rows.push(Row::dropped(&id, &label, from, note).at(path));
        }
    }
}

fn push_removable(
    storage: &mut Storage,
    kind: RemovableKind,
    row: &str,
    (source, placed): (&Drive, place::PlacedDrive),
) {
    storage.removable_ranks.push(boot::rank(source.boot_rank));
    if let Some(file) = &source.file {
        let removable = storage.removables.len();
        storage.media.push(SourceMedium { removable, row: row.to_owned(), file: file.clone() });
    }
    storage.removables.push(Removable {
        kind,
        image: None,
        bus: placed.bus,
        address: placed.address,
        boot_order: None,
    });
}

/// A row for each controller of the source: what its disks hang on now.
fn controllers(scene: &Scene<'_>, chosen: &[Option<Hung>], storage: &mut Storage) {
    for controller in &scene.system.controllers {
        let origin = &controller.origin;
        let id = &origin.row;
        let from = name(controller);
        let on_it = scene.system.disks.iter().zip(chosen).filter(|(disk, _)| {
            disk.controller.as_ref().is_some_and(|there| there.origin.id == origin.id)
        });
        let hung: Vec<&Hung> = on_it.filter_map(|(_, hung)| hung.as_ref()).collect();
        let row = match hung.first() {
            None => Row::kept(id, "disk controller", from, "as needed")
                .because("no disk hangs on it; the machine has one where a drive needs it"),
            Some(first) => {
                let mut names: Vec<&str> = hung.iter().map(|hung| hung.hang.describe()).collect();
                names.dedup();
                let row = Row::kept(id, "disk controller", from, names.join(", "));
                match hung.iter().find_map(|hung| hung.note.clone()) {
                    Some(note) => row.changed().note(note),
                    None => row.because(first.reason),
                }
            }
        };
        storage.rows.push(row.at(&origin.path));
    }
}

/// The controller as people call it.
fn name(controller: &Controller) -> String {
    let subtype = controller.subtype.as_deref().unwrap_or("SCSI");
    let words = subtype.to_lowercase();
    let has = |word: &str| words.split([' ', ',']).any(|have| have == word);
    match controller.bus {
        SourceBus::Ide => "IDE".to_owned(),
        SourceBus::Nvme => "NVMe".to_owned(),
        SourceBus::Sata => "SATA (AHCI)".to_owned(),
        SourceBus::Virtio => "virtio-blk".to_owned(),
        SourceBus::Scsi => match () {
            () if has("virtualscsi") || has("pvscsi") => "VMware PVSCSI".to_owned(),
            () if has("lsilogicsas") || has("lsilogic-sas") => "LSI Logic SAS".to_owned(),
            () if has("lsilogic") => "LSI Logic SCSI".to_owned(),
            () if has("buslogic") => "BusLogic SCSI".to_owned(),
            () => subtype.to_owned(),
        },
    }
}
