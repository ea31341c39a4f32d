//! Jobs: what is done to which machines, when, and what became of it.
//!
//! ```text
//! jobs/NAME.toml --Job--> due? --steps--> command lines of this program, a machine each
//!                                              | turns: the job, the machine, a slot of the place
//! NAME.history.jsonl <-- Run -------------------/
//! ```

mod history;
mod steps;
mod store;
mod timer;
mod turns;

pub use history::{Run, RunState};
pub use steps::{Step, StepKind, steps};
pub use timer::{Unit, units};
pub use turns::{Turn, Turns};

use std::str::FromStr as _;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use crate::{Error, Result, Schedule};

/// The form of a job file that is written and read.
const SCHEMA: u32 = 1;

/// How many tasks write to one place at a time, where nothing else is said: network file systems want no
/// more.
pub const CONCURRENCY: u32 = 2;

/// A job, as its file says it; its name is that of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    schema: u32,
    /// Its name.
    #[serde(skip)]
    pub name: String,
    /// What is done.
    pub task: Task,
    /// When; `None` for one that only runs by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// By the clock of this time zone; `None` for that of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tz: Option<String>,
    /// To these machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vm: Vec<String>,
    /// To every machine that the host has when it runs.
    #[serde(default, skip_serializing_if = "is_false")]
    pub all: bool,
    /// How many tasks at a time that write to the same place; 0 for no limit.
    #[serde(default = "usual_concurrency")]
    pub concurrency: u32,
    /// Whether it is not run by its schedule.
    #[serde(default, skip_serializing_if = "is_false")]
    pub paused: bool,
    /// Since when it is due, in UTC, as RFC 3339 writes it.
    pub created: String,
    /// The libvirt host, where it is not the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<String>,
    /// Where backups are written to and kept.
    #[serde(default, skip_serializing_if = "Place::is_empty")]
    pub place: Place,
    /// After so many increments the next backup is full; `None` for a full one each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_increments: Option<u32>,
    /// Whether no increment is made where nothing has changed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub skip_unchanged: bool,
    /// How many bytes of a machine's disks are read a second at most, as the flag `--limit-rate` takes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_rate: Option<String>,
    /// How far what was written is looked at before older ones may go.
    #[serde(default)]
    pub verify: Verify,
    /// What is kept, in the words of the flags of `backup prune`.
    #[serde(default, skip_serializing_if = "Keep::is_empty")]
    pub keep: Keep,
    /// Further words for the command of the task.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// `backup create`, then `backup verify` of what was written, then `backup prune`.
    Backup,
    /// `snapshot create`.
    Snapshot,
    /// `backup verify` of every backup.
    Verify,
    /// `backup prune`.
    Prune,
}

/// How far what was written is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verify {
    /// Headers and lengths.
    Quick,
    /// Every byte.
    #[default]
    Deep,
}

/// Where backups lie.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// A storage pool of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// A folder, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<String>,
}

/// What is kept: each as the flag of that name takes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Keep {
    /// `--keep-last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<String>,
    /// `--keep-hourly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_hourly: Option<String>,
    /// `--keep-daily`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_daily: Option<String>,
    /// `--keep-weekly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_weekly: Option<String>,
    /// `--keep-monthly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_monthly: Option<String>,
    /// `--keep-yearly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_yearly: Option<String>,
    /// `--keep-within`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within: Option<String>,
    /// `--older-than`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
    /// `--at-most`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<String>,
    /// `--make-room`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub make_room: Option<String>,
}

impl Keep {
    /// The flags with their values, those that are given.
    #[must_use]
    pub fn flags(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("--keep-last", &self.keep_last),
            ("--keep-hourly", &self.keep_hourly),
            ("--keep-daily", &self.keep_daily),
            ("--keep-weekly", &self.keep_weekly),
            ("--keep-monthly", &self.keep_monthly),
            ("--keep-yearly", &self.keep_yearly),
            ("--keep-within", &self.keep_within),
            ("--older-than", &self.older_than),
            ("--at-most", &self.at_most),
            ("--make-room", &self.make_room),
        ];
        all.into_iter().filter_map(|(flag, value)| Some((flag, value.as_deref()?))).collect()
    }

    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flags().is_empty()
    }
}

impl Place {
    const fn is_empty(&self) -> bool {
        self.pool.is_none() && self.storage.is_none()
    }

