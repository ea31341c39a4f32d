//! The checkpoints that the backups of one folder keep on a machine, and which of them go.

use std::path::Path;

use bundle::{Checkpoint, Mode};
use host::libvirt::Detail;
use vm::Uuid;

use super::{Doors, Keeps, Known, Note, Request, base::Reading, pull::forget_checkpoint};

/// What the names of our checkpoints begin with.
pub const CHECKPOINT_PREFIX: &str = "relift-";

/// The word for a folder in the names of checkpoints: backups in other folders have their own.
#[must_use]
pub fn series_of(folder: &Path) -> String {
    let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let digest = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    digest.chars().take(8).collect()
}

/// Whether a checkpoint is made: for an increment that is wanted later, if any disk can have one.
pub(super) fn has_checkpoint(keeps: Keeps, readings: &[Reading]) -> bool {
    let is_wanted = match keeps {
        Keeps::Checkpoint => true,
        Keeps::Last => !has_increment(readings),
        Keeps::Nothing => false,
    };
    is_wanted && readings.iter().any(|reading| reading.disk.has_bitmaps())
}

/// Whether of any disk only that is read which changed.
pub(super) fn has_increment(readings: &[Reading]) -> bool {
    readings.iter().any(|reading| reading.mode == Mode::Incremental)
}

/// The name of the checkpoint of this moment, in the order of time; no other one of the machine has it.
pub(super) fn checkpoint_name(request: &Request, found: &[String]) -> String {
    let name = format!("{CHECKPOINT_PREFIX}{}-{}", request.series, request.unix_seconds);
    let others = (2..).map(|number: u32| format!("{name}-{number}"));
    let mut names = std::iter::once(name.clone()).chain(others);
    names.find(|name| !found.contains(name)).unwrap_or(name)
}

/// What the point keeps of a checkpoint: its document lets libvirt be told of it again.
pub(super) fn checkpoint_of(machine: Uuid, name: &str, doors: &Doors<'_>) -> Checkpoint {
    let xml = doors.host.checkpoint_xml(machine, name, Detail::Definition);
    Checkpoint { name: name.to_owned(), xml: xml.unwrap_or_default() }
}

/// The checkpoints that a machine had for one folder when it was looked at.
pub(super) struct Series<'a> {
    pub(super) word: &'a str,
    pub(super) known: &'a Known,
    /// All of the machine's.
    pub(super) found: &'a [String],
}

impl Series<'_> {
    fn names(&self) -> impl Iterator<Item = &String> {
        let ours = format!("{CHECKPOINT_PREFIX}{}-", self.word);
        self.found.iter().filter(move |name| name.starts_with(&ours))
    }

    fn is_known(&self, name: &str) -> bool {
        self.known.checkpoints.iter().any(|known| known == name)
    }

    /// What people are told of those that stay, though no point knows them: one that cannot be read may.
    pub(super) fn in_doubt(&self, doubt: &str) -> Option<Note> {
        let count = self.names().filter(|name| !self.is_known(name)).count();
        let which = if count == 1 {
            "a checkpoint that no point knows stays"
        } else {
            "checkpoints that no point knows stay"
        };
        (count > 0).then(|| Note(format!("{which}: {doubt}")))
    }

    /// Deletes those that were there before the new point, since nothing is counted from them any more.
    pub(super) fn drop_older(
        &self,
        machine: Uuid,
        doors: &Doors<'_>,
    ) -> impl Iterator<Item = Note> {
        let is_judged = self.known.series.iter().any(|series| series == self.word);
        let old = self.names().filter(move |name| is_judged || self.is_known(name));
        old.filter_map(move |name| {
            let is_gone = forget_checkpoint(doors.host, machine, name);
            (!is_gone).then(|| Note(format!("the checkpoint {name} could not be deleted")))
        })
    }
}
