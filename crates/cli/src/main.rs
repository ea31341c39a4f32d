//! The command line of relift: arguments in, words out; no rule of the domain.
//!
//! ```text
//! argv --args--> Command --verbs--> Report | Failure --session--> stdout: text or one JSON document
//!                  |  flags --choices--> Choices                  stderr: warnings, progress, errors
//!                  |                                              exit code
//!                  \--> restore, convert, disk  --progress, events, signals--> Gauge
//! ```
//!
//! The clock, the environment and signals are read here and nowhere below.

mod args;
mod choices;
mod clock;
mod events;
mod failure;
mod hypervisor;
mod json;
mod leftovers;
mod plan_file;
mod progress;
mod report;
mod request;
mod sample;
mod session;
mod show;
mod signals;
mod stdin;
mod usage;
mod verbs;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{args::Cli, session::Session, show::Show};

fn main() -> ExitCode {
    raise_file_limit();
    // Then nobody waits for what this process would do.
    if host::worker::follow_parent(|name| std::env::var_os(name)).is_err() {
        return ExitCode::FAILURE;
    }
    let typed: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&typed) {
        Ok(cli) => cli,
        Err(error) => return usage::end(&error, &typed),
    };
    match Session::open(&cli.global, cli.command.verb(), typed) {
        Ok(session) => session.end(verbs::run(&cli.command, &session)),
        Err(failure) => {
            let show = Show::new(cli.global.color, show::Volume::Usual);
            usage::refuse(&show, &failure, cli.command.verb(), cli.global.json)
        }
    }
}

/// Lets this process have as many files open as it may: a disk that is split at 2 GiB has one for each
/// of its parts, and the usual soft limit of 1024 ends at 2 TiB.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, opening the file that is one too many says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}
