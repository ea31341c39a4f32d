//! One machine of the plan: names, hardware, files.

use std::path::PathBuf;

use code::{Code, Severity};
use convert::{
    Action, Converted, Note, Row, SourceDisk, SourceMedium, SourceNvram,
    copy::TargetOptions,
    source::{Loader, System},
};
use ovf::{Finding, manifest::Algorithm};
use vm::{ByteSize, DiskId, Machine, RemovableKind};

use super::{
    Choices, FilePlan, FileRole, Images, Licence, MachinePlan, PinnedMachine, TargetFacts,
    environment, files,
    names::{self, Name},
};
use crate::{Error, Facts, ImageFacts, PackedImage, Selection};

/// Disks are counted in sectors.
const SECTOR_BYTES: u64 = 512;

/// What every machine of a package is planned from.
pub(super) struct Inputs<'a> {
    pub(super) facts: &'a Facts,
    pub(super) images: &'a [ImageFacts],
    pub(super) choices: &'a Choices,
    /// What is chosen for single machines.
    pub(super) taken: &'a [PinnedMachine],
    /// Every machine of the package, planned or not.
    pub(super) systems: &'a [System],
    pub(super) target: &'a TargetFacts,
}

impl Inputs<'_> {
    /// What is chosen for this machine alone.
    pub(super) fn taken(&self, system: &System) -> Option<&PinnedMachine> {
        self.taken.iter().find(|machine| machine.id.value == system.handle)
    }
}

/// Where a machine goes.
pub(super) struct Place<'a> {
    pub(super) folder: PathBuf,
    pub(super) name: &'a Name,
}

/// The systems that were asked for, in the order of the descriptor.
pub(super) fn choose<'a>(
    selection: &'a Selection,
    wanted: &[String],
) -> Result<Vec<&'a System>, Error> {
    let is = |system: &System, text: &str| {
        system.handle == text
            || system.id.as_deref() == Some(text)
            || system.name.as_deref() == Some(text)
    };
    for text in wanted {
        let hits = selection.systems.iter().filter(|system| is(system, text)).count();
        if hits != 1 {
            let list: Vec<&str> = selection.systems.iter().map(|s| s.handle.as_str()).collect();
            let what = if hits == 0 { "no machine is" } else { "several machines are" };
            return Err(Error::new(Code::E0302, format!("{what} called '{text}'"))
                .detail("machines", list.join(", "))
                .fix("choose one of them with --vm"));
        }
    }
    let all = selection.systems.iter();
    Ok(all
        .filter(|system| wanted.is_empty() || wanted.iter().any(|text| is(system, text)))
        .collect())
}

/// Plans one machine, with what is chosen for it alone.
pub(super) fn plan(
    inputs: &Inputs<'_>,
    system: &System,
    place: &Place<'_>,
    findings: &mut Vec<Finding>,
) -> Result<MachinePlan, Error> {
    match inputs.taken(system) {
        None => chosen(inputs, system, place, findings),
        Some(own) => {
            let choices = &own.over(inputs.choices);
            chosen(&Inputs { choices, ..*inputs }, system, place, findings)
        }
    }
}

/// Plans one machine with choices that are all for it.
fn chosen(
    inputs: &Inputs<'_>,
    system: &System,
    place: &Place<'_>,
    findings: &mut Vec<Finding>,
) -> Result<MachinePlan, Error> {
    let Inputs { facts, choices, .. } = inputs;
    let identity = names::identity(inputs, system, place.name);
    let seen = boot_records(inputs, system);
    let mut converted =
        convert::map_hardware(&seen, &choices.hardware, &place.name.domain, &identity);
    if choices.licences_bind {
        bind_licences(&mut converted.rows);
    }
    if choices.images == Images::LeftOut {
        leave_out_images(&mut converted);
    }
    let media = media_files(inputs, &mut converted, place, findings)?;
    let Converted { mut machine, guest, mut rows, disks, cards, nvram, environment, .. } =
        converted;
    let mut planned = Vec::new();
    for source in &disks {
        let number = usize::from(source.disk.0);
        let output = disk_output(inputs, (system, source), place);
        let (file, notes) = disk_file(inputs, source, output, findings)?;
        add_notes(&mut rows, &source.row, notes);
        if let Some(disk) = machine.disks.get_mut(number) {
            disk.image.clone_from(&file.to);
            if let FileRole::Disk { stated_bytes, output, .. } = file.role {
                disk.format = output.format();
                disk.capacity_bytes = disk.capacity_bytes.max(stated_bytes.unwrap_or(0));
            }
        }
        planned.push(file);
    }
    planned.extend(media);
    if let Some(kept) = nvram {
        let to = place.folder.join(format!("{}.nvram", place.name.slug));
        match kept_file(facts, &kept, to) {
            Some(file) => planned.push(file),
            None => not_there(&mut rows, &kept),
        }
    }
    if let Some(drive) = environment {
        planned.extend(environment::files(inputs, system, &mut machine, (drive, place))?);
    }
    let domain_xml = definition(inputs, &machine, &mut rows);
    Ok(MachinePlan {
        id: system.handle.clone(),
        folder: place.folder.clone(),
        machine,
        guest: guest.label,
        rows,
        licences: system.remarks.eulas.iter().map(|text| licence(text, choices)).collect(),
        files: planned,
        disk_ids: disks.into_iter().map(|source| source.row).collect(),
        cards,
        domain_xml,
        replacing: None,
        snapshots: Vec::new(),
    })
}

