//! A qcow2 image that is written.
//!
//! ```text
//! place, place_stored, keep --> L2 tables (a window of them in memory) --> L1 table
//!           \--> clusters of the file, one behind the other --> refcount blocks (a window) --> table
//! ```
//!
//! In a file that is written front to end a table gets its place when it leaves memory, behind the
//! clusters that it names; else when its first entry is.

use std::sync::Arc;

use crate::{
    Compression, Error, Format, Result,
    error::{Failure, Kind, MAX_CAPACITY_BYTES},
    fields::{be64, buffer_len},
    qcow2::{
        extensions::BACKING_FORMAT,
        header::{COPIED, MAGIC, MAX_BACKING_BYTES},
    },
    target::{CLUSTER_BYTES, CLUSTER_LEN, Kept, Order, Target, Unplaced, WriteAt},
};
use clusters::{Clusters, RefcountTable, SECTOR_BYTES, refcount_clusters};
use streams::{Streams, descriptor};
use tables::Tables;

mod clusters;
#[cfg(test)]
mod sparse;
mod streams;
mod tables;

/// The entries of an L2 table.
const L2_ENTRIES: u64 = CLUSTER_BYTES / 8;

/// An L2 entry whose cluster is compressed.
const COMPRESSED: u64 = 1 << 62;

/// The incompatible feature that says: clusters are not compressed with zlib.
const OTHER_COMPRESSION: u64 = 1 << 3;

/// An L2 entry whose cluster is zeros, whatever the backing file has.
const READS_AS_ZEROS: u64 = 1;

/// The bytes of the header that are written, with the additional fields of version 3.
const HEADER_BYTES: u32 = 112;

/// What a qcow2 image that is written is to be like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// How its clusters are compressed.
    pub compression: Compression,
    /// The image that it stands on; `None` for one that is whole by itself.
    pub backing: Option<Backing>,
}

/// The image that a qcow2 image stands on: what is not placed is found there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backing {
    /// Its name, as the header has it: 1 to 1023 bytes.
    pub name: String,
    /// Its format.
    pub format: Format,
}

impl From<Compression> for Options {
    fn from(compression: Compression) -> Self {
        Self { compression, backing: None }
    }
}

/// A qcow2 image (version 3, 64 KiB clusters, refcounts of 16 bits) that is being written.
///
/// Clusters of the file are taken one behind the other: for each guest cluster where it is placed,
/// for each table when its first entry is. Compressed clusters lie back to back. Tables leave memory
/// when others are touched, and come back, so memory does not grow with the capacity. From a file that is
/// written front to end ([`Order::FrontToEnd`]) they do not come back: there, clusters of the guest may
/// come out of order by 32 GiB and no more.
pub struct Writer {
    file: Arc<dyn WriteAt>,
    order: Order,
    capacity_bytes: u64,
    options: Options,
    clusters: Clusters,
    streams: Streams,
    l2: Tables,
}

#[derive(Debug, thiserror::Error)]
enum PlaceError {
    #[error("cluster {0} is placed twice")]
    Twice(u64),
    #[error("cluster {0} comes when its table is written, and the file is written front to end")]
    Late(u64),
    #[error("a backing file name of {0} bytes, 1 to {MAX_BACKING_BYTES} are allowed")]
    BackingName(usize),
    #[error("the stream of cluster {0} has {1} bytes, 1 to {MAX_KEPT_BYTES} can be named")]
    StreamLength(u64, u64),
    #[error("cluster {cluster} is kept at byte {offset_bytes}, which is not in the bytes kept")]
    NotKept { cluster: u64, offset_bytes: u64 },
}

/// The longest stream that an L2 entry can name wherever it starts: 256 sectors can be named, and a
/// stream of 255 touches one more when it starts inside a sector.
pub const MAX_KEPT_BYTES: u64 = 255 * SECTOR_BYTES;

impl Writer {
    /// Starts a plain image in an empty file. A capacity that is no multiple of 512 is rounded up.
    ///
    /// # Errors
    ///
    /// When the capacity is over [`MAX_CAPACITY_BYTES`].
    pub fn create(file: Arc<dyn WriteAt>, capacity_bytes: u64) -> Result<Self> {
        Self::create_with(file, capacity_bytes, Options::default())
    }

