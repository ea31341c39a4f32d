//! VHD: built by hand, read back, damaged, chained, and read by QEMU where it is installed.

use std::{fs, path::Path, sync::Arc};

use disk::{
    Declared, Error, ExtentKind, FileBytes, Folder, Format, Image, Kind, ReadAt, Result, Slice,
    Unheard, Warning, check, open_behind,
};
use proptest::prelude::*;
use tempfile::TempDir;
use testkit::{vhd_differencing, vhd_dynamic, vhd_fixed, vhd_seal};

use crate::sample::{self, GRAIN, content, read_all, refusal};

/// The byte of the BAT.
const BAT: usize = 1536;

/// A block and its bitmap.
const SPAN: usize = 512 + (512 << 10);

fn open(bytes: &[u8]) -> Box<dyn Image> {
    disk::open(Arc::new(bytes.to_vec()), Declared::Unknown).unwrap()
}

/// A disk of five blocks, the last of which is cut; the second and the fourth are zeros.
fn guest() -> Vec<u8> {
    content(4 * 8 * GRAIN + 1536, &[0, 1, 7, 16, 32])
}

/// The guest's disk with a few sectors written, one of them with zeros.
fn later() -> Vec<u8> {
    let mut disk = guest();
    for (sector, byte) in [(0, 1), (1, 2), (9, 0), (1030, 3), (4098, 4)] {
        disk[sector * 512..][..512].fill(byte);
    }
    disk
}

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// Opens a file of a folder behind the gate of that folder.
fn open_chain(folder: &Path, name: &str) -> Result<Box<dyn Image>> {
    let path = folder.join(name);
    let gate = Folder::of(&path, &[]).unwrap();
    let bytes = FileBytes::new(fs::File::open(&path).unwrap()).unwrap();
    open_behind(&gate, Arc::new(bytes), Declared::Stated(Format::Vhd))
}

fn refused(folder: &Path, name: &str) -> Error {
    open_chain(folder, name).and_then(|image| read_all(&*image)).unwrap_err()
}

/// A folder with `base.vhd` and, above it, `child.vhd`.
fn chain() -> (TempDir, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let base = vhd_dynamic(&guest());
    let child = vhd_differencing(&later(), &guest(), &base, "base.vhd");
    fs::write(folder.path().join("base.vhd"), base).unwrap();
    fs::write(folder.path().join("child.vhd"), &child).unwrap();
    (folder, child)
}

#[test]
fn reads_fixed_and_dynamic_disks() {
    let disk = guest();
    for (file, variant, unit_bytes) in
        [(vhd_fixed(&disk), "fixed", None), (vhd_dynamic(&disk), "dynamic", Some(512 << 10))]
    {
        let image = open(&file);
        assert_eq!((image.format(), image.variant()), (Format::Vhd, variant));
        assert_eq!(image.info().unit_bytes, unit_bytes);
        assert_eq!(image.warnings(), &[] as &[Warning]);
        assert_eq!(read_all(&*image).unwrap(), disk);
        assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
        let mut part = vec![0; 1 << 20];
        image.read_at(&mut part, 1000).unwrap();
        assert_eq!(part, disk[1000..1000 + part.len()]);
    }
    let data = |offset: usize| ExtentKind::Data { offset_bytes: offset as u64 };
    let kinds: Vec<_> = open(&vhd_dynamic(&disk)).extents().map(|e| e.unwrap().kind).collect();
    let first = BAT + 512 + 512;
    let want = [
        data(first),
        ExtentKind::Hole,
        data(first + SPAN),
        ExtentKind::Hole,
        data(first + 2 * SPAN),
    ];
    assert_eq!(kinds, want);
}

#[test]
fn a_fixed_disk_is_as_long_as_its_footer_says() {
    let good = vhd_fixed(&guest());
    let len = good.len() - 512;
    for file in [good[512..].to_vec(), [&[0; 512], &good[..]].concat()] {
        let want = format!(
            "a fixed disk of {len} bytes, its footer starts at byte {}, at byte {}",
            file.len() - 512,
            file.len() - 464
        );
        assert_eq!(refusal(&file, Format::Vhd).to_string(), want);
    }
}

#[test]
fn the_data_of_a_dynamic_disk_counts_whatever_its_bitmap_says() {
    let mut file = vhd_dynamic(&guest());
    file[BAT + 512..BAT + 1024].fill(0);
    assert_eq!(read_all(&*open(&file)).unwrap(), guest());
}

