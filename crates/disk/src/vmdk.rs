//! VMDK: VMware's virtual disk.
//!
//! ```text
//! descriptor (a text of its own, or embedded) --> parent: the next layer of the chain
//!   |                                        \--> extents: flat, zeros, or one of the three below
//!   v
//! KDMV      header ---> grain directory ---> grain tables ---> grains, plain or deflated
//! COWD      header ---> grain directory ---> grain tables ---> grains
//! seSparse  headers --> grain directory ---> grain tables ---> grains
//! ```
//!
//! Read: every extent type but raw devices, through any `createType`; delta chains. Written:
//! `streamOptimized`.

use std::sync::Arc;

use crate::{Image, ReadAt, Result, gate::Opening};

mod chain;
mod composite;
mod container;
mod cowd;
mod descriptor;
mod extents;
pub(crate) mod grain;
mod header;
mod layer;
mod locate;
mod map;
mod marker;
mod proof;
mod reader;
mod sesparse;
mod stream;
mod tables;
mod writer;

pub(crate) use stream::open_stream;
pub use writer::{Adapter, StreamOptions, StreamWriter, allocated_bytes};

/// Opens a disk of any sub-format: a file that has everything, or a descriptor that names others.
pub(crate) fn open(bytes: Arc<dyn ReadAt>, opening: &Opening<'_>) -> Result<Box<dyn Image>> {
    chain::open(bytes, opening)
}