    /// Starts an image as [`create`](Self::create) does, with options.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create), and for a backing file whose name the format has no room for.
    pub fn create_with(
        file: Arc<dyn WriteAt>,
        capacity_bytes: u64,
        options: Options,
    ) -> Result<Self> {
        if capacity_bytes > MAX_CAPACITY_BYTES {
            return Err(Error::new(Kind::Limit, Failure::Capacity(capacity_bytes)));
        }
        if let Some(backing) = &options.backing {
            let length = backing.name.len();
            if length == 0 || length > MAX_BACKING_BYTES as usize {
                return Err(Error::new(Kind::Limit, PlaceError::BackingName(length)));
            }
        }
        let mut clusters = Clusters::new(Arc::clone(&file));
        clusters.take()?; // the header
        Ok(Self {
            order: file.order(),
            file,
            capacity_bytes: capacity_bytes.next_multiple_of(512),
            options,
            clusters,
            streams: Streams::default(),
            l2: Tables::new(),
        })
    }

    /// Keeps `len_bytes` bytes of the file, padded to a cluster, for bytes that are copied there as
    /// they are, and gives the first of them. What is in them is told by [`Target::keep`].
    ///
    /// # Errors
    ///
    /// When the bytes are over [`MAX_CAPACITY_BYTES`].
    pub fn reserve(&mut self, len_bytes: u64) -> Result<u64> {
        if len_bytes > MAX_CAPACITY_BYTES {
            return Err(Error::new(Kind::Limit, Failure::Capacity(len_bytes)));
        }
        Ok(self.clusters.reserve(len_bytes.div_ceil(CLUSTER_BYTES)))
    }

    /// Makes sure that a guest cluster has an entry, and that nothing is in it.
    fn touch(&mut self, cluster: u64) -> Result<()> {
        if cluster.checked_mul(CLUSTER_BYTES).is_none_or(|start| start >= self.capacity_bytes) {
            return Err(Error::malformed(Failure::Cluster(cluster, self.capacity_bytes)));
        }
        let number = buffer_len(cluster / L2_ENTRIES);
        if let Some(homeless) = self.l2.homeless_before(number) {
            self.settle(homeless)?;
        }
        match (self.l2.contains(number), self.order) {
            (false, Order::AnyPlace) => {
                let offset_bytes = self.clusters.take()?;
                self.l2.add(&*self.file, number)?;
                self.l2.settle(number, offset_bytes);
            }
            (false, Order::FrontToEnd) => self.l2.add(&*self.file, number)?,
            (true, Order::FrontToEnd) if !self.l2.is_homeless(number) => {
                return Err(Error::unsupported(PlaceError::Late(cluster)));
            }
            (true, _) => {}
        }
        match be64(self.l2.get(&*self.file, number)?, entry_at(cluster)) {
            Some(0) => Ok(()),
            _ => Err(Error::malformed(PlaceError::Twice(cluster))),
        }
    }

    /// Gives an L2 table the next cluster.
    fn settle(&mut self, table: usize) -> Result<()> {
        let offset_bytes = self.clusters.take()?;
        self.l2.settle(table, offset_bytes);
        Ok(())
    }

    /// Fills with zeros what streams have left, where nothing may be left out.
    fn fill_gaps(&mut self) -> Result<()> {
        for gap in self.streams.take_gaps() {
            if self.order == Order::FrontToEnd {
                let zeros = vec![0; buffer_len(gap.end.saturating_sub(gap.start))];
                self.file.write_all_at(&zeros, gap.start)?;
            }
        }
        Ok(())
    }

    /// Ends the run of streams, so that no later one is written before what follows.
    fn end_streams(&mut self) -> Result<()> {
        self.streams.finish(&mut self.clusters);
        self.fill_gaps()
    }

    /// Fills the entry of a guest cluster that was touched.
    fn set(&mut self, cluster: u64, entry: u64) -> Result<()> {
        let table = self.l2.get(&*self.file, buffer_len(cluster / L2_ENTRIES))?;
        let at = entry_at(cluster);
        if let Some(slot) = table.get_mut(at..at.saturating_add(8)) {
            slot.copy_from_slice(&entry.to_be_bytes());
        }
        Ok(())
    }

