//! The sector bitmap of a block that has some sectors itself and leaves others to the parent.

use crate::{Extent, ExtentKind};

/// The sectors of one block that is present in part.
///
/// Bit by bit from the lowest of each byte: 1 = here, 0 = the parent's.
#[derive(Debug)]
pub(super) struct Sectors {
    bits: Vec<u8>,
    sector_bytes: u64,
    /// Where the block starts in the disk, and how many bytes of it the disk has.
    start_bytes: u64,
    len_bytes: u64,
    /// Where the block starts in the file.
    offset_bytes: u64,
}

impl Sectors {
    /// Takes the bits of the block that `block` describes as if it were present whole.
    pub(super) fn new(bits: Vec<u8>, block: &Extent, offset_bytes: u64, sector_bytes: u64) -> Self {
        let Extent { start_bytes, len_bytes, .. } = *block;
        Self { bits, sector_bytes, start_bytes, len_bytes, offset_bytes }
    }

    /// The run that begins at byte `skip` of the block, which is the start of a sector; `None` at
    /// its end.
    pub(super) fn run(&self, skip: u64) -> Option<Extent> {
        if skip >= self.len_bytes {
            return None;
        }
        let from = skip.checked_div(self.sector_bytes)?;
        let here = self.bit(from);
        let whole = if here { u8::MAX } else { 0 };
        let sectors = self.len_bytes.div_ceil(self.sector_bytes);
        let mut at = from.saturating_add(1);
        while at < sectors && self.bit(at) == here {
            let skips = at.is_multiple_of(8) && self.byte(at) == whole;
            at = at.saturating_add(if skips { 8 } else { 1 });
        }
        let end = at.saturating_mul(self.sector_bytes).min(self.len_bytes);
        let offset_bytes = self.offset_bytes.saturating_add(skip);
        let kind = if here { ExtentKind::Data { offset_bytes } } else { ExtentKind::Hole };
        Some(Extent::new(self.start_bytes.saturating_add(skip), end.saturating_sub(skip), kind))
    }

    /// The run around byte `skip` of the block, from the start of its sector.
    pub(super) fn run_around(&self, skip: u64) -> Option<Extent> {
        self.run(skip.saturating_sub(skip.checked_rem(self.sector_bytes)?))
    }

    fn byte(&self, sector: u64) -> u8 {
        let byte = usize::try_from(sector / 8).ok().and_then(|at| self.bits.get(at));
        byte.copied().unwrap_or_default()
    }

    fn bit(&self, sector: u64) -> bool {
        self.byte(sector) >> (sector % 8) & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sectors(bits: &[u8], len_bytes: u64) -> Sectors {
        let block = Extent::new(1 << 20, len_bytes, ExtentKind::Hole);
        Sectors::new(bits.to_vec(), &block, 5 << 20, 512)
    }

    /// The runs as (sector, sectors, present).
    fn runs(sectors: &Sectors) -> Vec<(u64, u64, bool)> {
        let mut skip = 0;
        let mut runs = Vec::new();
        while let Some(run) = sectors.run(skip) {
            assert_eq!(run.start_bytes, (1 << 20) + skip);
            let here = match run.kind {
                ExtentKind::Data { offset_bytes } => {
                    assert_eq!(offset_bytes, (5 << 20) + skip);
                    true
                }
                kind => {
                    assert_eq!(kind, ExtentKind::Hole);
                    false
                }
            };
            runs.push((skip / 512, run.len_bytes / 512, here));
            skip += run.len_bytes;
        }
        runs
    }

    #[test]
    fn the_lowest_bit_is_the_first_sector() {
        let runs_of = |bits: &[u8]| runs(&sectors(bits, bits.len() as u64 * 8 * 512));
        assert_eq!(runs_of(&[1]), [(0, 1, true), (1, 7, false)]);
        assert_eq!(runs_of(&[0x80]), [(0, 7, false), (7, 1, true)]);
        assert_eq!(runs_of(&[0xff, 0xff, 0xff]), [(0, 24, true)]);
        assert_eq!(runs_of(&[0, 0, 0, 0]), [(0, 32, false)]);
        assert_eq!(runs_of(&[0xf0, 0xff, 0x01]), [(0, 4, false), (4, 13, true), (17, 7, false)]);
        assert_eq!(runs_of(&[0x0f, 0x00, 0xfe]), [(0, 4, true), (4, 13, false), (17, 7, true)]);
    }

    #[test]
    fn ends_where_the_disk_ends() {
        assert_eq!(runs(&sectors(&[0xff, 0xff], 3 * 512)), [(0, 3, true)]);
        assert_eq!(runs(&sectors(&[0, 0], 11 * 512)), [(0, 11, false)]);
    }

    #[test]
    fn finds_the_run_around_any_byte() {
        let sectors = sectors(&[0x06], 8 * 512);
        for (skip, start, len) in [(0, 0, 1), (511, 0, 1), (513, 1, 2), (1535, 2, 1), (1536, 3, 5)]
        {
            let run = sectors.run_around(skip).unwrap();
            assert_eq!((run.start_bytes - (1 << 20), run.len_bytes), (start * 512, len * 512));
        }
        assert_eq!(sectors.run_around(8 * 512), None);
    }
}
