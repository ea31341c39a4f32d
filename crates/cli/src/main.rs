//! The command line of relift: arguments in, words out; no rule of the domain.
//!
//! ```text
//! argv --args--> Command --verbs--> Report | Failure --session--> stdout: text or one JSON document
//!                  |  flags --choices--> Choices                  stderr: warnings, progress, errors
//!                  |                                              exit code
//!                  \--> restore, convert, disk  --progress, events, signals--> Gauge
//! ```
//!
//! The clock, the environment and signals are read here and nowhere below. Before anything is read that
//! somebody else wrote, the program gives up what the command does not need: [`sandbox`].

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
mod reach;
mod report;
mod request;
mod sample;
mod sandbox;
mod session;
mod show;
mod signals;
mod stdin;
mod usage;
mod verbs;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;
use host::limits;

use crate::{args::Cli, session::Session, show::Show};

fn main() -> ExitCode {
    limits::raise_open_files();
    limits::forbid_core_files();
    let typed: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&typed) {
        Ok(cli) => cli,
        Err(error) => return usage::end(&error, &typed),
    };
    match Session::open(&cli, typed) {
        Ok(session) => session.end(verbs::run(&cli.command, &session)),
        Err(failure) => {
            let show = Show::new(cli.global.color, show::Volume::Usual);
            usage::refuse(&show, &failure, cli.command.verb(), cli.global.json)
        }
    }
}
