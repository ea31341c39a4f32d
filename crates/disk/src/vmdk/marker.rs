//! The markers between the grains of a streamOptimized disk.

use super::{
    grain::{GrainError, GrainPlace, RECORD_HEADER_BYTES},
    header::{Header, SECTOR_BYTES},
};
use crate::{
    Error, Result,
    fields::{le32, le64},
};

/// The bytes of a marker that say something; it has a sector of its own.
pub(super) const MARKER_BYTES: usize = 16;

/// The type of a marker before the footer.
pub(super) const FOOTER: u32 = 3;

/// The type of a marker whose sectors say nothing of the disk (seen in the streams of ovftool 4).
const UNSPECIFIED: u32 = 4;

/// The most sectors that such a marker may announce: the limit of this product.
const MAX_UNSPECIFIED_SECTORS: u64 = 2048;

/// What stands at a sector of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// A grain: its number, and the length of its zlib stream behind 12 bytes of header.
    Grain { index: u64, stream_bytes: u64 },
    /// A grain table, grain directory, footer or something else, in the next sectors.
    Metadata { kind: Metadata, len_bytes: u64 },
    /// Nothing follows.
    EndOfStream,
}

/// What a metadata marker announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metadata {
    Table,
    Directory,
    Footer,
    /// What ovftool writes into the stream of a disk without content; it says nothing of the disk.
    Unspecified,
}

#[derive(Debug, thiserror::Error)]
enum MarkerError {
    #[error("a marker of type {0}, known are 0..=4")]
    Type(u32),
    #[error("a marker of type {kind} announces {found} sectors, it has {wanted}")]
    Sectors { kind: u32, found: u64, wanted: u64 },
    #[error(
        "a marker of type 4 announces {0} sectors, at most {MAX_UNSPECIFIED_SECTORS} are allowed"
    )]
    Unspecified(u64),
    #[error("a grain that starts at sector {sector} of the disk, which has {capacity}")]
    BehindCapacity { sector: u64, capacity: u64 },
    #[error("a grain that starts at sector {sector} of the disk, no multiple of {grain}")]
    BetweenGrains { sector: u64, grain: u64 },
}

/// Why a walk from marker to marker does not show the whole disk.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalkError {
    #[error("the grains begin at byte {start}, the file has {file_bytes} bytes")]
    NoGrains { start: u64, file_bytes: u64 },
    #[error(
        "the stream ends without grain directory and footer, and {0} bytes follow that are not all zero"
    )]
    EndsInside(u64),
}

impl Marker {
    /// Decodes and validates the marker that stands at byte `offset_bytes`.
    pub(super) fn parse(
        bytes: &[u8; MARKER_BYTES],
        header: &Header,
        offset_bytes: u64,
    ) -> Result<Self> {
        let fail = |leaf| Err(Error::malformed(leaf).at(offset_bytes));
        let value = le64(bytes, 0).unwrap_or_default();
        let size = le32(bytes, 8).unwrap_or_default();
        let kind = le32(bytes, 12).unwrap_or_default();
        if size > 0 {
            return Self::grain(value, u64::from(size), header, offset_bytes);
        }
        let (metadata, wanted) = match kind {
            0 if value == 0 => return Ok(Self::EndOfStream),
            0 => return fail(MarkerError::Sectors { kind, found: value, wanted: 0 }),
            1 => (Metadata::Table, super::header::TABLE_SECTORS),
            2 => (Metadata::Directory, header.directory_sectors()),
            FOOTER => (Metadata::Footer, 1),
            UNSPECIFIED if value <= MAX_UNSPECIFIED_SECTORS => (Metadata::Unspecified, value),
            UNSPECIFIED => return fail(MarkerError::Unspecified(value)),
            _ => return fail(MarkerError::Type(kind)),
        };
        if value != wanted {
            return fail(MarkerError::Sectors { kind, found: value, wanted });
        }
        let len_bytes = wanted.saturating_mul(SECTOR_BYTES);
        Ok(Self::Metadata { kind: metadata, len_bytes })
    }

