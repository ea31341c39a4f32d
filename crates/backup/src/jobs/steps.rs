//! The command lines of this program that carry a job out: it does nothing itself.

use super::{Job, Task, Verify};

/// A command of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does.
    pub kind: StepKind,
    /// What a person would type behind the program's name.
    pub words: Vec<String>,
}

/// What a command of a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// It makes a backup.
    Create,
    /// It makes a snapshot.
    Snapshot,
    /// It reads what was written.
    Verify,
    /// It deletes what need not be kept.
    Prune,
}

impl StepKind {
    /// The command as a person calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "backup create",
            Self::Snapshot => "snapshot create",
            Self::Verify => "backup verify",
            Self::Prune => "backup prune",
        }
    }
}

/// What a job does first for a machine; `files` are the backups that it has.
///
/// After a [`StepKind::Create`] that succeeded come those of [`Job::steps_after`].
#[must_use]
pub fn steps(job: &Job, vm: &str, files: &[String]) -> Vec<Step> {
    match job.task {
        Task::Backup => vec![create(job, vm)],
        Task::Snapshot => vec![snapshot(job, vm)],
        Task::Verify if files.is_empty() => Vec::new(),
        Task::Verify => vec![verify(job, files)],
        Task::Prune => vec![prune(job, vm)],
    }
}

impl Job {
    /// What follows on a backup that was written to these files: it is read, and only then may older ones
    /// go. Where nobody knows what was written, nothing goes.
    #[must_use]
    pub fn steps_after(&self, vm: &str, written: &[String]) -> Vec<Step> {
        if self.task != Task::Backup || written.is_empty() {
            return Vec::new();
        }
        let prune = (!self.keep.is_empty()).then(|| prune(self, vm));
        std::iter::once(verify(self, written)).chain(prune).collect()
    }
}

fn create(job: &Job, vm: &str) -> Step {
    let mut words = command(job, "backup", "create");
    words.extend(place(job));
    match job.max_increments {
        Some(max) => words.extend([
            "--mode=auto".to_owned(),
            "--incrementable".to_owned(),
            format!("--max-increments={max}"),
        ]),
        None => words.push("--mode=full".to_owned()),
    }
    words.extend(job.skip_unchanged.then(|| "--skip-unchanged".to_owned()));
    words.extend(job.limit_rate.as_ref().map(|rate| format!("--limit-rate={rate}")));
    words.extend(job.words.iter().cloned());
    words.extend(["--".to_owned(), vm.to_owned()]);
    Step { kind: StepKind::Create, words }
}

fn snapshot(job: &Job, vm: &str) -> Step {
    let mut words = command(job, "snapshot", "create");
    words.extend(job.words.iter().cloned());
    words.extend(["--".to_owned(), vm.to_owned()]);
    Step { kind: StepKind::Snapshot, words }
}

fn verify(job: &Job, files: &[String]) -> Step {
    let level = match job.verify {
        Verify::Quick => "--level=quick",
        Verify::Deep => "--level=deep",
    };
    let mut words = command(job, "backup", "verify");
    words.push(level.to_owned());
    words.extend(extra(job, Task::Verify));
    words.push("--".to_owned());
    words.extend(files.iter().cloned());
    Step { kind: StepKind::Verify, words }
}

fn prune(job: &Job, vm: &str) -> Step {
    let mut words = command(job, "backup", "prune");
    words.extend(["--yes".to_owned(), format!("--vm={vm}")]);
    words.extend(place(job));
    words.extend(job.keep.flags().into_iter().map(|(flag, value)| format!("{flag}={value}")));
    words.extend(extra(job, Task::Prune));
    Step { kind: StepKind::Prune, words }
}

/// The words that somebody added, where they are for this command.
fn extra(job: &Job, task: Task) -> impl Iterator<Item = String> {
    job.words.iter().filter(move |_| job.task == task).cloned()
}

fn command(job: &Job, noun: &str, verb: &str) -> Vec<String> {
    let mut words = vec![noun.to_owned(), verb.to_owned()];
    words.extend(job.connect.as_ref().map(|uri| format!("--connect={uri}")));
    words
}

fn place(job: &Job) -> Option<String> {
    job.place.flag().map(|(flag, value)| format!("{flag}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Keep, Place};

    fn lines(steps: &[Step]) -> Vec<String> {
        steps.iter().map(|step| step.words.join(" ")).collect()
    }

    #[test]
    fn a_job_is_what_a_person_would_type() {
        let mut job = Job::new("nightly", Task::Backup, "2026-11-21T12:00:00Z");
        job.place = Place { storage: Some("/srv".to_owned()), pool: None };
        job.keep = Keep {
            keep_last: Some("3".to_owned()),
            keep_within: Some("30d".to_owned()),
            ..Keep::default()
        };
        job.words = vec!["--quiesce=require".to_owned()];
        assert_eq!(
            lines(&steps(&job, "-web", &[])),
            ["backup create --storage=/srv --mode=full --quiesce=require -- -web"]
        );
        assert_eq!(
            lines(&job.steps_after("-web", &["/srv/a.tar".to_owned()])),
            [
                "backup verify --level=deep -- /srv/a.tar",
                "backup prune --yes --vm=-web --storage=/srv --keep-last=3 --keep-within=30d",
            ]
        );
        assert_eq!(job.steps_after("-web", &[]), []);
        job.max_increments = Some(6);
        job.skip_unchanged = true;
        job.limit_rate = Some("50M".to_owned());
        job.connect = Some("qemu:///session".to_owned());
        assert_eq!(
            lines(&steps(&job, "web", &[])),
            ["backup create --connect=qemu:///session --storage=/srv --mode=auto --incrementable \
              --max-increments=6 --skip-unchanged --limit-rate=50M --quiesce=require -- web"]
        );
        job.task = Task::Verify;
        job.words = Vec::new();
        job.verify = Verify::Quick;
        assert_eq!(
            lines(&steps(&job, "web", &["/srv/a.tar".to_owned()])),
            ["backup verify --connect=qemu:///session --level=quick -- /srv/a.tar"]
        );
        assert_eq!(steps(&job, "web", &[]), []);
        job.task = Task::Snapshot;
        assert_eq!(
            lines(&steps(&job, "web", &[])),
            ["snapshot create --connect=qemu:///session -- web"]
        );
    }
}
