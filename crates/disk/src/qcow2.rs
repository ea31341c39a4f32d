//! qcow2: QEMU's disk format.
//!
//! ```text
//! header ---> L1 table ---> L2 tables ---> clusters: plain, zero, or compressed (zlib, zstd)
//!   |  \----> snapshots: each an L1 table of its own
//!   \-------> refcount table ---> refcount blocks: how often each cluster of the file is used
//! ```
//!
//! Read: versions 2 and 3, extended L2 entries, backing files and external data files (through the
//! gate), internal snapshots. Written: version 3. Numbers are big-endian; sections are those of
//! QEMU's `docs/interop/qcow2.txt`.

mod clusters;
mod entry;
mod extensions;
mod header;
mod l1;
mod open;
mod reader;
mod refcounts;
mod references;
mod rename;
mod snapshots;
mod state;
mod tables;
mod writer;

pub use open::format_below;
pub(crate) use open::{open, open_snapshot};
pub(crate) use reader::Reader;
pub use rename::{head_len_bytes, rename_backing};
pub use snapshots::{Snapshot, snapshots};
pub use tables::{Roots, roots};
pub use writer::{Backing, MAX_KEPT_BYTES, Options, Writer, allocated_bytes};

pub use crate::compress::Compression;
