//! The loop that moves disk bytes.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use convert::{
    Kind,
    copy::{CloneFormat, Settings, TargetOptions, copy_image, copy_stream, write_image},
};
use disk::{
    CLUSTER_BYTES, Codec, Declared, Extent, ExtentKind, Extents, Format, Image, Info, Length,
    Piece, Progress, ReadAt, Sequential, Target, Unheard, Workbench, WriteAt, qcow2, raw,
};
use testkit::{MIB, content, stream_optimized};

/// A file in memory that can be made to fail.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) bytes: Mutex<Vec<u8>>,
    full_at_bytes: Option<usize>,
}

impl WriteAt for Memory {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        let start = usize::try_from(offset_bytes).expect("a small offset");
        let end = start + buf.len();
        if self.full_at_bytes.is_some_and(|limit| end > limit) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut bytes = self.bytes.lock().expect("no thread panicked");
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[start..end].copy_from_slice(buf);
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        ReadAt::read_exact_at(&*self.bytes.lock().expect("no thread panicked"), buf, offset_bytes)
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        let len = usize::try_from(len_bytes).expect("a small length");
        self.bytes.lock().expect("no thread panicked").resize(len, 0);
        Ok(())
    }
}

pub(crate) fn vmdk(bytes: &[u8]) -> Box<dyn Image> {
    open(stream_optimized(bytes, "a.vmdk"), Format::Vmdk)
}

pub(crate) fn open(bytes: Vec<u8>, format: Format) -> Box<dyn Image> {
    disk::open(Arc::new(bytes), Declared::Stated(format)).expect("a sound image")
}

/// A disk of the image's own size.
pub(crate) fn output(
    image: &dyn Image,
    file: Arc<dyn WriteAt>,
    options: TargetOptions,
) -> convert::copy::Output {
    convert::copy::Output { file, capacity_bytes: image.capacity_bytes(), options }
}

pub(crate) const fn workers(workers: usize) -> Settings {
    Settings { workers }
}

/// Copies to a qcow2 and gives its bytes.
pub(crate) fn to_qcow2(image: &dyn Image, threads: usize) -> Vec<u8> {
    let file = Arc::new(Memory::default());
    let mut target =
        qcow2::Writer::create(Arc::clone(&file) as _, image.capacity_bytes()).expect("a capacity");
    copy_image(image, &mut target, workers(threads), &Unheard).expect("a sound copy");
    let bytes = file.bytes.lock().expect("no thread panicked");
    bytes.clone()
}

pub(crate) fn guest_bytes(image: &dyn Image) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(image.capacity_bytes()).expect("a small disk")];
    image.read_at(&mut bytes, 0).expect("a sound image");
    bytes
}

#[test]
fn every_capacity_comes_through_whatever_the_number_of_workers() {
    for capacity in
        [512, 4096, 65_536, 65_536 + 512, MIB - 512, MIB, 3 * MIB + 65_536, 5 * MIB + 1024]
    {
        let want = content(capacity);
        for image in [vmdk(&want), open(want.clone(), Format::Raw)] {
            let one = to_qcow2(&*image, 1);
            assert_eq!(guest_bytes(&*open(one.clone(), Format::Qcow2)), want, "{capacity}");
            assert_eq!(to_qcow2(&*image, 5), one, "{capacity}");
        }
    }
}

#[test]
fn a_qcow2_can_be_the_source_and_raw_the_target() {
    let want = content(3 * MIB + 512);
    let image = open(to_qcow2(&*vmdk(&want), 2), Format::Qcow2);
    let file = Arc::new(Memory::default());
    let mut target = raw::Writer::create(Arc::clone(&file) as _, image.capacity_bytes()).unwrap();
    let summary = copy_image(&*image, &mut target, workers(2), &Unheard).unwrap();
    assert_eq!(*file.bytes.lock().unwrap(), want);
    assert!(summary.data_bytes < want.len() as u64, "zeros are not written");
}

#[test]
fn a_pipe_gives_the_same_bytes_as_a_file() {
    let want = content(4 * MIB + 512);
    let packed = stream_optimized(&want, "a.vmdk");
    let len = packed.len() as u64;
    let reader = Box::new(io::Cursor::new(packed));
    let mut stream =
        disk::open_stream(reader, Length::Known(len), Declared::Claimed(Format::Vmdk)).unwrap();
    let file = Arc::new(Memory::default());
    let mut target =
        qcow2::Writer::create(Arc::clone(&file) as _, stream.capacity_bytes()).unwrap();
    copy_stream(&mut *stream, &mut target, workers(3), &Unheard).unwrap();
    assert_eq!(*file.bytes.lock().unwrap(), to_qcow2(&*vmdk(&want), 1));
}

