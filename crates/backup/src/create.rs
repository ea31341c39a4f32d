//! One point of a machine, from the look at it to the published bundle.
//!
//! ```text
//! look: state, disks, checkpoints --> recover: what a killed run left --> how each disk is read
//!    running, paused --> freeze, backup-begin, thaw --NBD--\
//!    off, full -----------------------> images -------------> members --> definition, manifest --> published
//!    off, counting changes --> started paused --NBD--------/ the job ends                             |
//!                                                           the checkpoint before is deleted <--------/
//! ```
//!
//! The old point stays usable until the new one is published: whatever fails before leaves the bundle, the
//! machine and its checkpoints as they were.

mod base;
mod budget;
mod bundled;
mod disks;
#[cfg(test)]
mod fixture;
mod images;
mod named;
mod plan;
mod pull;
mod recover;
mod sink;
mod untaken;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bundle::{Checkpoint, Indication, Mode, Point, PointDisk, State};
use disk::Progress;
use domain::Drive;
use host::{
    dir,
    libvirt::{Definition, Detail, Power, Protection},
    scratch::Scratch,
};
use nbd::NbdImage;
use vm::Uuid;

use crate::{
    Error, Kind, Result,
    quiesce::{Asked, Guards, Quiesce},
};
use base::{Base, Reading};
use budget::{Budget, Watched};
use disks::Choice;
use pull::{Pull, Wanted};

pub use base::Wish;
pub use bundled::Bundled;
pub use named::{Looks, Named};
pub use plan::{Plan, PlannedDisk, Way, plan};
pub use recover::{Known, Leftover, Note, left_on, put_right, recover};
pub use sink::{Begun, Sink, Written};

/// What the names of our checkpoints begin with.
pub const CHECKPOINT_PREFIX: &str = "relift-";

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The machine.
    pub machine: Uuid,
    /// Its name.
    pub name: String,
    /// How much is read.
    pub wish: Wish,
    /// Whether a later increment is to be possible: a checkpoint stays on the machine.
    pub is_incrementable: bool,
    /// The targets of disks that are left out.
    pub excluded: Vec<String>,
    /// Whether the images in the CD drives are copied, too.
    pub with_media: bool,
    /// Whether the guest has to be quiet.
    pub quiesce: Quiesce,
    /// How long it may stand still.
    pub deadline: Option<Duration>,
    /// Worker threads.
    pub workers: usize,
    /// The moment, in seconds since 1970.
    pub unix_seconds: u64,
    /// The word for the folder that the bundle is in, in the names of checkpoints.
    pub series: String,
    /// The checkpoints that points of the machine count from, in all bundles of the folder.
    pub known: Vec<String>,
    /// Where scratch files go; `None` for beside the first image.
    pub scratch: Option<PathBuf>,
}

/// Steps that people are told of.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// The machine is looked at, and what an earlier run left is put right.
    Look,
    /// The moment is kept.
    Freeze,
    /// A disk is read.
    Copy {
        /// Which one.
        target: &'a str,
        /// How many bytes of it are read.
        total_bytes: u64,
    },
    /// The bundle is made durable.
    Publish,
}

/// Who hears how far a backup is.
pub trait Watch: Progress {
    /// A step begins.
    fn begin(&self, step: Step<'_>);
}

/// The doors to the outside.
#[derive(Clone, Copy)]
pub struct Doors<'a> {
    /// The host of the machine; its files are this computer's.
    pub host: &'a (dyn Protection + 'a),
    /// What thaws a guest if we are killed.
    pub guards: &'a dyn Guards,
    /// Who hears of it.
    pub watch: &'a dyn Watch,
}

impl std::fmt::Debug for Doors<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doors").finish_non_exhaustive()
    }
}

/// A point that is published.
#[derive(Debug, Clone)]
pub struct Made {
    /// The point.
    pub point: Point,
    /// How long the guest's file systems were frozen.
    pub frozen: Option<Duration>,
    /// The length of the bundle, in bytes.
    pub file_bytes: u64,
    /// What was put right before, and what else people should know.
    pub notes: Vec<String>,
}

/// A machine as it is found.
#[derive(Debug)]
struct Found {
    power: Power,
    /// The definition that it is kept by.
    kept: String,
    choice: Choice,
    /// The other drives: they are in no job.
    others: Vec<String>,
    checkpoints: Vec<String>,
}

