//! The block allocation table: where the blocks and the sector bitmaps are.

use std::{ops::Range, sync::Arc};

use crate::{
    Error, Extent, ExtentKind, ReadAt, Result,
    fields::{buffer_len, le64},
    vhdx::{MIB, metadata::Metadata},
};

/// The entries of the table that are read at once.
const WINDOW_ENTRIES: u64 = 8192;

/// The bytes of an entry.
const ENTRY_LEN: usize = 8;
const ENTRY_BYTES: u64 = ENTRY_LEN as u64;

/// The sectors that one sector bitmap is about ([MS-VHDX] 2.4): as many as it has bits.
const CHUNK_SECTORS: u64 = 1 << 23;

/// The bytes of a sector bitmap.
pub(super) const BITMAP_BYTES: u64 = CHUNK_SECTORS / 8;

/// The bits of an entry that are the state, those that are the offset in MiB, and the rest.
const STATE_MASK: u64 = 0b111;
const OFFSET_MASK: u64 = !0 << 20;
const RESERVED: u64 = !(STATE_MASK | OFFSET_MASK);

/// The table, and the numbers that say which entry means what.
///
/// Behind the entries of the blocks of each chunk stands one entry for the chunk's sector bitmap.
pub(super) struct Bat {
    bytes: Arc<dyn ReadAt>,
    at: u64,
    layout: Layout,
    standing: Standing,
}

/// Whether a disk stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// What is not present is zeros.
    Alone,
    /// What is not present is the parent's.
    Delta,
}

/// How the disk is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    capacity_bytes: u64,
    block_bytes: u64,
    sector_bytes: u64,
    /// The blocks that share a sector bitmap: 16 at least.
    chunk_blocks: u64,
}

/// What the table says of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    /// Not here.
    Hole,
    /// Zeros.
    Zero,
    /// Here, from this byte of the file on.
    Whole(u64),
    /// From this byte of the file on, as far as the sector bitmap says so.
    Partial(u64),
}

/// A part of the table.
#[derive(Debug, Default)]
pub(super) struct Window {
    first: u64,
    bytes: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
enum BatError {
    #[error("a block allocation table of {region_bytes} bytes, the capacity needs {needed}")]
    Short { region_bytes: u64, needed: u64 },
    #[error("block {0}: its entry is {1:#018x}: reserved bits are set")]
    Reserved(u64, u64),
    #[error("block {0}: {1} is no state of a block")]
    State(u64, u64),
    #[error("block {0}: it is present in part, and the disk has no parent")]
    NoParent(u64),
    #[error("block {index}: bytes {start}..{end} are not inside the file of {file_bytes}")]
    Outside { index: u64, start: u64, end: u64, file_bytes: u64 },
    #[error("the sector bitmap of chunk {index} has the entry {entry:#018x}, whose state is not 6")]
    Bitmap { index: u64, entry: u64 },
    #[error(
        "the sector bitmap of chunk {index}: bytes {start}..{end} are not inside the file of {file_bytes}"
    )]
    BitmapOutside { index: u64, start: u64, end: u64, file_bytes: u64 },
}

impl Layout {
    fn new(metadata: &Metadata) -> Self {
        let Metadata { capacity_bytes, block_bytes, sector_bytes, .. } = *metadata;
        let chunk_bytes = CHUNK_SECTORS.saturating_mul(sector_bytes);
        let chunk_blocks = chunk_bytes.checked_div(block_bytes).unwrap_or(1);
        Self { capacity_bytes, block_bytes, sector_bytes, chunk_blocks }
    }

    fn blocks(&self) -> u64 {
        self.capacity_bytes.div_ceil(self.block_bytes)
    }

    fn chunk_of(&self, block: u64) -> u64 {
        block.checked_div(self.chunk_blocks).unwrap_or_default()
    }

    /// The entry of a block: one entry of a bitmap stands behind each full chunk before it.
    fn entry_of(&self, block: u64) -> u64 {
        block.saturating_add(self.chunk_of(block))
    }

    /// The entry of a chunk's sector bitmap.
    fn bitmap_entry_of(&self, chunk: u64) -> u64 {
        chunk.saturating_mul(self.chunk_blocks.saturating_add(1)).saturating_add(self.chunk_blocks)
    }

    /// The first block whose entry is `entry`, or stands behind it.
    fn block_from(&self, entry: u64) -> u64 {
        let bitmaps = entry.checked_div(self.chunk_blocks.saturating_add(1)).unwrap_or_default();
        entry.saturating_sub(bitmaps)
    }

