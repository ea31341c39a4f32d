//! The block allocation table.

use std::ops::Range;

use super::{bitmap::Bitmap, block_starts::BlockStarts, header::Header};
use crate::{
    Error, Extent, ExtentKind, ReadAt, Result,
    entry_table::{Entries, EntryTable, LastWindow},
};

/// The unit of an entry.
const SECTOR_BYTES: u64 = 512;

/// The entry of a block that the file does not have.
const NONE: u32 = u32::MAX;

/// The table, and what its entries are checked against.
#[derive(Debug)]
pub(super) struct Bat {
    table: EntryTable,
    block_bytes: u64,
    bitmap_bytes: u64,
    capacity_bytes: u64,
    data_end_bytes: u64,
    /// Headers, tables and names: no block may lie there.
    reserved: Vec<Range<u64>>,
    last: LastWindow,
}

/// A block of the disk whose entry is sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// Its guest bytes, as a whole.
    pub(super) extent: Extent,
    /// Where its sector bitmap lies, if the file has the block.
    pub(super) bitmap: Option<Range<u64>>,
}

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error(
        "block {index}: sector {sector} puts its end at byte {end}, blocks end at byte {limit}"
    )]
    Outside { index: u64, sector: u32, end: u64, limit: u64 },
    #[error("block {index}: sector {sector} is part of a header, of a table or of another block")]
    Shared { index: u64, sector: u32 },
}

impl Bat {
    /// The table of a header, for a disk of `capacity_bytes` bytes in a file whose blocks end at
    /// `data_end_bytes` and lie in none of the `reserved` ranges.
    pub(super) fn new(
        header: &Header,
        capacity_bytes: u64,
        data_end_bytes: u64,
        reserved: Vec<Range<u64>>,
    ) -> Self {
        let table = EntryTable::new(header.bat_range().start, header.bat_entries());
        let block_bytes = header.block_bytes();
        let bitmap_bytes = Bitmap::len_bytes(block_bytes);
        let last = LastWindow::default();
        Self { table, block_bytes, bitmap_bytes, capacity_bytes, data_end_bytes, reserved, last }
    }

    /// The block around a byte of the disk; whether another block shares its place is not asked.
    pub(super) fn block(&self, bytes: &dyn ReadAt, offset_bytes: u64) -> Result<Block> {
        let index = offset_bytes.checked_div(self.block_bytes).unwrap_or_default();
        self.decode(index, self.table.entry(bytes, index, &self.last)?)
    }

    /// Every block of the disk in order, with what is wrong with its entry.
    pub(super) fn blocks<'a>(&'a self, bytes: &'a dyn ReadAt) -> Blocks<'a> {
        let count = self.capacity_bytes.div_ceil(self.block_bytes.max(1));
        let span_bytes = self.bitmap_bytes.saturating_add(self.block_bytes);
        let starts = BlockStarts::new(span_bytes / SECTOR_BYTES);
        Blocks { bat: self, entries: self.table.entries(bytes, count), starts }
    }

    fn decode(&self, index: u64, raw: [u8; 4]) -> Result<Block> {
        let sector = u32::from_be_bytes(raw);
        let start_bytes = index.saturating_mul(self.block_bytes);
        let len_bytes = self.capacity_bytes.saturating_sub(start_bytes).min(self.block_bytes);
        if sector == NONE {
            let extent = Extent::new(start_bytes, len_bytes, ExtentKind::Hole);
            return Ok(Block { extent, bitmap: None });
        }
        let at = u64::from(sector).saturating_mul(SECTOR_BYTES);
        let offset_bytes = at.saturating_add(self.bitmap_bytes);
        let end = offset_bytes.saturating_add(len_bytes);
        if end > self.data_end_bytes {
            let limit = self.data_end_bytes;
            return Err(self.error(EntryError::Outside { index, sector, end, limit }, index));
        }
        if self.reserved.iter().any(|range| range.start < end && range.end > at) {
            return Err(self.error(EntryError::Shared { index, sector }, index));
        }
        let extent = Extent::new(start_bytes, len_bytes, ExtentKind::Data { offset_bytes });
        Ok(Block { extent, bitmap: Some(at..offset_bytes) })
    }

    fn error(&self, leaf: EntryError, index: u64) -> Error {
        Error::malformed(leaf).at(self.table.entry_at(index))
    }
}

/// The blocks of a disk in order.
pub(super) struct Blocks<'a> {
    bat: &'a Bat,
    entries: Entries<'a>,
    starts: BlockStarts,
}

impl Iterator for Blocks<'_> {
    type Item = Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        let (index, raw) = match self.entries.next()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        let block = self.bat.decode(index, raw);
        let sector = u32::from_be_bytes(raw);
        let is_stored = block.as_ref().is_ok_and(|block| block.bitmap.is_some());
        if is_stored && !self.starts.claim(sector.into()) {
            return Some(Err(self.bat.error(EntryError::Shared { index, sector }, index)));
        }
        Some(block)
    }
}
