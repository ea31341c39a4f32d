//! Whether each cluster of the file is counted as often as it is used.
//!
//! ```text
//! references (header, L1, L2, clusters, snapshots, bitmaps, refcounts) ---> used, a number a cluster
//! refcount table ---> refcount blocks -------------------------------------> stored, the same
//! ```
//!
//! Too low a count is damage: a writer would take the cluster for free. So is an entry that says it
//! has the only reference to its cluster, and has not: a writer would change the cluster of both. Too
//! high a count is a leak.

use std::ops::Range;

use crate::{
    Error, MAX_FAULTS, Progress, Result, Warning,
    audit::Finding,
    fields::buffer_len,
    qcow2::{
        reader::Reader,
        references::{Sink, Stop, Walk},
    },
};

/// The clusters of the file that are counted at once, in 64 MiB of memory: 2 TiB of a file with
/// clusters of 64 KiB.
const WINDOW_CLUSTERS: u64 = 32 << 20;

/// The windows that are counted, each with a pass over all tables: the limit of this product.
const MAX_WINDOWS: u64 = 8;

#[derive(Debug, thiserror::Error)]
#[error(
    "{clusters} clusters of the file have a reference count of {stored}, and {used} references"
)]
struct TooLow {
    clusters: u64,
    stored: u64,
    used: u16,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{clusters} clusters of the file have several references, and one of them says that it is the only one"
)]
struct NotAlone {
    clusters: u64,
}

/// Compares the reference counts of an image with the references in it.
pub(super) fn audit(
    reader: &Reader,
    progress: &dyn Progress,
    found: &mut dyn FnMut(Finding),
) -> Result<()> {
    let clusters = reader.bytes.len_bytes().div_ceil(reader.header.cluster_bytes());
    let windows = clusters.div_ceil(WINDOW_CLUSTERS);
    let mut walk = Walk::new(reader, progress);
    let mut counts = Counts::new(reader, found);
    for number in 0..windows.min(MAX_WINDOWS) {
        let start = number.saturating_mul(WINDOW_CLUSTERS);
        counts.start(start..start.saturating_add(WINDOW_CLUSTERS).min(clusters));
        let counted = walk.references(&mut counts);
        match counted.and_then(|()| counts.compare(&mut walk)) {
            Ok(()) => {}
            Err(Stop::Failed(error)) => return Err(error),
            Err(Stop::Exhausted) => {
                counts.conclude("the tables of the image are too many, or too damaged");
                return Ok(());
            }
        }
    }
    counts.conclude(if windows > MAX_WINDOWS { "the file is too long" } else { "" });
    Ok(())
}

/// What a window of the file is used for, and what was found so far.
struct Counts<'a> {
    reader: &'a Reader,
    found: &'a mut dyn FnMut(Finding),
    window: Range<u64>,
    /// The references of each cluster of the window; no more than are told apart.
    used: Vec<u16>,
    /// A bit for each: whether an entry says that it has the only reference to it.
    owned: Vec<u8>,
    /// Clusters that follow one another and are wrong in the same way.
    run: Option<Run>,
    leaked: Tally,
    low: Tally,
    shared: Tally,
    /// How many runs were told as faults; no more than a report can list.
    told: usize,
}

/// Clusters with too low a count.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    clusters: u64,
    stored: u64,
    used: u16,
}

/// A number of clusters, and the first of them.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    clusters: u64,
    first: u64,
}

impl Tally {
    fn add(&mut self, cluster: u64) {
        if self.clusters == 0 {
            self.first = cluster;
        }
        self.clusters = self.clusters.saturating_add(1);
    }
}

impl Sink for Counts<'_> {
    fn refer(&mut self, bytes: Range<u64>) {
        if bytes.is_empty() {
            return;
        }
        let bits = self.reader.header.cluster_bits();
        let first = (bytes.start >> bits).max(self.window.start);
        let end = (bytes.end.saturating_sub(1) >> bits).saturating_add(1).min(self.window.end);
        let touched = self.index(first)..self.index(end.max(first));
        for count in self.used.get_mut(touched).unwrap_or_default() {
            *count = count.saturating_add(1);
        }
    }

    fn own(&mut self, start: u64) {
        let cluster = start >> self.reader.header.cluster_bits();
        let byte = self.index(cluster) / 8;
        if self.window.contains(&cluster)
            && let Some(bits) = self.owned.get_mut(byte)
        {
            *bits |= 1 << (cluster % 8);
        }
    }

    fn fault(&mut self, error: Error) {
        // Each pass meets the same damage.
        if self.window.start == 0 {
            (self.found)(Finding::Fault(error));
        }
    }
}

impl<'a> Counts<'a> {
    fn new(reader: &'a Reader, found: &'a mut dyn FnMut(Finding)) -> Self {
        Self {
            reader,
            found,
            window: 0..0,
            used: Vec::new(),
            owned: Vec::new(),
            run: None,
            leaked: Tally::default(),
            low: Tally::default(),
            shared: Tally::default(),
            told: 0,
        }
    }

    fn start(&mut self, window: Range<u64>) {
        let clusters = window.end.saturating_sub(window.start);
        self.window = window;
        self.used.clear();
        self.used.resize(buffer_len(clusters), 0);
        self.owned.clear();
        self.owned.resize(buffer_len(clusters.div_ceil(8)), 0);
    }

    /// The place of a cluster in the window, whose start is a multiple of 8.
    fn index(&self, cluster: u64) -> usize {
        buffer_len(cluster.saturating_sub(self.window.start))
    }

