//! What can be typed behind `snapshot`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::QuiesceArgs;

/// The examples of `snapshot`.
pub(super) const EXAMPLES: &str = "\
EXAMPLES
  relift snapshot create web01 --name before-upgrade
  relift snapshot tree web01
  relift snapshot revert web01 before-upgrade --stop --yes
  relift snapshot delete web01 before-upgrade --yes";
const CREATE_EXAMPLES: &str = "\
EXAMPLES
  relift snapshot create web01 --name before-upgrade --desc 'kernel 6.1'
  relift snapshot create web01 --with-memory
  relift snapshot create web01 --quiesce require --deadline 90s --exclude-disk vdb";
const LIST_EXAMPLES: &str = "\
EXAMPLES
  relift snapshot list web01
  relift snapshot list web01 --json";
const SHOW_EXAMPLES: &str = "\
EXAMPLES
  relift snapshot show web01 before-upgrade
  relift snapshot show web01 before-upgrade --json";
const TREE_EXAMPLES: &str = "\
EXAMPLES
  relift snapshot tree web01
  relift snapshot tree web01 --json";
const REVERT_EXAMPLES: &str = "\
EXAMPLES
  relift snapshot revert web01 before-upgrade --dry-run
  relift snapshot revert web01 before-upgrade --stop --snapshot-first --yes";
const DELETE_EXAMPLES: &str = "\
EXAMPLES
  relift snapshot delete web01 before-upgrade --dry-run
  relift snapshot delete web01 before-upgrade --children --yes";
const CLONE_EXAMPLES: &str = "\
EXAMPLES
  relift snapshot clone web01 before-upgrade --name web01-test
  relift snapshot clone web01 before-upgrade --name web01-test --storage /srv/images";

/// `snapshot …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Take a snapshot of a machine that runs or is off: all disks at one moment.
    #[command(after_long_help = CREATE_EXAMPLES)]
    Create(SnapshotCreateArgs),
    /// List the snapshots of a machine.
    #[command(after_long_help = LIST_EXAMPLES)]
    List(SnapshotMachineArgs),
    /// Show a snapshot: its disks, its files, and how quiet the guest was.
    #[command(after_long_help = SHOW_EXAMPLES)]
    Show(SnapshotNamedArgs),
    /// Draw the snapshots of a machine as a tree, with the place where the machine is.
    #[command(after_long_help = TREE_EXAMPLES)]
    Tree(SnapshotMachineArgs),
    /// Take a machine that is off back to a snapshot; what it wrote since is lost.
    #[command(after_long_help = REVERT_EXAMPLES)]
    Revert(SnapshotRevertArgs),
    /// Delete a snapshot; the machine goes on with what it has.
    #[command(after_long_help = DELETE_EXAMPLES)]
    Delete(SnapshotDeleteArgs),
    /// Make a new machine from the state of a snapshot.
    #[command(after_long_help = CLONE_EXAMPLES)]
    Clone(SnapshotCloneArgs),
}

impl SnapshotCommand {
    /// The command as schemas and events name it.
    pub(super) const fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "snapshot.create",
            Self::List(_) => "snapshot.list",
            Self::Show(_) => "snapshot.show",
            Self::Tree(_) => "snapshot.tree",
            Self::Revert(_) => "snapshot.revert",
            Self::Delete(_) => "snapshot.delete",
            Self::Clone(_) => "snapshot.clone",
        }
    }
}

/// The machine that is meant.
#[derive(Debug, Args)]
pub(crate) struct SnapshotMachineArgs {
    /// The machine, by name or UUID.
    #[arg(value_name = "VM")]
    pub(crate) machine: String,
}

/// The snapshot that is meant.
#[derive(Debug, Args)]
pub(crate) struct SnapshotNamedArgs {
    #[command(flatten)]
    pub(crate) of: SnapshotMachineArgs,
    /// The snapshot.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// `snapshot create`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotCreateArgs {
    #[command(flatten)]
    pub(crate) of: SnapshotMachineArgs,
    /// What to call it; default: the time, YYYYMMDD-HHMMSS in UTC.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Say something of it.
    #[arg(long = "desc", value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Keep the disks alone; that is what is done unless something else is said.
    #[arg(long, conflicts_with = "with_memory")]
    pub(crate) disks_only: bool,
    /// Keep the guest's memory, too: going back, the guest goes on where it was.
    #[arg(long)]
    pub(crate) with_memory: bool,
    #[command(flatten)]
    pub(crate) quiet: QuiesceArgs,
    /// Leave a disk out, by its target (vdb); can be repeated.
    #[arg(long, value_name = "TARGET")]
    pub(crate) exclude_disk: Vec<String>,
    /// Put overlays and memory into this folder; default: beside each image.
    #[arg(long, value_name = "DIR")]
    pub(crate) storage: Option<PathBuf>,
    /// Say what would be in it, and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `snapshot revert`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotRevertArgs {
    #[command(flatten)]
    pub(crate) named: SnapshotNamedArgs,
    /// Ask the guest to shut down first, and wait for it.
    #[arg(long)]
    pub(crate) stop: bool,
    /// Take a snapshot first, so that nothing is lost.
    #[arg(long)]
    pub(crate) snapshot_first: bool,
    /// Keep the images that nothing refers to afterwards.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Say what would be done and lost, and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `snapshot delete`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotDeleteArgs {
    #[command(flatten)]
    pub(crate) named: SnapshotNamedArgs,
    /// Delete the snapshots that follow from it, too.
    #[arg(long)]
    pub(crate) children: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Say what would be done, and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// `snapshot clone`.
#[derive(Debug, Args)]
pub(crate) struct SnapshotCloneArgs {
    #[command(flatten)]
    pub(crate) named: SnapshotNamedArgs,
    /// The name of the new machine.
    #[arg(long = "name", value_name = "NEW")]
    pub(crate) new: String,
    /// Put its disks into the folder of this pool.
    #[arg(long, value_name = "POOL", conflicts_with = "storage")]
    pub(crate) pool: Option<String>,
    /// Put its disks into this folder; default: beside each image.
    #[arg(long, value_name = "DIR")]
    pub(crate) storage: Option<PathBuf>,
    /// Worker threads (default: the processors).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// Say what would be made, and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
}
