//! A plain qcow2 image that is written.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    Compression, Error, Result,
    error::{Failure, Kind, MAX_CAPACITY_BYTES},
    fields::be64,
    qcow2::header::{COPIED, MAGIC},
    target::{CLUSTER_BYTES, CLUSTER_LEN, Target, WriteAt},
};

/// The entries of an L2 table.
const L2_ENTRIES: u64 = CLUSTER_BYTES / 8;

/// The clusters that one refcount block counts, at 16 bits each.
const BLOCK_ENTRIES: u64 = CLUSTER_BYTES / 2;

/// The L2 tables that stay in memory: 4 MiB, which describe 32 GiB.
const CACHED_TABLES: usize = 64;

/// What a qcow2 image that is written is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// How its clusters are compressed.
    pub compression: Compression,
}

/// A plain qcow2 image (version 3, 64 KiB clusters) that is being written.
///
/// Clusters are taken one behind the other: each guest cluster where it is placed, each L2 table
/// when its first cluster is. So every cluster of the file has exactly one reference, and the
/// reference counts need no memory. L2 tables leave memory when others are touched, and come back.
pub struct Writer {
    file: Arc<dyn WriteAt>,
    capacity_bytes: u64,
    /// The first cluster of the file that is not in use.
    next: u64,
    /// The entries of the L1 table.
    l1: Vec<u64>,
    /// L2 tables in memory, the one that was used last at the back.
    tables: VecDeque<L2Table>,
}

/// An L2 table in memory, as it is written.
struct L2Table {
    number: usize,
    bytes: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
#[error("cluster {0} is placed twice")]
struct PlacedTwice(u64);

impl Writer {
    /// Starts an image in an empty file. A capacity that is no multiple of 512 is rounded up.
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
    /// As [`create`](Self::create); also when a level of zstd is none.
    pub fn create_with(
        file: Arc<dyn WriteAt>,
        capacity_bytes: u64,
        _options: Options,
    ) -> Result<Self> {
        if capacity_bytes > MAX_CAPACITY_BYTES {
            return Err(Error::new(Kind::Limit, Failure::Capacity(capacity_bytes)));
        }
        let capacity_bytes = capacity_bytes.next_multiple_of(512);
        let tables = capacity_bytes.div_ceil(CLUSTER_BYTES).div_ceil(L2_ENTRIES);
        let l1 = vec![0; crate::fields::buffer_len(tables)];
        Ok(Self { file, capacity_bytes, next: 1, l1, tables: VecDeque::new() })
    }

    /// Takes the next cluster and gives its offset in bytes.
    fn take_cluster(&mut self) -> u64 {
        let offset = self.next.saturating_mul(CLUSTER_BYTES);
        self.next = self.next.saturating_add(1);
        offset
    }

    /// Brings L2 table `number` into memory, and to the back.
    fn touch(&mut self, number: usize) -> Result<()> {
        if self.tables.back().is_some_and(|table| table.number == number) {
            return Ok(());
        }
        let cached = self.tables.iter().position(|table| table.number == number);
        let table = match cached.and_then(|cached| self.tables.remove(cached)) {
            Some(table) => table,
            None => self.load(number)?,
        };
        self.tables.push_back(table);
        Ok(())
    }

    /// Makes or reads back a table that is not in memory.
    fn load(&mut self, number: usize) -> Result<L2Table> {
        let mut bytes = vec![0; CLUSTER_LEN];
        if self.tables.len() >= CACHED_TABLES
            && let Some(oldest) = self.tables.pop_front()
        {
            self.write_table(&oldest)?;
        }
        match self.l1.get(number).copied() {
            Some(entry) if entry != 0 => {
                self.file.read_exact_at(&mut bytes, entry & !COPIED)?;
            }
            _ => {
                let offset = self.take_cluster();
                if let Some(entry) = self.l1.get_mut(number) {
                    *entry = offset | COPIED;
                }
            }
        }
        Ok(L2Table { number, bytes })
    }

    fn write_table(&self, table: &L2Table) -> Result<()> {
        let entry = self.l1.get(table.number).copied().unwrap_or_default();
        Ok(self.file.write_all_at(&table.bytes, entry & !COPIED)?)
    }

    fn write_l1(&mut self) -> Result<L1Place> {
        let offset_bytes = self.next.saturating_mul(CLUSTER_BYTES);
        let mut bytes: Vec<u8> = self.l1.iter().flat_map(|entry| entry.to_be_bytes()).collect();
        // A disk of no size has one empty entry, or nothing would refer to the cluster.
        bytes.resize(bytes.len().max(1).next_multiple_of(CLUSTER_LEN), 0);
        self.file.write_all_at(&bytes, offset_bytes)?;
        let clusters = bytes.len() as u64 / CLUSTER_BYTES;
        self.next = self.next.saturating_add(clusters);
        let entries = u32::try_from(self.l1.len().max(1)).unwrap_or(u32::MAX);
        Ok(L1Place { offset_bytes, entries })
    }

