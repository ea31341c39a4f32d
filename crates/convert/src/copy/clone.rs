//! The clone layout: the source's bytes as they are, and tables that point into them.
//!
//! ```text
//! qcow2:  header | the source's bytes | what cannot be pointed at | tables
//!                     ^------------------ entries of the tables -----'
//! ```

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use disk::{
    CLUSTER_BYTES, Codec, ExtentKind, Format, Image, Progress, ReadAt, Target as _, WriteAt, qcow2,
};

use super::{
    CloneFormat, Run, Settings, Summary,
    decode::{Mode, keepable_data},
    finish, run_image, still_the_same,
};
use crate::{Error, Kind};

/// Bytes that the kernel is asked to copy at a time, so that a stop is heard.
const KERNEL_STEP_BYTES: u64 = 64 << 20;

/// Bytes that are moved at a time where the kernel does not copy.
const STEP_BYTES: usize = 1 << 20;

/// Copies the bytes of an image as they are, in the kernel where it can (a file system with
/// reflinks shares them), and writes tables that point into them.
///
/// A qcow2 clone has the source's bytes from its second cluster on. Every compressed grain is
/// inflated and checked, and grains of zeros are left out; what cannot be pointed at (a short last
/// grain, data that is not aligned) is written behind them. A raw clone of a raw image is the same
/// file.
///
/// # Errors
/// As [`copy_image`](super::copy_image); also when the source cannot be cloned: nothing in it has the
/// size and the place that qcow2 needs, or it consists of several files.
pub fn clone_image(
    image: &dyn Image,
    file: Arc<dyn WriteAt>,
    format: CloneFormat,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    let output = (file, image.capacity_bytes());
    clone_sized(image, output, format, &Run { settings, progress })
}

/// As [`clone_image`], for a disk that may be larger than its image.
pub(super) fn clone_sized(
    image: &dyn Image,
    (file, capacity_bytes): (Arc<dyn WriteAt>, u64),
    format: CloneFormat,
    with: &Run<'_>,
) -> Result<Summary, Error> {
    let files = image.files().len();
    if files != 1 {
        let message = format!("the clone layout needs an image of one file, this one has {files}");
        return Err(Error::layout(message));
    }
    let done = match format {
        CloneFormat::Raw => clone_raw(image, &*file, capacity_bytes, with.progress),
        CloneFormat::Qcow2 => clone_qcow2(image, file, capacity_bytes, with),
    }?;
    still_the_same(image)?;
    Ok(done)
}

fn clone_raw(
    image: &dyn Image,
    file: &dyn WriteAt,
    file_bytes: u64,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    let format = image.format();
    if format != Format::Raw {
        return Err(Error::layout(format!("a raw clone needs a raw image, this one is {format}")));
    }
    file.set_len_bytes(file_bytes).map_err(Error::writing)?;
    let source = &**image.bytes();
    let copy = ByteCopy { source, file, start_bytes: 0, progress };
    let data_bytes = copy.run(&|bytes| progress.advance(bytes))?;
    progress.advance(file_bytes.saturating_sub(source.len_bytes()));
    Ok(Summary { data_bytes, file_bytes })
}

fn clone_qcow2(
    image: &dyn Image,
    file: Arc<dyn WriteAt>,
    capacity_bytes: u64,
    with: &Run<'_>,
) -> Result<Summary, Error> {
    require_something_to_keep(image)?;
    let source = &**image.bytes();
    let mut target = qcow2::Writer::create(file, capacity_bytes).map_err(Error::target_image)?;
    let file = target.file();
    let start_bytes = target.reserve(source.len_bytes()).map_err(Error::target_image)?;
    let both = Both { progress: with.progress, failed: AtomicBool::new(false) };
    let copy = ByteCopy { source, file: &*file, start_bytes, progress: &both };
    let with = Run { settings: with.settings, progress: &both };
    let (checked, copied) = std::thread::scope(|scope| {
        // What is done is told by the other half.
        let copying = scope.spawn(|| both.watch(copy.run(&|_| ())));
        let checked = both.watch(run_image(image, &mut target, Mode::Kept { start_bytes }, &with));
        let copied = copying.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (checked, copied)
    });
    let data_bytes = both_done(checked, copied)?;
    finish(&mut target, data_bytes)
}

