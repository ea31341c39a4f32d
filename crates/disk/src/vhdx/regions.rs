//! The region table: where the block allocation table and the metadata are.

use std::ops::Range;

use crate::{
    Error, ReadAt, Result, Warning,
    fields::{le32, le64},
    vhdx::{
        MIB,
        checksum::{self, Unsound},
        guid::Guid,
        header::HEADER_SECTION_BYTES,
    },
};

/// Where the two copies of the table are.
const TABLES_AT: [u64; 2] = [192 << 10, 256 << 10];

/// The bytes of a copy.
const TABLE_BYTES: usize = 64 << 10;

/// The bytes before the first entry, and those of an entry.
const TABLE_HEADER_BYTES: usize = 16;
const ENTRY_BYTES: usize = 32;

/// The most entries that a copy has room for ([MS-VHDX] 2.2.3).
const MAX_REGIONS: u32 = 2047;

/// An entry without which the disk cannot be read.
const REQUIRED: u32 = 1;

/// The block allocation table.
const BAT: Guid =
    Guid::new(0x2dc2_7766, 0xf623, 0x4200, [0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08]);

/// The metadata.
const METADATA: Guid =
    Guid::new(0x8b7c_a206, 0x4790, 0x4b9a, [0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e]);

/// Where everything of the file is that is not content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Regions {
    /// The block allocation table.
    pub(super) bat: Range<u64>,
    /// The metadata.
    pub(super) metadata: Range<u64>,
    /// These and all others, with the header section and the log; none overlaps another.
    pub(super) all: Vec<Range<u64>>,
}

#[derive(Debug, thiserror::Error)]
enum RegionError {
    #[error("neither region table can be used; the first: {0}; the second: {1}")]
    Neither(Unsound, Unsound),
    #[error("a region table of {0} entries is over the limit of {MAX_REGIONS}")]
    Count(u32),
    #[error(
        "region {guid}: {len} bytes at byte {at}: both are multiples of {MIB}, and it starts at {MIB} at least"
    )]
    Place { guid: Guid, at: u64, len: u32 },
    #[error("region {guid}: bytes {start}..{end} are not inside the file of {file_bytes}")]
    Outside { guid: Guid, start: u64, end: u64, file_bytes: u64 },
    #[error("region {guid}: bytes {start}..{end} overlap another region or the log")]
    Overlap { guid: Guid, start: u64, end: u64 },
    #[error("region {0} is there twice")]
    Twice(Guid),
    #[error("region {0} is required, and it is not known")]
    Unknown(Guid),
    #[error("region {0} is not there")]
    Missing(Guid),
}

/// An entry of the table whose place is sound.
struct Region {
    guid: Guid,
    range: Range<u64>,
    required: bool,
}

impl Regions {
    /// Reads the first sound copy of the table; `log` is taken already.
    ///
    /// The log must have been replayed: it may hold the table.
    pub(super) fn read(bytes: &dyn ReadAt, log: Range<u64>) -> Result<(Self, Option<Warning>)> {
        let mut table = vec![0; TABLE_BYTES];
        let [first_at, second_at] = TABLES_AT;
        bytes.fill(&mut table, first_at)?;
        let Err(first) = checksum::verify(&table, "regi") else {
            return Ok((Self::parse(&table, first_at, bytes.len_bytes(), log)?, None));
        };
        bytes.fill(&mut table, second_at)?;
        if let Err(second) = checksum::verify(&table, "regi") {
            return Err(Error::malformed(RegionError::Neither(first, second)).at(first_at));
        }
        let told = format!("a region table is not sound, the other is used: {first}");
        let regions = Self::parse(&table, second_at, bytes.len_bytes(), log)?;
        Ok((regions, Some(Warning::defect(first_at, told))))
    }

