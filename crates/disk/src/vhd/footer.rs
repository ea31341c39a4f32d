//! The footer, and its copy at byte 0.

use std::ops::Range;

use super::geometry::Geometry;
use crate::{
    Error, Kind, ReadAt, Result, Warning,
    error::{Failure, MAX_CAPACITY_BYTES},
    fields::{be32, be64},
    uuid::Uuid,
};

/// The size of a footer.
pub(super) const FOOTER_BYTES: u64 = 512;

/// The size of a footer that versions of Virtual PC before 2004 wrote.
const OLD_FOOTER_BYTES: u64 = 511;

/// The first bytes of a footer.
const COOKIE: &[u8; 8] = b"conectix";

/// The only version that there is.
const VERSION: u32 = 0x0001_0000;

/// The unit of every disk.
const SECTOR_BYTES: u64 = 512;

/// The size that Microsoft's own tools end at: 2040 GiB.
const MAX_STATED_BYTES: u64 = 2040 << 30;

/// How a disk is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DiskType {
    /// The guest's bytes, then the footer.
    Fixed,
    /// Blocks as the guest wrote them.
    Dynamic,
    /// Blocks of what differs from a parent.
    Differencing,
}

/// A validated footer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Footer {
    disk_type: DiskType,
    capacity_bytes: u64,
    header_offset_bytes: u64,
    geometry: Geometry,
    uuid: Uuid,
    is_suspended: bool,
}

/// The footer of a file: the one that counts, and where footers lie.
#[derive(Debug)]
pub(super) struct Found {
    /// The footer.
    pub(super) footer: Footer,
    /// Where it was read.
    pub(super) offset_bytes: u64,
    /// Where nothing but footers may lie.
    pub(super) ranges: Vec<Range<u64>>,
    /// Where the footer at the end starts, or where the file ends when it has none.
    pub(super) data_end_bytes: u64,
    /// What was tolerated.
    pub(super) warnings: Vec<Warning>,
}

/// The bytes of a footer that are not yet believed.
struct Candidate {
    raw: [u8; 512],
    range: Range<u64>,
}

/// Why the bytes of a footer are not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Flaw {
    #[error("it does not start with conectix")]
    Cookie,
    #[error("its checksum is {said:#010x}, that of its bytes is {found:#010x}")]
    Checksum { said: u32, found: u32 },
}

/// What is wrong with the footer, or what it asks for that is not read.
#[derive(Debug, thiserror::Error)]
enum FooterError {
    #[error("the footer at the end is damaged ({end}), and so is its copy at byte 0 ({copy})")]
    Both { end: Flaw, copy: Flaw },
    #[error("the footer of a fixed disk is damaged ({0}), and it has no copy")]
    Fixed(Flaw),
    #[error("the copy of the footer is that of a fixed disk, which has none")]
    FixedCopy,
    #[error("footer version {0:#010x} is not {VERSION:#010x}")]
    Version(u32),
    #[error("disk type {0} is none of 2 (fixed), 3 (dynamic) and 4 (differencing)")]
    DiskType(u32),
    #[error("a current size of {0} bytes is no multiple of {SECTOR_BYTES}")]
    Unaligned(u64),
}

impl Footer {
    pub(super) fn disk_type(&self) -> DiskType {
        self.disk_type
    }

    /// The current size, a multiple of 512.
    pub(super) fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    /// Where a disk that is not fixed says that its dynamic header is; not checked.
    pub(super) fn header_offset_bytes(&self) -> u64 {
        self.header_offset_bytes
    }

    pub(super) fn uuid(&self) -> Uuid {
        self.uuid
    }

    /// Decodes and validates the footer of a candidate that has no flaw.
    fn parse(candidate: &Candidate) -> Result<Self> {
        let raw = &candidate.raw;
        let at = |field| candidate.range.start.saturating_add(field);
        let u32_at = |field| be32(raw, field).unwrap_or_default();
        let u64_at = |field| be64(raw, field).unwrap_or_default();
        let version = u32_at(12);
        if version != VERSION {
            return Err(Error::unsupported(FooterError::Version(version)).at(at(12)));
        }
        let disk_type = match u32_at(60) {
            2 => DiskType::Fixed,
            3 => DiskType::Dynamic,
            4 => DiskType::Differencing,
            other => return Err(Error::unsupported(FooterError::DiskType(other)).at(at(60))),
        };
        let capacity_bytes = u64_at(48);
        if capacity_bytes > MAX_CAPACITY_BYTES {
            return Err(Error::new(Kind::Limit, Failure::Capacity(capacity_bytes)).at(at(48)));
        }
        if !capacity_bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(Error::malformed(FooterError::Unaligned(capacity_bytes)).at(at(48)));
        }
        Ok(Self {
            disk_type,
            capacity_bytes,
            header_offset_bytes: u64_at(16),
            geometry: Geometry::new(u32_at(56).to_be_bytes()),
            uuid: Uuid::big_endian(
                *raw.get(68..).and_then(<[u8]>::first_chunk).unwrap_or(&[0; 16]),
            ),
            is_suspended: raw.get(84) == Some(&1),
        })
    }

    /// What is odd about it; `at` is where it lies.
    fn warnings(&self, at: u64) -> Vec<Warning> {
        let field = |field| at.saturating_add(field);
        let mut warnings = Vec::new();
        let capacity_bytes = self.capacity_bytes;
        if capacity_bytes > MAX_STATED_BYTES {
            let message = format!(
                "a current size of {capacity_bytes} bytes is over {MAX_STATED_BYTES}, the format's own limit"
            );
            warnings.push(Warning::defect(field(48), message));
        }
        if let Some(size_bytes) = self.geometry.other_size(capacity_bytes) {
            warnings.push(Warning::interpreted(format!(
                "the geometry {} gives {size_bytes} bytes, the current size of {capacity_bytes} counts",
                self.geometry
            )));
        }
        if self.is_suspended {
            let message = "the machine was suspended: its saved state is not carried over";
            warnings.push(Warning::oddity(field(84), message));
        }
        warnings
    }
}

