//! `import` and `restore`: one planner, a host or a folder as target.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{HardwareArgs, HostArgs, PackingArgs, PolicyArgs, RunArgs};

pub(super) const IMPORT_EXAMPLES: &str = "\
EXAMPLES
  relift import fixtures/demo.ova --to dir:out --net 'VM Network=br0'
  relift import fixtures/demo.ova --to dir:out --name web --dry-run";

pub(super) const RESTORE_EXAMPLES: &str = "\
EXAMPLES
  relift restore web01.tar --to dir:out
  relift restore web01.tar@20261121-190500 --in-place --dry-run
  relift restore web01.tar --in-place --disk vda --yes
  relift restore fixtures/demo.ova --to dir:out --name web-copy";

/// `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// An OVA (also packed, or at http(s)://…), an OVF or VMX file, a folder with one of them, a native
    /// backup, or - for stdin.
    #[arg(value_name = "SRC")]
    pub(crate) source: PathBuf,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(flatten)]
    pub(crate) host: HostArgs,
    #[command(flatten)]
    pub(crate) hardware: HardwareArgs,
    #[command(flatten)]
    pub(crate) packing: PackingArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
}

/// `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    #[command(flatten)]
    pub(crate) import: ImportArgs,
    /// Take disks and CD images from the folder of the OVF; without it an OVF restores hardware only.
    #[arg(long)]
    pub(crate) with_disks: bool,
    #[command(flatten)]
    pub(crate) backup: BackArgs,
}

/// What of a backup comes back, and in whose place.
#[derive(Debug, Args)]
#[command(next_help_heading = "Backups")]
pub(crate) struct BackArgs {
    /// Another machine, with a name and an identity of its own; the default.
    #[arg(long, conflicts_with = "in_place")]
    pub(crate) as_new: bool,
    /// The machine of the host that was backed up is replaced; it has to be off.
    #[arg(long, conflicts_with_all = ["name", "on_conflict", "with_disks"])]
    pub(crate) in_place: bool,
    /// Remove the old disks once the new machine is there; without it they stay under another name.
    #[arg(long, requires = "in_place")]
    pub(crate) no_safety_snapshot: bool,
    /// Restore this disk only, by target (vda) or item (disk0); repeatable.
    #[arg(long, value_name = "ID")]
    pub(crate) disk: Vec<String>,
    /// Do not ask for the name of the machine that is replaced.
    #[arg(long, requires = "in_place")]
    pub(crate) yes: bool,
}

/// Where machines go.
#[derive(Debug, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct TargetArgs {
    /// libvirt (the host of --connect), libvirt:URI, or dir:PATH.
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Start the machine when it is defined; scripts inside an appliance are never run.
    #[arg(long)]
    pub(crate) start: bool,
}

/// Where on a host files go, and under which name the machine.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct PlaceArgs {
    /// The pool of the host that takes the disks; default: the pool that holds SRC, else `default`.
    #[arg(long, value_name = "NAME", conflicts_with = "storage")]
    pub(crate) pool: Option<String>,
    /// The folder that takes the disks.
    #[arg(long, value_name = "DIR")]
    pub(crate) storage: Option<PathBuf>,
    /// What to do when the host has a machine of that name.
    #[arg(long, value_enum, default_value_t = ConflictChoice::Fail)]
    pub(crate) on_conflict: ConflictChoice,
}

/// What to do when the host has a machine of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConflictChoice {
    /// Refuse.
    Fail,
    /// Put a number behind the name.
    Rename,
}
