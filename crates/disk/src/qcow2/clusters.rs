//! The clusters of an image in guest order.

use std::collections::VecDeque;

use crate::{
    Error, Extent, ExtentKind, Result,
    error::Kind,
    qcow2::{
        entry::{Cluster, ClusterError},
        l1::L2Place,
        reader::Reader,
    },
    usage::Usage,
};

/// The extents of an image, cluster by cluster; one L2 table is in memory at a time.
pub(super) struct Clusters<'a> {
    reader: &'a Reader,
    index: u64,
    table: Option<(L2Place, Vec<u8>)>,
    /// What is left of the last cluster.
    queue: VecDeque<Extent>,
    claims: Claims,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(reader: &'a Reader) -> Self {
        let used = if reader.header.has_data_file() {
            Usage::default()
        } else {
            reader.l1.metadata_clusters(&reader.header, &reader.state)
        };
        let claims = Claims { used, stored: Usage::default(), told: false };
        Self { reader, index: 0, table: None, queue: VecDeque::new(), claims }
    }

    /// Reads the table for the current cluster, or gives the hole up to the next table.
    fn enter_table(&mut self) -> Option<Result<Extent>> {
        let header = &self.reader.header;
        let number = self.index.checked_div(header.l2_entries()).unwrap_or_default();
        let next = self.reader.l1.next_table(number);
        let start = self.index.saturating_mul(header.cluster_bytes());
        let first = next
            .map_or(u64::MAX, |place| u64::from(place.number).saturating_mul(header.l2_entries()));
        if first > self.index {
            let end = first.saturating_mul(header.cluster_bytes()).min(self.capacity_bytes());
            self.index = first;
            let len_bytes = end.saturating_sub(start);
            return Some(Ok(Extent::new(start, len_bytes, ExtentKind::Hole)));
        }
        let place = next?;
        match self.reader.read_table(place) {
            Ok(table) => {
                self.table = Some((place, table));
                self.claims.stored = Usage::default();
                None
            }
            Err(error) => {
                self.index = first.saturating_add(header.l2_entries());
                Some(Err(error))
            }
        }
    }

    /// Decodes the current cluster and goes on to the next.
    fn take_cluster(&mut self) -> Option<Result<Extent>> {
        let reader = self.reader;
        let (place, table) = self.table.as_ref()?;
        let index = self.index;
        let cluster = reader.cluster(table, *place, index);
        self.index = index.saturating_add(1);
        if self.index.is_multiple_of(reader.header.l2_entries()) {
            self.table = None;
        }
        let claimed = cluster.and_then(|cluster| {
            self.claims.take(cluster, index, reader.header.cluster_bits())?;
            Ok(cluster)
        });
        match claimed {
            Ok(cluster) => {
                let mut extents = reader.extents_of(cluster, index);
                let first = extents.next();
                self.queue.extend(extents);
                first.map(Ok)
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn capacity_bytes(&self) -> u64 {
        crate::Image::capacity_bytes(self.reader)
    }
}

impl Iterator for Clusters<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(extent) = self.queue.pop_front() {
            return Some(Ok(extent));
        }
        let start = self.index.saturating_mul(self.reader.header.cluster_bytes());
        if start >= self.capacity_bytes() {
            return None;
        }
        if self.table.is_none()
            && let Some(found) = self.enter_table()
        {
            return Some(found);
        }
        self.take_cluster()
    }
}

/// What is in use of the file that the clusters lie in.
struct Claims {
    /// Its clusters.
    used: Usage,
    /// The first bytes of the compressed clusters that the current table names.
    stored: Usage,
    /// Whether it was said that no more clusters are noted.
    told: bool,
}

impl Claims {
    /// Refuses a cluster whose bytes are used before.
    ///
    /// Compressed clusters share sectors, so for them the first byte counts, and only within one
    /// table: that bounds what a small file can pretend to hold, and takes little memory.
    fn take(&mut self, cluster: Cluster, index: u64, cluster_bits: u32) -> Result<()> {
        let (offset, free) = match cluster {
            Cluster::Whole(ExtentKind::Stored { offset_bytes, .. }) => {
                (offset_bytes, self.stored.claim(offset_bytes))
            }
            Cluster::Whole(ExtentKind::Data { offset_bytes }) => {
                (offset_bytes, self.used.claim(offset_bytes >> cluster_bits))
            }
            Cluster::Whole(_) => return Ok(()),
            Cluster::Parts(parts) => {
                let Some(offset) = parts.place() else { return Ok(()) };
                (offset, self.used.claim(offset >> cluster_bits))
            }
        };
        if !free {
            return Err(Error::malformed(ClusterError::Shared { index, offset }).at(offset));
        }
        if self.used.is_full() && !self.told {
            self.told = true;
            return Err(Error::new(Kind::Limit, ClusterError::Scattered(index)).at(offset));
        }
        Ok(())
    }
}
