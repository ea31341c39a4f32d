//! VDI: built by hand, read back, damaged, and read by QEMU where it is installed.

use std::{fs, sync::Arc};

use disk::{Declared, ExtentKind, Format, Image, Kind, ReadAt, Slice, Unheard, Warning, check};
use proptest::prelude::*;
use testkit::{MIB, vdi_dynamic, vdi_static};

use crate::sample::{self, GRAIN, content, read_all, refusal};

/// The byte of the block map.
const MAP: usize = 512;

fn open(bytes: &[u8]) -> Box<dyn Image> {
    disk::open(Arc::new(bytes.to_vec()), Declared::Unknown).unwrap()
}

/// A disk of five blocks, the last of which is cut; the second and the fourth are zeros.
fn guest() -> Vec<u8> {
    content(4 * 16 * GRAIN + 1536, &[0, 1, 15, 40, 64])
}

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn reads_dynamic_and_static_disks() {
    let disk = guest();
    for (file, variant) in [(vdi_dynamic(&disk), "dynamic"), (vdi_static(&disk), "static")] {
        let image = open(&file);
        assert_eq!((image.format(), image.variant()), (Format::Vdi, variant));
        assert_eq!(image.info().unit_bytes, Some(MIB));
        assert_eq!(image.warnings(), &[] as &[Warning]);
        assert_eq!(read_all(&*image).unwrap(), disk);
        assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
        let mut part = vec![0; 3 << 20];
        image.read_at(&mut part, 1000).unwrap();
        assert_eq!(part, disk[1000..1000 + part.len()]);
    }
    let kinds: Vec<_> = open(&vdi_dynamic(&disk)).extents().map(|e| e.unwrap().kind).collect();
    let data = |offset_bytes| ExtentKind::Data { offset_bytes };
    let want =
        [data(1024), ExtentKind::Zero, data(1024 + MIB), ExtentKind::Zero, data(1024 + 2 * MIB)];
    assert_eq!(kinds, want);
}

#[test]
fn a_discarded_block_is_zeros_and_blocks_come_in_any_order() {
    let mut disk = guest();
    let mut file = vdi_static(&disk);
    put32(&mut file, MAP, 0xffff_fffe);
    put32(&mut file, MAP + 4, 2);
    put32(&mut file, MAP + 8, 0);
    let (first, third) = (disk[..1 << 20].to_vec(), disk[2 << 20..3 << 20].to_vec());
    disk[..1 << 20].fill(0);
    disk[1 << 20..2 << 20].copy_from_slice(&third);
    disk[2 << 20..3 << 20].copy_from_slice(&first);
    assert_eq!(read_all(&*open(&file)).unwrap(), disk);
}

#[test]
fn names_the_block_whose_entry_is_wrong_and_goes_on_behind_it() {
    let file = vdi_dynamic(&guest());
    let end = 1024 + 5 * MIB;
    let file_bytes = 1024 + 3 * MIB;
    for (number, want) in [
        (5, "block 2: its number 5 is not under the 5 blocks of the image".to_owned()),
        (0, "block 2: number 0 is that of another block, too".to_owned()),
        (4, format!("block 2: number 4 ends at byte {end}, the file has {file_bytes}")),
    ] {
        let mut bad = file.clone();
        put32(&mut bad, MAP + 8, number);
        let want = format!("{want}, at byte 520");
        assert_eq!(refusal(&bad, Format::Vdi).to_string(), want);
        let image = open(&bad);
        let behind = image.extents().last().unwrap().unwrap();
        assert_eq!(behind.end_bytes(), image.capacity_bytes());
        let faults = check(&*image, &Unheard).unwrap().faults;
        assert_eq!(faults.iter().map(|fault| &fault.message).collect::<Vec<_>>(), [&want]);
    }
}

#[test]
fn a_differencing_disk_is_denied_by_the_uuid_of_its_parent() {
    let mut file = vdi_dynamic(&guest());
    put32(&mut file, 76, 4);
    file[424..440].copy_from_slice(&[0x11; 16]);
    let error = refusal(&file, Format::Vdi);
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains("UUID 11111111-1111-1111-1111-111111111111"), "{error}");
}

#[test]
fn a_file_cut_before_the_end_of_the_guest_is_refused() {
    let disk = guest();
    let file: Arc<dyn ReadAt> = Arc::new(vdi_dynamic(&disk));
    let read = |len| {
        let part = Arc::new(Slice::new(Arc::clone(&file), 0, len).unwrap());
        let image = disk::open(part, Declared::Stated(Format::Vdi));
        image.and_then(|image| read_all(&*image))
    };
    // The last block of the file is longer than what the guest has of it.
    let needed = 1024 + 2 * MIB + 1536;
    let lengths = (0..1100).chain((1100..needed).step_by(64 << 10));
    for len in lengths.chain(needed - 600..needed) {
        assert!(read(len).is_err(), "{len}");
    }
    assert_eq!(read(needed).unwrap(), disk);
}

#[test]
fn qemu_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let disk = guest();
    fs::write(path("disk.raw"), &disk).unwrap();
    for (name, file) in [("dynamic.vdi", vdi_dynamic(&disk)), ("static.vdi", vdi_static(&disk))] {
        fs::write(path(name), file).unwrap();
        let words = ["compare", "-f", "raw", "-F", "vdi", &path("disk.raw"), &path(name)];
        let Some(output) = testkit::oracle("qemu-img", words) else { return };
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_change_of_the_header_or_the_map_makes_it_panic(at in 0_usize..600, value: u64) {
        let mut file = vdi_dynamic(&content(3 * 16 * GRAIN, &[0, 20]));
        file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        if let Ok(image) = sample::open(&file, Format::Vdi)
            && image.capacity_bytes() < 1 << 30
        {
            drop(read_all(&*image));
        }
    }
}