    fn grain(sector: u64, stream_bytes: u64, header: &Header, offset_bytes: u64) -> Result<Self> {
        let (capacity, grain) = (header.capacity_sectors(), header.grain_sectors());
        if sector >= capacity {
            let leaf = MarkerError::BehindCapacity { sector, capacity };
            return Err(Error::malformed(leaf).at(offset_bytes));
        }
        if !sector.is_multiple_of(grain) {
            let leaf = MarkerError::BetweenGrains { sector, grain };
            return Err(Error::malformed(leaf).at(offset_bytes));
        }
        let index = sector.checked_div(grain).unwrap_or_default();
        let max = header.max_stored_bytes();
        if stream_bytes > max {
            let place = GrainPlace { index, offset_bytes, grain_bytes: header.grain_bytes() };
            return Err(place.error(GrainError::TooLong { index, len: stream_bytes, max }));
        }
        Ok(Self::Grain { index, stream_bytes })
    }

    /// The bytes from this marker to the next one.
    pub(super) fn span_bytes(&self) -> u64 {
        match self {
            Self::Grain { stream_bytes, .. } => {
                stream_bytes.saturating_add(RECORD_HEADER_BYTES).next_multiple_of(SECTOR_BYTES)
            }
            Self::Metadata { len_bytes, .. } => len_bytes.saturating_add(SECTOR_BYTES),
            Self::EndOfStream => SECTOR_BYTES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmdk::header::tests::good;

    fn parse(value: u64, size: u32, kind: u32) -> Result<Marker> {
        let mut bytes = [0; MARKER_BYTES];
        bytes[..8].copy_from_slice(&value.to_le_bytes());
        bytes[8..12].copy_from_slice(&size.to_le_bytes());
        bytes[12..].copy_from_slice(&kind.to_le_bytes());
        Marker::parse(&bytes, &Header::parse(&good(), 0).unwrap(), 65536)
    }

    #[test]
    fn tells_grains_tables_and_the_end() {
        let grain = parse(256, 700, 0x1234).unwrap();
        assert_eq!(grain, Marker::Grain { index: 2, stream_bytes: 700 });
        assert_eq!(grain.span_bytes(), 1024);
        let table = parse(4, 0, 1).unwrap();
        assert_eq!(table, Marker::Metadata { kind: Metadata::Table, len_bytes: 2048 });
        assert_eq!(table.span_bytes(), 2560);
        assert!(matches!(parse(1, 0, 2), Ok(Marker::Metadata { len_bytes: 512, .. })));
        assert_eq!(parse(3, 0, 4).unwrap().span_bytes(), 2048);
        assert_eq!(parse(0, 0, 0).unwrap(), Marker::EndOfStream);
    }

    #[test]
    fn names_what_a_marker_says_wrong() {
        for ((value, size, kind), want) in [
            ((0, 0, 5), "a marker of type 5, known are 0..=4, at byte 65536"),
            (
                (2049, 0, 4),
                "a marker of type 4 announces 2049 sectors, at most 2048 are allowed, at byte 65536",
            ),
            ((5, 0, 1), "a marker of type 1 announces 5 sectors, it has 4, at byte 65536"),
            (
                (1 << 40, 0, 2),
                "a marker of type 2 announces 1099511627776 sectors, it has 1, at byte 65536",
            ),
            (
                (2048, 9, 0),
                "a grain that starts at sector 2048 of the disk, which has 2048, at byte 65536",
            ),
            (
                (64, 9, 0),
                "a grain that starts at sector 64 of the disk, no multiple of 128, at byte 65536",
            ),
            (
                (0, u32::MAX, 0),
                "grain 0: its stream has 4294967295 bytes, at most 132096 are allowed, at byte 65536",
            ),
        ] {
            assert_eq!(parse(value, size, kind).unwrap_err().to_string(), want);
        }
    }
}
