//! What workers decode and encode with.

use std::sync::{Mutex, MutexGuard, PoisonError};

use disk::{Compression, Encoder, Workbench};

use super::batch::Batch;
use crate::Error;

/// The sets of tools for grains over [`LARGE_UNIT_BYTES`], whatever the number of workers: with
/// clusters of 2 MiB, the largest of qcow2, a set grows to 10 MiB.
const LARGE_SETS: usize = 2;

/// The largest grain for which every worker has its own tools: a set then stays under 1 MiB.
const LARGE_UNIT_BYTES: u64 = 128 << 10;

/// What workers make of clusters that are not written as the guest sees them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Encoding {
    /// Clusters of a target, compressed where that saves something.
    Clusters(Compression),
    /// Grains of a streamOptimized VMDK, all of them compressed at this level.
    Grains(i32),
}

impl Encoding {
    fn encoder(self) -> disk::Result<Encoder> {
        match self {
            Self::Clusters(compression) => Encoder::new(compression),
            Self::Grains(level) => Encoder::for_grains(level),
        }
    }
}

/// The decompressor, the compressor and the buffers of one worker.
pub(super) struct Tools {
    pub(super) bench: Workbench,
    pub(super) encoder: Encoder,
    /// Decoded clusters that are not written as they are. One cluster stays in the processor's cache.
    pub(super) plain: Vec<u8>,
    /// A compressed stream as it is read.
    pub(super) stored: Vec<u8>,
}

/// The tools of all workers: a bounded number of sets, so that memory is bounded as well.
pub(super) struct Toolbox {
    /// One set for each worker: its tables and buffers stay in the cache of one processor.
    usual: Vec<Mutex<Tools>>,
    large: Vec<Mutex<Tools>>,
}

impl Toolbox {
    pub(super) fn new(workers: usize, encoding: Encoding) -> Result<Self, Error> {
        let sets = |count| -> Result<Vec<_>, Error> {
            (0..count).map(|_| Tools::new(encoding).map(Mutex::new)).collect()
        };
        Ok(Self { usual: sets(workers)?, large: sets(workers.min(LARGE_SETS))? })
    }

    /// Lends the worker on this thread a set of tools that is meant for the batch; for one with large
    /// grains it may have to wait.
    pub(super) fn lend(&self, batch: &Batch) -> MutexGuard<'_, Tools> {
        let large = batch.largest_unit_bytes > LARGE_UNIT_BYTES;
        let sets = if large { &self.large } else { &self.usual };
        let worker = rayon::current_thread_index().unwrap_or(0);
        // Tools that a panic left behind are sound: each use overwrites what the last one left.
        sets[worker % sets.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tools {
    fn new(encoding: Encoding) -> Result<Self, Error> {
        Ok(Self {
            bench: Workbench::new(),
            encoder: encoding.encoder().map_err(Error::target_image)?,
            plain: Vec::new(),
            stored: Vec::new(),
        })
    }
}