/// Makes a point of a machine in the bundle that `sink` begins or goes on with.
///
/// The caller holds the machine's lock: no other backup of ours runs for it.
///
/// # Errors
/// The machine cannot be read, there is no room, no increment is possible where one was asked for, or
/// somebody said stop. Then the bundle is what it was, and the machine goes on as it did.
pub fn create(request: &Request, sink: &mut dyn Sink, doors: &Doors<'_>) -> Result<Made> {
    doors.watch.begin(Step::Look);
    let last = sink.last().cloned();
    let of_points = sink.points().iter().filter_map(|point| point.checkpoint.as_ref());
    let known = of_points.map(|checkpoint| checkpoint.name.clone());
    let known: Vec<_> = known.chain(request.known.iter().cloned()).collect();
    let beneath = scratch_folder(request, doors)?;
    let mut notes = recover(request.machine, &beneath, (&request.series, &known), doors.host)?;
    let found = look(request, doors)?;
    let readings = readings(request, &found, last.as_ref(), doors)?;
    let config = sink.definition(&found.kept, doors.watch)?;
    let is_counted = has_checkpoint(request, &readings)
        || readings.iter().any(|it| it.mode == Mode::Incremental);
    if request.is_incrementable && !is_counted {
        let text = "no image of the machine can keep a bitmap: the next backup is a full one, too";
        notes.push(Note(text.to_owned()));
    }
    let copied = if found.power == Power::Off && !is_counted {
        Copied::of_images(images::copy_off(request, &readings, sink, doors)?)
    } else {
        copy_running((request, doors), &found, readings, (&beneath, last.as_ref()), sink)?
    };
    // What is bound last goes first: the job and its checkpoint go before the process of the machine.
    let Copied { disks, state, indications, frozen, off, pull, checkpoint, notes: more } = copied;
    notes.extend(more.into_iter().map(Note));
    let mode = if disks.iter().any(|disk| disk.mode == Mode::Incremental) {
        Mode::Incremental
    } else {
        Mode::Full
    };
    let point = Point {
        id: Point::id_at(request.unix_seconds, sink.points()),
        created_unix_seconds: request.unix_seconds,
        mode,
        config,
        state,
        indications,
        disks,
        left_out: found.choice.left_out,
        checkpoint,
        snapshots: Vec::new(),
    };
    if request.with_media {
        for medium in &found.choice.media {
            sink.medium(&medium.file, doors.watch)?;
        }
    }
    doors.watch.begin(Step::Publish);
    let file_bytes = sink.publish(&point)?;
    // From here on the point is there: what fails now is told, and put right by the next run.
    if let Some(pull) = pull {
        pull.keep();
    }
    notes.extend(drop_older(request, &point, &found.checkpoints, doors));
    notes.extend(untaken::snapshots(request.machine, doors.host));
    drop(off);
    let notes = notes.into_iter().map(|Note(text)| text).collect();
    Ok(Made { point, frozen, file_bytes, notes })
}

/// What the disks of a machine became. Dropped, the job ends before its machine does.
struct Copied<'a> {
    disks: Vec<PointDisk>,
    state: State,
    indications: Vec<Indication>,
    frozen: Option<Duration>,
    pull: Option<Pull<'a>>,
    off: Option<PausedForUs<'a>>,
    checkpoint: Option<Checkpoint>,
    notes: Vec<String>,
}

impl Copied<'_> {
    /// Those of a machine that was off, read from its images.
    const fn of_images(disks: Vec<PointDisk>) -> Self {
        Self {
            disks,
            state: State::Off,
            indications: Vec::new(),
            frozen: None,
            pull: None,
            off: None,
            checkpoint: None,
            notes: Vec::new(),
        }
    }
}

/// The folder beneath which scratch files go: beside the first image of the machine.
fn scratch_folder(request: &Request, doors: &Doors<'_>) -> Result<PathBuf> {
    if let Some(folder) = &request.scratch {
        return Ok(folder.clone());
    }
    let image = first_image(&drives(doors, request.machine, Definition::Live)?);
    let folder = image.as_deref().and_then(Path::parent).map(Path::to_owned);
    folder.ok_or_else(|| {
        Error::usage(
            "no disk of the machine is on a file: say where scratch files go with --scratch DIR",
        )
    })
}

fn first_image(drives: &[Drive]) -> Option<PathBuf> {
    drives.iter().find_map(|drive| match (&drive.device, &drive.source) {
        (domain::DriveDevice::Disk, domain::DriveSource::File(path)) => Some(path.clone()),
        _ => None,
    })
}

