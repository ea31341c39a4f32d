//! What can be typed behind `backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{HostArgs, PlaceArgs, QuiesceArgs};
use crate::rate::RateLimit;

mod create;

pub(crate) use create::{
    AfterwardsChoice, BackupCreateArgs, BackupPlaceArgs, IsoChoice, ModeChoice, TemplateChoice,
};

/// The examples of `backup`.
pub(super) const EXAMPLES: &str = "\
EXAMPLES
  relift backup list
  relift backup show web01.tar
  relift backup verify web01.tar
  relift backup compress web01.tar
  relift backup append web01.tar tools.iso";
const SHOW_EXAMPLES: &str = "\
EXAMPLES
  relift backup show web01.tar
  relift backup show --json web01.tar";
const CONFIG_EXAMPLES: &str = "\
EXAMPLES
  relift backup config web01.tar
  relift backup config web01.tar --to dir:out
  relift backup config web01.tar --xml";
const VERIFY_EXAMPLES: &str = "\
EXAMPLES
  relift backup verify web01.tar
  relift backup verify --level quick web01.tar";
const COMPRESS_EXAMPLES: &str = "\
EXAMPLES
  relift backup compress web01.tar
  relift backup compress --keep --compression-level 9 web01.tar";
const DECOMPRESS_EXAMPLES: &str = "\
EXAMPLES
  relift backup compress web01.tar && relift backup decompress web01.tar.zst
  relift backup compress web01.tar && relift backup decompress web01.tar.zst -o again.tar";
const LIST_EXAMPLES: &str = "\
EXAMPLES
  relift backup list
  relift backup list --vm web01 --storage . --json";
const PRUNE_EXAMPLES: &str = "\
EXAMPLES
  relift backup prune --keep-daily 7 --keep-weekly 4 --dry-run
  relift backup prune --vm web01 --storage . --keep-within 30d --yes";
const PROTECT_EXAMPLES: &str = "\
EXAMPLES
  relift backup protect web01 --note 'before the upgrade'
  relift backup protect web01.tar --off";
const DELETE_EXAMPLES: &str = "\
EXAMPLES
  relift backup delete web01 --yes
  relift backup delete web01.tar --dry-run";
const APPEND_EXAMPLES: &str = "\
EXAMPLES
  relift backup append web01.tar tools.iso
  relift backup append --json web01.tar tools.iso";
const COPY_EXAMPLES: &str = "\
EXAMPLES
  mkdir second && relift backup copy web01.tar second
  mkdir second && relift backup copy --json web01 second";

/// `backup …`.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Back up machines, running or off: everything, or what changed since the last point.
    #[command(after_long_help = create::EXAMPLES)]
    Create(Box<BackupCreateArgs>),
    /// List the backups of a folder, a pool or every place that backups were written to.
    #[command(after_long_help = LIST_EXAMPLES)]
    List(BackupListArgs),
    /// Show the members, the disks, the points, the snapshot tree and the source of a bundle; reads headers only.
    #[command(after_long_help = SHOW_EXAMPLES)]
    Show(BackupShowArgs),
    /// Show the machine as it would be restored, with what the target would make of it; touches no host.
    #[command(after_long_help = CONFIG_EXAMPLES)]
    Config(BackupConfigArgs),
    /// Check every member, digest, disk table and the definition; exit 0 sound, 5 damaged.
    #[command(after_long_help = VERIFY_EXAMPLES)]
    Verify(BackupVerifyArgs),
    /// Turn a .tar into a .tar.zst: writes, compares, renames, removes the old file.
    #[command(after_long_help = COMPRESS_EXAMPLES)]
    Compress(BackupCompressArgs),
    /// Turn a .tar.zst into a .tar: writes, compares, renames, removes the old file.
    #[command(after_long_help = DECOMPRESS_EXAMPLES)]
    Decompress(BackupRewriteArgs),
    /// Add what changed on the machine, or files, to a bundle without rewriting it; a crash leaves the old
    /// bundle or the new one.
    #[command(after_long_help = APPEND_EXAMPLES)]
    Append(Box<BackupAppendArgs>),
    /// Copy a bundle to another folder or pool, compare it there and look at every byte.
    #[command(after_long_help = COPY_EXAMPLES)]
    Copy(BackupCopyArgs),
    /// Delete what no rule keeps: never a protected one, never the last good one of a machine.
    #[command(after_long_help = PRUNE_EXAMPLES)]
    Prune(BackupPruneArgs),
    /// Keep a backup from being deleted, by a mark in its file.
    #[command(after_long_help = PROTECT_EXAMPLES)]
    Protect(BackupProtectArgs),
    /// Delete a backup, damaged or not; a protected one is refused.
    #[command(after_long_help = DELETE_EXAMPLES)]
    Delete(BackupDeleteArgs),
}

