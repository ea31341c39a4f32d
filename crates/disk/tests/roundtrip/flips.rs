//! One wrong byte in a compressed grain is never taken for the guest's.

use std::{ops::Range, sync::Arc};

use disk::{Declared, ExtentKind, Format, Image, Unheard, check};
use proptest::prelude::*;
use testkit::{cases, guest_disks, read_extents, stream_optimized};

/// The bytes of a record before its zlib stream: where the grain goes, and how long the stream is.
const RECORD_HEADER: usize = 12;

fn open(file: Vec<u8>) -> disk::Result<Box<dyn Image>> {
    disk::open(Arc::new(file), Declared::Stated(Format::Vmdk))
}

/// The records of the compressed grains, headers included, padding not.
fn records(file: &[u8]) -> Vec<Range<usize>> {
    let image = open(file.to_vec()).unwrap();
    let stored = image.extents().filter_map(|extent| match extent.unwrap().kind {
        ExtentKind::Stored { offset_bytes, .. } => Some(usize::try_from(offset_bytes).unwrap()),
        _ => None,
    });
    let record = |at: usize| {
        let len = u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap());
        at..at + RECORD_HEADER + usize::try_from(len).unwrap()
    };
    stored.map(record).collect()
}

/// What reading and checking make of a file.
fn judged(file: Vec<u8>) -> (Option<Vec<u8>>, bool) {
    let Ok(image) = open(file) else { return (None, true) };
    let report = check(&*image, &Unheard).unwrap();
    (read_extents(&*image).ok(), !report.faults.is_empty())
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn a_flipped_byte_is_found_or_means_the_same(
        disk in guest_disks(1),
        picks in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        flip in 1_u8..,
    ) {
        let bytes = disk.bytes();
        let mut file = stream_optimized(&bytes, "disk.vmdk");
        let records = records(&file);
        prop_assume!(!records.is_empty());
        let record = records[picks.0.index(records.len())].clone();
        file[record.start + picks.1.index(record.len())] ^= flip;
        let (read, is_found) = judged(file);
        // The level in the header of a zlib stream says nothing, nor do the bits behind its end.
        prop_assert!(read.as_ref().is_none_or(|read| *read == bytes), "another disk was read");
        prop_assert_eq!(is_found, read.is_none(), "check and reading do not agree");
    }
}

#[test]
fn every_flipped_byte_of_a_grain_is_found() {
    let text: Vec<u8> = (0..20_000_u32).flat_map(|n| (n / 3 * n % 1009).to_le_bytes()).collect();
    let file = stream_optimized(&text[..65_536], "disk.vmdk");
    let record = records(&file)[0].clone();
    // A length that is a little too large reaches into the padding, where nothing is.
    let length = record.start + 8..record.start + RECORD_HEADER;
    for at in record.filter(|at| !length.contains(at)) {
        let mut file = file.clone();
        file[at] ^= 0xff;
        assert_eq!(judged(file), (None, true), "byte {at}");
    }
}
