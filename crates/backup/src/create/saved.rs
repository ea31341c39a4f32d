//! Which snapshots of a machine come with a point, and which do not, with the reason.

use std::path::Path;

use bundle::{Point, Snapshot, Template};
use host::libvirt::Power;

use super::{
    Doors, Found, Request,
    kept::{Kept, Names},
    temporary::{self, PREFIX},
};
use crate::{
    Error, Kind, Result,
    error::told,
    snapshot::{self, CreatePlan, Images, MemoryFile, Tree, chain, images_of},
};

/// Why a snapshot inside the images is in no backup.
const INTERNAL: &str = "it is inside its images, where only libvirt gets at it";

/// Why a snapshot that was taken after the full backup is not in an increment.
const NEWER: &str = "an increment has the disks alone; the next full backup has it";

/// What a bundle has already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before<'a> {
    /// Its points, in their order.
    pub points: &'a [Point],
    /// The snapshots that it tells of.
    pub snapshots: &'a [Snapshot],
    /// The template whose disks its images stand on.
    pub template: Option<&'a Template>,
}

/// A snapshot of a machine that is not in a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untaken {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// The snapshots of a machine, parted.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// The names of those that come back with the point.
    pub(super) names: Vec<String>,
    /// The others.
    pub(super) untaken: Vec<Untaken>,
    /// What of them goes into the bundle; `None` where only the disks do.
    pub(super) kept: Option<Kept>,
    /// The snapshot that is taken to read the machine, which has a process.
    pub(super) temporary: Option<CreatePlan>,
}

/// Parts the snapshots of a machine; `before` is what the bundle has that gets the point.
///
/// # Errors
/// The host does not tell of them, or the machine's memory cannot be kept, which is asked for.
pub(super) fn look(
    request: &Request,
    found: &Found,
    before: Before<'_>,
    doors: &Doors<'_>,
) -> Result<Saved> {
    let mut tree = match snapshot::tree(&doors.subject(request)) {
        // The disks are there whatever cannot be read of them.
        Err(error) if request.memory == MemoryFile::None => {
            let known = doors.host.snapshots(request.machine)?.into_iter();
            return Ok(none_of(known.map(|known| known.name), &error));
        }
        tree => tree?,
    };
    tree.snapshots.retain(|one| !one.name.starts_with(PREFIX));
    if let Some(last) = before.points.last() {
        return Ok(since(&tree, (last, before.snapshots)));
    }
    let all = tree.names();
    let (usable, mut untaken) = usable(tree, &|target| is_wanted(found, target));
    let is_asked = request.memory == MemoryFile::Kept;
    if usable.snapshots.is_empty() && !is_asked {
        return Ok(Saved { untaken, ..Saved::default() });
    }
    match with_tree(request, found, &usable, doors) {
        Ok((kept, temporary)) => {
            let mut names = kept.names();
            names.extend(is_asked.then(|| memory_name(request, &all)));
            Ok(Saved { names, untaken, kept: Some(kept), temporary })
        }
        Err(error) if is_asked => Err(error),
        Err(error) => {
            untaken.extend(none_of(usable.names().into_iter(), &error).untaken);
            Ok(Saved { untaken, ..Saved::default() })
        }
    }
}

/// The disks alone, because of an error.
fn none_of(names: impl Iterator<Item = String>, error: &Error) -> Saved {
    let untaken = names.map(|name| Untaken { name, reason: told(error) });
    Saved { untaken: untaken.collect(), ..Saved::default() }
}

/// What goes into the bundle once the snapshot is taken that has the machine's memory: it is one of the
/// tree then, under a name by which nobody takes it for one that a run has left.
///
/// # Errors
/// As [`look`].
pub(super) fn with_memory(
    request: &Request,
    found: &Found,
    plan: &CreatePlan,
    doors: &Doors<'_>,
) -> Result<Kept> {
    let subject = doors.subject(request);
    let mut tree = snapshot::tree(&subject)?;
    let name = memory_name(request, &tree.names());
    for one in tree.snapshots.iter_mut().filter(|one| one.name == plan.name) {
        one.name.clone_from(&name);
    }
    let (usable, _) = usable(tree, &|target| is_wanted(found, target));
    let mut images = images_of(&subject, &usable)?;
    let heads = plan.included.iter().map(|disk| (disk.target.clone(), disk.image.clone()));
    images.heads = heads.collect();
    decide(request, found, (&usable, &images))
}

