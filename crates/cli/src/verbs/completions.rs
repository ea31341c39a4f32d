//! `completions`: what a shell needs to complete a command line.

use clap::CommandFactory as _;
use serde::Serialize;

use crate::{
    args::{Cli, CompletionsArgs},
    report::Report,
};

#[derive(Debug, Serialize)]
struct Data {
    shell: String,
    script: String,
}

/// Writes the script of one shell.
pub(super) fn run(args: &CompletionsArgs) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "relift", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    Report::new(script.clone(), &Data { shell: args.shell.to_string(), script })
}
