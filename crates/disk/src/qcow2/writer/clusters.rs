//! The clusters of the file: which are taken, and how often each is referred to.

use std::{ops::Range, sync::Arc};

use crate::{
    Error, Result,
    error::Kind,
    fields::{be16, buffer_len},
    qcow2::writer::tables::Tables,
    target::{CLUSTER_BYTES, WriteAt},
};

/// The unit in which a compressed cluster counts as touching a cluster of the file.
pub(super) const SECTOR_BYTES: u64 = 512;

/// The clusters that one refcount block counts, at 16 bits each.
const BLOCK_ENTRIES: u64 = CLUSTER_BYTES / 2;

/// The refcount blocks that one cluster of the refcount table names.
const TABLE_ENTRIES: u64 = CLUSTER_BYTES / 8;

/// Hands out the clusters of a file, one behind the other, and counts the references to each.
///
/// Layout: "Host cluster management". A refcount block gets its own cluster when it leaves memory, or
/// at the end.
pub(super) struct Clusters {
    file: Arc<dyn WriteAt>,
    /// The first cluster of the file that is not in use.
    next: u64,
    blocks: Tables,
}

/// Where the refcount table was written.
pub(super) struct RefcountTable {
    pub(super) offset_bytes: u64,
    pub(super) clusters: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("cluster {0} of the written file has {max} references, the most that are counted", max = u16::MAX)]
struct TooManyReferences(u64);

impl Clusters {
    /// Starts with an empty file.
    pub(super) fn new(file: Arc<dyn WriteAt>) -> Self {
        Self { file, next: 0, blocks: Tables::new() }
    }

    /// The byte behind the last cluster that is in use.
    pub(super) fn end_bytes(&self) -> u64 {
        self.next.saturating_mul(CLUSTER_BYTES)
    }

    /// Takes the next cluster, with one reference, and gives its first byte.
    pub(super) fn take(&mut self) -> Result<u64> {
        self.take_run(1)
    }

    /// Takes the next `count` clusters, with one reference each, and gives their first byte.
    pub(super) fn take_run(&mut self, count: u64) -> Result<u64> {
        let first = self.next;
        let start_bytes = self.reserve(count);
        for cluster in first..first.saturating_add(count) {
            self.refer(cluster)?;
        }
        Ok(start_bytes)
    }

    /// Takes the next `count` clusters without a reference and gives their first byte.
    pub(super) fn reserve(&mut self, count: u64) -> u64 {
        let start_bytes = self.end_bytes();
        self.next = self.next.saturating_add(count);
        start_bytes
    }

    /// Gives back what was reserved from `end_bytes` on. Nothing may refer to it.
    pub(super) fn shrink(&mut self, end_bytes: u64) {
        self.next = end_bytes.div_ceil(CLUSTER_BYTES);
    }

    /// Counts a reference to each cluster that some bytes touch, by whole sectors.
    pub(super) fn refer_bytes(&mut self, bytes: &Range<u64>) -> Result<()> {
        // A cluster has whole sectors, so rounding to sectors reaches no other cluster.
        for cluster in bytes.start / CLUSTER_BYTES..bytes.end.div_ceil(CLUSTER_BYTES) {
            self.refer(cluster)?;
        }
        Ok(())
    }

    /// Counts one more reference to a cluster.
    pub(super) fn refer(&mut self, cluster: u64) -> Result<()> {
        let number = buffer_len(cluster / BLOCK_ENTRIES);
        let homeless = self.blocks.homeless_before(number);
        let settled = homeless.map(|block| self.settle(block));
        if !self.blocks.contains(number) {
            self.blocks.add(&*self.file, number)?;
        }
        let block = self.blocks.get(&*self.file, number)?;
        let at = buffer_len(cluster % BLOCK_ENTRIES).saturating_mul(2);
        let count = be16(block, at).unwrap_or(u16::MAX).checked_add(1);
        match (block.get_mut(at..at.saturating_add(2)), count) {
            (Some(slot), Some(count)) => slot.copy_from_slice(&count.to_be_bytes()),
            _ => return Err(Error::new(Kind::Limit, TooManyReferences(cluster))),
        }
        // This may push out another block; each gets its place once, so it ends.
        settled.map_or(Ok(()), |own| self.refer(own))
    }

    /// Gives a block the next cluster, which is not yet counted.
    fn settle(&mut self, block: usize) -> u64 {
        let own = self.next;
        let offset_bytes = self.reserve(1);
        self.blocks.settle(block, offset_bytes);
        own
    }

    /// Writes the refcount table and the blocks that it names. No cluster is taken afterwards.
    pub(super) fn finish(&mut self) -> Result<RefcountTable> {
        let placed = self.blocks.offsets().filter(|offset| *offset != 0).count() as u64;
        let (_, clusters) = refcount_clusters(self.next.saturating_sub(placed));
        let offset_bytes = self.take_run(clusters)?;
        let mut number = 0;
        // Counting the cluster of a block can make one more block.
        while number < self.blocks.len() {
            if self.blocks.is_homeless(number) {
                let own = self.settle(number);
                self.refer(own)?;
            }
            number = number.saturating_add(1);
        }
        let mut table: Vec<u8> = self.blocks.offsets().flat_map(u64::to_be_bytes).collect();
        table.resize(buffer_len(clusters.saturating_mul(CLUSTER_BYTES)), 0);
        self.file.write_all_at(&table, offset_bytes)?;
        self.blocks.flush(&*self.file)?;
        Ok(RefcountTable { offset_bytes, clusters: u32::try_from(clusters).unwrap_or(u32::MAX) })
    }
}

