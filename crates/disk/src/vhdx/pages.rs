//! What a log says of the file, laid above it.

use std::{collections::BTreeMap, io, ops::Range, sync::Arc};

use crate::{Error, ReadAt, Result, error::Kind, fields::buffer_len};

/// The bytes of a page: the unit in which a log describes the file.
pub(super) const PAGE_BYTES: u64 = PAGE_LEN as u64;
const PAGE_LEN: usize = 4096;

/// The most pages and runs of zeros that are kept: the limit of this product, about 6 MiB of memory.
///
/// It is what a log of 2 MiB can say at most; logs in use have 1 MiB.
const MAX_PATCHES: usize = 1 << 16;

/// The bytes of a file, and above them the pages and zeros of its log.
///
/// A page is not copied: its bytes stay in the log, where they are read when they are wanted.
pub(super) struct Patched {
    file: Arc<dyn ReadAt>,
    len_bytes: u64,
    /// By their first byte; none overlaps another.
    patches: BTreeMap<u64, Patch>,
}

/// A range of the file that reads as something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Patch {
    end: u64,
    content: Content,
}

/// What a range of the file reads as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Zeros.
    Zero,
    /// One page.
    Page(Page),
}

/// A page, of which all but the ends is in a data sector of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Page {
    /// The first 8 bytes.
    pub(super) first: [u8; 8],
    /// The byte of the file that the data sector starts at; the page's bytes are at their own places
    /// in it.
    pub(super) sector_at: u64,
    /// The last 4 bytes.
    pub(super) last: [u8; 4],
}

#[derive(Debug, thiserror::Error)]
enum PageError {
    #[error("the log writes bytes {start}..{end} of a file that ends at byte {len_bytes}")]
    Outside { start: u64, end: u64, len_bytes: u64 },
    #[error("the log holds more than {MAX_PATCHES} pages and runs of zeros")]
    TooMany,
}

impl Patched {
    /// Lays nothing above `file`, which reads as if it had `len_bytes` bytes, the further ones zeros.
    pub(super) fn new(file: Arc<dyn ReadAt>, len_bytes: u64) -> Self {
        let len_bytes = len_bytes.max(file.len_bytes());
        Self { file, len_bytes, patches: BTreeMap::new() }
    }

    /// Lays `content` above everything that was there before.
    ///
    /// `range` is a multiple of pages, and one page when a page is its content.
    ///
    /// # Errors
    ///
    /// When the range is not inside the file, or when there are too many.
    pub(super) fn put(&mut self, range: Range<u64>, content: Content) -> Result<()> {
        let Range { start, end } = range;
        if start > end || end > self.len_bytes {
            let leaf = PageError::Outside { start, end, len_bytes: self.len_bytes };
            return Err(Error::malformed(leaf).at(start));
        }
        if start == end {
            return Ok(());
        }
        self.clear(range);
        if self.patches.len() >= MAX_PATCHES {
            return Err(Error::new(Kind::Limit, PageError::TooMany).at(start));
        }
        self.patches.insert(start, Patch { end, content });
        Ok(())
    }

    /// Takes away what lies in `range`; only runs of zeros can stick out of it, and those are cut.
    fn clear(&mut self, range: Range<u64>) {
        while let Some((&start, &patch)) =
            self.patches.range(..range.end).next_back().filter(|(_, patch)| patch.end > range.start)
        {
            self.patches.remove(&start);
            if start < range.start {
                self.patches.insert(start, Patch { end: range.start, ..patch });
            }
            if patch.end > range.end {
                self.patches.insert(range.end, patch);
            }
        }
    }

    /// How the byte at `at` reads, and up to where it goes on like this; `None` is the file itself.
    fn run(&self, at: u64) -> (Option<(u64, Content)>, u64) {
        let around = self.patches.range(..=at).next_back().filter(|(_, patch)| patch.end > at);
        match around {
            Some((&start, patch)) => (Some((start, patch.content)), patch.end),
            None => {
                let next = self.patches.range(at..).next();
                (None, next.map_or(self.len_bytes, |(&start, _)| start))
            }
        }
    }

    /// Reads bytes of the file; behind its end there are zeros.
    fn read_file(&self, part: &mut [u8], at: u64) -> io::Result<()> {
        let there = self.file.len_bytes().saturating_sub(at).min(part.len() as u64);
        let (front, behind) = part.split_at_mut(buffer_len(there));
        behind.fill(0);
        if front.is_empty() { Ok(()) } else { self.file.read_exact_at(front, at) }
    }
}

