//! The checkpoint of a point that is read without a job: the next increment counts from it.

use host::libvirt::Protection;
use vm::Uuid;

use super::{
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
