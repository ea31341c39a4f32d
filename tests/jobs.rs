//! Jobs: added, run by this program again, remembered.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use backup::{State, Turn};
use serde_json::Value;

use crate::{
    bench::{Bench, RELIFT},
    shelf::nights,
};

/// Adds a job that keeps the last backup of `web01`.
fn pruning(bench: &Bench) {
    let words = ["job", "add", "tidy", "--vm", "web01", "--task", "prune"];
    let words =
        words.iter().chain(&["--storage", ".", "--keep-last", "1", "--schedule", "daily 02:00"]);
    let run = bench.run(words);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.starts_with("Added tidy, next run "), "{run:?}");
}

/// What became of the machines of a job, the newest first.
fn history(bench: &Bench, job: &str) -> Vec<String> {
    let history = bench.run(["job", "history", job, "--json"]).json();
    let told =
        |run: &Value| format!("{} {}", run["vm"].as_str().unwrap(), run["state"].as_str().unwrap());
    history["data"]["runs"].as_array().unwrap().iter().map(told).collect()
}

/// Makes a job as old as if it had been added years ago.
fn age(bench: &Bench, job: &str) {
    let path = bench.state(&format!("jobs/{job}.toml"));
    let text = fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once("created = \"20").unwrap();
    fs::write(&path, format!("{head}created = \"19{rest}")).unwrap();
}

#[test]
fn a_job_is_added_shown_paused_resumed_and_removed() {
    let bench = Bench::empty();
    pruning(&bench);
    let again = bench.run(["job", "add", "tidy", "--vm", "x"]);
    assert_eq!(again.code, Some(2), "{again:?}");
    assert!(again.stderr.starts_with("error: a job is called 'tidy' already\n"), "{again:?}");
    let show = bench.run(["job", "show", "tidy", "--json"]).json();
    assert_eq!(show["data"]["on_calendar"], serde_json::json!(["*-*-* 02:00:00"]));
    let storage =
        format!("--storage={}", bench.path("").display().to_string().trim_end_matches('/'));
    let words = ["backup", "prune", "--yes", "--vm=web01", &storage, "--keep-last=1"];
    assert_eq!(show["data"]["commands"], serde_json::json!([words]));
    let paused = bench.run(["job", "pause", "tidy"]);
    assert_eq!(paused.stdout, "tidy is paused until: relift job resume tidy\n");
    age(&bench, "tidy");
    assert_eq!(bench.run(["job", "run", "--due"]).stdout, "nothing is due\n");
    let resumed = bench.run(["job", "resume", "tidy"]);
    assert!(resumed.stdout.starts_with("tidy: next run "), "{resumed:?}");
    // What was missed meanwhile is not made up for.
    assert_eq!(bench.run(["job", "run", "--due"]).stdout, "nothing is due\n");
    let list = bench.run(["job", "list"]).stdout;
    assert!(list.contains("tidy   prune   web01      daily 02:00   "), "{list}");
    let removed = bench.run(["job", "remove", "tidy", "--yes"]);
    assert_eq!(removed.code, Some(0), "{removed:?}");
    let gone = bench.run(["job", "show", "tidy"]);
    assert_eq!(gone.code, Some(13), "{gone:?}");
    assert!(gone.stderr.starts_with("error[E0505]: no job is called 'tidy'\n"), "{gone:?}");
}

#[test]
fn what_cannot_be_a_job_is_refused_when_it_is_added() {
    let bench = Bench::empty();
    for (words, want) in [
        ("--vm a --schedule fortnightly", "error: the schedule 'fortnightly' is none: "),
        ("--vm a --keep-within 30", "error: --keep-within '30' is no span of time\n"),
        ("--vm a --task prune", "error: the job 'j' prunes, and says nothing of what is kept\n"),
        ("--label tier=1", "error: machines of libvirt have no labels to choose them by\n"),
    ] {
        let run = bench.run(["job", "add", "j"].into_iter().chain(words.split(' ')));
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.starts_with(want), "{run:?}");
    }
    assert_eq!(bench.run(["job", "list"]).stdout, "no jobs; relift job add --help\n");
}

#[test]
fn a_job_that_is_due_runs_once_for_all_that_it_missed() {
    let bench = nights(3);
    pruning(&bench);
    assert_eq!(bench.run(["job", "run", "--due"]).stdout, "nothing is due\n");
    age(&bench, "tidy");
    let run = bench.run(["job", "run", "--due"]);
    assert_eq!((run.code, &*run.stdout), (Some(0), "tidy web01: done\nDone 1 · failed 0\n"));
    assert_eq!(bench.files(""), ["web01-2.tar"]);
    assert_eq!(history(&bench, "tidy"), ["web01 done"]);
    assert_eq!(bench.run(["job", "run", "--due"]).stdout, "nothing is due\n");
}

#[test]
fn a_job_verifies_every_backup_of_its_machine() {
    let bench = nights(2);
    let add = ["job", "add", "scrub", "--vm", "web01", "--task", "verify", "--storage", "."];
    let run = bench.run(add);
    assert_eq!(run.stdout, "Added scrub; it runs by hand: relift job run scrub\n");
    assert_eq!(bench.run(["job", "run", "scrub"]).code, Some(0));
    let list = bench.run(["backup", "list", "--json"]).json();
    let backups = list["data"]["backups"].as_array().unwrap();
    assert!(backups.iter().all(|one| one["verified"]["level"] == "deep"), "{list}");
}

