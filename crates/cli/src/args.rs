//! What can be typed: the command tree, its flags and its help.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::rate::RateLimit;

mod backup;
mod batch;
mod doctor;
mod hardware;
mod images;
mod job;
mod quiesce;
mod restore;
mod snapshot;

pub(crate) use backup::{
    AfterwardsChoice, BackupAppendArgs, BackupCommand, BackupCompressArgs, BackupConfigArgs,
    BackupCopyArgs, BackupCreateArgs, BackupDeleteArgs, BackupListArgs, BackupPlaceArgs,
    BackupProtectArgs, BackupPruneArgs, BackupRewriteArgs, BackupShowArgs, BackupVerifyArgs,
    BackupVerifyLevel, IsoChoice, KeepArgs, ModeChoice, ShelfArgs, TemplateChoice,
};
pub(crate) use batch::{
    BatchCommand, BatchFileArgs, BatchLimitArgs, BatchMergeArgs, BatchPlanArgs, BatchReportArgs,
    BatchRetryArgs, BatchRunArgs, OnError, OrderChoice,
};
pub(crate) use doctor::DoctorArgs;
pub(crate) use hardware::{
    BusChoice, FirmwareChoice, HardwareArgs, HostArgs, KeepOrNew, MachineChoice, NicChoice,
    PerItem, ProfileChoice, VirtTypeChoice,
};
pub(crate) use images::{
    DigestChoice, DiskCheckArgs, DiskCommand, DiskCompareArgs, DiskConvertArgs, DiskInfoArgs,
    DiskMeasureArgs, ImageArgs, ImageFormat, OutputArgs, PackingArgs,
};
pub(crate) use job::{
    JobAddArgs, JobCommand, JobNameArgs, JobRemoveArgs, JobRunArgs, JobShowArgs, TaskChoice,
};
pub(crate) use quiesce::QuiesceArgs;
pub(crate) use restore::{
    BackArgs, ConflictChoice, ImportArgs, PlaceArgs, RestoreArgs, TargetArgs,
};
pub(crate) use snapshot::{
    SnapshotCloneArgs, SnapshotCommand, SnapshotCreateArgs, SnapshotDeleteArgs,
    SnapshotMachineArgs, SnapshotNamedArgs, SnapshotRevertArgs,
};

/// The groups of the top-level help; the standard says which command is in which.
const TOP_HELP: &str = "\
{about}

{usage-heading} {usage}     start with:  relift inspect FILE.ova

Move in:
  inspect    What is in this package?
  plan       What would happen, and why; changes nothing
  convert    Package to qcow2 disks and a libvirt domain XML
  import     Package to a machine on a libvirt host
  export     Folder back to OVA or OVF
  verify     Check manifest, package and disk structure
  disk       Look at, check, compare, measure or convert single disk images
  batch      Hundreds of packages: plan, run, resume, report

Protect:
  snapshot   Take, show, go back to, delete and clone moments of a machine
  restore    A machine back from a backup, a domain XML, an OVF
  backup     Make, list, check, prune, protect; job: the same on a schedule

Service and tools:
  doctor     What works on this host? also explain CODE, sample, completions, help

Options (on every command): -q, -v, --json, --events, --color, --progress, --connect
  -h one screen, --help with examples, -V version; RELIFT_SANDBOX=off lifts the sandbox
";

/// Imports OVA and OVF appliances into KVM, with a reason for each change.
#[derive(Debug, Parser)]
#[command(
    name = "relift",
    version,
    help_template = TOP_HELP,
    disable_help_subcommand = false,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Print errors only.
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    pub(crate) quiet: bool,
    /// Say more about what is done; repeat for more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet", help_heading = "Everywhere")]
    pub(crate) verbose: u8,
    /// Print one JSON document on stdout at the end, nothing else.
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
    /// Write JSON Lines of events to FILE, to stdout (-) or to an open descriptor (fd:N).
    #[arg(long, global = true, value_name = "FILE|-|fd:N", help_heading = "Everywhere")]
    pub(crate) events: Option<String>,
    /// When to colour.
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, env = "RELIFT_COLOR", help_heading = "Everywhere")]
    pub(crate) color: ColorChoice,
    /// How to show progress.
    #[arg(long, global = true, value_enum, default_value_t = ProgressChoice::Auto, help_heading = "Everywhere")]
    pub(crate) progress: ProgressChoice,
    /// The libvirt host; default: $LIBVIRT_DEFAULT_URI, else qemu:///system.
    #[arg(
        long,
        global = true,
        value_name = "URI",
        env = "RELIFT_CONNECT",
        hide_env_values = true,
        help_heading = "Everywhere"
    )]
    pub(crate) connect: Option<String>,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    Auto,
    Always,
    Never,
}

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressChoice {
    /// A bar on a terminal, else plain lines.
    Auto,
    /// A bar.
    Bar,
    /// One line every 5 s.
    Plain,
    /// Nothing.
    None,
}

