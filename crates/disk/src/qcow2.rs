//! qcow2: QEMU's disk format.
//!
//! ```text
//! header ---> L1 table ---> L2 tables ---> clusters: plain, zero, or deflated
//! ```
//!
//! Read: versions 2 and 3 with plain, zero and zlib clusters, without a backing file. Written:
//! version 3, plain. Numbers are big-endian; sections are those of QEMU's `docs/interop/qcow2.txt`.

use std::sync::Arc;

use crate::{Image, ReadAt, Result, gate::Opening};

mod header;
mod l1;
mod reader;
mod snapshots;
mod writer;

pub(crate) use reader::Reader;
pub use writer::{MAX_KEPT_BYTES, Options, Writer, allocated_bytes};

pub use crate::compress::Compression;

/// Opens an image and, where it has one, its backing file.
pub(crate) fn open(bytes: Arc<dyn ReadAt>, _opening: &Opening<'_>) -> Result<Box<dyn Image>> {
    Ok(Box::new(Reader::open(bytes)?))
}
