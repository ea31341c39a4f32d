//! SIGINT and SIGTERM: the first one stops cleanly, the second at once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    thread,
};

use code::ExitStatus;
use rustix::process::Signal;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
    iterator::Signals,
};

use crate::{leftovers::Leftovers, show};

/// Whether somebody said stop.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    /// The exit status that the signal asks for; 0 as long as there was none.
    exit: AtomicU8,
}

impl Stop {
    /// Whether the work must end now.
    pub(crate) fn is_asked(&self) -> bool {
        self.exit.load(Ordering::Relaxed) != 0
    }

    /// The exit status of a run that was stopped.
    pub(crate) fn exit(&self) -> Option<ExitStatus> {
        match self.exit.load(Ordering::Relaxed) {
            0 => None,
            number if number == ExitStatus::Terminated.number() => Some(ExitStatus::Terminated),
            _ => Some(ExitStatus::Interrupted),
        }
    }

    /// Takes a signal; says whether it is the first one.
    pub(crate) fn take(&self, signal: i32) -> bool {
        let exit = if signal == SIGTERM { ExitStatus::Terminated } else { ExitStatus::Interrupted };
        self.exit.swap(exit.number(), Ordering::Relaxed) == 0
    }
}

/// Signals that are kept until somebody listens.
#[derive(Debug)]
pub(crate) struct Caught(Signals);

/// Takes signals from now on, and starts no thread yet.
///
/// SIGXFSZ is taken as well, and nothing is done about it: a write over the limit of file sizes
/// then fails like any other, instead of ending the process with its files half written.
pub(crate) fn catch() -> io::Result<Caught> {
    flag::register(Signal::XFSZ.as_raw(), Arc::default())?;
    Ok(Caught(Signals::new([SIGINT, SIGTERM])?))
}

/// Takes the signals that end a program, and does nothing about them.
pub(crate) fn outlive() -> io::Result<()> {
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        flag::register(signal, Arc::default())?;
    }
    Ok(())
}

/// Listens on a thread of its own for the rest of the run, to what was caught already as well.
pub(crate) fn listen(caught: Caught, stop: Arc<Stop>, left: Arc<Leftovers>) -> io::Result<()> {
    let Caught(mut signals) = caught;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if !stop.take(signal) {
                at_once(stop.exit().unwrap_or(ExitStatus::Interrupted), &left);
            }
        }
    })?;
    Ok(())
}

#[expect(clippy::exit, reason = "asked twice, nothing may be waited for any more")]
fn at_once(exit: ExitStatus, left: &Leftovers) {
    show::stopped_at_once(&left.list());
    std::process::exit(i32::from(exit.number()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_asks_and_the_second_insists() {
        let stop = Stop::default();
        assert!(!stop.is_asked() && stop.exit().is_none());
        assert!(stop.take(SIGTERM));
        assert_eq!(stop.exit(), Some(ExitStatus::Terminated));
        assert!(!stop.take(SIGINT));
        assert_eq!(stop.exit(), Some(ExitStatus::Interrupted));
    }
}
