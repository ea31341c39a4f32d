//! Backups of a machine that runs.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::guest::{DAY, IDS, Running, THEN};

#[test]
fn a_point_and_its_increment_are_told_listed_verified_and_restored() {
    let Some(running) = Running::new() else { return };
    let line = "backup create web01 --storage out --incrementable --dry-run";
    insta::assert_snapshot!("dry_run", without_room(&running.done(line, 0).stdout));
    assert_eq!(running.host.bench.files("out"), [""; 0]);
    assert_eq!(running.host.acts(), [""; 0]);
    running.begun();
    running.holds(1, "full");
    let line = "backup create web01 --storage out --mode incremental --json";
    let mut told: Value = serde_json::from_str(&running.done(line, 1).stdout).unwrap();
    assert_eq!(told["schema"], "relift.backup.create/1", "{told}");
    let backup = &mut told["data"]["backups"][0];
    for bytes in ["file_bytes", "added_bytes"] {
        assert!(backup[bytes].as_u64().unwrap() > 0);
        backup[bytes] = Value::from("BYTES");
    }
    insta::assert_snapshot!("create_json", serde_json::to_string_pretty(&told["data"]).unwrap());
    running.holds(1, "increment");
    running.restores(&IDS, "at the end");
    let listed = running.done("backup list --storage out", 9).stdout;
    assert!(listed.contains("web01-20261121-190500"), "{listed}");
}

#[test]
fn a_file_that_is_there_is_neither_replaced_nor_given_points_of_another_machine() {
    let Some(running) = Running::new() else { return };
    crate::points::write(&running.host.bench.path("theirs.tar"), bundle::Form::Tar);
    let before = running.host.bench.read("theirs.tar");
    for (mode, exit, said) in [
        ("auto", 8, "error[E0509]: theirs.tar is there already"),
        ("full", 8, "error[E0509]: theirs.tar is there already"),
        ("incremental", 4, "error[E0606]: theirs.tar is no backup of web01"),
    ] {
        let run = running.run(&format!("backup create web01 -o theirs.tar --mode {mode}"), 1);
        assert_eq!(run.code, Some(exit), "{run:?}");
        assert!(run.stderr.starts_with(said), "{run:?}");
    }
    let run = running.run("backup create web01 -o none.tar --mode incremental", 1);
    assert!(run.stderr.starts_with("error[E0606]: no increment is possible"), "{run:?}");
    assert_eq!(running.host.acts(), [""; 0], "the machine was not touched");
    assert_eq!(running.host.bench.read("theirs.tar"), before);
}

/// The text without the room that the disk of the test has.
fn without_room(text: &str) -> String {
    let is_room = |word: &str| word.ends_with("iB free)");
    let mut said = String::new();
    for line in text.lines() {
        let end = line.rfind(['(', ';']).filter(|_| is_room(line));
        said.push_str(end.map_or(line, |end| &line[..end]).trim_end());
        said.push('\n');
    }
    said
}

#[test]
fn a_run_that_is_killed_at_any_act_of_the_host_leaves_the_old_point_and_the_next_run_recovers() {
    let mut killed = 0;
    for act in ["backup-begin", "domjobabort", "checkpoint-delete"] {
        for when in ["before", "after"] {
            let Some(running) = Running::new() else { return };
            let at = format!("{when} {act}");
            running.begun();
            // The first run had one of each but the last.
            let earlier = u8::from(act != "checkpoint-delete");
            running.host.set("kill", &format!("{at} {earlier}"));
            let line = "backup create web01 --storage out --mode auto";
            let run = running.run(line, 1);
            assert_eq!(run.code, None, "{at}: {run:?}");
            running.host.unset("kill");
            // Up to the last act the new point is not there, and the run is done again.
            let is_published = act == "checkpoint-delete";
            running.restores(if is_published { &IDS } else { &IDS[..1] }, &at);
            let again = running.done(line, if is_published { 2 } else { 1 });
            let is_told = again.stdout.contains("which an interrupted run had left");
            assert!(is_told || is_published, "{at}: {again:?}");
            assert!(again.stdout.contains(", incremental while running"), "{at}: {again:?}");
            running.holds(1, &at);
            running.restores(&IDS, &at);
            killed += 1;
        }
    }
    assert_eq!(killed, 6);
}

