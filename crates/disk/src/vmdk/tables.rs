//! The two levels of tables that the deltas of ESX have: COWD and seSparse.
//!
//! ```text
//! grain directory: one entry a table ---> grain table: 4096 entries ---> grain
//! ```
//!
//! The directory is read once, and its entries that are not empty are kept; tables are read one at
//! a time.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Error, Extent, ExtentKind, Extents, Format, Image, Info, ReadAt, Result, Warning, Workbench,
    error::{Failure, Kind, MAX_CAPACITY_BYTES},
    fields::{buffer_len, le32, le64},
    image::{Joined, check_buffer},
    usage::Usage,
    vmdk::{extents::EntryError, header::SECTOR_BYTES},
};

mod directory;

use directory::{TablePlace, read_directory};

/// The entries of a grain table, in both formats.
pub(super) const TABLE_ENTRIES: u64 = 4096;

/// The tables that [`Image::extent_at`] keeps.
const CACHED_TABLES: usize = 4;

/// The most grains of which it is noted that they are used, one bit each: the limit of this product,
/// 32 MiB. In a disk that has more, only a check sees that two grains are one.
const MAX_NOTED_GRAINS: u64 = 256 << 20;

/// Where one of the two formats has its tables, and what their entries mean.
pub(super) trait Layout: Send + Sync {
    /// The sub-format, as VMware calls it.
    const VARIANT: &'static str;
    /// The bytes of an entry, in the directory and in the tables: 4 or 8.
    const ENTRY_BYTES: u64;

    /// The size of the guest's disk.
    fn capacity_bytes(&self) -> u64;

    /// The size of a grain.
    fn grain_bytes(&self) -> u64;

    /// The byte that the directory starts at.
    fn directory_bytes(&self) -> u64;

    /// The first byte that a grain may have.
    fn grains_start_bytes(&self) -> u64;

    /// The byte that a table starts at, by its entry in the directory, which is not 0.
    ///
    /// `None` when the entry means nothing.
    fn table_bytes(&self, entry: u64) -> Option<u64>;

    /// What an entry of a table means; `None` when it means nothing.
    fn grain(&self, entry: u64) -> Option<ExtentKind>;

    /// What is neither table nor grain: the headers and the directory.
    fn front(&self) -> Vec<Range<u64>>;

    /// The bytes of the directory that the capacity needs.
    fn directory(&self) -> Range<u64> {
        let start = self.directory_bytes();
        let count = table_count(self.capacity_bytes(), self.grain_bytes());
        start..start.saturating_add(count.saturating_mul(Self::ENTRY_BYTES))
    }
}

/// An extent with tables of the given layout.
pub(super) struct Reader<L> {
    bytes: Arc<dyn ReadAt>,
    layout: L,
    tables: Vec<TablePlace>,
    info: Info,
    cache: Mutex<VecDeque<(u64, Arc<[u64]>)>>,
}

/// Checks the capacity that a header says, in sectors, and gives it in bytes.
pub(super) fn capacity_bytes(sectors: u64) -> Result<u64> {
    match sectors.checked_mul(SECTOR_BYTES) {
        Some(0) => Err(Error::malformed("a capacity of 0 sectors")),
        Some(bytes @ ..=MAX_CAPACITY_BYTES) => Ok(bytes),
        over => Err(Error::new(Kind::Limit, Failure::Capacity(over.unwrap_or(u64::MAX)))),
    }
}

/// The entries that a directory needs for a capacity.
pub(super) fn table_count(capacity_bytes: u64, grain_bytes: u64) -> u64 {
    capacity_bytes.div_ceil(grain_bytes.max(1)).div_ceil(TABLE_ENTRIES)
}

impl<L: Layout> Reader<L> {
    /// Reads the directory; every entry of it is checked, no table is read.
    pub(super) fn open(bytes: Arc<dyn ReadAt>, layout: L) -> Result<Self> {
        let info = Info {
            format: Format::Vmdk,
            variant: L::VARIANT.to_owned(),
            capacity_bytes: layout.capacity_bytes(),
            file_bytes: bytes.len_bytes(),
            unit_bytes: Some(layout.grain_bytes()),
            references: Vec::new(),
            warnings: Vec::new(),
        };
        let tables = read_directory(&*bytes, &layout)?;
        Ok(Self { bytes, layout, tables, info, cache: Mutex::default() })
    }