    /// The flag with its value.
    #[must_use]
    pub fn flag(&self) -> Option<(&'static str, &str)> {
        let pool = self.pool.as_deref().map(|pool| ("--pool", pool));
        pool.or(self.storage.as_deref().map(|folder| ("--storage", folder)))
    }
}

impl Task {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Snapshot => "snapshot",
            Self::Verify => "verify",
            Self::Prune => "prune",
        }
    }
}

impl Job {
    /// A job that does this from now on, to no machine yet.
    #[must_use]
    pub fn new(name: &str, task: Task, created: &str) -> Self {
        Self {
            schema: SCHEMA,
            name: name.to_owned(),
            task,
            schedule: None,
            tz: None,
            vm: Vec::new(),
            all: false,
            concurrency: CONCURRENCY,
            paused: false,
            created: created.to_owned(),
            connect: None,
            place: Place::default(),
            max_increments: None,
            skip_unchanged: false,
            limit_rate: None,
            verify: Verify::Deep,
            keep: Keep::default(),
            words: Vec::new(),
        }
    }

    /// Tests what the types do not say.
    ///
    /// # Errors
    /// What is wrong, and what is allowed.
    pub fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        let refused = |why: String| Err(Error::usage(format!("the job '{}' {why}", self.name)));
        if self.schema != SCHEMA {
            return refused(format!("is of schema {}, {SCHEMA} is read", self.schema));
        }
        if self.all != self.vm.is_empty() {
            return refused(
                "needs the machines it is for, or all of them, and not both".to_owned(),
            );
        }
        if self.place.pool.is_some() && self.place.storage.is_some() {
            return refused("has a pool and a folder, one of them is allowed".to_owned());
        }
        if self.task == Task::Prune && self.keep.is_empty() {
            return refused("prunes, and says nothing of what is kept".to_owned());
        }
        if matches!(self.task, Task::Snapshot | Task::Verify) && !self.keep.is_empty() {
            return refused(format!("keeps nothing: its task is {}", self.task.as_str()));
        }
        if self.task != Task::Backup && self.max_increments.is_some() {
            return refused(format!("makes no increments: its task is {}", self.task.as_str()));
        }
        if self.max_increments.is_none() && self.skip_unchanged {
            return refused("makes no increments, so none can be left out".to_owned());
        }
        if self.task != Task::Backup && self.limit_rate.is_some() {
            return refused(format!("reads no disks: its task is {}", self.task.as_str()));
        }
        self.timing().map(|_| ())
    }

    /// When it runs, and by which clock; `None` for one that only runs by hand.
    ///
    /// # Errors
    /// The schedule is none, or the zone is not known here.
    pub fn timing(&self) -> Result<Option<(Schedule, TimeZone)>> {
        let zone = zone(self.tz.as_deref())?;
        let schedule = self.schedule.as_deref().map(Schedule::parse).transpose()?;
        Ok(schedule.map(|schedule| (schedule, zone)))
    }

    /// When it is due next: the first time of its schedule behind its last run; that may have passed.
    ///
    /// # Errors
    /// As [`timing`](Self::timing), and when its file has no time of its making.
    pub fn next_run(&self, last: Option<&Run>) -> Result<Option<Timestamp>> {
        let Some((schedule, zone)) = self.timing()? else { return Ok(None) };
        let time = |text: &str| {
            Timestamp::from_str(text).map_err(|error| {
                Error::usage(format!("the job '{}' has no time in '{text}': {error}", self.name))
            })
        };
        let since = time(&self.created)?;
        // The history may be that of an older job of this name.
        let since = last.map(|run| time(&run.due)).transpose()?.map_or(since, |due| due.max(since));
        Ok(schedule.next_after(since, &zone))
    }

    /// Whether it should run now by its schedule. What was missed while the machine was off is made up
    /// for once.
    ///
    /// # Errors
    /// As [`next_run`](Self::next_run).
    pub fn is_due(&self, last: Option<&Run>, now: Timestamp) -> Result<bool> {
        Ok(!self.paused && self.next_run(last)?.is_some_and(|next| next <= now))
    }
}