impl Found {
    /// Looks for the footer at the end and, for what is not fixed, for its copy at byte 0.
    ///
    /// One good copy is enough. A fixed disk has only the one at the end: what lies at byte 0 is the
    /// guest's, which could write a footer there.
    ///
    /// # Errors
    ///
    /// When no copy is sound, or the sound one has a version, type or size that is not read.
    pub(super) fn search(bytes: &dyn ReadAt) -> Result<Self> {
        let file_bytes = bytes.len_bytes();
        let end = at_end(bytes)?;
        let data_end_bytes = end.as_ref().map_or(file_bytes, |end| end.range.start);
        let mut ranges: Vec<_> = end.iter().map(|end| end.range.clone()).collect();
        let mut warnings = Vec::new();
        let flaw = end.as_ref().map_or(Some(Flaw::Cookie), Candidate::flaw);
        let chosen = match (end, flaw) {
            (Some(end), None) if end.is_fixed() => end,
            (Some(end), None) => {
                warnings.extend(end.difference(&Candidate::read(bytes, 0, FOOTER_BYTES)?));
                ranges.push(0..FOOTER_BYTES);
                end
            }
            (end, flaw) => {
                let flaw = flaw.unwrap_or(Flaw::Cookie);
                if let Some(end) = end.filter(Candidate::is_fixed) {
                    return Err(Error::malformed(FooterError::Fixed(flaw)).at(end.range.start));
                }
                let at = data_end_bytes;
                let copy = copy_instead(bytes, &flaw, at)?;
                let message = format!("the footer is damaged ({flaw}), its copy at byte 0 counts");
                warnings.push(Warning::defect(at, message));
                ranges.push(copy.range.clone());
                copy
            }
        };
        let footer = Footer::parse(&chosen)?;
        let offset_bytes = chosen.range.start;
        warnings.extend(footer.warnings(offset_bytes));
        Ok(Self { footer, offset_bytes, ranges, data_end_bytes, warnings })
    }
}

/// The footer at the end, if one starts with the cookie there.
fn at_end(bytes: &dyn ReadAt) -> Result<Option<Candidate>> {
    for len_bytes in [FOOTER_BYTES, OLD_FOOTER_BYTES] {
        if let Some(offset) = bytes.len_bytes().checked_sub(len_bytes) {
            let candidate = Candidate::read(bytes, offset, len_bytes)?;
            if candidate.flaw() != Some(Flaw::Cookie) {
                return Ok(Some(candidate));
            }
        }
    }
    Ok(None)
}

/// The copy at byte 0, for a file whose footer has a flaw at byte `at`.
fn copy_instead(bytes: &dyn ReadAt, flaw: &Flaw, at: u64) -> Result<Candidate> {
    let copy = Candidate::read(bytes, 0, FOOTER_BYTES)?;
    if let Some(copy) = copy.flaw() {
        return Err(Error::malformed(FooterError::Both { end: flaw.clone(), copy }).at(at));
    }
    if copy.is_fixed() {
        return Err(Error::malformed(FooterError::FixedCopy).at(60));
    }
    Ok(copy)
}

impl Candidate {
    /// Reads a footer; what a short file or an old footer lacks is zeros.
    fn read(bytes: &dyn ReadAt, offset_bytes: u64, len_bytes: u64) -> Result<Self> {
        let mut raw = [0; 512];
        let there = bytes.len_bytes().saturating_sub(offset_bytes).min(len_bytes);
        if let Some(part) = usize::try_from(there).ok().and_then(|there| raw.get_mut(..there)) {
            bytes.fill(part, offset_bytes)?;
        }
        Ok(Self { raw, range: offset_bytes..offset_bytes.saturating_add(there) })
    }

    fn flaw(&self) -> Option<Flaw> {
        if !self.raw.starts_with(COOKIE) {
            return Some(Flaw::Cookie);
        }
        let said = be32(&self.raw, 64).unwrap_or_default();
        let found = checksum(&self.raw, 64);
        (said != found).then_some(Flaw::Checksum { said, found })
    }

    fn is_fixed(&self) -> bool {
        be32(&self.raw, 60) == Some(2)
    }

    /// What is odd about the copy of this footer.
    fn difference(&self, copy: &Self) -> Option<Warning> {
        if let Some(flaw) = copy.flaw() {
            let message = format!("the copy of the footer is damaged ({flaw})");
            return Some(Warning::defect(copy.range.start, message));
        }
        // The size, the type, the header and the identity; times and flags may be older.
        let facts = |this: &Self| {
            [16..24, 48..56, 60..64, 68..84].map(|field| this.raw.get(field).map(<[u8]>::to_vec))
        };
        (facts(self) != facts(copy)).then(|| {
            let message = "the copy of the footer says something else; the one at the end counts";
            Warning::defect(copy.range.start, message)
        })
    }
}

/// The ones' complement of the sum of all bytes but the four of the checksum itself, at `field`.
pub(super) fn checksum(bytes: &[u8], field: usize) -> u32 {
    let own = field..field.saturating_add(4);
    let others = bytes.iter().enumerate().filter(|(at, _)| !own.contains(at));
    !others.fold(0, |sum: u32, (_, byte)| sum.wrapping_add(u32::from(*byte)))
}
