//! A VDI that can be read at any place.

use std::{ops::Range, sync::Arc};

use super::header::{HEADER_BYTES, Header};
use crate::{
    Error, Extent, ExtentKind, Extents, Format, Image, Info, ReadAt, Result, Workbench,
    entry_table::{Entries, LastWindow},
    error::Failure,
    fields::buffer_len,
    image::{Joined, check_buffer},
    usage::Usage,
};

/// The entry of a block that was never written.
const FREE: u32 = 0xffff_ffff;

/// The entry of a block that the guest gave back.
const DISCARDED: u32 = 0xffff_fffe;

/// A VDI that stands alone.
pub(super) struct Reader {
    bytes: Arc<dyn ReadAt>,
    header: Header,
    info: Info,
    /// The part of the block map that [`Image::extent_at`] used last.
    last: LastWindow,
}

/// What is wrong with an entry of the block map.
#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error("block {index}: its number {number} is not under the {blocks} blocks of the image")]
    Number { index: u64, number: u32, blocks: u32 },
    #[error("block {index}: number {number} ends at byte {end}, the file has {file_bytes}")]
    Outside { index: u64, number: u32, end: u64, file_bytes: u64 },
    #[error("block {index}: number {number} is that of another block, too")]
    Shared { index: u64, number: u32 },
}

impl Reader {
    /// Opens an image: its header is read and checked, its block map is not read yet.
    pub(super) fn open(bytes: Arc<dyn ReadAt>) -> Result<Self> {
        let file_bytes = bytes.len_bytes();
        let mut head = vec![0; buffer_len(file_bytes.min(HEADER_BYTES))];
        bytes.fill(&mut head, 0)?;
        let header = Header::parse(&head, file_bytes)?;
        let info = Info {
            format: Format::Vdi,
            variant: header.image_type().as_str().to_owned(),
            capacity_bytes: header.capacity_bytes(),
            file_bytes,
            unit_bytes: Some(header.block_bytes()),
            references: Vec::new(),
            warnings: header.warnings(),
        };
        Ok(Self { bytes, header, info, last: LastWindow::default() })
    }

    /// The extent of block `index`, whose entry is `number`.
    fn block(&self, index: u64, number: u32) -> Result<Extent> {
        let block_bytes = self.header.block_bytes();
        let start_bytes = index.saturating_mul(block_bytes);
        let len_bytes = self.info.capacity_bytes.saturating_sub(start_bytes).min(block_bytes);
        if matches!(number, FREE | DISCARDED) {
            return Ok(Extent::new(start_bytes, len_bytes, ExtentKind::Zero));
        }
        let blocks = self.header.blocks();
        if number >= blocks {
            return Err(self.error(EntryError::Number { index, number, blocks }, index));
        }
        let (offset_bytes, file_bytes) = (self.header.block_at(number), self.info.file_bytes);
        let end = offset_bytes.saturating_add(len_bytes);
        if end > file_bytes {
            return Err(self.error(EntryError::Outside { index, number, end, file_bytes }, index));
        }
        Ok(Extent::new(start_bytes, len_bytes, ExtentKind::Data { offset_bytes }))
    }

    fn error(&self, leaf: EntryError, index: u64) -> Error {
        Error::malformed(leaf).at(self.header.map().entry_at(index))
    }
}

impl Image for Reader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        let count = self.info.capacity_bytes.div_ceil(self.header.block_bytes().max(1));
        let entries = self.header.map().entries(&*self.bytes, count);
        Box::new(Joined::new(Blocks { reader: self, entries, used: Usage::default() }))
    }

    fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
        let index = offset_bytes.checked_div(self.header.block_bytes()).unwrap_or_default();
        let raw = self.header.map().entry(&*self.bytes, index, &self.last)?;
        self.block(index, u32::from_le_bytes(raw))
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.bytes
    }

    fn read_extent(&self, extent: &Extent, _: &mut Workbench, out: &mut [u8]) -> Result<()> {
        check_buffer(extent, out)?;
        match extent.kind {
            ExtentKind::Hole | ExtentKind::Zero => {
                out.fill(0);
                Ok(())
            }
            ExtentKind::Data { offset_bytes } => self.bytes.fill(out, offset_bytes),
            ExtentKind::Stored { .. } | ExtentKind::StoredPart { .. } => {
                Err(Error::malformed(Failure::NotStored(extent.start_bytes)))
            }
        }
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        let ranges = [self.header.range(), self.header.map().range()];
        Box::new(ranges.into_iter().map(|range| (0, range)))
    }
}

/// The blocks of the disk in order; one window of the block map is in memory.
struct Blocks<'a> {
    reader: &'a Reader,
    entries: Entries<'a>,
    /// The numbers that were seen.
    used: Usage,
}

impl Iterator for Blocks<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        let (index, raw) = match self.entries.next()? {
            Ok(entry) => entry,
            Err(error) => return Some(Err(error)),
        };
        let number = u32::from_le_bytes(raw);
        let extent = self.reader.block(index, number);
        let is_stored = matches!(extent, Ok(Extent { kind: ExtentKind::Data { .. }, .. }));
        if is_stored && !self.used.claim(number.into()) {
            return Some(Err(self.reader.error(EntryError::Shared { index, number }, index)));
        }
        Some(extent)
    }
}
