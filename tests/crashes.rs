//! A run that is killed at any of its acts, and one that meets a full disk at any of them.
//!
//! `strace` ends or fails the n-th call of each kind, until there is none left; on a host, where the
//! acts are those of virsh, the script that plays it kills the program.

use std::{collections::BTreeMap, process::Command};

use bundle::Form;

use crate::{
    bench::{Bench, RELIFT, Run},
    tracing::can_trace,
    tree,
    virsh::Hosted,
};

/// The calls by which files are filled, made durable and named; the programs of a host make none.
const CALLS: [&str; 4] = ["ftruncate", "pwrite64", "fsync", "renameat2"];

/// More calls of one kind than a thread of a small run has.
const MAX_CALLS: usize = 200;

/// What strace does to a call.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    /// The program is gone before the call is made.
    Kill,
    /// The call says that the file system is full.
    Full,
}

impl Fault {
    fn told(self) -> &'static str {
        match self {
            Self::Kill => "signal=SIGKILL",
            Self::Full => "error=ENOSPC",
        }
    }
}

/// Runs the program with a fault in the n-th call of a kind that one of its threads makes.
fn faulty(mut command: Command, line: &str, (call, number, fault): (&str, usize, Fault)) -> Run {
    let inject = format!("inject={call}:{}:when={number}", fault.told());
    command.args(["-f", "-qq", "-o", "trace", "-e", &format!("trace={call}")]);
    command.args(["-e", &inject, RELIFT]).args(line.split(' '));
    Run::of(&command.output().unwrap())
}

/// strace in the bench's folder.
fn strace(bench: &Bench) -> Command {
    bench.command("strace")
}

/// The files below a folder that have their final names, with their bytes.
fn finished(bench: &Bench, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let names = bench.files(folder).into_iter().filter(|name| !name.contains(".partial-"));
    names.map(|name| (name.clone(), bench.read(&name))).collect()
}

/// Runs the line with a fault at each call of each kind in turn; `after` sees each run that was
/// disturbed. Says how many there were.
fn at_every_call(
    strace: impl FnMut() -> Command,
    run: (&str, Fault),
    after: impl FnMut(&str, &Run),
) -> usize {
    at_every_one_of(&CALLS, strace, run, after)
}

/// The same for other calls.
pub(crate) fn at_every_one_of(
    calls: &[&str],
    mut strace: impl FnMut() -> Command,
    (line, fault): (&str, Fault),
    mut after: impl FnMut(&str, &Run),
) -> usize {
    let mut disturbed = 0;
    for call in calls {
        let mut number = 1;
        loop {
            assert!(number < MAX_CALLS, "{call} has no end");
            let run = faulty(strace(), line, (call, number, fault));
            let is_over = run.code == Some(0);
            after(&format!("{call} {number}"), &run);
            if is_over {
                break;
            }
            disturbed += 1;
            number += 1;
        }
    }
    disturbed
}

#[test]
fn a_conversion_that_is_killed_anywhere_leaves_whole_files_and_succeeds_the_next_time() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let line = "convert fixtures/demo.ova -o out --net user --jobs 1";
    assert_eq!(bench.run(line.split(' ')).code, Some(0));
    let whole = finished(&bench, "out");
    std::fs::remove_dir_all(bench.path("out")).unwrap();
    let killed = at_every_call(
        || strace(&bench),
        (line, Fault::Kill),
        |at, run| {
            assert!(run.code.is_none() || run.code == Some(0), "{at}: {run:?}");
            let left = finished(&bench, "out");
            for (name, bytes) in &left {
                assert!(whole.get(name) == Some(bytes), "{at}: {name} is not whole");
            }
            let has_result = left.contains_key("out/relift.result.json");
            assert_eq!(has_result, left.len() == whole.len(), "{at}: {:?}", left.keys());
            let again = bench.run(line.split(' ').chain(["--force"]));
            assert_eq!(again.code, Some(0), "{at}: {again:?}");
            assert!(finished(&bench, "out") == whole, "{at}");
            assert_eq!(bench.files("out").len(), whole.len(), "{at}: something unfinished is left");
            std::fs::remove_dir_all(bench.path("out")).unwrap();
        },
    );
    assert!(killed > 15, "only {killed} runs were killed");
}

#[test]
fn a_full_disk_at_any_call_leaves_nothing() {
    if !can_trace() {
        return;
    }
    let bench = Bench::new();
    let line = "convert fixtures/demo.ova -o out --net user --jobs 1";
    let failed = at_every_call(
        || strace(&bench),
        (line, Fault::Full),
        |at, run| {
            if run.code == Some(0) {
                return std::fs::remove_dir_all(bench.path("out")).unwrap();
            }
            assert_eq!(run.code, Some(8), "{at}: {run:?}");
            assert!(run.stderr.contains("error[E0506]: "), "{at}: {run:?}");
            assert!(!bench.path("out").exists(), "{at}: {:?}", bench.files("out"));
        },
    );
    assert!(failed > 15, "only {failed} runs failed");
}

