//! The extents of a disk, from one grain table after the other.

use std::collections::VecDeque;

use crate::{
    Codec, Error, Extent, ExtentKind, Result,
    usage::Usage,
    vmdk::{
        grain::RECORD_HEADER_BYTES,
        header::{Header, SECTOR_BYTES, TABLE_ENTRIES},
        map::Table,
        reader::Reader,
    },
};

/// A table entry that stands for a grain of zeros, where the header allows it.
const ZERO_GRAIN: u32 = 1;

/// What is wrong with an entry of a grain table.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryError {
    #[error("grain {index}: its {len_bytes} bytes are not inside the file of {file_bytes}")]
    Outside { index: u64, len_bytes: u64, file_bytes: u64 },
    #[error("grain {index}: it lies in the header and the tables, which end at byte {end}")]
    InHeader { index: u64, end: u64 },
    #[error("grain {0}: its bytes are those of another grain, too")]
    Shared(u64),
    #[error("grain {index}: its entry {entry:#018x} is of no known type")]
    Type { index: u64, entry: u64 },
}

/// The extents of a disk; one table is in memory at a time.
///
/// Grains that are not compressed are noted when they are met, one bit each, and must not be used
/// twice. Compressed ones need no note: each names the one grain that it is.
pub(super) struct GrainExtents<'a> {
    reader: &'a Reader,
    /// The guest byte that the next extent starts at.
    at: u64,
    queue: VecDeque<Result<Extent>>,
    used: Usage,
}

impl<'a> GrainExtents<'a> {
    pub(super) fn new(reader: &'a Reader) -> Self {
        Self { reader, at: 0, queue: VecDeque::new(), used: Usage::default() }
    }

    /// Queues the extents up to the end of the next table that is not empty.
    fn advance(&mut self) {
        let Reader { header, map, bytes, .. } = self.reader;
        let capacity = header.capacity_bytes();
        let span = header.table_span_bytes();
        let next = map.next_table(self.at.checked_div(span).unwrap_or_default());
        let start = next.map_or(capacity, |number| number.saturating_mul(span)).min(capacity);
        if start > self.at {
            let len_bytes = start.saturating_sub(self.at);
            let hole = Extent::new(self.at, len_bytes, ExtentKind::Hole);
            self.queue.push_back(Ok(hole));
        }
        self.at = start;
        let Some(number) = next.filter(|_| start < capacity) else { return };
        self.at = start.saturating_add(span).min(capacity);
        match map.table(&**bytes, number) {
            Ok(Some(table)) => self.take(&table, number),
            Ok(None) => {}
            Err(error) => self.queue.push_back(Err(error)),
        }
    }

    fn take(&mut self, table: &Table, number: u64) {
        let header = &self.reader.header;
        let first = number.saturating_mul(TABLE_ENTRIES);
        let end = first.saturating_add(TABLE_ENTRIES).min(header.grain_count());
        for index in first..end {
            let extent = grain_extent(self.reader, table, index)
                .and_then(|extent| self.claim(index, extent));
            self.queue.push_back(extent);
        }
    }

    /// Refuses a grain whose bytes another grain has, too.
    ///
    /// Two grains of equal size that start in one unit of that size overlap. Others may overlap in
    /// part without being seen here; a check sees them.
    fn claim(&mut self, index: u64, extent: Extent) -> Result<Extent> {
        if let ExtentKind::Data { offset_bytes } = extent.kind {
            let unit = offset_bytes.checked_div(self.reader.header.grain_bytes());
            if !self.used.claim(unit.unwrap_or_default()) {
                return Err(Error::malformed(EntryError::Shared(index)).at(offset_bytes));
            }
        }
        Ok(extent)
    }
}

impl Iterator for GrainExtents<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(extent) = self.queue.pop_front() {
                return Some(extent);
            }
            if self.at >= self.reader.header.capacity_bytes() {
                return None;
            }
            self.advance();
        }
    }
}

/// The extent of grain `index`, which `table` describes.
pub(super) fn grain_extent(reader: &Reader, table: &Table, index: u64) -> Result<Extent> {
    let header = &reader.header;
    let slot = usize::try_from(index % TABLE_ENTRIES).ok();
    let sector = slot.and_then(|slot| table.get(slot)).copied().unwrap_or_default();
    if sector == 0 {
        return Ok(header.grain_range(index, ExtentKind::Hole));
    }
    if sector == ZERO_GRAIN && header.has_zero_grains() {
        return Ok(header.grain_range(index, ExtentKind::Zero));
    }
    let offset_bytes = u64::from(sector).saturating_mul(SECTOR_BYTES);
    let file_bytes = reader.bytes.len_bytes();
    let end = header.grains_start_bytes();
    if offset_bytes < end {
        return Err(Error::malformed(EntryError::InHeader { index, end }).at(offset_bytes));
    }
    let whole = header.grain_range(index, ExtentKind::Data { offset_bytes });
    let room = file_bytes.saturating_sub(offset_bytes);
    let needed = if header.is_stream() { RECORD_HEADER_BYTES } else { whole.len_bytes };
    if room < needed {
        let leaf = EntryError::Outside { index, len_bytes: needed, file_bytes };
        return Err(Error::malformed(leaf).at(offset_bytes));
    }
    if !header.is_stream() {
        return Ok(whole);
    }
    let next = table.iter().filter(|other| **other > sector).min();
    let next = next.map_or(file_bytes, |next| u64::from(*next).saturating_mul(SECTOR_BYTES));
    let len_bytes = next.saturating_sub(offset_bytes).min(room).min(header.max_record_bytes());
    let kind = ExtentKind::Stored { codec: Codec::Zlib, offset_bytes, len_bytes };
    Ok(Extent { kind, ..whole })
}

impl Header {
    /// The guest bytes of grain `index`; the last one ends at the capacity.
    pub(super) fn grain_range(&self, index: u64, kind: ExtentKind) -> Extent {
        let start_bytes = index.saturating_mul(self.grain_bytes());
        let len_bytes = self.capacity_bytes().saturating_sub(start_bytes).min(self.grain_bytes());
        Extent::new(start_bytes, len_bytes, kind)
    }

    /// The longest record of one compressed grain, with its header.
    pub(super) fn max_record_bytes(&self) -> u64 {
        self.max_stored_bytes().saturating_add(RECORD_HEADER_BYTES)
    }
}
