//! The only loop that moves disk bytes: one pass, all processors, bounded memory.
//!
//! ```text
//! extents or pieces --Filler--> batches of 8 clusters  --rayon--> decode, zero test --Committer--> place
//!   (one thread, in order)        (a fixed number of                                 in batch order,
//!                                  batches, reused)                                  then write in parallel
//! ```
//!
//! Workers decode out of order; clusters are placed in the order of the batches, so the same source
//! gives the same bytes whatever the number of workers. A batch that is early is parked, never waited
//! for; since there is a fixed number of batches, the number of parked ones is bounded.
//! Zeros are never placed.

mod batch;
mod clone;
mod commit;
mod measure;
mod options;
mod out;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use disk::{CLUSTER_BYTES, Image, Piece, Progress, Sequential, Target};

use crate::Error;
pub use clone::clone_image;
pub use measure::{Measured, measure};
pub use options::{CloneFormat, Output, TargetOptions, write_image};
pub use out::copy_out;

use batch::{Batch, Filler, MAX_BATCH_CLUSTERS};
use commit::Committer;

/// Batches for each worker: one in work, and one that waits for it or for its place.
const BATCHES_PER_WORKER: usize = 2;

/// The most workers, whatever the number of cores (ours): more are not faster than a disk, and the
/// batches of these take 96 MiB when each holds one cluster of 2 MiB.
const MAX_WORKERS: usize = 16;

const _: () = assert!(
    MAX_WORKERS as u64 * BATCHES_PER_WORKER as u64 * MAX_BATCH_CLUSTERS as u64 * CLUSTER_BYTES
        <= 96 << 20,
    "the batches of a copy take 96 MiB at most"
);

/// How a copy is run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Worker threads; taken as 1..=16, so that memory does not grow with the host.
    pub workers: usize,
}

/// What a copy did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Guest bytes that were written; the rest is zeros.
    pub data_bytes: u64,
    /// Length of the written file.
    pub file_bytes: u64,
}

/// Copies an image that can be read at any place.
///
/// The target must be as large as the image, or larger. Nothing is synced.
///
/// # Errors
/// The image is damaged or cannot be read; the target takes no more; somebody said stop. Of several
/// failures, the one that is first in the order of the disk.
pub fn copy_image(
    image: &dyn Image,
    target: &mut dyn Target,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    let capacity_bytes = image.capacity_bytes();
    run(Some(image), capacity_bytes, target, &Run { settings, progress }, |filler| {
        for extent in image.extents() {
            if filler.fill_extent(extent.map_err(Error::source_image)?)? == Flow::Stop {
                return Ok(());
            }
        }
        Ok(())
    })
}

/// Copies an image that arrives once, front to end.
///
/// # Errors
/// As [`copy_image`]; also when grains smaller than a cluster do not come in the order of the disk.
pub fn copy_stream(
    source: &mut dyn Sequential,
    target: &mut dyn Target,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    let capacity_bytes = source.capacity_bytes();
    run(None, capacity_bytes, target, &Run { settings, progress }, |filler| {
        let mut piece = Piece::default();
        while source.next(&mut piece).map_err(Error::source_image)? {
            match filler.fill_piece(piece)? {
                Flow::Go(next) => piece = next,
                Flow::Stop => return Ok(()),
            }
        }
        filler.rest_is_zero(capacity_bytes);
        Ok(())
    })
}

/// Whether the producer goes on.
#[derive(Debug, PartialEq, Eq)]
enum Flow<T = ()> {
    Go(T),
    Stop,
}

/// What both kinds of copies are run with.
struct Run<'a> {
    settings: Settings,
    progress: &'a dyn Progress,
}

/// Runs a producer on this thread and the workers on their own.
fn run(
    image: Option<&dyn Image>,
    capacity_bytes: u64,
    target: &mut dyn Target,
    with: &Run<'_>,
    produce: impl FnOnce(&mut Filler<'_, '_>) -> Result<(), Error>,
) -> Result<Summary, Error> {
    let workers = with.settings.workers.clamp(1, MAX_WORKERS);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(workers)
        .thread_name(|number| format!("convert-{number}"))
        .build()
        .map_err(|error| Error::reading(std::io::Error::other(error)))?;
    let (give_back, spare): (SyncSender<Batch>, Receiver<Batch>) =
        sync_channel(workers * BATCHES_PER_WORKER);
    for _ in 0..workers * BATCHES_PER_WORKER {
        give_back.send(Batch::new()).expect("the channel has room for every batch");
    }
    let committer = Committer::new(target, capacity_bytes, give_back, with.progress);
    let produced = pool.in_place_scope(|scope| {
        let committer = &committer;
        let mut submit = |batch: Batch| {
            let mut held = Held { batch: Some(batch), committer };
            scope.spawn(move |_| held.work(image));
        };
        let mut filler = Filler::new(&spare, &mut submit, committer);
        let produced = produce(&mut filler);
        filler.flush();
        produced
    });
    let data_bytes = committer.finish(produced)?;
    let file_bytes = target.finish().map_err(Error::target_image)?;
    Ok(Summary { data_bytes, file_bytes })
}

/// A batch in the hands of a worker; given back even if decoding panics, since the producer waits.
struct Held<'a, 'c> {
    batch: Option<Batch>,
    committer: &'a Committer<'c>,
}

impl Held<'_, '_> {
    fn work(&mut self, image: Option<&dyn Image>) {
        let decoded = self.batch.as_mut().map_or(Ok(()), |batch| batch.decode(image));
        let Some(batch) = self.batch.take() else { return };
        match decoded {
            Ok(()) => self.committer.commit(batch),
            Err(error) => self.committer.fail(batch, error),
        }
    }
}

impl Drop for Held<'_, '_> {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.committer.abandon(batch);
        }
    }
}

/// Which cluster a guest byte is in.
const fn cluster_of(guest_bytes: u64) -> u64 {
    guest_bytes / CLUSTER_BYTES
}
