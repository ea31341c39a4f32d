//! One run of the program, from its arguments to its exit status.

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    args::Cli,
    session::Session,
    show::{self, Show},
    usage, verbs,
};

/// Does what the command line of this process says.
#[must_use]
pub fn run() -> ExitCode {
    raise_file_limit();
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
