//! A raw image that can be read at any place.

use std::{ops::Range, sync::Arc};

use crate::{
    Error, Extent, ExtentKind, Extents, Format, Image, Info, ReadAt, Result, Warning, Workbench,
    error::{Failure, Kind, MAX_CAPACITY_BYTES},
    image::check_buffer,
};

/// The unit of every disk.
const SECTOR_BYTES: u64 = 512;

/// A raw image: a whole file, or a window of one.
pub(crate) struct Reader {
    bytes: Arc<dyn ReadAt>,
    /// The byte of the file that the disk begins with.
    start_bytes: u64,
    /// The byte of the file behind the last one of the disk.
    end_bytes: u64,
    info: Info,
}

#[derive(Debug, thiserror::Error)]
#[error("{len_bytes} bytes from byte {start_bytes} on are not inside the file of {file_bytes}")]
struct OutsideFile {
    start_bytes: u64,
    len_bytes: u64,
    file_bytes: u64,
}

impl Reader {
    /// Opens an image; a length that is no multiple of 512 is padded with zeros, with a warning.
    pub(crate) fn open(bytes: Arc<dyn ReadAt>) -> Result<Self> {
        let file_bytes = bytes.len_bytes();
        Self::of(bytes, 0, file_bytes)
    }

    /// Opens a part of a file as a disk: its extents name the bytes of the file.
    ///
    /// # Errors
    ///
    /// When the part is not inside the file.
    pub(crate) fn window(bytes: Arc<dyn ReadAt>, start_bytes: u64, len_bytes: u64) -> Result<Self> {
        let file_bytes = bytes.len_bytes();
        match start_bytes.checked_add(len_bytes) {
            Some(end_bytes) if end_bytes <= file_bytes => Self::of(bytes, start_bytes, end_bytes),
            _ => Err(Error::malformed(OutsideFile { start_bytes, len_bytes, file_bytes })),
        }
    }

    fn of(bytes: Arc<dyn ReadAt>, start_bytes: u64, end_bytes: u64) -> Result<Self> {
        let (capacity_bytes, warnings) = padded(end_bytes.saturating_sub(start_bytes))?;
        let info = Info {
            format: Format::Raw,
            variant: "raw".to_owned(),
            capacity_bytes,
            file_bytes: bytes.len_bytes(),
            unit_bytes: None,
            references: Vec::new(),
            warnings,
        };
        Ok(Self { bytes, start_bytes, end_bytes, info })
    }

    /// The extent that starts at `at`: data, or the zeros up to the next data.
    fn next_extent(&self, at: u64) -> Result<Option<Extent>> {
        let capacity_bytes = self.info.capacity_bytes;
        if at >= capacity_bytes {
            return Ok(None);
        }
        let offset_bytes = self.start_bytes.saturating_add(at);
        let in_disk = |offset: u64| offset.saturating_sub(self.start_bytes);
        // A member of an archive can begin anywhere, so a hole may begin and end inside a sector:
        // such a sector is data.
        let (end, kind) = match self.bytes.next_data(offset_bytes)? {
            Some(data) => {
                let start = in_disk(data.start);
                match start.saturating_sub(start % SECTOR_BYTES) {
                    start if start > at => (start, ExtentKind::Zero),
                    _ => (in_disk(data.end), ExtentKind::Data { offset_bytes }),
                }
            }
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
        self.bytes.fill_padded(out, offset_bytes, self.end_bytes)
    }

    /// All of it: holes are only looked for by [`extents`](Image::extents).
    fn extent_at(&self, _offset_bytes: u64) -> Result<Extent> {
        let kind = ExtentKind::Data { offset_bytes: self.start_bytes };
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

    #[test]
    fn a_window_names_the_bytes_of_its_file() {
        for data in [1000..3000, 100..101, 2047..2049, 4000..4097, 0..8192, 7000..8192] {
            let reader = Reader::window(Arc::new(Holes(data.clone())), 2048, 2048).unwrap();
            assert_eq!(reader.capacity_bytes(), 2048);
            let mut disk = vec![0xee; 2048];
            for extent in reader.extents().map(Result::unwrap) {
                let range = extent.start_bytes as usize..extent.end_bytes() as usize;
                if let ExtentKind::Data { offset_bytes } = extent.kind {
                    assert_eq!(offset_bytes, 2048 + extent.start_bytes);
                }
                reader.read_extent(&extent, &mut Workbench::new(), &mut disk[range]).unwrap();
            }
            let want: Vec<_> = (2048..4096).map(|at| u8::from(data.contains(&at))).collect();
            assert_eq!(disk, want, "{data:?}");
            let mut again = vec![0xee; 2000];
            reader.read_at(&mut again, 48).unwrap();
            assert_eq!(again, want[48..]);
        }
        for (start, len) in [(8192, 512), (0, 8704), (u64::MAX, 2)] {
            let error = Reader::window(Arc::new(Holes(0..1)), start, len).err().unwrap();
            let want = format!("{len} bytes from byte {start} on are not inside the file of 8192");
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn reads_what_lies_in_the_padding_alone() {
        let reader = Reader::open(Arc::new(vec![7; 700])).unwrap();
        for (at, want) in
            [(600, vec![7; 100]), (690, vec![7; 10]), (700, Vec::new()), (1000, Vec::new())]
        {
            let mut part = vec![0xee; 1024 - at];
            reader.read_at(&mut part, at as u64).unwrap();
            assert_eq!(part[..want.len()], want);
            assert!(crate::is_zero(&part[want.len()..]), "from byte {at} on");
        }
    }
}
