//! What is to be written, as a choice that is made before.

use std::sync::Arc;

use disk::{Compression, Image, Progress, Target, WriteAt, qcow2, raw};

use super::{Settings, Summary, clone_image, copy_image};
use crate::Error;

/// The format and the layout of an image that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetOptions {
    /// A raw image: each guest byte at its own place, zeros left as holes.
    Raw,
    /// A qcow2 image, its clusters one behind the other.
    Qcow2(Compression),
    /// The bytes of the source as they are, see [`clone_image`].
    Clone(CloneFormat),
}

/// What the clone of an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloneFormat {
    /// The source's bytes and nothing else; the source must be raw.
    Raw,
    /// A qcow2 image whose tables point into the source's bytes.
    Qcow2,
}

/// Writes an image as the options say, into an empty file. Nothing is synced.
///
/// # Errors
/// As [`copy_image`] and [`clone_image`].
pub fn write_image(
    image: &dyn Image,
    file: Arc<dyn WriteAt>,
    options: TargetOptions,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    let capacity_bytes = image.capacity_bytes();
    let mut target: Box<dyn Target> = match options {
        TargetOptions::Clone(format) => {
            return clone_image(image, file, format, settings, progress);
        }
        TargetOptions::Raw => {
            Box::new(raw::Writer::create(file, capacity_bytes).map_err(Error::target_image)?)
        }
        TargetOptions::Qcow2(compression) => {
            let options = qcow2::Options { compression };
            let target = qcow2::Writer::create_with(file, capacity_bytes, options);
            Box::new(target.map_err(Error::target_image)?)
        }
    };
    copy_image(image, &mut *target, settings, progress)
}
