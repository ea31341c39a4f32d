//! Where compressed clusters go: back to back, in runs of clusters.

use crate::{
    Result,
    qcow2::writer::clusters::{Clusters, SECTOR_BYTES},
    target::CLUSTER_BYTES,
};

/// The clusters of a new run: 1 MiB.
///
/// When plain clusters come in between, a run that is used up cannot grow, and half a stream is lost
/// at its end: with 1 MiB that is about 1 in 100, and what an unfinished last run leaves is little.
const RUN_CLUSTERS: u64 = 16;

/// Packs compressed clusters.
///
/// A run is made of neighbouring clusters; the streams in it have no gaps. It grows a cluster at a
/// time while nothing else was taken behind it.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// The byte of the file that the next stream starts at.
    next: u64,
    /// The end of the run.
    end: u64,
}

impl Streams {
    /// Finds the place of a stream, and counts the clusters that it touches.
    pub(super) fn place(&mut self, clusters: &mut Clusters, len_bytes: u64) -> Result<u64> {
        let missing = len_bytes.saturating_sub(self.end.saturating_sub(self.next));
        if missing > 0 {
            if self.end == clusters.end_bytes() {
                let more = missing.div_ceil(CLUSTER_BYTES);
                clusters.reserve(more);
            } else {
                self.next = clusters.reserve(RUN_CLUSTERS.max(len_bytes.div_ceil(CLUSTER_BYTES)));
            }
            self.end = clusters.end_bytes();
        }
        let start = self.next;
        self.next = start.saturating_add(len_bytes);
        clusters.refer_bytes(&(start..self.next))?;
        Ok(start)
    }

    /// Gives back what the last run has left.
    pub(super) fn finish(&mut self, clusters: &mut Clusters) {
        if self.end == clusters.end_bytes() && self.next < self.end {
            clusters.shrink(self.next);
        }
    }
}

/// The L2 entry of a compressed cluster, without the flag that says so.
///
/// Layout: "Compressed Clusters Descriptor", for clusters of 64 KiB: 54 bits of the offset, and the
/// sectors that the stream touches beyond its first.
pub(super) fn descriptor(offset_bytes: u64, len_bytes: u64) -> u64 {
    let last = offset_bytes.saturating_add(len_bytes).saturating_sub(1);
    let beyond = (last / SECTOR_BYTES).saturating_sub(offset_bytes / SECTOR_BYTES);
    beyond << 54 | offset_bytes
}
