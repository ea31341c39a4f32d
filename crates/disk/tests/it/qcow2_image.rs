//! qcow2: written here and read back, and built by hand where the writer writes no such thing.

use std::sync::Arc;

use disk::{
    CLUSTER_BYTES, ExtentKind, FileBytes, Format, Image, Target as _, Unheard, check, qcow2,
};
use proptest::prelude::*;

use crate::sample::{self, GRAIN, content, read_all, refusal};

const COPIED: u64 = 1 << 63;

fn open(bytes: &[u8]) -> Box<dyn Image> {
    sample::open(bytes, Format::Qcow2).unwrap()
}

/// An image with clusters 0 and 2, and the byte of its L2 table.
fn image() -> (Vec<u8>, Vec<u8>, usize) {
    let disk = content(4 * GRAIN + 512, &[0, 2]);
    (sample::qcow2(&disk), disk, GRAIN)
}

fn put64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
}

#[test]
fn reads_what_it_wrote_and_places_clusters_densely() {
    let (file, disk, _) = image();
    let image = open(&file);
    assert_eq!((image.variant(), image.capacity_bytes()), ("qcow2 v3", disk.len() as u64));
    assert_eq!(read_all(&*image).unwrap(), disk);
    let kinds: Vec<_> = image.extents().map(|extent| extent.unwrap().kind).collect();
    // Cluster 0 is the header, 1 the L2 table; the guest's follow in the order of placing.
    assert_eq!(kinds[0], ExtentKind::Data { offset_bytes: 2 * CLUSTER_BYTES });
    assert_eq!(kinds[2], ExtentKind::Data { offset_bytes: 3 * CLUSTER_BYTES });
    // Behind them: L1, refcount table, one refcount block.
    assert_eq!(file.len(), 7 * GRAIN);
    assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
}

#[test]
fn what_a_last_cluster_that_is_cut_lacks_is_zeros_wherever_one_begins_to_read() {
    let cluster = testkit::Qcow2Cluster::Data(vec![7; GRAIN]);
    let built = testkit::Qcow2::new(CLUSTER_BYTES).cluster(0, cluster).data_file("data").build();
    let files = testkit::Files::default().with("a", built.bytes).with("data", vec![7; 700]);
    let image = files.open_image("a", Format::Qcow2).unwrap();
    let mut disk = vec![0; GRAIN];
    disk[..700].fill(7);
    for start in [0, 699, 700, 701, GRAIN - 1] {
        let mut part = vec![0xee; GRAIN - start];
        image.read_at(&mut part, start as u64).unwrap();
        assert!(part == disk[start..], "from byte {start} on");
    }
}

#[test]
fn refuses_to_place_a_cluster_twice_or_behind_the_capacity() {
    let mut writer = qcow2::Writer::create(Arc::new(sample::Memory::default()), 100_000).unwrap();
    assert_eq!(writer.place(1).unwrap(), 2 * CLUSTER_BYTES);
    assert_eq!(writer.place(1).unwrap_err().to_string(), "cluster 1 is placed twice");
    assert_eq!(
        writer.place(2).unwrap_err().to_string(),
        "cluster 2 of 65536 bytes is behind the capacity of 100352 bytes"
    );
    let huge = qcow2::Writer::create(Arc::new(sample::Memory::default()), (64 << 40) + 1);
    assert!(huge.unwrap_err().to_string().contains("over the limit of 70368744177664 bytes"));
}

#[test]
fn tables_that_left_memory_come_back() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    // 100 tables, each touched three times in turn: more than stay in memory.
    let span = 512_u64 << 20;
    let mut writer = qcow2::Writer::create(file.clone(), 100 * span).unwrap();
    let clusters = (0..3).flat_map(|round| (0..100).map(move |table| table * 8192 + round * 5));
    for cluster in clusters.clone() {
        let offset = writer.place(cluster).unwrap();
        writer.file().write_all_at(&cluster.to_le_bytes(), offset).unwrap();
    }
    writer.finish().unwrap();
    let bytes = FileBytes::new(file.try_clone().unwrap()).unwrap();
    let image = disk::open(Arc::new(bytes), disk::Declared::Unknown).unwrap();
    for cluster in clusters {
        let mut number = [0; 8];
        image.read_at(&mut number, cluster * CLUSTER_BYTES).unwrap();
        assert_eq!(u64::from_le_bytes(number), cluster);
    }
    assert_eq!(check(&*image, &Unheard).unwrap().data_bytes, 300 * CLUSTER_BYTES);
}