    fn write_l1(&mut self) -> Result<L1Place> {
        // A disk of no size has one empty entry, or nothing would refer to the cluster.
        let entries = l1_entries(self.capacity_bytes).max(1);
        let offsets = self.l2.offsets();
        let used = offsets.map(|offset| if offset == 0 { 0 } else { offset | COPIED });
        let mut bytes: Vec<u8> = used.flat_map(u64::to_be_bytes).collect();
        bytes.resize(buffer_len(entries.saturating_mul(8)).next_multiple_of(CLUSTER_LEN), 0);
        let offset_bytes = self.clusters.take_run((bytes.len() as u64) / CLUSTER_BYTES)?;
        self.file.write_all_at(&bytes, offset_bytes)?;
        Ok(L1Place { offset_bytes, entries: u32::try_from(entries).unwrap_or(u32::MAX) })
    }

    /// Layout: "Header" and "Additional fields" of version 3, 112 bytes.
    fn header(&self, l1: &L1Place, refcounts: &RefcountTable) -> Vec<u8> {
        let zstd = matches!(self.options.compression, Compression::Zstd(_));
        let (extensions, name) =
            self.options.backing.as_ref().map(behind_header).unwrap_or_default();
        let name_at = u64::from(HEADER_BYTES).saturating_add(extensions.len() as u64);
        let mut header = Vec::with_capacity(CLUSTER_LEN);
        header.extend_from_slice(MAGIC);
        let word = |header: &mut Vec<u8>, value: u32| header.extend(value.to_be_bytes());
        let long = |header: &mut Vec<u8>, value: u64| header.extend(value.to_be_bytes());
        word(&mut header, 3);
        long(&mut header, if name.is_empty() { 0 } else { name_at });
        word(&mut header, u32::try_from(name.len()).unwrap_or(u32::MAX));
        word(&mut header, CLUSTER_BYTES.trailing_zeros());
        long(&mut header, self.capacity_bytes);
        word(&mut header, 0); // encryption: none
        word(&mut header, l1.entries);
        long(&mut header, l1.offset_bytes);
        long(&mut header, refcounts.offset_bytes);
        word(&mut header, refcounts.clusters);
        word(&mut header, 0); // snapshots: none
        long(&mut header, 0);
        long(&mut header, if zstd { OTHER_COMPRESSION } else { 0 });
        long(&mut header, 0); // compatible and autoclear features: none
        long(&mut header, 0);
        word(&mut header, 4); // refcounts of 2^4 bits
        word(&mut header, HEADER_BYTES);
        header.push(u8::from(zstd)); // compression type
        header.resize(HEADER_BYTES as usize, 0);
        header.extend(extensions);
        header.extend(name.as_bytes());
        header.resize(CLUSTER_LEN, 0); // without extensions, their end
        header
    }
}

/// The header extensions of an image with a backing file, with their end, and the name behind them.
///
/// Layout: "Header extensions", each padded to 8 bytes.
fn behind_header(backing: &Backing) -> (Vec<u8>, &str) {
    let format = backing.format.as_str().as_bytes();
    let mut extensions = BACKING_FORMAT.to_be_bytes().to_vec();
    extensions.extend(u32::try_from(format.len()).unwrap_or(u32::MAX).to_be_bytes());
    extensions.extend(format);
    extensions.resize(extensions.len().next_multiple_of(8), 0);
    extensions.extend([0; 8]); // the end
    (extensions, &backing.name)
}

/// Where the L1 table was written.
struct L1Place {
    offset_bytes: u64,
    entries: u32,
}

/// The byte of its L2 table that the entry of a guest cluster is at.
fn entry_at(cluster: u64) -> usize {
    buffer_len(cluster % L2_ENTRIES).saturating_mul(8)
}

/// The entries of the L1 table.
fn l1_entries(capacity_bytes: u64) -> u64 {
    capacity_bytes.div_ceil(CLUSTER_BYTES).div_ceil(L2_ENTRIES)
}

/// The length of the file when every cluster of a disk is plain data.
#[must_use]
pub fn allocated_bytes(capacity_bytes: u64) -> u64 {
    let tables = l1_entries(capacity_bytes);
    let l1 = tables.max(1).saturating_mul(8).div_ceil(CLUSTER_BYTES);
    let data = capacity_bytes.div_ceil(CLUSTER_BYTES);
    let base = data.saturating_add(tables).saturating_add(l1).saturating_add(1);
    let (blocks, table) = refcount_clusters(base);
    base.saturating_add(blocks).saturating_add(table).saturating_mul(CLUSTER_BYTES)
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.clusters.end_bytes();
        write!(f, "qcow2::Writer({} bytes, {end} in the file)", self.capacity_bytes)
    }
}

