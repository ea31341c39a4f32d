//! What can be typed behind `disk`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{CompressChoice, LayoutChoice};

/// The examples of `disk`.
pub(super) const EXAMPLES: &str = "\
EXAMPLES
  relift disk info disk.vmdk
  relift disk convert disk.vmdk -O qcow2 -o disk.qcow2
  relift disk check disk.vmdk
  relift disk compare disk.vmdk disk.vmdk
  relift disk measure disk.vmdk -O qcow2
  relift disk map --json disk.vmdk";
const INFO_EXAMPLES: &str = "\
EXAMPLES
  relift disk info disk.vmdk
  relift disk info -f vmdk --json disk.vmdk";
const CONVERT_EXAMPLES: &str = "\
EXAMPLES
  relift disk convert disk.vmdk -o disk.qcow2
  relift disk convert disk.vmdk --compress -o small.qcow2
  relift disk convert disk.vmdk --digest sha256 -O raw -o disk.raw
  relift disk convert disk.vmdk -O raw -o - | wc -c
  relift disk convert disk.vmdk -O vmdk -o again.vmdk";
const CHECK_EXAMPLES: &str = "\
EXAMPLES
  relift disk check disk.vmdk
  relift disk check -f vmdk disk.vmdk";
const COMPARE_EXAMPLES: &str = "\
EXAMPLES
  relift disk compare disk.vmdk disk.vmdk
  relift disk compare -f vmdk -F vmdk disk.vmdk disk.vmdk";
const MEASURE_EXAMPLES: &str = "\
EXAMPLES
  relift disk measure disk.vmdk -O qcow2
  relift disk measure disk.vmdk --compress --json";
const MAP_EXAMPLES: &str = "\
EXAMPLES
  relift disk map disk.vmdk
  relift disk map --json disk.vmdk";

/// `disk …`.
#[derive(Debug, Subcommand)]
pub(crate) enum DiskCommand {
    /// Show format, variant, capacity and the names inside; opens no other file.
    #[command(after_long_help = INFO_EXAMPLES)]
    Info(DiskInfoArgs),
    /// Convert an image: the same guest bytes, zero runs stay sparse.
    #[command(after_long_help = CONVERT_EXAMPLES)]
    Convert(DiskConvertArgs),
    /// Check tables, bounds, overlaps and checksums; exit 0 clean, 5 damaged, 4 unreadable.
    #[command(after_long_help = CHECK_EXAMPLES)]
    Check(DiskCheckArgs),
    /// Compare the guest bytes of two images; exit 0 identical, 5 different, 4 unreadable.
    #[command(after_long_help = COMPARE_EXAMPLES)]
    Compare(DiskCompareArgs),
    /// Say how many bytes a conversion would write, to the byte; reads the image, writes nothing.
    #[command(after_long_help = MEASURE_EXAMPLES)]
    Measure(DiskMeasureArgs),
    /// List the extents in guest order; --json gives the array of qemu-img map.
    #[command(after_long_help = MAP_EXAMPLES)]
    Map(DiskCheckArgs),
}

impl DiskCommand {
    /// The command as schemas and events name it.
    pub(super) const fn verb(&self) -> &'static str {
        match self {
            Self::Info(_) => "disk.info",
            Self::Convert(_) => "disk.convert",
            Self::Check(_) => "disk.check",
            Self::Compare(_) => "disk.compare",
            Self::Measure(_) => "disk.measure",
            Self::Map(_) => "disk.map",
        }
    }
}

/// An image, how its format is known, and what it may open.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// The image.
    #[arg(value_name = "IMG")]
    pub(crate) image: PathBuf,
    /// Format of the input: vmdk, vhd, vhdx, vdi, qcow2, raw (default: by its magic, else raw by the
    /// name).
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<disk::Format>,
    #[command(flatten)]
    pub(crate) gate: GateArgs,
}

/// Which other files may be opened.
#[derive(Debug, Args)]
pub(crate) struct GateArgs {
    /// A file, or a folder of files, that an image may name as its backing or data file (repeatable).
    /// Extents and parents of VMDK, VHD and VHDX are opened beneath the image's own folder.
    #[arg(long, value_name = "PATH")]
    pub(crate) allow_backing: Vec<PathBuf>,
}

/// `disk info`.
#[derive(Debug, Args)]
pub(crate) struct DiskInfoArgs {
    /// The image.
    #[arg(value_name = "IMG")]
    pub(crate) image: PathBuf,
    /// Format of the input: vmdk, vhd, vhdx, vdi, qcow2, raw (default: by its magic, else raw by the
    /// name).
    #[arg(short, long, value_name = "FORMAT")]
    pub(crate) format: Option<disk::Format>,
}

/// `disk check`, `disk map`.
#[derive(Debug, Args)]
pub(crate) struct DiskCheckArgs {
    #[command(flatten)]
    pub(crate) input: ImageArgs,
}

/// `disk compare`.
#[derive(Debug, Args)]
pub(crate) struct DiskCompareArgs {
    /// One image.
    #[arg(value_name = "A")]
    pub(crate) a: PathBuf,
    /// The other.
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,
    /// Format of A: vmdk, vhd, vhdx, vdi, qcow2, raw.
    #[arg(short, long = "format", value_name = "FORMAT")]
    pub(crate) format_a: Option<disk::Format>,
    /// Format of B.
    #[arg(short = 'F', long, value_name = "FORMAT")]
    pub(crate) format_b: Option<disk::Format>,
    #[command(flatten)]
    pub(crate) gate: GateArgs,
}

/// Formats that single images are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImageFormat {
    Qcow2,
    Raw,
    Vmdk,
}

impl ImageFormat {
    /// The name, as it is typed.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
            Self::Vmdk => "vmdk",
        }
    }
}

/// How an output is written.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Format of the output; vmdk is streamOptimized, which VMware imports.
    #[arg(short = 'O', long, value_enum, default_value_t = ImageFormat::Qcow2)]
    pub(crate) output_format: ImageFormat,
    #[command(flatten)]
    pub(crate) packing: PackingArgs,
    /// Worker threads (default: the processors).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
}

/// How clusters are stored.
#[derive(Debug, Args)]
pub(crate) struct PackingArgs {
    /// Compress the clusters: zlib (also without a value; grains that are deflated already are passed
    /// through), zlib-compat (a 4 KiB window, for readers that need it), zstd or zstd:LEVEL.
    #[arg(
        long,
        value_name = "METHOD",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "zlib"
    )]
    pub(crate) compress: Option<CompressChoice>,
    /// packed: clusters one behind the other. clone: the source's bytes as they are, shared with it
    /// where the file system can.
    #[arg(long, value_enum, default_value_t = LayoutChoice::Packed, conflicts_with = "compress")]
    pub(crate) layout: LayoutChoice,
}

/// `disk convert`.
#[derive(Debug, Args)]
pub(crate) struct DiskConvertArgs {
    #[command(flatten)]
    pub(crate) input: ImageArgs,
    /// The output file; - writes raw or vmdk to stdout.
    #[arg(short, long, value_name = "OUT")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Read this internal snapshot of a qcow2 image, by its name or id.
    #[arg(long, value_name = "NAME")]
    pub(crate) snapshot: Option<String>,
    /// Hash the source file in the same run and print the digest.
    #[arg(long, value_enum, value_name = "ALGORITHM")]
    pub(crate) digest: Option<DigestChoice>,
}

/// `disk measure`.
#[derive(Debug, Args)]
pub(crate) struct DiskMeasureArgs {
    #[command(flatten)]
    pub(crate) input: ImageArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DigestChoice {
    Sha1,
    Sha256,
    Sha512,
}
