//! qcow2 images that are written here, read by two decoders that are independent of ours and of each
//! other: qcow2-rs and imago.
//!
//! ```text
//! GuestDisk --> raw, streamOptimized --convert--> qcow2 file --> qcow2-rs, imago --> the same bytes
//! ```
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod imago;
mod qcow2_rs;

use std::{fs::File, path::Path, sync::Arc};

use convert::copy::{CloneFormat, Output, Settings, TargetOptions, write_image};
use disk::{CLUSTER_BYTES, Compression, Declared, Format, Image, Unheard, is_zero};
use testkit::{Fill, GuestDisk, MIB, Run, some_guest_disks, stream_optimized};

/// What both decoders read. They refuse zstd.
const LAYOUTS: [TargetOptions; 4] = [
    TargetOptions::Qcow2(Compression::None),
    TargetOptions::Qcow2(Compression::Zlib),
    TargetOptions::Qcow2(Compression::ZlibCompat),
    TargetOptions::Clone(CloneFormat::Qcow2),
];

/// A decoder: the guest bytes of a file, or what is wrong with it.
type Decode = fn(&Path, usize) -> Result<Vec<u8>, String>;

#[test]
fn qcow2_rs_reads_what_is_written() {
    assert_reads(qcow2_rs::decode, &some_guest_disks(3, 16));
}

#[test]
fn imago_reads_what_is_written() {
    assert_reads(imago::decode, &some_guest_disks(3, 16));
}

#[test]
fn both_read_a_disk_of_two_l2_tables() {
    let disk = [disk_of_two_l2_tables()];
    assert_reads(qcow2_rs::decode, &disk);
    assert_reads(imago::decode, &disk);
}

/// A disk with content on both sides of 512 MiB, which is what one L2 table describes.
fn disk_of_two_l2_tables() -> GuestDisk {
    let noise = Run { fill: Fill::Noise(7), len_bytes: 3 * MIB + 1 };
    let gap = Run { fill: Fill::Zeros, len_bytes: 506 * MIB };
    let text = Run { fill: Fill::Text(1), len_bytes: 6 * MIB };
    GuestDisk { capacity_bytes: 520 * MIB + 512, runs: vec![noise, gap, text] }
}

/// Writes each disk in each layout and has it read.
#[track_caller]
fn assert_reads(decode: Decode, disks: &[GuestDisk]) {
    let folder = tempfile::tempdir().unwrap();
    for (number, disk) in disks.iter().enumerate() {
        let bytes = disk.bytes();
        let vmdk: Arc<Vec<u8>> = Arc::new(stream_optimized(&bytes, "disk.vmdk"));
        let vmdk = disk::open(vmdk, Declared::Stated(Format::Vmdk)).unwrap();
        for (layout, options) in LAYOUTS.into_iter().enumerate() {
            let path = folder.path().join(format!("{number}-{layout}.qcow2"));
            if options == TargetOptions::Clone(CloneFormat::Qcow2) && !has_whole_grain(&bytes) {
                continue;
            }
            write(&*vmdk, &path, options);
            let read = decode(&path, bytes.len());
            let read = read.unwrap_or_else(|why| panic!("{why}: {options:?} of {disk:?}"));
            assert!(read == bytes, "another disk is read: {options:?} of {disk:?}");
        }
    }
}

/// Whether a clone has a grain to point at: the short last one inflates to more than the disk has.
fn has_whole_grain(disk: &[u8]) -> bool {
    disk.chunks_exact(CLUSTER_BYTES as usize).any(|grain| !is_zero(grain))
}

fn write(image: &dyn Image, path: &Path, options: TargetOptions) {
    let file = File::create_new(path).unwrap();
    let capacity_bytes = image.capacity_bytes();
    let output = Output { file: Arc::new(file), capacity_bytes, options };
    write_image(image, output, Settings { workers: 2 }, &Unheard).unwrap();
}
