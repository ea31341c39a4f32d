//! What every thread of a copy knows: how far it is, whether it ends, and where empty batches go.

use std::sync::{
    atomic::{AtomicBool, Ordering},
    mpsc::SyncSender,
};

use disk::{CLUSTER_BYTES, Progress};

use super::batch::Batch;

/// Shared by the producer, the workers and the writer.
pub(super) struct Control<'a> {
    progress: &'a dyn Progress,
    give_back: SyncSender<Batch>,
    over: AtomicBool,
    pub(super) capacity_bytes: u64,
}

impl<'a> Control<'a> {
    pub(super) fn new(
        progress: &'a dyn Progress,
        give_back: SyncSender<Batch>,
        capacity_bytes: u64,
    ) -> Self {
        Self { progress, give_back, over: AtomicBool::new(false), capacity_bytes }
    }

    /// Whether the copy has failed or is to stop.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed) || self.is_stopped()
    }

    /// Whether somebody said stop.
    pub(super) fn is_stopped(&self) -> bool {
        self.progress.stopped()
    }

    /// Ends the copy: what is not done yet is left out.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Says that more of the disk is done.
    pub(super) fn advance(&self, bytes: u64) {
        self.progress.advance(bytes);
    }

    /// How many guest bytes a cluster has: the last one may be short.
    pub(super) fn guest_bytes_of(&self, cluster: u64) -> u64 {
        let start_bytes = cluster.saturating_mul(CLUSTER_BYTES);
        self.capacity_bytes.saturating_sub(start_bytes).min(CLUSTER_BYTES)
    }

    /// Lets the producer fill a batch again.
    pub(super) fn return_batch(&self, batch: Batch) {
        // The channel has room for every batch; the receiver may be gone once the copy is over.
        drop(self.give_back.try_send(batch));
    }
}