#[test]
fn after_a_failed_backup_nothing_of_the_machine_is_pruned() {
    let bench = nights(3);
    let add = ["job", "add", "nightly", "--vm", "web01", "--storage", ".", "--keep-last", "1"];
    assert_eq!(bench.run(add.iter().chain(&["--connect", "test:///none"])).code, Some(0));
    let run = bench.run(["job", "run", "nightly"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.starts_with("error: 1 of 1 tasks failed\n"), "{run:?}");
    assert_eq!(history(&bench, "nightly"), ["web01 failed"]);
    let prune = bench.run(["backup", "prune", "--keep-last", "1", "--yes"]);
    assert_eq!(prune.code, Some(0), "{prune:?}");
    assert!(prune.stdout.contains("the last backup of its machine failed"), "{prune:?}");
    assert_eq!(bench.files("").len(), 3);
}

#[test]
fn a_machine_that_is_busy_is_waited_for_and_refused_only_where_nobody_wants_to_wait() {
    let bench = nights(2);
    pruning(&bench);
    let turn = Turn::Machine { host: "qemu:///system", vm: "web01" };
    let held = State::at(bench.state("")).attempt(turn).unwrap().unwrap();
    let mut command = bench.command(RELIFT);
    command.env_remove("LIBVIRT_DEFAULT_URI").args(["job", "run", "tidy", "--no-wait"]);
    let refused = crate::bench::Run::of(&command.output().unwrap());
    assert_eq!(refused.code, Some(11), "{refused:?}");
    assert!(refused.stderr.starts_with("error[E0602]: the machine web01 is busy\n"), "{refused:?}");
    let mut command = bench.command(RELIFT);
    command.env_remove("LIBVIRT_DEFAULT_URI").args(["job", "run", "tidy"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert_eq!(told, "waiting for the machine web01\n");
    assert_eq!(bench.files("").len(), 2);
    drop(held);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(bench.files(""), ["web01-1.tar"]);
    assert_eq!(history(&bench, "tidy"), ["web01 done", "web01 stopped"]);
}

#[test]
fn a_place_that_is_full_is_waited_for_unless_the_job_has_no_limit() {
    let bench = nights(2);
    let storage = bench.path("").display().to_string();
    let storage = storage.trim_end_matches('/');
    let words = ["--vm", "web01", "--task", "prune", "--storage", storage, "--keep-last", "1"];
    for (name, limit) in [("one", "1"), ("none", "0")] {
        let run = bench.run(["job", "add", name, "--concurrency", limit].iter().chain(&words));
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    let turn = Turn::Place { place: storage, limit: 1 };
    let _held = State::at(bench.state("")).attempt(turn).unwrap().unwrap();
    let run = bench.run(["job", "run", "one", "--no-wait"]);
    assert_eq!(run.code, Some(11), "{run:?}");
    let said = format!("error[E0602]: room for another task at {storage} is busy\n");
    assert!(run.stderr.starts_with(&said), "{run:?}");
    assert_eq!(bench.run(["job", "run", "none", "--no-wait"]).code, Some(0));
    assert_eq!(bench.files(""), ["web01-1.tar"]);
}

#[test]
fn a_job_reads_no_faster_than_it_says() {
    let bench = Bench::empty();
    let add = ["job", "add", "n", "--vm", "web01", "--storage", ".", "--limit-rate", "50MiB/s"];
    assert_eq!(bench.run(add).code, Some(0));
    let show = bench.run(["job", "show", "n"]).stdout;
    assert!(show.contains("\n  rate       at most 50 MiB a second\n"), "{show}");
    assert!(show.contains(" --limit-rate=52428800 -- web01\n"), "{show}");
    let show = bench.run(["job", "show", "n", "--json"]).json();
    assert_eq!(show["data"]["job"]["limit_rate"], "52428800");
    let run = bench.run(["job", "add", "m", "--vm", "a", "--limit-rate", "1M", "--task", "verify"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    let said = "error: the job 'm' reads no disks: its task is verify\n";
    assert!(run.stderr.starts_with(said), "{run:?}");
}

#[test]
fn a_timer_runs_this_program_with_this_state() {
    let bench = Bench::empty();
    let add = ["job", "add", "n", "--all", "--schedule", "0 2 * * sun", "--tz", "Europe/Berlin"];
    let run = bench.run(add.iter().chain(&["--emit-systemd", "."]));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("\nNext:  systemctl link ./relift-n.service && "), "{run:?}");
    assert_eq!(bench.files(""), ["relift-n.service", "relift-n.timer"]);
    let service = String::from_utf8(bench.read("relift-n.service")).unwrap();
    let state = bench.state("").display().to_string();
    for line in [
        format!("Environment=\"RELIFT_STATE_DIR={}\"\n", state.trim_end_matches('/')),
        format!("ExecStart=\"{RELIFT}\" job run n\n"),
    ] {
        assert!(service.contains(&line), "{line} in {service}");
    }
    let timer = String::from_utf8(bench.read("relift-n.timer")).unwrap();
    assert!(timer.contains("\nOnCalendar=Sun *-*-* 02:00:00 Europe/Berlin\n"), "{timer}");
}