    /// The entries of the whole table ([MS-VHDX] 2.5).
    fn entries(&self, standing: Standing) -> u64 {
        let Some(last) = self.blocks().checked_sub(1) else { return 0 };
        match standing {
            Standing::Alone => self.entry_of(last).saturating_add(1),
            Standing::Delta => self.bitmap_entry_of(self.chunk_of(last)).saturating_add(1),
        }
    }
}

impl Bat {
    /// Takes the table in `region`, which lies inside the file; no entry is read yet.
    pub(super) fn new(
        bytes: Arc<dyn ReadAt>,
        region: &Range<u64>,
        metadata: &Metadata,
    ) -> Result<Self> {
        let layout = Layout::new(metadata);
        let standing = if metadata.parent.is_some() { Standing::Delta } else { Standing::Alone };
        let region_bytes = region.end.saturating_sub(region.start);
        let needed = layout.entries(standing).saturating_mul(ENTRY_BYTES);
        if needed > region_bytes {
            let leaf = BatError::Short { region_bytes, needed };
            return Err(Error::malformed(leaf).at(region.start));
        }
        Ok(Self { bytes, at: region.start, layout, standing })
    }

    /// The number of blocks of the disk.
    pub(super) fn blocks(&self) -> u64 {
        self.layout.blocks()
    }

    /// The block that a byte of the disk lies in.
    pub(super) fn block_of(&self, offset_bytes: u64) -> u64 {
        offset_bytes.checked_div(self.layout.block_bytes).unwrap_or_default()
    }

    /// The chunk that a block belongs to.
    pub(super) fn chunk_of(&self, block: u64) -> u64 {
        self.layout.chunk_of(block)
    }

    /// The guest bytes of a block; the last one ends at the capacity, and need not be stored whole.
    pub(super) fn extent(&self, block: u64, kind: ExtentKind) -> Extent {
        let start_bytes = block.saturating_mul(self.layout.block_bytes);
        let rest = self.layout.capacity_bytes.saturating_sub(start_bytes);
        Extent::new(start_bytes, rest.min(self.layout.block_bytes), kind)
    }

    /// What the table says of a block; `window` is filled anew when the entry is not in it.
    pub(super) fn payload(&self, window: &mut Window, block: u64) -> Result<Payload> {
        let entry = self.layout.entry_of(block);
        let raw = match window.get(entry) {
            Some(raw) => raw,
            None => {
                self.fill(window, entry)?;
                window.get(entry).unwrap_or_default()
            }
        };
        self.decode(block, raw)
    }

    /// What the table says of a block; only its entry is read.
    pub(super) fn payload_alone(&self, block: u64) -> Result<Payload> {
        self.decode(block, self.read_entry(self.layout.entry_of(block))?)
    }

    /// The first block whose entry is behind the window that the entry of `block` belongs to.
    pub(super) fn block_behind_window(&self, block: u64) -> u64 {
        let next = (self.layout.entry_of(block) / WINDOW_ENTRIES).saturating_add(1);
        self.layout.block_from(next.saturating_mul(WINDOW_ENTRIES))
    }

    /// Where the sector bitmap of a chunk is.
    pub(super) fn bitmap(&self, chunk: u64) -> Result<u64> {
        let number = self.layout.bitmap_entry_of(chunk);
        let entry = self.read_entry(number)?;
        let fail = |leaf| Error::malformed(leaf).at(self.byte_of(number));
        if entry & STATE_MASK != 6 || entry & RESERVED != 0 {
            return Err(fail(BatError::Bitmap { index: chunk, entry }));
        }
        let range = self.inside(entry & OFFSET_MASK, BITMAP_BYTES);
        range.map_err(|Range { start, end }| {
            let file_bytes = self.bytes.len_bytes();
            fail(BatError::BitmapOutside { index: chunk, start, end, file_bytes })
        })
    }

    /// Reads the bits of a block out of the sector bitmap of its chunk, which starts at `bitmap_at`.
    pub(super) fn bits(&self, block: u64, bitmap_at: u64) -> Result<Vec<u8>> {
        // A block has 256 sectors at least, so its bits are whole bytes, and 64 KiB of them at most.
        let sectors = self.layout.block_bytes.checked_div(self.layout.sector_bytes);
        let len_bytes = sectors.unwrap_or_default() / 8;
        let place = block.checked_rem(self.layout.chunk_blocks).unwrap_or_default();
        let mut bits = vec![0; buffer_len(len_bytes)];
        let at = bitmap_at.saturating_add(place.saturating_mul(len_bytes));
        self.bytes.fill(&mut bits, at)?;
        Ok(bits)
    }