    /// Writes the refcount table and its blocks: every cluster of the file has one reference.
    fn write_refcounts(&mut self) -> Result<RefcountPlace> {
        let (blocks, table_clusters) = refcount_clusters(self.next);
        let offset_bytes = self.next.saturating_mul(CLUSTER_BYTES);
        let first_block = self.next.saturating_add(table_clusters);
        let total = first_block.saturating_add(blocks);
        let offsets = (first_block..total).map(|cluster| cluster.saturating_mul(CLUSTER_BYTES));
        let mut table: Vec<u8> = offsets.clone().flat_map(u64::to_be_bytes).collect();
        table.resize(crate::fields::buffer_len(table_clusters.saturating_mul(CLUSTER_BYTES)), 0);
        self.file.write_all_at(&table, offset_bytes)?;
        let mut counted = 0;
        for offset in offsets {
            let here = total.saturating_sub(counted).min(BLOCK_ENTRIES);
            let mut block = 1_u16.to_be_bytes().repeat(crate::fields::buffer_len(here));
            block.resize(CLUSTER_LEN, 0);
            self.file.write_all_at(&block, offset)?;
            counted = counted.saturating_add(here);
        }
        self.next = total;
        Ok(RefcountPlace {
            offset_bytes,
            clusters: u32::try_from(table_clusters).unwrap_or(u32::MAX),
        })
    }

    /// Layout: "Header" and "Additional fields" of version 3, 112 bytes.
    fn header(&self, l1: &L1Place, refcounts: &RefcountPlace) -> Vec<u8> {
        let mut header = Vec::with_capacity(CLUSTER_LEN);
        header.extend_from_slice(MAGIC);
        let word = |header: &mut Vec<u8>, value: u32| header.extend(value.to_be_bytes());
        let long = |header: &mut Vec<u8>, value: u64| header.extend(value.to_be_bytes());
        word(&mut header, 3);
        long(&mut header, 0); // backing file: none
        word(&mut header, 0);
        word(&mut header, CLUSTER_BYTES.trailing_zeros());
        long(&mut header, self.capacity_bytes);
        word(&mut header, 0); // encryption: none
        word(&mut header, l1.entries);
        long(&mut header, l1.offset_bytes);
        long(&mut header, refcounts.offset_bytes);
        word(&mut header, refcounts.clusters);
        word(&mut header, 0); // snapshots: none
        long(&mut header, 0);
        long(&mut header, 0); // features: none, of the three kinds
        long(&mut header, 0);
        long(&mut header, 0);
        word(&mut header, 4); // refcounts of 2^4 bits
        word(&mut header, 112);
        header.resize(CLUSTER_LEN, 0); // compression type 0; the extensions end at once
        header
    }
}

/// Where the L1 table was written.
struct L1Place {
    offset_bytes: u64,
    entries: u32,
}

/// Where the refcount table was written.
struct RefcountPlace {
    offset_bytes: u64,
    clusters: u32,
}

/// The refcount blocks and the clusters of the refcount table of a file whose other clusters are
/// `base`: both count themselves, too.
fn refcount_clusters(base: u64) -> (u64, u64) {
    let (mut blocks, mut table) = (0_u64, 0_u64);
    loop {
        let total = base.saturating_add(blocks).saturating_add(table);
        let next = total.div_ceil(BLOCK_ENTRIES);
        let next_table = next.div_ceil(L2_ENTRIES);
        if (next, next_table) == (blocks, table) {
            return (blocks, table);
        }
        (blocks, table) = (next, next_table);
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "qcow2::Writer({} bytes, {} clusters)", self.capacity_bytes, self.next)
    }
}

impl Target for Writer {
    fn place(&mut self, cluster: u64) -> Result<u64> {
        if cluster.checked_mul(CLUSTER_BYTES).is_none_or(|start| start >= self.capacity_bytes) {
            return Err(Error::malformed(Failure::Cluster(cluster, self.capacity_bytes)));
        }
        self.touch(crate::fields::buffer_len(cluster / L2_ENTRIES))?;
        let offset = self.next.saturating_mul(CLUSTER_BYTES);
        let at = crate::fields::buffer_len(cluster % L2_ENTRIES).saturating_mul(8);
        let table = self.tables.back_mut();
        let entry = table.and_then(|table| table.bytes.get_mut(at..at.saturating_add(8)));
        match entry {
            Some(entry) if be64(entry, 0) == Some(0) => {
                entry.copy_from_slice(&(offset | COPIED).to_be_bytes());
                Ok(self.take_cluster())
            }
            _ => Err(Error::malformed(PlacedTwice(cluster))),
        }
    }

    fn file(&self) -> Arc<dyn WriteAt> {
        Arc::clone(&self.file)
    }

    fn finish(&mut self) -> Result<u64> {
        while let Some(table) = self.tables.pop_front() {
            self.write_table(&table)?;
        }
        let l1 = self.write_l1()?;
        let refcounts = self.write_refcounts()?;
        let len_bytes = self.next.saturating_mul(CLUSTER_BYTES);
        self.file.set_len_bytes(len_bytes)?;
        self.file.write_all_at(&self.header(&l1, &refcounts), 0)?;
        Ok(len_bytes)
    }
}