/// What the snapshot with the machine's memory is called in the bundle, beside these.
fn memory_name(request: &Request, others: &[String]) -> String {
    let first = format!("backup-{}", Point::id_at(request.unix_seconds, &[]));
    let numbered = (2..).map(|number: u32| format!("{first}-{number}"));
    let mut wanted = std::iter::once(first.clone()).chain(numbered);
    wanted.find(|name| !others.contains(name)).unwrap_or(first)
}

/// Whether this disk is in the backup: one that the machine has not any more is in its snapshots only.
fn is_wanted(found: &Found, target: &str) -> bool {
    found.choice.left_out.iter().all(|left| left.target != target)
}

/// Those that the last point had and the machine has still; new ones are in no increment.
fn since(tree: &Tree, (last, snapshots): (&Point, &[Snapshot])) -> Saved {
    let mut saved = Saved::default();
    for one in &tree.snapshots {
        let name = one.name.clone();
        let is_it = |old: &&Snapshot| {
            (&old.name, old.created_unix_seconds) == (&one.name, one.unix_seconds)
        };
        let is_known = snapshots.iter().any(|old| is_it(&old));
        if is_known && last.snapshots.contains(&name) {
            saved.names.push(name);
        } else {
            let reason = if one.is_internal { INTERNAL } else { NEWER };
            saved.untaken.push(Untaken { name, reason: reason.to_owned() });
        }
    }
    saved
}

/// Parts the snapshots by whether all that they are made of is there. Those that follow one that is not get
/// its parent.
fn usable(mut tree: Tree, is_wanted: &dyn Fn(&str) -> bool) -> (Tree, Vec<Untaken>) {
    let mut untaken = Vec::new();
    let all = std::mem::take(&mut tree.snapshots);
    let parents: Vec<_> = all.iter().map(|one| (one.name.clone(), one.parent.clone())).collect();
    for mut one in all {
        match check(&one, is_wanted) {
            Err(reason) => untaken.push(Untaken { name: one.name, reason }),
            Ok(()) => {
                // As many steps as there are snapshots end every chain of parents.
                for _ in 0..parents.len() {
                    let Some(parent) = &one.parent else { break };
                    if tree.snapshots.iter().any(|taken| taken.name == *parent) {
                        break;
                    }
                    let above = parents.iter().find(|(name, _)| name == parent);
                    one.parent = above.and_then(|(_, parent)| parent.clone());
                }
                tree.snapshots.push(one);
            }
        }
    }
    (tree, untaken)
}

/// Why a snapshot cannot be in a bundle.
fn check(
    one: &snapshot::Found,
    is_wanted: &dyn Fn(&str) -> bool,
) -> std::result::Result<(), String> {
    if one.is_internal {
        return Err(INTERNAL.to_owned());
    }
    one.definition().map_err(|error| told(&error))?;
    let mut images = one.images.iter().filter(|(target, _)| is_wanted(target)).peekable();
    if images.peek().is_none() {
        return Err("it keeps no disk that is in the backup".to_owned());
    }
    for (_, (image, format)) in images {
        let opened = chain::stated(image, format).and_then(|format| chain::open_as(image, format));
        opened.map_err(|error| told(&error))?;
    }
    match &one.memory {
        Some(file) if !is_file(file) => Err(format!("its memory {} is not there", file.display())),
        _ => Ok(()),
    }
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file())
}

/// Decides how a machine is read with its snapshots.
fn with_tree(
    request: &Request,
    found: &Found,
    usable: &Tree,
    doors: &Doors<'_>,
) -> Result<(Kept, Option<CreatePlan>)> {
    if request.memory == MemoryFile::Kept && found.power == Power::Off {
        let text = "the machine is off, and has no memory to keep";
        return Err(Error::new(Kind::State, text));
    }
    let images = images_of(&doors.subject(request), usable)?;
    let kept = decide(request, found, (usable, &images))?;
    let has_process = found.power != Power::Off;
    let temporary = has_process.then(|| temporary::plan(request, found, doors)).transpose()?;
    Ok((kept, temporary))
}

fn decide(request: &Request, found: &Found, (tree, images): (&Tree, &Images)) -> Result<Kept> {
    let names = Names { machine: &request.name, unix_seconds: request.unix_seconds };
    let is_wanted = |target: &str| is_wanted(found, target);
    Kept::decide(names, &found.choice.disks, (tree, images), &is_wanted)
}
