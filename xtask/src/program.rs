//! Running other programs, and talking to the reader.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail};

/// Runs cargo at the root of the workspace and lets it talk to the reader.
pub(crate) fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let status = command()
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("`cargo {}` ended with {status}", arguments.join(" "));
    }
    Ok(())
}

/// Runs cargo at the root of the workspace and keeps what it prints.
pub(crate) fn cargo_output(arguments: &[&str]) -> Result<Output> {
    command().args(arguments).stdin(Stdio::null()).output().context("cargo does not start")
}

/// Says something to the reader, where cargo does too.
#[expect(clippy::print_stderr, reason = "the one place where xtask prints")]
pub(crate) fn say(line: &str) {
    eprintln!("{line}");
}

#[expect(clippy::disallowed_methods, reason = "the one place where xtask starts a program")]
fn command() -> Command {
    // Set by the cargo that runs us, so that no other toolchain is mixed in.
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command
}
