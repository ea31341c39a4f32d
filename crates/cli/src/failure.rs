//! Why a run ended, told so that somebody can act on it: what, where, why, and what to do next.

use code::{Code, ExitStatus};

use crate::json::Message;

/// The result of everything in this shell that can end a run.
pub(crate) type Result<T> = std::result::Result<T, Box<Failure>>;

/// Why a run ended.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The published code; a wrong flag has none.
    pub(crate) code: Option<Code>,
    /// What the shell is told.
    pub(crate) exit: ExitStatus,
    /// What is wrong.
    pub(crate) message: String,
    /// The numbers behind it, each with what it is.
    pub(crate) details: Vec<(String, String)>,
    /// Why, as far as it is known.
    pub(crate) cause: Option<String>,
    /// A better way to type it.
    pub(crate) tip: Option<String>,
    /// What to do.
    pub(crate) fix: Option<String>,
    /// Independent problems of the same package.
    pub(crate) others: Vec<Message>,
}

impl Failure {
    /// A failure with the exit status, the cause and the fix of its code.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Box<Self> {
        let page = code.page();
        Box::new(Self {
            code: Some(code),
            exit: code.exit(),
            message: message.into(),
            details: Vec::new(),
            cause: Some(page.cause()),
            tip: None,
            fix: Some(page.fix()),
            others: Vec::new(),
        })
    }

    /// A failure that has no code.
    pub(crate) fn plain(exit: ExitStatus, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            code: None,
            exit,
            message: message.into(),
            details: Vec::new(),
            cause: None,
            tip: None,
            fix: None,
            others: Vec::new(),
        })
    }

    /// Something was typed that cannot be meant.
    pub(crate) fn usage(message: impl Into<String>) -> Box<Self> {
        Self::plain(ExitStatus::Usage, message)
    }

    /// Somebody said stop, and everything was taken back.
    pub(crate) fn stopped(exit: ExitStatus) -> Box<Self> {
        Self::plain(exit, "stopped on request")
    }

    /// Adds a number behind the message.
    pub(crate) fn detail(mut self: Box<Self>, name: &str, value: impl Into<String>) -> Box<Self> {
        self.details.push((name.to_owned(), value.into()));
        self
    }

    /// Says why, instead of what the page of the code says.
    pub(crate) fn cause(mut self: Box<Self>, cause: impl Into<String>) -> Box<Self> {
        self.cause = Some(cause.into());
        self
    }

    /// Says what to do, instead of what the page of the code says.
    pub(crate) fn fix(mut self: Box<Self>, fix: impl Into<String>) -> Box<Self> {
        self.fix = Some(fix.into());
        self
    }

    /// The same, where somebody knows.
    pub(crate) fn fix_if_known(self: Box<Self>, fix: Option<&str>) -> Box<Self> {
        match fix {
            Some(fix) => self.fix(fix),
            None => self,
        }
    }

    /// Says how it is better typed.
    pub(crate) fn tip(mut self: Box<Self>, tip: impl Into<String>) -> Box<Self> {
        self.tip = Some(tip.into());
        self
    }

    /// Takes another exit status than the code's own.
    pub(crate) fn exit(mut self: Box<Self>, exit: ExitStatus) -> Box<Self> {
        self.exit = exit;
        self
    }

    /// Lists independent problems beside this one.
    pub(crate) fn others(mut self: Box<Self>, others: Vec<Message>) -> Box<Self> {
        self.others = others;
        self
    }

    /// Takes the reasons of an error for the cause, where it has any.
    pub(crate) fn because(mut self: Box<Self>, error: &dyn std::error::Error) -> Box<Self> {
        let chain: Vec<String> = std::iter::successors(error.source(), |error| error.source())
            .map(ToString::to_string)
            .collect();
        if !chain.is_empty() {
            self.cause = Some(chain.join(": "));
        }
        self
    }
}

impl From<restore::Error> for Box<Failure> {
    fn from(error: restore::Error) -> Self {
        if error.is_stop() {
            return Failure::stopped(ExitStatus::Interrupted);
        }
        let mut failure = Failure::new(error.code(), error.to_string()).because(&error);
        for detail in error.details() {
            failure = failure.detail(detail.name, &detail.value);
        }
        match error.fix_text() {
            Some(fix) => failure.fix(fix),
            None => failure,
        }
    }
}

impl From<convert::Error> for Box<Failure> {
    fn from(error: convert::Error) -> Self {
        if error.kind() == convert::Kind::Stopped {
            return Failure::stopped(ExitStatus::Interrupted);
        }
        Failure::new(error.code(), error.to_string()).because(&error)
    }
}

impl From<disk::Error> for Box<Failure> {
    fn from(error: disk::Error) -> Self {
        if error.kind() == disk::Kind::Stopped {
            return Failure::stopped(ExitStatus::Interrupted);
        }
        Failure::new(error.code(), error.to_string()).because(&error)
    }
}

impl From<bundle::Error> for Box<Failure> {
    fn from(error: bundle::Error) -> Self {
        if error.kind() == bundle::Kind::Stopped {
            return Failure::stopped(ExitStatus::Interrupted);
        }
        Failure::new(error.code(), error.to_string()).because(&error)
    }
}

impl From<host::Error> for Box<Failure> {
    fn from(error: host::Error) -> Self {
        Failure::new(error.code(), error.to_string()).because(&error)
    }
}

impl From<host::libvirt::LibvirtError> for Box<Failure> {
    fn from(error: host::libvirt::LibvirtError) -> Self {
        Self::from(&error)
    }
}

impl From<&host::libvirt::LibvirtError> for Box<Failure> {
    fn from(error: &host::libvirt::LibvirtError) -> Self {
        let failure = Failure::new(error.code(), error.to_string()).because(error);
        failure.fix_if_known(error.fix())
    }
}

impl From<ovf::Error> for Box<Failure> {
    fn from(error: ovf::Error) -> Self {
        restore::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_what_the_system_said_else_what_the_page_says() {
        let io = convert::Error::reading(std::io::Error::other("no medium"));
        let failure = Box::<Failure>::from(io);
        assert_eq!(failure.message, "cannot read the source");
        assert_eq!(failure.cause.as_deref(), Some("no medium"));
        assert_eq!(failure.exit, ExitStatus::Storage);
        let failure = Failure::new(Code::E0203, "x");
        assert_eq!(failure.cause, Some(Code::E0203.page().cause()));
        assert_eq!(failure.fix, Some(Code::E0203.page().fix()));
    }

    #[test]
    fn a_stop_is_no_storage_error() {
        let failure = Box::<Failure>::from(convert::Error::stopped());
        assert_eq!((failure.code, failure.exit), (None, ExitStatus::Interrupted));
    }
}