/// The text of the domain XML; a blocker where there is none, unless one stands there already.
fn definition(inputs: &Inputs<'_>, machine: &Machine, rows: &mut Vec<Row>) -> Option<String> {
    let written = match inputs.target.bundle() {
        Some(_) => domain::write_bundled(machine),
        None => domain::write(machine),
    };
    match written {
        Ok(xml) => Some(xml),
        Err(_) if rows.iter().any(Row::is_blocker) => None,
        Err(error) => {
            let note = Note::blocker(error.code(), error.to_string());
            rows.push(Row::blocked("domain", "domain XML", "machine", note));
            None
        }
    }
}

/// Plans the images of CD and floppy drives.
fn media_files(
    inputs: &Inputs<'_>,
    converted: &mut Converted,
    place: &Place<'_>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<FilePlan>, Error> {
    let Converted { machine, rows, media, .. } = converted;
    let mut planned = Vec::new();
    for (number, medium) in media.iter().enumerate() {
        let Some(removable) = machine.removables.get_mut(medium.removable) else { continue };
        let (kind, ending) = match removable.kind {
            RemovableKind::Cdrom => ("cdrom", "iso"),
            RemovableKind::Floppy => ("floppy", "img"),
        };
        let name = format!("{}-{kind}{number}.{ending}", place.name.slug);
        match medium_file(inputs.facts, medium, place.folder.join(name), findings)? {
            Ok(file) => {
                removable.image = Some(file.to.clone());
                planned.push(file);
            }
            Err(note) => add_notes(rows, &medium.row, vec![note]),
        }
    }
    Ok(planned)
}

/// Takes disks and media from a machine that gets its hardware only, and says so in their rows.
fn leave_out_images(converted: &mut Converted) {
    let disks = std::mem::take(&mut converted.disks).into_iter().map(|disk| disk.row);
    let media = std::mem::take(&mut converted.media).into_iter().map(|medium| medium.row);
    let items: Vec<String> = disks.chain(media).collect();
    converted.nvram = None;
    converted.machine.disks.clear();
    for row in converted.rows.iter_mut().filter(|row| items.contains(&row.item)) {
        row.action = Action::Dropped;
        row.to.clear();
        row.notes.clear();
        row.reason = "hardware only: --with-disks brings it along".to_owned();
    }
}

/// Makes a blocker of a licence that nobody accepted.
fn bind_licences(rows: &mut [Row]) {
    for row in rows {
        for note in row.notes.iter_mut().filter(|note| note.code == Code::W0402) {
            note.severity = Severity::Blocker;
            row.action = Action::Blocked;
        }
    }
}

fn licence(text: &str, choices: &Choices) -> Licence {
    let sha256 = crate::digest_of(text.as_bytes(), Algorithm::Sha256).to_string();
    Licence { sha256, answer: choices.hardware.licences }
}

/// The system with what the first sectors of its disks can be started by, where that was read.
fn boot_records(inputs: &Inputs<'_>, system: &System) -> System {
    let mut seen = system.clone();
    for disk in &mut seen.disks {
        let Some(file) = &disk.file else { continue };
        let found = files::resolve(inputs.facts, file, &disk.parents, disk.format);
        let Ok(Ok(found)) = found else { continue };
        let image = inputs.images.iter().find(|image| image.name == found.image.name);
        disk.loader = image.and_then(|image| image.boot).map(loader);
    }
    seen
}

/// A disk that both kinds of firmware can start is one for a BIOS: that is what its source had.
const fn loader(boot: disk::BootRecord) -> Loader {
    if boot.has_bios_code || boot.has_bios_partition {
        Loader::Bios
    } else if boot.has_efi_partition {
        Loader::Uefi
    } else {
        Loader::None
    }
}

/// A file that is kept for people; `None` where it is not there, which keeps no machine from being
/// built. Of a pipe nobody can tell before it has passed.
fn kept_file(facts: &Facts, kept: &SourceNvram, to: PathBuf) -> Option<FilePlan> {
    let found = files::resolve(facts, &kept.file, &[], None).ok()?.ok()?;
    let declared = disk::Declared::Stated(disk::Format::Raw);
    let image = Some(PackedImage { declared, ..found.image });
    Some(FilePlan { image, href: found.href, to, role: FileRole::Kept })
}

/// Says in the row of a kept file that it is not there.
fn not_there(rows: &mut [Row], kept: &SourceNvram) {
    if let Some(row) = rows.iter_mut().find(|row| row.item == kept.row) {
        row.action = Action::Dropped;
        row.to.clear();
        row.reason = "the file is not in the package".to_owned();
    }
}