impl Page {
    /// Reads the part of the page that starts at its byte `skip`.
    fn read(&self, file: &dyn ReadAt, part: &mut [u8], skip: u64) -> io::Result<()> {
        let mut page = [0; PAGE_LEN];
        file.read_exact_at(&mut page, self.sector_at)?;
        if let Some(first) = page.first_chunk_mut() {
            *first = self.first;
        }
        if let Some(last) = page.last_chunk_mut() {
            *last = self.last;
        }
        let wanted = page.get(buffer_len(skip)..).and_then(|rest| rest.get(..part.len()));
        part.copy_from_slice(wanted.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl ReadAt for Patched {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let end = offset_bytes.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len_bytes) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (mut rest, mut at) = (buf, offset_bytes);
        while !rest.is_empty() {
            let (found, run_end) = self.run(at);
            let here = run_end.saturating_sub(at).min(rest.len() as u64);
            let (part, behind) = rest.split_at_mut(buffer_len(here));
            match found {
                None => self.read_file(part, at)?,
                Some((_, Content::Zero)) => part.fill(0),
                Some((start, Content::Page(page))) => {
                    page.read(&*self.file, part, at.saturating_sub(start))?;
                }
            }
            rest = behind;
            at = at.saturating_add(here);
        }
        Ok(())
    }

    fn check_unchanged(&self) -> io::Result<()> {
        self.file.check_unchanged()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = PAGE_LEN;

    /// A file of eight pages, page n full of n + 1.
    fn file() -> Vec<u8> {
        (0..8 * PAGE).map(|at| (at / PAGE) as u8 + 1).collect()
    }

    fn pages(range: Range<u64>) -> Range<u64> {
        range.start * PAGE_BYTES..range.end * PAGE_BYTES
    }

    /// A page of which the middle is page 7 of the file.
    const NEW: Content =
        Content::Page(Page { first: [0xaa; 8], sector_at: 7 * PAGE_BYTES, last: [0xbb; 4] });

    fn read(patched: &Patched) -> Vec<u8> {
        let mut all = vec![0xee; patched.len_bytes() as usize];
        patched.read_exact_at(&mut all, 0).unwrap();
        for (at, len) in [(0, 1), (4090, 10), (4095, 2), (PAGE, PAGE), (3, 3 * PAGE), (8191, 1)] {
            let mut part = vec![0xee; len];
            patched.read_exact_at(&mut part, at as u64).unwrap();
            assert_eq!(part, all[at..at + len], "{len} bytes at {at}");
        }
        all
    }

    fn new_page() -> Vec<u8> {
        [&[0xaa; 8][..], &[8; PAGE - 12], &[0xbb; 4]].concat()
    }

    #[test]
    fn what_comes_later_lies_above() {
        let mut patched = Patched::new(Arc::new(file()), 0);
        let mut want = file();
        assert_eq!(read(&patched), want);
        patched.put(pages(1..6), Content::Zero).unwrap();
        want[PAGE..6 * PAGE].fill(0);
        assert_eq!(read(&patched), want);
        patched.put(pages(3..4), NEW).unwrap();
        want[3 * PAGE..4 * PAGE].copy_from_slice(&new_page());
        assert_eq!(read(&patched), want);
        assert_eq!(patched.patches.len(), 3);
        patched.put(pages(2..5), Content::Zero).unwrap();
        want[2 * PAGE..5 * PAGE].fill(0);
        assert_eq!(read(&patched), want);
        patched.put(pages(0..1), NEW).unwrap();
        patched.put(pages(0..1), NEW).unwrap();
        want[..PAGE].copy_from_slice(&new_page());
        assert_eq!(read(&patched), want);
        patched.put(pages(0..8), Content::Zero).unwrap();
        assert_eq!((read(&patched), patched.patches.len()), (vec![0; 8 * PAGE], 1));
    }

    #[test]
    fn a_file_that_has_grown_ends_with_zeros() {
        let mut patched = Patched::new(Arc::new(file()), 10 * PAGE_BYTES);
        let mut want = file();
        want.resize(10 * PAGE, 0);
        assert_eq!(read(&patched), want);
        patched.put(pages(9..10), NEW).unwrap();
        want[9 * PAGE..].copy_from_slice(&new_page());
        assert_eq!(read(&patched), want);
        assert!(patched.read_exact_at(&mut [0; 2], 10 * PAGE_BYTES - 1).is_err());
        assert!(patched.read_exact_at(&mut [0; 2], u64::MAX).is_err());
    }

    #[test]
    fn refuses_what_is_outside_the_file_and_what_takes_too_much_memory() {
        let mut patched = Patched::new(Arc::new(file()), 0);
        let want =
            "the log writes bytes 32768..36864 of a file that ends at byte 32768, at byte 32768";
        assert_eq!(patched.put(pages(8..9), NEW).unwrap_err().to_string(), want);
        let far = (2 * MAX_PATCHES as u64 + 2) * PAGE_BYTES;
        let mut patched = Patched::new(Arc::new(file()), far);
        for page in 0..MAX_PATCHES as u64 {
            patched.put(pages(2 * page..2 * page + 1), Content::Zero).unwrap();
        }
        let last = 2 * MAX_PATCHES as u64;
        let error = patched.put(pages(last..last + 1), Content::Zero).unwrap_err();
        let want = "the log holds more than 65536 pages and runs of zeros, at byte 536870912";
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Limit, want));
        patched.put(pages(0..last), Content::Zero).unwrap();
        assert_eq!(patched.patches.len(), 1);
    }
}
