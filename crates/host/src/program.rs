//! Programs of others: the only place that starts one.
//!
//! A program gets its words one by one, never through a shell; it talks C, reads from memory, and is
//! ended when it takes too long or says too much.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, AsRawFd as _, OwnedFd},
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{MemfdFlags, OFlags, fcntl_getfl, fcntl_setfl, memfd_create},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

/// The most that a program may say on one stream: the limit of this product. The definitions of a
/// hundred machines, which are asked for together, stay far below it.
const MAX_SAID_BYTES: usize = 16 << 20;

/// What is asked of a program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// Its name, looked for in `PATH`, or its absolute path.
    pub(crate) program: &'a OsStr,
    /// Its words.
    pub(crate) words: &'a [&'a OsStr],
    /// What it reads from standard input.
    pub(crate) input: &'a [u8],
    /// How long it may take.
    pub(crate) limit: Duration,
}

/// What a program said.
#[derive(Debug)]
pub(crate) struct Said {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// On standard output.
    pub(crate) out: Vec<u8>,
    /// On standard error.
    pub(crate) err: String,
}

/// Why a program said nothing that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("is not installed")]
    Missing,
    #[error("cannot be run")]
    Io(#[source] io::Error),
    #[error("did not answer within {0:?}")]
    TooSlow(Duration),
    #[error("said more than {MAX_SAID_BYTES} bytes")]
    TooLong,
    #[error("was ended by signal {0}")]
    Signal(i32),
}

impl From<rustix::io::Errno> for CallError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

/// Runs a program to its end.
pub(crate) fn call(call: &Call<'_>) -> Result<Said, CallError> {
    let mut running = Running(start(call)?);
    let said = running.listen(call.limit)?;
    match said.status.signal() {
        Some(signal) => Err(CallError::Signal(signal)),
        None => Ok(said),
    }
}

fn start(call: &Call<'_>) -> Result<Child, CallError> {
    #[expect(clippy::disallowed_methods, reason = "the one place that starts programs")]
    let mut command = Command::new(call.program);
    command
        .args(call.words)
        .env("LC_ALL", "C")
        .env_remove("LANGUAGE")
        .stdin(input(call.input)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: what it starts (an ssh) ends with it, and asks nothing on the terminal.
        .process_group(0);
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CallError::Missing,
        _ => CallError::Io(error),
    })
}

/// Standard input from memory: no pipe that could fill while nobody reads.
fn input(bytes: &[u8]) -> Result<Stdio, CallError> {
    if bytes.is_empty() {
        return Ok(Stdio::null());
    }
    Ok(Stdio::from(OwnedFd::from(in_memory(bytes)?)))
}

