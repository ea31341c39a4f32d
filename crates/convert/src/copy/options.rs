//! What is to be written, as a choice that is made before.

use std::sync::Arc;

use disk::{Compression, Image, Progress, Target, WriteAt, qcow2, raw};

use vm::DiskFormat;

use super::{Run, Settings, Summary, clone::clone_sized, copy_image};
use crate::Error;

/// The format and the layout of an image that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetOptions {
    /// A raw image: each guest byte at its own place, zeros left as holes.
    Raw,
    /// A qcow2 image, its clusters one behind the other.
    Qcow2(Compression),
    /// The bytes of the source as they are, see [`clone_image`](super::clone_image).
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

impl Default for TargetOptions {
    fn default() -> Self {
        Self::Qcow2(Compression::None)
    }
}

impl TargetOptions {
    /// The format that is written.
    #[must_use]
    pub const fn format(self) -> DiskFormat {
        match self {
            Self::Raw | Self::Clone(CloneFormat::Raw) => DiskFormat::Raw,
            Self::Qcow2(_) | Self::Clone(CloneFormat::Qcow2) => DiskFormat::Qcow2,
        }
    }

    /// The same layout in a format; a raw image has no compression, and a qcow2 image that takes the
    /// place of a raw one gets none.
    #[must_use]
    pub const fn in_format(self, format: DiskFormat) -> Self {
        match (self, format) {
            (Self::Qcow2(compression), DiskFormat::Qcow2) => Self::Qcow2(compression),
            (Self::Raw, DiskFormat::Qcow2) => Self::Qcow2(Compression::None),
            (Self::Raw | Self::Qcow2(_), DiskFormat::Raw) => Self::Raw,
            (Self::Clone(_), DiskFormat::Qcow2) => Self::Clone(CloneFormat::Qcow2),
            (Self::Clone(_), DiskFormat::Raw) => Self::Clone(CloneFormat::Raw),
        }
    }

    /// The same format without anything of the source in it.
    #[must_use]
    pub const fn packed(self) -> Self {
        match self {
            Self::Clone(CloneFormat::Raw) => Self::Raw,
            Self::Clone(CloneFormat::Qcow2) => Self::Qcow2(Compression::None),
            other => other,
        }
    }

    /// Starts an image in an empty file. A clone is started by [`clone_image`](super::clone_image) alone, since it needs
    /// its source.
    ///
    /// # Errors
    /// The capacity is over the limit, the file takes no writes, or a clone was chosen.
    pub fn create(
        self,
        file: Arc<dyn WriteAt>,
        capacity_bytes: u64,
    ) -> Result<Box<dyn Target>, Error> {
        let target: Result<Box<dyn Target>, disk::Error> = match self {
            Self::Raw => {
                raw::Writer::create(file, capacity_bytes).map(|target| Box::new(target) as _)
            }
            Self::Qcow2(compression) => {
                qcow2::Writer::create_with(file, capacity_bytes, compression.into())
                    .map(|target| Box::new(target) as _)
            }
            Self::Clone(_) => {
                let text = "the clone layout needs an image that can be read at any place";
                return Err(Error::layout(text.to_owned()));
            }
        };
        target.map_err(Error::target_image)
    }
}

/// Where an image is written, and as what.
#[derive(Clone)]
pub struct Output {
    /// An empty file.
    pub file: Arc<dyn WriteAt>,
    /// The virtual size of the written disk: that of the source, or more.
    pub capacity_bytes: u64,
    /// The format and the layout.
    pub options: TargetOptions,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Output({:?}, {} bytes)", self.options, self.capacity_bytes)
    }
}

/// Writes an image as the options say. Nothing is synced.
///
/// # Errors
/// As [`copy_image`] and [`clone_image`](super::clone_image).
pub fn write_image(
    image: &dyn Image,
    output: Output,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    let Output { file, capacity_bytes, options } = output;
    if let TargetOptions::Clone(format) = options {
        let with = Run { settings, progress };
        return clone_sized(image, (file, capacity_bytes), format, &with);
    }
    let mut target = options.create(file, capacity_bytes)?;
    copy_image(image, &mut *target, settings, progress)
}
