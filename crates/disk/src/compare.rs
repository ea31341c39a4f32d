//! Whether two images hold the same guest bytes.

use std::{iter::Peekable, ops::Range};

use crate::{
    Error, Extent, ExtentKind, Extents, Image, Piece, Progress, Result, Sequential, Warning,
    Workbench, check::Ranges, fields::buffer_len,
};

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The first guest byte that differs; `None` when the images are identical.
    pub first_difference_bytes: Option<u64>,
    /// That one disk is longer by a tail of zeros, which is not a difference.
    pub warnings: Vec<Warning>,
}

/// The guest bytes that are compared at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// Compares the guest bytes of two images of any format.
///
/// Where both have no content nothing is read. A disk that is longer than the other by zeros alone
/// is the same, with a warning.
///
/// # Errors
///
/// When an image is damaged or cannot be read, or when the comparison is stopped.
pub fn compare(a: &dyn Image, b: &dyn Image, progress: &dyn Progress) -> Result<Comparison> {
    let (a_bytes, b_bytes) = (a.capacity_bytes(), b.capacity_bytes());
    let end = a_bytes.max(b_bytes);
    let (mut a, mut b) = (Side::new(a), Side::new(b));
    let mut at = 0;
    while at < end {
        if progress.stopped() {
            return Err(Error::stopped());
        }
        let both_empty = a.empty_until(at)?.min(b.empty_until(at)?).min(end);
        let next = if both_empty > at {
            both_empty
        } else {
            let next = at.saturating_add(CHUNK_BYTES).min(end);
            let (in_a, in_b) = rayon::join(|| a.fill(at, next), || b.fill(at, next));
            if let Some(first) = first_difference(in_a?, in_b?) {
                let first = at.saturating_add(first as u64);
                return Ok(Comparison {
                    first_difference_bytes: Some(first),
                    warnings: Vec::new(),
                });
            }
            next
        };
        progress.advance(next.saturating_sub(at));
        at = next;
    }
    let mut warnings = Vec::new();
    if a_bytes != b_bytes {
        warnings.push(Warning::interpreted(format!(
            "the disks have {a_bytes} and {b_bytes} bytes; the longer one ends with zeros"
        )));
    }
    Ok(Comparison { first_difference_bytes: None, warnings })
}

/// Compares the guest bytes of an image that is read once with those of one that can be read at any
/// place; a longer one must end with zeros.
///
/// # Errors
///
/// When an image is damaged or cannot be read, or when the comparison is stopped.
pub fn compare_stream(
    stream: &mut dyn Sequential,
    image: &dyn Image,
    progress: &dyn Progress,
) -> Result<Option<u64>> {
    let (mut bench, mut wanted, mut found) = (Workbench::new(), Vec::new(), Vec::new());
    let (mut piece, mut seen) = (Piece::default(), Ranges::default());
    while stream.next(&mut piece)? {
        if progress.stopped() {
            return Err(Error::stopped());
        }
        wanted.resize(buffer_len(piece.len_bytes), 0);
        piece.decode(&mut bench, &mut wanted)?;
        let end = piece.start_bytes.saturating_add(piece.len_bytes);
        // Behind the image there may be zeros only.
        let inside = end.min(image.capacity_bytes()).saturating_sub(piece.start_bytes);
        found.clear();
        found.resize(buffer_len(inside), 0);
        if !found.is_empty() {
            image.read_at(&mut found, piece.start_bytes)?;
        }
        found.resize(wanted.len(), 0);
        if let Some(first) = first_difference(&wanted, &found) {
            return Ok(Some(piece.start_bytes.saturating_add(first as u64)));
        }
        seen.claim(piece.start_bytes..end);
        progress.advance(piece.len_bytes);
    }
    let mut side = Side::new(image);
    for gap in seen.gaps(image.capacity_bytes()) {
        if let Some(first) = first_content(&mut side, gap, progress)? {
            return Ok(Some(first));
        }
    }
    Ok(None)
}