impl Command {
    /// The command as schemas and events name it.
    pub(crate) const fn verb(&self) -> &'static str {
        match self {
            Self::Inspect(_) => "inspect",
            Self::Plan(_) => "plan",
            Self::Convert(_) => "convert",
            Self::Import(_) => "import",
            Self::Restore(_) => "restore",
            Self::Verify(_) => "verify",
            Self::Export(_) => "export",
            Self::Disk(command) => command.verb(),
            Self::Backup(command) => command.verb(),
            Self::Batch(command) => command.verb(),
            Self::Job(command) => command.verb(),
            Self::Snapshot(command) => command.verb(),
            Self::Sample(SampleCommand::Create(_)) => "sample.create",
            Self::Doctor(_) => "doctor",
            Self::Explain(_) => "explain",
            Self::Completions(_) => "completions",
            Self::Guard(_) => host::guard::COMMAND,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what is in a package: reads headers and the descriptor only, writes nothing.
    #[command(visible_aliases = ["probe", "info"], after_long_help = INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Say what a conversion would do with each item and why; changes nothing.
    #[command(after_long_help = PLAN_EXAMPLES)]
    Plan(PlanArgs),
    /// Convert a package to a folder of disk images, a domain XML and a result file, or to a backup file.
    #[command(after_long_help = CONVERT_EXAMPLES)]
    Convert(ConvertArgs),
    /// Convert a package and define its machines on a libvirt host, or in a folder.
    #[command(after_long_help = restore::IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// Bring a machine back from a backup, a domain XML, an OVF or an OVA.
    #[command(after_long_help = restore::RESTORE_EXAMPLES)]
    Restore(RestoreArgs),
    /// Write the machine of a folder as an OVA or an OVF folder.
    #[command(after_long_help = EXPORT_EXAMPLES)]
    Export(ExportArgs),
    /// Check a package against its manifest, and its disks for damage.
    #[command(after_long_help = VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// Look at, check, compare or convert single disk images.
    #[command(subcommand, after_long_help = images::EXAMPLES)]
    Disk(DiskCommand),
    /// List, look at, check, prune, protect, compress or add to native backup files.
    #[command(subcommand, after_long_help = backup::EXAMPLES)]
    Backup(BackupCommand),
    /// Convert hundreds of packages: one file to review, a journal to resume from, a report.
    #[command(subcommand, after_long_help = batch::EXAMPLES)]
    Batch(BatchCommand),
    /// Do backups, snapshots, verifications and prunings on a schedule.
    #[command(subcommand, after_long_help = job::EXAMPLES)]
    Job(JobCommand),
    /// Take, list, go back to, delete and clone snapshots of machines.
    #[command(subcommand, after_long_help = snapshot::EXAMPLES)]
    Snapshot(SnapshotCommand),
    /// Make sample packages; needs no network.
    #[command(subcommand, after_long_help = SAMPLE_EXAMPLES)]
    Sample(SampleCommand),
    /// Say what works on this host and what to install.
    #[command(after_long_help = doctor::EXAMPLES)]
    Doctor(DoctorArgs),
    /// Print the long text behind a code.
    #[command(after_long_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Print the completions for a shell.
    #[command(after_long_help = COMPLETIONS_EXAMPLES)]
    Completions(CompletionsArgs),
    /// Thaw a machine when the one that froze it ends or takes too long; relift starts it by itself.
    #[command(name = host::guard::COMMAND, hide = true)]
    Guard(GuardArgs),
}

const INSPECT_EXAMPLES: &str = "\
EXAMPLES
  relift inspect fixtures/demo.ova
  relift inspect --full fixtures/demo.ova
  relift inspect --json fixtures/demo.ova";
const PLAN_EXAMPLES: &str = "\
EXAMPLES
  relift plan fixtures/demo.ova
  relift plan fixtures/demo.ova --net 'VM Network=br0' --net DMZ=none --profile virtio
  relift plan fixtures/demo.ova -o demo.plan.toml && relift plan demo.plan.toml";
const CONVERT_EXAMPLES: &str = "\
EXAMPLES
  relift convert fixtures/demo.ova -o out
  relift convert fixtures/demo.ova -o out --net default --dry-run
  cat fixtures/demo.ova | relift convert - -o out
  relift convert fixtures/demo.ova -o demo.tar.zst";
const EXPORT_EXAMPLES: &str = "\
EXAMPLES
  relift convert fixtures/demo.ova -o out && relift export out -o back.ova
  relift convert fixtures/demo.ova -o out && relift export out -o back/ --compat generic";
const VERIFY_EXAMPLES: &str = "\
EXAMPLES
  relift verify fixtures/demo.ova
  relift verify --level deep fixtures/demo.ova";
const SAMPLE_EXAMPLES: &str = "\
EXAMPLES
  relift sample create
  relift sample create -o my-demo.ova";
const EXPLAIN_EXAMPLES: &str = "\
EXAMPLES
  relift explain
  relift explain E0203";
const COMPLETIONS_EXAMPLES: &str = "\
EXAMPLES
  relift completions bash
  relift completions zsh";

/// `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// An OVA (also packed, or at http(s)://…), an OVF or VMX file, a folder with one of them, a native
    /// backup, a libvirt domain XML, or - for stdin.
    #[arg(value_name = "SRC")]
    pub(crate) source: PathBuf,
    /// Show all properties, the EULA's text and every item.
    #[arg(long)]
    pub(crate) full: bool,
    /// Read everything and compare it with the manifest.
    #[arg(long)]
    pub(crate) check_digests: bool,
    /// Print the descriptor as it stands.
    #[arg(long, conflicts_with = "json")]
    pub(crate) xml: bool,
    #[command(flatten)]
    pub(crate) signature: SignatureArgs,
}

