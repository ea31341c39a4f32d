//! What can go wrong with a disk image, and where.

use std::{error::Error as StdError, fmt, io};

use code::Code;

use crate::Format;

/// The result of everything in this crate that reads or writes an image.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure: what kind it is, what is wrong, and at which byte of the image.
///
/// `Display` is one lowercase fragment that ends with the place, if there is one. The cause, where
/// another library or the system reported one, is the `source` and is not repeated in the text.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    at: Option<u64>,
    file: Option<String>,
    leaf: Box<dyn StdError + Send + Sync>,
}

/// What a caller can do about an [`Error`]. A new format adds none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The system refused to read or write.
    Io,
    /// The image contradicts itself or its format.
    Malformed,
    /// The image is sound, as far as one can tell, but uses something that is not read.
    Unsupported,
    /// The image needs something that it may not have: another file, or a key.
    Denied,
    /// A number of the image is over a named limit.
    Limit,
    /// A file that the image names is not there.
    Missing,
    /// A name of another file leads out of where the files of an image may lie.
    Unsafe,
    /// The content is of another format than was said.
    Mismatch,
    /// [`Progress::stopped`](crate::Progress::stopped) said so.
    Stopped,
}

impl Error {
    /// Builds an error of the given kind from its leaf. A [`Gate`](crate::Gate) of a caller needs it.
    pub fn new(kind: Kind, leaf: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { kind, at: None, file: None, leaf: leaf.into() }
    }

    pub(crate) fn malformed(leaf: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Malformed, leaf)
    }

    pub(crate) fn unsupported(leaf: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Unsupported, leaf)
    }

    pub(crate) fn stopped() -> Self {
        Self::new(Kind::Stopped, Failure::Stopped)
    }

    /// The same failure, of another kind.
    #[must_use]
    pub(crate) fn with_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// Names the byte of the image that the error is about.
    #[must_use]
    pub(crate) fn at(mut self, offset_bytes: u64) -> Self {
        self.at = Some(offset_bytes);
        self
    }

    /// Names the file that the error is about, where that is not the image itself.
    #[must_use]
    pub(crate) fn in_file(mut self, name: &str) -> Self {
        self.file.get_or_insert_with(|| shown(name));
        self
    }

    /// What a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The byte of the image that the error is about.
    #[must_use]
    pub fn offset_bytes(&self) -> Option<u64> {
        self.at
    }

    /// The published code.
    ///
    /// A run that was stopped has no code of its own: ask [`kind`](Self::kind) first.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.kind {
            Kind::Io | Kind::Stopped => Code::E0508,
            Kind::Malformed => Code::E0404,
            Kind::Unsupported | Kind::Limit => Code::E0405,
            Kind::Denied => Code::E0402,
            Kind::Missing => Code::E0104,
            Kind::Unsafe => Code::E0105,
            Kind::Mismatch => Code::E0401,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.leaf)?;
        if let Some(at) = self.at {
            write!(f, ", at byte {at}")?;
        }
        match (&self.file, self.at) {
            (Some(file), Some(_)) => write!(f, " of {file}"),
            (Some(file), None) => write!(f, ", in {file}"),
            (None, _) => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.leaf.source()
    }
}

impl From<io::Error> for Error {
    /// An error of this crate that came through a reader is taken out again.
    fn from(source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(own) => own,
            Err(source) => Self::new(Kind::Io, Failure::Io(source)),
        }
    }
}

/// The failures that belong to no format.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot read or write the image")]
    Io(#[source] io::Error),
    #[error("stopped on request")]
    Stopped,
    #[error("{0} cannot be read from a pipe, save it to a file first")]
    NeedsFile(Format),
    #[error("the length of a raw image must be known before it is read")]
    NeedsLength,
    #[error("the image is {found}, {said} was said")]
    OtherFormat { found: Format, said: Format },
    #[error("no magic number of {0} is found in the image")]
    NoMagic(Format),
    #[error("no magic number of a disk format is found; if the image is raw, say so")]
    Unknown,
    #[error("two disk formats match the image: {0} and {1}")]
    TwoFormats(Format, Format),
    #[error(
        "{len_bytes} bytes from byte {offset_bytes} of the disk were asked for, its capacity is {capacity_bytes} bytes"
    )]
    OutOfRange { offset_bytes: u64, len_bytes: usize, capacity_bytes: u64 },
    #[error("a virtual size of {0} bytes is over the limit of {MAX_CAPACITY_BYTES} bytes")]
    Capacity(u64),
    #[error("cluster {0} of 65536 bytes is behind the capacity of {1} bytes")]
    Cluster(u64, u64),
    #[error("the buffer has {0} bytes, the extent {1}")]
    Buffer(usize, u64),
    #[error("the extent at byte {0} of the disk is not stored compressed")]
    NotStored(u64),
}

/// A text of an image as a message shows it: nothing in it can act on a terminal or fill a log.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).flat_map(char::escape_debug).collect()
}

/// The length at which a text of an image is cut in a message: that of a file name.
const MAX_SHOWN_CHARS: usize = 255;

/// The largest virtual size that is read or written: 64 TiB, the limit of this product.
pub const MAX_CAPACITY_BYTES: u64 = 64 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_with_the_place_and_does_not_repeat_the_cause() {
        let error = Error::malformed("grain table 3 is outside the file").at(4096);
        assert_eq!(error.to_string(), "grain table 3 is outside the file, at byte 4096");
        assert_eq!((error.kind(), error.code()), (Kind::Malformed, Code::E0404));
        assert_eq!(error.offset_bytes(), Some(4096));
        let error = Error::from(io::Error::other("no medium"));
        assert_eq!(error.to_string(), "cannot read or write the image");
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("no medium"));
    }

    #[test]
    fn every_kind_has_its_code() {
        for (kind, code) in [
            (Kind::Io, Code::E0508),
            (Kind::Unsupported, Code::E0405),
            (Kind::Limit, Code::E0405),
            (Kind::Denied, Code::E0402),
            (Kind::Mismatch, Code::E0401),
        ] {
            assert_eq!(Error::new(kind, "x").code(), code);
        }
    }
}