    /// The extent as a disk of its own, with a warning: it is a delta, and its parent is not known.
    pub(super) fn alone(mut self) -> Self {
        let message = "a delta is read without the descriptor that names its parent: what it does not have reads as zeros";
        self.info.warnings.push(Warning::defect(0, message));
        self
    }

    /// The guest bytes that one table describes.
    fn span_bytes(&self) -> u64 {
        self.layout.grain_bytes().saturating_mul(TABLE_ENTRIES)
    }

    /// The first table at or behind number `from` that is not empty.
    fn next_table(&self, from: u64) -> Option<&TablePlace> {
        self.tables.get(self.tables.partition_point(|place| u64::from(place.number) < from))
    }

    fn read_table(&self, place: &TablePlace) -> Result<Arc<[u64]>> {
        let mut raw = vec![0; buffer_len(L::ENTRY_BYTES.saturating_mul(TABLE_ENTRIES))];
        self.bytes.fill(&mut raw, u64::from(place.sector).saturating_mul(SECTOR_BYTES))?;
        Ok(entries::<L>(&raw).collect())
    }

    fn cached_table(&self, place: &TablePlace) -> Result<Arc<[u64]>> {
        let number = u64::from(place.number);
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, table)) = lock().iter().find(|(cached, _)| *cached == number) {
            return Ok(Arc::clone(table));
        }
        let table = self.read_table(place)?;
        let mut cache = lock();
        if cache.len() >= CACHED_TABLES {
            cache.pop_front();
        }
        cache.push_back((number, Arc::clone(&table)));
        Ok(table)
    }

    /// The extent of grain `index`, which `table` describes.
    fn grain_extent(&self, table: &[u64], index: u64) -> Result<Extent> {
        let slot = usize::try_from(index % TABLE_ENTRIES).ok();
        let entry = slot.and_then(|slot| table.get(slot)).copied().unwrap_or_default();
        let fail = |leaf| Error::malformed(leaf);
        let kind =
            self.layout.grain(entry).ok_or_else(|| fail(EntryError::Type { index, entry }))?;
        let extent = self.grain_range(index, kind);
        if let ExtentKind::Data { offset_bytes } = kind {
            let (len_bytes, file_bytes) = (extent.len_bytes, self.bytes.len_bytes());
            let end = self.layout.grains_start_bytes();
            if offset_bytes < end {
                return Err(fail(EntryError::InHeader { index, end }).at(offset_bytes));
            }
            if offset_bytes.checked_add(len_bytes).is_none_or(|end| end > file_bytes) {
                let leaf = EntryError::Outside { index, len_bytes, file_bytes };
                return Err(fail(leaf).at(offset_bytes));
            }
        }
        Ok(extent)
    }

    /// The guest bytes of grain `index`; the last one ends at the capacity.
    fn grain_range(&self, index: u64, kind: ExtentKind) -> Extent {
        let start_bytes = index.saturating_mul(self.layout.grain_bytes());
        let rest = self.info.capacity_bytes.saturating_sub(start_bytes);
        Extent::new(start_bytes, rest.min(self.layout.grain_bytes()), kind)
    }

    /// The hole from `at` to the next table that is not empty, or to the end of the disk.
    fn hole(&self, at: u64) -> Extent {
        let span = self.span_bytes();
        let next = self.next_table(at.checked_div(span).unwrap_or_default());
        let end = next.map_or(u64::MAX, |place| u64::from(place.number).saturating_mul(span));
        let end = end.min(self.info.capacity_bytes);
        Extent::new(at, end.saturating_sub(at), ExtentKind::Hole)
    }
}

