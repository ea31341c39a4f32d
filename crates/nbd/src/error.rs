//! The error of the crate.

use std::{fmt, io, sync::Arc, time::Duration};

use code::Code;

/// The result of everything in this crate that talks with a server.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The socket, or a read on the server's side, failed.
    Io,
    /// The server breaks the protocol; the connection is over.
    Malformed,
    /// The server does not speak what is needed.
    Unsupported,
    /// The server has no export of that name.
    Missing,
    /// The server has no such context for the export: there is no such bitmap.
    NoContext,
    /// The server does not let us in.
    Denied,
    /// A number of the server is over a named limit.
    Limit,
}

/// Why an export cannot be read.
///
/// The text is a lowercase fragment: the export, what is wrong, and the byte of the disk. The cause is
/// the error's source and is not repeated.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    export: Option<String>,
    message: String,
    at: Option<u64>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, export: None, message: message.into(), at: None, source: None }
    }

    /// A server that breaks the protocol.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, message)
    }

    /// What a socket says when a server was to be heard or told something.
    pub(crate) fn of_socket(source: io::Error, timeout: Duration) -> Self {
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::new(
                Kind::Io,
                format!("the server was silent for {} s", timeout.as_secs_f64()),
            ),
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset => {
                Self::new(Kind::Io, "the server closed the connection")
            }
            _ => Self::new(Kind::Io, "cannot talk with the server").caused_by(source),
        }
    }

    /// Names the export, unless a deeper place did.
    pub(crate) fn of_export(mut self, name: &str) -> Self {
        self.export.get_or_insert_with(|| quoted(name));
        self
    }

    /// Names the byte of the disk, unless a deeper place did.
    pub(crate) fn at(mut self, offset_bytes: u64) -> Self {
        self.at.get_or_insert(offset_bytes);
        self
    }

    pub(crate) fn caused_by(
        mut self,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What a caller can act on.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The published code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.kind {
            Kind::Io | Kind::Malformed => Code::E0508,
            Kind::Unsupported => Code::E0701,
            Kind::Missing => Code::E0505,
            Kind::NoContext => Code::E0606,
            Kind::Denied => Code::E0502,
            Kind::Limit => Code::E0405,
        }
    }

    /// The byte of the disk that the error is about.
    #[must_use]
    pub fn offset_bytes(&self) -> Option<u64> {
        self.at
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(export) = &self.export {
            write!(f, "export {export}: ")?;
        }
        f.write_str(&self.message)?;
        match self.at {
            Some(at) => write!(f, ", at byte {at} of the disk"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl From<Error> for disk::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            Kind::Unsupported => disk::Kind::Unsupported,
            Kind::Limit => disk::Kind::Limit,
            // The disk itself is not damaged when its server lies.
            _ => disk::Kind::Io,
        };
        Self::new(kind, error)
    }
}

/// A text of a server, or a name, as a message shows it: nothing in it can act on a terminal or fill a
/// log.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(MAX_SHOWN_CHARS).collect::<String>())
}

/// What a server says of an error, to be put behind a message; nothing when it says nothing.
pub(crate) fn says(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    match text.trim() {
        "" => String::new(),
        text => format!(" (it says {})", quoted(text)),
    }
}

/// The length at which a text of a server is cut in a message: that of a file name.
const MAX_SHOWN_CHARS: usize = 255;

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn names_the_export_what_is_wrong_and_the_byte() {
        let error = Error::malformed("a chunk of 0 bytes").at(7).at(9).of_export("v\u{1b}da");
        assert_eq!(
            error.to_string(),
            "export \"v\\u{1b}da\": a chunk of 0 bytes, at byte 7 of the disk"
        );
        assert_eq!((error.kind(), error.code()), (Kind::Malformed, Code::E0508));
        assert_eq!(error.offset_bytes(), Some(7));
    }

    #[test]
    fn tells_a_silent_server_from_one_that_left() {
        let told = |kind: io::ErrorKind| {
            Error::of_socket(kind.into(), Duration::from_millis(1500)).to_string()
        };
        assert_eq!(told(io::ErrorKind::WouldBlock), "the server was silent for 1.5 s");
        assert_eq!(told(io::ErrorKind::UnexpectedEof), "the server closed the connection");
        let error = Error::of_socket(io::Error::other("no wire"), Duration::ZERO);
        assert_eq!(error.to_string(), "cannot talk with the server");
        assert_eq!(error.source().unwrap().to_string(), "no wire");
    }
}
