//! What a backup would do, without doing it.

use std::path::PathBuf;

use bundle::{LeftOut, Mode, State};
use host::{
    dir,
    libvirt::Power,
    scratch::{Scratch, Seen},
};

use super::{
    Before, Begun, Doors, Found, Note, Ready, Request, Untaken, check, ready, scratch_folder,
    series::has_checkpoint,
};
use crate::{Result, snapshot::CreatePlan};

/// What a backup would do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What the machine is doing.
    pub state: State,
    /// The disks, in the order of the definition.
    pub disks: Vec<PlannedDisk>,
    /// The disks that are not in it.
    pub left_out: Vec<LeftOut>,
    /// Whether a checkpoint is made for the next increment.
    pub is_incrementable: bool,
    /// How the disks are read.
    pub way: Way,
    /// The names of the snapshots that come back with it.
    pub snapshots: Vec<String>,
    /// The snapshots of the machine that are not in it.
    pub untaken: Vec<Untaken>,
    /// Whether what an interrupted run left is put right first.
    pub recovers: bool,
    /// Whether the machine restores as a template.
    pub is_template: bool,
    /// What people should know.
    pub notes: Vec<String>,
}

/// A disk that would be backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedDisk {
    /// The disk: `vda`.
    pub target: String,
    /// How much of it is read.
    pub mode: Mode,
    /// Why all of it, where an increment was wanted.
    pub reason: Option<String>,
    /// The size of the guest's disk, in bytes.
    pub capacity_bytes: u64,
    /// The disk of the machine's template that stays out of it, with what is on it.
    pub stands_on: Option<PathBuf>,
}

/// How the disks of a machine are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// From their images: the machine is off.
    Images,
    /// From their images, as a snapshot keeps them that is there only for that: the guest writes to
    /// overlays meanwhile.
    Snapshot {
        /// The folders that those lie in, with the room there, in bytes.
        folders: Vec<(PathBuf, u64)>,
    },
    /// From a job of its QEMU, which keeps what the guest overwrites meanwhile.
    Job {
        /// The folder that it is kept beneath.
        scratch: PathBuf,
        /// The room there, in bytes.
        free_bytes: u64,
    },
}

/// Decides what [`create`](super::create) would do now; `before` is what the bundle has that would get the
/// new point.
///
/// # Errors
/// As `create`, as far as no act tells it first.
pub fn plan(request: &Request, before: Before<'_>, doors: &Doors<'_>) -> Result<Plan> {
    check(request, before)?;
    let beneath = scratch_folder(request, doors)?;
    let ready = ready(request, before, doors)?;
    let is_counted = ready.is_counted(request);
    let Ready { found: Found { power, choice, ruled, .. }, readings, saved } = ready;
    let is_incrementable = has_checkpoint(request.keeps, &readings);
    let way = match &saved.temporary {
        Some(CreatePlan { free, .. }) => Way::Snapshot { folders: free.clone() },
        None if power == Power::Off && (!is_counted || saved.kept.is_some()) => Way::Images,
        None => Way::Job { free_bytes: dir::facts(&beneath)?.free_bytes, scratch: beneath.clone() },
    };
    let mut notes = ruled.notes;
    notes.extend(readings.iter().filter_map(|reading| Begun::of(reading).note()));
    let disks = readings.into_iter().map(|reading| PlannedDisk {
        stands_on: Begun::of(&reading).stands_on.map(|footing| footing.path.clone()),
        target: reading.disk.target,
        mode: reading.mode,
        reason: reading.reason,
        capacity_bytes: reading.capacity_bytes,
    });
    Ok(Plan {
        state: match power {
            Power::Off => State::Off,
            Power::Paused { .. } => State::Paused,
            _ => State::Running,
        },
        disks: disks.collect(),
        left_out: choice.left_out,
        is_incrementable,
        way,
        snapshots: saved.names,
        untaken: saved.untaken,
        recovers: matches!(Scratch::look(&beneath, request.machine), Ok(Seen::Left(_))),
        is_template: ruled.is_template,
        notes: notes.into_iter().map(|Note(text)| text).collect(),
    })
}