#[test]
fn reads_zero_and_compressed_clusters() {
    let (mut file, mut disk, l2) = image();
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
    let cluster = content(GRAIN, &[0]);
    let mut stream = vec![0; GRAIN];
    let len = compressor.deflate_compress(&cluster, &mut stream).unwrap();
    // In the middle of a sector, as QEMU packs them.
    let at = file.len() + 100;
    file.resize(at, 0);
    file.extend_from_slice(&stream[..len]);
    let sectors = (at % 512 + len).div_ceil(512) as u64 - 1;
    put64(&mut file, l2 + 8, (1 << 62) | (sectors << 54) | at as u64);
    put64(&mut file, l2 + 16, (3 * CLUSTER_BYTES) | 1);
    disk[GRAIN..2 * GRAIN].copy_from_slice(&cluster);
    disk[2 * GRAIN..3 * GRAIN].fill(0);
    let image = open(&file);
    assert_eq!(read_all(&*image).unwrap(), disk);
    let mut part = [0; 100];
    image.read_at(&mut part, GRAIN as u64 + 1000).unwrap();
    assert_eq!(part, cluster[1000..1100]);
    let mut stored = Vec::new();
    image.stored(&image.extents().nth(1).unwrap().unwrap(), &mut stored).unwrap();
    assert!(stored.starts_with(&stream[..len]));
    let mut shared = file.clone();
    shared.copy_within(l2 + 8..l2 + 16, l2 + 24);
    let want =
        format!("cluster 3: byte {at} is part of a table or of another cluster, at byte {at}");
    assert_eq!(refusal(&shared, Format::Qcow2).to_string(), want);
    // The same stream without its end code: QEMU reads it, so it is read.
    let raw =
        [&[0, 0xff, 0xff, 0, 0][..], &cluster[..65535], &[0, 1, 0, 0xfe, 0xff], &cluster[65535..]];
    let unended = raw.concat();
    file.truncate(at);
    file.extend_from_slice(&unended);
    let sectors = (at % 512 + unended.len()).div_ceil(512) as u64 - 1;
    put64(&mut file, l2 + 8, (1 << 62) | (sectors << 54) | at as u64);
    assert_eq!(read_all(&*open(&file)).unwrap(), disk);
    file[at] = 7;
    let want = format!("cluster 1: the deflate stream is damaged, at byte {at}");
    assert_eq!(refusal(&file, Format::Qcow2).to_string(), want);
}

#[test]
fn names_the_cluster_whose_entry_is_wrong() {
    let (file, _, l2) = image();
    for (entry, want) in [
        (COPIED | (1 << 40), "cluster 1: it starts at byte 1099511627776, the file has 458752"),
        (
            COPIED | 0x20200,
            "cluster 1: its L2 entry is 0x8000000000020200: reserved bits are set, or it is not aligned",
        ),
        (
            1 << 58,
            "cluster 1: its L2 entry is 0x0400000000000000: reserved bits are set, or it is not aligned",
        ),
        ((1 << 62) | (1 << 41), "cluster 1: it starts at byte 2199023255552, the file has 458752"),
    ] {
        let mut bad = file.clone();
        put64(&mut bad, l2 + 8, entry);
        let want = format!("{want}, at byte {}", l2 + 8);
        assert_eq!(refusal(&bad, Format::Qcow2).to_string(), want);
    }
    for (offset, index) in [(2, 1), (1, 1), (3, 2)] {
        let mut bad = file.clone();
        let offset = offset * CLUSTER_BYTES;
        put64(&mut bad, l2 + 8, COPIED | offset);
        let want = format!(
            "cluster {index}: byte {offset} is part of a table or of another cluster, at byte {offset}"
        );
        assert_eq!(refusal(&bad, Format::Qcow2).to_string(), want);
    }
}

#[test]
fn the_last_cluster_of_a_file_may_be_cut_and_no_other() {
    let (mut file, disk, l2) = image();
    let start = file.len();
    file.extend_from_slice(&[5; 1000]);
    put64(&mut file, l2 + 8, COPIED | start as u64);
    let read = read_all(&*open(&file)).unwrap();
    assert_eq!(read[GRAIN..GRAIN + 1000], [5; 1000]);
    assert_eq!(read[GRAIN + 1000..2 * GRAIN], disk[GRAIN + 1000..2 * GRAIN]);
    file.truncate(start);
    let error = refusal(&file, Format::Qcow2).to_string();
    assert!(
        error.starts_with("cluster 1: it starts at byte 458752, the file has 458752"),
        "{error}"
    );
}

#[test]
fn a_file_cut_at_any_cluster_is_refused_or_lost_only_what_is_never_read() {
    let (file, disk, _) = image();
    // The last two clusters are the reference counts, which a reader does not need.
    for len in (0..5 * GRAIN).step_by(512) {
        let read = sample::open(&file[..len], Format::Qcow2).and_then(|image| read_all(&*image));
        assert!(read.is_err() || read.unwrap() == disk, "{len}");
    }
    for len in 0..200 {
        assert!(sample::open(&file[..len], Format::Qcow2).is_err(), "{len}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_disk_is_read_back(
        sectors in 1_usize..2000,
        grains in proptest::collection::vec(0_usize..16, 0..8),
        at in 0_usize..2000 * 512,
        len in 0_usize..200_000,
    ) {
        let disk = content(sectors * 512, &grains);
        let file = sample::qcow2(&disk);
        prop_assert_eq!(&file, &sample::qcow2(&disk));
        let image = open(&file);
        prop_assert_eq!(&read_all(&*image).unwrap(), &disk);
        let at = at.min(disk.len());
        let mut part = vec![9; len.min(disk.len() - at)];
        image.read_at(&mut part, at as u64).unwrap();
        prop_assert_eq!(&part[..], &disk[at..at + part.len()]);
    }

    #[test]
    fn no_change_of_a_table_makes_it_panic(at in 0_usize..7 * GRAIN, value: u64) {
        let (mut file, _, l2) = image();
        // Half of the changes hit the header and the tables, where they matter.
        let at = if value % 2 == 0 { at % 112 } else { l2 + at % 64 }.min(file.len() - 8);
        put64(&mut file, at, value);
        if let Ok(image) = sample::open(&file, Format::Qcow2)
            && image.capacity_bytes() < 1 << 30
        {
            drop(read_all(&*image));
        }
    }
}
