//! What became of the runs of a job: a line for each machine when it begins, and one when it ends.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Job;
use crate::{Result, State, Task, state};

/// What became of one machine in one run of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// When, in UTC, as RFC 3339 writes it.
    pub t: String,
    /// When the run began that it belongs to: the next one is due behind that.
    pub due: String,
    /// The job.
    pub job: String,
    /// The machine.
    pub vm: String,
    /// What became of it.
    pub state: RunState,
    /// The exit code of the command that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// Why it failed, as a published code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it failed, or what else is to be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The files that were written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// How long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
}

/// What became of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It has begun. Where nothing follows and nobody has the job, a crash ended it.
    Started,
    /// It is done.
    Done,
    /// It is done: nothing has changed, and nothing was written.
    Unchanged,
    /// It is not done.
    Failed,
    /// Somebody stopped it.
    Stopped,
}

impl RunState {
    /// Whether it is what was wanted.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Done | Self::Unchanged)
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

impl Run {
    /// Something became of a machine at a time that the run also began at; there is nothing else to say.
    #[must_use]
    pub fn new(t: &str, job: &str, vm: &str, state: RunState) -> Self {
        Self {
            t: t.to_owned(),
            due: t.to_owned(),
            job: job.to_owned(),
            vm: vm.to_owned(),
            state,
            exit: None,
            code: None,
            message: None,
            files: Vec::new(),
            took_ms: None,
        }
    }
}

impl State {
    /// Adds to the history of a job, durably.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn note_run(&self, run: &Run) -> Result<()> {
        self.make()?;
        state::append(&self.history_file(&run.job), run)
    }

    /// The history of a job, the oldest first; a line that a crash cut short is passed over.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn history(&self, job: &str) -> Result<Vec<Run>> {
        state::read(&self.history_file(job))
    }

    /// When the last backup of each machine failed, in seconds since 1970, as far as jobs made it.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn failures(&self) -> Result<BTreeMap<String, u64>> {
        let jobs = self.all_jobs()?;
        let jobs = jobs.into_iter().filter(|(_, job)| {
            // Of a job that cannot be read nothing is known: what it says of failures counts.
            job.as_ref().map_or(true, |job| job.task == Task::Backup)
        });
        let histories = jobs.map(|(name, _)| self.history(&name)).collect::<Result<Vec<_>>>()?;
        Ok(failures(histories.iter().flatten()))
    }

    fn history_file(&self, job: &str) -> std::path::PathBuf {
        self.jobs().join(format!("{job}.history.jsonl"))
    }
}

/// The last end of each machine, where it is a failure.
fn failures<'a>(runs: impl Iterator<Item = &'a Run>) -> BTreeMap<String, u64> {
    let mut last: BTreeMap<&str, &Run> = BTreeMap::new();
    for run in runs.filter(|run| run.state != RunState::Started) {
        let newer = |one: &&Run| seconds(&one.t) <= seconds(&run.t);
        if last.get(run.vm.as_str()).is_none_or(newer) {
            last.insert(&run.vm, run);
        }
    }
    let failed = last.into_iter().filter(|(_, run)| run.state == RunState::Failed);
    failed.map(|(vm, run)| (vm.to_owned(), seconds(&run.t))).collect()
}

fn seconds(t: &str) -> u64 {
    let time: Option<jiff::Timestamp> = t.parse().ok();
    time.and_then(|time| u64::try_from(time.as_second()).ok()).unwrap_or(0)
}

impl Job {
    /// The last run that began, by a history.
    #[must_use]
    pub fn last_run<'a>(&self, history: &'a [Run]) -> Option<&'a Run> {
        history.iter().max_by_key(|run| seconds(&run.due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(hour: u32, vm: &str, state: RunState) -> Run {
        Run::new(&format!("2026-11-21T{hour:02}:00:00Z"), "nightly", vm, state)
    }

    #[test]
    fn a_history_is_read_back_past_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        let mut failed = run(1, "web01", RunState::Failed);
        failed.exit = Some(8);
        failed.code = Some("E0506".to_owned());
        state.note_run(&run(1, "web01", RunState::Started)).unwrap();
        let file = folder.path().join("jobs/nightly.history.jsonl");
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(
            text,
            "{\"t\":\"2026-11-21T01:00:00Z\",\"due\":\"2026-11-21T01:00:00Z\",\"job\":\"nightly\",\
             \"vm\":\"web01\",\"state\":\"started\"}\n"
        );
        std::fs::write(&file, format!("{text}{}", &text[..40])).unwrap();
        state.note_run(&failed).unwrap();
        let history = state.history("nightly").unwrap();
        assert_eq!(history, [run(1, "web01", RunState::Started), failed]);
    }

    #[test]
    fn a_machine_failed_until_a_later_run_of_any_job_is_done() {
        let runs = [
            run(1, "a", RunState::Failed),
            run(2, "a", RunState::Done),
            run(3, "b", RunState::Done),
            run(4, "b", RunState::Failed),
            run(5, "b", RunState::Started),
            run(6, "c", RunState::Stopped),
        ];
        let want = BTreeMap::from([("b".to_owned(), seconds("2026-11-21T04:00:00Z"))]);
        assert_eq!(failures(runs.iter()), want);
    }
}
