//! A fixed disk: the guest's bytes, then the footer.

use std::{ops::Range, sync::Arc};

use super::footer::Found;
use crate::{Error, Extent, Extents, Format, Image, Info, ReadAt, Result, Slice, Workbench, raw};

/// A fixed VHD: the bytes before the footer are read as a raw image.
pub(super) struct Fixed {
    bytes: Arc<dyn ReadAt>,
    data: raw::Reader,
    footer: Range<u64>,
    info: Info,
}

#[derive(Debug, thiserror::Error)]
#[error("a fixed disk of {said} bytes, its footer starts at byte {found}")]
struct LengthError {
    said: u64,
    found: u64,
}

impl Fixed {
    /// Opens a disk whose footer was found at the end of the file.
    ///
    /// # Errors
    ///
    /// When the bytes before the footer are not as many as the current size.
    pub(super) fn open(bytes: Arc<dyn ReadAt>, found: Found) -> Result<Self> {
        let (said, footer_at) = (found.footer.capacity_bytes(), found.offset_bytes);
        if said != footer_at {
            let leaf = LengthError { said, found: footer_at };
            return Err(Error::malformed(leaf).at(footer_at.saturating_add(48)));
        }
        let data = raw::Reader::open(Arc::new(Slice::new(Arc::clone(&bytes), 0, said)?))?;
        let file_bytes = bytes.len_bytes();
        let info = Info {
            format: Format::Vhd,
            variant: "fixed".to_owned(),
            capacity_bytes: said,
            file_bytes,
            unit_bytes: None,
            references: Vec::new(),
            warnings: found.warnings,
        };
        Ok(Self { bytes, data, footer: footer_at..file_bytes, info })
    }
}

impl Image for Fixed {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        self.data.extents()
    }

    fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
        self.data.extent_at(offset_bytes)
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.bytes
    }

    fn read_extent(&self, extent: &Extent, bench: &mut Workbench, out: &mut [u8]) -> Result<()> {
        self.data.read_extent(extent, bench, out)
    }

    fn stored(&self, extent: &Extent, buf: &mut Vec<u8>) -> Result<()> {
        self.data.stored(extent, buf)
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        Box::new(std::iter::once((0, self.footer.clone())))
    }
}
