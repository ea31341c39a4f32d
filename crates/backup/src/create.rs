//! One point of a machine, from the look at it to the published bundle.
//!
//! ```text
//! look: state, disks, checkpoints --> recover: what a killed run left --> how each disk is read
//!    running, paused --> freeze, backup-begin, thaw --NBD--\
//!    off, full -----------------------> images -------------> members --> definition, manifest --> published
//!    off, counting changes --> started paused --NBD--------/ the job ends                             |
//!    its first point, with snapshots --> images below a --/  ours is merged                           |
//!         snapshot of ours, while it runs                   the checkpoint before is deleted <--------/
//! ```
//!
//! The old point stays usable until the new one is published: whatever fails before leaves the bundle, the
//! machine and its checkpoints as they were.

mod base;
mod budget;
mod bundled;
mod busy;
mod disks;
mod exported;
#[cfg(test)]
mod fixture;
mod held;
mod images;
mod job;
mod kept;
mod layer;
mod layered;
mod mark;
mod named;
mod plan;
mod pull;
mod recover;
mod request;
mod rules;
mod saved;
mod series;
mod sink;
mod template;
mod temporary;
mod thin;
mod with_tree;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use bundle::{Mode, Point};
use disk::Progress;
use domain::Drive;
use host::{
    Host,
    libvirt::{Definition, Detail, Power, Protection},
    scratch::Scratch,
};
use vm::Uuid;

use crate::{
    Error, Kind, Result,
    quiesce::{Guards, Quiesce},
    snapshot::{MemoryFile, Records, Subject},
};
use base::{Base, Reading};
use disks::Choice;
use held::Copied;
use rules::Ruled;
use saved::Saved;
use series::{Series, has_checkpoint, has_increment};
use temporary::Whole;

pub use base::Wish;
pub use bundled::Bundled;
pub(crate) use busy::is_lost;
pub use named::{Looks, Named};
pub use plan::{Plan, PlannedDisk, Way, plan};
pub use recover::{Known, Leftover, Note, left_on, put_right, recover};
pub use request::{Keeps, Request};
pub use saved::{Before, Untaken};
pub use series::{CHECKPOINT_PREFIX, series_of};
pub use sink::{Begun, Sink, Written};
pub use template::{CloneCopy, Footing, Marking};

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
        /// How many bytes it has; what is empty is done at once.
        total_bytes: u64,
    },
    /// What the guest wrote into overlays meanwhile goes into its images.
    Merge,
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
    /// The file system that the images of the machine lie in.
    pub files: &'a dyn Host,
    /// What relift noted of its snapshots.
    pub records: &'a Records,
    /// The images that other machines of the host use.
    pub foreign: &'a [PathBuf],
}

impl<'a> Doors<'a> {
    /// The machine with its snapshots.
    fn subject(&self, request: &'a Request) -> Whole<'a> {
        let Self { host, files, records, foreign, .. } = *self;
        Subject { host, files, machine: request.machine, name: &request.name, records, foreign }
    }
}

impl std::fmt::Debug for Doors<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doors").finish_non_exhaustive()
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A point.
    Made(Box<Made>),
    /// Nothing was to be kept: the bundle and the checkpoints are as they were.
    Unchanged {
        /// What was put right before, and what else people should know.
        notes: Vec<String>,
    },
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
    /// The disks of the machine's template that stayed out of it, by the names of what stands on them.
    pub stands_on: BTreeMap<String, PathBuf>,
    /// Whether the machine restores as a template.
    pub is_template: bool,
    /// What was put right before, and what else people should know.
    pub notes: Vec<String>,
    /// The snapshots of the machine that are not in it.
    pub untaken: Vec<Untaken>,
}

