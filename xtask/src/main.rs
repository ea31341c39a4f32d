//! The chores of this repository: `cargo xtask check` before each commit.
//!
//! ```text
//! cargo xtask check  -> fmt -> layers -> clippy -> test -> doc -> deny     stops at the first failure
//! cargo xtask layers -> cargo metadata -> crates and arrows -> judge       which arrows point upwards
//! cargo xtask sbom   -> cargo metadata, Cargo.lock -> CycloneDX            what is linked into relift
//! ```

mod check;
mod clippy;
mod deny;
mod doc;
mod fmt;
mod layers;
mod program;
mod sbom;
mod test;

use std::{path::Path, process::ExitCode};

use anyhow::{Result, bail};

const USAGE: &str =
    "usage: cargo xtask check    all steps: formatting, layers, lints, tests, docs, licences
       cargo xtask layers   the floors of the crates only
       cargo xtask sbom     what is linked into relift, as CycloneDX 1.5: to stdout, or -o FILE";

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
        [verb] if verb == "sbom" => sbom::run(None),
        [verb, flag, file] if verb == "sbom" && flag == "-o" => sbom::run(Some(Path::new(file))),
        _ => bail!("{USAGE}"),
    }
}
