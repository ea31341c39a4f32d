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

#[cfg(test)]
mod tests {
    use testkit::{vhd_dynamic, vhd_fixed, vhd_seal};

    use super::*;

    /// A fixed disk of 1 KiB with this field of its footer changed, and the checksum right again.
    fn fixed(field: usize, value: &[u8]) -> Vec<u8> {
        let mut file = vhd_fixed(&[7; 1024]);
        file[1024 + field..1024 + field + value.len()].copy_from_slice(value);
        vhd_seal(&mut file[1024..], 64);
        file
    }

    fn search(file: &dyn ReadAt) -> Result<Found> {
        Found::search(file)
    }

    fn warnings(file: &dyn ReadAt) -> Vec<String> {
        search(file).unwrap().warnings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reads_every_field() {
        let found = search(&vhd_fixed(&[7; 1024])).unwrap();
        assert_eq!(found.footer.disk_type(), DiskType::Fixed);
        assert_eq!(found.footer.capacity_bytes(), 1024);
        assert_eq!((found.offset_bytes, found.data_end_bytes), (1024, 1024));
        assert_eq!((found.ranges.len(), &found.ranges[0]), (1, &(1024..1536)));
        assert_eq!(found.warnings, []);
        let found = search(&vhd_dynamic(&[7; 1024])).unwrap();
        assert_eq!(found.footer.disk_type(), DiskType::Dynamic);
        assert_eq!((found.footer.header_offset_bytes(), found.ranges.len()), (512, 2));
    }

    #[test]
    fn reads_the_shorter_footer_of_old_versions() {
        let mut file = vhd_fixed(&[7; 1024]);
        file.pop();
        let found = search(&file).unwrap();
        assert_eq!((found.offset_bytes, found.data_end_bytes), (1024, 1024));
        assert_eq!((found.ranges.len(), &found.ranges[0]), (1, &(1024..1535)));
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        use Kind::{Limit, Malformed, Unsupported};
        for (field, value, kind, want) in [
            (
                12,
                &[0, 2, 0, 0][..],
                Unsupported,
                "footer version 0x00020000 is not 0x00010000, at byte 1036",
            ),
            (
                60,
                &[0, 0, 0, 5],
                Unsupported,
                "disk type 5 is none of 2 (fixed), 3 (dynamic) and 4 (differencing), at byte 1084",
            ),
            (
                48,
                &[0xff; 8],
                Limit,
                "a virtual size of 18446744073709551615 bytes is over the limit of 70368744177664 bytes, at byte 1072",
            ),
            (
                55,
                &[1],
                Malformed,
                "a current size of 1025 bytes is no multiple of 512, at byte 1072",
            ),
        ] {
            let error = search(&fixed(field, value)).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (want, kind));
        }
    }

    #[test]
    fn warns_of_a_suspended_machine_of_a_geometry_and_of_a_size_over_the_format() {
        let want = "the machine was suspended: its saved state is not carried over, at byte 1108";
        assert_eq!(warnings(&fixed(84, &[1])), [want]);
        let want = "the geometry 16/4/17 gives 557056 bytes, the current size of 1024 counts";
        assert_eq!(warnings(&fixed(56, &[0, 16, 4, 17])), [want]);
        let want =
            "a current size of 2190433320960 bytes is over 2190433320960, the format's own limit";
        assert_eq!(warnings(&fixed(48, &(2040_u64 << 30).to_be_bytes())), [""; 0]);
        let over = (2040_u64 << 30) + 512;
        let want = want.replacen("2190433320960", &over.to_string(), 1);
        assert_eq!(warnings(&fixed(48, &over.to_be_bytes())), [want + ", at byte 1072"]);
    }

    #[test]
    fn one_good_copy_is_enough() {
        let good = vhd_dynamic(&[7; 1024]);
        let end = good.len() - 512;
        let mut file = good.clone();
        file[end + 40] ^= 1;
        let found = search(&file).unwrap();
        assert_eq!((found.offset_bytes, found.data_end_bytes), (0, end as u64));
        let text = found.warnings[0].to_string();
        let wanted = "the footer is damaged (its checksum is 0x";
        assert!(text.starts_with(wanted) && text.ends_with(&format!("at byte {end}")), "{text}");
        // Without a cookie it is not even a footer, so blocks may reach to the end.
        file[end] = 0;
        let found = search(&file).unwrap();
        assert_eq!(found.data_end_bytes, file.len() as u64);
        let text = found.warnings[0].to_string();
        let want =
            "the footer is damaged (it does not start with conectix), its copy at byte 0 counts";
        assert!(text.starts_with(want), "{text}");
        let mut file = good.clone();
        file[3] = 0;
        let want = "the copy of the footer is damaged (it does not start with conectix), at byte 0";
        assert_eq!(warnings(&file), [want]);
        let mut file = good;
        file[54] ^= 1;
        vhd_seal(&mut file[..512], 64);
        let want =
            "the copy of the footer says something else; the one at the end counts, at byte 0";
        assert_eq!(warnings(&file), [want]);
    }

    #[test]
    fn says_of_both_copies_what_is_wrong() {
        let mut file = vhd_dynamic(&[7; 1024]);
        let end = file.len() - 512;
        file[end] = 0;
        file[40..44].copy_from_slice(&[0, 0, 0, 1]);
        let said = be32(&file, 64).unwrap();
        let want = format!(
            "the footer at the end is damaged (it does not start with conectix), and so is its copy at byte 0 (its checksum is {said:#010x}, that of its bytes is {:#010x}), at byte {}",
            said - 1,
            file.len()
        );
        let error = search(&file).unwrap_err();
        assert_eq!((error.to_string(), error.kind()), (want, Kind::Malformed));
    }

    #[test]
    fn takes_no_copy_from_the_guest_of_a_fixed_disk() {
        // The guest wrote the footer of a differencing disk into its first sector.
        let mut disk = vec![0; 1024];
        let mut planted = vhd_dynamic(&[7; 1024])[..512].to_vec();
        planted[63] = 4;
        vhd_seal(&mut planted, 64);
        disk[..512].copy_from_slice(&planted);
        let mut file = vhd_fixed(&disk);
        assert_eq!(search(&file).unwrap().footer.disk_type(), DiskType::Fixed);
        file[1024 + 24] ^= 1;
        let error = search(&file).unwrap_err().to_string();
        assert!(
            error.starts_with("the footer of a fixed disk is damaged (its checksum"),
            "{error}"
        );
        let mut file = vhd_fixed(&[7; 1024]).split_off(1024);
        file.resize(4096, 0);
        let want = "the copy of the footer is that of a fixed disk, which has none, at byte 60";
        assert_eq!(search(&file).unwrap_err().to_string(), want);
    }

    #[test]
    fn refuses_a_footer_cut_at_any_length() {
        let footer = vhd_fixed(&[]);
        for len in 0..511 {
            assert!(search(&footer[..len].to_vec()).is_err(), "{len}");
        }
    }
}
