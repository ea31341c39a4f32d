//! A dynamic or differencing disk that can be read at any place.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    bat::{Bat, Block, Blocks},
    bitmap::{Bitmap, Runs},
    footer::{DiskType, Found},
    header::Header,
    parent::Parent,
};
use crate::{
    Error, Extent, ExtentKind, Extents, Format, Image, Info, ReadAt, Reference, Result, Role,
    Workbench,
    error::Failure,
    fields::buffer_len,
    image::{Joined, check_buffer},
};

/// A disk of blocks. Of a differencing one it shows only what it has itself: the rest is holes.
pub(super) struct Reader {
    bytes: Arc<dyn ReadAt>,
    bat: Bat,
    parent: Option<Parent>,
    /// Footers, headers, the BAT, and the names of a parent.
    fixed: Vec<Range<u64>>,
    info: Info,
    /// The last bitmap that [`Image::extent_at`] used, and where it lies.
    last: Mutex<Option<(u64, Bitmap)>>,
}

impl Reader {
    /// Opens a disk that is not fixed: its header is read and checked, its BAT is not read yet.
    pub(super) fn open(bytes: Arc<dyn ReadAt>, found: Found) -> Result<Self> {
        let header = Header::read(&*bytes, &found)?;
        let parent = match found.footer.disk_type() {
            DiskType::Differencing => Some(Parent::read(&*bytes, &header)?),
            DiskType::Fixed | DiskType::Dynamic => None,
        };
        let capacity_bytes = found.footer.capacity_bytes();
        let mut fixed = found.ranges;
        fixed.extend([header.range(), header.bat_range()]);
        if parent.is_some() {
            fixed.extend(header.locators().iter().map(super::locator::Locator::range));
        }
        let names = parent.iter().flat_map(Parent::names);
        let references = names
            .map(|name| Reference { role: Role::Parent.as_str(), name: name.text().to_owned() })
            .collect();
        let info = Info {
            format: Format::Vhd,
            variant: if parent.is_some() { "differencing" } else { "dynamic" }.to_owned(),
            capacity_bytes,
            file_bytes: bytes.len_bytes(),
            unit_bytes: Some(header.block_bytes()),
            references,
            warnings: found.warnings,
        };
        let bat = Bat::new(&header, capacity_bytes, found.data_end_bytes, fixed.clone());
        Ok(Self { bytes, bat, parent, fixed, info, last: Mutex::default() })
    }

    /// The parent of a differencing disk, which is not opened yet.
    pub(super) fn parent(&self) -> Option<&Parent> {
        self.parent.as_ref()
    }

    /// What the disk has of a block. The bitmap of a dynamic disk is not asked: a block that is
    /// there has data, and some writers leave the bitmap unset.
    fn runs(&self, block: &Block) -> Result<Runs> {
        let Some(range) = block.bitmap.as_ref().filter(|_| self.parent.is_some()) else {
            return Ok(Runs::whole(block.extent));
        };
        let mut bitmap = vec![0; buffer_len(range.end.saturating_sub(range.start))];
        self.bytes.fill(&mut bitmap, range.start)?;
        Ok(Runs::marked(block.extent, Bitmap::new(bitmap)))
    }

    /// As [`runs`](Self::runs), for reads in any order.
    fn cached_runs(&self, block: &Block) -> Result<Runs> {
        let lock = || self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = block.bitmap.as_ref().map(|range| range.start) else {
            return self.runs(block);
        };
        if let Some((cached, bitmap)) = &*lock()
            && *cached == at
        {
            return Ok(Runs::marked(block.extent, bitmap.clone()));
        }
        let runs = self.runs(block)?;
        if let Some(bitmap) = runs.bitmap() {
            *lock() = Some((at, bitmap.clone()));
        }
        Ok(runs)
    }
}

impl Image for Reader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        let blocks = self.bat.blocks(&*self.bytes);
        Box::new(Joined::new(Parts { reader: self, blocks, runs: None }))
    }

    fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
        let block = self.bat.block(&*self.bytes, offset_bytes)?;
        let found = self.cached_runs(&block)?.find(|run| run.end_bytes() > offset_bytes);
        Ok(found.unwrap_or(block.extent))
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

    /// The bitmaps come from the BAT, which is read for them; blocks whose entry is damaged are left
    /// out, since [`extents`](Image::extents) tells of them.
    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        let blocks = self.bat.blocks(&*self.bytes);
        let bitmaps = blocks.filter_map(|block| block.ok()?.bitmap);
        Box::new(self.fixed.iter().cloned().chain(bitmaps).map(|range| (0, range)))
    }
}

/// The extents of a disk in guest order; one window of the BAT and one bitmap are in memory.
struct Parts<'a> {
    reader: &'a Reader,
    blocks: Blocks<'a>,
    runs: Option<Runs>,
}

impl Iterator for Parts<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(run) = self.runs.as_mut().and_then(Runs::next) {
                return Some(Ok(run));
            }
            let block = self.blocks.next()?;
            match block.and_then(|block| self.reader.runs(&block)) {
                Ok(runs) => self.runs = Some(runs),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