fn drives(doors: &Doors<'_>, machine: Uuid, which: Definition) -> Result<Vec<Drive>> {
    let xml = doors.host.definition(machine, which)?;
    Ok(domain::drives(xml.as_bytes())?)
}

fn look(request: &Request, doors: &Doors<'_>) -> Result<Found> {
    let (host, machine) = (doors.host, request.machine);
    let power = host.power(machine)?;
    if let Power::Other(state) = &power {
        let text = format!("the machine is neither running nor off: {state}");
        return Err(Error::new(Kind::State, text));
    }
    let live = drives(doors, machine, Definition::Live)?;
    let kept = host.definition(machine, Definition::Inactive)?;
    let choice = disks::choose(&live, &domain::drives(kept.as_bytes())?, &request.excluded)?;
    let is_taken = |drive: &&Drive| choice.disks.iter().any(|disk| disk.target == drive.target);
    let others = live.iter().filter(|it| !is_taken(it)).map(|it| it.target.clone()).collect();
    let checkpoints = host.checkpoints(machine)?;
    Ok(Found { power, kept, choice, others, checkpoints })
}

/// Decides how each disk is read.
fn readings(
    request: &Request,
    found: &Found,
    last: Option<&Point>,
    doors: &Doors<'_>,
) -> Result<Vec<Reading>> {
    let mut sized = Vec::new();
    for disk in &found.choice.disks {
        let info = doors.host.block_info(request.machine, &disk.target)?;
        sized.push((disk.clone(), info.capacity_bytes));
    }
    let checkpoints = &found.checkpoints;
    let bitmaps = last.and_then(|point| bitmaps(request.machine, point, checkpoints, doors));
    let bitmaps = bitmaps.as_deref();
    let base = last.map(|point| Base { point, checkpoints, bitmaps });
    base::readings(&sized, request.wish, base.as_ref())
}

/// The disks that the host keeps bitmaps of since a point; `None` where it does not say.
fn bitmaps(
    machine: Uuid,
    point: &Point,
    checkpoints: &[String],
    doors: &Doors<'_>,
) -> Option<Vec<String>> {
    let name = &point.checkpoint.as_ref()?.name;
    checkpoints.contains(name).then_some(())?;
    let xml = doors.host.checkpoint_xml(machine, name, Detail::Definition).ok()?;
    let checkpoint = domain::read_checkpoint(xml.as_bytes()).ok()?;
    Some(checkpoint.disks.into_iter().map(|disk| disk.target).collect())
}

/// Reads a machine that has a process, through a job.
fn copy_running<'a>(
    (request, doors): (&Request, &Doors<'a>),
    found: &Found,
    mut readings: Vec<Reading>,
    (beneath, last): (&Path, Option<&Point>),
    sink: &mut dyn Sink,
) -> Result<Copied<'a>> {
    let free_bytes = dir::facts(beneath)?.free_bytes;
    let capacity = readings.iter().map(|it| it.capacity_bytes).fold(0, u64::saturating_add);
    let budget = Budget::of(capacity, free_bytes)?;
    let image = readings.iter().find_map(|reading| reading.disk.file.as_deref());
    let note = recover::note_of(request, &found.power);
    let wrap = |error| Error::io("cannot make the scratch folder in", beneath, error);
    let scratch = Scratch::make(beneath, request.machine, &note).map_err(wrap)?;
    let is_off = found.power == Power::Off;
    let off = is_off.then(|| PausedForUs::start(doors, request.machine)).transpose()?;
    if let Some(image) = image {
        scratch.give_to_owner_of(image).map_err(wrap)?;
    }
    let name = has_checkpoint(request, &readings).then(|| checkpoint_name(request, found));
    let mut wanted = Wanted {
        readings: &mut readings,
        others: found.others.clone(),
        base: last.and_then(|point| Some(point.checkpoint.as_ref()?.name.as_str())),
        checkpoint: name.clone(),
        wish: request.wish,
        was: found.power.clone(),
    };
    let asked = Asked {
        host: doors.host,
        machine: request.machine,
        quiesce: request.quiesce,
        deadline: request.deadline,
        guards: doors.guards,
    };
    doors.watch.begin(Step::Freeze);
    let (mut pull, mut moment) = Pull::begin(&asked, scratch, &mut wanted)?;
    let mut opened = Vec::new();
    for reading in &readings {
        opened.push((reading, pull.image(reading)?));
    }
    let (was, files) = (&found.power, pull.scratch_files(&readings));
    let watched = Watched { host: doors.host, machine: request.machine, was, files };
    let watch = doors.watch;
    let disks = budget::within(&watched, budget, watch, |progress| {
        opened
            .iter()
            .map(|(reading, image)| copy(request, (reading, image), sink, (watch, progress)))
            .collect()
    })?;
    drop(opened);
    if let Err(error) = pull.end() {
        moment.notes.push(format!("the backup job could not be ended: {error}"));
    }
    let checkpoint = name.map(|name| checkpoint_of(request.machine, name, doors));
    let state = if is_off { State::Off } else { moment.state };
    Ok(Copied {
        disks,
        state,
        indications: moment.indications,
        frozen: moment.frozen,
        pull: Some(pull),
        off,
        checkpoint,
        notes: moment.notes,
    })
}

