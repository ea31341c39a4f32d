//! Bytes that can be read at any place.

use std::{
    fs::{File, Metadata},
    io::{self, Seek as _, SeekFrom},
    ops::Range,
    os::unix::fs::FileExt as _,
    sync::Arc,
    time::SystemTime,
};

use crate::{Error, Result, fields::buffer_len};

/// Bytes of a fixed length that can be read at any place, from many threads at once.
///
/// It says where the bytes of an image lie, never what they mean.
pub trait ReadAt: Send + Sync {
    /// The number of bytes.
    fn len_bytes(&self) -> u64;

    /// Fills `buf` from `offset_bytes` on.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the range is not inside the bytes; else what the system reports.
    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()>;

    /// Finds the first range at or behind `offset_bytes` that may hold something else than zeros.
    ///
    /// `None` means that only zeros follow. The default knows nothing of holes.
    ///
    /// # Errors
    ///
    /// What the system reports.
    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
        let rest = offset_bytes..self.len_bytes();
        Ok((!rest.is_empty()).then_some(rest))
    }

    /// The file that the bytes lie in, and where in it they begin; `None` when there is no such file.
    ///
    /// The kernel can then copy them by itself.
    fn file_range(&self) -> Option<(&File, u64)> {
        None
    }

    /// Asks whether the bytes are still those that were there when they were opened.
    ///
    /// Who has read them to their end asks, since a copy of what somebody wrote to meanwhile is neither
    /// the old content nor the new. The default knows nothing of changes.
    ///
    /// # Errors
    ///
    /// They are not; else what the system reports.
    fn check_unchanged(&self) -> io::Result<()> {
        Ok(())
    }
}

impl dyn ReadAt + '_ {
    /// Fills `buf` from `offset_bytes` on; an error names the byte.
    pub(crate) fn fill(&self, buf: &mut [u8], offset_bytes: u64) -> Result<()> {
        self.read_exact_at(buf, offset_bytes).map_err(|error| Error::from(error).at(offset_bytes))
    }

    /// As [`fill`](Self::fill), but from `end_bytes` on there are zeros: `buf` may lie there whole.
    pub(crate) fn fill_padded(
        &self,
        buf: &mut [u8],
        offset_bytes: u64,
        end_bytes: u64,
    ) -> Result<()> {
        let there = buffer_len(end_bytes.saturating_sub(offset_bytes)).min(buf.len());
        let (data, padding) = buf.split_at_mut(there);
        padding.fill(0);
        if data.is_empty() { Ok(()) } else { self.fill(data, offset_bytes) }
    }
}

/// A regular file or a block device, read by `pread`.
#[derive(Debug)]
pub struct FileBytes {
    file: File,
    len_bytes: u64,
    /// When a regular file was written to last; a device says nothing of that.
    written_at: Option<SystemTime>,
}

#[derive(Debug, thiserror::Error)]
enum Changed {
    #[error("the file changed while it was read: it had {then} bytes, now it has {now}")]
    Length { then: u64, now: u64 },
    #[error("the file changed while it was read: somebody has written to it")]
    Content,
}

impl FileBytes {
    /// Takes an open file; its length is asked once and then stays what it was.
    ///
    /// # Errors
    ///
    /// When the length cannot be found out, as of a pipe.
    pub fn new(mut file: File) -> io::Result<Self> {
        let len_bytes = file.seek(SeekFrom::End(0))?;
        let written_at = written_at(&file.metadata()?)?;
        Ok(Self { file, len_bytes, written_at })
    }
}

/// When a regular file was written to last.
fn written_at(found: &Metadata) -> io::Result<Option<SystemTime>> {
    found.is_file().then(|| found.modified()).transpose()
}

impl ReadAt for FileBytes {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, offset_bytes)
    }

    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
        if offset_bytes >= self.len_bytes {
            return Ok(None);
        }
        let seek = |from| rustix::fs::seek(&self.file, from);
        match seek(rustix::fs::SeekFrom::Data(offset_bytes)) {
            Ok(start) if start >= self.len_bytes => Ok(None),
            Ok(start) => {
                // A file system that knows data but no holes: the rest is data.
                let end = seek(rustix::fs::SeekFrom::Hole(start)).unwrap_or(self.len_bytes);
                Ok(Some(start..end.min(self.len_bytes)))
            }
            // Only holes follow, or somebody has cut the file: what is gone must not read as zeros.
            Err(rustix::io::Errno::NXIO) if self.file.metadata()?.len() < self.len_bytes => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Err(rustix::io::Errno::NXIO) => Ok(None),
            Err(_) => Ok(Some(offset_bytes..self.len_bytes)),
        }
    }

    fn file_range(&self) -> Option<(&File, u64)> {
        Some((&self.file, 0))
    }

    fn check_unchanged(&self) -> io::Result<()> {
        let found = self.file.metadata()?;
        let (then, now) = (self.len_bytes, found.len());
        if found.is_file() && then != now {
            return Err(io::Error::other(Changed::Length { then, now }));
        }
        if written_at(&found)? != self.written_at {
            return Err(io::Error::other(Changed::Content));
        }
        Ok(())
    }
}

/// A window of other bytes: a member of an archive is read where it lies.
#[derive(Clone)]
pub struct Slice {
    inner: Arc<dyn ReadAt>,
    start_bytes: u64,
    len_bytes: u64,
}

