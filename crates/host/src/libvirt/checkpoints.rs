//! Checkpoints: moments since which libvirt knows what was written.

use vm::Uuid;

use super::LibvirtError;

/// What a document of a checkpoint tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What it is made of.
    Definition,
    /// What was written since, too: the `size` of each disk, in bytes. The machine has to run.
    Size,
}

/// What is deleted of a checkpoint or a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// What libvirt knows of it; bitmaps and images stay as they are, or are gone already.
    Metadata,
}

/// Which checkpoints or snapshots are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// That one alone; its children get its parent.
    One,
    /// That one, and all that follow from it.
    WithChildren,
}

/// The checkpoints of a machine.
pub trait Checkpoints {
    /// The names of the checkpoints, parents before their children.
    ///
    /// # Errors
    /// There is no such machine.
    fn checkpoints(&self, machine: Uuid) -> Result<Vec<String>, LibvirtError>;

    /// The document of a checkpoint, without the machine's definition; `domain::read_checkpoint` reads it.
    ///
    /// # Errors
    /// There is no such checkpoint, or a bitmap of it is gone
    /// ([`BadCheckpoint`](super::LibvirtKind::BadCheckpoint)) where sizes are asked for.
    fn checkpoint_xml(
        &self,
        machine: Uuid,
        name: &str,
        detail: Detail,
    ) -> Result<String, LibvirtError>;

    /// Deletes checkpoints. One that is deleted whole leaves what was written since it to its parent.
    ///
    /// # Errors
    /// There is no such checkpoint, or a whole one is deleted of a machine that is off or whose bitmaps
    /// are gone.
    fn delete_checkpoint(
        &self,
        machine: Uuid,
        name: &str,
        scope: Scope,
        extent: Extent,
    ) -> Result<(), LibvirtError>;

    /// Tells of a checkpoint whose bitmaps are there already, by its document.
    ///
    /// The machine's definition in it is read: it is a document that was written without `--no-domain`.
    ///
    /// # Errors
    /// The host does not take it.
    fn redefine_checkpoint(&self, machine: Uuid, xml: &str) -> Result<(), LibvirtError>;
}
