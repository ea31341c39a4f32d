//! What can be typed behind `backup create`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::QuiesceArgs;
use crate::rate::RateLimit;

/// The examples of `backup create`.
pub(super) const EXAMPLES: &str = "\
EXAMPLES
  relift backup create web01 --incrementable
  relift backup create web01 --dry-run
  relift backup append --last web01
  relift backup create web01 --mode incremental --storage /srv/backup
  relift backup create web01 -o web01.tar.zst --quiesce require
  relift backup create web01 --memory";

/// `backup create`.
#[derive(Debug, Args)]
pub(crate) struct BackupCreateArgs {
    /// The machines, by name or UUID; a bundle each.
    #[arg(value_name = "VM", required = true)]
    pub(crate) machines: Vec<String>,
    #[command(flatten)]
    pub(crate) where_to: BackupPlaceArgs,
    /// Keep a checkpoint on the machine, so that the next backup can be an increment.
    #[arg(long)]
    pub(crate) incrementable: bool,
    /// How much is read; auto: what changed where that is known, else everything, with the reason.
    #[arg(long, value_enum, default_value_t = ModeChoice::Auto)]
    pub(crate) mode: ModeChoice,
    /// Write nothing where neither a disk nor the definition has changed since the last point.
    #[arg(long)]
    pub(crate) skip_unchanged: bool,
    /// With the Nth increment the bundle is done: the machine's checkpoints go, and the next backup begins a
    /// new one. 0: no limit.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) max_increments: u32,
    /// Copy the images in CD drives, too.
    #[arg(long, value_enum, default_value_t = IsoChoice::Exclude)]
    pub(crate) iso: IsoChoice,
    /// Write a new bundle as .tar.zst (zstd, or zstd:LEVEL from 1 to 22), or as .tar (none).
    #[arg(long, value_name = "HOW", default_value = "none", conflicts_with = "output")]
    pub(crate) compress: String,
    /// Keep the guest's memory, too, as a snapshot that a restored machine can be taken back to: a full backup
    /// of a machine that is on, whose guest is not frozen.
    #[arg(long)]
    pub(crate) memory: bool,
    #[command(flatten)]
    pub(crate) quiet: QuiesceArgs,
    /// Leave a disk out, by its target (vdb); can be repeated.
    #[arg(long, value_name = "TARGET")]
    pub(crate) exclude_disk: Vec<String>,
    /// Of a thin clone, copy what it shares with its template, too: the backup then needs no template.
    #[arg(long)]
    pub(crate) with_template: bool,
    /// Restore the machine as a template, which is never started; auto: if it is off, and the disk of
    /// another machine stands on one of its disks.
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = TemplateChoice::Auto,
        default_missing_value = "yes"
    )]
    pub(crate) template: TemplateChoice,
    /// Say something of a new bundle: KEY=VALUE; can be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) tag: Vec<String>,
    /// Write a note on a new bundle.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// Protect a new bundle: nothing deletes it.
    #[arg(long)]
    pub(crate) protect: bool,
    /// Keep what the guest overwrites meanwhile beneath this folder; default: beside its first disk.
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// Read the disks no faster than this many bytes a second, such as 50M, 200MiB/s or 1GB/s.
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_rate: Option<RateLimit>,
    /// Worker threads.
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<usize>,
    /// Look at the new point before it counts as done.
    #[arg(long, value_enum, default_value_t = AfterwardsChoice::Quick)]
    pub(crate) verify: AfterwardsChoice,
    /// Only say what would be done: disks and why, what is left out, room, where to.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Where a bundle goes.
#[derive(Debug, Args)]
pub(crate) struct BackupPlaceArgs {
    /// The file, .tar or .tar.zst; default: VM-YYYYMMDD-HHMMSS.tar.
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["storage", "pool"])]
    pub(crate) output: Option<PathBuf>,
    /// The folder.
    #[arg(long, value_name = "DIR", conflicts_with = "pool")]
    pub(crate) storage: Option<PathBuf>,
    /// The storage pool of the host, which must be a folder: no LVM, ZFS or RBD.
    #[arg(long, value_name = "NAME")]
    pub(crate) pool: Option<String>,
}

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeChoice {
    /// What changed, where that is known.
    Auto,
    /// Everything.
    Full,
    /// What changed, or nothing at all.
    Incremental,
}

/// Whether a machine is backed up as a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TemplateChoice {
    /// If others are cloned from it.
    Auto,
    /// It is.
    Yes,
    /// It is not.
    No,
}

/// Whether the images in CD drives are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsoChoice {
    /// They are.
    Include,
    /// They are not.
    Exclude,
}

/// How far a new point is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AfterwardsChoice {
    /// Not at all.
    None,
    /// Headers, lengths and the chain of images.
    Quick,
    /// Every byte of the bundle.
    Deep,
}
