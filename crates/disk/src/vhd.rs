//! VHD: Microsoft's first disk format, also called VPC.
//!
//! ```text
//! fixed:         guest's bytes ........................................................... footer
//! dynamic:       copy of the footer, dynamic header, BAT, (bitmap, block), (bitmap, block), footer
//! differencing:  the same; bitmap says which sectors are here and which are the parent's
//! ```
//!
//! Numbers are big-endian; sections are those of Microsoft's "Virtual Hard Disk Image Format
//! Specification" 1.0. The size is the footer's current size, never its geometry.

use std::sync::Arc;

use crate::{Error, Image, ReadAt, Result, gate::Opening, uuid::Uuid};

mod bat;
mod bitmap;
mod block_starts;
mod fixed;
mod footer;
mod geometry;
mod header;
mod locator;
mod parent;
mod reader;

/// The disk that was found is not the one that a child names.
#[derive(Debug, thiserror::Error)]
#[error("the UUID of the parent is {found}, its child names {wanted}")]
struct OtherDisk {
    found: Uuid,
    wanted: Uuid,
}

/// Opens a disk and, where it is a differencing one, its parent.
pub(crate) fn open(bytes: Arc<dyn ReadAt>, opening: &Opening<'_>) -> Result<Box<dyn Image>> {
    open_identified(bytes, opening, None)
}

/// Opens a disk that must have the UUID `wanted`, if one is wanted.
fn open_identified(
    bytes: Arc<dyn ReadAt>,
    opening: &Opening<'_>,
    wanted: Option<Uuid>,
) -> Result<Box<dyn Image>> {
    let found = footer::Found::search(&*bytes)?;
    let uuid = found.footer.uuid();
    if let Some(wanted) = wanted.filter(|wanted| *wanted != uuid) {
        let at = found.offset_bytes.saturating_add(68);
        return Err(Error::malformed(OtherDisk { found: uuid, wanted }).at(at));
    }
    if found.footer.disk_type() == footer::DiskType::Fixed {
        return Ok(Box::new(fixed::Fixed::open(bytes, found)?));
    }
    let reader = reader::Reader::open(bytes, found)?;
    match reader.parent().cloned() {
        Some(parent) => parent.below(Box::new(reader), opening),
        None => Ok(Box::new(reader)),
    }
}
