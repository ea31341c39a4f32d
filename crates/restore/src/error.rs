//! Why a package could not become a machine, told so that somebody can act on it.

use std::fmt;

use code::Code;
use host::http::HttpError;

/// The work ended: a code, what is wrong, the numbers, and what to do.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    details: Vec<Detail>,
    fix: Option<String>,
    stopped: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// One line of an error: what it is, and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// What the value is: `package`, `manifest`, `expected`.
    pub name: &'static str,
    /// The value.
    pub value: String,
}

impl Error {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: Vec::new(),
            fix: None,
            stopped: false,
            source: None,
        }
    }

    pub(crate) fn detail(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push(Detail { name, value: value.into() });
        self
    }

    pub(crate) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    pub(crate) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Reading or writing failed; what the walk over an archive says about its end goes first.
    pub(crate) fn io(message: impl Into<String>, source: std::io::Error) -> Self {
        match of_reader(&source) {
            Some(error) => error,
            None => Self::new(Code::E0508, message).caused_by(source),
        }
    }

    /// Somebody wrote to a file of the source, or put another one in its place.
    pub(crate) fn changed(name: &str) -> Self {
        Self::new(Code::E0508, format!("{name} changed while it was read"))
            .fix("run it again when nobody writes to the source any more")
    }

    /// Writing failed, with the code that fits.
    pub(crate) fn writing(what: &str, source: std::io::Error) -> Self {
        let full = matches!(
            source.kind(),
            std::io::ErrorKind::StorageFull
                | std::io::ErrorKind::QuotaExceeded
                | std::io::ErrorKind::FileTooLarge
        );
        let code = if full { Code::E0506 } else { Code::E0508 };
        Self::new(code, format!("cannot write {what}")).caused_by(source)
    }

    /// Somebody said stop; everything is undone.
    pub(crate) fn stopped() -> Self {
        Self { stopped: true, ..Self::new(Code::E0508, "stopped on request") }
    }

    /// The published code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The numbers behind the message, in the order in which they are told.
    #[must_use]
    pub fn details(&self) -> &[Detail] {
        &self.details
    }

    /// What to do, where it is more than the page of the code says.
    #[must_use]
    pub fn fix_text(&self) -> Option<&str> {
        self.fix.as_deref()
    }

    /// Whether it is no failure but a stop on request.
    #[must_use]
    pub const fn is_stop(&self) -> bool {
        self.stopped
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// What the walk over an archive, or a server, says inside an error of reading.
fn of_reader(error: &std::io::Error) -> Option<Error> {
    let inner = error.get_ref()?;
    if let Some(error) = inner.downcast_ref::<ovf::Error>() {
        return Some(Error::of_package(error));
    }
    inner.downcast_ref::<HttpError>().map(Error::of_server)
}

/// The same, somewhere among the causes of an error.
fn of_cause(error: &(dyn std::error::Error + 'static)) -> Option<Error> {
    std::iter::successors(error.source(), |error| error.source())
        .find_map(|cause| of_reader(cause.downcast_ref()?))
}

impl From<ovf::Error> for Error {
    fn from(error: ovf::Error) -> Self {
        Self::of_package(&error)
    }
}

impl Error {
    fn of_server(error: &HttpError) -> Self {
        let fix = match error.code() {
            Code::E0502 => "fetch the package by other means, and point relift at the file",
            Code::E0102 => "run it again: the server has another file now",
            _ => "check the address and the network, and run it again",
        };
        let told = Self::new(error.code(), error.to_string()).fix(fix);
        match std::error::Error::source(error) {
            Some(cause) => told.caused_by(cause.to_string()),
            None => told,
        }
    }

    fn of_package(error: &ovf::Error) -> Self {
        if let Some(error) = of_cause(error) {
            return error;
        }
        let mut told = Self::new(error.code(), error.message());
        if let Some(place) = error.place() {
            told = told.detail("at", place.to_string().trim_start_matches("at "));
        }
        for line in error.context().unwrap_or_default().lines() {
            told = told.detail("", line);
        }
        if let Some(hint) = error.hint() {
            told = told.fix(hint);
        }
        match std::error::Error::source(error) {
            Some(cause) => told.caused_by(cause.to_string()),
            None => told,
        }
    }
}

impl From<disk::Error> for Error {
    fn from(error: disk::Error) -> Self {
        convert::Error::source_image(error).into()
    }
}

impl From<convert::Error> for Error {
    fn from(error: convert::Error) -> Self {
        if error.kind() == convert::Kind::Stopped {
            return Self::stopped();
        }
        if let Some(error) = of_cause(&error) {
            return error;
        }
        let told = Self::new(error.code(), error.to_string());
        match std::error::Error::source(&error) {
            Some(cause) => told.caused_by(cause.to_string()),
            None => told,
        }
    }
}

impl From<domain::Error> for Error {
    fn from(error: domain::Error) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

impl From<bundle::Error> for Error {
    fn from(error: bundle::Error) -> Self {
        if error.kind() == bundle::Kind::Stopped {
            return Self::stopped();
        }
        let told = Self::new(error.code(), error.to_string());
        match std::error::Error::source(&error) {
            Some(cause) => told.caused_by(cause.to_string()),
            None => told,
        }
    }
}

impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        let told = Self::new(error.code(), error.to_string());
        match std::error::Error::source(&error) {
            Some(cause) => told.caused_by(cause.to_string()),
            None => told,
        }
    }
}

impl From<host::libvirt::LibvirtError> for Error {
    fn from(error: host::libvirt::LibvirtError) -> Self {
        let fix = error.fix().map(str::to_owned);
        let told = Self { fix, ..Self::new(error.code(), error.to_string()) };
        match error.into_cause() {
            Some(cause) => told.caused_by(cause),
            None => told,
        }
    }
}

impl From<HttpError> for Error {
    fn from(error: HttpError) -> Self {
        Self::of_server(&error)
    }
}
