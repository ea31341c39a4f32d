//! Every writer, by property.

use convert::copy::{CloneFormat, TargetOptions, copy_out, measure};
use disk::{Compression, Format, Image, Unheard, check};
use proptest::prelude::*;
use testkit::{cases, guest_disks, read_extents, read_in_steps};

use crate::{format_of, is_possible, open, packed, sources, workers, written};

/// Writes a disk from each kind of source and reads it back.
fn comes_through(disk: &[u8], options: TargetOptions) {
    for image in sources(disk) {
        let (image, what) = (&*image, format!("{options:?} of {}", image.format()));
        if !is_possible(image, disk, options) {
            assert!(written(image, options, workers(1)).is_err(), "{what}");
            continue;
        }
        let (file, summary) = written(image, options, workers(1)).unwrap();
        assert_eq!(summary.file_bytes, file.len() as u64, "{what}: the length that is told");
        for count in [2, 5] {
            let (again, told) = written(image, options, workers(count)).unwrap();
            assert!(again == file, "{what}: another file by {count} workers");
            assert_eq!(told, summary, "{what}: {count} workers");
        }
        let measured = measure(image, options, workers(2), &Unheard).unwrap();
        assert_eq!(
            measured.required_bytes,
            file.len() as u64,
            "{what}: the length that is measured"
        );
        assert_is(&*open(file, format_of(options)), disk, &what);
    }
}

/// Writes a disk as a streamOptimized VMDK from each kind of source, and that one again.
fn comes_through_grains(disk: &[u8]) {
    for image in sources(disk) {
        let (image, what) = (&*image, format!("a VMDK of {}", image.format()));
        let file = packed(image, workers(1)).unwrap();
        assert!(packed(image, workers(5)).unwrap() == file, "{what}: another file by 5 workers");
        let read = open(file.clone(), Format::Vmdk);
        assert!(packed(&*read, workers(2)).unwrap() == file, "{what}: another file of its own");
        assert_is(&*read, disk, &what);
    }
}

/// Reads an image in every way there is.
fn assert_is(image: &dyn Image, disk: &[u8], what: &str) {
    assert_eq!(image.warnings(), [], "{what}");
    assert!(read_extents(image).unwrap() == disk, "{what}: another disk, read by extents");
    assert!(read_in_steps(image).unwrap() == disk, "{what}: another disk, read in steps");
    for count in [1, 3] {
        let mut out = Vec::new();
        let summary = copy_out(image, &mut out, workers(count), &Unheard).unwrap();
        assert!(out == disk, "{what}: another disk, from a pipe");
        assert_eq!(summary.file_bytes, out.len() as u64, "{what}");
    }
    assert_eq!(check(image, &Unheard).unwrap().faults, [], "{what}");
}

proptest! {
    #![proptest_config(cases(12))]

    #[test]
    fn raw(disk in guest_disks(3)) {
        comes_through(&disk.bytes(), TargetOptions::Raw);
    }

    #[test]
    fn plain_qcow2(disk in guest_disks(3)) {
        comes_through(&disk.bytes(), TargetOptions::Qcow2(Compression::None));
    }

    #[test]
    fn qcow2_of_deflated_clusters(disk in guest_disks(2)) {
        comes_through(&disk.bytes(), TargetOptions::Qcow2(Compression::Zlib));
    }

    #[test]
    fn qcow2_for_readers_with_a_small_window(disk in guest_disks(2)) {
        comes_through(&disk.bytes(), TargetOptions::Qcow2(Compression::ZlibCompat));
    }

    #[test]
    fn qcow2_of_zstd_clusters(disk in guest_disks(2), level in 1..=3) {
        comes_through(&disk.bytes(), TargetOptions::Qcow2(Compression::Zstd(level)));
    }

    #[test]
    fn stream_optimized_vmdk(disk in guest_disks(3)) {
        comes_through_grains(&disk.bytes());
    }

    #[test]
    fn a_clone(disk in guest_disks(3)) {
        comes_through(&disk.bytes(), TargetOptions::Clone(CloneFormat::Qcow2));
        comes_through(&disk.bytes(), TargetOptions::Clone(CloneFormat::Raw));
    }
}

proptest! {
    #![proptest_config(cases(2))]

    #[test]
    fn a_disk_of_many_tables(disk in guest_disks(70)) {
        let bytes = disk.bytes();
        for options in [Compression::None, Compression::Zlib].map(TargetOptions::Qcow2) {
            comes_through(&bytes, options);
        }
        comes_through_grains(&bytes);
    }
}