impl BackupCommand {
    /// The command as schemas and events name it.
    pub(super) const fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "backup.create",
            Self::Show(_) => "backup.show",
            Self::Config(_) => "backup.config",
            Self::Verify(_) => "backup.verify",
            Self::Compress(_) => "backup.compress",
            Self::Decompress(_) => "backup.decompress",
            Self::Append(_) => "backup.append",
            Self::Copy(_) => "backup.copy",
            Self::List(_) => "backup.list",
            Self::Prune(_) => "backup.prune",
            Self::Protect(_) => "backup.protect",
            Self::Delete(_) => "backup.delete",
        }
    }
}

/// `backup show`.
#[derive(Debug, Args)]
pub(crate) struct BackupShowArgs {
    /// The bundle, .tar or .tar.zst, or its id in the list.
    #[arg(value_name = "ID|FILE")]
    pub(crate) file: PathBuf,
}

/// `backup config`.
#[derive(Debug, Args)]
pub(crate) struct BackupConfigArgs {
    /// The bundle, .tar or .tar.zst; FILE@POINT for the machine of an older point.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Which point of the bundle is meant; default: the newest.
    #[arg(long, value_name = "ID")]
    pub(crate) point: Option<String>,
    /// For this target: libvirt (the host of --connect), libvirt:URI, or dir:PATH; default: none, and
    /// no host is asked.
    #[arg(long, value_name = "TARGET")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) place: PlaceArgs,
    /// Print the definition alone: with --to as the target would get it, else with its old paths.
    #[arg(long, conflicts_with = "json")]
    pub(crate) xml: bool,
    /// Take the definition as it stands, with all of the host that it names.
    #[arg(long)]
    pub(crate) trust_xml: bool,
    #[command(flatten)]
    pub(crate) host: HostArgs,
}

/// `backup verify`.
#[derive(Debug, Args)]
pub(crate) struct BackupVerifyArgs {
    /// The bundles, .tar or .tar.zst, or their ids in the list.
    #[arg(value_name = "ID|FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// How far to look.
    #[arg(long, value_enum, default_value_t = BackupVerifyLevel::Deep)]
    pub(crate) level: BackupVerifyLevel,
}

/// How far `backup verify` looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BackupVerifyLevel {
    /// Headers, lengths, the chain of images, the definition.
    Quick,
    /// The same, every byte with its digest, and every table of the disks.
    Deep,
}

/// `backup compress`.
#[derive(Debug, Args)]
pub(crate) struct BackupCompressArgs {
    #[command(flatten)]
    pub(crate) rewrite: BackupRewriteArgs,
    /// The level of zstd, 1 to 19.
    #[arg(long, value_name = "N", default_value_t = bundle::DEFAULT_LEVEL, value_parser = clap::value_parser!(i32).range(1..=19))]
    pub(crate) compression_level: i32,
}

/// `backup decompress`, and most of `backup compress`.
#[derive(Debug, Args)]
pub(crate) struct BackupRewriteArgs {
    /// The bundle.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where the new file goes (default: beside FILE, with the other ending); FILE is then kept.
    #[arg(short, long, value_name = "OUT")]
    pub(crate) out: Option<PathBuf>,
    /// Keep FILE.
    #[arg(long)]
    pub(crate) keep: bool,
}

/// `backup append`.
#[derive(Debug, Args)]
pub(crate) struct BackupAppendArgs {
    /// The bundle, .tar or .tar.zst.
    #[arg(value_name = "FILE", required_unless_present = "last")]
    pub(crate) file: Option<PathBuf>,
    /// What to add, under its own name; a domain XML without a time in its name gets the present one and
    /// becomes the current definition. None: what changed on the machine since the last point.
    #[arg(value_name = "MEMBER")]
    pub(crate) members: Vec<PathBuf>,
    /// What changed on this machine since its last point, into the newest bundle that takes it.
    #[arg(long, value_name = "VM", conflicts_with_all = ["file", "members"])]
    pub(crate) last: Option<String>,
    #[command(flatten)]
    pub(crate) quiet: QuiesceArgs,
    /// Keep what the guest overwrites meanwhile beneath this folder; default: beside its first disk.
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// Read the disks no faster than this many bytes a second, such as 50M, 200MiB/s or 1GB/s.
    #[arg(long, value_name = "RATE", conflicts_with = "members")]
    pub(crate) limit_rate: Option<RateLimit>,
}

