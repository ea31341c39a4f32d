//! A machine that goes into a new bundle with its snapshots, or with its memory as one.
//!
//! ```text
//! off        images are read ------------------------------------------------------> members
//!            started paused, checkpoint, images are read, turned off --------------> members
//! running    checkpoint, snapshot of ours, images below it are read, it is merged -> members
//! ```

use std::path::Path;

use host::{libvirt::Power, scratch::Scratch};

use super::{
    Doors, Ready, Request, Sink, Step,
    budget::{self, Budget, Room, Watched},
    held::{Copied, Held, PausedForUs},
    kept::Kept,
    layered, make_scratch,
    mark::Mark,
    saved,
    series::{checkpoint_name, checkpoint_of, has_checkpoint},
    temporary::{Temporary, overlays},
};
use crate::{
    Error, Kind, Result,
    snapshot::{CreatePlan, MemoryFile},
};

/// Copies the machine with what is kept of its snapshots. Who calls it holds the lock of their records.
///
/// # Errors
/// An image cannot be read, the host refuses an act, there is no room, or somebody said stop. Then the
/// machine goes on as it did.
pub(super) fn copy<'a>(
    (request, doors): (&Request, &Doors<'a>),
    ready: &Ready,
    kept: &Kept,
    beneath: &Path,
    sink: &mut dyn Sink,
) -> Result<Copied<'a>> {
    let name = has_checkpoint(request.keeps, &ready.readings)
        .then(|| checkpoint_name(request, &ready.found.checkpoints));
    let needs_scratch = name.is_some() || ready.saved.temporary.is_some();
    let scratch =
        needs_scratch.then(|| make_scratch(beneath, request, &ready.found.power)).transpose()?;
    let mut copied = match &ready.saved.temporary {
        None => resting((request, doors), ready, kept, (scratch, name.as_deref()), sink)?,
        Some(plan) => {
            running((request, doors), ready, (kept, plan), (scratch, name.as_deref()), sink)?
        }
    };
    copied.checkpoint = name.map(|name| checkpoint_of(request.machine, &name, doors));
    Ok(copied)
}

/// Reads a machine whose guest does not run. For a checkpoint it gets a process, whose guest does not
/// run either.
fn resting<'a>(
    (request, doors): (&Request, &Doors<'a>),
    ready: &Ready,
    kept: &Kept,
    (scratch, checkpoint): (Option<Scratch>, Option<&str>),
    sink: &mut dyn Sink,
) -> Result<Copied<'a>> {
    let mut held = Held { _scratch: scratch, ..Held::default() };
    if let Some(name) = checkpoint {
        held.off = Some(PausedForUs::start(doors, request.machine)?);
        held.mark = Some(mark((request, doors), ready, name)?);
    }
    let watch = doors.watch;
    let disks = layered::copy(request, &ready.readings, kept, sink, (watch, watch))?;
    match (doors.host.power(request.machine)?, &held.off) {
        (Power::Off, None) | (Power::Paused { .. }, Some(_)) => {}
        _ => {
            let text = "the machine was started while its images were read";
            return Err(Error::new(Kind::State, text));
        }
    }
    Ok(Copied { held, snapshots: Some(kept.names()), ..Copied::of_images(disks) })
}

/// Reads a machine that has a process of its own, from the images below a snapshot of ours.
fn running<'a>(
    (request, doors): (&Request, &Doors<'a>),
    ready: &Ready,
    (kept, plan): (&Kept, &CreatePlan),
    (scratch, checkpoint): (Option<Scratch>, Option<&str>),
    sink: &mut dyn Sink,
) -> Result<Copied<'a>> {
    let Ready { found, readings, .. } = ready;
    let capacity = readings.iter().map(|it| it.capacity_bytes).fold(0, u64::saturating_add);
    let least = plan.free.iter().min_by_key(|(_, free)| *free);
    let (folder, free_bytes) = least.map_or((Path::new("."), 0), |(folder, free)| (folder, *free));
    let budget = Budget::of(capacity, free_bytes, (Room::Overlays, folder))?;
    // First: the next increment counts from a moment that is not later than this one.
    let mark = checkpoint.map(|name| mark((request, doors), ready, name)).transpose()?;
    let held = Held { _scratch: scratch, mark, ..Held::default() };
    doors.watch.begin(Step::Freeze);
    let (mut temporary, created) = Temporary::take((request, doors), plan, &found.power)?;
    let with_memory = match request.memory {
        MemoryFile::None => None,
        MemoryFile::Kept => Some(saved::with_memory(request, found, plan, doors)?),
    };
    let kept = with_memory.as_ref().unwrap_or(kept);
    let (was, files, room) = (&found.power, overlays(plan), Room::Overlays);
    let watched = Watched { host: doors.host, machine: request.machine, was, files, room, folder };
    let watch = doors.watch;
    let copied = budget::within(&watched, budget, watch, |progress| {
        layered::copy(request, readings, kept, sink, (watch, progress))
    });
    // What was written may have the very room that the merge needs.
    let disks = copied.inspect_err(|_| sink.give_up())?;
    watch.begin(Step::Merge);
    let mut notes = created.notes;
    if let Err(error) = temporary.end() {
        let name = &plan.name;
        notes.push(format!("the snapshot {name} of the backup could not be deleted: {error}"));
    }
    Ok(Copied {
        state: created.state,
        indications: created.record.indications,
        frozen: created.record.frozen_ms.map(std::time::Duration::from_millis),
        notes,
        held,
        snapshots: Some(kept.names()),
        ..Copied::of_images(disks)
    })
}

fn mark<'a>(
    (request, doors): (&Request, &Doors<'a>),
    ready: &Ready,
    name: &str,
) -> Result<Mark<'a>> {
    Mark::make((doors.host, request.machine), name, &ready.readings, &ready.found.others)
}

#[cfg(test)]
mod tests;
