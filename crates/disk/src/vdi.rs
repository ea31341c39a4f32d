//! VDI: VirtualBox's disk format.
//!
//! ```text
//! header ---> block map: free, discarded, or number ---> blocks
//! ```
//!
//! Read: version 1.1, dynamic and static. Numbers are little-endian; the layout is that of
//! VirtualBox's `VDICore.h`, as far as offsets and values go.

use std::sync::Arc;

use crate::{Image, ReadAt, Result, gate::Opening};

mod header;
mod reader;

/// Opens a disk that stands alone.
///
/// A differencing disk is refused: it names its parent by UUID alone, so there is no name to ask a
/// gate for.
pub(crate) fn open(bytes: Arc<dyn ReadAt>, _opening: &Opening<'_>) -> Result<Box<dyn Image>> {
    Ok(Box::new(reader::Reader::open(bytes)?))
}