/// The refcount blocks and the clusters of the refcount table of a file whose other clusters are
/// `base`: both count themselves, too.
pub(super) fn refcount_clusters(base: u64) -> (u64, u64) {
    let (mut blocks, mut table) = (0_u64, 0_u64);
    loop {
        let total = base.saturating_add(blocks).saturating_add(table);
        let next = total.div_ceil(BLOCK_ENTRIES);
        let next_table = next.div_ceil(TABLE_ENTRIES);
        if (next, next_table) == (blocks, table) {
            return (blocks, table);
        }
        (blocks, table) = (next, next_table);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fields::be64, qcow2::writer::sparse::Sparse};

    /// The references to each cluster of a finished file, as the table and the blocks say.
    fn counts(file: &dyn WriteAt, table: &RefcountTable) -> Vec<u16> {
        let mut names = vec![0; table.clusters as usize * CLUSTER_BYTES as usize];
        file.read_exact_at(&mut names, table.offset_bytes).unwrap();
        let mut counts = Vec::new();
        for number in 0..names.len() / 8 {
            let offset = be64(&names, number * 8).unwrap();
            let mut block = vec![0; CLUSTER_BYTES as usize];
            if offset != 0 {
                file.read_exact_at(&mut block, offset).unwrap();
            } else if names[number * 8..].iter().all(|byte| *byte == 0) {
                break;
            }
            counts.extend(block.chunks_exact(2).map(|count| be16(count, 0).unwrap()));
        }
        counts
    }

    #[test]
    fn every_cluster_of_a_dense_file_has_one_reference() {
        for taken in [0, 1, 32_764, 32_765, 32_766, 32_767, 32_768, 65_531, 65_532, 65_533, 98_000]
        {
            let file: Arc<dyn WriteAt> = Arc::new(Sparse::default());
            let mut clusters = Clusters::new(Arc::clone(&file));
            clusters.take_run(taken).unwrap();
            let table = clusters.finish().unwrap();
            let end = (clusters.end_bytes() / CLUSTER_BYTES) as usize;
            let (blocks, names) = refcount_clusters(taken);
            assert_eq!(end as u64, taken + blocks + names, "{taken}");
            let counts = counts(&*file, &table);
            assert!(counts[..end].iter().all(|count| *count == 1), "{taken}");
            assert!(counts[end..].iter().all(|count| *count == 0), "{taken}");
        }
    }

    #[test]
    fn counts_survive_when_their_blocks_leave_memory() {
        let file: Arc<dyn WriteAt> = Arc::new(Sparse::default());
        let mut clusters = Clusters::new(Arc::clone(&file));
        const BLOCKS: u64 = 150;
        clusters.reserve(BLOCKS * BLOCK_ENTRIES);
        for round in 0..3 {
            for block in 0..BLOCKS {
                clusters.refer(block * BLOCK_ENTRIES + round % 2).unwrap();
            }
        }
        let table = clusters.finish().unwrap();
        let counts = counts(&*file, &table);
        let end = (clusters.end_bytes() / CLUSTER_BYTES) as usize;
        let kept = (BLOCKS * BLOCK_ENTRIES) as usize;
        for (cluster, count) in counts[..kept].iter().enumerate() {
            let want = [2, 1].get(cluster % BLOCK_ENTRIES as usize).copied().unwrap_or(0);
            assert_eq!(*count, want, "cluster {cluster}");
        }
        assert!(counts[kept..end].iter().all(|count| *count == 1));
        assert!(counts[end..].iter().all(|count| *count == 0));
    }

    #[test]
    fn a_stream_counts_in_each_cluster_that_it_touches() {
        let file: Arc<dyn WriteAt> = Arc::new(Sparse::default());
        let mut clusters = Clusters::new(Arc::clone(&file));
        let c = CLUSTER_BYTES;
        clusters.reserve(4);
        for bytes in [0..1, c - 1..c, c - 1..c + 1, c..2 * c, 2 * c..2 * c + 1, c + 9..3 * c + 9] {
            clusters.refer_bytes(&bytes).unwrap();
        }
        let table = clusters.finish().unwrap();
        assert_eq!(counts(&*file, &table)[..4], [3, 3, 2, 1]);
    }

    #[test]
    fn refuses_more_references_than_16_bits_count() {
        let mut clusters = Clusters::new(Arc::new(Sparse::default()));
        clusters.reserve(1);
        for _ in 0..u16::MAX {
            clusters.refer(0).unwrap();
        }
        let error = clusters.refer(0).unwrap_err();
        let want = "cluster 0 of the written file has 65535 references, the most that are counted";
        assert_eq!((error.to_string().as_str(), error.kind()), (want, Kind::Limit));
    }
}
