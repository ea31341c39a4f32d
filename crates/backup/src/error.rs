//! Why a backup, a job or a schedule cannot be used.

use std::{fmt, io, path::Path};

use code::Code;
use host::libvirt::{LibvirtError, LibvirtKind};

/// The result of what this crate does.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was typed, or what stands in a file of the user's, cannot be meant.
    Usage,
    /// There is no job or backup of that name.
    NotFound,
    /// Another run has it.
    Locked,
    /// A protected backup, which nothing deletes.
    Protected,
    /// A file cannot be read or written.
    Io,
    /// A snapshot or a file of that name is there.
    Exists,
    /// There is not enough room.
    Room,
    /// The machine is not in a state in which this can be done.
    State,
    /// The guest could not be made quiet, and that was wanted.
    Quiesce,
    /// The host refused.
    Host(LibvirtKind),
    /// A disk image or a document cannot be read, or not be written.
    Image,
}

/// A fault, with the place where it is.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    kind: Kind,
    text: String,
    /// The code of what is behind it, where that has one.
    own_code: Option<Code>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), own_code: None, source: None }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, text)
    }

    pub(crate) fn io(act: &str, path: &Path, source: io::Error) -> Self {
        let text = format!("{act} {}", path.display());
        Self { kind: Kind::Io, text, own_code: None, source: Some(source.into()) }
    }

    /// The guest was to be quiet and is not, because of `source`.
    pub(crate) fn restless(
        text: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        let source = Some(source.into());
        Self { kind: Kind::Quiesce, text: text.into(), own_code: None, source }
    }

    /// A disk image cannot be used, because of `source`.
    pub(crate) fn image(text: impl Into<String>, source: disk::Error) -> Self {
        let own_code = Some(source.code());
        Self { kind: Kind::Image, text: text.into(), own_code, source: Some(source.into()) }
    }

    /// The same fault, and what could not be taken back because of `other`.
    pub(crate) fn beside(mut self, other: &Self) -> Self {
        self.text = format!("{}; and what was begun could not be taken back: {other}", self.text);
        self
    }

    /// What kind of fault it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The published code, where there is one.
    #[must_use]
    pub const fn code(&self) -> Option<Code> {
        match self.kind {
            Kind::Usage => None,
            Kind::NotFound => Some(Code::E0505),
            Kind::Locked => Some(Code::E0602),
            Kind::Protected => Some(Code::E0607),
            Kind::Io => match self.own_code {
                None => Some(Code::E0508),
                known => known,
            },
            Kind::State | Kind::Host(LibvirtKind::WrongState) => Some(Code::E0510),
            Kind::Quiesce => Some(Code::E0511),
            Kind::Exists => Some(Code::E0509),
            Kind::Room => Some(Code::E0506),
            Kind::Host(LibvirtKind::Busy) => Some(Code::E0602),
            Kind::Host(_) | Kind::Image => self.own_code,
        }
    }
}

impl From<LibvirtError> for Error {
    fn from(error: LibvirtError) -> Self {
        let (kind, own_code, text) = (error.kind(), Some(error.code()), error.to_string());
        Self { kind: Kind::Host(kind), text, source: error.into_cause(), own_code }
    }
}

impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        let (own_code, text) = (Some(error.code()), error.to_string());
        let source = std::error::Error::source(&error).map(|cause| cause.to_string().into());
        Self { kind: Kind::Io, text, own_code, source }
    }
}

impl From<domain::Error> for Error {
    fn from(error: domain::Error) -> Self {
        let (own_code, text) = (Some(error.code()), error.to_string());
        Self { kind: Kind::Image, text, own_code, source: None }
    }
}

impl From<convert::Error> for Error {
    fn from(error: convert::Error) -> Self {
        let (own_code, text) = (Some(error.code()), error.to_string());
        let source = std::error::Error::source(&error).map(|cause| cause.to_string().into());
        Self { kind: Kind::Image, text, own_code, source }
    }
}
