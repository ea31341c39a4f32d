//! What can go wrong while converting.

use std::{error::Error as StdError, fmt, io};

use code::Code;

/// A conversion failed.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    code: Code,
    message: String,
    cause: Cause,
}

/// Classes of failures that a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The source cannot be read, or says nonsense.
    Source,
    /// The target takes no more.
    Target,
    /// Somebody said stop.
    Stopped,
}

#[derive(Debug)]
enum Cause {
    None,
    Disk(disk::Error),
    Io(io::Error),
}

impl Error {
    /// The source's fault: the image is damaged, or of a kind that is not read.
    #[must_use]
    pub fn source_image(error: disk::Error) -> Self {
        if error.kind() == disk::Kind::Stopped {
            return Self::stopped();
        }
        let message = error.to_string();
        Self { kind: Kind::Source, code: error.code(), message, cause: Cause::Disk(error) }
    }

    /// The target's fault: it could not be written.
    #[must_use]
    pub fn target_image(error: disk::Error) -> Self {
        let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        let code = match cause.map(io::Error::kind) {
            Some(
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge,
            ) => Code::E0506,
            Some(io::ErrorKind::ReadOnlyFilesystem) => Code::E0507,
            None => error.code(),
            _ => Code::E0508,
        };
        let message =
            if cause.is_some() { "cannot write the output".to_owned() } else { error.to_string() };
        Self { kind: Kind::Target, code, message, cause: Cause::Disk(error) }
    }

    /// Reading the source's bytes failed.
    #[must_use]
    pub fn reading(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::Interrupted {
            return Self::stopped();
        }
        let message = "cannot read the source".to_owned();
        Self { kind: Kind::Source, code: Code::E0508, message, cause: Cause::Io(error) }
    }

    /// The image is sound, as far as one can tell, but cannot be copied in one pass.
    pub(crate) fn cannot_stream(message: String) -> Self {
        Self { kind: Kind::Source, code: Code::E0405, message, cause: Cause::None }
    }

    /// What the bytes are written to takes no more.
    #[must_use]
    pub fn writing(error: io::Error) -> Self {
        Self::target_image(error.into())
    }

    /// Whether the reader of a pipe that is written to has gone.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        let cause = self.source().and_then(|cause| cause.downcast_ref::<io::Error>());
        cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The image cannot be written in the layout that is asked for.
    pub(crate) fn layout(message: String) -> Self {
        Self { kind: Kind::Source, code: Code::E0405, message, cause: Cause::None }
    }

    /// Somebody said stop.
    #[must_use]
    pub fn stopped() -> Self {
        let message = "stopped on request".to_owned();
        Self { kind: Kind::Stopped, code: Code::E0508, message, cause: Cause::None }
    }

    /// The class of the failure.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The published code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.cause {
            Cause::None => None,
            Cause::Disk(error) => error.source(),
            Cause::Io(error) => Some(error),
        }
    }
}
