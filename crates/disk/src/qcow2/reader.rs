//! A qcow2 image that can be read at any place.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Codec, Error, Extent, ExtentKind, Extents, Format, Image, Info, ReadAt, Result, Warning,
    Workbench,
    error::Failure,
    fields::{be64, buffer_len},
    image::{Joined, check_buffer},
    qcow2::{
        header::{COPIED, Header},
        l1::{L1, L2Place, OFFSET_MASK},
        snapshots,
    },
    usage::Usage,
    workbench::InflateError,
};

/// The unit of every disk, and of the length of a compressed cluster.
const SECTOR_BYTES: u64 = 512;

/// The largest cluster: what is read to find the header extensions.
const MAX_CLUSTER_BYTES: u64 = 2 << 20;

/// An L2 entry whose cluster is compressed.
const COMPRESSED: u64 = 1 << 62;

/// An L2 entry whose cluster reads as zeros (version 3).
const ZERO: u64 = 1;

/// The bits of an L2 entry of a plain cluster that must be zero; bit 0 is reserved in version 2.
const RESERVED: u64 = !(OFFSET_MASK | COPIED | COMPRESSED | ZERO);

/// A qcow2 image that stands alone.
pub(crate) struct Reader {
    bytes: Arc<dyn ReadAt>,
    header: Header,
    l1: L1,
    info: Info,
    /// The last L2 table that [`Image::read_at`] used.
    cache: Mutex<Option<(L2Place, Arc<Vec<u8>>)>>,
}

/// What is wrong with an L2 entry or its cluster.
#[derive(Debug, thiserror::Error)]
enum ClusterError {
    #[error("cluster {0}: its L2 entry is {1:#018x}: reserved bits are set, or it is not aligned")]
    Entry(u64, u64),
    #[error("cluster {index}: it starts at byte {offset}, the file has {file_bytes}")]
    Outside { index: u64, offset: u64, file_bytes: u64 },
    #[error("cluster {index}: byte {offset} is part of a table or of another cluster")]
    Shared { index: u64, offset: u64 },
    #[error("cluster {0}: {1}")]
    Inflate(u64, InflateError),
}

impl Reader {
    /// Opens an image: its header and its L1 table are read and checked.
    pub(crate) fn open(bytes: Arc<dyn ReadAt>) -> Result<Self> {
        let mut cluster = vec![0; buffer_len(bytes.len_bytes().min(MAX_CLUSTER_BYTES))];
        bytes.fill(&mut cluster, 0)?;
        let header = Header::parse(&cluster)?;
        cluster.truncate(buffer_len(header.cluster_bytes()));
        let bitmaps = header.read_extensions(&cluster)?;
        let l1 = L1::read(&*bytes, &header)?;
        let mut warnings = header.warnings();
        warnings.extend(snapshots::warning(&*bytes, &header)?);
        if bitmaps {
            warnings.push(Warning::oddity(0, "its persistent bitmaps are not carried over"));
        }
        let capacity_bytes = header.size_bytes().next_multiple_of(SECTOR_BYTES);
        if capacity_bytes != header.size_bytes() {
            warnings.push(Warning::interpreted(format!(
                "a virtual size of {} bytes is rounded up to {capacity_bytes}",
                header.size_bytes()
            )));
        }
        let info = Info {
            format: Format::Qcow2,
            variant: format!("qcow2 v{}", header.version()),
            capacity_bytes,
            file_bytes: bytes.len_bytes(),
            unit_bytes: Some(header.cluster_bytes()),
            references: Vec::new(),
            warnings,
        };
        Ok(Self { bytes, header, l1, info, cache: Mutex::default() })
    }

    fn read_table(&self, place: L2Place) -> Result<Vec<u8>> {
        let mut table = vec![0; buffer_len(self.header.cluster_bytes())];
        self.bytes.fill(&mut table, place.offset_bytes)?;
        Ok(table)
    }

    fn cached_table(&self, place: L2Place) -> Result<Arc<Vec<u8>>> {
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((cached, table)) = &*lock()
            && *cached == place
        {
            return Ok(Arc::clone(table));
        }
        let table = Arc::new(self.read_table(place)?);
        *lock() = Some((place, Arc::clone(&table)));
        Ok(table)
    }

    /// The guest bytes of cluster `index`; the last one ends at the capacity.
    fn range(&self, index: u64, kind: ExtentKind) -> Extent {
        let start_bytes = index.saturating_mul(self.header.cluster_bytes());
        let rest = self.info.capacity_bytes.saturating_sub(start_bytes);
        Extent::new(start_bytes, rest.min(self.header.cluster_bytes()), kind)
    }

