//! Any disk comes through every way to write it, whatever the number of workers.
//!
//! ```text
//! GuestDisk --> raw, streamOptimized --> write_image, 1, 2 and 5 workers --> one file --> the same disk
//!                        |                                                     |
//!                        '--> measure --> the length of ----------------------'--> qemu-img check, compare
//! ```
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod oracle;
mod pairs;
mod pipe;
mod writers;

use std::sync::Arc;

use convert::{
    Error,
    copy::{
        CloneFormat, Output, Settings, Summary, TargetOptions, write_image, write_stream_optimized,
    },
};
use disk::{Compression, Declared, Format, Image, Unheard, is_zero, vmdk::StreamOptions};
use testkit::{Memory, stream_optimized};

/// Every way to write an image.
const LAYOUTS: [TargetOptions; 9] = [
    TargetOptions::Raw,
    TargetOptions::Qcow2(Compression::None),
    TargetOptions::Qcow2(Compression::Zlib),
    TargetOptions::Qcow2(Compression::ZlibCompat),
    TargetOptions::Qcow2(Compression::Zstd(1)),
    TargetOptions::Qcow2(Compression::Zstd(2)),
    TargetOptions::Qcow2(Compression::Zstd(3)),
    TargetOptions::Clone(CloneFormat::Qcow2),
    TargetOptions::Clone(CloneFormat::Raw),
];

const fn workers(workers: usize) -> Settings {
    Settings { workers }
}

fn open(file: Vec<u8>, format: Format) -> Box<dyn Image> {
    disk::open(Arc::new(file), Declared::Stated(format)).expect("a sound image")
}

/// A disk as images whose clusters arrive plain and deflated.
fn sources(disk: &[u8]) -> [Box<dyn Image>; 2] {
    let packed = stream_optimized(disk, "disk.vmdk");
    [open(disk.to_vec(), Format::Raw), open(packed, Format::Vmdk)]
}

/// The file that an image is written to.
fn written(
    image: &dyn Image,
    options: TargetOptions,
    settings: Settings,
) -> Result<(Vec<u8>, Summary), Error> {
    let file = Arc::new(Memory::default());
    let capacity_bytes = image.capacity_bytes();
    let output = Output { file: Arc::clone(&file) as _, capacity_bytes, options };
    let summary = write_image(image, output, settings, &Unheard)?;
    Ok((file.bytes(), summary))
}

/// The streamOptimized VMDK that an image is written to.
fn packed(image: &dyn Image, settings: Settings) -> Result<Vec<u8>, Error> {
    let options = StreamOptions::new(image.capacity_bytes(), "disk.vmdk", 7);
    let mut file = Vec::new();
    write_stream_optimized(image, &mut file, &options, settings, &Unheard)?;
    Ok(file)
}

/// Whether an image of a disk can be written so: a clone needs something of its source to point at,
/// and the short last grain of a VMDK, which inflates to more than the disk has, is nothing of the kind.
fn is_possible(image: &dyn Image, disk: &[u8], options: TargetOptions) -> bool {
    let (whole, last) = disk.split_at(disk.len() - disk.len() % disk::CLUSTER_BYTES as usize);
    match (options, image.format()) {
        (TargetOptions::Clone(CloneFormat::Raw), format) => format == Format::Raw,
        (TargetOptions::Clone(CloneFormat::Qcow2), Format::Vmdk) => {
            !is_zero(whole) || is_zero(last)
        }
        _ => true,
    }
}

/// The format of a file that is written.
fn format_of(options: TargetOptions) -> Format {
    match options {
        TargetOptions::Raw | TargetOptions::Clone(CloneFormat::Raw) => Format::Raw,
        _ => Format::Qcow2,
    }
}
