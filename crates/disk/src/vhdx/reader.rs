//! A VHDX file that can be read at any place.

use std::{ops::Range, sync::Arc};

use crate::{
    Error, Extent, ExtentKind, Extents, Format, Image, Info, ReadAt, Reference, Result, Workbench,
    error::{Failure, Kind},
    image::{Joined, check_buffer},
    usage::Usage,
    vhdx::{
        MIB,
        bat::{BITMAP_BYTES, Bat, Payload, Window},
        bitmap::Sectors,
        guid::Guid,
        header::Header,
        locator::Locator,
        log,
        metadata::Metadata,
        regions::Regions,
    },
};

/// The longest file, with what its log adds: the limit of this product. A full disk of 64 TiB has half
/// of it, and what is kept of a file's blocks grows with it.
const MAX_FILE_BYTES: u64 = 128 << 40;

/// One VHDX file. What it leaves to a parent are holes.
pub(super) struct Reader {
    /// With the log applied.
    bytes: Arc<dyn ReadAt>,
    bat: Bat,
    locator: Option<Locator>,
    data_write_guid: Guid,
    /// Where everything is that is not content.
    regions: Vec<Range<u64>>,
    info: Info,
}

#[derive(Debug, thiserror::Error)]
enum BlockError {
    #[error("a file of {0} bytes is over the limit of {MAX_FILE_BYTES}")]
    FileLimit(u64),
    #[error("block {index}: byte {offset} is part of a table or of another block")]
    Shared { index: u64, offset: u64 },
    #[error("the sector bitmap of chunk {index}: byte {offset} is part of a table or of a block")]
    BitmapShared { index: u64, offset: u64 },
}

impl Reader {
    /// Opens a file: its header, log, regions and metadata are read and checked.
    pub(super) fn open(file: Arc<dyn ReadAt>) -> Result<Self> {
        let file_bytes = file.len_bytes();
        let (header, spare_header) = Header::read(&*file)?;
        let (bytes, replayed) = log::replay(file, &header)?;
        if bytes.len_bytes() > MAX_FILE_BYTES {
            return Err(Error::new(Kind::Limit, BlockError::FileLimit(bytes.len_bytes())));
        }
        let (regions, spare_table) = Regions::read(&*bytes, header.log())?;
        let metadata = Metadata::read(&*bytes, &regions.metadata)?;
        let bat = Bat::new(Arc::clone(&bytes), &regions.bat, &metadata)?;
        let Metadata { block_bytes, capacity_bytes, fixed, parent: locator, .. } = metadata;
        let names = locator.as_ref().map(Locator::names).unwrap_or_default();
        let reference = |name: &crate::FileName| Reference {
            role: crate::Role::Parent.as_str(),
            name: name.text().to_owned(),
        };
        let variant = match &locator {
            Some(_) => "differencing",
            None if fixed => "fixed",
            None => "dynamic",
        };
        let info = Info {
            format: Format::Vhdx,
            variant: variant.to_owned(),
            capacity_bytes,
            file_bytes,
            unit_bytes: Some(block_bytes),
            references: names.iter().map(reference).collect(),
            warnings: [spare_header, replayed, spare_table].into_iter().flatten().collect(),
        };
        let data_write_guid = header.data_write_guid();
        Ok(Self { bytes, bat, locator, data_write_guid, regions: regions.all, info })
    }

    /// How the parent is found; `None` when the disk stands alone.
    pub(super) fn locator(&self) -> Option<&Locator> {
        self.locator.as_ref()
    }

    /// What a child calls this disk by.
    pub(super) fn data_write_guid(&self) -> Guid {
        self.data_write_guid
    }

    /// The sectors of a block that is present in part.
    fn sectors(&self, block: u64, offset_bytes: u64, bitmap_at: u64) -> Result<Sectors> {
        let bits = self.bat.bits(block, bitmap_at)?;
        let extent = self.bat.extent(block, ExtentKind::Hole);
        Ok(Sectors::new(bits, &extent, offset_bytes, self.bat.sector_bytes()))
    }
}