/// The entries of a part of a directory or table.
fn entries<L: Layout>(raw: &[u8]) -> impl Iterator<Item = u64> {
    raw.chunks_exact(buffer_len(L::ENTRY_BYTES))
        .map(|raw| le64(raw, 0).or_else(|| le32(raw, 0).map(u64::from)).unwrap_or_default())
}

impl<L: Layout> Image for Reader<L> {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        let grains = self.info.capacity_bytes.div_ceil(self.layout.grain_bytes().max(1));
        let used = (grains <= MAX_NOTED_GRAINS).then(Usage::default);
        let queue = VecDeque::new();
        Box::new(Joined::new(GrainExtents { reader: self, at: 0, queue, used }))
    }

    fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
        let number = offset_bytes.checked_div(self.span_bytes()).unwrap_or_default();
        match self.next_table(number) {
            Some(place) if u64::from(place.number) == number => {
                let index = offset_bytes.checked_div(self.layout.grain_bytes()).unwrap_or_default();
                self.grain_extent(&self.cached_table(place)?, index)
            }
            _ => Ok(self.hole(offset_bytes)),
        }
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.bytes
    }

    fn read_extent(&self, extent: &Extent, _: &mut Workbench, out: &mut [u8]) -> Result<()> {
        check_buffer(extent, out)?;
        match extent.kind {
            ExtentKind::Data { offset_bytes } => self.bytes.fill(out, offset_bytes),
            _ => {
                out.fill(0);
                Ok(())
            }
        }
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        let tables = self.tables.iter().map(|place| {
            let start = u64::from(place.sector).saturating_mul(SECTOR_BYTES);
            start..start.saturating_add(L::ENTRY_BYTES.saturating_mul(TABLE_ENTRIES))
        });
        Box::new(self.layout.front().into_iter().chain(tables).map(|range| (0, range)))
    }
}

/// The extents of a disk; one table is in memory at a time.
struct GrainExtents<'a, L> {
    reader: &'a Reader<L>,
    /// The guest byte that the next extent starts at.
    at: u64,
    queue: VecDeque<Result<Extent>>,
    /// Which grains of the file are in use, unless they are too many to note.
    used: Option<Usage>,
}

impl<L: Layout> GrainExtents<'_, L> {
    /// Queues the hole up to the next table that is not empty, or the grains of that table.
    fn advance(&mut self) {
        let reader = self.reader;
        let hole = reader.hole(self.at);
        if hole.len_bytes > 0 {
            self.at = hole.end_bytes();
            self.queue.push_back(Ok(hole));
            return;
        }
        let number = self.at.checked_div(reader.span_bytes()).unwrap_or_default();
        let first = number.saturating_mul(TABLE_ENTRIES);
        self.at = self.at.saturating_add(reader.span_bytes()).min(reader.info.capacity_bytes);
        let Some(place) = reader.next_table(number) else { return };
        let table = match reader.read_table(place) {
            Ok(table) => table,
            Err(error) => return self.queue.push_back(Err(error)),
        };
        let grains = reader.info.capacity_bytes.div_ceil(reader.layout.grain_bytes().max(1));
        for index in first..first.saturating_add(TABLE_ENTRIES).min(grains) {
            let extent = reader.grain_extent(&table, index);
            let extent = extent.and_then(|extent| self.claim(index, extent));
            self.queue.push_back(extent);
        }
    }

    /// Refuses a grain whose bytes another grain has, too; grains that overlap in part are seen by a
    /// check.
    fn claim(&mut self, index: u64, extent: Extent) -> Result<Extent> {
        if let (ExtentKind::Data { offset_bytes }, Some(used)) = (extent.kind, &mut self.used) {
            let unit = offset_bytes.checked_div(self.reader.layout.grain_bytes());
            if !used.claim(unit.unwrap_or_default()) {
                return Err(Error::malformed(EntryError::Shared(index)).at(offset_bytes));
            }
        }
        Ok(extent)
    }
}

impl<L: Layout> Iterator for GrainExtents<'_, L> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(extent) = self.queue.pop_front() {
                return Some(extent);
            }
            if self.at >= self.reader.info.capacity_bytes {
                return None;
            }
            self.advance();
        }
    }
}
