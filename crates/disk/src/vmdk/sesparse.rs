//! seSparse: the delta of VMFS 6.
//!
//! Little-endian, words of 64 bits. VMware has not published the format; the places of the fields are
//! as other readers know them. Of an extent whose journal is not empty the tables cannot be trusted.

use std::{ops::Range, sync::Arc};

use crate::{
    Error, ExtentKind, ReadAt, Result,
    fields::{buffer_len, le64},
    vmdk::{
        header::SECTOR_BYTES,
        tables::{Layout, Reader, capacity_bytes, table_count},
    },
};

/// The first eight bytes: the constant header.
pub(super) const MAGIC: u64 = 0xcafe_babe;

/// The first eight bytes of the volatile header.
const VOLATILE_MAGIC: u64 = 0xcafe_cafe;

/// Version 2.1, the only one.
const VERSION: u64 = 0x2_0000_0001;

/// The sectors of a grain: 4 KiB.
const GRAIN_SECTORS: u64 = 8;

/// The sectors of a grain table: 4096 entries of 8 bytes.
const TABLE_SECTORS: u64 = 64;

/// The bytes of the constant header that are read.
const HEADER_BYTES: usize = 208;

/// What stands above the number of a table in an entry of the directory.
const TABLE_MARK: u64 = 0x1000_0000;

/// The least bit of the type of an entry.
const TYPE_SHIFT: u32 = 60;

/// A validated header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    capacity_bytes: u64,
    volatile_bytes: u64,
    directory_bytes: u64,
    tables_bytes: u64,
    grains_bytes: u64,
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error)]
enum HeaderError {
    #[error("an seSparse header of {0} bytes is cut, it has {HEADER_BYTES}")]
    Short(usize),
    #[error("version {0:#x} of an seSparse extent is not {VERSION:#x}")]
    Version(u64),
    #[error("grain size of {0} sectors is not {GRAIN_SECTORS}")]
    GrainSize(u64),
    #[error("grain tables of {0} sectors, {TABLE_SECTORS} are allowed")]
    TableSize(u64),
    #[error("flags {0:#x} are not 0")]
    Flags(u64),
    #[error("the {what} at sector {sector} is behind what 64 bits can count in bytes")]
    TooFar { what: &'static str, sector: u64 },
    #[error("a grain directory of {found} sectors, the capacity needs {wanted}")]
    Directory { found: u64, wanted: u64 },
    #[error("the volatile header is not inside the file of {0} bytes")]
    VolatileOutside(u64),
    #[error("the magic number of the volatile header is {0:#x}, not {VOLATILE_MAGIC:#x}")]
    VolatileMagic(u64),
    #[error(
        "the seSparse extent is dirty: its journal has to be replayed, consolidate the snapshot in vSphere"
    )]
    Dirty,
}

/// Opens a delta.
///
/// # Errors
///
/// When its journal has to be replayed, which only ESX can do.
pub(super) fn open(bytes: Arc<dyn ReadAt>) -> Result<Reader<Header>> {
    let file_bytes = bytes.len_bytes();
    let mut head = vec![0; buffer_len(file_bytes.min(HEADER_BYTES as u64))];
    bytes.fill(&mut head, 0)?;
    let header = Header::parse(&head)?;
    let at = header.volatile_bytes;
    let mut volatile = [0; 32];
    if at.checked_add(volatile.len() as u64).is_none_or(|end| end > file_bytes) {
        return Err(Error::malformed(HeaderError::VolatileOutside(file_bytes)).at(at));
    }
    bytes.fill(&mut volatile, at)?;
    let (magic, replay) = (le64(&volatile, 0), le64(&volatile, 24));
    match (magic.unwrap_or_default(), replay.unwrap_or_default()) {
        (VOLATILE_MAGIC, 0) => Reader::open(bytes, header),
        (VOLATILE_MAGIC, _) => {
            Err(Error::unsupported(HeaderError::Dirty).at(at.saturating_add(24)))
        }
        (magic, _) => Err(Error::malformed(HeaderError::VolatileMagic(magic)).at(at)),
    }
}

impl Header {
    /// Decodes and validates the constant header.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let short = || Error::malformed(HeaderError::Short(bytes.len())).at(0);
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or_else(short)?;
        let u64_at = |at| le64(header, at).unwrap_or_default();
        header_constants(u64_at)?;
        let capacity_bytes = capacity_bytes(u64_at(16)).map_err(|error| error.at(16))?;
        let place = |what, at| {
            let sector = u64_at(at);
            let bytes = sector.checked_mul(SECTOR_BYTES);
            let leaf = HeaderError::TooFar { what, sector };
            bytes.ok_or_else(|| Error::malformed(leaf).at(at as u64))
        };
        let header = Self {
            capacity_bytes,
            volatile_bytes: place("volatile header", 80)?,
            directory_bytes: place("grain directory", 128)?,
            tables_bytes: place("first grain table", 144)?,
            grains_bytes: place("first grain", 192)?,
        };
        let tables = table_count(capacity_bytes, GRAIN_SECTORS.saturating_mul(SECTOR_BYTES));
        let wanted = tables.saturating_mul(Self::ENTRY_BYTES).div_ceil(SECTOR_BYTES);
        let found = u64_at(136);
        if found < wanted {
            return Err(Error::malformed(HeaderError::Directory { found, wanted }).at(136));
        }
        Ok(header)
    }
}