    /// The extent of cluster `index`, which the L2 table at `place` describes.
    fn cluster(&self, table: &[u8], place: L2Place, index: u64) -> Result<Extent> {
        let slot = index.checked_rem(self.header.l2_entries()).unwrap_or_default();
        let entry_at = slot.saturating_mul(8);
        let entry = be64(table, buffer_len(entry_at)).unwrap_or_default();
        self.decode(entry, index)
            .map(|kind| self.range(index, kind))
            .map_err(|leaf| Error::malformed(leaf).at(place.offset_bytes.saturating_add(entry_at)))
    }

    /// Layout: "Cluster mapping", the standard and the compressed cluster descriptor.
    fn decode(&self, entry: u64, index: u64) -> std::result::Result<ExtentKind, ClusterError> {
        let file_bytes = self.info.file_bytes;
        let outside = |offset| ClusterError::Outside { index, offset, file_bytes };
        if entry & COMPRESSED != 0 {
            let bits = 70_u32.saturating_sub(self.header.cluster_bits());
            let offset_bytes = entry & low_bits(bits);
            let sectors = (entry & low_bits(62)) >> bits;
            let len_bytes = sectors
                .saturating_add(1)
                .saturating_mul(SECTOR_BYTES)
                .saturating_sub(offset_bytes % SECTOR_BYTES)
                .min(file_bytes.saturating_sub(offset_bytes));
            if len_bytes == 0 {
                return Err(outside(offset_bytes));
            }
            return Ok(ExtentKind::Stored { codec: Codec::Deflate, offset_bytes, len_bytes });
        }
        let offset_bytes = entry & OFFSET_MASK;
        let zero = entry & ZERO != 0;
        let aligned = offset_bytes.is_multiple_of(self.header.cluster_bytes());
        if entry & RESERVED != 0 || !aligned || zero && self.header.version() == 2 {
            return Err(ClusterError::Entry(index, entry));
        }
        match (zero, offset_bytes) {
            (true, _) => Ok(ExtentKind::Zero),
            (false, 0) => Ok(ExtentKind::Hole),
            (false, _) if offset_bytes < file_bytes => Ok(ExtentKind::Data { offset_bytes }),
            (false, _) => Err(outside(offset_bytes)),
        }
    }

    fn inflate(
        &self,
        extent: &Extent,
        (offset_bytes, len_bytes): (u64, u64),
        bench: &mut Workbench,
        out: &mut [u8],
    ) -> Result<()> {
        let index = extent.start_bytes >> self.header.cluster_bits();
        let fail = |leaf| Error::malformed(ClusterError::Inflate(index, leaf)).at(offset_bytes);
        let Workbench { inflater, record, grain, .. } = bench;
        record.resize(buffer_len(len_bytes.min(self.max_record_bytes())), 0);
        self.bytes.fill(record, offset_bytes)?;
        let cluster_bytes = buffer_len(self.header.cluster_bytes());
        if out.len() == cluster_bytes {
            return inflater.deflate_exact(record, out).map_err(fail);
        }
        // The last cluster of a disk is stored whole.
        grain.resize(cluster_bytes, 0);
        inflater.deflate_exact(record, grain).map_err(fail)?;
        if let Some(front) = grain.get(..out.len()) {
            out.copy_from_slice(front);
        }
        Ok(())
    }

    /// The most bytes that an entry can give to a compressed cluster.
    fn max_record_bytes(&self) -> u64 {
        self.header.cluster_bytes().saturating_mul(2)
    }
}

/// A mask of the `bits` lowest bits.
fn low_bits(bits: u32) -> u64 {
    1_u64.checked_shl(bits).map_or(u64::MAX, |bit| bit.saturating_sub(1))
}