/// `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// An OVA (also packed, or at http(s)://…), an OVF or VMX file, a folder with one of them, - for stdin,
    /// or a plan file (.toml).
    #[arg(value_name = "SRC")]
    pub(crate) source: PathBuf,
    /// Write the plan to a file that can be edited, and replayed in place of SRC.
    #[arg(short, long, value_name = "PLAN.toml")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) host: HostArgs,
    #[command(flatten)]
    pub(crate) hardware: HardwareArgs,
    #[command(flatten)]
    pub(crate) packing: PackingArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
}

/// `convert`.
#[derive(Debug, Args)]
pub(crate) struct ConvertArgs {
    /// An OVA (also packed, or at http(s)://…), an OVF or VMX file, a folder with one of them, - for stdin,
    /// or a plan file (.toml).
    #[arg(value_name = "SRC")]
    pub(crate) source: PathBuf,
    /// The folder that receives the disks, domain.xml and relift.result.json; or, ending in .tar or .tar.zst, one
    /// native backup file.
    #[arg(short, long, value_name = "OUT")]
    pub(crate) out: PathBuf,
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

/// How a plan is carried out.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Print the plan and stop.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Worker threads over all disks (default: the processors).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// What to check of each written disk.
    #[arg(long, value_enum, default_value_t = VerifyOutput::Quick)]
    pub(crate) verify: VerifyOutput,
    /// Read the source no faster than this many bytes a second, such as 50M, 200MiB/s or 1GB/s.
    #[arg(long, value_name = "RATE")]
    pub(crate) limit_rate: Option<RateLimit>,
    /// Leave unfinished files behind when the run fails.
    #[arg(long)]
    pub(crate) keep_partial: bool,
    /// Overwrite output that relift wrote before, never a foreign file.
    #[arg(long)]
    pub(crate) force: bool,
}

/// What to check of each written disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyOutput {
    /// Nothing.
    None,
    /// Sizes, header, tables.
    Quick,
    /// Read back and compare with the source.
    Full,
}

/// Policies about the package.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// What to do with the manifest.
    #[arg(long, value_enum, default_value_t = ManifestChoice::Check, help_heading = "Package")]
    pub(crate) manifest: ManifestChoice,
    #[command(flatten)]
    pub(crate) signature: SignatureArgs,
    /// Accept the licences of the package; relift.result.json records it.
    #[arg(long, help_heading = "Package")]
    pub(crate) accept_eula: bool,
    /// Take the definition in a backup or a domain XML as it stands: with devices, paths, programs and
    /// QEMU options of the host that it names. Only for one that you wrote or read.
    #[arg(long, help_heading = "Package")]
    pub(crate) trust_xml: bool,
    /// Which point of a backup is meant; default: the newest. FILE@ID says the same.
    #[arg(long, value_name = "ID", help_heading = "Package")]
    pub(crate) point: Option<String>,
    /// Any warning blocks (exit 6).
    #[arg(long, help_heading = "Package")]
    pub(crate) strict: bool,
}

