//! The process that thaws a machine whatever becomes of the one that froze it.

use std::{process::ExitCode, time::Duration};

use host::guard::{self, Outcome};

use crate::{args::GuardArgs, signals};

/// Waits beside another run of the program, which hears on a pipe what became of the machine.
///
/// There is no session: no words, no events, and no signal that ends it.
pub(crate) fn run(args: &GuardArgs, uri: &str) -> ExitCode {
    if signals::outlive().is_err() {
        return ExitCode::FAILURE;
    }
    match guard::keep(uri, args.machine, Duration::from_millis(args.deadline_ms)) {
        Ok(Outcome::Quiet | Outcome::Fired) => ExitCode::SUCCESS,
        Ok(Outcome::Failed(_)) | Err(_) => ExitCode::FAILURE,
    }
}