#[test]
fn names_the_block_whose_entry_is_wrong_and_goes_on_behind_it() {
    let file = vhd_dynamic(&guest());
    let limit = file.len() - 512;
    let first = (BAT + 512) / 512;
    let outside = |sector: usize| {
        let end = sector * 512 + SPAN;
        format!("block 2: sector {sector} puts its end at byte {end}, blocks end at byte {limit}")
    };
    let shared = |sector: usize| {
        format!("block 2: sector {sector} is part of a header, of a table or of another block")
    };
    for (sector, want) in [
        (0, shared(0)),
        (2, shared(2)),
        (3, shared(3)),
        (first, shared(first)),
        (first + 1024, shared(first + 1024)),
        (limit / 512 - 1024, outside(limit / 512 - 1024)),
        (0xffff_fffe, outside(0xffff_fffe)),
    ] {
        let mut bad = file.clone();
        put32(&mut bad, BAT + 8, sector as u32);
        let want = format!("{want}, at byte {}", BAT + 8);
        assert_eq!(refusal(&bad, Format::Vhd).to_string(), want);
        let image = open(&bad);
        let behind = image.extents().last().unwrap().unwrap();
        assert_eq!(behind.end_bytes(), image.capacity_bytes());
        let faults = check(&*image, &Unheard).unwrap().faults;
        assert_eq!(faults.iter().map(|fault| &fault.message).collect::<Vec<_>>(), [&want]);
    }
}

#[test]
fn a_file_cut_anywhere_is_refused_or_read_as_it_was() {
    for disk in [vhd_fixed(&guest()), vhd_dynamic(&guest())] {
        let file: Arc<dyn ReadAt> = Arc::new(disk);
        let len_bytes = file.len_bytes();
        let lengths = (0..2600).chain((2600..len_bytes).step_by(32 << 10));
        for len in lengths.chain(len_bytes - 512..len_bytes) {
            let part = Arc::new(Slice::new(Arc::clone(&file), 0, len).unwrap());
            let image = disk::open(part, Declared::Stated(Format::Vhd));
            let read = image.and_then(|image| read_all(&*image));
            // The end of the footer is reserved; without the footer its copy counts.
            assert!(read.is_err() || read.unwrap() == guest(), "{len}");
        }
    }
}

#[test]
fn a_differencing_disk_shows_its_parent_where_its_bitmap_is_clear() {
    let (folder, _) = chain();
    let image = open_chain(folder.path(), "child.vhd").unwrap();
    assert_eq!(
        (image.variant(), image.files()),
        ("differencing", &["", "base.vhd"].map(String::from)[..])
    );
    assert_eq!(image.info().references[0].name, "base.vhd");
    assert_eq!(read_all(&*image).unwrap(), later());
    assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
    for at in [0, 511, 1024, 9 * 512 - 1, 1030 * 512, 4097 * 512] {
        let mut part = [0; 700];
        image.read_at(&mut part, at).unwrap();
        assert_eq!(part, later()[at as usize..][..700], "{at}");
    }
}

#[test]
fn a_chain_has_as_many_disks_as_it_needs_and_a_fixed_one_can_be_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut disks = vec![guest()[..3 * 8 * GRAIN].to_vec()];
    let mut files = vec![vhd_fixed(&disks[0])];
    for level in 1..5_usize {
        let mut disk = guest();
        let below = &disks[level - 1];
        disk[..below.len()].copy_from_slice(below);
        disk[level * 5120..][..512].fill(level as u8);
        let name = format!("{}.vhd", level - 1);
        files.push(vhd_differencing(&disk, below, &files[level - 1], &name));
        disks.push(disk);
    }
    for (level, file) in files.iter().enumerate() {
        fs::write(folder.path().join(format!("{level}.vhd")), file).unwrap();
        let image = open_chain(folder.path(), &format!("{level}.vhd")).unwrap();
        assert_eq!(read_all(&*image).unwrap(), disks[level]);
    }
}

#[test]
fn a_parent_is_denied_by_name_and_uuid_where_no_other_file_may_be_read() {
    let (_folder, child) = chain();
    let uuid: String = child[552..568].iter().map(|byte| format!("{byte:02x}")).collect();
    let error = refusal(&child, Format::Vhd);
    let text = error.to_string();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(
        text.starts_with("the disk has only what differs from its parent 'base.vhd' with UUID ")
    );
    assert!(text.replace('-', "").contains(&uuid) && text.ends_with(", at byte 552"), "{text}");
}