#[test]
fn the_damage_that_comes_first_on_the_disk_is_told() {
    let mut packed = stream_optimized(&content(8 * MIB), "a.vmdk");
    let sound = packed.clone();
    let grain =
        sound.windows(12).rposition(|w| w[..8] == (6 * 128_u64).to_le_bytes() && w[8..] != [0; 4]);
    let early = grain.expect("grain 6 has a header") + 20;
    packed[early] ^= 0xff;
    let late = packed.len() - 40_000;
    packed[late] ^= 0xff;
    for _ in 0..20 {
        let image = open(packed.clone(), Format::Vmdk);
        let mut target =
            qcow2::Writer::create(Arc::new(Memory::default()), image.capacity_bytes()).unwrap();
        let error = copy_image(&*image, &mut target, workers(4), &Unheard).unwrap_err();
        assert_eq!(error.kind(), Kind::Source);
        assert!(error.to_string().contains("grain 6"), "{error}");
    }
}

#[test]
fn a_full_target_is_the_targets_fault() {
    let image = vmdk(&content(8 * MIB));
    let file = Memory { full_at_bytes: Some(2 << 20), ..Memory::default() };
    let mut target = qcow2::Writer::create(Arc::new(file), image.capacity_bytes()).unwrap();
    let error = copy_image(&*image, &mut target, workers(2), &Unheard).unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Target, code::Code::E0506));
}

/// A file of which one access fails, reading back included.
struct FailsOnce {
    memory: Memory,
    left: AtomicU64,
}