/// Where a disk goes to, and what it is written as: what is chosen for it, else what is for all.
fn disk_output(
    inputs: &Inputs<'_>,
    (system, source): (&System, &SourceDisk),
    place: &Place<'_>,
) -> (PathBuf, TargetOptions) {
    let own = inputs.taken(system).and_then(|machine| machine.disk(&source.row));
    let format = own.and_then(|disk| disk.format.as_ref()).map(|said| said.value);
    let output = match format {
        Some(format) => inputs.choices.output.in_format(format),
        None => inputs.choices.output,
    };
    let DiskId(number) = source.disk;
    let name = format!("{}-disk{number}.{}", place.name.slug, output.format().as_str());
    let to =
        own.and_then(|disk| disk.to.as_ref()).map_or(PathBuf::from(name), |to| to.value.clone());
    (place.folder.join(to), output)
}

/// Where a disk comes from, and what is wrong with it.
fn disk_file(
    inputs: &Inputs<'_>,
    source: &SourceDisk,
    (to, output): (PathBuf, TargetOptions),
    findings: &mut Vec<Finding>,
) -> Result<(FilePlan, Vec<Note>), Error> {
    let Inputs { facts, images, .. } = inputs;
    let mut notes = Vec::new();
    let mut stated_bytes = source.capacity_bytes;
    let mut image = None;
    let mut href = None;
    match &source.file {
        None if source.capacity_bytes.is_none() => {
            notes.push(Note::blocker(Code::E0304, "an empty disk without a capacity"));
        }
        None => {}
        Some(file) => match files::resolve(facts, file, &source.parents, source.stated)? {
            Err(note) => notes.push(note),
            Ok(found) => {
                findings.extend(found.findings);
                let seen = images.iter().find(|image| image.name == found.image.name);
                let (bytes, seen) = look(seen, source.capacity_bytes);
                stated_bytes = bytes.or(stated_bytes);
                notes.extend(seen);
                image = Some(PackedImage { stated_bytes: source.capacity_bytes, ..found.image });
                href = found.href;
            }
        },
    }
    let role = FileRole::Disk { disk: source.disk, stated_bytes, output };
    Ok((FilePlan { image, href, to, role }, notes))
}

/// Says what came to be known of an item in its row.
fn add_notes(rows: &mut [Row], item: &str, notes: Vec<Note>) {
    let Some(row) = rows.iter_mut().find(|row| row.item == item) else { return };
    *row = notes.into_iter().fold(row.clone(), Row::note);
}

/// What the header of an image says beside the descriptor: the capacity to build, and notes.
fn look(image: Option<&ImageFacts>, stated_bytes: Option<u64>) -> (Option<u64>, Vec<Note>) {
    match image.map(|image| &image.info) {
        None => (None, Vec::new()),
        Some(Err(refusal)) => (None, vec![Note::blocker(refusal.code, refusal.message.clone())]),
        Some(Ok(info)) => {
            let mut notes: Vec<Note> = info
                .warnings
                .iter()
                .map(|warning| Note::new(warning.code, warning.to_string()))
                .collect();
            match capacity(info.format, info.capacity_bytes, stated_bytes) {
                Ok((bytes, note)) => {
                    notes.extend(note);
                    (Some(bytes), notes)
                }
                Err(note) => {
                    notes.push(note);
                    (None, notes)
                }
            }
        }
    }
}

/// The capacity to build: the larger of the image's and the descriptor's. A raw image has no header
/// that could be right against the descriptor, so there they must agree.
pub(crate) fn capacity(
    format: disk::Format,
    image_bytes: u64,
    stated_bytes: Option<u64>,
) -> Result<(u64, Option<Note>), Note> {
    let stated_bytes = stated_bytes.map(|bytes| bytes.next_multiple_of(SECTOR_BYTES));
    let Some(stated) = stated_bytes.filter(|stated| *stated != image_bytes) else {
        return Ok((image_bytes, None));
    };
    let text = format!("the image has {image_bytes} bytes, the descriptor says {stated}");
    if format == disk::Format::Raw {
        return Err(Note::blocker(Code::E0403, text)
            .hint("the file is cut off, or it is no raw disk: ask the vendor"));
    }
    let built = image_bytes.max(stated);
    let text = format!("{text}; {} is built", ByteSize(built));
    Ok((built, Some(Note::new(Code::W0112, text))))
}

fn medium_file(
    facts: &Facts,
    medium: &SourceMedium,
    to: PathBuf,
    findings: &mut Vec<Finding>,
) -> Result<Result<FilePlan, Note>, Error> {
    let found = match files::resolve(facts, &medium.file, &[], None)? {
        Ok(found) => found,
        Err(note) => return Ok(Err(note.hint(format!("--ignore {}", medium.row)))),
    };
    findings.extend(found.findings);
    // A medium is copied as it is, whatever its first bytes are.
    let declared = disk::Declared::Stated(disk::Format::Raw);
    let image = Some(PackedImage { declared, ..found.image });
    Ok(Ok(FilePlan { image, href: found.href, to, role: FileRole::Medium }))
}
