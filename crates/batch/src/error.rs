//! Why a batch cannot be read or run.

use std::{fmt, io, path::Path};

use code::Code;

/// The result of what this crate does.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What was typed, or what stands in a file of the user's, cannot be meant.
    Usage,
    /// Another run has the journal.
    Locked,
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
    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self { kind: Kind::Usage, text: text.into(), source: None }
    }

    pub(crate) fn locked(text: impl Into<String>) -> Self {
        Self { kind: Kind::Locked, text: text.into(), source: None }
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
            Kind::Locked => Some(Code::E0602),
            Kind::Io => Some(Code::E0508),
        }
    }
}