#[test]
fn a_backup_file_is_whole_or_not_there_after_a_kill_or_a_full_disk_at_any_call() {
    if !can_trace() {
        return;
    }
    let dated = |mut command: Command| {
        command.env("SOURCE_DATE_EPOCH", "1");
        command
    };
    for out in ["out.tar", "out.tar.zst"] {
        let line = format!("convert fixtures/demo.ova -o {out} --net user --jobs 1");
        for fault in [Fault::Kill, Fault::Full] {
            let bench = Bench::new();
            let run = dated(bench.command(RELIFT)).args(line.split(' ')).output().unwrap();
            assert!(run.status.success(), "{run:?}");
            let whole = bench.read(out);
            std::fs::remove_file(bench.path(out)).unwrap();
            let disturbed = at_every_call(
                || dated(strace(&bench)),
                (&line, fault),
                |at, run| {
                    let is_there = bench.path(out).exists();
                    assert!(!is_there || bench.read(out) == whole, "{at}: {out} is not whole");
                    if matches!(fault, Fault::Full) && run.code != Some(0) {
                        assert_eq!(run.code, Some(8), "{at}: {run:?}");
                        let left = bench.files(".");
                        let left = left.iter().any(|name| name.contains(out));
                        assert!(!left, "{at}: {out} left something behind");
                    }
                    if is_there {
                        std::fs::remove_file(bench.path(out)).unwrap();
                    }
                },
            );
            assert!(disturbed > 5, "{out}: only {disturbed} runs were disturbed");
        }
    }
}

/// Every machine of the host has its disks, and they are the images of a run that nobody disturbed.
fn is_whole(host: &Hosted, whole: &BTreeMap<String, Vec<u8>>, at: &str) {
    let there = finished(&host.bench, "host/images");
    for (name, bytes) in &there {
        assert!(whole.get(name) == Some(bytes), "{at}: {name} is not whole");
    }
    for xml in host.machines() {
        let disks = xml.split("file=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for disk in disks {
            assert!(std::path::Path::new(disk).exists(), "{at}: {disk} is not there");
        }
    }
}

/// Takes everything off the host.
fn sweep(host: &Hosted) {
    for what in ["machines", "snapshots", "active", "images"] {
        let folder = host.bench.path(&format!("host/{what}"));
        if folder.exists() {
            std::fs::remove_dir_all(&folder).unwrap();
        }
        std::fs::create_dir(&folder).unwrap();
    }
    std::fs::write(host.bench.path("host/said"), "").unwrap();
}

/// A host with something to bring to it, and the line that brings it.
fn subjects() -> [(Hosted, String); 2] {
    let appliance = Hosted::new();
    let import = "import fixtures/demo.ova --net user --pool images --jobs 1 --on-conflict rename";
    let backup = Hosted::beside(Bench::empty());
    let file = tree::write(&backup.bench, Form::TarZst);
    let restore = format!("restore {file} --pool images --jobs 1 --on-conflict rename");
    [(appliance, import.to_owned()), (backup, restore)]
}

#[test]
fn a_host_holds_no_half_machine_after_a_kill_while_files_are_written() {
    if !can_trace() {
        return;
    }
    for (host, line) in subjects() {
        assert_eq!(host.run(&line).code, Some(0));
        let whole = finished(&host.bench, "host/images");
        sweep(&host);
        let killed = at_every_call(
            || host.command("strace"),
            (&line, Fault::Kill),
            |at, run| {
                assert!(run.code.is_none() || run.code == Some(0), "{at}: {run:?}");
                is_whole(&host, &whole, at);
                assert_eq!(host.machines().len(), usize::from(run.code == Some(0)), "{at}");
                let again = host.run(&line);
                assert_eq!(again.code, Some(0), "{at}: {again:?}");
                sweep(&host);
            },
        );
        assert!(killed > 10, "only {killed} runs were killed");
    }
}

#[test]
fn a_host_holds_nothing_after_a_full_disk_at_any_call() {
    if !can_trace() {
        return;
    }
    for (host, line) in subjects() {
        at_every_call(
            || host.command("strace"),
            (&line, Fault::Full),
            |at, run| {
                if run.code != Some(0) {
                    assert_eq!(run.code, Some(8), "{at}: {run:?}");
                    assert!(run.stderr.contains("error[E0506]: "), "{at}: {run:?}");
                    assert!(host.is_empty(), "{at}: {:?}", host.bench.files("host"));
                }
                sweep(&host);
            },
        );
    }
}

#[test]
fn a_host_holds_no_half_machine_after_a_kill_at_any_of_its_acts() {
    for (host, line) in subjects() {
        assert_eq!(host.run(&format!("{line} --start")).code, Some(0));
        let (acts, whole) = (host.acts(), finished(&host.bench, "host/images"));
        sweep(&host);
        for (number, act) in acts.iter().enumerate() {
            for when in ["before", "after"] {
                let at = format!("{when} {act}");
                let earlier = acts[..number].iter().filter(|one| *one == act).count();
                host.set("kill", &format!("{at} {earlier}"));
                let run = host.run(&format!("{line} --start"));
                assert_eq!(run.code, None, "{at}: {run:?}");
                host.unset("kill");
                is_whole(&host, &whole, &at);
                let again = host.run(&line);
                assert_eq!(again.code, Some(0), "{at}: {again:?}");
                sweep(&host);
            }
        }
    }
}