impl FailsOnce {
    fn count(&self) -> io::Result<()> {
        let last = self.left.fetch_sub(1, Ordering::Relaxed) == 1;
        if last { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl WriteAt for FailsOnce {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        self.count()?;
        self.memory.write_all_at(buf, offset_bytes)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.count()?;
        self.memory.read_exact_at(buf, offset_bytes)
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.count()?;
        self.memory.set_len_bytes(len_bytes)
    }
}

#[test]
fn whichever_access_to_the_target_fails_the_copy_does() {
    let image = vmdk(&content(3 * MIB + 512));
    for options in [
        TargetOptions::Raw,
        TargetOptions::Qcow2(disk::Compression::None),
        TargetOptions::Qcow2(disk::Compression::Zlib),
        TargetOptions::Clone(CloneFormat::Qcow2),
    ] {
        let mut failures = 0;
        loop {
            let left = AtomicU64::new(failures + 1);
            let file = Arc::new(FailsOnce { memory: Memory::default(), left });
            let output = output(&*image, file, options);
            let Err(error) = write_image(&*image, output, workers(3), &Unheard) else { break };
            let told = (error.kind(), error.code());
            assert_eq!(told, (Kind::Target, code::Code::E0506), "{options:?} {failures}");
            failures += 1;
        }
        assert!(failures > 3, "{options:?}");
    }
}

/// Says stop from the first word.
pub(crate) struct Stop;

impl Progress for Stop {
    fn advance(&self, _done_bytes: u64) {}

    fn stopped(&self) -> bool {
        true
    }
}

#[test]
fn a_stop_ends_the_copy() {
    let image = vmdk(&content(8 * MIB));
    let mut target =
        qcow2::Writer::create(Arc::new(Memory::default()), image.capacity_bytes()).unwrap();
    let error = copy_image(&*image, &mut target, workers(2), &Stop).unwrap_err();
    assert_eq!(error.kind(), Kind::Stopped);
}

/// Adds up what is said to be done.
#[derive(Default)]
pub(crate) struct Sum(pub(crate) AtomicU64);

impl Progress for Sum {
    fn advance(&self, done_bytes: u64) {
        self.0.fetch_add(done_bytes, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        false
    }
}

#[test]
fn what_is_said_to_be_done_adds_up_to_the_capacity() {
    for capacity in [512, 3 * MIB + 512] {
        let image = vmdk(&content(capacity));
        let sum = Sum::default();
        let mut target =
            raw::Writer::create(Arc::new(Memory::default()), image.capacity_bytes()).unwrap();
        copy_image(&*image, &mut target as &mut dyn Target, workers(2), &sum).unwrap();
        assert_eq!(sum.0.into_inner(), capacity);
    }
}

/// An image of one large compressed cluster after the other, made up.
struct Large {
    info: Info,
    cluster_bytes: u64,
    /// The zeros before its first cluster, as when another extent comes before.
    zeros_bytes: u64,
    /// The length of the parts in which its clusters are shown, as above a delta.
    part_bytes: Option<u64>,
    panics: bool,
}

impl Large {
    fn new(cluster_bytes: u64, clusters: u64) -> Self {
        let capacity_bytes = cluster_bytes * clusters;
        let info = open(vec![0; 512], Format::Raw).info().clone();
        Self {
            info: Info { capacity_bytes, ..info },
            cluster_bytes,
            zeros_bytes: 0,
            part_bytes: None,
            panics: false,
        }
    }
}

impl Image for Large {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        let len_bytes = self.part_bytes.unwrap_or(self.cluster_bytes);
        let starts = (self.zeros_bytes..self.info.capacity_bytes).step_by(len_bytes as usize);
        let zeros = Extent::new(0, self.zeros_bytes, ExtentKind::Zero);
        let codec = Codec::Deflate;
        let whole = ExtentKind::Stored { codec, offset_bytes: 0, len_bytes: 1 };
        let clusters = starts.map(move |start_bytes| {
            let kind = ExtentKind::StoredPart {
                codec,
                offset_bytes: 0,
                len_bytes: 1,
                whole_start_bytes: start_bytes / self.cluster_bytes * self.cluster_bytes,
                whole_len_bytes: self.cluster_bytes,
            };
            let kind = if self.part_bytes.is_some() { kind } else { whole };
            let len_bytes = len_bytes.min(self.info.capacity_bytes - start_bytes);
            Ok(Extent::new(start_bytes, len_bytes, kind))
        });
        Box::new((self.zeros_bytes > 0).then_some(Ok(zeros)).into_iter().chain(clusters))
    }

    #[expect(clippy::panic_in_result_fn, reason = "this decoder is made to have a defect")]
    fn read_extent(&self, extent: &Extent, _: &mut Workbench, out: &mut [u8]) -> disk::Result<()> {
        assert!(!self.panics, "a decoder with a defect");
        self.read_at(out, extent.start_bytes)
    }

    fn stored(&self, _: &Extent, _: &mut Vec<u8>) -> disk::Result<()> {
        unreachable!("a copy asks for decoded bytes")
    }

    /// Each cluster of 64 KiB holds its own number, from 1 on.
    fn read_at(&self, buf: &mut [u8], offset_bytes: u64) -> disk::Result<()> {
        for (byte, at) in buf.iter_mut().zip(offset_bytes..) {
            let number = (at / CLUSTER_BYTES + 1) as u8;
            *byte = if at < self.zeros_bytes { 0 } else { number };
        }
        Ok(())
    }

    fn extent_at(&self, _: u64) -> disk::Result<Extent> {
        unreachable!("a copy goes through all extents")
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        unreachable!("a copy asks for decoded bytes")
    }

    fn check_unchanged(&self) -> disk::Result<()> {
        Ok(())
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        Box::new(std::iter::empty())
    }
}

#[test]
fn a_compressed_cluster_of_two_mebibytes_is_copied_in_one_piece() {
    for threads in [1, 3] {
        let image = Large::new(2 * MIB, 3);
        let file = Arc::new(Memory::default());
        let mut target =
            raw::Writer::create(Arc::clone(&file) as _, image.capacity_bytes()).unwrap();
        copy_image(&image, &mut target, workers(threads), &Unheard).unwrap();
        assert!(*file.bytes.lock().unwrap() == guest_bytes(&image), "{threads} workers");
    }
    let image = Large::new(4 * MIB, 1);
    let mut target =
        raw::Writer::create(Arc::new(Memory::default()), image.capacity_bytes()).unwrap();
    let error = copy_image(&image, &mut target, workers(1), &Unheard).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the run at byte 0 of the disk is over 2 MiB, the largest cluster"
    );
}

#[test]
fn parts_of_large_clusters_may_have_any_length() {
    for part_bytes in [512, 65_536 + 512, 300 * 512, 4 * MIB] {
        let image = Large { part_bytes: Some(part_bytes), ..Large::new(2 * MIB, 3) };
        let file = Arc::new(Memory::default());
        let mut target =
            raw::Writer::create(Arc::clone(&file) as _, image.capacity_bytes()).unwrap();
        copy_image(&image, &mut target, workers(3), &Unheard).unwrap();
        assert!(*file.bytes.lock().unwrap() == guest_bytes(&image), "{part_bytes}");
        let zlib = disk::Compression::Zlib;
        let file = Arc::new(Memory::default());
        let options = TargetOptions::Qcow2(zlib);
        let output = output(&image, Arc::clone(&file) as _, options);
        write_image(&image, output, workers(3), &Unheard).unwrap();
        let written = open(file.bytes.lock().unwrap().clone(), Format::Qcow2);
        assert!(guest_bytes(&*written) == guest_bytes(&image), "{part_bytes}");
    }
}

#[test]
fn grains_that_start_inside_a_cluster_of_64_kib_come_through() {
    for (grain_bytes, zeros_bytes) in
        [(CLUSTER_BYTES, 512), (CLUSTER_BYTES, 65_024), (2 * CLUSTER_BYTES, 512), (MIB, 4096)]
    {
        let image = Large { zeros_bytes, ..Large::new(grain_bytes, 100) };
        let zlib = disk::Compression::Zlib;
        for options in [TargetOptions::Raw, TargetOptions::Qcow2(zlib)] {
            let write = |threads| {
                let file = Arc::new(Memory::default());
                let output = output(&image, Arc::clone(&file) as _, options);
                write_image(&image, output, workers(threads), &Unheard).unwrap();
                let bytes = file.bytes.lock().unwrap();
                bytes.clone()
            };
            let written = write(1);
            assert!(write(3) == written, "{grain_bytes} {options:?}");
            let format = if options == TargetOptions::Raw { Format::Raw } else { Format::Qcow2 };
            let found = guest_bytes(&*open(written, format));
            assert!(found == guest_bytes(&image), "{grain_bytes} {options:?}");
        }
    }
}

#[test]
fn a_defect_of_a_decoder_ends_the_copy_instead_of_hanging_it() {
    let image = Large { panics: true, ..Large::new(MIB, 16) };
    let mut target =
        raw::Writer::create(Arc::new(Memory::default()), image.capacity_bytes()).unwrap();
    let copied = catch_unwind(AssertUnwindSafe(|| {
        copy_image(&image, &mut target, workers(1), &Unheard).map(drop)
    }));
    assert!(copied.is_err());
}

/// Runs of the disk in any order, as a pipe could give them.
struct Runs {
    capacity_bytes: u64,
    runs: VecDeque<(u64, u64)>,
}

impl Sequential for Runs {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn variant(&self) -> &str {
        "made up"
    }

    fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    fn next(&mut self, piece: &mut Piece) -> disk::Result<bool> {
        let Some((start_bytes, len_bytes)) = self.runs.pop_front() else { return Ok(false) };
        let bytes = vec![(start_bytes / 512 + 1) as u8; len_bytes as usize];
        let reader = Box::new(io::Cursor::new(bytes));
        disk::open_stream(reader, Length::Known(len_bytes), Declared::Stated(Format::Raw))?
            .next(piece)?;
        piece.start_bytes = start_bytes;
        Ok(piece.len_bytes == len_bytes)
    }

    fn warnings(&self) -> &[disk::Warning] {
        &[]
    }
}

#[test]
fn parts_of_a_cluster_must_come_in_order_and_whole_clusters_need_not() {
    const C: u64 = CLUSTER_BYTES;
    let copy = |runs: &[(u64, u64)]| {
        let mut source = Runs { capacity_bytes: 4 * C + 512, runs: runs.iter().copied().collect() };
        let file = Arc::new(Memory::default());
        let mut target = raw::Writer::create(Arc::clone(&file) as _, 4 * C + 512).unwrap();
        copy_stream(&mut source, &mut target, workers(2), &Unheard).map_err(|e| e.to_string())?;
        let bytes = file.bytes.lock().unwrap().clone();
        for (start, len) in runs {
            let want = (start / 512 + 1) as u8;
            let found = &bytes[*start as usize..(start + len) as usize];
            assert!(found.iter().all(|byte| *byte == want), "{runs:?}");
        }
        Ok::<(), String>(())
    };
    for runs in [
        &[(0, 512), (512, C - 512), (C, C)][..],
        &[(2 * C, C), (0, C), (3 * C, C)],
        &[(4 * C, 512), (0, C)],
    ] {
        assert_eq!(copy(runs), Ok(()), "{runs:?}");
    }
    for (runs, at) in [
        (&[(C, C), (512, 512)][..], 512),
        (&[(C, C), (0, 512)], 0),
        (&[(C, C), (512, C - 512)], 512),
        (&[(2 * C, 512), (0, C), (2 * C + 512, C - 512)], 2 * C + 512),
    ] {
        let want = format!("parts of a cluster come out of order, at byte {at} of the disk");
        assert_eq!(copy(runs), Err(want), "{runs:?}");
    }
}
