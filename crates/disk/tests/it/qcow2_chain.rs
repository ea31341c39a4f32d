//! qcow2 images that need other files, and those with subclusters, zstd frames and snapshots.

use std::{collections::HashMap, sync::Arc};

use disk::{
    Declared, Error, ExtentKind, FileName, Format, Gate, Image, Kind, Opened, Place, Result, Role,
    Unheard, check, open_behind, open_snapshot, qcow2,
};
use proptest::prelude::*;
use testkit::{BuiltQcow2, Qcow2, Qcow2Cluster};

use crate::sample::{self, GRAIN, content, read_all};

/// A folder in memory.
#[derive(Default)]
struct Shelf(HashMap<&'static str, Vec<u8>>);

impl Shelf {
    fn with(mut self, name: &'static str, bytes: Vec<u8>) -> Self {
        self.0.insert(name, bytes);
        self
    }

    fn open(&self, name: &str) -> Result<Box<dyn Image>> {
        let bytes = Arc::new(self.0[name].clone());
        open_behind(self, bytes, Declared::Stated(Format::Qcow2))
    }

    fn refusal(&self, name: &str) -> Error {
        self.open(name).err().unwrap()
    }
}

impl Gate for Shelf {
    fn open(&self, _: Role, name: &FileName, _: &Place) -> Result<Opened> {
        let bytes = self.0.get(name.text()).unwrap_or_else(|| panic!("{name} is asked for"));
        let place = Place { name: name.text().to_owned(), file: None };
        Ok(Opened { bytes: Arc::new(bytes.clone()), place })
    }

    fn root(&self) -> Place {
        Place { name: "top".to_owned(), file: None }
    }

    fn max_depth(&self) -> usize {
        3
    }
}

fn data(seed: usize) -> Qcow2Cluster {
    Qcow2Cluster::Data(content(GRAIN * (seed + 1), &[seed]).split_off(seed * GRAIN))
}

/// Four clusters over a backing file: 0 data, 1 zero, 2 and 3 not there.
fn overlay(backing: &str, format: Option<&str>) -> Vec<u8> {
    Qcow2::new(4 * GRAIN as u64)
        .cluster(0, data(0))
        .cluster(1, Qcow2Cluster::Zero)
        .backing(backing, format)
        .build()
        .bytes
}

#[test]
fn a_hole_shows_the_backing_file_and_a_zero_cluster_does_not() {
    let base = content(3 * GRAIN, &[0, 1, 2]);
    let mut want = base.clone();
    want[..GRAIN].copy_from_slice(&content(GRAIN, &[0]));
    want[GRAIN..2 * GRAIN].fill(0);
    // The overlay is longer than what it stands on: zeros.
    want.resize(4 * GRAIN, 0);
    for (format, bytes) in [
        (Some("raw"), base.clone()),
        (Some("qcow2"), sample::qcow2(&base)),
        (Some("vmdk"), sample::stream_vmdk(&base)),
        (None, sample::qcow2(&base)),
    ] {
        let shelf = Shelf::default().with("top", overlay("base", format)).with("base", bytes);
        let image = shelf.open("top").unwrap();
        assert_eq!(read_all(&*image).unwrap(), want, "{format:?}");
        assert_eq!(image.info().references[0].name, "base");
        let mut part = vec![1; 2 * GRAIN];
        image.read_at(&mut part, 3 * GRAIN as u64 / 2).unwrap();
        assert_eq!(part, want[3 * GRAIN / 2..7 * GRAIN / 2]);
        assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
    }
}

#[test]
fn a_backing_file_is_followed_only_by_a_plain_name_and_a_format_that_is_known() {
    let base = content(3 * GRAIN, &[0]);
    for (name, format, want, kind) in [
        (
            "json:{\"driver\":\"nbd\"}",
            Some("raw"),
            "the backing file 'json:{\\\"driver\\\":\\\"nbd\\\"}' is a protocol of QEMU and no file",
            Kind::Denied,
        ),
        (
            "nbd://host/x",
            None,
            "the backing file 'nbd://host/x' is a protocol of QEMU and no file",
            Kind::Denied,
        ),
        (
            "base",
            Some("luks"),
            "the backing file 'base' has the format 'luks', which is not read",
            Kind::Unsupported,
        ),
        (
            "base",
            None,
            "no magic number of a disk format is found; if the image is raw, say so, in base",
            Kind::Mismatch,
        ),
        (
            "base",
            Some("qcow2"),
            "no magic number of qcow2 is found in the image, in base",
            Kind::Mismatch,
        ),
        (
            "top",
            Some("qcow2"),
            "the backing file 'top' is an image of its own chain, which so has no end",
            Kind::Malformed,
        ),
    ] {
        let shelf = Shelf::default().with("top", overlay(name, format)).with("base", base.clone());
        let error = shelf.refusal("top");
        assert_eq!((error.to_string().as_str(), error.kind()), (want, kind));
    }
    let error =
        disk::open(Arc::new(overlay("base", Some("raw"))), Declared::Unknown).err().unwrap();
    let want =
        "the image needs its backing file 'base', and only images that stand alone are read here";
    assert_eq!((error.to_string().as_str(), error.kind()), (want, Kind::Denied));
}

#[test]
fn a_chain_may_be_as_deep_as_the_gate_says() {
    let chain = |bottom: &str, format| {
        let shelf = Shelf::default()
            .with("top", overlay("middle", Some("qcow2")))
            .with("middle", overlay(bottom, Some(format)))
            .with("base", content(4 * GRAIN, &[3]))
            .with("low", overlay("base", Some("raw")));
        shelf.open("top").and_then(|image| read_all(&*image))
    };
    assert_eq!(chain("base", "raw").unwrap()[3 * GRAIN..], content(4 * GRAIN, &[3])[3 * GRAIN..]);
    let error = chain("low", "qcow2").unwrap_err();
    let want = "the backing file 'base' would be image 4 of the chain, 3 are allowed";
    assert!(error.to_string().starts_with(want), "{error}");
    assert_eq!(error.kind(), Kind::Limit);
}

/// Guest cluster 1 at the front of the data file, guest cluster 0 behind it.
fn with_data_file() -> (BuiltQcow2, Vec<u8>) {
    let image =
        Qcow2::new(4 * GRAIN as u64).data_file("data").cluster(1, data(1)).cluster(3, data(0));
    let mut want = vec![0; 4 * GRAIN];
    want[GRAIN..2 * GRAIN].copy_from_slice(&content(2 * GRAIN, &[1])[GRAIN..]);
    want[3 * GRAIN..].copy_from_slice(&content(GRAIN, &[0]));
    (image.build(), want)
}

#[test]
fn clusters_may_lie_in_another_file_even_at_its_first_byte() {
    let (BuiltQcow2 { bytes, data, .. }, want) = with_data_file();
    let shelf = Shelf::default().with("top", bytes).with("data", data);
    let image = shelf.open("top").unwrap();
    assert_eq!(image.files(), ["", "data"]);
    let extent = image.extents().nth(1).unwrap().unwrap();
    assert_eq!((extent.kind, extent.file), (ExtentKind::Data { offset_bytes: 0 }, 1));
    assert_eq!(read_all(&*image).unwrap(), want);
    let report = check(&*image, &Unheard).unwrap();
    assert_eq!((report.faults, report.warnings), (vec![], vec![]));
}

#[test]
fn an_image_with_a_data_file_holds_no_clusters_itself() {
    let (BuiltQcow2 { bytes, data, l2, .. }, _) = with_data_file();
    let read = |edit: &dyn Fn(&mut Vec<u8>), data: &[u8]| {
        let mut bytes = bytes.clone();
        edit(&mut bytes);
        let shelf = Shelf::default().with("top", bytes).with("data", data.to_vec());
        shelf.open("top").and_then(|image| read_all(&*image)).unwrap_err().to_string()
    };
    let compressed = read(&|bytes| bytes[l2 + 8] = 0x40, &data);
    let want = "cluster 1 is compressed, which none can be in an image with a data file";
    assert_eq!(compressed, format!("{want}, at byte {}", l2 + 8));
    let cut = read(&|_| (), &data[..GRAIN]);
    let want = "cluster 3: it starts at byte 65536, the file has 65536";
    assert_eq!(cut, format!("{want}, at byte {}", l2 + 24));
    let unnamed = read(&|bytes| bytes[112..116].fill(0), &data);
    let want =
        "the image keeps its clusters in an external data file that it does not name, at byte 72";
    assert_eq!(unnamed, want);
}

#[test]
fn a_cluster_may_be_a_zstd_frame() {
    let cluster = content(GRAIN, &[0]);
    let frame = zstd::bulk::compress(&cluster, 3).unwrap();
    let image = Qcow2::new(3 * GRAIN as u64).zstd();
    let built = image.cluster(1, Qcow2Cluster::Stored(frame)).build();
    let mut want = vec![0; 3 * GRAIN];
    want[GRAIN..2 * GRAIN].copy_from_slice(&cluster);
    let image = sample::open(&built.bytes, Format::Qcow2).unwrap();
    assert_eq!(read_all(&*image).unwrap(), want);
    assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
    let mut bad = built.bytes.clone();
    let at = bad.windows(4).position(|bytes| bytes == b"\x28\xb5\x2f\xfd").unwrap();
    bad[at] = 0;
    let error = sample::refusal(&bad, Format::Qcow2).to_string();
    assert_eq!(error, format!("cluster 1: it is no whole zstd frame, at byte {at}"));
}

/// Cluster 1 has subclusters: 0 and 1 allocated, 2 zero, 3 not there, 31 allocated.
const PARTS: u64 = 0b11 | 1 << 31 | 1 << 34;

fn with_subclusters() -> Qcow2 {
    let Qcow2Cluster::Data(bytes) = data(0) else { unreachable!() };
    let parts = Qcow2Cluster::Parts(PARTS, bytes);
    Qcow2::new(3 * GRAIN as u64).cluster(1, parts).cluster(2, Qcow2Cluster::Zero)
}

#[test]
fn each_subcluster_is_data_zeros_or_a_hole_of_its_own() {
    let base = content(3 * GRAIN, &[0, 1, 2]);
    let built = with_subclusters().backing("base", Some("raw")).build();
    let mut want = base.clone();
    let cluster = content(GRAIN, &[0]);
    for (range, source) in
        [(0..4096, &cluster), (4096..6144, &vec![0; GRAIN]), (63488..GRAIN, &cluster)]
    {
        want[GRAIN + range.start..GRAIN + range.end].copy_from_slice(&source[range]);
    }
    want[2 * GRAIN..].fill(0);
    let shelf = Shelf::default().with("top", built.bytes.clone()).with("base", base);
    let image = shelf.open("top").unwrap();
    assert_eq!(read_all(&*image).unwrap(), want);
    for at in [0, 2047, 4095, 4096, 6143, 6144, 63487, 63488, GRAIN - 1] {
        let mut byte = [9];
        image.read_at(&mut byte, (GRAIN + at) as u64).unwrap();
        assert_eq!(byte[0], want[GRAIN + at], "{at}");
    }
    let alone = sample::open(&with_subclusters().build().bytes, Format::Qcow2).unwrap();
    let kinds: Vec<_> = alone.extents().map(|extent| extent.unwrap()).collect();
    let lens: Vec<_> = kinds.iter().map(|extent| extent.len_bytes).collect();
    assert_eq!(lens, [GRAIN as u64, 4096, 2048, 63488 - 6144, 2048, GRAIN as u64]);
    assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
}

#[test]
fn names_the_extended_entry_that_is_wrong() {
    let BuiltQcow2 { bytes, l2, .. } = with_subclusters().build();
    for (at, byte, want) in [
        (
            8 + 3,
            1,
            "cluster 1: its bitmap is 0x0000000180000003: a subcluster is both allocated and zero",
        ),
        (
            7,
            1,
            "cluster 1: its L2 entry is 0x8000000000030001: reserved bits are set, or it is not aligned",
        ),
        (
            5,
            0,
            "cluster 1: its bitmap is 0x0000000480000003: subclusters are allocated, the cluster is not",
        ),
        (
            0,
            0x40,
            "cluster 1: its bitmap is 0x0000000480000003, that of a compressed cluster must be 0",
        ),
    ] {
        let mut bad = bytes.clone();
        bad[l2 + 16 + at] = byte;
        let error = sample::refusal(&bad, Format::Qcow2).to_string();
        assert_eq!(error, format!("{want}, at byte {}", l2 + 16));
    }
}

/// A snapshot 'old' with clusters 0 and 1; since then 1 is another one.
fn with_snapshot() -> BuiltQcow2 {
    let image = Qcow2::new(3 * GRAIN as u64).cluster(0, data(0)).cluster(1, data(1));
    image.snapshot("old").cluster(1, data(2)).build()
}

#[test]
fn reads_a_snapshot_as_the_disk_was() {
    let built = with_snapshot();
    let bytes = Arc::new(built.bytes.clone());
    let listed = qcow2::snapshots(&*bytes).unwrap();
    assert_eq!((listed[0].id.as_str(), listed[0].name.as_str()), ("1", "old"));
    for wanted in ["1", "old"] {
        let image = open_snapshot(&disk::Closed, bytes.clone(), wanted).unwrap();
        assert_eq!(read_all(&*image).unwrap(), content(3 * GRAIN, &[0, 1]));
        assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
    }
    let image = sample::open(&bytes, Format::Qcow2).unwrap();
    assert_ne!(read_all(&*image).unwrap(), content(3 * GRAIN, &[0, 1]));
    let error = open_snapshot(&disk::Closed, bytes, "new").err().unwrap();
    assert_eq!(error.to_string(), "no snapshot is called 'new', there are 'old'");
    let raw = Arc::new(vec![0; 4096]);
    let error = open_snapshot(&disk::Closed, raw, "old").err().unwrap();
    assert_eq!(error.to_string(), "no magic number of qcow2 is found in the image");
}

fn findings(bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let report = check(&*sample::open(bytes, Format::Qcow2).unwrap(), &Unheard).unwrap();
    let faults = report.faults.into_iter().map(|fault| fault.message).collect();
    let warnings = report.warnings.iter().map(ToString::to_string);
    (faults, warnings.filter(|text| !text.contains("carried over")).collect())
}

#[test]
fn a_check_compares_reference_counts_with_references() {
    let built = with_snapshot();
    assert_eq!(findings(&built.bytes), (vec![], vec![]));
    // Header, L1, L2, L1, L2, then the shared cluster.
    let shared = built.refcounts + 2 * 5;
    let mut bad = built.bytes.clone();
    assert_eq!(bad[shared + 1], 2);
    bad[shared + 1] = 1;
    let want =
        "1 clusters of the file have a reference count of 1, and 2 references, at byte 327680";
    assert_eq!(findings(&bad), (vec![want.to_owned()], vec![]));
    bad[shared + 1] = 3;
    bad[shared + 3] = 4;
    let leak =
        "2 clusters of the file are counted more often than they are used: their room is lost";
    assert_eq!(findings(&bad), (vec![], vec![format!("{leak}, at byte 327680")]));
    // An image that was not closed may have wrong counts.
    bad[shared + 1] = 1;
    bad[shared + 3] = 1;
    bad[79] = 1;
    let (faults, warnings) = findings(&bad);
    assert_eq!((faults.len(), warnings.len()), (0, 2));
    let want =
        "1 clusters of the file have too low a reference count, as in an image that was not closed";
    assert_eq!(warnings[1], format!("{want}, at byte 327680"));
}

#[test]
fn a_check_finds_an_entry_that_claims_a_shared_cluster_for_itself() {
    let built = with_snapshot();
    let want = "1 clusters of the file have several references, and one of them says that it is the only one, at byte 327680";
    let mut bad = built.bytes.clone();
    assert_eq!(bad[built.l2], 0);
    bad[built.l2] = 0x80;
    assert_eq!(findings(&bad), (vec![want.to_owned()], vec![]));
    // What the snapshot says of it matters to no writer.
    let mut odd = built.bytes;
    odd[4 * GRAIN] = 0x80;
    assert_eq!(findings(&odd), (vec![], vec![]));
}

#[test]
fn a_check_looks_at_l2_entries_behind_the_end_of_the_disk() {
    let built = with_snapshot();
    let mut bad = built.bytes;
    bad[built.l2 + 3 * 8 + 7] = 2;
    let want = format!(
        "cluster 3: its L2 entry is 0x0000000000000002: reserved bits are set, or it is not aligned, at byte {}",
        built.l2 + 3 * 8
    );
    assert_eq!(findings(&bad), (vec![want], vec![]));
}

#[test]
fn a_check_names_damaged_refcount_tables_and_snapshots() {
    let built = with_snapshot();
    let table = built.refcounts - GRAIN;
    let mut bad = built.bytes.clone();
    bad[table + 6] = 2;
    let (faults, _) = findings(&bad);
    let want = format!(
        "refcount table entry 0 is {:#018x}: no block can be there, at byte {table}",
        built.refcounts as u64 & !0xff00 | 0x200
    );
    assert_eq!(faults[0], want);
    assert!(faults[1].contains("have a reference count of 0, and 1 references"), "{}", faults[1]);
    // The L2 table of the snapshot is cluster 4.
    let mut bad = built.bytes.clone();
    bad[4 * GRAIN + 8 + 2] = 0xff;
    let (faults, _) = findings(&bad);
    assert!(
        faults[0].starts_with("snapshot 'old': cluster 1: it starts at byte 280375465"),
        "{faults:?}"
    );
    let mut bad = built.bytes.clone();
    bad[built.snapshots + 6] |= 2;
    let (faults, _) = findings(&bad);
    let want = format!(
        "snapshot 'old': the L1 table offset {0} is no multiple of the cluster size of 65536, at byte {0}",
        3 * GRAIN + 512
    );
    assert_eq!(faults, [want]);
    let mut bad = built.bytes;
    bad[built.snapshots + 2] = 1;
    let (faults, _) = findings(&bad);
    let want =
        "snapshot 'old': an L1 table of 1 entries at byte 1099511824384 is not inside the file";
    assert_eq!(faults[0], format!("{want}, at byte 1099511824384"));
}

#[test]
fn qemu_agrees_with_the_images_and_the_reference_counts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.qcow2");
    let frame = zstd::bulk::compress(&content(GRAIN, &[0]), 3).unwrap();
    let zstd = Qcow2::new(3 * GRAIN as u64).zstd().cluster(1, Qcow2Cluster::Stored(frame));
    for built in [with_snapshot(), with_subclusters().build(), zstd.build()] {
        std::fs::write(&path, &built.bytes).unwrap();
        let path = path.to_str().unwrap();
        let Some(output) = testkit::oracle("qemu-img", ["check", "-f", "qcow2", path]) else {
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(findings(&built.bytes), (vec![], vec![]));
    }
}

#[test]
fn an_image_cut_anywhere_is_refused_or_read_soundly() {
    for built in [with_snapshot(), with_subclusters().build()] {
        for len in (0..300).chain((0..built.bytes.len()).step_by(777)) {
            let bytes = built.bytes[..len].to_vec();
            if let Ok(image) = disk::open(Arc::new(bytes), Declared::Stated(Format::Qcow2)) {
                drop(read_all(&*image));
                check(&*image, &Unheard).unwrap();
            }
        }
    }
}

#[test]
fn a_check_counts_the_bitmaps_that_qemu_adds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image.qcow2");
    std::fs::write(&path, with_snapshot().bytes).unwrap();
    let path = path.to_str().unwrap();
    for words in [
        &["bitmap", "--add", "-f", "qcow2", path, "b0"][..],
        &["bitmap", "--add", "-f", "qcow2", "-g", "64k", path, "a longer name"],
        &["check", "-f", "qcow2", path],
    ] {
        let Some(output) = testkit::oracle("qemu-img", words) else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(findings(&bytes), (vec![], vec![]));
    // When the bitmaps are not in use, what they take is lost.
    let mut unused = bytes.clone();
    unused[95] = 0;
    let (faults, warnings) = findings(&unused);
    assert_eq!((faults.len(), warnings.len()), (0, 1));
    assert!(warnings[0].contains("their room is lost"), "{warnings:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_change_of_a_number_makes_it_panic(
        extended: bool,
        place in 0_usize..6,
        at in 0_usize..120,
        value: u64,
        shift in 0_u32..64,
    ) {
        let built = if extended { with_subclusters().build() } else { with_snapshot() };
        let table = built.refcounts - GRAIN;
        let start = [0, built.l2 - GRAIN, built.l2, built.snapshots, table, built.refcounts][place];
        let mut bytes = built.bytes;
        let at = start + at;
        bytes[at..at + 8].copy_from_slice(&(value >> shift).to_be_bytes());
        if let Ok(image) = sample::open(&bytes, Format::Qcow2)
            && image.capacity_bytes() < 1 << 30
        {
            drop(read_all(&*image));
            check(&*image, &Unheard).unwrap();
            drop(open_snapshot(&disk::Closed, Arc::new(bytes), "old"));
        }
    }
}
