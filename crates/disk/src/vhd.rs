//! VHD.

use std::sync::Arc;

use crate::{Error, Image, ReadAt, Result, error::Failure, gate::Opening};

/// Opens a disk and, where it is a delta, its parent.
pub(crate) fn open(_bytes: Arc<dyn ReadAt>, _opening: &Opening<'_>) -> Result<Box<dyn Image>> {
    Err(Error::unsupported(Failure::NotYet("a VHD disk")))
}