#[test]
fn a_parent_that_is_not_there_or_is_another_disk_is_refused() {
    let (folder, child) = chain();
    let base = folder.path().join("base.vhd");
    let other = vhd_dynamic(&content(8 * GRAIN, &[3]));
    fs::write(&base, &other).unwrap();
    let text = refused(folder.path(), "child.vhd").to_string();
    assert!(text.starts_with("the UUID of the parent is "), "{text}");
    assert!(text.ends_with(&format!(", at byte {} of base.vhd", other.len() - 444)), "{text}");
    fs::write(&base, sample::qcow2(&guest())).unwrap();
    let error = refused(folder.path(), "child.vhd");
    assert_eq!(error.to_string(), "the image is qcow2, vhd was said, in base.vhd");
    fs::remove_file(&base).unwrap();
    let error = refused(folder.path(), "child.vhd");
    assert!(error.to_string().contains("its parent 'base.vhd' with UUID"), "{error}");
    assert_eq!(error.kind(), Kind::Denied);
    // A disk that is its own parent.
    let own = vhd_differencing(&later(), &guest(), &child, "own.vhd");
    fs::write(folder.path().join("own.vhd"), own).unwrap();
    let want = "the parent 'own.vhd' is an image of its own chain, which so has no end";
    assert_eq!(refused(folder.path(), "own.vhd").to_string(), want);
}

#[test]
fn a_parent_that_is_larger_is_refused() {
    let (folder, _) = chain();
    let base = fs::read(folder.path().join("base.vhd")).unwrap();
    let child = vhd_differencing(&later()[..1 << 20], &guest(), &base, "base.vhd");
    fs::write(folder.path().join("child.vhd"), child).unwrap();
    let want = format!("the parent has {} bytes, its child only 1048576", guest().len());
    assert_eq!(refused(folder.path(), "child.vhd").to_string(), want);
}

#[test]
fn a_name_that_climbs_is_refused_as_it_stands() {
    let (folder, mut child) = chain();
    let name: Vec<_> = "..\\base.vhd".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let at = BAT + 512;
    child[at..at + name.len()].copy_from_slice(&name);
    put32(&mut child, 512 + 584, name.len() as u32);
    vhd_seal(&mut child[512..1536], 36);
    fs::write(folder.path().join("child.vhd"), child).unwrap();
    let error = refused(folder.path(), "child.vhd");
    assert_eq!(error.kind(), Kind::Unsafe);
    let want = "the parent '../base.vhd' does not lie beneath the image's own folder";
    assert_eq!(error.to_string(), want);
}

#[test]
fn a_locator_that_is_not_inside_the_file_is_named() {
    let (_folder, child) = chain();
    for (field, value, want) in [
        (584, 65_535, "parent locator 0: a name of 65535 bytes is over the limit of 65534"),
        (592, 1, "parent locator 0: 20 bytes at byte 4294969344 are not inside the file of"),
    ] {
        let mut bad = child.clone();
        put32(&mut bad, 512 + field, value);
        vhd_seal(&mut bad[512..1536], 36);
        let text = refusal(&bad, Format::Vhd).to_string();
        assert!(text.starts_with(want), "{text}");
    }
}

#[test]
fn qemu_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let disk = guest();
    fs::write(path("disk.raw"), &disk).unwrap();
    for (name, mut file) in [("fixed.vhd", vhd_fixed(&disk)), ("dynamic.vhd", vhd_dynamic(&disk))] {
        // Of this creator QEMU believes the current size.
        let at = file.len() - 512;
        file[at + 28..at + 32].copy_from_slice(b"win ");
        vhd_seal(&mut file[at..], 64);
        if name == "dynamic.vhd" {
            file.copy_within(at.., 0);
        }
        fs::write(path(name), file).unwrap();
        let words = ["compare", "-f", "raw", "-F", "vpc", &path("disk.raw"), &path(name)];
        let Some(output) = testkit::oracle("qemu-img", words) else { return };
        assert!(output.status.success(), "{name}: {output:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_change_of_a_header_or_the_bat_makes_it_panic(at in 0_usize..1600, value: u64) {
        let mut file = vhd_dynamic(&content(3 * 8 * GRAIN, &[0, 20]));
        file[at..at + 8].copy_from_slice(&value.to_be_bytes());
        // With a right checksum the change is seen by more than the checksum.
        vhd_seal(&mut file[..512], 64);
        vhd_seal(&mut file[512..1536], 36);
        if value % 2 == 0 {
            // Then the copy at byte 0 counts.
            let end = file.len() - 512;
            file[end] = 0;
        }
        if let Ok(image) = sample::open(&file, Format::Vhd)
            && image.capacity_bytes() < 1 << 30
        {
            drop(read_all(&*image));
        }
    }
}
