//! strace, which ends and fails the program at a call of the kernel.

use std::io::Write as _;

use crate::bench::Bench;

/// Whether strace can be used here. A system that forbids it is none that an oracle is missing on: the
/// skip is said, and is no failure.
pub(crate) fn can_trace() -> bool {
    let bench = Bench::empty();
    let Some(_) = testkit::oracle("strace", ["--version"]) else { return false };
    let traced =
        bench.shell("strace -f -qq -o trace -e trace=fsync -e inject=fsync:error=EIO true");
    if traced.code != Some(0) {
        // Not `eprintln`, which a passing test keeps to itself.
        let why = traced.stderr.trim();
        let mut stderr = std::io::stderr();
        writeln!(stderr, "skipped: strace may not be used here: {why}").unwrap();
    }
    traced.code == Some(0)
}
