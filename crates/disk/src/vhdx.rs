//! VHDX: Microsoft's second disk format.
//!
//! ```text
//! header ---> log: pages above the file ---> regions ---> metadata (sizes, parent)
//!                                               \-------> BAT ---> blocks: data, zeros, the parent's,
//!                                                          \-----> or mixed, by a sector bitmap
//! ```
//!
//! Read: fixed, dynamic and differencing disks. A log that was not applied is replayed in memory; the
//! file is never written. Numbers are little-endian; sections are those of \[MS-VHDX\].

use std::sync::Arc;

use crate::{
    Image, ReadAt, Result,
    gate::{Opening, Role},
    overlay::Overlay,
};

mod bat;
mod bitmap;
mod checksum;
mod guid;
mod header;
mod locator;
mod log;
mod metadata;
mod pages;
mod reader;
mod regions;

use reader::Reader;

/// One mebibyte: the unit of every place in a file.
const MIB: u64 = 1 << 20;

/// Opens a disk and, where it is a delta, its parent.
pub(crate) fn open(bytes: Arc<dyn ReadAt>, opening: &Opening<'_>) -> Result<Box<dyn Image>> {
    above_parent(Reader::open(bytes)?, opening)
}

/// Lays a disk above its parent, if it has one, and that above its own.
fn above_parent(child: Reader, opening: &Opening<'_>) -> Result<Box<dyn Image>> {
    let Some(locator) = child.locator() else { return Ok(Box::new(child)) };
    let found = opening.below(Role::Parent, locator.names());
    let found = found.map_err(|error| locator.refused(error))?;
    let Some((bytes, below)) = found else { return Ok(Box::new(child)) };
    let name = below.place().name.clone();
    let parent = Reader::open(bytes).map_err(|error| error.in_file(&name))?;
    locator.verify(&name, parent.data_write_guid())?;
    let parent = above_parent(parent, &below).map_err(|error| error.in_file(&name))?;
    Ok(Box::new(Overlay::new(Box::new(child), parent, &name)))
}