    /// Layout: [MS-VHDX] 2.2.3, "Region Table".
    fn parse(table: &[u8], table_at: u64, file_bytes: u64, log: Range<u64>) -> Result<Self> {
        let fail = |leaf, at: usize| Error::malformed(leaf).at(table_at.saturating_add(at as u64));
        let count = le32(table, 8).unwrap_or_default();
        if count > MAX_REGIONS {
            return Err(fail(RegionError::Count(count), 8));
        }
        let (mut bat, mut metadata) = (None, None);
        let log = (!log.is_empty()).then_some(log);
        let mut all: Vec<_> = std::iter::once(0..HEADER_SECTION_BYTES).chain(log).collect();
        let entries = table.get(TABLE_HEADER_BYTES..).unwrap_or_default();
        let entries = entries.chunks_exact(ENTRY_BYTES).take(count as usize);
        for (entry, at) in entries.zip((TABLE_HEADER_BYTES..).step_by(ENTRY_BYTES)) {
            let Region { guid, range, required } =
                Region::parse(entry, file_bytes).map_err(|leaf| fail(leaf, at))?;
            let Range { start, end } = range;
            if all.iter().any(|taken| taken.start < end && start < taken.end) {
                return Err(fail(RegionError::Overlap { guid, start, end }, at));
            }
            all.push(range.clone());
            let known = match guid {
                BAT => &mut bat,
                METADATA => &mut metadata,
                _ if required => {
                    let at = table_at.saturating_add(at as u64);
                    return Err(Error::unsupported(RegionError::Unknown(guid)).at(at));
                }
                _ => continue,
            };
            if known.replace(range).is_some() {
                return Err(fail(RegionError::Twice(guid), at));
            }
        }
        let bat = bat.ok_or_else(|| fail(RegionError::Missing(BAT), 0))?;
        let metadata = metadata.ok_or_else(|| fail(RegionError::Missing(METADATA), 0))?;
        Ok(Self { bat, metadata, all })
    }
}