/// Policies about the signature of the package.
#[derive(Debug, Args)]
pub(crate) struct SignatureArgs {
    /// What to do with the signature.
    #[arg(long, value_enum, default_value_t = SignatureChoice::Check, help_heading = "Package")]
    pub(crate) signature: SignatureChoice,
    /// Trust signers with these certificates, or whose issuers have them (PEM).
    #[arg(long, value_name = "FILE.pem", help_heading = "Package")]
    pub(crate) trust: Option<PathBuf>,
}

/// What to do with the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SignatureChoice {
    /// It must be there, fit, and be by a trusted signer.
    Require,
    /// If it is there it must fit.
    Check,
    /// It is not looked at.
    Skip,
}

/// What to do with the manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ManifestChoice {
    /// It must be there and match.
    Require,
    /// If it is there it must match.
    Check,
    /// A mismatch is a warning.
    Warn,
    /// It is not read.
    Skip,
}

/// `export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// A folder that relift convert wrote: domain.xml and its images.
    #[arg(value_name = "DIR")]
    pub(crate) source: PathBuf,
    /// The OVA; an existing folder or a name with a trailing slash gets the files side by side.
    #[arg(short, long)]
    pub(crate) out: PathBuf,
    /// Who shall read it: device names are those that this product has.
    #[arg(long, value_enum, default_value_t = CompatChoice::Vmware)]
    pub(crate) compat: CompatChoice,
    /// Digests of the manifest.
    #[arg(long, value_enum, default_value_t = ShaChoice::Sha256)]
    pub(crate) sha: ShaChoice,
    /// How hard disks are compressed, 1 (fast) to 12.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=12))]
    pub(crate) compress_level: Option<i32>,
    /// Worker threads; default: one a core.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// Leave unfinished files behind when the run fails.
    #[arg(long)]
    pub(crate) keep_partial: bool,
}

/// Readers of an OVF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompatChoice {
    /// VMware's products.
    Vmware,
    /// VirtualBox.
    Virtualbox,
    /// relift or another tool for KVM: virtio devices stay.
    Generic,
}

/// Digests of a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ShaChoice {
    #[value(name = "1")]
    Sha1,
    #[value(name = "256")]
    Sha256,
    #[value(name = "512")]
    Sha512,
}

/// `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// An OVA (also packed, or at http(s)://…), an OVF or VMX file, a folder with one of them, a native
    /// backup, or - for stdin.
    #[arg(value_name = "SRC")]
    pub(crate) source: PathBuf,
    /// How far to look.
    #[arg(long, value_enum, default_value_t = VerifyLevel::Digests)]
    pub(crate) level: VerifyLevel,
    #[command(flatten)]
    pub(crate) signature: SignatureArgs,
}

/// How far `verify` looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum VerifyLevel {
    /// Structure of the package, and which files the manifest lists.
    Quick,
    /// The same, and every digest.
    Digests,
    /// The same, and every table and grain of the disks.
    Deep,
}

/// Formats that disks are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    Qcow2,
    Raw,
}

/// How clusters are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CompressChoice(pub(crate) disk::Compression);

impl FromStr for CompressChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        use disk::Compression;
        let levels = 1..=Compression::MAX_ZSTD_LEVEL;
        Ok(Self(match text {
            "zlib" => Compression::Zlib,
            "zlib-compat" => Compression::ZlibCompat,
            "zstd" => Compression::ZSTD,
            _ => match text.strip_prefix("zstd:").map(str::parse) {
                Some(Ok(level)) if levels.contains(&level) => Compression::Zstd(level),
                _ => {
                    let most = levels.end();
                    return Err(format!("none of zlib, zlib-compat, zstd, zstd:1 … zstd:{most}"));
                }
            },
        }))
    }
}

/// Where the clusters lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayoutChoice {
    Packed,
    Clone,
}

/// `sample …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SampleCommand {
    /// Write the demo appliance, always the same bytes.
    #[command(after_long_help = SAMPLE_EXAMPLES)]
    Create(SampleCreateArgs),
}

/// `sample create`.
#[derive(Debug, Args)]
pub(crate) struct SampleCreateArgs {
    /// The OVA to write.
    #[arg(short, long, value_name = "OVA", default_value = "demo.ova")]
    pub(crate) out: PathBuf,
}

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A code such as E0203 or W0101; without one, all are listed.
    #[arg(value_name = "CODE")]
    pub(crate) code: Option<String>,
}

/// `guard`.
#[derive(Debug, Args)]
pub(crate) struct GuardArgs {
    /// The machine, by its UUID.
    #[arg(long, value_name = "UUID")]
    pub(crate) machine: vm::Uuid,
    /// When it is thawed at the latest.
    #[arg(long, value_name = "N")]
    pub(crate) deadline_ms: u64,
}

/// `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}
