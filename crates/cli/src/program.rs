//! One run of the program, from its arguments to its exit status.

use std::{ffi::OsString, process::ExitCode};

use clap::Parser as _;
use host::{limits, worker};

use crate::{
    args::{Cli, Command},
    session::Session,
    show::{self, Show},
    usage, verbs,
};

/// Does what the command line of this process says.
#[must_use]
pub fn run() -> ExitCode {
    limits::raise_open_files();
    limits::forbid_core_files();
    // Where whoever started this process has ended, nobody waits for what it would do.
    if worker::follow_parent(|name| std::env::var_os(name)).is_err() {
        return ExitCode::FAILURE;
    }
    let typed: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&typed) {
        Ok(cli) => cli,
        Err(error) => return usage::end(&error, &typed),
    };
    if let Command::Guard(args) = &cli.command {
        return verbs::guard(args, cli.global.connect.as_deref().unwrap_or_default());
    }
    match Session::open(&cli, typed) {
        Ok(session) => session.end(verbs::run(&cli.command, &session)),
        Err(failure) => {
            let show = Show::new(cli.global.color, show::Volume::Usual);
            usage::refuse(&show, &failure, cli.command.verb(), cli.global.json)
        }
    }
}
