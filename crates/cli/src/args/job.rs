//! What can be typed behind `job`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{BackupVerifyLevel, KeepArgs, ShelfArgs};
use crate::rate::RateLimit;

/// The examples of `job`.
pub(super) const EXAMPLES: &str = "\
EXAMPLES
  relift job add nightly --vm web01 --schedule 'daily 02:00' --storage . --keep-within 30d
  relift job list
  relift job run --due";
const ADD_EXAMPLES: &str = "\
EXAMPLES
  relift job add nightly --vm web01 --schedule 'daily 02:00' --storage . --keep-within 30d
  relift job add hourly --all --task snapshot --schedule 'hourly :15'
  relift job add weekly --all --schedule '0 1 * * sun' --tz Europe/Berlin --emit-systemd .
  relift job add fulls --vm web01 --storage . --max-increments 6 -- --quiesce require";
const LIST_EXAMPLES: &str = "\
EXAMPLES
  relift job list
  relift job list --json";
const SHOW_EXAMPLES: &str = "\
EXAMPLES
  relift job show nightly
  relift job show nightly --emit-systemd .";
const RUN_EXAMPLES: &str = "\
EXAMPLES
  relift job run --due
  relift job run scrub --no-wait";
const PAUSE_EXAMPLES: &str = "\
EXAMPLES
  relift job pause nightly
  relift job pause nightly --json";
const RESUME_EXAMPLES: &str = "\
EXAMPLES
  relift job resume nightly
  relift job resume nightly --json";
const REMOVE_EXAMPLES: &str = "\
EXAMPLES
  relift job remove nightly --yes
  relift job remove nightly --yes --json";
const HISTORY_EXAMPLES: &str = "\
EXAMPLES
  relift job history nightly
  relift job history nightly --json";

/// `job …`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Add a job; nothing runs yet.
    #[command(after_long_help = ADD_EXAMPLES)]
    Add(Box<JobAddArgs>),
    /// List the jobs: when each runs next, and what became of its last run.
    #[command(after_long_help = LIST_EXAMPLES)]
    List,
    /// Show a job, and the command lines that it runs.
    #[command(after_long_help = SHOW_EXAMPLES)]
    Show(JobShowArgs),
    /// Run a job now, or all that are due: for one timer or cron line.
    #[command(after_long_help = RUN_EXAMPLES)]
    Run(JobRunArgs),
    /// Keep a job from running by its schedule.
    #[command(after_long_help = PAUSE_EXAMPLES)]
    Pause(JobNameArgs),
    /// Let a job run by its schedule again, from the next time on.
    #[command(after_long_help = RESUME_EXAMPLES)]
    Resume(JobNameArgs),
    /// Remove a job; its backups and its history stay.
    #[command(after_long_help = REMOVE_EXAMPLES)]
    Remove(JobRemoveArgs),
    /// Show what became of the runs of a job, the newest first.
    #[command(after_long_help = HISTORY_EXAMPLES)]
    History(JobNameArgs),
}

impl JobCommand {
    /// The command as schemas and events name it.
    pub(super) const fn verb(&self) -> &'static str {
        match self {
            Self::Add(_) => "job.add",
            Self::List => "job.list",
            Self::Show(_) => "job.show",
            Self::Run(_) => "job.run",
            Self::Pause(_) => "job.pause",
            Self::Resume(_) => "job.resume",
            Self::Remove(_) => "job.remove",
            Self::History(_) => "job.history",
        }
    }
}

/// `job add`.
#[derive(Debug, Args)]
pub(crate) struct JobAddArgs {
    /// What it is called: letters, digits, '.', '_', '-'.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// For this machine; repeat for more.
    #[arg(long, value_name = "VM", required_unless_present_any = ["all", "label"])]
    pub(crate) vm: Vec<String>,
    /// For every machine that the host has when the job runs.
    #[arg(long, conflicts_with = "vm")]
    pub(crate) all: bool,
    /// For machines by a label: refused, since machines of libvirt have none.
    #[arg(long, value_name = "K=V", hide = true)]
    pub(crate) label: Vec<String>,
    /// What it does.
    #[arg(long, value_enum, default_value_t = TaskChoice::Backup)]
    pub(crate) task: TaskChoice,
    /// When: 'hourly :15', 'daily 02:00', 'weekly sun 01:00', 'monthly 1 03:00', or the five fields of cron;
    /// without it the job only runs by hand.
    #[arg(long, value_name = "WHEN")]
    pub(crate) schedule: Option<String>,
    /// By the clock of this time zone (default: the system's). A time that clocks leave out runs behind the gap,
    /// of one that comes twice the first counts.
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// How many tasks at a time that write to the same place, over all jobs and processes; 0: no limit.
    #[arg(long, value_name = "N", default_value_t = backup::CONCURRENCY)]
    pub(crate) concurrency: u32,
    #[command(flatten)]
    pub(crate) shelf: ShelfArgs,
    /// Increments; with the Nth the machine's checkpoints go, and the next backup is a full one (default: full
    /// backups; 0: no limit).
    #[arg(long, value_name = "N")]
    pub(crate) max_increments: Option<u32>,
    /// Write no increment where neither a disk nor the definition of the machine has changed.
    #[arg(long, requires = "max_increments")]
    pub(crate) skip_unchanged: bool,
    /// Read the disks no faster than this many bytes a second, such as 50M, 200MiB/s or 1GB/s.
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_rate: Option<RateLimit>,
    /// How far what was written is looked at before older ones may go.
    #[arg(long, value_enum, default_value_t = BackupVerifyLevel::Deep)]
    pub(crate) verify: BackupVerifyLevel,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// Write a service and a timer of systemd that run it into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) emit_systemd: Option<PathBuf>,
    /// Further words for the command of the task.
    #[arg(last = true, value_name = "WORDS")]
    pub(crate) words: Vec<String>,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TaskChoice {
    /// Make a backup, verify it, prune.
    Backup,
    /// Make a snapshot.
    Snapshot,
    /// Verify every backup of the machines.
    Verify,
    /// Delete what no rule keeps.
    Prune,
}

/// `job show`.
#[derive(Debug, Args)]
pub(crate) struct JobShowArgs {
    /// The job.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Write a service and a timer of systemd that run it into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) emit_systemd: Option<PathBuf>,
}

/// `job run`.
#[derive(Debug, Args)]
pub(crate) struct JobRunArgs {
    /// The job, whether it is due or not.
    #[arg(value_name = "NAME", required_unless_present = "due", conflicts_with = "due")]
    pub(crate) name: Option<String>,
    /// Every job that is due; one that is running is left alone.
    #[arg(long)]
    pub(crate) due: bool,
    /// Where somebody else has the job, the machine or the place, fail (exit 11) instead of waiting.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

/// A command that only names the job.
#[derive(Debug, Args)]
pub(crate) struct JobNameArgs {
    /// The job.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// `job remove`.
#[derive(Debug, Args)]
pub(crate) struct JobRemoveArgs {
    /// The job.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}
