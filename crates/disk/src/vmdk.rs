//! VMDK: VMware's virtual disk.
//!
//! ```text
//! header ---> grain directory ---> grain tables ---> grains
//!   |   \---> descriptor (text)
//!   \---> footer, when the directory's place was not known in front
//! ```
//!
//! Read: hosted sparse extents (`monolithicSparse`) and `streamOptimized`. Written:
//! `streamOptimized`.

use std::sync::Arc;

use crate::{Image, ReadAt, Result, gate::Opening};

mod descriptor;
mod extents;
pub(crate) mod grain;
mod header;
mod locate;
mod map;
mod marker;
mod proof;
mod reader;
mod stream;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use stream::open_stream;
pub use writer::{Adapter, StreamOptions, StreamWriter};

/// Opens a disk of any sub-format: a file that has everything, or a descriptor that names others.
pub(crate) fn open(bytes: Arc<dyn ReadAt>, _opening: &Opening<'_>) -> Result<Box<dyn Image>> {
    Ok(Box::new(Reader::open(bytes)?))
}