/// A time zone by its name; the system's for `None`.
fn zone(name: Option<&str>) -> Result<TimeZone> {
    let Some(name) = name else { return Ok(TimeZone::system()) };
    TimeZone::get(name)
        .map_err(|error| Error::usage(format!("the time zone '{name}' is not known here: {error}")))
}

/// Tests a name that becomes those of files and units.
fn check_name(name: &str) -> Result<()> {
    const MAX_BYTES: usize = 64;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let is_good = (1..=MAX_BYTES).contains(&name.len())
        && name.bytes().all(is_plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if is_good {
        return Ok(());
    }
    let name = name.escape_debug();
    Err(Error::usage(format!(
        "a job cannot be called '{name}': 1 to {MAX_BYTES} letters, digits, '.', '_', '-', the first of \
         them no mark"
    )))
}

/// Called by serde, which hands over references.
const fn is_false(value: &bool) -> bool {
    !*value
}

const fn usual_concurrency() -> u32 {
    CONCURRENCY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        let mut job = Job::new("nightly", Task::Backup, "2026-11-21T12:00:00Z");
        job.vm = vec!["web01".to_owned()];
        job.schedule = Some("daily 02:00".to_owned());
        job.tz = Some("UTC".to_owned());
        job
    }

    #[test]
    fn refuses_what_cannot_be_meant() {
        let told = |spoil: &dyn Fn(&mut Job)| {
            let mut job = job();
            spoil(&mut job);
            job.check().unwrap_err().to_string()
        };
        for (spoil, want) in [
            (
                &(|job: &mut Job| job.schema = 2) as &dyn Fn(&mut Job),
                "the job 'nightly' is of schema 2, 1 is read",
            ),
            (
                &|job| job.all = true,
                "the job 'nightly' needs the machines it is for, or all of them, and not both",
            ),
            (
                &|job| job.vm.clear(),
                "the job 'nightly' needs the machines it is for, or all of them, and not both",
            ),
            (
                &|job| job.task = Task::Prune,
                "the job 'nightly' prunes, and says nothing of what is kept",
            ),
            (
                &|job| {
                    job.task = Task::Snapshot;
                    job.keep.keep_last = Some("3".to_owned());
                },
                "the job 'nightly' keeps nothing: its task is snapshot",
            ),
            (
                &|job| {
                    job.task = Task::Verify;
                    job.max_increments = Some(3);
                },
                "the job 'nightly' makes no increments: its task is verify",
            ),
            (
                &|job| job.skip_unchanged = true,
                "the job 'nightly' makes no increments, so none can be left out",
            ),
            (
                &|job| {
                    job.task = Task::Snapshot;
                    job.limit_rate = Some("5M".to_owned());
                },
                "the job 'nightly' reads no disks: its task is snapshot",
            ),
            (
                &|job| job.place = Place { pool: Some("a".into()), storage: Some("/b".into()) },
                "the job 'nightly' has a pool and a folder, one of them is allowed",
            ),
            (
                &|job| job.name = "../x".to_owned(),
                "a job cannot be called '../x': 1 to 64 letters, digits, '.', '_', '-', the first of them no mark",
            ),
        ] {
            assert_eq!(told(spoil), want);
        }
        assert!(
            told(&|job| job.tz = Some("Mars/Olympus".into()))
                .starts_with("the time zone 'Mars/Olympus' is not known here: ")
        );
        job().check().unwrap();
    }

    #[test]
    fn a_job_is_due_once_for_all_that_it_missed() {
        let now = |text: &str| Timestamp::from_str(text).unwrap();
        let is_due =
            |job: &Job, last: Option<&Run>, text: &str| job.is_due(last, now(text)).unwrap();
        assert!(!is_due(&job(), None, "2026-11-22T01:59:59Z"));
        assert!(is_due(&job(), None, "2026-11-22T02:00:00Z"));
        let run = Run::new("2026-11-25T09:00:00Z", "nightly", "web01", RunState::Done);
        assert!(!is_due(&job(), Some(&run), "2026-11-25T23:00:00Z"));
        assert!(is_due(&job(), Some(&run), "2026-11-26T02:00:00Z"));
        let paused = Job { paused: true, ..job() };
        assert!(!is_due(&paused, None, "2027-11-22T02:00:00Z"));
        let by_hand = Job { schedule: None, ..job() };
        assert!(!is_due(&by_hand, None, "2027-11-22T02:00:00Z"));
    }
}
