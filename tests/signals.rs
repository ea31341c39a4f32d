//! Stopping a run in the middle: the writer of a pipe goes silent, so the run is surely not over.

use std::{
    io::Write as _,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use testkit::{MIB, Package};

use crate::bench::{Bench, RELIFT, Run};

/// The longest that a run may take to begin a disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// A disk of which half does not fit into the buffers of a pipe.
const DISK_BYTES: u64 = 32 * MIB;

/// Waits until the first disk is being written.
fn wait_for_partial(bench: &Bench, child: &mut Child) {
    let begun = Instant::now();
    while !bench.files("out").iter().any(|name| name.contains(".partial-")) {
        assert!(begun.elapsed() < PATIENCE && child.try_wait().unwrap().is_none(), "no disk begun");
        std::thread::yield_now();
    }
}

fn stopped_by(signal: Signal, more: &[&str]) -> (Bench, Run) {
    let bench = Bench::empty();
    let ova = Package::small("vm", DISK_BYTES).ova();
    let mut command = bench.command(RELIFT);
    command.args(["convert", "-", "-o", "out"]).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&ova[..ova.len() / 2]).unwrap();
    wait_for_partial(&bench, &mut child);
    kill_process(Pid::from_child(&child), signal).unwrap();
    let run = Run::of(&child.wait_with_output().unwrap());
    drop(input);
    (bench, run)
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    for (signal, exit) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (bench, run) = stopped_by(signal, &[]);
        assert_eq!(run.code, Some(exit), "{run:?}");
        assert_eq!(run.stderr, "error: stopped on request\n");
        assert!(!bench.path("out").exists(), "{:?}", bench.files(""));
    }
}

#[test]
fn an_interrupted_run_says_what_it_was_asked_to_keep() {
    let (bench, run) = stopped_by(Signal::INT, &["--keep-partial"]);
    assert_eq!(run.code, Some(130), "{run:?}");
    let [file] = bench.files("out").try_into().unwrap();
    assert!(
        run.stderr.contains(&format!("left behind  {}", bench.path(&file).display())),
        "{run:?}"
    );
}
