//! The exit statuses of the program.

/// What the shell is told when the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done; warnings are allowed.
    Ok = 0,
    /// Unclassified; a bug if seen often.
    Failure = 1,
    /// A bad flag or configuration.
    Usage = 2,
    /// A batch with failed items, or a backup with a skipped disk.
    Partial = 3,
    /// The package is unreadable, truncated, malformed, unsupported or over a named limit.
    Package = 4,
    /// A digest or a signature does not match, damage was found, or images differ.
    Integrity = 5,
    /// The plan has blockers, or warnings under `--strict`.
    Blocked = 6,
    /// The host is unreachable, denies, or lacks what was named.
    Target = 7,
    /// No space, quota, read-only, or an I/O error.
    Storage = 8,
    /// A needed program or firmware is missing or too old.
    Dependency = 9,
    /// The repository is absent.
    NoRepository = 10,
    /// The repository, machine or batch is locked by another run.
    Locked = 11,
    /// The key is wrong.
    Key = 12,
    /// The machine, snapshot, backup or job id is unknown.
    NotFound = 13,
    /// Stopped by SIGINT after cleaning up.
    Interrupted = 130,
    /// Stopped by SIGTERM after cleaning up.
    Terminated = 143,
}

impl ExitStatus {
    /// The number the shell sees.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }
}