/// Copies a disk into the bundle.
fn copy(
    request: &Request,
    (reading, image): (&Reading, &NbdImage),
    sink: &mut dyn Sink,
    (watch, progress): (&dyn Watch, &dyn Progress),
) -> Result<PointDisk> {
    let (target, mode) = (reading.disk.target.as_str(), reading.mode);
    let total_bytes = image.dirty()?.data_bytes;
    watch.begin(Step::Copy { target, total_bytes });
    let begun = Begun { target, capacity_bytes: reading.capacity_bytes, mode };
    let written = sink.image(&begun, image, request.workers, progress)?;
    Ok(PointDisk {
        target: target.to_owned(),
        member: written.member,
        capacity_bytes: reading.capacity_bytes,
        mode,
        reason: reading.reason.clone(),
        read_bytes: total_bytes,
    })
}

/// The word for a folder in the names of checkpoints: backups in other folders have their own.
#[must_use]
pub fn series_of(folder: &Path) -> String {
    let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let digest = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    digest.chars().take(8).collect()
}

/// Whether a checkpoint is made: for an increment that is wanted later, if any disk can have one.
fn has_checkpoint(request: &Request, readings: &[Reading]) -> bool {
    request.is_incrementable && readings.iter().any(|reading| reading.disk.has_bitmaps())
}

/// The name of the checkpoint of this moment, in the order of time; no other one of the machine has it.
fn checkpoint_name(request: &Request, found: &Found) -> String {
    let name = format!("{CHECKPOINT_PREFIX}{}-{}", request.series, request.unix_seconds);
    let others = (2..).map(|number: u32| format!("{name}-{number}"));
    let mut names = std::iter::once(name.clone()).chain(others);
    names.find(|name| !found.checkpoints.contains(name)).unwrap_or(name)
}

/// What the point keeps of a checkpoint: its document lets libvirt be told of it again.
fn checkpoint_of(machine: Uuid, name: String, doors: &Doors<'_>) -> Checkpoint {
    let xml = doors.host.checkpoint_xml(machine, &name, Detail::Definition);
    Checkpoint { name, xml: xml.unwrap_or_default() }
}

/// Deletes the checkpoints of this series that are older than the new one: what they count is in it.
fn drop_older<'r>(
    request: &'r Request,
    point: &'r Point,
    checkpoints: &'r [String],
    doors: &'r Doors<'_>,
) -> impl Iterator<Item = Note> {
    let ours = format!("{CHECKPOINT_PREFIX}{}-", request.series);
    let newest = point.checkpoint.as_ref().map(|checkpoint| checkpoint.name.as_str());
    let is_old = move |name: &&String| newest.is_some() && name.starts_with(&ours);
    checkpoints.iter().filter(is_old).filter_map(move |name| {
        let is_gone = pull::forget_checkpoint(doors.host, request.machine, name);
        (!is_gone).then(|| Note(format!("the checkpoint {name} could not be deleted")))
    })
}

/// A machine that was off and has a process for the time of the backup; its guest does not run.
struct PausedForUs<'a> {
    host: &'a (dyn Protection + 'a),
    machine: Uuid,
}

impl<'a> PausedForUs<'a> {
    fn start(doors: &Doors<'a>, machine: Uuid) -> Result<Self> {
        doors.host.start_paused(machine)?;
        Ok(Self { host: doors.host, machine })
    }
}

impl Drop for PausedForUs<'_> {
    fn drop(&mut self) {
        // The next run ends it if this does not.
        drop(self.host.destroy(self.machine));
    }
}

#[cfg(test)]
mod tests;