    /// The bytes of a logical sector.
    pub(super) fn sector_bytes(&self) -> u64 {
        self.layout.sector_bytes
    }

    /// What the entry of a block means; an error names the byte of the entry.
    fn decode(&self, block: u64, entry: u64) -> Result<Payload> {
        let at = self.byte_of(self.layout.entry_of(block));
        self.judge(block, entry).map_err(|leaf| Error::malformed(leaf).at(at))
    }

    /// Layout: [MS-VHDX] 2.5.1, "BAT Entry"; states: 2.5.1.1.
    fn judge(&self, block: u64, entry: u64) -> std::result::Result<Payload, BatError> {
        if entry & RESERVED != 0 {
            return Err(BatError::Reserved(block, entry));
        }
        let place = || {
            let start = entry & OFFSET_MASK;
            // A fixed disk of QEMU ends with its last guest byte, not with its last block.
            let len_bytes = self.extent(block, ExtentKind::Hole).len_bytes;
            self.inside(start, len_bytes).map_err(|Range { start, end }| {
                let file_bytes = self.bytes.len_bytes();
                BatError::Outside { index: block, start, end, file_bytes }
            })
        };
        match (entry & STATE_MASK, self.standing) {
            (0, _) => Ok(Payload::Hole),
            (1..=3, _) => Ok(Payload::Zero),
            (6, _) => Ok(Payload::Whole(place()?)),
            (7, Standing::Delta) => Ok(Payload::Partial(place()?)),
            (7, Standing::Alone) => Err(BatError::NoParent(block)),
            (state, _) => Err(BatError::State(block, state)),
        }
    }

    /// The start of a range, when it is inside the file and behind the header section.
    fn inside(&self, start: u64, len_bytes: u64) -> std::result::Result<u64, Range<u64>> {
        let end = start.saturating_add(len_bytes);
        if start < MIB || end > self.bytes.len_bytes() { Err(start..end) } else { Ok(start) }
    }

    fn byte_of(&self, entry: u64) -> u64 {
        self.at.saturating_add(entry.saturating_mul(ENTRY_BYTES))
    }

    fn read_entry(&self, entry: u64) -> Result<u64> {
        let mut raw = [0; ENTRY_LEN];
        self.bytes.fill(&mut raw, self.byte_of(entry))?;
        Ok(u64::from_le_bytes(raw))
    }

    /// Reads the window that `entry` lies in, as far as the table has entries.
    fn fill(&self, window: &mut Window, entry: u64) -> Result<()> {
        let first = entry.saturating_sub(entry % WINDOW_ENTRIES);
        let entries = self.layout.entries(self.standing).saturating_sub(first).min(WINDOW_ENTRIES);
        window.first = first;
        window.bytes.clear();
        let mut bytes = vec![0; buffer_len(entries.saturating_mul(ENTRY_BYTES))];
        self.bytes.fill(&mut bytes, self.byte_of(first))?;
        window.bytes = bytes;
        Ok(())
    }
}

