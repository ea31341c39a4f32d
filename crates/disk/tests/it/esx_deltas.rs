//! The deltas of ESX: COWD and seSparse extents, opened by themselves, and damaged.

use disk::{Format, Unheard, check};
use testkit::SparseMap;

use crate::sample::{self, content, read_all, refusal};

/// A disk of more than one table, of which the second is not stored in the COWD.
fn map(grain_bytes: u64) -> (SparseMap, Vec<u8>) {
    let capacity = 3 * 4096 * grain_bytes as usize - 1536;
    let mut disk = vec![0; capacity];
    let grain = grain_bytes as usize;
    for index in [0, 5, 4095, 2 * 4096, 3 * 4096 - 4] {
        let end = ((index + 1) * grain).min(capacity);
        disk[index * grain..end].fill(index as u8 | 1);
    }
    (SparseMap::of(&disk, grain_bytes), disk)
}

fn put(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

fn read(bytes: &[u8]) -> Vec<u8> {
    let image = sample::open(bytes, Format::Vmdk).unwrap();
    assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
    let disk = read_all(&*image).unwrap();
    let mut again = vec![0xee; disk.len()];
    for (at, part) in (0..).step_by(300_007).zip(again.chunks_mut(300_007)) {
        image.read_at(part, at).unwrap();
    }
    assert!(disk == again);
    disk
}

#[test]
fn an_extent_that_stands_alone_is_read_with_a_warning() {
    let (map, disk) = map(4096);
    for (bytes, variant) in [(map.cowd(), "vmfsSparse"), (map.sesparse(), "seSparse")] {
        assert!(read(&bytes) == disk, "{variant}");
        let image = sample::open(&bytes, Format::Vmdk).unwrap();
        assert_eq!((image.variant(), image.info().unit_bytes), (variant, Some(4096)));
        assert_eq!(
            image.warnings()[0].to_string(),
            "a delta is read without the descriptor that names its parent: what it does not have reads as zeros, at byte 0"
        );
    }
    let (map, disk) = self::map(512);
    assert!(read(&map.cowd()) == disk);
}

#[test]
fn names_what_is_wrong_with_a_cowd() {
    let (map, _) = map(512);
    let good = map.cowd();
    let word = |value: u32| value.to_le_bytes();
    let tables = 5 * 512;
    for (at, value, want) in [
        (4, 2, "version 2 of a COWD extent is not 1, at byte 4"),
        (12, 0, "a capacity of 0 sectors, at byte 12"),
        (16, 3, "grain size of 3 sectors is not a power of two in 1..=2048, at byte 16"),
        (16, 4096, "grain size of 4096 sectors is not a power of two in 1..=2048, at byte 16"),
        (20, 3, "the grain directory at sector 3 lies in the header, which has 4, at byte 20"),
        (
            20,
            9999,
            "a grain directory of 12 bytes is not inside the file of 37888, at byte 5119488",
        ),
        (24, 2, "a grain directory of 2 entries, the capacity needs 3, at byte 24"),
        (
            2048,
            60,
            "grain directory entry 0: table at byte 30720 is not inside the file of 37888 bytes, at byte 2048",
        ),
        (
            2048,
            2,
            "grain directory entry 0: table at byte 1024 overlaps the header, the directory or another table, at byte 2048",
        ),
        (
            2056,
            6,
            "grain directory entry 2: table at byte 3072 overlaps the header, the directory or another table, at byte 2056",
        ),
        (
            tables,
            3,
            "grain 0: it lies in the header and the tables, which end at byte 2048, at byte 1536",
        ),
        (tables + 4, 74, "grain 1: its 512 bytes are not inside the file of 37888, at byte 37888"),
        (tables + 4, 69, "grain 1: its bytes are those of another grain, too, at byte 35328"),
    ] {
        let error = refusal(&put(&good, at, &word(value)), Format::Vmdk).to_string();
        assert_eq!(error, want, "{at} {value}");
    }
}

#[test]
fn names_what_is_wrong_with_an_sesparse() {
    let (map, _) = map(4096);
    let good = map.sesparse();
    let len = good.len();
    let (directory, tables) = (128 * 512, 129 * 512);
    for (at, value, want) in [
        (8, 0x2_0000_0000, "version 0x200000000 of an seSparse extent is not 0x200000001, at byte 8".to_owned()),
        (16, 0, "a capacity of 0 sectors, at byte 16".to_owned()),
        (16, 1 << 60, "a virtual size of 18446744073709551615 bytes is over the limit of 70368744177664 bytes, at byte 16".to_owned()),
        (24, 16, "grain size of 16 sectors is not 8, at byte 24".to_owned()),
        (32, 32, "grain tables of 32 sectors, 64 are allowed, at byte 32".to_owned()),
        (40, 1, "flags 0x1 are not 0, at byte 40".to_owned()),
        (80, 1 << 40, format!("the volatile header is not inside the file of {len} bytes, at byte 562949953421312")),
        (80, 0, "the magic number of the volatile header is 0xcafebabe, not 0xcafecafe, at byte 0".to_owned()),
        (128, 1 << 60, "the grain directory at sector 1152921504606846976 is behind what 64 bits can count in bytes, at byte 128".to_owned()),
        (136, 0, "a grain directory of 0 sectors, the capacity needs 1, at byte 136".to_owned()),
        (536, 1, "the seSparse extent is dirty: its journal has to be replayed, consolidate the snapshot in vSphere, at byte 536".to_owned()),
        (directory, 1, "grain directory entry 0: 0x1 names no table, at byte 65536".to_owned()),
        (directory, 0x1000_0000_ffff_ffff, format!("grain directory entry 0: table at byte 140737488388608 is not inside the file of {len} bytes, at byte 65536")),
        (directory + 16, 0x1000_0000 << 32, format!("grain directory entry 2: table at byte {tables} overlaps the header, the directory or another table, at byte 65552")),
        (tables, 4 << 60, "grain 0: its entry 0x4000000000000000 is of no known type".to_owned()),
        (tables, 5, "grain 0: its entry 0x0000000000000005 is of no known type".to_owned()),
        (tables, 0x3005_0000_0000_0000, format!("grain 0: its 4096 bytes are not inside the file of {len}, at byte {len}")),
        (tables, u64::MAX >> 2, format!("grain 0: its 4096 bytes are not inside the file of {len}, at byte 18446744073709551615")),
        (tables, 0x3001_0000_0000_0000, "grain 5: its bytes are those of another grain, too, at byte 139264".to_owned()),
    ] {
        let error = refusal(&put(&good, at, &u64::to_le_bytes(value)), Format::Vmdk).to_string();
        assert_eq!(error, want, "{at} {value:#x}");
    }
}

#[test]
fn unmapped_grains_are_zeros_and_reading_goes_on_behind_damage() {
    let (map, mut disk) = map(4096);
    let good = map.sesparse();
    let tables = 129 * 512;
    disk[..4096].fill(0);
    assert!(read(&put(&good, tables, &(1_u64 << 60).to_le_bytes())) == disk);
    let bad = put(&good, tables, &(5_u64 << 60).to_le_bytes());
    let image = sample::open(&bad, Format::Vmdk).unwrap();
    assert_eq!(image.extents().filter(Result::is_err).count(), 1);
    assert_eq!(check(&*image, &Unheard).unwrap().faults.len(), 1);
    let end = image.extents().last().unwrap().unwrap().end_bytes();
    assert_eq!(end, image.capacity_bytes());
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let disk = content(40 * 4096, &[0, 1]);
    let map = SparseMap::of(&disk, 4096);
    for good in [map.cowd(), map.sesparse()] {
        // Every length of the headers, then one in each sector.
        for len in (0..600).chain((600..good.len()).step_by(509)) {
            let read = sample::open(&good[..len], Format::Vmdk).and_then(|image| read_all(&*image));
            assert!(read.is_err(), "{len}");
        }
    }
}

#[test]
fn whatever_a_byte_says_the_disk_is_read_whole_or_refused() {
    let disk = content(40 * 4096, &[0, 1]);
    let map = SparseMap::of(&disk, 4096);
    for good in [map.cowd(), map.sesparse()] {
        let tables = 66_000.min(good.len());
        for at in (0..600).chain((600..tables).step_by(97)) {
            for value in [0, 1, 0x7f, 0xff] {
                let bad = put(&good, at, &[value]);
                let read = sample::open(&bad, Format::Vmdk).and_then(|image| {
                    // A capacity of terabytes is sound; it would not fit in memory.
                    let fits = image.capacity_bytes() <= 2 * disk.len() as u64;
                    if fits { read_all(&*image).map(drop) } else { Ok(()) }
                });
                if let Err(error) = read {
                    assert!(!error.to_string().is_empty(), "{at} {value}");
                }
            }
        }
    }
}
