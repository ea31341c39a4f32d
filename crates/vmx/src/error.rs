//! The error of the crate.

use code::Code;

/// What a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The text is no VMX, or a broken one.
    Malformed,
    /// A VMX of a form that is not read.
    Unsupported,
    /// The machine is encrypted, and so is its VMX.
    Encrypted,
    /// A named limit is exceeded.
    Limit,
}

/// Why a VMX could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{fault}{}", .line.map(|line| format!(" (line {line})")).unwrap_or_default())]
pub struct Error {
    fault: Fault,
    line: Option<u64>,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{bytes} bytes, a VMX has at most {max}")]
    TooLong { bytes: usize, max: usize },
    #[error("more than {0} keys")]
    TooManyKeys(usize),
    #[error("a zero byte, so that this is no text")]
    NoText,
    #[error("no key at all, so that this is no VMX")]
    Empty,
    #[error("a line that is not `key = \"value\"`")]
    NoEntry,
    #[error("a value without a closing quote")]
    NoClosingQuote,
    #[error("text behind the closing quote of a value")]
    BehindQuote,
    #[error("text that is not {0}, which is its encoding")]
    NotEncoded(&'static str),
    #[error("the encoding '{0}' is not known")]
    UnknownEncoding(String),
    #[error("the VMX is encrypted")]
    Encrypted,
}

impl Error {
    pub(crate) const fn new(fault: Fault) -> Self {
        Self { fault, line: None }
    }

    pub(crate) const fn at(fault: Fault, line: u64) -> Self {
        Self { fault, line: Some(line) }
    }

    /// What a caller can act on.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.fault {
            Fault::TooLong { .. } | Fault::TooManyKeys(_) => Kind::Limit,
            Fault::UnknownEncoding(_) => Kind::Unsupported,
            Fault::Encrypted => Kind::Encrypted,
            _ => Kind::Malformed,
        }
    }

    /// The published code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self.fault {
            Fault::TooLong { .. } | Fault::TooManyKeys(_) => Code::E0106,
            Fault::Encrypted => Code::E0402,
            _ => Code::E0301,
        }
    }

    /// The line, counted from 1, where one line is at fault.
    #[must_use]
    pub const fn line(&self) -> Option<u64> {
        self.line
    }
}
