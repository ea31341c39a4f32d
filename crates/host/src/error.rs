//! What can go wrong outside.

use std::{fmt, io, path::PathBuf};

use code::Code;

/// An act or a question failed.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    what: &'static str,
    path: PathBuf,
    source: Option<io::Error>,
}

/// Classes of failures that a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The file system fails.
    Io,
    /// There is no room.
    NoSpace,
    /// The file system or the folder takes no writes.
    ReadOnly,
    /// The name is taken.
    Exists,
    /// A path is not there, or is not a folder.
    NotFound,
}

impl Error {
    pub(crate) fn new(what: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Kind::NoSpace,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => Kind::ReadOnly,
            io::ErrorKind::AlreadyExists => Kind::Exists,
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Kind::NotFound,
            _ => Kind::Io,
        };
        Self { kind, what, path: path.into(), source: Some(source) }
    }

    pub(crate) fn exists(path: impl Into<PathBuf>) -> Self {
        Self { kind: Kind::Exists, what: "cannot write", path: path.into(), source: None }
    }

    /// The class of the failure.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The published code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self.kind {
            Kind::Io | Kind::NotFound => Code::E0508,
            Kind::NoSpace => Code::E0506,
            Kind::ReadOnly => Code::E0507,
            Kind::Exists => Code::E0509,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Exists => write!(f, "{} exists already", self.path.display()),
            _ => write!(f, "{} {}", self.what, self.path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
