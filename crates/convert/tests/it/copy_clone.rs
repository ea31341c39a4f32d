//! Copies that keep the source's bytes as they are.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use convert::{
    Kind,
    copy::{CloneFormat, Output, TargetOptions, clone_image, write_image},
};
use disk::{
    CLUSTER_BYTES, Compression, Declared, FileBytes, Format, Image, Progress, Unheard, WriteAt,
};
use testkit::{MIB, content, stream_optimized};

use crate::{
    copy::{Memory, Stop, Sum, guest_bytes, open, output, vmdk, workers},
    copy_encoded::{qemu_finds_it_sound, write},
};

const QCOW2: TargetOptions = TargetOptions::Clone(CloneFormat::Qcow2);
const RAW: TargetOptions = TargetOptions::Clone(CloneFormat::Raw);

#[test]
fn a_clone_has_the_sources_bytes_and_the_guests() {
    for capacity in [65_536, 65_536 + 512, 3 * MIB + 65_536, 5 * MIB + 1024] {
        let want = content(capacity);
        let packed = stream_optimized(&want, "a.vmdk");
        let raw = open(want.clone(), Format::Raw);
        let zlib = write(&*raw, TargetOptions::Qcow2(Compression::Zlib), 2).0;
        for (bytes, format) in
            [(packed, Format::Vmdk), (want.clone(), Format::Raw), (zlib, Format::Qcow2)]
        {
            let image = open(bytes.clone(), format);
            let (clone, summary) = write(&*image, QCOW2, 1);
            assert!(clone[CLUSTER_BYTES as usize..][..bytes.len()] == bytes, "{capacity} {format}");
            assert_eq!(summary.file_bytes, clone.len() as u64);
            assert!(write(&*image, QCOW2, 4).0 == clone, "{capacity} {format}");
            assert!(
                guest_bytes(&*open(clone.clone(), Format::Qcow2)) == want,
                "{capacity} {format}"
            );
            qemu_finds_it_sound(&clone, &want);
        }
    }
}

#[test]
fn a_larger_disk_does_not_show_what_is_behind_the_images_last_cluster() {
    let want = content(3 * MIB + 512);
    let larger = 4 * MIB;
    let zeros = vec![0; (larger - 3 * MIB) as usize - 512];
    // A footer follows the last cluster of a VHD at once.
    for (bytes, format) in [(testkit::vhd_fixed(&want), Format::Vhd), (want.clone(), Format::Raw)] {
        let image = open(bytes, format);
        let file = Arc::new(Memory::default());
        let output =
            Output { capacity_bytes: larger, ..output(&*image, Arc::clone(&file) as _, QCOW2) };
        write_image(&*image, output, workers(2), &Unheard).unwrap();
        let clone = file.bytes.lock().unwrap().clone();
        assert!(guest_bytes(&*open(clone, Format::Qcow2)) == [&want[..], &zeros].concat());
    }
}

#[test]
fn a_clone_of_a_file_is_that_of_memory() {
    let want = content(3 * MIB + 512);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (format, bytes, options) in [
        (Format::Vmdk, stream_optimized(&want, "a.vmdk"), QCOW2),
        (Format::Raw, want.clone(), QCOW2),
        (Format::Raw, want.clone(), RAW),
    ] {
        std::fs::write(path("source"), &bytes).unwrap();
        let source = FileBytes::new(File::open(path("source")).unwrap()).unwrap();
        let image = disk::open(Arc::new(source), Declared::Stated(format)).unwrap();
        let target = path("target");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&target);
        let sum = Sum::default();
        let done = write_image(
            &*image,
            output(&*image, Arc::new(file.unwrap()), options),
            workers(2),
            &sum,
        )
        .unwrap();
        let written = std::fs::read(&target).unwrap();
        assert_eq!(done.file_bytes, written.len() as u64);
        assert!(written == write(&*open(bytes, format), options, 1).0, "{format} {options:?}");
        assert_eq!(sum.0.into_inner(), want.len() as u64);
    }
}

#[test]
fn refuses_what_cannot_be_pointed_at() {
    let text = |image: &dyn Image, format| {
        let file = Arc::new(Memory::default());
        let error = clone_image(image, file, format, workers(1), &Unheard).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Source, code::Code::E0405));
        error.to_string()
    };
    let image = vmdk(&content(MIB));
    assert_eq!(text(&*image, CloneFormat::Raw), "a raw clone needs a raw image, this one is vmdk");
    // A disk that is shorter than a grain has only a grain that cannot be pointed at.
    let image = vmdk(&content(512));
    assert_eq!(
        text(&*image, CloneFormat::Qcow2),
        "the clone layout needs grains of 65536 bytes, deflated or at a multiple of them in the \
         file; this image has none"
    );
}

#[test]
fn a_disk_of_zeros_can_be_cloned() {
    let (clone, summary) = write(&*open(vec![0; 1 << 20], Format::Raw), QCOW2, 1);
    assert_eq!(summary.data_bytes % CLUSTER_BYTES, 0);
    assert!(guest_bytes(&*open(clone, Format::Qcow2)).iter().all(|byte| *byte == 0));
}

/// The largest step that is told.
#[derive(Default)]
struct LargestStep(AtomicU64);

impl Progress for LargestStep {
    fn advance(&self, done_bytes: u64) {
        self.0.fetch_max(done_bytes, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        false
    }
}

#[test]
fn a_raw_clone_tells_how_far_it_is() {
    let image = open(content(8 * MIB), Format::Raw);
    let largest = LargestStep::default();
    clone_image(&*image, Arc::new(Memory::default()), CloneFormat::Raw, workers(1), &largest)
        .unwrap();
    assert_eq!(largest.0.into_inner(), MIB);
}

#[test]
fn a_stop_ends_a_clone() {
    for (image, format) in [
        (vmdk(&content(8 * MIB)), CloneFormat::Qcow2),
        (open(content(8 * MIB), Format::Raw), CloneFormat::Raw),
    ] {
        let file = Arc::new(Memory::default());
        let error = clone_image(&*image, file, format, workers(2), &Stop).unwrap_err();
        assert_eq!(error.kind(), Kind::Stopped);
    }
}

/// A file that takes bytes in one range only.
struct Full {
    memory: Memory,
    room: std::ops::Range<u64>,
}

impl WriteAt for Full {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        let end = offset_bytes + buf.len() as u64;
        if offset_bytes < self.room.start || end > self.room.end {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.memory.write_all_at(buf, offset_bytes)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.memory.read_exact_at(buf, offset_bytes)
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.memory.set_len_bytes(len_bytes)
    }
}

#[test]
fn a_full_target_is_told_whichever_half_of_a_clone_finds_it_full() {
    // The last cluster cannot be pointed at and is written behind the source's bytes.
    let bytes = testkit::vhd_fixed(&content(8 * MIB + 512));
    let clone_bytes = CLUSTER_BYTES + (bytes.len() as u64).next_multiple_of(CLUSTER_BYTES);
    let image = open(bytes, Format::Vhd);
    for room in [0..clone_bytes, 2 * CLUSTER_BYTES..u64::MAX, 0..3 * MIB] {
        let file = Arc::new(Full { memory: Memory::default(), room: room.clone() });
        let error =
            clone_image(&*image, file, CloneFormat::Qcow2, workers(2), &Unheard).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Target, code::Code::E0506), "{room:?}");
    }
}
