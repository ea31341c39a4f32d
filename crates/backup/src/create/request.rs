//! What is asked of a backup.

use std::{path::PathBuf, time::Duration};

use host::libvirt::KnownMachine;
use vm::Uuid;

use super::{CloneCopy, Known, Marking, Wish};
use crate::{quiesce::Quiesce, snapshot::MemoryFile};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The machine.
    pub machine: Uuid,
    /// Its name.
    pub name: String,
    /// How much is read.
    pub wish: Wish,
    /// What stays on the machine for the next point.
    pub keeps: Keeps,
    /// The targets of disks that are left out.
    pub excluded: Vec<String>,
    /// Whether the images in the CD drives are copied, too.
    pub with_media: bool,
    /// Whether the guest's memory is kept as well, as a snapshot of the machine.
    pub memory: MemoryFile,
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
    /// The checkpoints that the points of all bundles of the folder count from.
    pub known: Known,
    /// Why the folder does not tell all of them: who is not known there stays on the machine.
    pub doubt: Option<String>,
    /// The definition in the last point: where it is what it was, and no disk has changed since, no point is
    /// made. `None` for a point in any case.
    pub unchanged_from: Option<String>,
    /// Where scratch files go; `None` for beside the first image.
    pub scratch: Option<PathBuf>,
    /// The machines of the host: one of them may be the template of this one, or a clone of it.
    pub machines: Vec<KnownMachine>,
    /// Whether the backup is that of a template.
    pub marking: Marking,
    /// How much of a thin clone is copied.
    pub clone_copy: CloneCopy,
}

/// What stays on the machine for the next point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// A checkpoint: the next point can be an increment.
    Checkpoint,
    /// A checkpoint, if everything is read. An increment is the last one of its bundle: it makes none, and
    /// those that the points before counted from go, so that the next backup is a full one.
    Last,
    /// Nothing: the point is the only one of its bundle.
    Nothing,
}
