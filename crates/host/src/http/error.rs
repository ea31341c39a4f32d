//! Why a server gave nothing.

use std::{fmt, io};

use code::Code;

/// What was asked of a server failed. The address is in it without its query.
#[derive(Debug)]
pub struct HttpError {
    code: Code,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl HttpError {
    /// The server cannot be reached, or answers with something that no server should.
    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self { code: Code::E0501, message: message.into(), source: None }
    }

    /// The server answers with this status.
    pub(super) fn status(address: &str, status: u16) -> Self {
        let code = match status {
            401 | 403 => Code::E0502,
            404 | 410 => Code::E0508,
            _ => Code::E0501,
        };
        let what = match status {
            401 | 403 => "the server does not let us have",
            404 | 410 => "the server has no",
            _ => "the server cannot give",
        };
        Self { code, message: format!("{what} {address} (status {status})"), source: None }
    }

    /// There is now something else than what was read before.
    pub(super) fn changed(address: &str) -> Self {
        let message = format!("{address} changed while it was read");
        Self { code: Code::E0102, message, source: None }
    }

    pub(super) fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The published code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Whether it may be better in a moment.
    pub(super) fn is_passing(&self) -> bool {
        self.code == Code::E0501
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<HttpError> for io::Error {
    fn from(error: HttpError) -> Self {
        Self::other(error)
    }
}
