//! What the disks of a machine became, and what is there until their point is published.

use std::time::Duration;

use bundle::{Checkpoint, Indication, PointDisk, State};
use host::{libvirt::Protection, scratch::Scratch};
use vm::Uuid;

use super::{Doors, mark::Mark, pull::Pull};
use crate::Result;

/// What the disks of a machine became.
pub(super) struct Copied<'a> {
    pub(super) disks: Vec<PointDisk>,
    pub(super) state: State,
    pub(super) indications: Vec<Indication>,
    pub(super) frozen: Option<Duration>,
    pub(super) held: Held<'a>,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) notes: Vec<String>,
    /// The snapshots that went into the bundle with them; `None` where that was not its way.
    pub(super) snapshots: Option<Vec<String>>,
}

/// What is there until a point is published. What is bound last goes first: the job and the checkpoints
/// go before the process of the machine, and the sign of a run that did not end is gone last.
#[derive(Default)]
pub(super) struct Held<'a> {
    pub(super) pull: Option<Pull<'a>>,
    pub(super) mark: Option<Mark<'a>>,
    pub(super) off: Option<PausedForUs<'a>>,
    pub(super) _scratch: Option<Scratch>,
}

impl Held<'_> {
    /// Ends all of it in its order: the scratch folder goes last, as the sign of what is to be put right after
    /// a kill.
    pub(super) fn end(mut self) {
        drop(self.off.take());
    }

    /// Keeps the checkpoint, now that its point is published.
    pub(super) fn keep(&mut self) {
        if let Some(pull) = &mut self.pull {
            pull.keep();
        }
        if let Some(mark) = self.mark.take() {
            mark.keep();
        }
    }
}

impl Copied<'_> {
    /// Those of a machine that was off, read from its images.
    pub(super) fn of_images(disks: Vec<PointDisk>) -> Self {
        Self {
            disks,
            state: State::Off,
            indications: Vec::new(),
            frozen: None,
            held: Held::default(),
            checkpoint: None,
            notes: Vec::new(),
            snapshots: None,
        }
    }
}

/// A machine that was off and has a process for the time of the backup; its guest does not run.
pub(super) struct PausedForUs<'a> {
    host: &'a (dyn Protection + 'a),
    machine: Uuid,
}

impl<'a> PausedForUs<'a> {
    /// Starts it.
    ///
    /// # Errors
    /// The host refuses.
    pub(super) fn start(doors: &Doors<'a>, machine: Uuid) -> Result<Self> {
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