/// `backup copy`.
#[derive(Debug, Args)]
pub(crate) struct BackupCopyArgs {
    /// The bundle: its id in the list, or its file.
    #[arg(value_name = "ID|FILE")]
    pub(crate) file: PathBuf,
    /// The folder, or pool:NAME for a storage pool of the host; a file of that name stays.
    #[arg(value_name = "DEST")]
    pub(crate) dest: PathBuf,
}

/// Where backups lie.
#[derive(Debug, Args)]
pub(crate) struct ShelfArgs {
    /// In this storage pool of the host.
    #[arg(long, value_name = "NAME", conflicts_with = "storage")]
    pub(crate) pool: Option<String>,
    /// In this folder (default: every folder that a backup was written to; none yet: this one).
    #[arg(long, value_name = "DIR")]
    pub(crate) storage: Option<PathBuf>,
}

/// `backup list`.
#[derive(Debug, Args)]
pub(crate) struct BackupListArgs {
    /// Only those of this machine; repeat for more.
    #[arg(long, value_name = "VM")]
    pub(crate) vm: Vec<String>,
    #[command(flatten)]
    pub(crate) shelf: ShelfArgs,
}

/// `backup prune`.
#[derive(Debug, Args)]
pub(crate) struct BackupPruneArgs {
    /// Only those of this machine; repeat for more.
    #[arg(long, value_name = "VM")]
    pub(crate) vm: Vec<String>,
    #[command(flatten)]
    pub(crate) shelf: ShelfArgs,
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
    /// By the calendar of this time zone (default: the system's).
    #[arg(long, value_name = "ZONE")]
    pub(crate) tz: Option<String>,
    /// Say what stays and what goes, each with its reason, and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What is kept, as `backup prune` and jobs take it.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct KeepArgs {
    /// Keep the last N points of each machine.
    #[arg(long, value_name = "N", help_heading = "What is kept")]
    pub(crate) keep_last: Option<u32>,
    /// Keep the newest point of each of the last N hours that have one.
    #[arg(long, value_name = "N", help_heading = "What is kept")]
    pub(crate) keep_hourly: Option<u32>,
    /// The same for days.
    #[arg(long, value_name = "N", help_heading = "What is kept")]
    pub(crate) keep_daily: Option<u32>,
    /// The same for weeks, from Monday.
    #[arg(long, value_name = "N", help_heading = "What is kept")]
    pub(crate) keep_weekly: Option<u32>,
    /// The same for months.
    #[arg(long, value_name = "N", help_heading = "What is kept")]
    pub(crate) keep_monthly: Option<u32>,
    /// The same for years.
    #[arg(long, value_name = "N", help_heading = "What is kept")]
    pub(crate) keep_yearly: Option<u32>,
    /// Keep every point that is not older: 12h, 30d, 8w or 2y.
    #[arg(long, value_name = "SPAN", help_heading = "What is kept")]
    pub(crate) keep_within: Option<String>,
    /// Drop what is older, though it be kept by a rule.
    #[arg(long, value_name = "SPAN", help_heading = "Limits")]
    pub(crate) older_than: Option<String>,
    /// Drop the oldest where a machine has more backups, though they be kept by a rule.
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub(crate) at_most: Option<u32>,
    /// Drop the oldest until so much is free where they lie, though they be kept by a rule.
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    pub(crate) make_room: Option<String>,
}

/// `backup protect`.
#[derive(Debug, Args)]
pub(crate) struct BackupProtectArgs {
    /// The backup: its id in the list, or its file.
    #[arg(value_name = "ID|FILE")]
    pub(crate) file: PathBuf,
    /// Take the protection off.
    #[arg(long)]
    pub(crate) off: bool,
    /// Why; `backup show` tells it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

/// `backup delete`.
#[derive(Debug, Args)]
pub(crate) struct BackupDeleteArgs {
    /// The backup: its id in the list, or its file.
    #[arg(value_name = "ID|FILE")]
    pub(crate) file: PathBuf,
    /// Say what would be deleted and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}