/// A machine as it is found.
#[derive(Debug)]
struct Found {
    power: Power,
    /// The definition that it is kept by.
    kept: String,
    choice: Choice,
    ruled: Ruled,
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
pub fn create(request: &Request, sink: &mut dyn Sink, doors: &Doors<'_>) -> Result<Outcome> {
    doors.watch.begin(Step::Look);
    let last = sink.last().cloned();
    let before =
        Before { points: sink.points(), snapshots: sink.snapshots(), template: sink.template() };
    check(request, before)?;
    let of_points = sink.points().iter().filter_map(|point| point.checkpoint.as_ref());
    let mut known = request.known.clone();
    known.checkpoints.extend(of_points.map(|checkpoint| checkpoint.name.clone()));
    let beneath = scratch_folder(request, doors)?;
    let mut notes = recover(&doors.subject(request), &beneath, &known)?;
    let mut ready = ready(request, before, doors)?;
    // What others do to the snapshots meanwhile would be done to what is read.
    let lock = ready.saved.kept.is_some().then(|| doors.records.lock()).transpose()?;
    if lock.is_some() {
        ready = self::ready(request, before, doors)?;
    }
    let series =
        Series { word: &request.series, known: &known, found: &ready.found.checkpoints.clone() };
    notes.extend(request.doubt.as_ref().and_then(|doubt| series.in_doubt(doubt)));
    if ready.found.ruled.is_template {
        sink.mark_template()?;
    }
    let config = sink.definition(&ready.found.kept, doors.watch)?;
    if request.keeps != Keeps::Nothing && !ready.is_counted(request) {
        let text = "no image of the machine can keep a bitmap: the next backup is a full one, too";
        notes.push(Note(text.to_owned()));
    }
    busy::settle(doors.host, request.machine, doors.watch)?;
    let copied = copy(request, &ready, (&beneath, last.as_ref()), sink, doors)?;
    drop(lock);
    let Some(copied) = copied else {
        let notes = notes.into_iter().map(|Note(text)| text).collect();
        return Ok(Outcome::Unchanged { notes });
    };
    let run = Run { request, doors, series, notes };
    run.publish(ready, (config, copied), sink).map(|made| Outcome::Made(Box::new(made)))
}

/// Refuses what cannot be: memory is that of a guest which was not frozen, and is in no increment.
fn check(request: &Request, before: Before<'_>) -> Result<()> {
    if request.memory == MemoryFile::None {
        return Ok(());
    }
    if request.quiesce == Quiesce::Require {
        let text = "a guest whose memory is kept is not frozen: what its programs had not written yet is \
                    in the memory";
        return Err(Error::usage(text));
    }
    if !before.points.is_empty() || request.wish == Wish::Incremental {
        return Err(Error::usage("memory is kept by full backups only"));
    }
    Ok(())
}

/// What is known before anything is read.
#[derive(Debug)]
struct Ready {
    found: Found,
    /// How each disk is read.
    readings: Vec<Reading>,
    /// The snapshots of the machine.
    saved: Saved,
}

impl Ready {
    /// Whether changes are counted, or were: a machine that is off needs a process for that.
    fn is_counted(&self, request: &Request) -> bool {
        has_checkpoint(request.keeps, &self.readings) || has_increment(&self.readings)
    }
}

/// Looks at a machine, and decides.
fn ready(request: &Request, before: Before<'_>, doors: &Doors<'_>) -> Result<Ready> {
    let found = look(request, doors)?;
    let mut readings = readings(request, &found, before, doors)?;
    let saved = saved::look(request, &found, before, doors)?;
    if saved.kept.is_some() {
        template::take_with_tree(&mut readings);
    }
    Ok(Ready { found, readings, saved })
}

/// Copies the disks, in the way that the machine and its snapshots allow; `None` where nothing is new.
fn copy<'a>(
    request: &Request,
    ready: &Ready,
    (beneath, last): (&Path, Option<&Point>),
    sink: &mut dyn Sink,
    doors: &Doors<'a>,
) -> Result<Option<Copied<'a>>> {
    let Ready { found, readings, saved } = ready;
    match &saved.kept {
        Some(kept) => with_tree::copy((request, doors), ready, kept, beneath, sink).map(Some),
        None if found.power == Power::Off && !ready.is_counted(request) => {
            Ok(Some(Copied::of_images(images::copy_off(request, readings, sink, doors)?)))
        }
        None => job::copy((request, doors), found, readings.clone(), (beneath, last), sink),
    }
}

/// A run whose disks are read.
struct Run<'r> {
    request: &'r Request,
    doors: &'r Doors<'r>,
    series: Series<'r>,
    notes: Vec<Note>,
}

