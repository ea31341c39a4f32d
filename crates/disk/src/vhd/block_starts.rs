//! Where the blocks of a file start.

use std::collections::HashMap;

/// The cells of a page.
const PAGE_CELLS: u64 = 64;

/// The places of blocks that all have the same length: it finds two that overlap.
///
/// The file is divided into cells of one block. Two blocks that start in one cell overlap, and
/// else only neighbours can. So a block costs four bytes and not a bit a sector: 2 TiB, where a BAT
/// ends, take at most 17 MB.
#[derive(Debug)]
pub(super) struct BlockStarts {
    block_sectors: u64,
    /// Where in its cell a block starts, counted from 1; 0 is a free cell.
    pages: HashMap<u64, [u32; 64]>,
}

impl BlockStarts {
    /// Starts without blocks; each will have `block_sectors` sectors, with its bitmap.
    pub(super) fn new(block_sectors: u64) -> Self {
        Self { block_sectors, pages: HashMap::new() }
    }

    /// Takes the block that starts at `sector`; `false` when it overlaps one that was taken before.
    pub(super) fn claim(&mut self, sector: u64) -> bool {
        let cell = sector.checked_div(self.block_sectors).unwrap_or_default();
        let inside = sector.checked_rem(self.block_sectors).unwrap_or_default();
        let start = u32::try_from(inside).unwrap_or(u32::MAX).saturating_add(1);
        let before = cell.checked_sub(1).map_or(0, |before| self.start(before));
        let behind = self.start(cell.saturating_add(1));
        let free = self.start(cell) == 0 && before <= start && (behind == 0 || behind >= start);
        if free && let Some(slot) = self.page(cell).get_mut(slot(cell)) {
            *slot = start;
        }
        free
    }

    fn start(&self, cell: u64) -> u32 {
        let page = self.pages.get(&(cell / PAGE_CELLS));
        page.and_then(|page| page.get(slot(cell))).copied().unwrap_or_default()
    }

    fn page(&mut self, cell: u64) -> &mut [u32; 64] {
        self.pages.entry(cell / PAGE_CELLS).or_insert([0; 64])
    }
}

fn slot(cell: u64) -> usize {
    usize::try_from(cell % PAGE_CELLS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_overlap_and_nothing_else() {
        let mut starts = BlockStarts::new(10);
        for (sector, free) in [
            (3, true),
            (3, false),
            (9, false),
            (12, false),
            (13, true),
            (35, true),
            (25, true),
            (24, false),
            (44, false),
            (45, true),
            (700, true),
            (691, false),
            (690, true),
        ] {
            assert_eq!(starts.claim(sector), free, "{sector}");
        }
    }
}