    fn is_owned(&self, cluster: u64) -> bool {
        let bits = self.owned.get(self.index(cluster) / 8).copied().unwrap_or_default();
        bits & 1 << (cluster % 8) != 0
    }

    /// Compares the window with the refcount blocks that describe it.
    fn compare(&mut self, walk: &mut Walk<'_>) -> std::result::Result<(), Stop> {
        let header = &self.reader.header;
        let block_bits = header.cluster_bits().saturating_add(3);
        let block_clusters = 1_u64 << (block_bits.saturating_sub(header.refcount_order()) & 63);
        let first = self.window.start.checked_div(block_clusters).unwrap_or_default();
        let end = self.window.end.div_ceil(block_clusters);
        let mut block = vec![0; buffer_len(header.cluster_bytes())];
        let mut next = self.window.start;
        walk.blocks(first..end, &mut |walk, block_place| {
            let number = block_place.number;
            let start = number.saturating_mul(block_clusters).max(self.window.start);
            self.compare_range(next..start, |_| 0);
            next = start.saturating_add(block_clusters).min(self.window.end);
            let Some(offset) = block_place.offset_bytes else {
                self.compare_range(start..next, |_| 0);
                return Ok(());
            };
            walk.fill(&mut block, offset)?;
            let skipped = number.saturating_mul(block_clusters);
            let order = header.refcount_order();
            self.compare_range(start..next, |cluster| {
                count_at(&block, cluster.saturating_sub(skipped), order)
            });
            Ok(())
        })?;
        let rest = next..self.window.end;
        self.compare_range(rest, |_| 0);
        self.end_run();
        Ok(())
    }

    fn compare_range(&mut self, clusters: Range<u64>, stored: impl Fn(u64) -> u64) {
        for cluster in clusters {
            let used = self.used.get(self.index(cluster)).copied().unwrap_or_default();
            let stored = stored(cluster);
            if stored < u64::from(used) {
                self.low.add(cluster);
                self.extend_run(cluster, stored, used);
            } else if stored > u64::from(used) && used < u16::MAX {
                self.leaked.add(cluster);
            }
            if used > 1 && self.is_owned(cluster) {
                self.shared.add(cluster);
            }
        }
    }

    fn extend_run(&mut self, cluster: u64, stored: u64, used: u16) {
        if let Some(run) = &mut self.run
            && (run.stored, run.used) == (stored, used)
            && run.first.saturating_add(run.clusters) == cluster
        {
            run.clusters = run.clusters.saturating_add(1);
            return;
        }
        self.end_run();
        self.run = Some(Run { first: cluster, clusters: 1, stored, used });
    }

    /// Tells of a run; of an image that was not closed only the sum is told.
    fn end_run(&mut self) {
        let Some(Run { first, clusters, stored, used }) = self.run.take() else { return };
        if !self.reader.header.is_dirty() && self.told <= MAX_FAULTS {
            self.told = self.told.saturating_add(1);
            let leaf = TooLow { clusters, stored, used };
            let error = Error::malformed(leaf).at(self.byte(first));
            (self.found)(Finding::Fault(error));
        }
    }

    /// Tells what is no damage, and why not all was compared, if it was not.
    fn conclude(&mut self, unfinished: &str) {
        let Tally { clusters, first } = self.low;
        if clusters > 0 && self.reader.header.is_dirty() {
            let why = "too low a reference count, as in an image that was not closed";
            self.warn(first, format!("{clusters} clusters of the file have {why}"));
        }
        let Tally { clusters, first } = self.shared;
        if clusters > 0 {
            let error = Error::malformed(NotAlone { clusters }).at(self.byte(first));
            (self.found)(Finding::Fault(error));
        }
        let Tally { clusters, first } = self.leaked;
        if clusters > 0 {
            let what = "counted more often than they are used: their room is lost";
            self.warn(first, format!("{clusters} clusters of the file are {what}"));
        }
        if !unfinished.is_empty() {
            self.warn(0, format!("not all reference counts were compared: {unfinished}"));
        }
    }

    fn warn(&mut self, cluster: u64, message: String) {
        let warning = Warning::defect(self.byte(cluster), message);
        (self.found)(Finding::Oddity(warning));
    }

    fn byte(&self, cluster: u64) -> u64 {
        cluster << self.reader.header.cluster_bits()
    }
}

/// Entry `index` of a refcount block, whose entries have `1 << order` bits.
///
/// Layout: "Refcount blocks". Entries of less than a byte begin at its low bits.
fn count_at(block: &[u8], index: u64, order: u32) -> u64 {
    let bits = 1_u64 << (order & 7);
    let bit = index.saturating_mul(bits);
    let at = buffer_len(bit / 8);
    if bits < 8 {
        let byte = block.get(at).copied().unwrap_or_default();
        let mask = (1_u64 << bits).saturating_sub(1);
        return (u64::from(byte) >> (bit % 8)) & mask;
    }
    let bytes = block.get(at..at.saturating_add(buffer_len(bits / 8))).unwrap_or_default();
    bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_counts_of_every_width() {
        let block = [0b1011_0001, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01];
        for (order, index, want) in [
            (0, 0, 1),
            (0, 1, 0),
            (0, 7, 1),
            (1, 2, 0b11),
            (2, 0, 1),
            (2, 1, 0b1011),
            (3, 1, 0x23),
            (4, 1, 0x4567),
            (5, 1, 0x89ab_cdef),
            (6, 0, 0xb123_4567_89ab_cdef),
            (6, 1, 0),
        ] {
            assert_eq!(count_at(&block, index, order), want, "order {order}, entry {index}");
        }
    }
}
