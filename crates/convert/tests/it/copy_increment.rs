//! Copies of what changed, above the image that has the rest.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{io, path::Path, sync::Arc};

use convert::copy::{TargetOptions, copy_image, copy_stream, write_image};
use disk::{
    Alone, Compression, Declared, ExtentKind, Folder, Format, Image, Order, ReadAt as _, Unheard,
    WriteAt, qcow2,
};
use proptest::prelude::*;
use testkit::{MIB, Qcow2, Qcow2Cluster, content, stream_optimized};

use crate::copy::{Memory, guest_bytes, open, output, workers};

const CLUSTER: usize = 65_536;
/// The clusters of the image that says what changed: four in one of the increment.
const SMALL: usize = CLUSTER / 4;

/// A file that is written front to end.
struct FrontToEnd(Arc<Memory>);

impl WriteAt for FrontToEnd {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset_bytes)
    }

    fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len_bytes(len_bytes)
    }

    fn order(&self) -> Order {
        Order::FrontToEnd
    }
}

/// What a part of the disk is since the image below.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Change {
    /// As it was.
    Same,
    /// Zeros now, and known to be.
    Discarded,
    /// Bytes that happen to be zeros.
    Cleared,
    /// Other bytes.
    Written(u8),
}

/// An image with these changes and nothing of what is below it.
fn changed(capacity_bytes: usize, changes: &[Change]) -> Box<dyn Image> {
    let mut image = Qcow2::new(capacity_bytes as u64).cluster_bits(14).backing("base", None);
    for (number, change) in (0..).zip(changes) {
        image = match change {
            Change::Same => image,
            Change::Discarded => image.cluster(number, Qcow2Cluster::Zero),
            Change::Cleared => image.cluster(number, Qcow2Cluster::Data(vec![0; SMALL])),
            Change::Written(fill) => image.cluster(number, Qcow2Cluster::Data(vec![*fill; SMALL])),
        };
    }
    let bytes = Arc::new(image.build().bytes);
    disk::open_behind(&Alone, bytes, Declared::Stated(Format::Qcow2)).expect("a sound image")
}

/// The disk after the changes.
fn after(base: &[u8], changes: &[Change]) -> Vec<u8> {
    let mut disk = base.to_vec();
    for (part, change) in disk.chunks_mut(SMALL).zip(changes) {
        match change {
            Change::Same => {}
            Change::Discarded | Change::Cleared => part.fill(0),
            Change::Written(fill) => part.fill(*fill),
        }
    }
    disk
}

/// Writes an increment above `backing`.
fn increment(changes: &dyn Image, backing: &str, order: Order, threads: usize) -> Vec<u8> {
    let memory = Arc::new(Memory::default());
    let file: Arc<dyn WriteAt> = match order {
        Order::AnyPlace => Arc::clone(&memory) as _,
        Order::FrontToEnd => Arc::new(FrontToEnd(Arc::clone(&memory))),
    };
    let backing = qcow2::Backing { name: backing.to_owned(), format: Format::Qcow2 };
    let options = qcow2::Options { compression: Compression::None, backing: Some(backing) };
    let mut target = qcow2::Writer::create_with(file, changes.capacity_bytes(), options).unwrap();
    let summary = copy_image(changes, &mut target, workers(threads), &Unheard).unwrap();
    let bytes = memory.bytes.lock().unwrap().clone();
    assert_eq!(summary.file_bytes, bytes.len() as u64);
    bytes
}

/// Reads the disk of a chain of files.
fn read_chain(top: &Path) -> Vec<u8> {
    let gate = Folder::of(top, &[top.parent().unwrap().to_owned()]).unwrap();
    let bytes = Arc::new(std::fs::read(top).unwrap());
    let image = disk::open_behind(&gate, bytes, Declared::Stated(Format::Qcow2)).unwrap();
    guest_bytes(&*image)
}

/// Lets QEMU check the top of a chain and compare the chain with a disk.
fn qemu_agrees(top: &Path, want: &[u8]) {
    let raw = top.with_extension("raw");
    std::fs::write(&raw, want).unwrap();
    let (top, raw) = (top.to_str().unwrap(), raw.to_str().unwrap());
    for args in
        [&["check", "-f", "qcow2", top][..], &["compare", "-f", "qcow2", "-F", "raw", top, raw]]
    {
        let Some(output) = testkit::oracle("qemu-img", args) else { return };
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "qemu-img {args:?}: {said}");
    }
}