/// A file without a name, at its beginning.
fn in_memory(bytes: &[u8]) -> Result<File, CallError> {
    let mut file = File::from(memfd_create("input", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes).map_err(CallError::Io)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    Ok(file)
}

/// A document in memory that a program of this user reads by a path, for one that takes two of them.
///
/// It opens what this process has open, so nothing is handed down to other programs that start meanwhile.
#[derive(Debug)]
pub(crate) struct Paper {
    path: String,
    _file: File,
}

impl Paper {
    /// Writes the document.
    pub(crate) fn new(bytes: &[u8]) -> Result<Self, CallError> {
        let file = in_memory(bytes)?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Ok(Self { path, _file: file })
    }

    /// Where it is as long as this value lives.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

/// A program that runs, and is ended with its group when nobody listens any more.
#[derive(Debug)]
struct Running(Child);

impl Running {
    /// Takes what the program says until it ends.
    fn listen(&mut self, limit: Duration) -> Result<Said, CallError> {
        let deadline = Instant::now() + limit;
        let pid = Pid::from_child(&self.0);
        let ended = pidfd_open(pid, PidfdFlags::empty())?;
        let mut out = Stream::new(self.0.stdout.take().map(OwnedFd::from))?;
        let mut err = Stream::new(self.0.stderr.take().map(OwnedFd::from))?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(CallError::TooSlow(limit));
            }
            let is_over = wait(&ended, [&out, &err], left)?;
            // What was said before the end is in the pipes; what a grandchild says later is not awaited.
            out.take()?;
            err.take()?;
            if is_over {
                let status = self.0.wait().map_err(CallError::Io)?;
                let err = String::from_utf8_lossy(&err.said).into_owned();
                return Ok(Said { status, out: out.said, err });
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // It may have ended since: then there is nobody to kill.
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            drop(self.0.kill());
            drop(self.0.wait());
        }
    }
}

/// Waits until the program ends (then true) or says something.
fn wait(ended: &OwnedFd, streams: [&Stream; 2], left: Duration) -> Result<bool, CallError> {
    let mut fds = vec![PollFd::new(ended, PollFlags::IN)];
    let open = streams.into_iter().filter_map(|stream| stream.pipe.as_ref());
    fds.extend(open.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
    let left = Timespec::try_from(left).map_err(io::Error::other).map_err(CallError::Io)?;
    match poll(&mut fds, Some(&left)) {
        Ok(_) => Ok(fds.first().is_some_and(|fd| fd.revents().contains(PollFlags::IN))),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// One stream of a program: its pipe until its end, and what came out of it.
#[derive(Debug)]
struct Stream {
    pipe: Option<File>,
    said: Vec<u8>,
}

impl Stream {
    fn new(pipe: Option<OwnedFd>) -> Result<Self, CallError> {
        if let Some(pipe) = &pipe {
            let flags = fcntl_getfl(pipe.as_fd())?;
            fcntl_setfl(pipe.as_fd(), flags | OFlags::NONBLOCK)?;
        }
        Ok(Self { pipe: pipe.map(File::from), said: Vec::new() })
    }

    /// Takes what is in the pipe now.
    fn take(&mut self) -> Result<(), CallError> {
        let Some(pipe) = &mut self.pipe else { return Ok(()) };
        let mut piece = [0; 16 << 10];
        loop {
            match pipe.read(&mut piece) {
                Ok(0) => {
                    self.pipe = None;
                    return Ok(());
                }
                Ok(count) if self.said.len() + count > MAX_SAID_BYTES => {
                    return Err(CallError::TooLong);
                }
                Ok(count) => self.said.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(CallError::Io(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str, input: &[u8], limit: Duration) -> Result<Said, CallError> {
        let words = [OsStr::new("-c"), OsStr::new(line)];
        call(&Call { program: OsStr::new("sh"), words: &words, input, limit })
    }

    #[test]
    fn gives_what_was_said_on_both_streams_and_how_it_ended() {
        let said = shell("cat; echo oops >&2; exit 3", b"hello", Duration::from_secs(60)).unwrap();
        assert_eq!((said.out.as_slice(), said.err.as_str()), (&b"hello"[..], "oops\n"));
        assert_eq!(said.status.code(), Some(3));
    }

    #[test]
    fn a_program_reads_two_documents_as_often_as_it_likes() {
        let paper = Paper::new(b"second").unwrap();
        let line = format!("cat - {0} {0}", paper.path());
        let said = shell(&line, b"first ", Duration::from_secs(60)).unwrap();
        assert_eq!(said.out, b"first secondsecond");
    }

    #[test]
    fn ends_a_program_that_does_not_answer_with_what_it_started() {
        let error = shell("sleep 1000 & wait", b"", Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.to_string(), "did not answer within 50ms");
    }

    #[test]
    fn does_not_wait_for_a_grandchild_that_keeps_the_pipe_open() {
        let said = shell("sleep 1000 & echo $!", b"", Duration::from_secs(60)).unwrap();
        let pid = String::from_utf8(said.out).unwrap();
        shell(&format!("kill {pid}"), b"", Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn stops_listening_to_one_that_never_ends() {
        let error = shell("yes", b"", Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.to_string(), "said more than 16777216 bytes");
    }

    #[test]
    fn tells_a_program_that_is_missing_from_one_that_was_killed() {
        let none = Call {
            program: OsStr::new("/nonexistent/virsh"),
            words: &[],
            input: b"",
            limit: Duration::from_secs(60),
        };
        assert_eq!(call(&none).unwrap_err().to_string(), "is not installed");
        let error = shell("kill -9 $$", b"", Duration::from_secs(60)).unwrap_err();
        assert_eq!(error.to_string(), "was ended by signal 9");
    }
}