impl Target for Writer {
    fn place(&mut self, cluster: u64) -> Result<u64> {
        self.touch(cluster)?;
        if self.order == Order::FrontToEnd {
            self.end_streams()?;
        }
        let offset_bytes = self.clusters.take()?;
        self.set(cluster, offset_bytes | COPIED)?;
        Ok(offset_bytes)
    }

    fn pad(&mut self, offset_bytes: u64, len_bytes: u64) -> Result<()> {
        if self.order == Order::FrontToEnd {
            let zeros = vec![0; buffer_len(CLUSTER_BYTES.saturating_sub(len_bytes))];
            self.file.write_all_at(&zeros, offset_bytes.saturating_add(len_bytes))?;
        }
        Ok(())
    }

    fn unplaced(&self) -> Unplaced {
        if self.options.backing.is_some() { Unplaced::Backing } else { Unplaced::Zeros }
    }

    fn place_zero(&mut self, cluster: u64) -> Result<()> {
        match self.unplaced() {
            Unplaced::Zeros => Ok(()),
            Unplaced::Backing => {
                self.touch(cluster)?;
                self.set(cluster, READS_AS_ZEROS)
            }
        }
    }

    fn compression(&self) -> Compression {
        self.options.compression
    }

    fn place_stored(&mut self, cluster: u64, len_bytes: usize) -> Result<u64> {
        let len_bytes = len_bytes as u64;
        if !(1..=MAX_KEPT_BYTES).contains(&len_bytes) {
            return Err(Error::malformed(PlaceError::StreamLength(cluster, len_bytes)));
        }
        self.touch(cluster)?;
        let offset_bytes = self.streams.place(&mut self.clusters, len_bytes)?;
        self.fill_gaps()?;
        self.set(cluster, COMPRESSED | descriptor(offset_bytes, len_bytes))?;
        Ok(offset_bytes)
    }

    fn keep(&mut self, cluster: u64, kept: Kept) -> Result<()> {
        let (offset_bytes, len_bytes, entry) = match kept {
            Kept::Plain { offset_bytes } => (offset_bytes, 1, offset_bytes | COPIED),
            Kept::Stored { offset_bytes, len_bytes } => {
                (offset_bytes, len_bytes, COMPRESSED | descriptor(offset_bytes, len_bytes))
            }
        };
        let plain = matches!(kept, Kept::Plain { .. });
        let end = offset_bytes.checked_add(len_bytes);
        let inside = end.is_some_and(|end| end <= self.clusters.end_bytes());
        let aligned = offset_bytes.is_multiple_of(CLUSTER_BYTES) || !plain;
        if offset_bytes < CLUSTER_BYTES || !inside || !aligned {
            return Err(Error::malformed(PlaceError::NotKept { cluster, offset_bytes }));
        }
        if !(1..=MAX_KEPT_BYTES).contains(&len_bytes) {
            return Err(Error::malformed(PlaceError::StreamLength(cluster, len_bytes)));
        }
        self.touch(cluster)?;
        self.clusters.refer_bytes(&(offset_bytes..offset_bytes.saturating_add(len_bytes)))?;
        self.set(cluster, entry)
    }

    fn file(&self) -> Arc<dyn WriteAt> {
        Arc::clone(&self.file)
    }

