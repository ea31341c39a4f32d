//! Jobs that make real backups: of a machine that runs, of one that is off, of several at once.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::guest::{DAY, Running, THEN, UUID};

impl Running {
    /// Adds a job for web01.
    fn add(&self, words: &str) {
        let run = self.run(&format!("job add {words}"), 0);
        assert_eq!(run.code, Some(0), "{run:?}");
    }

    /// What became of the runs of a job, the newest first: `state: files or message`.
    fn history(&self, job: &str) -> Vec<String> {
        let told = |run: &Value| {
            let files = run["files"].as_array().unwrap().iter();
            let files: Vec<_> = files.map(|file| name(file.as_str().unwrap())).collect();
            let message = run["message"].as_str().map_or_else(|| files.join(", "), str::to_owned);
            format!("{}: {message}", run["state"].as_str().unwrap())
        };
        let history = self.run(&format!("job history {job} --json"), 0).json();
        history["data"]["runs"].as_array().unwrap().iter().map(told).collect()
    }

    /// Each backup in `out`: its points, and whether it takes another increment.
    fn backups(&self) -> Vec<(usize, bool)> {
        let list = self.run("backup list --storage out --json", 0).json();
        let backups = list["data"]["backups"].as_array().unwrap().iter();
        let facts = |one: &Value| {
            let points = one["points"].as_array().unwrap().len();
            (points, one["incrementable"].as_bool().unwrap())
        };
        backups.map(facts).collect()
    }

    fn checkpoints(&self) -> usize {
        self.host.holds("checkpoints").len()
    }
}

/// The last part of a path.
fn name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// SPACEVM-64 and -65: a full backup a week, increments on the other nights, kept 30 days. What is pruned goes by
/// the clock, so that the weeks lie before now.
#[test]
fn a_week_is_one_full_backup_and_six_increments_of_which_the_last_drops_the_checkpoint() {
    let Some(running) = Running::new() else { return };
    running.add("weekly --vm web01 --storage out --max-increments 6 --older-than 30d");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let night = |days_ago: u64| {
        let run = running.run_at("job run weekly", now - days_ago * DAY);
        assert_eq!(run.code, Some(0), "{days_ago}: {run:?}");
        running.write(&format!("write -q -P {days_ago} 1M 64k"));
    };
    for (number, days_ago) in (40..=46).rev().enumerate() {
        night(days_ago);
        let is_last = number == 6;
        assert_eq!(running.backups(), [(number + 1, !is_last)], "{days_ago}");
        assert_eq!(running.checkpoints(), usize::from(!is_last), "{days_ago}");
    }
    assert_eq!(running.host.acts().last().unwrap(), "checkpoint-delete");
    // The next full backup is there and verified before that of more than 30 days ago goes.
    night(6);
    assert_eq!((running.backups(), running.checkpoints()), (vec![(1, true)], 1));
    night(5);
    assert_eq!(running.backups(), [(2, true)]);
    let history = running.history("weekly");
    assert_eq!(history.len(), 9);
    assert_eq!(history[0], history[1]);
    assert_ne!(history[1], history[2]);
    assert!(history.iter().all(|run| run.starts_with("done: web01-")), "{history:?}");
    running.holds(1, "at the end");
}

#[test]
fn a_job_backs_up_a_machine_that_is_off_and_leaves_it_off() {
    let Some(running) = Running::new() else { return };
    running.turn_off();
    running.add("cold --vm web01 --storage out");
    running.add("warm --vm web01 --storage out --max-increments 2");
    for (job, days) in [("cold", 0), ("warm", 1), ("warm", 2), ("warm", 3)] {
        let run = running.run_at(&format!("job run {job}"), THEN + days * DAY);
        assert_eq!(run.stdout, format!("{job} web01: done\nDone 1 · failed 0\n"), "{run:?}");
        assert_eq!(running.host.holds("active"), [""; 0], "{job}");
    }
    assert_eq!(running.backups(), [(1, false), (3, false)]);
    running.holds(0, "after the last increment");
    let acts = running.host.acts();
    assert_eq!(
        acts[..3],
        ["start", "backup-begin", "domjobabort"],
        "the first job needs no process"
    );
}

#[test]
fn a_backup_that_fails_is_remembered_and_the_next_run_of_the_job_tries_again() {
    let Some(running) = Running::new() else { return };
    running.add("nightly --vm web01 --storage out --keep-last 1");
    running.host.set("refuse", "backup-begin internal error: no");
    let run = running.run("job run nightly", 0);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.starts_with("error: 1 of 1 tasks failed\n"), "{run:?}");
    running.host.unset("refuse");
    running.holds(0, "the failed one");
    for days in [1, 2] {
        let run = running.run("job run nightly", days);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    assert_eq!(running.backups(), [(1, false)], "the older one is pruned");
    let history = running.history("nightly");
    let done = ["done: web01-20261123-190500.tar", "done: web01-20261122-190500.tar"];
    assert_eq!(history[..2], done);
    let failed = "failed: backup create: ";
    assert!(history[2].starts_with(failed) && history.len() == 3, "{history:?}");
}

#[test]
fn two_jobs_for_one_machine_run_one_after_the_other() {
    let Some(running) = Running::new() else { return };
    running.add("one --vm web01 --storage out");
    running.add("two --vm web01 --storage out");
    running.host.set("linger", "backup-begin");
    let piped = |line: &str, days: u64| {
        let mut command = running.command(line, THEN + days * DAY);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let first = piped("job run one", 0);
    // The first one holds the machine once the host is asked to begin.
    while !running.host.bench.path("host/go on").exists() {
        std::thread::yield_now();
    }
    let mut second = piped("job run two", 1);
    let mut told = String::new();
    BufReader::new(second.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert_eq!(told, "waiting for the machine web01\n");
    assert_eq!(running.host.acts(), ["backup-begin"]);
    running.host.bench.shell("echo > 'host/go on'");
    let first = running.heard(&first.wait_with_output().unwrap());
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(second.wait().unwrap().code(), Some(0));
    let acts = ["backup-begin", "domjobabort", "backup-begin", "domjobabort"];
    assert_eq!(running.host.acts(), acts);
    assert_eq!(running.backups().len(), 2);
    assert!(running.host.holds("active").contains(&UUID.to_owned()));
}

#[test]
fn a_job_writes_nothing_where_nothing_has_changed() {
    let Some(running) = Running::new() else { return };
    running.add("quiet --vm web01 --storage out --max-increments 6 --skip-unchanged");
    let file = "out/web01-20261121-190500.tar";
    running.run("job run quiet", 0);
    let before = running.host.bench.read(file);
    let run = running.run("job run quiet", 1);
    let said = "quiet web01: unchanged\nDone 1 · failed 0\n";
    assert_eq!((run.code, &*run.stdout), (Some(0), said), "{run:?}");
    assert!(running.host.bench.read(file) == before);
    running.holds(1, "unchanged");
    running.write("write -q -P 2 1M 64k");
    running.run("job run quiet", 2);
    assert_eq!(running.backups(), [(2, true)]);
    let history = running.history("quiet");
    let done = "done: web01-20261121-190500.tar";
    assert_eq!(history, [done, "unchanged: ", done]);
    let line = "backup create web01 --storage out --mode incremental --skip-unchanged";
    let told = running.run(line, 3);
    let said = format!("Nothing has changed on web01 since the last point of /bench/{file}\n");
    assert_eq!((told.code, told.stdout), (Some(0), said));
    let told = running.run(&format!("{line} --json"), 3).json();
    assert_eq!(told["data"]["unchanged"][0]["vm"], "web01", "{told}");
}
