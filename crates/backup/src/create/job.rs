//! The disks of a machine that has a process, read through a job of its QEMU.

use std::path::Path;

use bundle::{Mode, Point, State};
use host::{dir, libvirt::Power};
use nbd::NbdImage;

use super::{
    Doors, Found, Request, Sink, Step,
    base::Reading,
    budget::{self, Budget, Room, Watched},
    exported,
    held::{Copied, Held, PausedForUs},
    make_scratch,
    pull::{Pull, Wanted},
    series::{checkpoint_name, checkpoint_of},
};
use crate::{Error, Result, quiesce::Asked};

/// Reads a machine that has a process, through a job; `None` where nothing of it is new.
pub(super) fn copy<'a>(
    (request, doors): (&Request, &Doors<'a>),
    found: &Found,
    mut readings: Vec<Reading>,
    (beneath, last): (&Path, Option<&Point>),
    sink: &mut dyn Sink,
) -> Result<Option<Copied<'a>>> {
    let free_bytes = dir::facts(beneath)?.free_bytes;
    let capacity = readings.iter().map(|it| it.capacity_bytes).fold(0, u64::saturating_add);
    let budget = Budget::of(capacity, free_bytes, (Room::Scratch, beneath))?;
    let scratch = make_scratch(beneath, request, &found.power)?;
    let is_off = found.power == Power::Off;
    let off = is_off.then(|| PausedForUs::start(doors, request.machine)).transpose()?;
    if let Some(image) = readings.iter().find_map(|reading| reading.disk.file.as_deref()) {
        let wrap = |error| Error::io("cannot make the scratch folder in", beneath, error);
        scratch.give_to_owner_of(image).map_err(wrap)?;
    }
    let mut wanted = Wanted {
        readings: &mut readings,
        others: found.others.clone(),
        base: last.and_then(|point| Some(point.checkpoint.as_ref()?.name.as_str())),
        checkpoint: checkpoint_name(request, &found.checkpoints),
        keeps: request.keeps,
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
        opened.push((reading, pull.image(reading, request.workers)?));
    }
    if is_unchanged(request, found, &opened)? {
        return Ok(None);
    }
    let (was, files, room) = (&found.power, pull.scratch_files(&readings), Room::Scratch);
    let watched =
        Watched { host: doors.host, machine: request.machine, was, files, room, folder: beneath };
    let watch = doors.watch;
    let disks = budget::within(&watched, budget, watch, |progress| {
        opened
            .iter()
            .map(|(reading, image)| {
                exported::copy(request, (reading, image), sink, (watch, progress))
            })
            .collect()
    })?;
    drop(opened);
    if let Err(error) = pull.end() {
        moment.notes.push(format!("the backup job could not be ended: {error}"));
    }
    let checkpoint = pull.checkpoint().map(|name| checkpoint_of(request.machine, name, doors));
    let state = if is_off { State::Off } else { moment.state };
    Ok(Some(Copied {
        disks,
        state,
        indications: moment.indications,
        frozen: moment.frozen,
        held: Held { pull: Some(pull), off, ..Held::default() },
        checkpoint,
        notes: moment.notes,
        snapshots: None,
    }))
}

/// Whether a point would be what the last one is, and none is wanted then.
fn is_unchanged(request: &Request, found: &Found, opened: &[(&Reading, NbdImage)]) -> Result<bool> {
    if request.unchanged_from.as_ref() != Some(&found.kept) {
        return Ok(false);
    }
    for (reading, image) in opened {
        if reading.mode == Mode::Full || image.dirty()?.widened_bytes > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}
