//! Why a document cannot be read, and where.

use std::fmt;

use code::Code;

use crate::{Error, Kind, error::Reason};

/// How many characters of a text from a document a message shows.
pub(super) const SHOWN_CHARS: usize = 120;

/// A fault of a document.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) kind: Kind,
    message: String,
    place: Option<Place>,
}

impl Fault {
    pub(crate) fn new(code: Code, kind: Kind, message: impl Into<String>) -> Self {
        Self { code, kind, message: message.into(), place: None }
    }

    pub(crate) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.place.as_ref().map_or(Ok(()), |place| write!(f, " ({place})"))
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Reason::Document(Box::new(fault)).into()
    }
}

/// A place in a document; lines and columns are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Column { line: u64, column: u64 },
    Element { path: String, line: u64 },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column { line, column } => write!(f, "line {line}, column {column}"),
            Self::Element { path, line } => write!(f, "{path}, line {line}"),
        }
    }
}

/// Shows a text of a document in quotes, escaped, and cut after 120 characters.
pub(crate) struct Shown<'a>(pub(crate) &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(SHOWN_CHARS) {
            Some((end, _)) => write!(f, "{:?}…", self.0.get(..end).unwrap_or_default()),
            None => write!(f, "{:?}", self.0),
        }
    }
}
