//! The chores of this repository: `cargo xtask check` before each commit.
//!
//! ```text
//! cargo xtask check  -> fmt -> layers -> clippy -> test -> doc -> deny     stops at the first failure
//! cargo xtask layers -> cargo metadata -> crates and arrows -> judge       which arrows point upwards
//! ```

mod check;
mod clippy;
mod deny;
mod doc;
mod fmt;
mod layers;
mod program;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str =
    "usage: cargo xtask check    all steps: formatting, layers, lints, tests, docs, licences
       cargo xtask layers   the floors of the crates only";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            program::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    match arguments {
        [verb] if verb == "check" => check::run(check::ALL),
        [verb] if verb == "layers" => check::run(&[layers::STEP]),
        _ => bail!("{USAGE}"),
    }
}
