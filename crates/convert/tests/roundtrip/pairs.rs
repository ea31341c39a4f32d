//! Every reader with every writer.

use convert::copy::TargetOptions;
use disk::{Compression, Format, Image, is_zero};
use proptest::prelude::*;
use testkit::{
    Files, SparseMap, Vhdx, VmdkDescriptor, cases, guest_disks, read_extents, stream_optimized,
    vdi_dynamic, vhd_dynamic, vhd_fixed,
};

use crate::{LAYOUTS, format_of, open, packed, workers, written};

const SECTOR: usize = 512;

/// The grain of an seSparse delta.
const SMALL_GRAIN: usize = 4096;

/// A disk as images of every format, in which its clusters are whole, in parts, or several together.
fn images(disk: &[u8], below: &[u8]) -> Vec<Box<dyn Image>> {
    let raw = open(disk.to_vec(), Format::Raw);
    let qcow2 = |compression| {
        let options = TargetOptions::Qcow2(compression);
        open(written(&*raw, options, workers(1)).unwrap().0, Format::Qcow2)
    };
    vec![
        open(stream_optimized(disk, "disk.vmdk"), Format::Vmdk),
        open(SparseMap::of(disk, 8192).hosted(""), Format::Vmdk),
        open(SparseMap::of(disk, 1 << 20).hosted(""), Format::Vmdk),
        delta_above_stream_optimized(disk, below),
        open(vhd_fixed(disk), Format::Vhd),
        open(vhd_dynamic(disk), Format::Vhd),
        open(vdi_dynamic(disk), Format::Vdi),
        open(Vhdx::new(disk).with_pending_log().build(), Format::Vhdx),
        qcow2(Compression::None),
        qcow2(Compression::Zlib),
        qcow2(Compression::ZSTD),
    ]
}

/// A disk as what differs from the disk below it, whose compressed grains show only in parts.
fn delta_above_stream_optimized(disk: &[u8], below: &[u8]) -> Box<dyn Image> {
    let below = &below[..below.len().min(disk.len())];
    let mut map = SparseMap::new(disk.len() as u64, SMALL_GRAIN as u64);
    for (index, grain) in (0..).zip(disk.chunks(SMALL_GRAIN)) {
        let start = (index as usize * SMALL_GRAIN).min(below.len());
        let mut shown = below[start..below.len().min(start + grain.len())].to_vec();
        shown.resize(grain.len(), 0);
        map = match () {
            () if grain == shown => map,
            () if is_zero(grain) => map.zero(index),
            () => map.grain(index, grain),
        };
    }
    let descriptor = VmdkDescriptor::new("seSparse")
        .cid(2)
        .parent(0x1234_5678, "base.vmdk")
        .extent(&format!("RW {} SESPARSE \"delta.vmdk\"", disk.len() / SECTOR));
    let files = Files::default()
        .with("base.vmdk", stream_optimized(below, "base.vmdk"))
        .with("delta.vmdk", map.sesparse())
        .with("disk.vmdk", descriptor.text().into_bytes());
    files.open_image("disk.vmdk", Format::Vmdk).unwrap()
}

/// The disk with the one below it in every third half of a grain.
fn interleaved(mut disk: Vec<u8>, below: &[u8]) -> Vec<u8> {
    for (disk, below) in disk.chunks_mut(32_768).zip(below.chunks(32_768)).step_by(3) {
        let len = disk.len().min(below.len());
        disk[..len].copy_from_slice(&below[..len]);
    }
    disk
}

proptest! {
    #![proptest_config(cases(10))]

    #[test]
    fn every_reader_goes_with_every_writer(disks in [guest_disks(2), guest_disks(2)]) {
        let [below, disk] = disks.map(|disk| disk.bytes());
        let disk = interleaved(disk, &below);
        for image in images(&disk, &below) {
            let image = &*image;
            for options in LAYOUTS {
                let what = format!("{options:?} of {} {}", image.format(), image.variant());
                let file = match written(image, options, workers(1)) {
                    Ok((file, _)) => file,
                    // Not every image has what a clone can point at.
                    Err(_) if matches!(options, TargetOptions::Clone(_)) => continue,
                    Err(error) => panic!("{what}: {error}"),
                };
                let (again, _) = written(image, options, workers(5)).unwrap();
                assert!(again == file, "{what}: another file by 5 workers");
                let read = read_extents(&*open(file, format_of(options))).unwrap();
                assert!(read == disk, "{what}: another disk");
            }
            let file = packed(image, workers(3)).unwrap();
            let read = read_extents(&*open(file, Format::Vmdk)).unwrap();
            assert!(read == disk, "a VMDK of {} {}: another disk", image.format(), image.variant());
        }
    }
}