    fn finish(&mut self) -> Result<u64> {
        self.end_streams()?;
        for table in 0..self.l2.len() {
            if self.l2.is_homeless(table) {
                self.settle(table)?;
            }
        }
        self.l2.flush(&*self.file)?;
        let l1 = self.write_l1()?;
        let refcounts = self.clusters.finish()?;
        let len_bytes = self.clusters.end_bytes();
        self.file.set_len_bytes(len_bytes)?;
        self.file.write_all_at(&self.header(&l1, &refcounts), 0)?;
        Ok(len_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        sparse::{InOrder, Sparse},
        *,
    };

    const C: u64 = CLUSTER_BYTES;

    fn writer(compression: Compression) -> Writer {
        Writer::create_with(Arc::new(Sparse::default()), 100 * C, compression.into()).unwrap()
    }

    #[test]
    fn plain_clusters_and_streams_have_places_of_their_own() {
        let mut writer = writer(Compression::Zlib);
        // Cluster 1 is the L2 table.
        assert_eq!(writer.place_stored(0, 1000).unwrap(), 2 * C);
        assert_eq!(writer.place_stored(1, 65_024).unwrap(), 2 * C + 1000);
        assert_eq!(writer.place(2).unwrap(), 18 * C);
        assert_eq!(writer.place_stored(3, 5).unwrap(), 2 * C + 66_024);
        assert_eq!(writer.place(99).unwrap(), 19 * C);
        let table = writer.l2.get(&*writer.file, 0).unwrap();
        let entries: Vec<u64> = (0..4).map(|n| be64(table, n * 8).unwrap()).collect();
        // The first ends in its second sector; the second touches 128 sectors, the last one more.
        let want = [
            COMPRESSED | (1 << 54) | (2 * C),
            COMPRESSED | 127 << 54 | (2 * C + 1000),
            COPIED | (18 * C),
            COMPRESSED | (2 * C + 66_024),
        ];
        assert_eq!(entries, want);
    }

    #[test]
    fn refuses_what_has_no_place() {
        let mut writer = writer(Compression::Zlib);
        let first = writer.reserve(3 * C - 1).unwrap();
        assert_eq!(first, C);
        let plain = |offset_bytes| Kept::Plain { offset_bytes };
        let stored = |offset_bytes, len_bytes| Kept::Stored { offset_bytes, len_bytes };
        for (kept, want) in [
            (plain(0), "cluster 7 is kept at byte 0, which is not in the bytes kept"),
            (plain(C + 512), "cluster 7 is kept at byte 66048, which is not in the bytes kept"),
            (plain(4 * C), "cluster 7 is kept at byte 262144, which is not in the bytes kept"),
            (
                stored(4 * C - 9, 10),
                "cluster 7 is kept at byte 262135, which is not in the bytes kept",
            ),
            (stored(C, 0), "the stream of cluster 7 has 0 bytes, 1 to 130560 can be named"),
            (
                stored(C, 130_561),
                "the stream of cluster 7 has 130561 bytes, 1 to 130560 can be named",
            ),
        ] {
            assert_eq!(writer.keep(7, kept).unwrap_err().to_string(), want);
        }
        writer.keep(7, stored(C + 511, 130_560)).unwrap();
        assert_eq!(writer.keep(7, plain(C)).unwrap_err().to_string(), "cluster 7 is placed twice");
        let error = writer.place_stored(100, 9).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cluster 100 of 65536 bytes is behind the capacity of 6553600 bytes"
        );
        for len in [0, 130_561, usize::MAX] {
            let want = format!("the stream of cluster 8 has {len} bytes, 1 to 130560 can be named");
            assert_eq!(writer.place_stored(8, len).unwrap_err().to_string(), want);
        }
        let mut raw = crate::raw::Writer::create(Arc::new(Sparse::default()), C).unwrap();
        let want = "cluster 0 is compressed or elsewhere, which the written image does not allow";
        assert_eq!(raw.place_stored(0, 9).unwrap_err().to_string(), want);
        assert_eq!(raw.keep(0, plain(C)).unwrap_err().to_string(), want);
    }

    #[test]
    fn the_length_of_a_full_disk_is_known_before() {
        for clusters in [0, 1, 8191, 8192, 8193, 32_700, 32_757, 32_758, 32_759, 40_000] {
            let mut writer = Writer::create(Arc::new(Sparse::default()), clusters * C).unwrap();
            for cluster in 0..clusters {
                writer.place(cluster).unwrap();
            }
            assert_eq!(writer.finish().unwrap(), allocated_bytes(clusters * C), "{clusters}");
        }
    }

