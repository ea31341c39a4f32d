//! The sector bitmap of a block, and the runs of sectors that it gives.

use std::sync::Arc;

use crate::{Extent, ExtentKind, fields::buffer_len};

/// The unit of a bit.
const SECTOR_BYTES: u64 = 512;

/// The sectors of a block that a differencing disk has itself: a set bit, the highest of a byte
/// first (VHD Image Format Specification, "Block Allocation Table and Data Blocks").
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bitmap(Arc<Vec<u8>>);

impl Bitmap {
    /// Takes the bytes in front of a block.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(bytes))
    }

    /// The bytes of the bitmap of a block, padded to whole sectors.
    pub(super) fn len_bytes(block_bytes: u64) -> u64 {
        (block_bytes / SECTOR_BYTES).div_ceil(8).next_multiple_of(SECTOR_BYTES)
    }

    fn has(&self, sector: u64) -> bool {
        let byte = self.0.get(buffer_len(sector / 8)).copied().unwrap_or_default();
        byte & (0x80 >> (sector % 8)) != 0
    }
}

/// One block, cut into what is in the child and what is not, in guest order.
#[derive(Debug)]
pub(super) struct Runs {
    rest: Option<Extent>,
    bitmap: Option<Bitmap>,
    /// The sector of the block that `rest` starts with.
    sector: u64,
}

impl Runs {
    /// A block that is one extent as a whole.
    pub(super) fn whole(block: Extent) -> Self {
        Self { rest: Some(block), bitmap: None, sector: 0 }
    }

    /// A block of which the child has the sectors of the bitmap.
    pub(super) fn marked(block: Extent, bitmap: Bitmap) -> Self {
        Self { rest: Some(block), bitmap: Some(bitmap), sector: 0 }
    }

    /// The bitmap, if the block has one that counts.
    pub(super) fn bitmap(&self) -> Option<&Bitmap> {
        self.bitmap.as_ref()
    }
}

impl Iterator for Runs {
    type Item = Extent;

    fn next(&mut self) -> Option<Extent> {
        let rest = self.rest.take()?;
        let Some(bitmap) = &self.bitmap else { return Some(rest) };
        let here = bitmap.has(self.sector);
        let end = self.sector.saturating_add(rest.len_bytes / SECTOR_BYTES);
        let behind = (self.sector..end).find(|sector| bitmap.has(*sector) != here).unwrap_or(end);
        let len_bytes = behind.saturating_sub(self.sector).saturating_mul(SECTOR_BYTES);
        let (front, rest) = rest.split(len_bytes);
        self.sector = behind;
        self.rest = rest;
        Some(if here { front } else { Extent { kind: ExtentKind::Hole, ..front } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_whole_sectors() {
        for (block_bytes, want) in [(512 << 10, 512), (2 << 20, 512), (4 << 20, 1024)] {
            assert_eq!(Bitmap::len_bytes(block_bytes), want);
        }
    }

    #[test]
    fn cuts_a_block_at_every_change_the_highest_bit_first() {
        let block = |len| Extent::new(1 << 20, len, ExtentKind::Data { offset_bytes: 4096 });
        let runs = |bytes: Vec<u8>, len| {
            let runs = Runs::marked(block(len), Bitmap::new(bytes));
            runs.map(|run| (run.start_bytes - (1 << 20), run.len_bytes, run.kind))
                .collect::<Vec<_>>()
        };
        let data = |offset_bytes| ExtentKind::Data { offset_bytes };
        let want = [
            (0, 1024, data(4096)),
            (1024, 5 * 512, ExtentKind::Hole),
            (3584, 1024, data(4096 + 3584)),
            (4608, 512, ExtentKind::Hole),
        ];
        assert_eq!(runs(vec![0b1100_0001, 0b1000_0000], 5120), want);
        assert_eq!(runs(vec![0xff; 2], 5120), [(0, 5120, data(4096))]);
        assert_eq!(runs(vec![0; 2], 5120), [(0, 5120, ExtentKind::Hole)]);
        assert_eq!(Runs::whole(block(5120)).collect::<Vec<_>>(), [block(5120)]);
    }
}