impl Image for Reader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        let used = self.l1.metadata_clusters(&self.header);
        let stored = Usage::default();
        Box::new(Joined::new(Clusters { reader: self, index: 0, table: None, used, stored }))
    }

    fn read_extent(&self, extent: &Extent, bench: &mut Workbench, out: &mut [u8]) -> Result<()> {
        check_buffer(extent, out)?;
        match extent.kind {
            ExtentKind::Hole | ExtentKind::Zero => out.fill(0),
            ExtentKind::Data { offset_bytes } => {
                // The last cluster of a file may be cut: what is missing is zeros.
                let there = self.info.file_bytes.saturating_sub(offset_bytes);
                let there = there.min(extent.len_bytes);
                let (data, missing) = out.split_at_mut(buffer_len(there));
                missing.fill(0);
                self.bytes.fill(data, offset_bytes)?;
            }
            ExtentKind::StoredPart { .. } => {
                return Err(Error::malformed(Failure::NotStored(extent.start_bytes)));
            }
            ExtentKind::Stored { offset_bytes, len_bytes, .. } => {
                self.inflate(extent, (offset_bytes, len_bytes), bench, out)?;
            }
        }
        Ok(())
    }

    fn stored(&self, extent: &Extent, buf: &mut Vec<u8>) -> Result<()> {
        let ExtentKind::Stored { offset_bytes, len_bytes, .. } = extent.kind else {
            return Err(Error::malformed(Failure::NotStored(extent.start_bytes)));
        };
        buf.resize(buffer_len(len_bytes.min(self.max_record_bytes())), 0);
        self.bytes.fill(buf, offset_bytes)
    }

    fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
        let index = offset_bytes >> self.header.cluster_bits();
        let number = index.checked_div(self.header.l2_entries()).unwrap_or_default();
        match self.l1.table(number) {
            Some(place) => self.cluster(&self.cached_table(place)?, place, index),
            None => Ok(self.range(index, ExtentKind::Hole)),
        }
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.bytes
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        let cluster_bytes = self.header.cluster_bytes();
        let span = |start: u64, len: u64| start..start.saturating_add(len);
        let l1_bytes = self.header.needed_l1_entries().saturating_mul(8);
        let (refcounts, refcount_bytes) = self.header.refcount_table();
        let fixed = [
            span(0, cluster_bytes),
            span(self.header.l1_offset_bytes(), l1_bytes),
            span(refcounts, refcount_bytes),
        ];
        let tables =
            self.l1.places().iter().map(move |place| span(place.offset_bytes, cluster_bytes));
        Box::new(fixed.into_iter().chain(tables).map(|range| (0, range)))
    }
}

/// The clusters of an image in guest order; one L2 table is in memory at a time.
struct Clusters<'a> {
    reader: &'a Reader,
    index: u64,
    table: Option<(L2Place, Vec<u8>)>,
    /// The clusters of the file that are in use.
    used: Usage,
    /// The first bytes of the compressed clusters that the current table names.
    stored: Usage,
}

impl Clusters<'_> {
    /// Reads the table for the current cluster, or gives the hole up to the next table.
    fn enter_table(&mut self) -> Option<Result<Extent>> {
        let Reader { header, l1, info, .. } = self.reader;
        let number = self.index.checked_div(header.l2_entries()).unwrap_or_default();
        let next = l1.next_table(number);
        let start = self.index.saturating_mul(header.cluster_bytes());
        let first = next
            .map_or(u64::MAX, |place| u64::from(place.number).saturating_mul(header.l2_entries()));
        if first > self.index {
            let end = first.saturating_mul(header.cluster_bytes()).min(info.capacity_bytes);
            self.index = first;
            let len_bytes = end.saturating_sub(start);
            return Some(Ok(Extent::new(start, len_bytes, ExtentKind::Hole)));
        }
        let place = next?;
        match self.reader.read_table(place) {
            Ok(table) => {
                self.table = Some((place, table));
                self.stored = Usage::default();
                None
            }
            Err(error) => {
                self.index = first.saturating_add(header.l2_entries());
                Some(Err(error))
            }
        }
    }

    /// Refuses a cluster whose bytes are used before.
    ///
    /// Compressed clusters share sectors, so for them the first byte counts, and only within one
    /// table: that bounds what a small file can pretend to hold, and takes little memory.
    fn claim(&mut self, extent: Extent, index: u64) -> Result<Extent> {
        let (offset, free) = match extent.kind {
            ExtentKind::Hole | ExtentKind::Zero | ExtentKind::StoredPart { .. } => {
                return Ok(extent);
            }
            ExtentKind::Data { offset_bytes } => {
                (offset_bytes, self.used.claim(offset_bytes >> self.reader.header.cluster_bits()))
            }
            ExtentKind::Stored { offset_bytes, .. } => {
                (offset_bytes, self.stored.claim(offset_bytes))
            }
        };
        if free {
            return Ok(extent);
        }
        Err(Error::malformed(ClusterError::Shared { index, offset }).at(offset))
    }
}

impl Iterator for Clusters<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = &self.reader.header;
        if self.index.saturating_mul(header.cluster_bytes()) >= self.reader.info.capacity_bytes {
            return None;
        }
        if self.table.is_none()
            && let Some(found) = self.enter_table()
        {
            return Some(found);
        }
        let (place, table) = self.table.as_ref()?;
        let index = self.index;
        let extent = self.reader.cluster(table, *place, index);
        self.index = index.saturating_add(1);
        if self.index.is_multiple_of(header.l2_entries()) {
            self.table = None;
        }
        Some(extent.and_then(|extent| self.claim(extent, index)))
    }
}
