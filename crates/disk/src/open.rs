//! The dispatcher: from bytes, and what is said of them, to an image.

use std::{
    io::{Cursor, Read},
    sync::Arc,
};

use crate::{
    Closed, Declared, Error, Format, Gate, Image, Length, ReadAt, Result, Sequential,
    error::Failure, format, forward::Forward, gate::Opening, qcow2, raw, vdi, vhd, vhdx, vmdk,
};

/// Opens an image that can be read at any place.
///
/// # Errors
///
/// Of kind [`Mismatch`](crate::Kind::Mismatch) when the magic does not agree with what was said; of
/// another kind when the image is damaged, over a limit, or uses what is not read.
///
/// Only an image that stands alone is opened: no name in it is followed.
pub fn open(bytes: Arc<dyn ReadAt>, declared: Declared) -> Result<Box<dyn Image>> {
    open_behind(&Closed, bytes, declared)
}

/// Opens an image and, as far as the gate allows it, the files that it names.
///
/// # Errors
///
/// As [`open`], and those of the [`Gate`].
pub fn open_behind(
    gate: &dyn Gate,
    bytes: Arc<dyn ReadAt>,
    declared: Declared,
) -> Result<Box<dyn Image>> {
    open_in(&Opening::new(gate), bytes, declared)
}

/// Opens a qcow2 image as it was when an internal snapshot was taken; an id goes before a name.
///
/// # Errors
///
/// As [`open_behind`]; of kind [`Missing`](crate::Kind::Missing) when there is no such snapshot, with
/// the names of those that there are.
pub fn open_snapshot(
    gate: &dyn Gate,
    bytes: Arc<dyn ReadAt>,
    name_or_id: &str,
) -> Result<Box<dyn Image>> {
    format::settle(Declared::Stated(Format::Qcow2), || format::find(&*bytes))?;
    qcow2::open_snapshot(bytes, name_or_id, &Opening::new(gate))
}

/// Opens an image of a chain.
pub(crate) fn open_in(
    opening: &Opening<'_>,
    bytes: Arc<dyn ReadAt>,
    declared: Declared,
) -> Result<Box<dyn Image>> {
    match format::settle(declared, || format::find(&*bytes))? {
        Format::Raw => Ok(Box::new(raw::Reader::open(bytes)?)),
        Format::Vmdk => vmdk::open(bytes, opening),
        Format::Qcow2 => qcow2::open(bytes, opening),
        Format::Vhd => vhd::open(bytes, opening),
        Format::Vhdx => vhdx::open(bytes, opening),
        Format::Vdi => vdi::open(bytes, opening),
    }
}

/// Opens an image that comes from a pipe and is read once, front to end.
///
/// Only VMDK (streamOptimized, monolithicSparse) and raw can be read so. The magic is looked for in
/// the first 512 bytes: a footer, which only a VHD has, is not seen.
///
/// # Errors
///
/// As [`open`], and when the format or this image cannot be read without going back; the message
/// then says to save it to a file first.
pub fn open_stream<'a>(
    mut reader: Box<dyn Read + Send + 'a>,
    length: Length,
    declared: Declared,
) -> Result<Box<dyn Sequential + 'a>> {
    let mut head = Vec::new();
    let most = match length {
        Length::Known(bytes) => bytes.min(format::HEAD_BYTES as u64),
        Length::Unknown => format::HEAD_BYTES as u64,
    };
    reader.by_ref().take(most).read_to_end(&mut head)?;
    let format = format::settle(declared, || Ok(format::Found::in_front(&head)))?;
    let input = Forward::new(Box::new(Cursor::new(head).chain(reader)), length);
    match format {
        Format::Raw if length == Length::Unknown => Err(Error::unsupported(Failure::NeedsLength)),
        Format::Raw => Ok(Box::new(raw::Stream::open(input)?)),
        Format::Vmdk => vmdk::open_stream(input),
        other => Err(Error::unsupported(Failure::NeedsFile(other))),
    }
}
