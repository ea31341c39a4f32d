//! What can be typed behind `batch`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{HardwareArgs, HostArgs, PackingArgs, PlaceArgs, PolicyArgs};
use crate::rate::RateLimit;

/// The examples of `batch`.
pub(super) const EXAMPLES: &str = "\
EXAMPLES
  relift batch plan appliances/ --to dir:machines -o wave1.toml
  relift batch run wave1.toml --jobs 2
  relift batch report wave1.toml --format html -o wave1.html";
const PLAN_EXAMPLES: &str = "\
EXAMPLES
  relift batch plan fixtures --glob 'demo.ova' --to dir:machines -o wave1.toml
  relift batch plan list.csv --to libvirt --pool images -o wave1.toml";
const RUN_EXAMPLES: &str = "\
EXAMPLES
  relift batch run wave1.toml
  relift batch run wave1.toml --jobs 4 --retry 2 --max-failures 5%
  relift batch run wave1.toml --shard 0/3";
const STATUS_EXAMPLES: &str = "\
EXAMPLES
  relift batch status wave1.toml
  relift batch status wave1.toml --json";
const RETRY_EXAMPLES: &str = "\
EXAMPLES
  relift batch retry wave1.toml --failed
  relift batch retry wave1.toml --id web-01";
const REPORT_EXAMPLES: &str = "\
EXAMPLES
  relift batch report wave1.toml
  relift batch report wave1.toml --format html -o wave1.html";
const MERGE_EXAMPLES: &str = "\
EXAMPLES
  relift batch merge wave1.toml
  relift batch merge wave1.toml other/wave1.journal.0-of-3.jsonl";

/// `batch …`.
#[derive(Debug, Subcommand)]
pub(crate) enum BatchCommand {
    /// Inspect every appliance of a folder or list, and write one file to review.
    #[command(after_long_help = PLAN_EXAMPLES)]
    Plan(Box<BatchPlanArgs>),
    /// Convert what the file lists; items that are done and unchanged are skipped.
    #[command(after_long_help = RUN_EXAMPLES)]
    Run(BatchRunArgs),
    /// Show where each item is.
    #[command(after_long_help = STATUS_EXAMPLES)]
    Status(BatchFileArgs),
    /// Run failed or named items again.
    #[command(after_long_help = RETRY_EXAMPLES)]
    Retry(BatchRetryArgs),
    /// Write a report of the whole batch, from every journal beside the file.
    #[command(after_long_help = REPORT_EXAMPLES)]
    Report(BatchReportArgs),
    /// Put the journals of shards into the one of the batch.
    #[command(after_long_help = MERGE_EXAMPLES)]
    Merge(BatchMergeArgs),
}

impl BatchCommand {
    /// The command as schemas and events name it.
    pub(super) const fn verb(&self) -> &'static str {
        match self {
            Self::Plan(_) => "batch.plan",
            Self::Run(_) => "batch.run",
            Self::Status(_) => "batch.status",
            Self::Retry(_) => "batch.retry",
            Self::Report(_) => "batch.report",
            Self::Merge(_) => "batch.merge",
        }
    }
}

/// `batch plan`.
#[derive(Debug, Args)]
pub(crate) struct BatchPlanArgs {
    /// A folder with appliances, a text with a path a line, or a .csv with the columns id, source, and
    /// any flag of import by its name.
    #[arg(value_name = "DIR|LIST")]
    pub(crate) source: PathBuf,
    /// The file that is written.
    #[arg(short, long, value_name = "BATCH.toml")]
    pub(crate) out: PathBuf,
    /// Which files of a folder are appliances (default: every .ova and .ovf in it and below).
    #[arg(long, value_name = "PATTERN")]
    pub(crate) glob: Option<String>,
    /// libvirt (the host of --connect), libvirt:URI, or dir:PATH: each item gets the folder PATH/ID.
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: Option<String>,
    /// How many packages are inspected at a time (default: the processors).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Replace a batch file that is there.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) host: HostArgs,
    #[command(flatten)]
    pub(crate) hardware: HardwareArgs,
    #[command(flatten)]
    pub(crate) packing: PackingArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
}

