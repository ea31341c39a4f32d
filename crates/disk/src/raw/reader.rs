//! A raw image that can be read at any place.

use std::{ops::Range, sync::Arc};

use crate::{
    Error, Extent, ExtentKind, Extents, Format, Image, Info, ReadAt, Result, Warning, Workbench,
    error::{Failure, Kind, MAX_CAPACITY_BYTES},
    image::check_buffer,
};

/// The unit of every disk.
const SECTOR_BYTES: u64 = 512;

/// A raw image.
pub(crate) struct Reader {
    bytes: Arc<dyn ReadAt>,
    info: Info,
}

impl Reader {
    /// Opens an image; a length that is no multiple of 512 is padded with zeros, with a warning.
    pub(crate) fn open(bytes: Arc<dyn ReadAt>) -> Result<Self> {
        let file_bytes = bytes.len_bytes();
        let (capacity_bytes, warnings) = padded(file_bytes)?;
        let info = Info {
            format: Format::Raw,
            variant: "raw".to_owned(),
            capacity_bytes,
            file_bytes,
            unit_bytes: None,
            references: Vec::new(),
            warnings,
        };
        Ok(Self { bytes, info })
    }

    /// The extent that starts at `at`: data, or the zeros up to the next data.
    fn next_extent(&self, at: u64) -> Result<Option<Extent>> {
        let capacity_bytes = self.info.capacity_bytes;
        if at >= capacity_bytes {
            return Ok(None);
        }
        // A member of an archive can begin anywhere, so a hole may begin and end inside a sector:
        // such a sector is data.
        let (end, kind) = match self.bytes.next_data(at)? {
            Some(data) => match data.start.saturating_sub(data.start % SECTOR_BYTES) {
                start if start > at => (start, ExtentKind::Zero),
                _ => (data.end, ExtentKind::Data { offset_bytes: at }),
            },
            None => (capacity_bytes, ExtentKind::Zero),
        };
        let end = end.next_multiple_of(SECTOR_BYTES).min(capacity_bytes);
        Ok(Some(Extent::new(at, end.saturating_sub(at), kind)))
    }
}

/// The capacity of a raw image of `file_bytes` bytes.
pub(crate) fn padded(file_bytes: u64) -> Result<(u64, Vec<Warning>)> {
    if file_bytes > MAX_CAPACITY_BYTES {
        return Err(Error::new(Kind::Limit, Failure::Capacity(file_bytes)));
    }
    let capacity_bytes = file_bytes.next_multiple_of(SECTOR_BYTES);
    let mut warnings = Vec::new();
    if capacity_bytes != file_bytes {
        warnings.push(Warning::interpreted(format!(
            "{file_bytes} bytes are no multiple of {SECTOR_BYTES}, padded with zeros to {capacity_bytes}"
        )));
    }
    Ok((capacity_bytes, warnings))
}

impl Image for Reader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        let mut at = 0;
        Box::new(std::iter::from_fn(move || {
            let extent = self.next_extent(at).transpose()?;
            at = extent.as_ref().map_or(u64::MAX, Extent::end_bytes);
            Some(extent)
        }))
    }

    fn read_extent(&self, extent: &Extent, _: &mut Workbench, out: &mut [u8]) -> Result<()> {
        check_buffer(extent, out)?;
        let ExtentKind::Data { offset_bytes } = extent.kind else {
            out.fill(0);
            return Ok(());
        };
        let there = self.info.file_bytes.saturating_sub(offset_bytes).min(extent.len_bytes);
        let (data, padding) = out.split_at_mut(usize::try_from(there).unwrap_or(usize::MAX));
        padding.fill(0);
        self.bytes.fill(data, offset_bytes)
    }

    fn stored(&self, extent: &Extent, _: &mut Vec<u8>) -> Result<()> {
        Err(Error::malformed(Failure::NotStored(extent.start_bytes)))
    }

    /// All of it: holes are only looked for by [`extents`](Image::extents).
    fn extent_at(&self, _offset_bytes: u64) -> Result<Extent> {
        let kind = ExtentKind::Data { offset_bytes: 0 };
        Ok(Extent::new(0, self.info.capacity_bytes, kind))
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.bytes
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        Box::new(std::iter::empty())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Bytes with one run of data, and holes around it that are cut at no sector.
    struct Holes(Range<u64>);

    impl ReadAt for Holes {
        fn len_bytes(&self) -> u64 {
            8192
        }

        fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
            for (at, byte) in (offset_bytes..).zip(buf) {
                *byte = u8::from(self.0.contains(&at));
            }
            Ok(())
        }

        fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
            let start = offset_bytes.max(self.0.start);
            Ok((start < self.0.end).then_some(start..self.0.end))
        }
    }

    #[test]
    fn keeps_the_data_beside_a_hole_that_ends_inside_a_sector() {
        for data in [1000..3000, 100..101, 511..513, 1024..2048, 0..8192, 7000..8192, 8191..8192] {
            let reader = Reader::open(Arc::new(Holes(data.clone()))).unwrap();
            let mut end = 0;
            let mut zeros = 0;
            for extent in reader.extents() {
                let extent = extent.unwrap();
                assert_eq!(extent.start_bytes, end);
                assert!(extent.len_bytes > 0 && extent.len_bytes.is_multiple_of(512));
                if extent.kind == ExtentKind::Zero {
                    let hole = extent.start_bytes..extent.end_bytes();
                    assert!(hole.end <= data.start || data.end <= hole.start, "{data:?}: {hole:?}");
                    zeros += extent.len_bytes;
                }
                end = extent.end_bytes();
            }
            assert_eq!(end, 8192);
            let sectors = data.end.next_multiple_of(512) - data.start / 512 * 512;
            assert_eq!(zeros, 8192 - sectors, "{data:?}");
        }
    }
}