impl Slice {
    /// Opens a window of `len_bytes` bytes from `start_bytes` on.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the window is not inside `inner`.
    pub fn new(inner: Arc<dyn ReadAt>, start_bytes: u64, len_bytes: u64) -> io::Result<Self> {
        match start_bytes.checked_add(len_bytes) {
            Some(end) if end <= inner.len_bytes() => Ok(Self { inner, start_bytes, len_bytes }),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl std::fmt::Debug for Slice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slice({} bytes from byte {})", self.len_bytes, self.start_bytes)
    }
}

impl ReadAt for Slice {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let start = within(self.len_bytes, buf.len(), offset_bytes)
            .and_then(|range| self.start_bytes.checked_add(range.start))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        self.inner.read_exact_at(buf, start)
    }

    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
        if offset_bytes >= self.len_bytes {
            return Ok(None);
        }
        let found = self.inner.next_data(self.start_bytes.saturating_add(offset_bytes))?;
        let here = found.map(|range| {
            let inside = |at: u64| at.saturating_sub(self.start_bytes).min(self.len_bytes);
            inside(range.start)..inside(range.end)
        });
        Ok(here.filter(|range| !range.is_empty()))
    }

    fn file_range(&self) -> Option<(&File, u64)> {
        let (file, start) = self.inner.file_range()?;
        Some((file, start.checked_add(self.start_bytes)?))
    }

    fn check_unchanged(&self) -> io::Result<()> {
        self.inner.check_unchanged()
    }
}

impl ReadAt for Vec<u8> {
    fn len_bytes(&self) -> u64 {
        self.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let bytes = usize::try_from(offset_bytes)
            .ok()
            .and_then(|start| self.get(start..start.checked_add(buf.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

/// The range of `len` bytes at `offset_bytes`, if it is inside `total_bytes`.
fn within(total_bytes: u64, len: usize, offset_bytes: u64) -> Option<Range<u64>> {
    let end = offset_bytes.checked_add(len as u64)?;
    (end <= total_bytes).then_some(offset_bytes..end)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_slice_reads_only_its_window() {
        let bytes: Arc<dyn ReadAt> = Arc::new((0..=255).collect::<Vec<u8>>());
        let slice = Slice::new(Arc::clone(&bytes), 10, 5).unwrap();
        let mut buf = [0; 3];
        slice.read_exact_at(&mut buf, 2).unwrap();
        assert_eq!(buf, [12, 13, 14]);
        for offset in [3, 5, u64::MAX] {
            let error = slice.read_exact_at(&mut buf, offset).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        assert_eq!(slice.next_data(1).unwrap(), Some(1..5));
        assert_eq!(slice.next_data(5).unwrap(), None);
        assert!(Slice::new(Arc::clone(&bytes), 250, 7).is_err());
        assert!(Slice::new(bytes, u64::MAX, 1).is_err());
    }

    #[test]
    fn a_window_of_a_window_knows_its_place_in_the_file() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[0; 100]).unwrap();
        let bytes: Arc<dyn ReadAt> = Arc::new(FileBytes::new(file).unwrap());
        let outer: Arc<dyn ReadAt> = Arc::new(Slice::new(Arc::clone(&bytes), 10, 80).unwrap());
        let inner = Slice::new(outer, 5, 50).unwrap();
        assert_eq!(inner.file_range().map(|(_, start)| start), Some(15));
        let memory: Arc<dyn ReadAt> = Arc::new(vec![0; 9]);
        assert!(Slice::new(memory, 1, 2).unwrap().file_range().is_none());
    }

    #[test]
    fn a_failed_read_names_its_byte() {
        let bytes: &dyn ReadAt = &vec![0; 10];
        let error = bytes.fill(&mut [0; 4], 7).unwrap_err();
        assert_eq!(error.to_string(), "cannot read or write the image, at byte 7");
        assert_eq!(error.kind(), crate::Kind::Io);
    }

    #[test]
    fn a_file_tells_its_holes_or_says_that_all_is_data() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 4096]).unwrap();
        file.set_len(4 << 20).unwrap();
        let bytes = FileBytes::new(file).unwrap();
        assert_eq!(bytes.len_bytes(), 4 << 20);
        let first = bytes.next_data(0).unwrap().unwrap();
        assert!(first.start == 0 && first.end >= 4096);
        assert_eq!(bytes.next_data(4 << 20).unwrap(), None);
        let mut buf = [0; 2];
        assert!(bytes.read_exact_at(&mut buf, (4 << 20) - 1).is_err());
    }

    #[test]
    fn a_file_that_is_written_to_is_not_what_was_opened() {
        let file = tempfile::tempfile().unwrap();
        let open = || {
            let bytes: Arc<dyn ReadAt> =
                Arc::new(FileBytes::new(file.try_clone().unwrap()).unwrap());
            Slice::new(bytes, 0, 0).unwrap()
        };
        let same = open();
        same.check_unchanged().unwrap();
        file.set_len(7).unwrap();
        let want = "the file changed while it was read: it had 0 bytes, now it has 7";
        assert_eq!(same.check_unchanged().unwrap_err().to_string(), want);
        let same = open();
        same.check_unchanged().unwrap();
        // A clock tick may be longer than this test.
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        let want = "the file changed while it was read: somebody has written to it";
        assert_eq!(same.check_unchanged().unwrap_err().to_string(), want);
        vec![0].check_unchanged().unwrap();
    }

    #[test]
    fn what_is_cut_off_a_file_while_it_is_read_is_no_hole() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 8192]).unwrap();
        let bytes = FileBytes::new(file.try_clone().unwrap()).unwrap();
        file.set_len(4096).unwrap();
        let error = bytes.next_data(4096).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