/// Checks the fields that have one value only.
fn header_constants(u64_at: impl Fn(usize) -> u64) -> Result<()> {
    let fail = |leaf, at| Err(Error::unsupported(leaf).at(at));
    match (u64_at(8), u64_at(24), u64_at(32), u64_at(40)) {
        (VERSION, GRAIN_SECTORS, TABLE_SECTORS, 0) => Ok(()),
        (VERSION, GRAIN_SECTORS, TABLE_SECTORS, flags) => fail(HeaderError::Flags(flags), 40),
        (VERSION, GRAIN_SECTORS, sectors, _) => fail(HeaderError::TableSize(sectors), 32),
        (VERSION, sectors, ..) => fail(HeaderError::GrainSize(sectors), 24),
        (version, ..) => fail(HeaderError::Version(version), 8),
    }
}

impl Layout for Header {
    const VARIANT: &'static str = "seSparse";
    const ENTRY_BYTES: u64 = 8;

    fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    fn grain_bytes(&self) -> u64 {
        GRAIN_SECTORS.saturating_mul(SECTOR_BYTES)
    }

    fn directory_bytes(&self) -> u64 {
        self.directory_bytes
    }

    fn grains_start_bytes(&self) -> u64 {
        self.grains_bytes.max(SECTOR_BYTES)
    }

    fn table_bytes(&self, entry: u64) -> Option<u64> {
        let number = entry & u64::from(u32::MAX);
        (entry >> 32 == TABLE_MARK).then(|| {
            let offset_bytes = number.saturating_mul(TABLE_SECTORS.saturating_mul(SECTOR_BYTES));
            self.tables_bytes.saturating_add(offset_bytes)
        })
    }

    fn grain(&self, entry: u64) -> Option<ExtentKind> {
        match entry >> TYPE_SHIFT {
            0 => (entry == 0).then_some(ExtentKind::Hole),
            // Unmapped by the guest, and zeros: both hide the parent.
            1 | 2 => Some(ExtentKind::Zero),
            3 => {
                // The low 12 bits of the number stand above its other 48.
                let number = (entry >> 48 & 0xfff) | (entry & 0xffff_ffff_ffff) << 12;
                let offset_bytes = number.saturating_mul(self.grain_bytes());
                Some(ExtentKind::Data {
                    offset_bytes: self.grains_bytes.saturating_add(offset_bytes),
                })
            }
            _ => None,
        }
    }

    fn front(&self) -> Vec<Range<u64>> {
        let volatile = self.volatile_bytes..self.volatile_bytes.saturating_add(SECTOR_BYTES);
        vec![0..SECTOR_BYTES, volatile, self.directory()]
    }
}

#[cfg(test)]
mod tests {
    use testkit::SparseMap;

    use super::*;

    /// The headers of a disk of 64 MiB.
    fn good() -> Vec<u8> {
        SparseMap::new(64 << 20, 4096).sesparse()
    }

    #[test]
    fn reads_every_field() {
        let header = Header::parse(&good()).unwrap();
        assert_eq!((header.capacity_bytes(), header.grain_bytes()), (64 << 20, 4096));
        assert_eq!(header.directory(), 65_536..65_568);
        assert_eq!(header.table_bytes(0x1000_0000_0000_0002), Some(66_048 + 2 * 32_768));
        assert_eq!(header.table_bytes(0x2000_0000_0000_0002), None);
    }

    #[test]
    fn an_entry_says_hole_zeros_or_where_the_grain_is() {
        let header = Header::parse(&good()).unwrap();
        let grain = |number: u64| {
            let offset_bytes = header.grains_bytes + number * 4096;
            Some(ExtentKind::Data { offset_bytes })
        };
        for (entry, want) in [
            (0, Some(ExtentKind::Hole)),
            (1 << 60, Some(ExtentKind::Zero)),
            (2 << 60, Some(ExtentKind::Zero)),
            // The number 0 is a grain like any other.
            (3 << 60, grain(0)),
            (0x3abc_0000_0000_0001, grain(0x1abc)),
            (1, None),
            (4 << 60, None),
            (u64::MAX, None),
        ] {
            assert_eq!(header.grain(entry), want, "{entry:#x}");
        }
    }

    #[test]
    fn refuses_a_header_cut_at_any_length() {
        for len in 0..HEADER_BYTES {
            let want = format!("an seSparse header of {len} bytes is cut, it has 208, at byte 0");
            assert_eq!(Header::parse(&good()[..len]).unwrap_err().to_string(), want);
        }
    }
}
