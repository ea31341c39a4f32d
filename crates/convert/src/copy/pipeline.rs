//! The threads of a copy: one that fills batches, and workers that decode them.

use std::sync::mpsc::{Receiver, sync_channel};

use disk::{CLUSTER_BYTES, Image};

use super::{
    Flow, Run,
    batch::{Batch, MAX_BATCH_CLUSTERS},
    control::Control,
    decode::{Decoder, Mode},
    filler::Filler,
    tools::{Encoding, Toolbox},
};
use crate::Error;

/// Batches for each worker: one in work, and one that waits for it or for its place.
const BATCHES_PER_WORKER: usize = 2;

/// The most workers, whatever the number of cores (ours): more are not faster than a disk, and the
/// batches of these take 64 MiB when each holds one cluster of 2 MiB.
const MAX_WORKERS: usize = 16;

const _: () = assert!(
    MAX_WORKERS as u64 * BATCHES_PER_WORKER as u64 * MAX_BATCH_CLUSTERS as u64 * CLUSTER_BYTES
        <= 64 << 20,
    "the batches of a copy take 64 MiB at most"
);

/// Takes decoded batches, in any order and from many threads.
pub(super) trait Sink: Sync {
    /// Takes a batch that was decoded.
    fn commit(&self, batch: Batch);

    /// Takes a batch that could not be decoded.
    fn fail(&self, batch: Batch, error: Error);
}

/// What decodes the batches of one copy.
pub(super) struct Pipeline<'a> {
    pool: rayon::ThreadPool,
    tools: Toolbox,
    spare: Receiver<Batch>,
    decoder: Decoder<'a>,
}

impl<'a> Pipeline<'a> {
    /// Sets up threads, tools and batches.
    pub(super) fn new(
        decoder: Decoder<'a>,
        encoding: Encoding,
        with: &Run<'a>,
    ) -> Result<(Self, Control<'a>), Error> {
        let workers = with.settings.workers.clamp(1, MAX_WORKERS);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .thread_name(|number| format!("convert-{number}"))
            .build()
            .map_err(|error| Error::reading(std::io::Error::other(error)))?;
        let read_bytes = decoder.image.map_or(disk::READ_BYTES, Image::read_bytes);
        let (give_back, spare) = sync_channel(workers * BATCHES_PER_WORKER);
        for _ in 0..workers * BATCHES_PER_WORKER {
            give_back.send(Batch::new(read_bytes)).expect("the channel has room for every batch");
        }
        let control = Control::new(with.progress, give_back, decoder.capacity_bytes);
        let tools = Toolbox::new(workers, encoding)?;
        Ok((Self { pool, tools, spare, decoder }, control))
    }

    /// Runs a producer on this thread and the workers on their own, to the end of all batches.
    pub(super) fn run(
        &self,
        control: &Control<'_>,
        sink: &dyn Sink,
        produce: impl FnOnce(&mut Filler<'_, '_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (tools, decoder) = (&self.tools, &self.decoder);
        self.pool.in_place_scope(|scope| {
            let mut submit = |batch: Batch| {
                let mut held = Held { batch: Some(batch), control };
                scope.spawn(move |_| held.work(decoder, tools, sink));
            };
            let filler = Filler::new(&self.spare, &mut submit, control);
            let mut filler = match self.decoder.mode {
                Mode::Plain => filler,
                Mode::Encoded | Mode::Kept { .. } => filler.by_cluster(),
            };
            let produced = produce(&mut filler);
            filler.flush();
            produced
        })
    }
}

/// Fills batches from an image that can be read at any place.
pub(super) fn fill_from(image: &dyn Image, filler: &mut Filler<'_, '_>) -> Result<(), Error> {
    for extent in image.extents() {
        if filler.fill_extent(extent.map_err(Error::source_image)?)? == Flow::Stop {
            break;
        }
    }
    Ok(())
}

/// A batch in the hands of a worker; given back even if decoding panics, since the producer waits.
struct Held<'a, 'c> {
    batch: Option<Batch>,
    control: &'a Control<'c>,
}

impl Held<'_, '_> {
    fn work(&mut self, decoder: &Decoder<'_>, tools: &Toolbox, sink: &dyn Sink) {
        let Some(batch) = self.batch.as_mut() else { return };
        // The tools are given back before the batch waits for its place.
        let decoded = decoder.decode(batch, &mut tools.lend(batch));
        let Some(batch) = self.batch.take() else { return };
        match decoded {
            Ok(()) => sink.commit(batch),
            Err(error) => sink.fail(batch, error),
        }
    }
}

impl Drop for Held<'_, '_> {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.control.end();
            self.control.return_batch(batch);
        }
    }
}
