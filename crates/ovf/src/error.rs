//! The error of the crate.

use std::fmt;

use code::Code;

/// What a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Reading or writing failed.
    Io,
    /// The bytes do not say what they should.
    Malformed,
    /// The bytes are sound, but of a form that is not read.
    Unsupported,
    /// The package asks for something that is refused whoever asks.
    Denied,
    /// A named limit is exceeded.
    Limit,
    /// A digest differs, or the manifest is not complete.
    Integrity,
}

/// Where in a file the fault is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// Bytes from the start of the file.
    Offset(u64),
    /// A line of a text file, counted from 1.
    Line(u64),
    /// A line and a column in characters, both counted from 1.
    Column {
        /// The line.
        line: u64,
        /// The column.
        column: u64,
    },
    /// An element of the descriptor.
    Element {
        /// The path of the element, such as `/VirtualSystem[demo]/VirtualHardwareSection/Item[5]`.
        path: String,
        /// The line of its start tag, counted from 1.
        line: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offset(bytes) => write!(f, "at byte {bytes}"),
            Self::Line(line) => write!(f, "line {line}"),
            Self::Column { line, column } => write!(f, "line {line}, column {column}"),
            Self::Element { path, line } => write!(f, "{path}, line {line}"),
        }
    }
}

/// Why a package, a descriptor or a manifest could not be read.
///
/// The text is what is wrong, with the number found and the number allowed, and the place in
/// brackets. It does not repeat the cause, which is the error's source.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Debug, thiserror::Error)]
#[error("{message}{}", Bracketed(.place.as_ref()))]
struct Inner {
    code: Code,
    kind: Kind,
    message: String,
    place: Option<Place>,
    context: Option<String>,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

struct Bracketed<'a>(Option<&'a Place>);

impl fmt::Display for Bracketed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |place| write!(f, " ({place})"))
    }
}

impl Error {
    pub(crate) fn new(code: Code, kind: Kind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            kind,
            message: message.into(),
            place: None,
            context: None,
            hint: None,
            source: None,
        }))
    }

    pub(crate) fn malformed(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Kind::Malformed, message)
    }

    pub(crate) fn limit(code: Code, message: impl Into<String>) -> Self {
        Self::new(code, Kind::Limit, message)
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    pub(crate) fn with_context(mut self, lines: String) -> Self {
        self.0.context = Some(lines);
        self
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    pub(crate) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The published code.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What a caller can act on.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The message without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where the fault is, if it has a place.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// Up to three numbered lines of the descriptor around the place, escaped for printing.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        self.0.context.as_deref()
    }

    /// What to do about it, where that is more than the page of the code says.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl From<std::io::Error> for Error {
    /// An error of this crate that passed through a reader comes out as it went in.
    fn from(source: std::io::Error) -> Self {
        if source.get_ref().is_some_and(|inner| inner.is::<Self>()) {
            return match source.into_inner().map(|inner| inner.downcast::<Self>()) {
                Some(Ok(error)) => *error,
                _ => Self::new(Code::E0508, Kind::Io, "input or output failed"),
            };
        }
        Self::new(Code::E0508, Kind::Io, "input or output failed").caused_by(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_the_place_in_brackets_and_leaves_the_cause_to_its_source() {
        let error = Error::malformed(Code::E0301, "no root element")
            .at(Place::Column { line: 2, column: 7 })
            .caused_by("inner");
        assert_eq!(error.to_string(), "no root element (line 2, column 7)");
        assert_eq!(
            std::error::Error::source(&error).map(ToString::to_string),
            Some("inner".into())
        );
    }

    #[test]
    fn an_io_error_is_a_storage_code() {
        let error = Error::from(std::io::Error::other("gone"));
        assert_eq!((error.code(), error.kind()), (Code::E0508, Kind::Io));
    }
}