/// The two halves of a clone, copying and checking: when one fails, the other is told to stop.
struct Both<'a> {
    progress: &'a dyn Progress,
    failed: AtomicBool,
}

impl Both<'_> {
    fn watch<T>(&self, half: Result<T, Error>) -> Result<T, Error> {
        self.failed.fetch_or(half.is_err(), Ordering::Relaxed);
        half
    }
}

impl Progress for Both<'_> {
    fn advance(&self, done_bytes: u64) {
        self.progress.advance(done_bytes);
    }

    fn stopped(&self) -> bool {
        self.failed.load(Ordering::Relaxed) || self.progress.stopped()
    }
}

/// What checking found, unless one half failed; that it was stopped is told only when no half says why.
fn both_done(checked: Result<u64, Error>, copied: Result<u64, Error>) -> Result<u64, Error> {
    match (checked, copied) {
        (Err(stopped), Err(error)) if stopped.kind() == Kind::Stopped => Err(error),
        (Ok(_), Err(error)) => Err(error),
        (checked, _) => checked,
    }
}

/// Refuses an image of which nothing could be pointed at: the clone would hold everything twice.
fn require_something_to_keep(image: &dyn Image) -> Result<(), Error> {
    let mut any = false;
    for extent in image.extents() {
        let extent = extent.map_err(Error::source_image)?;
        let keepable = match extent.kind {
            ExtentKind::Zero | ExtentKind::Hole => continue,
            ExtentKind::Stored { codec, .. } => {
                extent.len_bytes == CLUSTER_BYTES && codec != Codec::Zstd
            }
            _ => keepable_data(&extent, image).is_some(),
        };
        if keepable {
            return Ok(());
        }
        any = true;
    }
    if any {
        return Err(Error::layout(format!(
            "the clone layout needs grains of {CLUSTER_BYTES} bytes, deflated or at a multiple of \
             them in the file; this image has none"
        )));
    }
    Ok(())
}

/// Copies bytes as they are.
struct ByteCopy<'a> {
    source: &'a dyn ReadAt,
    file: &'a dyn WriteAt,
    /// Where the first byte goes.
    start_bytes: u64,
    progress: &'a dyn Progress,
}

impl ByteCopy<'_> {
    /// Copies everything but holes and says how many bytes that were; `pass` hears of the holes, too.
    fn run(&self, pass: &dyn Fn(u64)) -> Result<u64, Error> {
        let mut buffer = Vec::new();
        let (mut at, mut copied) = (0, 0);
        while let Some(data) = self.source.next_data(at).map_err(Error::reading)? {
            pass(data.start - at);
            at = data.start;
            while at < data.end {
                if self.progress.stopped() {
                    return Err(Error::stopped());
                }
                let done = self.step(at..data.end, &mut buffer)?;
                pass(done);
                (at, copied) = (at + done, copied + done);
            }
        }
        pass(self.source.len_bytes() - at);
        Ok(copied)
    }

    /// Copies the front of a range and says how much of it.
    fn step(&self, range: Range<u64>, buffer: &mut Vec<u8>) -> Result<u64, Error> {
        let to = self.start_bytes + range.start;
        let part = range.start..range.end.min(range.start + KERNEL_STEP_BYTES);
        let done = self.file.copy_from(self.source, part, to);
        if done > 0 {
            return Ok(done);
        }
        let rest = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        buffer.resize(rest.min(STEP_BYTES), 0);
        self.source.read_exact_at(buffer, range.start).map_err(Error::reading)?;
        self.file.write_all_at(buffer, to).map_err(Error::writing)?;
        Ok(buffer.len() as u64)
    }
}
