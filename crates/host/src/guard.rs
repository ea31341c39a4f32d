//! A process that thaws a machine whatever becomes of the one that froze it.
//!
//! ```text
//! arm --> this program again, in a session of its own, with a pipe from us ------------.
//!           | "done" on the pipe            --> has done nothing           --> "quiet" |
//!           | the pipe closes, time is over --> thaws, again and again, until          |
//!           |                                   the agent answers --> "fired"/"failed" v
//! disarm <-------------------------------------------------------- what it says at its end
//! ```
//!
//! It survives a `kill -9` of us and a Ctrl-C on our terminal. Its exit status is 0 when the machine is
//! not frozen by us any more.

mod keeper;

use std::{
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use vm::Uuid;

use crate::worker;

pub use keeper::keep;

/// The command of this program that is a guard; people do not see it.
pub const COMMAND: &str = "guard";

/// What a guard hears when it is not needed any more.
const DONE: &[u8] = b"done\n";

/// What it says when it listens.
const ARMED: &str = "armed";

/// What it says when it has done nothing.
const QUIET: &str = "quiet";

/// What it says when it has thawed the machine.
const FIRED: &str = "fired";

/// What it says before the reason when it could not.
const FAILED: &str = "failed: ";

/// A process that waits to thaw a machine.
///
/// Dropped without [`disarm`](Self::disarm) it thaws at once, and is not waited for.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    said: BufReader<ChildStdout>,
}

/// What a guard did until it was called off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: its owner is in time.
    Quiet,
    /// The deadline was over, and it thawed the machine: what its owner took for a quiet moment since
    /// may be none.
    Fired,
    /// The deadline was over, and the machine could not be thawed; why.
    Failed(String),
}

impl Guard {
    /// Starts a guard and waits until it listens; the machine is thawed when `deadline` is over, at the
    /// latest.
    ///
    /// # Errors
    /// No process can be started.
    pub fn arm(uri: &str, machine: Uuid, deadline: Duration) -> io::Result<Self> {
        Self::of_program(OsStr::new(worker::SELF), uri, machine, deadline)
    }

    /// The same by another file of this program, for one that is not the program itself.
    ///
    /// # Errors
    /// No process can be started, or it is no guard.
    pub fn of_program(
        program: &OsStr,
        uri: &str,
        machine: Uuid,
        deadline: Duration,
    ) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "the program itself, not one of others")]
        let mut command = Command::new(program);
        let mut child = command
            .args([COMMAND, "--connect", uri, "--machine", &machine.to_string()])
            .args(["--deadline-ms", &deadline.as_millis().to_string()])
            // It outlives its owner, and the one that its owner works for.
            .env_remove(worker::PARENT)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let none = || io::Error::other("a guard without its pipes");
        let said = BufReader::new(child.stdout.take().ok_or_else(none)?);
        let mut guard = Self { child, said };
        match guard.hear()?.as_deref() {
            Some(ARMED) => Ok(guard),
            _ => Err(io::Error::other("the guard ended before it listened")),
        }
    }

    /// Calls the guard off, and says what it has done until now.
    ///
    /// One that is just thawing is waited for, two minutes at most.
    #[must_use]
    pub fn disarm(mut self) -> Outcome {
        if let Some(mut pipe) = self.child.stdin.take() {
            // One that has ended hears nothing; what it said is there.
            drop(pipe.write_all(DONE));
        }
        let outcome = match self.hear() {
            Ok(Some(line)) if line == QUIET => Outcome::Quiet,
            Ok(Some(line)) if line == FIRED => Outcome::Fired,
            Ok(Some(line)) => Outcome::Failed(line.trim_start_matches(FAILED).to_owned()),
            Ok(None) => Outcome::Failed("the guard was killed".to_owned()),
            Err(error) => Outcome::Failed(format!("the guard is not heard: {error}")),
        };
        drop(self.child.wait());
        outcome
    }

    /// The next line of the guard; `None` at its end.
    fn hear(&mut self) -> io::Result<Option<String>> {
        let mut line = String::new();
        let is_end = self.said.read_line(&mut line)? == 0;
        Ok((!is_end).then(|| line.trim_end().to_owned()))
    }
}
