//! Programs of others that judge what ours writes, where they are installed.

use std::{
    ffi::OsStr,
    io::{self, Write as _},
    process::{Command, Output},
};

/// Runs a judge; `None`, said aloud, where it is not installed.
///
/// With `RELIFT_REQUIRE_ORACLES=1` in the environment a missing one is a failure.
pub fn oracle<W: AsRef<OsStr>>(
    program: &str,
    words: impl IntoIterator<Item = W>,
) -> Option<Output> {
    match oracle_command(program).args(words).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            skip_oracle(program, "not installed");
            None
        }
        Err(error) => panic!("{program} does not start: {error}"),
    }
}

/// A command of a judge, for a test that talks with it while it runs.
#[must_use]
pub fn oracle_command(program: &str) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the one wrapper for the judges of all tests")]
    Command::new(program)
}

/// Says aloud that a judge cannot judge, and fails where it has to.
pub fn skip_oracle(program: &str, why: &str) {
    let is_required = std::env::var_os("RELIFT_REQUIRE_ORACLES").is_some_and(|value| value == "1");
    assert!(!is_required, "{program}: {why}, and RELIFT_REQUIRE_ORACLES is 1");
    // The test harness would hide what `eprintln!` writes; a skip has to be seen.
    let words = format!("skipped: {program}: {why}\n");
    io::stderr().write_all(words.as_bytes()).expect("standard error is open");
}
