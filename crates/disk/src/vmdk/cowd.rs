//! COWD: the redo log of ESX, `vmfsSparse` in a descriptor.
//!
//! Little-endian. A sector number is a u32; an entry of 0 is a hole, and there are no zero grains.

use std::{ops::Range, sync::Arc};

use crate::{
    Error, ExtentKind, Kind, ReadAt, Result,
    fields::{buffer_len, le32},
    vmdk::{
        header::{MAX_GRAIN_SECTORS, SECTOR_BYTES},
        tables::{Layout, Reader, capacity_bytes, table_count},
    },
};

/// The first four bytes.
pub(super) const MAGIC: &[u8; 4] = b"COWD";

/// The only version.
const VERSION: u32 = 1;

/// The bytes of the header that are read; it takes four sectors.
const HEADER_BYTES: usize = 32;

/// The sectors that are kept for the header.
const HEADER_SECTORS: u64 = 4;

/// A validated header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    capacity_bytes: u64,
    grain_bytes: u64,
    directory_sector: u32,
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error)]
enum HeaderError {
    #[error("a COWD header of {0} bytes is cut, it has {HEADER_BYTES}")]
    Short(usize),
    #[error("version {0} of a COWD extent is not {VERSION}")]
    Version(u32),
    #[error("grain size of {0} sectors is not a power of two in 1..={MAX_GRAIN_SECTORS}")]
    GrainSize(u32),
    #[error("the grain directory at sector {0} lies in the header, which has {HEADER_SECTORS}")]
    Directory(u32),
    #[error("a grain directory of {found} entries, the capacity needs {wanted}")]
    Entries { found: u32, wanted: u64 },
}

/// Opens a redo log.
pub(super) fn open(bytes: Arc<dyn ReadAt>) -> Result<Reader<Header>> {
    let mut head = vec![0; buffer_len(bytes.len_bytes().min(HEADER_BYTES as u64))];
    bytes.fill(&mut head, 0)?;
    Reader::open(bytes, Header::parse(&head)?)
}

impl Header {
    /// Decodes and validates the header: magic, version, flags, capacity and grain size in sectors,
    /// sector and entries of the grain directory, next free sector.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let short = || Error::malformed(HeaderError::Short(bytes.len())).at(0);
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or_else(short)?;
        let u32_at = |at| le32(header, at).unwrap_or_default();
        let (version, grain_sectors) = (u32_at(4), u32_at(16));
        let (directory_sector, entries) = (u32_at(20), u32_at(24));
        if version != VERSION {
            return Err(Error::new(Kind::Unsupported, HeaderError::Version(version)).at(4));
        }
        let capacity_bytes = capacity_bytes(u64::from(u32_at(12))).map_err(|error| error.at(12))?;
        let grain = u64::from(grain_sectors);
        if !grain.is_power_of_two() || grain > MAX_GRAIN_SECTORS {
            return Err(Error::malformed(HeaderError::GrainSize(grain_sectors)).at(16));
        }
        if u64::from(directory_sector) < HEADER_SECTORS {
            return Err(Error::malformed(HeaderError::Directory(directory_sector)).at(20));
        }
        let grain_bytes = grain.saturating_mul(SECTOR_BYTES);
        let wanted = table_count(capacity_bytes, grain_bytes);
        if u64::from(entries) < wanted {
            return Err(Error::malformed(HeaderError::Entries { found: entries, wanted }).at(24));
        }
        Ok(Self { capacity_bytes, grain_bytes, directory_sector })
    }
}

impl Layout for Header {
    const VARIANT: &'static str = "vmfsSparse";
    const ENTRY_BYTES: u64 = 4;

    fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    fn grain_bytes(&self) -> u64 {
        self.grain_bytes
    }

    fn directory_bytes(&self) -> u64 {
        u64::from(self.directory_sector).saturating_mul(SECTOR_BYTES)
    }

    fn grains_start_bytes(&self) -> u64 {
        HEADER_SECTORS.saturating_mul(SECTOR_BYTES)
    }

    fn table_bytes(&self, entry: u64) -> Option<u64> {
        Some(entry.saturating_mul(SECTOR_BYTES))
    }

    fn grain(&self, entry: u64) -> Option<ExtentKind> {
        Some(match entry.saturating_mul(SECTOR_BYTES) {
            0 => ExtentKind::Hole,
            offset_bytes => ExtentKind::Data { offset_bytes },
        })
    }

    fn front(&self) -> Vec<Range<u64>> {
        vec![0..HEADER_SECTORS.saturating_mul(SECTOR_BYTES), self.directory()]
    }
}

#[cfg(test)]
mod tests {
    use testkit::SparseMap;

    use super::*;

    /// A header of a disk of 8 MiB with grains of one sector.
    fn good() -> Vec<u8> {
        SparseMap::new(8 << 20, 512).cowd()
    }

    #[test]
    fn reads_every_field() {
        let header = Header::parse(&good()).unwrap();
        let want = Header { capacity_bytes: 8 << 20, grain_bytes: 512, directory_sector: 4 };
        assert_eq!(header, want);
        assert_eq!(header.directory(), 2048..2064);
        assert_eq!(header.grain(0), Some(ExtentKind::Hole));
        assert_eq!(header.grain(7), Some(ExtentKind::Data { offset_bytes: 3584 }));
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        for (at, value, want) in [
            (4, 0, "version 0 of a COWD extent is not 1, at byte 4"),
            (12, 0, "a capacity of 0 sectors, at byte 12"),
            (16, 0, "grain size of 0 sectors is not a power of two in 1..=2048, at byte 16"),
            (20, 0, "the grain directory at sector 0 lies in the header, which has 4, at byte 20"),
            (24, 3, "a grain directory of 3 entries, the capacity needs 4, at byte 24"),
        ] {
            let mut bad = good();
            bad[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
            assert_eq!(Header::parse(&bad).unwrap_err().to_string(), want);
        }
        for len in 0..HEADER_BYTES {
            let want = format!("a COWD header of {len} bytes is cut, it has 32, at byte 0");
            assert_eq!(Header::parse(&good()[..len]).unwrap_err().to_string(), want);
        }
    }
}
