//! The error of the crate.

use std::{fmt, io};

use code::Code;

/// The result of everything in this crate that reads or writes a bundle.
pub type Result<T> = std::result::Result<T, Error>;

/// What a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The system refused to read or write.
    Io,
    /// The bundle contradicts itself or its format.
    Malformed,
    /// The bundle is sound, as far as one can tell, but cannot be used so.
    Unsupported,
    /// Something that is looked for is not there.
    Missing,
    /// A member asks for something that it may not have.
    Denied,
    /// A named limit is exceeded.
    Limit,
    /// Content is not what it was when it was written.
    Integrity,
    /// Somebody else writes the bundle.
    Locked,
    /// [`disk::Progress::stopped`] said so.
    Stopped,
}

/// Why a bundle cannot be read, written or trusted.
///
/// The text is a lowercase fragment: the member, what is wrong with it with the number found and the
/// number allowed, and the byte. The cause is the error's source and is not repeated.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    kind: Kind,
    member: Option<String>,
    message: String,
    at: Option<u64>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl fmt::Display for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(member) = &self.member {
            write!(f, "{}: ", shown(member))?;
        }
        f.write_str(&self.message)?;
        match self.at {
            Some(at) => write!(f, ", at byte {at}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Inner {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as &(dyn std::error::Error + 'static))
    }
}

impl Error {
    pub(crate) fn new(code: Code, kind: Kind, message: impl Into<String>) -> Self {
        let message = message.into();
        Self(Box::new(Inner { code, kind, member: None, message, at: None, source: None }))
    }

    /// Content that is damaged.
    pub(crate) fn damaged(message: impl Into<String>) -> Self {
        Self::new(Code::E0605, Kind::Integrity, message)
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(Code::E0106, Kind::Limit, message)
    }

    pub(crate) fn stopped() -> Self {
        Self::new(Code::E0508, Kind::Stopped, "stopped on request")
    }

    /// Names the member, unless a deeper one is named already.
    pub(crate) fn in_member(mut self, name: &str) -> Self {
        self.0.member.get_or_insert_with(|| name.to_owned());
        self
    }

    /// Names the byte of the member, or of the file where no member is named.
    pub(crate) fn at(mut self, offset_bytes: u64) -> Self {
        self.0.at.get_or_insert(offset_bytes);
        self
    }

    /// The same error, which only passed through another crate.
    fn again(&self) -> Self {
        let mut own = Self::new(self.code(), self.kind(), self.message());
        own.0.member.clone_from(&self.0.member);
        own.0.at = self.0.at;
        match &self.0.source {
            Some(source) => own.caused_by(source.to_string()),
            None => own,
        }
    }

    /// Counts the byte from the start of a member instead of that of the archive.
    pub(crate) fn counted_from(mut self, start_bytes: u64) -> Self {
        self.0.at = self.0.at.and_then(|at| at.checked_sub(start_bytes));
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
    ///
    /// A run that was stopped has none of its own: ask [`kind`](Self::kind) first.
    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// What a caller can act on.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The member that the error is about.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.0.member.as_deref()
    }

    /// What is wrong, without the member and the byte.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The byte of the member, or of the file where no member is named.
    #[must_use]
    pub fn offset_bytes(&self) -> Option<u64> {
        self.0.at
    }
}

impl From<io::Error> for Error {
    /// An error of this crate that passed through a reader comes out as it went in.
    fn from(source: io::Error) -> Self {
        match source.downcast::<Self>() {
            Ok(own) => own,
            Err(source) => Self::new(Code::E0508, Kind::Io, "cannot read or write the bundle")
                .caused_by(source),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            Kind::Malformed | Kind::Integrity => io::ErrorKind::InvalidData,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

impl From<ovf::Error> for Error {
    fn from(error: ovf::Error) -> Self {
        let kind = match error.kind() {
            ovf::Kind::Io => Kind::Io,
            ovf::Kind::Unsupported => Kind::Unsupported,
            ovf::Kind::Denied => Kind::Denied,
            ovf::Kind::Limit => Kind::Limit,
            ovf::Kind::Integrity => Kind::Integrity,
            _ => Kind::Malformed,
        };
        let at = error.place().and_then(|place| match place {
            ovf::Place::Offset(bytes) => Some(*bytes),
            _ => None,
        });
        if let Some(inner) = inner_of(&error) {
            return inner.again();
        }
        let mut own = Self::new(error.code(), kind, error.message());
        own.0.at = at;
        match std::error::Error::source(&error) {
            Some(_) => own.caused_by(error),
            None => own,
        }
    }
}

/// The error of this crate that made a reader fail.
fn inner_of<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Error> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let read = inner.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(own) = read.and_then(|read| read.downcast_ref()) {
            return Some(own);
        }
        cause = inner.source();
    }
    None
}

impl From<disk::Error> for Error {
    fn from(error: disk::Error) -> Self {
        let kind = match error.kind() {
            disk::Kind::Io => Kind::Io,
            disk::Kind::Unsupported | disk::Kind::Mismatch => Kind::Unsupported,
            disk::Kind::Denied | disk::Kind::Unsafe => Kind::Denied,
            disk::Kind::Limit => Kind::Limit,
            disk::Kind::Missing => Kind::Missing,
            disk::Kind::Stopped => Kind::Stopped,
            _ => Kind::Malformed,
        };
        if let Some(inner) = inner_of(&error) {
            return inner.again();
        }
        Self::new(error.code(), kind, error.to_string()).caused_by(error)
    }
}

/// A text of a file as a message shows it: nothing in it can act on a terminal or fill a log.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN_CHARS).flat_map(char::escape_debug).collect()
}

/// The length at which a text of a file is cut in a message: that of a file name.
const MAX_SHOWN_CHARS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_member_what_is_wrong_and_the_byte() {
        let error = Error::damaged("the digest differs").in_member("a\nb.qcow2").at(7);
        assert_eq!(error.to_string(), "a\\nb.qcow2: the digest differs, at byte 7");
        assert_eq!((error.code(), error.kind()), (Code::E0605, Kind::Integrity));
        let error = error.in_member("other").at(9);
        assert_eq!((error.member(), error.offset_bytes()), (Some("a\nb.qcow2"), Some(7)));
    }

    #[test]
    fn comes_out_of_a_reader_as_it_went_in() {
        let error = Error::from(io::Error::from(Error::damaged("x").at(3)));
        assert_eq!(error.to_string(), "x, at byte 3");
        let error = Error::from(io::Error::other("no medium"));
        assert_eq!((error.code(), error.kind()), (Code::E0508, Kind::Io));
    }
}