impl Window {
    fn get(&self, entry: u64) -> Option<u64> {
        let at = entry.checked_sub(self.first)?.checked_mul(ENTRY_BYTES)?;
        le64(&self.bytes, usize::try_from(at).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIB: u64 = 1 << 40;

    fn layout(capacity_bytes: u64, block_mib: u64, sector_bytes: u64) -> Layout {
        let block_bytes = block_mib * MIB;
        let metadata =
            Metadata { block_bytes, sector_bytes, capacity_bytes, fixed: false, parent: None };
        Layout::new(&metadata)
    }

    /// A disk of `blocks` blocks of 1 MiB that lies in a file of 16 MiB, with its table in MiB 1.
    fn bat(entries: &[u64], standing: Standing) -> Bat {
        let mut file = vec![0; 16 << 20];
        for (slot, entry) in file[1 << 20..].chunks_mut(8).zip(entries) {
            slot.copy_from_slice(&entry.to_le_bytes());
        }
        Bat { bytes: Arc::new(file), at: MIB, layout: layout(4 * MIB, 1, 512), standing }
    }

    #[test]
    fn a_bitmap_stands_behind_the_blocks_of_each_chunk() {
        for (capacity, block_mib, sector, chunk, alone, delta) in [
            (0, 1, 512, 4096, 0, 0),
            (1, 1, 512, 4096, 1, 4097),
            (4096 * MIB, 1, 512, 4096, 4096, 4097),
            (4096 * MIB + 1, 1, 512, 4096, 4098, 8194),
            (TIB, 256, 512, 16, 4096 + 255, 256 * 17),
            (64 * TIB, 1, 4096, 32768, (64 << 20) + 2047, 2048 * 32769),
            (64 * TIB, 256, 4096, 128, (64 << 12) + 2047, 2048 * 129),
        ] {
            let layout = layout(capacity, block_mib, sector);
            assert_eq!(layout.chunk_blocks, chunk);
            assert_eq!(layout.entries(Standing::Alone), alone);
            assert_eq!(layout.entries(Standing::Delta), delta);
        }
        let layout = layout(TIB, 256, 512);
        assert_eq!(
            (layout.entry_of(15), layout.bitmap_entry_of(0), layout.entry_of(16)),
            (15, 16, 17)
        );
        assert_eq!(
            (layout.entry_of(31), layout.bitmap_entry_of(1), layout.entry_of(32)),
            (32, 33, 34)
        );
        for block in 0..100 {
            assert_eq!(layout.block_from(layout.entry_of(block)), block);
        }
        assert_eq!((layout.block_from(16), layout.block_from(33)), (16, 32));
    }

    #[test]
    fn a_state_means_what_the_kind_of_disk_says() {
        let at = 9 * MIB;
        let states = [
            (0, Ok(Payload::Hole), Ok(Payload::Hole)),
            (1, Ok(Payload::Zero), Ok(Payload::Zero)),
            (2, Ok(Payload::Zero), Ok(Payload::Zero)),
            (3, Ok(Payload::Zero), Ok(Payload::Zero)),
            (4, Err("block 2: 4 is no state of a block"), Err("block 2: 4 is no state of a block")),
            (5, Err("block 2: 5 is no state of a block"), Err("block 2: 5 is no state of a block")),
            (6, Ok(Payload::Whole(at)), Ok(Payload::Whole(at))),
            (
                7,
                Err("block 2: it is present in part, and the disk has no parent"),
                Ok(Payload::Partial(at)),
            ),
        ];
        for (state, alone, delta) in states {
            for (standing, want) in [(Standing::Alone, alone), (Standing::Delta, delta)] {
                let bat = bat(&[0, 0, at | state], standing);
                let found =
                    bat.payload(&mut Window::default(), 2).map_err(|error| error.to_string());
                let want = want.map_err(|message| format!("{message}, at byte 1048592"));
                assert_eq!(found, want);
                assert_eq!(bat.payload_alone(2).map_err(|error| error.to_string()), want);
            }
        }
    }

    #[test]
    fn names_the_entry_that_is_outside_or_has_reserved_bits() {
        for (entry, want) in [
            (6, "block 1: bytes 0..1048576 are not inside the file of 16777216, at byte 1048584"),
            (
                (16 << 20) | 6,
                "block 1: bytes 16777216..17825792 are not inside the file of 16777216, at byte 1048584",
            ),
            (
                OFFSET_MASK | 6,
                "block 1: bytes 18446744073708503040..18446744073709551615 are not inside the file of 16777216, at byte 1048584",
            ),
            (
                (9 << 20) | 14,
                "block 1: its entry is 0x000000000090000e: reserved bits are set, at byte 1048584",
            ),
        ] {
            assert_eq!(
                bat(&[0, entry], Standing::Alone).payload_alone(1).unwrap_err().to_string(),
                want
            );
        }
        let layout = layout(4 * MIB, 1, 512);
        let with_bitmap = |entry| {
            let mut entries = vec![0; 4097];
            entries[4096] = entry;
            bat(&entries, Standing::Delta).bitmap(0).map_err(|error| error.to_string())
        };
        assert_eq!(layout.bitmap_entry_of(0), 4096);
        assert_eq!(with_bitmap((15 << 20) | 6), Ok(15 << 20));
        let want = "the sector bitmap of chunk 0 has the entry 0x0000000000000000, whose state is not 6, at byte 1081344";
        assert_eq!(with_bitmap(0), Err(want.to_owned()));
        let want = "the sector bitmap of chunk 0: bytes 16777216..17825792 are not inside the file of 16777216, at byte 1081344";
        assert_eq!(with_bitmap((16 << 20) | 6), Err(want.to_owned()));
    }

    #[test]
    fn refuses_a_table_that_is_too_small_for_the_capacity() {
        let metadata = Metadata {
            block_bytes: MIB,
            sector_bytes: 512,
            capacity_bytes: TIB / 4,
            fixed: false,
            parent: None,
        };
        let error = Bat::new(Arc::new(vec![0; 16]), &(MIB..2 * MIB), &metadata).err().unwrap();
        let want = "a block allocation table of 1048576 bytes, the capacity needs 2097656, at byte 1048576";
        assert_eq!(error.to_string(), want);
    }
}
