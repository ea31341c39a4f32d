//! Where the images of a run are written: files of their own, or members of one bundle.

mod bundle;
mod files;

use std::{path::Path, sync::Arc};

use disk::{ReadAt, WriteAt};

use super::Output;
use crate::{Error, Facts, undo::Undo};

pub(super) use bundle::Packing;
pub(super) use files::Files;

/// Takes the images of a run, one after the other; nothing in it has its name yet.
pub(super) trait Store {
    /// Begins an image; the one before has ended.
    ///
    /// # Errors
    /// Nothing can be written there.
    fn begin(&mut self, to: &Path, undo: &mut Undo<'_>) -> Result<Arc<dyn WriteAt>, Error>;

    /// Ends the image that was begun last, at its length.
    ///
    /// # Errors
    /// Writing fails, or somebody said stop.
    fn end(&mut self, length_bytes: u64) -> Result<(), Error>;

    /// Writes what belongs beside the images, now that all of them are there.
    ///
    /// # Errors
    /// Writing fails.
    fn seal(&mut self, facts: &Facts, outputs: &[Output]) -> Result<(), Error>;

    /// The bytes of an image that has ended.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, to: &Path) -> Result<Arc<dyn ReadAt>, Error>;
}
