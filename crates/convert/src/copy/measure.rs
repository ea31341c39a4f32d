//! How long a file would be, without writing it.

use std::{io, ops::Range, sync::Arc};

use disk::{Image, Progress, ReadAt, WriteAt, qcow2};

use super::{CloneFormat, Output, Settings, TargetOptions, write_image};
use crate::Error;

/// The length of a file that is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// What [`write_image`] would make of the image, to the byte.
    pub required_bytes: u64,
    /// The length when every cluster of the disk holds data that is not compressed, nor cloned.
    pub fully_allocated_bytes: u64,
}

/// Finds out how long the file would be that [`write_image`] makes of an image.
///
/// The image is read, decoded and encoded as for writing: only then zeros and the lengths of
/// compressed clusters are known. Nothing is written.
///
/// # Errors
/// Those of [`write_image`], except that there is always room.
pub fn measure(
    image: &dyn Image,
    options: TargetOptions,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Measured, Error> {
    let capacity_bytes = image.capacity_bytes();
    let output = Output { file: Arc::new(Nowhere), capacity_bytes, options };
    let done = write_image(image, output, settings, progress)?;
    let fully_allocated_bytes = match options {
        TargetOptions::Raw | TargetOptions::Clone(CloneFormat::Raw) => capacity_bytes,
        TargetOptions::Qcow2(_) | TargetOptions::Clone(CloneFormat::Qcow2) => {
            qcow2::allocated_bytes(capacity_bytes)
        }
    };
    Ok(Measured { required_bytes: done.file_bytes, fully_allocated_bytes })
}

/// A file that keeps nothing: it takes every write and reads as zeros.
struct Nowhere;

impl WriteAt for Nowhere {
    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], _: u64) -> io::Result<()> {
        buf.fill(0);
        Ok(())
    }

    fn copy_from(&self, _: &dyn ReadAt, range: Range<u64>, _: u64) -> u64 {
        range.end - range.start
    }

    fn set_len_bytes(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}
