//! Where compressed clusters go: back to back, in runs of clusters.

use std::ops::Range;

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
    /// Bytes at the ends of runs that no stream will have.
    gaps: Vec<Range<u64>>,
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
                self.leave(self.end);
                self.next = clusters.reserve(RUN_CLUSTERS.max(len_bytes.div_ceil(CLUSTER_BYTES)));
            }
            self.end = clusters.end_bytes();
        }
        let start = self.next;
        self.next = start.saturating_add(len_bytes);
        clusters.refer_bytes(&(start..self.next))?;
        Ok(start)
    }

    /// Ends the run and gives back what it has left.
    pub(super) fn finish(&mut self, clusters: &mut Clusters) {
        if self.end == clusters.end_bytes() && self.next < self.end {
            clusters.shrink(self.next);
            self.end = clusters.end_bytes();
        }
        self.leave(self.end);
        (self.next, self.end) = (0, 0);
    }

    /// The gaps that came to be since this was asked last.
    pub(super) fn take_gaps(&mut self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.gaps)
    }

    /// Leaves a run that ends at `end`.
    fn leave(&mut self, end: u64) {
        if self.next < end {
            self.gaps.push(self.next..end);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::qcow2::writer::sparse::Sparse;

    const C: u64 = CLUSTER_BYTES;

    #[test]
    fn streams_alone_have_no_gaps() {
        let mut clusters = Clusters::new(Arc::new(Sparse::default()));
        let mut streams = Streams::default();
        clusters.take().unwrap();
        let mut at = C;
        for len in [1, 700, 65_024, 30_000].into_iter().cycle().take(200) {
            assert_eq!(streams.place(&mut clusters, len).unwrap(), at);
            at += len;
        }
        streams.finish(&mut clusters);
        assert_eq!(clusters.end_bytes(), at.next_multiple_of(C));
    }

    #[test]
    fn plain_clusters_between_streams_cost_little() {
        let mut clusters = Clusters::new(Arc::new(Sparse::default()));
        let mut streams = Streams::default();
        clusters.take().unwrap();
        let mut used = C;
        for _ in 0..500 {
            streams.place(&mut clusters, 20_000).unwrap();
            clusters.take().unwrap();
            used += 20_000 + C;
        }
        let wasted = clusters.end_bytes() - used;
        assert!(wasted < used / 100 + RUN_CLUSTERS * C, "{wasted} of {used} bytes");
    }

    #[test]
    fn a_run_behind_which_something_was_taken_is_kept() {
        let mut clusters = Clusters::new(Arc::new(Sparse::default()));
        let mut streams = Streams::default();
        clusters.take().unwrap();
        streams.place(&mut clusters, 10).unwrap();
        let plain = clusters.take().unwrap();
        streams.finish(&mut clusters);
        assert_eq!(clusters.end_bytes(), plain + C);
    }

    #[test]
    fn an_entry_counts_the_sectors_behind_the_first() {
        for (offset, len, beyond) in [
            (C, 1, 0),
            (C, 512, 0),
            (C, 513, 1),
            (C + 511, 1, 0),
            (C + 511, 2, 1),
            (C + 1, 130_560, 255),
        ] {
            assert_eq!(descriptor(offset, len), beyond << 54 | offset, "{offset} {len}");
        }
    }
}