/// `batch run`.
#[derive(Debug, Args)]
pub(crate) struct BatchRunArgs {
    /// The batch file.
    #[arg(value_name = "BATCH.toml")]
    pub(crate) file: PathBuf,
    /// Do this part only: I/N, kubernetes/N (JOB_COMPLETION_INDEX of an Indexed Job), or slurm (the
    /// SLURM_ARRAY_TASK_ variables).
    #[arg(long, value_name = "I/N", env = "RELIFT_SHARD", hide_env_values = true)]
    pub(crate) shard: Option<String>,
    /// Say what would be done and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) run: BatchLimitArgs,
}

/// How a batch is carried out.
#[derive(Debug, Args)]
pub(crate) struct BatchLimitArgs {
    /// How many items at a time.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: u16,
    /// How often an item is tried again whose failure may pass (exit 7, 8, 11, or ended by a signal).
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) retry: u32,
    /// Begin no other item after more than N failed, or N% of the items.
    #[arg(long, value_name = "N|P%")]
    pub(crate) max_failures: Option<String>,
    /// Whether an item that fails ends the run.
    #[arg(long, value_enum, default_value_t = OnError::Continue)]
    pub(crate) on_error: OnError,
    /// Read packages no faster than this many bytes a second, such as 200MiB/s, all items together.
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_rate: Option<RateLimit>,
    /// The order of the items; size: small ones first.
    #[arg(long, value_enum, default_value_t = OrderChoice::Size)]
    pub(crate) order: OrderChoice,
    /// Begin items only between these times of the day, local time.
    #[arg(long, value_name = "22:00-06:00")]
    pub(crate) window: Option<String>,
    /// The journal (default: BATCH.journal.jsonl beside the batch file).
    #[arg(long, value_name = "PATH")]
    pub(crate) journal: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) host: HostArgs,
}

/// What an item that fails does to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnError {
    /// Nothing: the others go on.
    Continue,
    /// No other item is begun.
    Stop,
}

/// The order of items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderChoice {
    /// By the length of the package.
    Size,
    /// By id.
    Name,
    /// As they stand in the file.
    File,
}

/// A command that only names the batch.
#[derive(Debug, Args)]
pub(crate) struct BatchFileArgs {
    /// The batch file.
    #[arg(value_name = "BATCH.toml")]
    pub(crate) file: PathBuf,
}

/// `batch retry`.
#[derive(Debug, Args)]
pub(crate) struct BatchRetryArgs {
    /// The batch file.
    #[arg(value_name = "BATCH.toml")]
    pub(crate) file: PathBuf,
    /// Every item that failed (the default).
    #[arg(long, conflicts_with = "id")]
    pub(crate) failed: bool,
    /// This item, whatever became of it; repeat for more.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Vec<String>,
    #[command(flatten)]
    pub(crate) run: BatchLimitArgs,
}

/// `batch report`.
#[derive(Debug, Args)]
pub(crate) struct BatchReportArgs {
    /// The batch file.
    #[arg(value_name = "BATCH.toml")]
    pub(crate) file: PathBuf,
    /// The form of the report.
    #[arg(long, value_name = "md|html|csv|json", default_value = "md")]
    pub(crate) format: String,
    /// The file that is written; without it the report is printed.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `batch merge`.
#[derive(Debug, Args)]
pub(crate) struct BatchMergeArgs {
    /// The batch file.
    #[arg(value_name = "BATCH.toml")]
    pub(crate) file: PathBuf,
    /// Journals from elsewhere; those of shards beside the batch file are taken by themselves.
    #[arg(value_name = "JOURNAL")]
    pub(crate) journals: Vec<PathBuf>,
}
