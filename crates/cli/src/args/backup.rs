//! What can be typed behind `backup`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{HostArgs, PlaceArgs};

/// The examples of `backup`.
pub(super) const EXAMPLES: &str = "\
EXAMPLES
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
const APPEND_EXAMPLES: &str = "\
EXAMPLES
  relift backup append web01.tar tools.iso
  relift backup append --json web01.tar tools.iso";

/// `backup …`.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Show the members, the disks, the snapshot tree and the source of a bundle; reads headers only.
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
    /// Add files to a bundle without rewriting it; a crash leaves the old bundle or the new one.
    #[command(after_long_help = APPEND_EXAMPLES)]
    Append(BackupAppendArgs),
}

impl BackupCommand {
    /// The command as schemas and events name it.
    pub(super) const fn verb(&self) -> &'static str {
        match self {
            Self::Show(_) => "backup.show",
            Self::Config(_) => "backup.config",
            Self::Verify(_) => "backup.verify",
            Self::Compress(_) => "backup.compress",
            Self::Decompress(_) => "backup.decompress",
            Self::Append(_) => "backup.append",
        }
    }
}

/// `backup show`.
#[derive(Debug, Args)]
pub(crate) struct BackupShowArgs {
    /// The bundle, .tar or .tar.zst.
    #[arg(value_name = "FILE")]
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
    /// The bundles, .tar or .tar.zst.
    #[arg(value_name = "FILE", required = true)]
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
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// What to add, under its own name; a domain XML without a time in its name gets the present one and
    /// becomes the current definition.
    #[arg(value_name = "MEMBER", required = true)]
    pub(crate) members: Vec<PathBuf>,
}