impl Image for Reader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        let mut used = Usage::default();
        for range in &self.regions {
            used.claim_all(units(range));
        }
        let blocks = Blocks {
            reader: self,
            block: 0,
            window: Window::default(),
            used,
            bitmap: None,
            partial: None,
        };
        Box::new(Joined::new(blocks))
    }

    fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
        let block = self.bat.block_of(offset_bytes);
        let kind = match self.bat.payload_alone(block)? {
            Payload::Hole => ExtentKind::Hole,
            Payload::Zero => ExtentKind::Zero,
            Payload::Whole(offset_bytes) => ExtentKind::Data { offset_bytes },
            Payload::Partial(block_at) => {
                let bitmap_at = self.bat.bitmap(self.bat.chunk_of(block))?;
                let hole = self.bat.extent(block, ExtentKind::Hole);
                let skip = offset_bytes.saturating_sub(hole.start_bytes);
                let run = self.sectors(block, block_at, bitmap_at)?.run_around(skip);
                return Ok(run.unwrap_or(hole));
            }
        };
        Ok(self.bat.extent(block, kind))
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.bytes
    }

    fn read_extent(&self, extent: &Extent, _bench: &mut Workbench, out: &mut [u8]) -> Result<()> {
        check_buffer(extent, out)?;
        match extent.kind {
            ExtentKind::Hole | ExtentKind::Zero => out.fill(0),
            ExtentKind::Data { offset_bytes } => self.bytes.fill(out, offset_bytes)?,
            ExtentKind::Stored { .. } | ExtentKind::StoredPart { .. } => {
                return Err(not_stored(extent));
            }
        }
        Ok(())
    }

    fn stored(&self, extent: &Extent, _buf: &mut Vec<u8>) -> Result<()> {
        Err(not_stored(extent))
    }

    /// Sector bitmaps are not among them: where they are is known only from the table of blocks.
    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        Box::new(self.regions.iter().map(|range| (0, range.clone())))
    }
}

/// Nothing of a VHDX is compressed.
fn not_stored(extent: &Extent) -> Error {
    Error::malformed(Failure::NotStored(extent.start_bytes))
}

/// The mebibytes of the file that a range takes.
fn units(range: &Range<u64>) -> Range<u64> {
    range.start / MIB..range.end.div_ceil(MIB)
}

/// The blocks of a disk in guest order; one window of the table and the bits of one block are in
/// memory at a time.
struct Blocks<'a> {
    reader: &'a Reader,
    block: u64,
    window: Window,
    /// The mebibytes of the file that are in use.
    used: Usage,
    /// The last chunk whose sector bitmap was used, and where that is.
    bitmap: Option<(u64, u64)>,
    /// A block that is present in part, and how many bytes of it are done.
    partial: Option<(Sectors, u64)>,
}

impl Blocks<'_> {
    /// The extent of a block; `None` when it is present in part and comes in runs.
    fn enter(&mut self, block: u64) -> Result<Option<Extent>> {
        let bat = &self.reader.bat;
        let kind = match bat.payload(&mut self.window, block)? {
            Payload::Hole => ExtentKind::Hole,
            Payload::Zero => ExtentKind::Zero,
            Payload::Whole(offset_bytes) => {
                self.claim(block, offset_bytes)?;
                ExtentKind::Data { offset_bytes }
            }
            Payload::Partial(offset_bytes) => {
                self.claim(block, offset_bytes)?;
                let bitmap_at = self.enter_chunk(bat.chunk_of(block))?;
                self.partial = Some((self.reader.sectors(block, offset_bytes, bitmap_at)?, 0));
                return Ok(None);
            }
        };
        Ok(Some(bat.extent(block, kind)))
    }

    /// Refuses a block whose bytes are used before.
    fn claim(&mut self, index: u64, offset: u64) -> Result<()> {
        let guest = self.reader.bat.extent(index, ExtentKind::Hole);
        let end = offset.saturating_add(guest.len_bytes);
        match self.used.claim_all(units(&(offset..end))) {
            None => Ok(()),
            Some(unit) => {
                let offset = unit.saturating_mul(MIB);
                Err(Error::malformed(BlockError::Shared { index, offset }).at(offset))
            }
        }
    }

    /// Where the sector bitmap of a chunk is; it is looked up once.
    fn enter_chunk(&mut self, index: u64) -> Result<u64> {
        if let Some((chunk, at)) = self.bitmap
            && chunk == index
        {
            return Ok(at);
        }
        let offset = self.reader.bat.bitmap(index)?;
        let end = offset.saturating_add(BITMAP_BYTES);
        if self.used.claim_all(units(&(offset..end))).is_some() {
            return Err(Error::malformed(BlockError::BitmapShared { index, offset }).at(offset));
        }
        self.bitmap = Some((index, offset));
        Ok(offset)
    }

    /// The next run of a block that is present in part.
    fn next_run(&mut self) -> Option<Extent> {
        let (sectors, done) = self.partial.as_mut()?;
        let run = sectors.run(*done);
        match &run {
            Some(run) => *done = done.saturating_add(run.len_bytes),
            None => self.partial = None,
        }
        run
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(run) = self.next_run() {
                return Some(Ok(run));
            }
            let block = self.block;
            if block >= self.reader.bat.blocks() {
                return None;
            }
            self.block = block.saturating_add(1);
            match self.enter(block) {
                Ok(None) => {}
                Ok(Some(extent)) => return Some(Ok(extent)),
                Err(error) => {
                    if error.kind() == Kind::Io {
                        // What cannot be read here cannot be read for its neighbours.
                        self.block = self.reader.bat.block_behind_window(block);
                    }
                    return Some(Err(error));
                }
            }
        }
    }
}
