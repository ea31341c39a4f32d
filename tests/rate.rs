//! `--limit-rate`: what is written is the same, who waits can be stopped, and a batch shares the rate.

use std::{
    fs,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use testkit::{MIB, Package};

use crate::bench::{Bench, RELIFT, Run};

/// The longest that something may take to come about.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a command line without blanks in its words.
fn line(bench: &Bench, line: &str) -> Run {
    bench.run(line.split_whitespace())
}

fn started(bench: &Bench, line: &str) -> Child {
    let mut command = bench.command(RELIFT);
    command.args(line.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits for something that a process does, which goes on without end.
fn wait_for<T>(child: &mut Child, found: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not come about");
        assert!(child.try_wait().unwrap().is_none(), "it ended before");
        std::thread::yield_now();
    }
}

/// Stops a run as Ctrl-C does.
fn interrupt(child: Child) -> Run {
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    Run::of(&child.wait_with_output().unwrap())
}

#[test]
fn a_rate_that_is_none_is_refused_by_every_command_that_takes_one() {
    let bench = Bench::empty();
    for command in [
        "convert a.ova -o out",
        "import a.ova --to dir:out",
        "restore a.tar --to dir:out",
        "batch run b.toml",
        "batch retry b.toml",
        "backup create web01",
        "backup append a.tar",
        "job add n --all",
    ] {
        for rate in ["0", "fast", "50M/h"] {
            let run = line(&bench, &format!("{command} --limit-rate {rate}"));
            assert_eq!(run.code, Some(2), "{run:?}");
            let told = format!(
                "error: invalid value '{rate}' for '--limit-rate <RATE>': \
                 not a rate such as 50M, 200MiB/s or 1GB/s\n"
            );
            assert!(run.stderr.starts_with(&told), "{command}: {run:?}");
        }
    }
}

#[test]
fn whatever_the_source_is_the_same_is_written_at_a_limited_rate() {
    let bench = Bench::empty();
    bench.package("a.ova");
    let backup = line(&bench, "convert a.ova -o a.tar.zst --net user");
    assert_eq!(backup.code, Some(0), "{backup:?}");
    let unpacked = bench.shell("mkdir folder && tar -xf a.ova -C folder && gzip -k a.ova");
    assert_eq!(unpacked.code, Some(0), "{unpacked:?}");
    for command in [
        "relift convert a.ova -o out --net user",
        "relift convert a.ova -o out --net user --verify full",
        "relift convert folder -o out --net user",
        "relift convert a.ova.gz -o out --net user",
        "relift convert - -o out --net user < a.ova",
        "relift import a.ova --to dir:out --net user",
        "relift restore a.tar.zst --to dir:out",
    ] {
        let mut disks = ["", "--limit-rate 1GiB/s"].into_iter().map(|rate| {
            let run = bench.shell(&command.replacen(" --", &format!(" {rate} --"), 1));
            assert_eq!(run.code, Some(0), "{command}: {run:?}");
            let disk = bench.read("out/vm-disk0.qcow2");
            fs::remove_dir_all(bench.path("out")).unwrap();
            disk
        });
        assert!(disks.next() == disks.next(), "{command}");
    }
}

#[test]
fn a_damaged_backup_is_found_at_a_limited_rate() {
    let bench = Bench::empty();
    bench.package("a.ova");
    assert_eq!(line(&bench, "convert a.ova -o a.tar --net user").code, Some(0));
    let mut bytes = bench.read("a.tar");
    let data = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let middle = data / 2;
    bytes[middle] ^= 1;
    bench.write("a.tar", &bytes);
    let run = line(&bench, "restore a.tar --to dir:out --limit-rate 1GiB/s");
    assert_eq!(run.code, Some(5), "{run:?}");
    assert!(run.stderr.starts_with("error[E0605]: "), "{run:?}");
}

#[test]
fn a_run_that_waits_for_its_rate_can_be_stopped() {
    let bench = Bench::empty();
    bench.write("a.ova", &Package::small("vm", 32 * MIB).ova());
    let mut child = started(&bench, "convert a.ova -o out --net user --limit-rate 1M/s");
    wait_for(&mut child, || {
        bench.files("out").iter().any(|name| name.contains(".partial-")).then_some(())
    });
    let run = interrupt(child);
    assert_eq!((run.code, run.stderr.as_str()), (Some(130), "error: stopped on request\n"));
    assert!(!bench.path("out").exists(), "{:?}", bench.files(""));
}

/// The command lines of the processes that work for this one.
fn workers_of(pid: u32) -> Vec<String> {
    let mark = format!("RELIFT_WORKER_OF={pid}");
    let mut lines = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let read = |name: &str| fs::read(process.path().join(name)).unwrap_or_default();
        if read("environ").split(|byte| *byte == 0).any(|one| one == mark.as_bytes()) {
            lines.push(String::from_utf8_lossy(&read("cmdline")).replace('\0', " "));
        }
    }
    lines
}

#[test]
fn the_items_of_a_batch_share_its_rate() {
    for (jobs, each) in [(1, 4096), (2, 2048), (8, 1365)] {
        let bench = Bench::empty();
        for name in ["a.ova", "b.ova", "c.ova"] {
            bench.package(name);
        }
        let planned = line(&bench, "batch plan . --to dir:out -o b.toml --net user");
        assert_eq!(planned.code, Some(0), "{planned:?}");
        let flags = format!("--jobs {jobs} --limit-rate 4KiB/s");
        let mut child = started(&bench, &format!("batch run b.toml {flags}"));
        let pid = child.id();
        let told = wait_for(&mut child, || {
            workers_of(pid).into_iter().find(|line| line.contains(" import "))
        });
        let run = interrupt(child);
        assert!(told.contains(&format!(" --limit-rate={each} -- ")), "{told}");
        assert_eq!(run.code, Some(130), "{run:?}");
    }
}