/// Writes a full image and two increments on it, and has both readers read every point.
fn chain_is_what_was_written(capacity: usize, rounds: &[Vec<Change>], order: Order) {
    let folder = tempfile::tempdir().unwrap();
    let path = |number: usize| folder.path().join(format!("{number}.qcow2"));
    let mut disk = content(capacity as u64);
    let raw = open(disk.clone(), Format::Raw);
    let file = Arc::new(Memory::default());
    let options = TargetOptions::Qcow2(Compression::Zlib);
    let target = output(&*raw, Arc::clone(&file) as _, options);
    write_image(&*raw, target, workers(2), &Unheard).unwrap();
    std::fs::write(path(0), &*file.bytes.lock().unwrap()).unwrap();
    for (number, changes) in (1..).zip(rounds) {
        let image = changed(capacity, changes);
        let bytes = increment(&*image, &format!("{}.qcow2", number - 1), order, 1);
        let again = increment(&*image, &format!("{}.qcow2", number - 1), order, 4);
        assert!(bytes == again, "the threads change what is written");
        std::fs::write(path(number), bytes).unwrap();
        disk = after(&disk, changes);
        assert!(read_chain(&path(number)) == disk, "{changes:?}");
        qemu_agrees(&path(number), &disk);
    }
}

/// Changes in which no part of a cluster of the increment is left as it was and another not.
fn some_changes(clusters: usize) -> impl Strategy<Value = Vec<Change>> {
    let part = prop_oneof![
        Just(Change::Discarded),
        Just(Change::Cleared),
        (1..=255_u8).prop_map(Change::Written)
    ];
    let cluster = prop_oneof![
        3 => Just(vec![Change::Same; 4]),
        2 => Just(vec![Change::Discarded; 4]),
        2 => prop::collection::vec(part, 4),
    ];
    prop::collection::vec(cluster, clusters).prop_map(|clusters| clusters.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_chain_of_increments_is_the_disk_as_it_became(
        short in prop_oneof![Just(0), Just(512), Just(40_000 / 512 * 512)],
        rounds in prop::collection::vec(some_changes(30), 2),
        front_to_end in any::<bool>(),
    ) {
        let capacity = 30 * CLUSTER - short;
        let changes: Vec<Vec<Change>> = rounds
            .into_iter()
            .map(|mut round| { round.truncate(capacity.div_ceil(SMALL)); round })
            .collect();
        let order = if front_to_end { Order::FrontToEnd } else { Order::AnyPlace };
        chain_is_what_was_written(capacity, &changes, order);
    }
}

/// The kind of each run of an increment by itself.
fn kinds(bytes: Vec<u8>) -> Vec<(u64, &'static str)> {
    let image =
        disk::open_behind(&Alone, Arc::new(bytes), Declared::Stated(Format::Qcow2)).unwrap();
    let kind = |kind| match kind {
        ExtentKind::Hole => "hole",
        ExtentKind::Zero => "zero",
        _ => "data",
    };
    let runs = image.extents().map(|extent| extent.unwrap());
    let mut merged: Vec<(u64, &str)> = Vec::new();
    for run in runs {
        match merged.last_mut() {
            Some((len, last)) if *last == kind(run.kind) => *len += run.len_bytes,
            _ => merged.push((run.len_bytes, kind(run.kind))),
        }
    }
    merged
}

#[test]
fn what_changed_to_zeros_hides_what_is_below_and_what_did_not_is_not_there() {
    // A run that is told at once, bytes that turn out to be zeros, and a last cluster that is short.
    let mut changes = vec![Change::Same; 4];
    changes.extend([Change::Discarded; 40]);
    changes.extend([Change::Cleared; 4]);
    changes.extend([Change::Written(7); 4]);
    changes.extend([Change::Same; 8]);
    changes.push(Change::Discarded);
    let capacity = changes.len() * SMALL - 512;
    for order in [Order::AnyPlace, Order::FrontToEnd] {
        let bytes = increment(&*changed(capacity, &changes), "base", order, 3);
        let c = CLUSTER as u64;
        let last = SMALL as u64 - 512;
        let want = [(c, "hole"), (11 * c, "zero"), (c, "data"), (2 * c, "hole"), (last, "zero")];
        assert_eq!(kinds(bytes.clone()), want);
        assert!(bytes.len_bytes() <= 8 * c, "{} bytes", bytes.len());
    }
}

#[test]
fn refuses_what_cannot_be_an_increment() {
    let options = qcow2::Options {
        backing: Some(qcow2::Backing { name: "base".to_owned(), format: Format::Qcow2 }),
        ..qcow2::Options::default()
    };
    let target = || {
        let file = Arc::new(Memory::default());
        qcow2::Writer::create_with(file, MIB, options.clone()).unwrap()
    };
    let changes = [Change::Written(1), Change::Same];
    let image = changed(MIB as usize, &changes);
    let error = copy_image(&*image, &mut target(), workers(1), &Unheard).unwrap_err();
    let want = "what changed ends at byte 16384 of the disk, not at a multiple of 65536";
    assert_eq!(error.to_string(), want);

    let packed = stream_optimized(&content(MIB), "a.vmdk");
    let length = disk::Length::Known(packed.len() as u64);
    let reader = Box::new(io::Cursor::new(packed));
    let declared = Declared::Claimed(Format::Vmdk);
    let mut stream = disk::open_stream(reader, length, declared).unwrap();
    let error = copy_stream(&mut *stream, &mut target(), workers(1), &Unheard).unwrap_err();
    assert_eq!(error.to_string(), "a pipe does not tell what changed from what is zeros");
}
