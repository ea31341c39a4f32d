//! Why a backup, a job or a schedule cannot be used.

use std::{fmt, io, path::Path};

use code::Code;
use host::libvirt::{LibvirtError, LibvirtKind};

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
    /// The machine is not in a state in which this can be done.
    State,
    /// The guest could not be made quiet, and that was wanted.
    Quiesce,
    /// The host refused.
    Host(LibvirtKind),
    /// Nothing tells what changed since an earlier point.
    NoIncrement,
    /// A snapshot or a file of that name is there.
    Exists,
    /// There is not enough room.
    NoRoom,
    /// The machine ended while it was read.
    Gone,
    /// Somebody said stop.
    Stopped,
    /// What the code says: a bundle, an image or a definition is at fault.
    Coded(Code),
}

/// An error with its causes in one line.
pub(crate) fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |told, cause| format!("{told}: {cause}"))
}

/// A fault, with the place where it is.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    text: String,
    /// The code of the host's refusal.
    own_code: Option<Code>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// What to do, where the page of the code says less.
    fix: Option<&'static str>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&**self.source.as_ref()?)
    }
}

impl Error {
    pub(crate) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), own_code: None, source: None, fix: None }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, text)
    }

    pub(crate) fn io(act: &str, path: &Path, source: io::Error) -> Self {
        let text = format!("{act} {}", path.display());
        Self::new(Kind::Io, text).caused_by(source)
    }

    /// The guest was to be quiet and is not, because of `source`.
    pub(crate) fn restless(
        text: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::new(Kind::Quiesce, text).caused_by(source)
    }

    /// A fault that another crate has a code for.
    pub(crate) fn coded(
        code: Code,
        text: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::new(Kind::Coded(code), text).caused_by(source)
    }

    /// A fault of another crate, in its own words.
    fn of_other(code: Code, error: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        let fault = Self::new(Kind::Coded(code), error.to_string());
        if causes.is_empty() { fault } else { fault.caused_by(causes.join(": ")) }
    }

    /// The same fault, with what lies behind it.
    pub(crate) fn caused_by(
        self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    /// The same fault, and what could not be taken back because of `other`.
    pub(crate) fn beside(mut self, other: &Self) -> Self {
        self.text = format!("{}; and what was begun could not be taken back: {other}", self.text);
        self
    }

    /// The same fault, with what to do.
    pub(crate) fn fixed_by(self, fix: &'static str) -> Self {
        Self { fix: Some(fix), ..self }
    }

    /// What to do, where the page of the code says less.
    #[must_use]
    pub const fn fix(&self) -> Option<&'static str> {
        self.fix
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
            Kind::Locked | Kind::Host(LibvirtKind::Busy) => Some(Code::E0602),
            Kind::Protected => Some(Code::E0607),
            Kind::Io => Some(Code::E0508),
            Kind::State | Kind::Gone | Kind::Host(LibvirtKind::WrongState) => Some(Code::E0510),
            Kind::Quiesce => Some(Code::E0511),
            Kind::Exists => Some(Code::E0509),
            Kind::Host(_) => self.own_code,
            Kind::NoIncrement => Some(Code::E0606),
            Kind::NoRoom => Some(Code::E0506),
            Kind::Stopped => None,
            Kind::Coded(code) => Some(code),
        }
    }
}

/// Seen with libvirt 9.0: its status file tells of a job that had begun, and nothing of its disks, so that
/// `domjobabort` has nothing to end. Turning the machine off does not end it either, until the daemon starts
/// again; the file without the job does.
const JOB_LOST: &str = "libvirt holds a backup job of the machine that it has lost: its daemon was ended while \
                        the job began; until that is put right, there are no backups and no snapshots of it";

/// What to do about it.
const JOB_LOST_FIX: &str = "Stop the libvirt daemon, write async='none' for async='backup' in the line <job> of \
                            /run/libvirt/qemu/NAME.xml, and start the daemon: the guest goes on meanwhile. Or \
                            shut the machine down, restart the daemon, and start the machine.";

impl From<LibvirtError> for Error {
    fn from(error: LibvirtError) -> Self {
        if error.kind() == LibvirtKind::JobLost {
            return Self::new(Kind::State, JOB_LOST).caused_by(error).fixed_by(JOB_LOST_FIX);
        }
        let (kind, own_code, text) = (error.kind(), Some(error.code()), error.to_string());
        let fix = error.fix();
        Self { own_code, fix, source: error.into_cause(), ..Self::new(Kind::Host(kind), text) }
    }
}

impl From<nbd::Error> for Error {
    fn from(error: nbd::Error) -> Self {
        Self::coded(error.code(), "a disk cannot be read from the backup job", error)
    }
}

impl From<domain::Error> for Error {
    fn from(error: domain::Error) -> Self {
        Self::coded(error.code(), "the definition of the machine cannot be read", error)
    }
}

impl From<host::Error> for Error {
    fn from(error: host::Error) -> Self {
        Self::of_other(error.code(), &error)
    }
}

impl From<bundle::Error> for Error {
    fn from(error: bundle::Error) -> Self {
        if error.kind() == bundle::Kind::Stopped {
            return Self::new(Kind::Stopped, "stopped");
        }
        Self::of_other(error.code(), &error)
    }
}

impl From<convert::Error> for Error {
    fn from(error: convert::Error) -> Self {
        if error.kind() == convert::Kind::Stopped {
            return Self::new(Kind::Stopped, "stopped");
        }
        Self::of_other(error.code(), &error)
    }
}