    /// Places every 20th cluster of 64 GiB, one in three as a stream, and writes what is placed.
    fn front_to_end(file: &Arc<InOrder>) -> u64 {
        let options = Compression::Zlib.into();
        let file: Arc<dyn WriteAt> = Arc::clone(file) as _;
        let mut writer = Writer::create_with(Arc::clone(&file), 64 << 30, options).unwrap();
        for cluster in (0..(64 << 30) / C).step_by(20) {
            let (at, len) = match cluster % 3 {
                0 => (writer.place_stored(cluster, 40_000).unwrap(), 40_000),
                _ => (writer.place(cluster).unwrap(), CLUSTER_LEN),
            };
            file.write_all_at(&vec![1; len], at).unwrap();
        }
        let error = writer.place(1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cluster 1 comes when its table is written, and the file is written front to end"
        );
        writer.finish().unwrap()
    }

    #[test]
    fn front_to_end_every_byte_is_written_once_and_nearly_in_order() {
        let file = Arc::new(InOrder::default());
        let len_bytes = front_to_end(&file);
        let mut writes = file.0.lock().unwrap().clone();
        let header = writes.pop().unwrap();
        assert_eq!(header, (0, C), "the first cluster comes last");
        let mut highest = 0;
        for (at, len) in &writes {
            assert!(highest <= at + (4 << 20), "byte {at} comes behind byte {highest}");
            highest = highest.max(at + len);
        }
        writes.sort_unstable();
        let end = writes.iter().fold(C, |due, (at, len)| {
            assert_eq!(*at, due);
            at + len
        });
        assert_eq!(end, len_bytes);
    }

    #[test]
    fn the_rest_of_a_short_cluster_is_written_where_nothing_may_be_left_out() {
        let file = Arc::new(InOrder::default());
        let mut writer = Writer::create(Arc::clone(&file) as _, C + 512).unwrap();
        let at = writer.place(1).unwrap();
        writer.pad(at, 512).unwrap();
        assert_eq!(*file.0.lock().unwrap(), [(C + 512, C - 512)]);
    }

    #[test]
    fn an_increment_names_what_it_stands_on_and_tells_zeros_from_what_is_not_in_it() {
        let with = |name: String| {
            let backing = Some(Backing { name, format: Format::Qcow2 });
            let options = Options { compression: Compression::None, backing };
            Writer::create_with(Arc::new(Sparse::default()), 100 * C, options)
        };
        let mut writer = with("base.qcow2".to_owned()).unwrap();
        writer.place_zero(1).unwrap();
        let at = writer.place(3).unwrap();
        assert_eq!(writer.place(1).unwrap_err().to_string(), "cluster 1 is placed twice");
        assert!(writer.place_zero(100).is_err());
        let table = writer.l2.get(&*writer.file, 0).unwrap();
        let entries: Vec<u64> = (0..5).map(|n| be64(table, n * 8).unwrap()).collect();
        assert_eq!(entries, [0, READS_AS_ZEROS, 0, COPIED | at, 0]);
        writer.finish().unwrap();
        let mut head = vec![0; 160];
        writer.file.read_exact_at(&mut head, 0).unwrap();
        assert_eq!((be64(&head, 8), &head[16..20]), (Some(136), &[0, 0, 0, 10][..]));
        let extension = [0xe2, 0x79, 0x2a, 0xca, 0, 0, 0, 5];
        assert_eq!(
            (&head[112..120], &head[120..136]),
            (&extension[..], &b"qcow2\0\0\0\0\0\0\0\0\0\0\0"[..])
        );
        assert_eq!(&head[136..147], b"base.qcow2\0");
        for length in [0, 1024] {
            let want = format!("a backing file name of {length} bytes, 1 to 1023 are allowed");
            assert_eq!(with("n".repeat(length)).unwrap_err().to_string(), want);
        }
        // An image that is whole by itself has zeros where nothing is placed.
        let mut whole = Writer::create(Arc::new(Sparse::default()), 100 * C).unwrap();
        whole.place_zero(1).unwrap();
        whole.place(1).unwrap();
    }

    #[test]
    fn only_zstd_is_another_kind_of_image() {
        for (compression, feature, kind) in [
            (Compression::None, 0, 0),
            (Compression::Zlib, 0, 0),
            (Compression::ZlibCompat, 0, 0),
            (Compression::ZSTD, 8, 1),
        ] {
            let mut writer = writer(compression);
            writer.finish().unwrap();
            let mut header = [0; 112];
            writer.file.read_exact_at(&mut header, 0).unwrap();
            assert_eq!((be64(&header, 72), header[104]), (Some(feature), kind), "{compression:?}");
        }
    }
}