impl Region {
    fn parse(entry: &[u8], file_bytes: u64) -> std::result::Result<Self, RegionError> {
        let guid = Guid::at(entry, 0).unwrap_or(Guid::NIL);
        let at = le64(entry, 16).unwrap_or_default();
        let len = le32(entry, 24).unwrap_or_default();
        let required = le32(entry, 28).unwrap_or_default() & REQUIRED != 0;
        let len_bytes = u64::from(len);
        let aligned = at.is_multiple_of(MIB) && len_bytes.is_multiple_of(MIB);
        if !aligned || len == 0 || at < HEADER_SECTION_BYTES {
            return Err(RegionError::Place { guid, at, len });
        }
        let end = at.saturating_add(len_bytes);
        if end > file_bytes {
            return Err(RegionError::Outside { guid, start: at, end, file_bytes });
        }
        Ok(Self { guid, range: at..end, required })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    const ENTRY: usize = TABLE_HEADER_BYTES;

    /// The log in MiB 1, metadata in MiB 2, the table of blocks in MiB 3, an optional region in 4.
    fn good() -> Vec<u8> {
        let mut file = vec![0; 5 << 20];
        for at in TABLES_AT.map(|at| at as usize) {
            file[at..at + 4].copy_from_slice(b"regi");
            file[at + 8] = 3;
            let guids = [(METADATA, 1), (BAT, 1), (Guid::new(1, 2, 3, [4; 8]), 0)];
            for ((mib, (guid, required)), entry) in
                (2_u64..).zip(guids).zip((at + 16..).step_by(32))
            {
                file[entry..entry + 16].copy_from_slice(&guid.bytes());
                file[entry + 16..entry + 24].copy_from_slice(&(mib << 20).to_le_bytes());
                file[entry + 24..entry + 28].copy_from_slice(&(1_u32 << 20).to_le_bytes());
                file[entry + 28] = required;
            }
            seal(&mut file, at);
        }
        file
    }

    fn seal(file: &mut [u8], at: usize) {
        let sum = checksum::without_field(&file[at..at + TABLE_BYTES]);
        file[at + 4..at + 8].copy_from_slice(&sum.to_le_bytes());
    }

    fn read(file: &[u8]) -> Result<(Regions, Option<Warning>)> {
        Regions::read(&file.to_vec(), MIB..2 * MIB)
    }

    #[test]
    fn finds_the_table_of_blocks_and_the_metadata() {
        let (regions, warning) = read(&good()).unwrap();
        assert_eq!((regions.metadata, regions.bat), (2 * MIB..3 * MIB, 3 * MIB..4 * MIB));
        assert_eq!((regions.all.len(), warning), (5, None));
        let without_log = Regions::read(&good(), 0..0).unwrap().0;
        assert_eq!(without_log.all.len(), 4);
    }

    #[test]
    fn one_sound_table_is_enough_and_is_told() {
        let mut file = good();
        file[192 << 10] = 0;
        let warning = read(&file).unwrap().1.unwrap().to_string();
        let want = "a region table is not sound, the other is used: its signature is not regi, at byte 196608";
        assert_eq!(warning, want);
        file[256 << 10] = 0;
        let want = "neither region table can be used; the first: its signature is not regi; the second: its signature is not regi, at byte 196608";
        assert_eq!(read(&file).unwrap_err().to_string(), want);
    }

    #[test]
    fn names_the_entry_that_is_wrong() {
        const META: &str = "region 8b7ca206-4790-4b9a-b8fe-575f050f886e";
        const THIRD: usize = ENTRY + 64;
        for (at, byte, want) in [
            (9, 8, "a region table of 2051 entries is over the limit of 2047, at byte 196616"),
            (
                ENTRY + 16,
                1,
                &*format!(
                    "{META}: 1048576 bytes at byte 2097153: both are multiples of 1048576, and it starts at 1048576 at least, at byte 196624"
                ),
            ),
            (
                ENTRY + 18,
                0,
                &*format!(
                    "{META}: 1048576 bytes at byte 0: both are multiples of 1048576, and it starts at 1048576 at least, at byte 196624"
                ),
            ),
            (
                ENTRY + 26,
                0,
                &*format!(
                    "{META}: 0 bytes at byte 2097152: both are multiples of 1048576, and it starts at 1048576 at least, at byte 196624"
                ),
            ),
            (
                ENTRY + 18,
                0x10,
                &*format!(
                    "{META}: bytes 1048576..2097152 overlap another region or the log, at byte 196624"
                ),
            ),
            (
                THIRD + 18,
                0x30,
                "region 00000001-0002-0003-0404-040404040404: bytes 3145728..4194304 overlap another region or the log, at byte 196688",
            ),
            (
                THIRD + 18,
                0x50,
                "region 00000001-0002-0003-0404-040404040404: bytes 5242880..6291456 are not inside the file of 5242880, at byte 196688",
            ),
            (
                ENTRY + 23,
                0xff,
                &*format!(
                    "{META}: bytes 18374686479673720832..18374686479674769408 are not inside the file of 5242880, at byte 196624"
                ),
            ),
            (
                THIRD + 28,
                1,
                "region 00000001-0002-0003-0404-040404040404 is required, and it is not known, at byte 196688",
            ),
            (
                ENTRY,
                0,
                "region 8b7ca200-4790-4b9a-b8fe-575f050f886e is required, and it is not known, at byte 196624",
            ),
            (8, 1, "region 2dc27766-f623-4200-9d64-115e9bfd4a08 is not there, at byte 196608"),
            (8, 0, "region 2dc27766-f623-4200-9d64-115e9bfd4a08 is not there, at byte 196608"),
        ] {
            let mut file = good();
            file[(192 << 10) + at] = byte;
            seal(&mut file, 192 << 10);
            let error = read(&file).unwrap_err();
            assert_eq!(error.to_string(), want);
            let unknown = want.contains("not known");
            assert_eq!(error.kind() == Kind::Unsupported, unknown);
        }
        let mut file = good();
        let third = (192 << 10) + THIRD;
        file[third..third + 16].copy_from_slice(&BAT.bytes());
        seal(&mut file, 192 << 10);
        let want = "region 2dc27766-f623-4200-9d64-115e9bfd4a08 is there twice, at byte 196688";
        assert_eq!(read(&file).unwrap_err().to_string(), want);
    }
}