#[test]
fn what_a_killed_run_only_began_goes_before_the_next_one_and_what_others_began_stays() {
    let Some(running) = Running::new() else { return };
    let bench = &running.host.bench;
    bench.write("out/web01-20261120-190500.tar.partial-7", b"half");
    let theirs = ["web01-b-20261120-190500.tar.partial-7", "web01.tar.partial-7"];
    for name in theirs {
        bench.write(&format!("out/{name}"), b"half");
    }
    let path = bench.path("out/web01-20261119-190500.tar.partial-8");
    let written = std::fs::File::create(&path).unwrap();
    rustix::fs::flock(&written, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let run = running.done("backup create web01 --storage out", 0);
    let gone = "removed /bench/out/web01-20261120-190500.tar.partial-7, a backup that an interrupted run had only begun";
    assert!(run.stdout.contains(&format!("  note      {gone}\n")), "{run:?}");
    let left = ["web01-20261119-190500.tar.partial-8", "web01-20261121-190500.tar"];
    let left = left.iter().chain(&theirs).map(|name| format!("out/{name}"));
    assert_eq!(bench.files("out"), left.collect::<Vec<_>>());
}

#[test]
fn the_last_backup_of_a_machine_gets_what_changed_and_so_does_a_copy_of_it_in_a_pool() {
    let Some(running) = Running::new() else { return };
    running.begun();
    running.done("backup copy web01-20261121-190500 pool:images", 0);
    let (file, copy) = ("out/web01-20261121-190500.tar", "host/images/web01-20261121-190500.tar");
    assert_eq!(running.host.bench.read(copy), running.host.bench.read(file));
    let into_copy = running.done(&format!("backup append {copy} --json"), 1).json();
    assert_eq!(into_copy["data"]["backup"]["mode"], "incremental", "{into_copy}");
    // The checkpoint that both counted from is that of the folder `out`: an increment of the copy leaves it.
    running.holds(2, "the copy");
    running.shell(&format!("rm {copy}"));
    let run = running.done("backup append --last web01 --limit-rate 1GiB/s", 1);
    assert!(run.stdout.contains(", incremental while running"), "{run:?}");
    running.restores(&IDS, "the increment");
    running.done("backup verify web01-20261121-190500", 1);
}

#[test]
fn an_increment_is_the_same_at_a_limited_rate_and_one_that_waits_can_be_stopped() {
    let Some(running) = Running::new() else { return };
    running.begun();
    let line = "backup create web01 --storage out --limit-rate 1";
    let mut command = running.command(line, THEN + DAY);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .arg("--progress=plain")
        .spawn()
        .unwrap();
    // At a byte a second the first cluster takes most of a day.
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains(" copy disk=vda")), "the copy begins");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    running.holds(1, "stopped");
    running.restores(&IDS[..1], "stopped");
    running.done("backup create web01 --storage out --limit-rate 1GiB/s", 1);
    running.restores(&IDS, "the increment");
}

#[test]
fn a_checkpoint_that_a_damaged_backup_may_know_stays_as_long_as_it_cannot_be_read() {
    let Some(running) = Running::new() else { return };
    running.begun();
    running.host.set("kill", "after backup-begin 1");
    let line = "backup create web01 --storage out --mode auto";
    assert_eq!(running.run(line, 1).code, None);
    running.host.unset("kill");
    running.host.bench.write("out/cut.tar", &[9; 2000]);
    let run = running.done(line, 1);
    let note =
        "  note      a checkpoint that no point knows stays: /bench/out/cut.tar is damaged\n";
    assert!(run.stdout.contains(note), "{run:?}");
    running.holds(2, "damaged");
    running.shell("rm out/cut.tar");
    let run = running.done(line, 2);
    assert!(run.stdout.contains(", which no point knows\n"), "{run:?}");
    running.holds(1, "readable");
}

#[test]
fn a_job_that_libvirt_has_lost_is_told_before_the_guest_is_touched() {
    let Some(running) = Running::new() else { return };
    running.begun();
    let before = running.host.acts();
    running.host.set("lost", "");
    let run = running.run("backup create web01 --storage out", 1);
    assert_eq!(run.code, Some(7), "{run:?}");
    for part in [
        "error[E0510]: libvirt holds a backup job of the machine that it has lost",
        "  machine   web01\n  bundle    /bench/out/web01-20261121-190500.tar\n",
        "/run/libvirt/qemu/NAME.xml",
    ] {
        assert!(run.stderr.contains(part), "{run:?}");
    }
    assert_eq!(running.host.acts(), before);
    running.host.unset("lost");
    running.done("backup create web01 --storage out", 1);
    running.holds(1, "the lost job");
}

#[test]
fn the_job_of_a_killed_run_is_ended_wherever_its_scratch_files_lie_and_that_of_a_live_one_never() {
    let Some(running) = Running::new() else { return };
    running.begun();
    running.shell("mkdir spare second");
    running.host.set("kill", "after backup-begin 1");
    let line = "backup create web01 --storage out --scratch spare";
    assert_eq!(running.run(line, 1).code, None);
    running.host.unset("kill");
    assert!(running.host.bench.files("spare").len() > 1);
    let line = "backup create web01 --storage out";
    let run = running.done(line, 1);
    assert!(
        run.stdout.contains("ended the backup job that an interrupted run had left"),
        "{run:?}"
    );
    assert_eq!(running.host.bench.files("spare"), [""; 0]);
    running.holds(1, "the killed run");
    // A run with another state folder holds another lock of the machine.
    running.host.set("linger", "domjobabort");
    let mut command =
        running.command("backup create web01 --storage second --scratch spare", THEN + 2 * DAY);
    let other = running.host.bench.path("other state");
    command.env("RELIFT_STATE_DIR", other).stdout(Stdio::piped()).stderr(Stdio::piped());
    let live = command.spawn().unwrap();
    while !running.host.bench.path("host/go on").exists() {
        std::thread::yield_now();
    }
    for line in [line, "backup create web01 --storage out --scratch spare"] {
        let run = running.run(line, 3);
        assert_eq!(run.code, Some(11), "{run:?}");
        let said =
            "error[E0602]: another relift backs up the machine now, by way of /bench/spare\n";
        assert!(run.stderr.starts_with(said), "{run:?}");
    }
    running.host.bench.shell("echo > 'host/go on'");
    let live = running.heard(&live.wait_with_output().unwrap());
    assert_eq!(live.code, Some(0), "{live:?}");
    running.holds(1, "the live run");
}