/// The first byte of a range that is not zero; the ranges of one side come in order.
fn first_content(
    side: &mut Side<'_>,
    range: Range<u64>,
    progress: &dyn Progress,
) -> Result<Option<u64>> {
    let Range { start: mut at, end } = range;
    while at < end {
        if progress.stopped() {
            return Err(Error::stopped());
        }
        let empty = side.empty_until(at)?.min(end);
        let next = if empty > at { empty } else { at.saturating_add(CHUNK_BYTES).min(end) };
        if empty == at {
            let first = side.fill(at, next)?.iter().position(|byte| *byte != 0);
            if let Some(first) = first {
                return Ok(Some(at.saturating_add(first as u64)));
            }
        }
        progress.advance(next.saturating_sub(at));
        at = next;
    }
    Ok(None)
}

/// The place of the first byte that differs, in two slices of one length.
fn first_difference(a: &[u8], b: &[u8]) -> Option<usize> {
    if a == b { None } else { a.iter().zip(b).position(|(a, b)| a != b) }
}

/// One of the two images, read in guest order.
struct Side<'a> {
    image: &'a dyn Image,
    extents: Peekable<Extents<'a>>,
    bench: Workbench,
    grain: Vec<u8>,
    /// The start of the grain that is decoded in `grain`.
    grain_start: Option<u64>,
    chunk: Vec<u8>,
}

impl<'a> Side<'a> {
    fn new(image: &'a dyn Image) -> Self {
        let extents = image.extents().peekable();
        let (bench, grain, chunk) = (Workbench::new(), Vec::new(), Vec::new());
        Self { image, extents, bench, grain, grain_start: None, chunk }
    }

    /// The extent around `at`; `None` behind the capacity.
    fn extent(&mut self, at: u64) -> Result<Option<Extent>> {
        let done =
            |extent: &Result<Extent>| extent.as_ref().is_ok_and(|extent| extent.end_bytes() <= at);
        while self.extents.next_if(done).is_some() {}
        match self.extents.next_if(Result::is_err) {
            Some(error) => error.map(Some),
            None => Ok(self.extents.peek().and_then(|extent| extent.as_ref().ok()).copied()),
        }
    }

    /// The byte up to which there is no content from `at` on; `at` itself when there is some.
    fn empty_until(&mut self, at: u64) -> Result<u64> {
        Ok(match self.extent(at)? {
            None => u64::MAX,
            Some(Extent { kind: ExtentKind::Zero | ExtentKind::Hole, .. }) => {
                self.extent(at)?.map_or(at, |extent| extent.end_bytes())
            }
            Some(_) => at,
        })
    }

    /// The guest bytes from `at` to `end`, with zeros behind the capacity.
    fn fill(&mut self, at: u64, end: u64) -> Result<&[u8]> {
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.clear();
        chunk.resize(buffer_len(end.saturating_sub(at)), 0);
        let mut here = at;
        let mut rest = &mut chunk[..];
        while !rest.is_empty() {
            let Some(extent) = self.extent(here)? else { break };
            let len = extent.end_bytes().saturating_sub(here).min(rest.len() as u64);
            let (part, behind) = rest.split_at_mut(buffer_len(len));
            self.read(&extent, here, part)?;
            rest = behind;
            here = here.saturating_add(len);
        }
        self.chunk = chunk;
        Ok(&self.chunk)
    }

    /// Reads a part of one extent.
    fn read(&mut self, extent: &Extent, at: u64, part: &mut [u8]) -> Result<()> {
        let skip = at.saturating_sub(extent.start_bytes);
        if !matches!(extent.kind, ExtentKind::Stored { .. }) {
            let wanted = if skip == 0 { Some(*extent) } else { extent.split(skip).1 };
            return wanted.map_or(Ok(()), |wanted| {
                let wanted = wanted.split(part.len() as u64).0;
                self.image.read_extent(&wanted, &mut self.bench, part)
            });
        }
        if self.grain_start != Some(extent.start_bytes) {
            self.grain.resize(buffer_len(extent.len_bytes), 0);
            self.image.read_extent(extent, &mut self.bench, &mut self.grain)?;
            self.grain_start = Some(extent.start_bytes);
        }
        let decoded = self.grain.get(buffer_len(skip)..).and_then(|rest| rest.get(..part.len()));
        if let Some(decoded) = decoded {
            part.copy_from_slice(decoded);
        }
        Ok(())
    }
}
