//! The checkpoints of points: an increment counts from that of the point before.

use std::path::Path;

use bundle::{Checkpoint, Point};
use host::libvirt::{Detail, Protection};
use vm::Uuid;

use super::{
    CHECKPOINT_PREFIX, Doors, Found, Note, Request,
    base::Reading,
    pull::{checkpoint_document, forget_checkpoint},
};
use crate::Result;

/// The new checkpoint of a point that is read without a job. Dropped, it goes: what was counted since it goes on being counted from the one before.
pub(super) struct Mark<'a> {
    host: &'a (dyn Protection + 'a),
    machine: Uuid,
    /// Gone once it is kept.
    name: Option<String>,
}

impl<'a> Mark<'a> {
    /// Makes a checkpoint of these disks, and not of `others`.
    ///
    /// # Errors
    /// The host refuses it.
    pub(super) fn make(
        (host, machine): (&'a (dyn Protection + 'a), Uuid),
        name: &str,
        readings: &[Reading],
        others: &[String],
    ) -> Result<Self> {
        let document = checkpoint_document(name, readings, others)?;
        host.create_checkpoint(machine, &document)?;
        Ok(Self { host, machine, name: Some(name.to_owned()) })
    }

    /// Keeps it, now that its point is published.
    pub(super) fn keep(mut self) {
        self.name = None;
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            // One that cannot be taken back is no point's: the next run deletes it.
            forget_checkpoint(self.host, self.machine, &name);
        }
    }
}

/// The word for a folder in the names of checkpoints: backups in other folders have their own.
#[must_use]
pub fn series_of(folder: &Path) -> String {
    let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let digest = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    digest.chars().take(8).collect()
}

/// Whether a checkpoint is made: for an increment that is wanted later, if any disk can have one.
pub(super) fn has_checkpoint(request: &Request, readings: &[Reading]) -> bool {
    request.is_incrementable && readings.iter().any(|reading| reading.disk.has_bitmaps())
}

/// The name of the checkpoint of this moment, in the order of time; no other one of the machine has it.
pub(super) fn checkpoint_name(request: &Request, found: &Found) -> String {
    let name = format!("{CHECKPOINT_PREFIX}{}-{}", request.series, request.unix_seconds);
    let others = (2..).map(|number: u32| format!("{name}-{number}"));
    let mut names = std::iter::once(name.clone()).chain(others);
    names.find(|name| !found.checkpoints.contains(name)).unwrap_or(name)
}

/// What the point keeps of a checkpoint: its document lets libvirt be told of it again.
pub(super) fn checkpoint_of(machine: Uuid, name: String, doors: &Doors<'_>) -> Checkpoint {
    let xml = doors.host.checkpoint_xml(machine, &name, Detail::Definition);
    Checkpoint { name, xml: xml.unwrap_or_default() }
}

/// Deletes the checkpoints of this series that are older than the new one: what they count is in it.
pub(super) fn drop_older<'r>(
    request: &'r Request,
    point: &'r Point,
    checkpoints: &'r [String],
    doors: &'r Doors<'_>,
) -> impl Iterator<Item = Note> {
    let ours = format!("{CHECKPOINT_PREFIX}{}-", request.series);
    let newest = point.checkpoint.as_ref().map(|checkpoint| checkpoint.name.as_str());
    let is_old = move |name: &&String| newest.is_some() && name.starts_with(&ours);
    checkpoints.iter().filter(is_old).filter_map(move |name| {
        let is_gone = forget_checkpoint(doors.host, request.machine, name);
        (!is_gone).then(|| Note(format!("the checkpoint {name} could not be deleted")))
    })
}
