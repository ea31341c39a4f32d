//! This program again, as a process of its own that does one piece of work and tells how it goes.
//!
//! What a worker takes, holds or breaks is gone with it: it cannot take the others along. It ends when
//! the one that started it ends, however that ends.

use std::{
    ffi::{OsStr, OsString},
    io::{self, BufRead as _, BufReader, Read as _},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

/// The program that runs, whatever its file is called now.
pub(crate) const SELF: &str = "/proc/self/exe";

/// Names the process that a worker works for.
pub(crate) const PARENT: &str = "RELIFT_WORKER_OF";

/// The longest line of a worker that is taken: the limit of this product.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// What of a worker's last words is kept: the limit of this product.
const MAX_WORDS_BYTES: u64 = 64 << 10;

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// What it said on standard error.
    pub words: String,
}

/// A worker that runs.
#[derive(Debug)]
pub struct Worker {
    child: Mutex<Child>,
    pid: Pid,
    /// Whether it was asked to end: who is asked twice does not clean up.
    is_asked: AtomicBool,
}

/// What a worker says on standard output, and on standard error.
#[derive(Debug)]
pub struct Ears(ChildStdout, ChildStderr);

impl Worker {
    /// Starts this program with these words.
    ///
    /// It has a process group of its own, so that a Ctrl-C on the terminal comes to it only by way of
    /// [`stop`](Self::stop).
    ///
    /// # Errors
    /// No process can be started.
    pub fn start(words: &[OsString]) -> io::Result<(Self, Ears)> {
        #[expect(clippy::disallowed_methods, reason = "the program itself, not one of others")]
        let mut command = Command::new(SELF);
        let mut child = command
            .args(words)
            .env(PARENT, std::process::id().to_string())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let none = || io::Error::other("a worker without its pipes");
        let ears =
            Ears(child.stdout.take().ok_or_else(none)?, child.stderr.take().ok_or_else(none)?);
        let pid = Pid::from_child(&child);
        Ok((Self { child: Mutex::new(child), pid, is_asked: AtomicBool::new(false) }, ears))
    }

    /// Asks the worker to clean up and end; once, however often this is called.
    pub fn stop(&self) {
        if self.is_asked.swap(true, Ordering::Relaxed) {
            return;
        }
        // One that has ended since is not waited for yet, so that its number is nobody else's.
        let _gone = kill_process(self.pid, Signal::TERM);
    }

    /// Takes each line that the worker says until it ends.
    ///
    /// # Errors
    /// Its pipes cannot be read.
    pub fn listen(&self, ears: Ears, told: &mut dyn FnMut(&[u8])) -> io::Result<Ended> {
        let Ears(out, err) = ears;
        let words = thread::scope(|threads| {
            let words = threads.spawn(move || last_words(err));
            let mut reader = BufReader::new(out);
            let mut line = Vec::new();
            loop {
                line.clear();
                if (&mut reader).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
                    break;
                }
                told(&line);
            }
            Ok::<_, io::Error>(words.join().unwrap_or_default())
        })?;
        let status = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait()?;
        Ok(Ended { code: status.code(), signal: status.signal(), words })
    }
}

/// Reads to the end, and keeps the head: the first error is what counts.
fn last_words(err: ChildStderr) -> String {
    let mut reader = BufReader::new(err);
    let mut kept = Vec::new();
    let read = (&mut reader).take(MAX_WORDS_BYTES).read_to_end(&mut kept);
    if read.is_ok() {
        // What is not read would block the worker.
        drop(io::copy(&mut reader, &mut io::sink()));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// In a worker: ends with the process that started it.
///
/// # Errors
/// That process has ended already.
pub fn follow_parent(variable: impl Fn(&str) -> Option<OsString>) -> io::Result<()> {
    let Some(parent) = variable(PARENT) else { return Ok(()) };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let now = getppid().map(|pid| pid.as_raw_nonzero().get().to_string());
    if now.as_deref().map(OsStr::new) != Some(&parent) {
        return Err(io::Error::other("the process that this one works for has ended"));
    }
    Ok(())
}
