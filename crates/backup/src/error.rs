//! Why a backup, a job or a schedule cannot be used.

use std::{fmt, io, path::Path};

use code::Code;

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
}

/// A fault, with the place where it is.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    kind: Kind,
    text: String,
    #[source]
    source: Option<io::Error>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), source: None }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, text)
    }

    pub(crate) fn io(act: &str, path: &Path, source: io::Error) -> Self {
        let text = format!("{act} {}", path.display());
        Self { kind: Kind::Io, text, source: Some(source) }
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
            Kind::Io => Some(Code::E0508),
        }
    }
}