impl Run<'_> {
    /// Publishes the point, and ends what was begun for it; what nobody counts from any more goes.
    fn publish(
        mut self,
        ready: Ready,
        (config, copied): (String, Copied<'_>),
        sink: &mut dyn Sink,
    ) -> Result<Made> {
        let (request, doors) = (self.request, self.doors);
        let Ready { found, saved, .. } = ready;
        let Ruled { is_template, .. } = found.ruled;
        let Copied { disks, state, indications, frozen, mut held, checkpoint, .. } = copied;
        self.notes.extend(copied.notes.into_iter().map(Note));
        let stands_on = template::beneath(&disks, sink.template());
        self.notes.extend(found.ruled.notes_of(stands_on.keys()));
        self.notes.extend(found.ruled.notes);
        let is_increment = disks.iter().any(|disk| disk.mode == Mode::Incremental);
        let point = Point {
            id: Point::id_at(request.unix_seconds, sink.points()),
            created_unix_seconds: request.unix_seconds,
            mode: if is_increment { Mode::Incremental } else { Mode::Full },
            config,
            state,
            indications,
            disks,
            left_out: found.choice.left_out,
            checkpoint,
            snapshots: copied.snapshots.unwrap_or(saved.names),
        };
        if request.with_media {
            for medium in &found.choice.media {
                sink.medium(&medium.file, doors.watch)?;
            }
        }
        doors.watch.begin(Step::Publish);
        let file_bytes = sink.publish(&point)?;
        // From here on the point is there: what fails now is told, and put right by the next run.
        held.keep();
        self.forget_older(&point);
        held.end();
        let notes = self.notes.into_iter().map(|Note(text)| text).collect();
        let untaken = saved.untaken;
        Ok(Made { point, frozen, file_bytes, stands_on, is_template, notes, untaken })
    }

    /// Deletes the checkpoints that the points before counted from: the new one has its own, or is the last.
    fn forget_older(&mut self, point: &Point) {
        let is_last = self.request.keeps == Keeps::Last && point.mode == Mode::Incremental;
        if is_last {
            let text =
                "the bundle has all the increments that it may have: the next backup is a full one";
            self.notes.push(Note(text.to_owned()));
        }
        if is_last || point.checkpoint.is_some() {
            let stuck = self.series.drop_older(self.request.machine, self.doors);
            self.notes.extend(stuck);
        }
    }
}

/// Where libvirt has images, and scratch files of machines whose disks are all on devices (its default pool).
const IMAGES: &str = "/var/lib/libvirt/images";

/// The folder beneath which scratch files go: beside the first image of the machine.
fn scratch_folder(request: &Request, doors: &Doors<'_>) -> Result<PathBuf> {
    if let Some(folder) = &request.scratch {
        return Ok(folder.clone());
    }
    let image = first_image(&drives(doors, request.machine, Definition::Live)?);
    let folder = image.as_deref().and_then(Path::parent);
    Ok(folder.unwrap_or(Path::new(IMAGES)).to_owned())
}

/// Makes the folder that tells of a backup under way.
fn make_scratch(beneath: &Path, request: &Request, power: &Power) -> Result<Scratch> {
    let note = recover::note_of(request, power);
    let wrap = |error| Error::io("cannot make the scratch folder in", beneath, error);
    Scratch::make(beneath, request.machine, &note).map_err(wrap)
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
    let lives = host.definition(machine, Definition::Live)?;
    let live = domain::drives(lives.as_bytes())?;
    let kept = host.definition(machine, Definition::Inactive)?;
    let mut choice = disks::choose(&live, &domain::drives(kept.as_bytes())?, &request.excluded)?;
    let ruled = rules::apply(request, (&power, &lives, &live), &mut choice, host)?;
    let is_taken = |drive: &&Drive| choice.disks.iter().any(|disk| disk.target == drive.target);
    let others = live.iter().filter(|it| !is_taken(it)).map(|it| it.target.clone()).collect();
    let checkpoints = host.checkpoints(machine)?;
    Ok(Found { power, kept, choice, ruled, others, checkpoints })
}

/// Decides how each disk is read.
fn readings(
    request: &Request,
    found: &Found,
    before: Before<'_>,
    doors: &Doors<'_>,
) -> Result<Vec<Reading>> {
    let last = before.points.last();
    let mut sized = Vec::new();
    for disk in &found.choice.disks {
        let info = doors.host.block_info(request.machine, &disk.target)?;
        sized.push((disk.clone(), info.capacity_bytes));
    }
    let checkpoints = &found.checkpoints;
    let bitmaps = last.and_then(|point| bitmaps(request.machine, point, checkpoints, doors));
    let bitmaps = bitmaps.as_deref();
    let base = last.map(|point| Base { point, checkpoints, bitmaps });
    let mut readings = base::readings(&sized, request.wish, base.as_ref())?;
    for reading in &mut readings {
        reading.stands_on = found.ruled.footings.get(&reading.disk.target).cloned();
        if request.keeps != Keeps::Nothing && reading.reason.is_none() {
            reading.reason.clone_from(&reading.disk.uncounted);
        }
    }
    template::settle(&mut readings, before, request.clone_copy);
    base::check(&readings, request.wish)?;
    Ok(readings)
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

#[cfg(test)]
mod tests;
