//! The guard itself: it waits for a word, the end of its pipe or its deadline, and thaws.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::setsid,
};
use vm::Uuid;

use super::{ARMED, DONE, FAILED, FIRED, Outcome, QUIET};
use crate::libvirt::{Agent, Guest, Libvirt, LibvirtError, LibvirtKind, Power};

/// How long a thaw may take: a minute on Windows.
const THAW_LIMIT: Duration = Duration::from_secs(60);

/// How long it is tried in all (ours).
const TRY_LIMIT: Duration = Duration::from_secs(60);

/// How long is waited before it is tried again (ours).
const PAUSE: Duration = Duration::from_millis(500);

/// Is a guard: waits, thaws where it has to, and says on standard output what it did.
///
/// The caller has made sure that no signal ends the process.
///
/// # Errors
/// The address is none, or standard input and output are not there.
pub fn keep(uri: &str, machine: Uuid, deadline: Duration) -> io::Result<Outcome> {
    let host = Libvirt::at(uri).map_err(io::Error::other)?;
    // A leader of a group cannot have a session of its own; then the group keeps signals away.
    let _session = setsid();
    say(ARMED);
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let outcome = if is_called_off(input, deadline)? {
        Outcome::Quiet
    } else {
        thaw(&host, machine, TRY_LIMIT)
    };
    match &outcome {
        Outcome::Quiet => say(QUIET),
        Outcome::Fired => say(FIRED),
        Outcome::Failed(why) => say(&format!("{FAILED}{}", why.replace('\n', " "))),
    }
    Ok(outcome)
}

/// Tells the owner, who may be gone.
fn say(line: &str) {
    let mut out = io::stdout();
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// Waits until the owner has said that it is done (then true), has ended, or the time is over.
fn is_called_off(input: OwnedFd, limit: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + limit;
    let mut input = File::from(input);
    let (mut heard, mut piece) = (Vec::new(), [0; DONE.len()]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(&input, PollFlags::IN)];
        match poll(&mut fds, Some(&wait)) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        let count = input.read(&mut piece)?;
        heard.extend_from_slice(&piece[..count]);
        if heard == DONE {
            return Ok(true);
        }
        if count == 0 || !DONE.starts_with(&heard) {
            return Ok(false);
        }
    }
}

/// Thaws the machine, again and again while nobody answers.
fn thaw<H: Agent + Guest>(host: &H, machine: Uuid, limit: Duration) -> Outcome {
    let deadline = Instant::now() + limit;
    loop {
        match host.thaw(machine, THAW_LIMIT) {
            Ok(_) => return Outcome::Fired,
            Err(error) if error.kind() == LibvirtKind::UnknownId => return Outcome::Fired,
            // Nothing is frozen in a machine that is off. One that is paused may go on.
            Err(_) if matches!(host.power(machine), Ok(Power::Off)) => return Outcome::Fired,
            Err(error) if Instant::now() >= deadline => return Outcome::Failed(words(&error)),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// An error with what is behind it.
fn words(error: &LibvirtError) -> String {
    let cause = std::error::Error::source(error);
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::fake::{Fake, FakeGuest};

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn only_the_whole_word_calls_it_off() {
        for (words, want) in
            [("done\n", true), ("done", false), ("", false), ("no\n", false), ("done\n\n", true)]
        {
            let (read, mut write) = UnixStream::pair().unwrap();
            write.write_all(words.as_bytes()).unwrap();
            drop(write);
            assert_eq!(is_called_off(read.into(), LONG).unwrap(), want, "{words:?}");
        }
    }

    #[test]
    fn the_deadline_is_an_answer_too() {
        let (read, _write) = UnixStream::pair().unwrap();
        assert!(!is_called_off(read.into(), Duration::from_millis(1)).unwrap());
    }

    #[test]
    fn thaws_until_the_agent_answers() {
        let machine = Uuid::from_digest(&[7; 32]);
        let frozen = FakeGuest { is_frozen: true, ..FakeGuest::default() };
        let fake = Fake::new(Some(0)).with_guest(frozen);
        assert_eq!(thaw(&fake, machine, LONG), Outcome::Fired);
        assert_eq!(fake.acts(), ["thaw", "thaw"]);
        assert!(!fake.guest().is_frozen);
    }

    #[test]
    fn a_machine_that_is_off_is_not_waited_for() {
        let machine = Uuid::from_digest(&[7; 32]);
        let off = FakeGuest { power: Power::Off, is_frozen: true, ..FakeGuest::default() };
        let fake = Fake::new(None).with_guest(off);
        assert_eq!(thaw(&fake, machine, LONG), Outcome::Fired);
    }

    #[test]
    fn gives_up_when_the_time_is_over_and_says_why() {
        let machine = Uuid::from_digest(&[7; 32]);
        let silent = FakeGuest { has_agent: false, is_frozen: true, ..FakeGuest::default() };
        let fake = Fake::new(None).with_guest(silent);
        let failed = Outcome::Failed("the test does not have an agent".into());
        assert_eq!(thaw(&fake, machine, Duration::ZERO), failed);
    }
}
