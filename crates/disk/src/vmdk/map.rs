//! The map from grains to sectors of the file.

use crate::{
    Error, ReadAt, Result,
    fields::le32,
    usage::Usage,
    vmdk::header::{Header, SECTOR_BYTES, TABLE_ENTRIES, TABLE_LEN, TABLE_SECTORS},
};

/// The part of the directory that is read at once.
const WINDOW_BYTES: u64 = 64 << 10;

/// One grain table: the sector of each grain, 0 where there is none.
pub(super) type Table = [u32; TABLE_LEN];

/// Where the tables come from.
#[derive(Debug)]
pub(super) enum GrainMap {
    /// The tables of the file, in the order of the directory; empty ones are left out.
    Tables(Vec<TablePlace>),
    /// The grains that a walk over the markers found, in the order of the disk.
    Walked(Vec<WalkedGrain>),
}

/// An entry of the grain directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TablePlace {
    pub(super) number: u32,
    pub(super) sector: u32,
}

/// A grain that was found by its own header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WalkedGrain {
    pub(super) index: u64,
    pub(super) sector: u32,
}

/// What is wrong with a grain directory.
#[derive(Debug, thiserror::Error)]
enum DirectoryError {
    #[error("a grain directory of {len_bytes} bytes is not inside the file of {file_bytes}")]
    Outside { len_bytes: u64, file_bytes: u64 },
    #[error("the grain directory lies in the header")]
    InHeader,
    #[error(
        "grain directory entry {number}: table at sector {sector} is not inside the file of {file_bytes} bytes"
    )]
    TableOutside { number: u32, sector: u32, file_bytes: u64 },
    #[error(
        "grain directory entry {number}: table at sector {sector} overlaps the header, a directory or another table"
    )]
    TableShared { number: u32, sector: u32 },
}

impl GrainMap {
    /// Reads the directory at `sector`; every entry of it is checked, no table is read.
    pub(super) fn read(bytes: &dyn ReadAt, header: &Header, sector: u64) -> Result<Self> {
        let file_bytes = bytes.len_bytes();
        let start = sector.saturating_mul(SECTOR_BYTES);
        let len_bytes = header.table_count().saturating_mul(4);
        if start < SECTOR_BYTES {
            return Err(Error::malformed(DirectoryError::InHeader).at(start));
        }
        if start.checked_add(len_bytes).is_none_or(|end| end > file_bytes) {
            let leaf = DirectoryError::Outside { len_bytes, file_bytes };
            return Err(Error::malformed(leaf).at(start));
        }
        let mut directory =
            Directory { places: Vec::new(), used: Usage::default(), file_bytes, header };
        directory.used.claim(0);
        directory.used.claim_all(sector..sector.saturating_add(header.directory_sectors()));
        let mut window = Vec::new();
        let mut done = 0;
        while done < len_bytes {
            let part = len_bytes.saturating_sub(done).min(WINDOW_BYTES);
            window.resize(crate::fields::buffer_len(part), 0);
            let at = start.saturating_add(done);
            bytes.fill(&mut window, at)?;
            directory.take(&window, done / 4, at)?;
            done = done.saturating_add(part);
        }
        Ok(Self::Tables(directory.places))
    }

    /// The first table at or behind number `from` that is not empty.
    pub(super) fn next_table(&self, from: u64) -> Option<u64> {
        match self {
            Self::Tables(places) => {
                let behind = places.partition_point(|place| u64::from(place.number) < from);
                places.get(behind).map(|place| u64::from(place.number))
            }
            Self::Walked(grains) => {
                let first = from.saturating_mul(TABLE_ENTRIES);
                let behind = grains.partition_point(|grain| grain.index < first);
                grains.get(behind).map(|grain| grain.index / TABLE_ENTRIES)
            }
        }
    }

    /// The first table that `other` has and this map has not.
    pub(super) fn first_missing(&self, other: &Self) -> Option<u32> {
        let mut here = self.places().iter().map(|place| place.number).peekable();
        other.places().iter().map(|place| place.number).find(|wanted| {
            while here.next_if(|number| number < wanted).is_some() {}
            here.peek() != Some(wanted)
        })
    }

    /// Reads table `number`; `None` when it is empty.
    pub(super) fn table(&self, bytes: &dyn ReadAt, number: u64) -> Result<Option<Box<Table>>> {
        match self {
            Self::Tables(places) => {
                let found = places.binary_search_by_key(&number, |place| u64::from(place.number));
                let place = found.ok().and_then(|found| places.get(found));
                place.map(|place| read_table(bytes, *place)).transpose()
            }
            Self::Walked(grains) => Ok(walked_table(grains, number)),
        }
    }

    /// The places of the tables in the file.
    pub(super) fn places(&self) -> &[TablePlace] {
        match self {
            Self::Tables(places) => places,
            Self::Walked(_) => &[],
        }
    }
}

/// A directory that is being read.
struct Directory<'a> {
    places: Vec<TablePlace>,
    used: Usage,
    file_bytes: u64,
    header: &'a Header,
}

impl Directory<'_> {
    /// Takes the entries of one window, the first of which has the number `first`.
    fn take(&mut self, window: &[u8], first: u64, at: u64) -> Result<()> {
        let entries = window.chunks_exact(4).filter_map(|raw| le32(raw, 0));
        for (number, sector) in (first..).zip(entries) {
            // An entry of 1 is a table of zero grains, where grains of zeros are allowed.
            if sector == 0 || sector == 1 && self.header.has_zero_grains() {
                continue;
            }
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            self.check(number, sector).map_err(|leaf| {
                let back = u64::from(number).saturating_sub(first).saturating_mul(4);
                Error::malformed(leaf).at(at.saturating_add(back))
            })?;
            self.places.push(TablePlace { number, sector });
        }
        Ok(())
    }

    fn check(&mut self, number: u32, sector: u32) -> std::result::Result<(), DirectoryError> {
        let first = u64::from(sector);
        let end = first.saturating_add(TABLE_SECTORS);
        let file_bytes = self.file_bytes;
        if end.saturating_mul(SECTOR_BYTES) > file_bytes {
            return Err(DirectoryError::TableOutside { number, sector, file_bytes });
        }
        match self.used.claim_all(first..end) {
            Some(_) => Err(DirectoryError::TableShared { number, sector }),
            None => Ok(()),
        }
    }
}

fn read_table(bytes: &dyn ReadAt, place: TablePlace) -> Result<Box<Table>> {
    let mut raw = [0; 4 * TABLE_LEN];
    bytes.fill(&mut raw, u64::from(place.sector).saturating_mul(SECTOR_BYTES))?;
    Ok(parse_table(&raw))
}

/// Decodes the bytes of a table.
pub(super) fn parse_table(raw: &[u8]) -> Box<Table> {
    let mut table = Box::new([0; TABLE_LEN]);
    for (entry, raw) in table.iter_mut().zip(raw.chunks_exact(4)) {
        *entry = le32(raw, 0).unwrap_or_default();
    }
    table
}

fn walked_table(grains: &[WalkedGrain], number: u64) -> Option<Box<Table>> {
    let first = number.saturating_mul(TABLE_ENTRIES);
    let from = grains.partition_point(|grain| grain.index < first);
    let mut table = Box::new([0; TABLE_LEN]);
    let mut empty = true;
    for grain in grains.get(from..).unwrap_or_default() {
        let slot = usize::try_from(grain.index.saturating_sub(first)).ok();
        let Some(entry) = slot.and_then(|slot| table.get_mut(slot)) else { break };
        *entry = grain.sector;
        empty = false;
    }
    (!empty).then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmdk::header::tests::{good, put32, put64};

    /// A file with a directory at sector 2 and its tables from sector 4 on.
    fn file(entries: &[u32]) -> (Vec<u8>, Header) {
        let mut header = good();
        put64(&mut header, 12, entries.len() as u64 * 512 * 128);
        let header = Header::parse(&header, 0).unwrap();
        let mut bytes = vec![0; 16 * 512];
        for (number, entry) in entries.iter().enumerate() {
            put32(&mut bytes, 2 * 512 + number * 4, *entry);
        }
        put32(&mut bytes, 4 * 512 + 20, 77);
        (bytes, header)
    }

    #[test]
    fn keeps_the_tables_that_are_not_empty() {
        let (bytes, header) = file(&[0, 4, 0, 8]);
        let map = GrainMap::read(&bytes, &header, 2).unwrap();
        assert_eq!(map.next_table(0), Some(1));
        assert_eq!(map.next_table(2), Some(3));
        assert_eq!(map.next_table(4), None);
        assert_eq!(map.table(&bytes, 1).unwrap().unwrap()[5], 77);
        assert!(map.table(&bytes, 2).unwrap().is_none());
    }

    #[test]
    fn finds_the_table_that_only_the_other_has() {
        let map = |entries: &[u32]| {
            let (bytes, header) = file(entries);
            GrainMap::read(&bytes, &header, 2).unwrap()
        };
        let both = map(&[0, 4, 0, 8]);
        assert_eq!(both.first_missing(&map(&[0, 8, 0, 0])), None);
        assert_eq!(both.first_missing(&both), None);
        assert_eq!(map(&[0, 8, 0, 0]).first_missing(&both), Some(3));
        assert_eq!(map(&[0, 0, 8, 0]).first_missing(&both), Some(1));
        assert_eq!(map(&[0; 4]).first_missing(&both), Some(1));
    }

    #[test]
    fn names_the_entry_that_is_wrong() {
        for (entries, sector, want) in [
            (
                &[4, 13][..],
                2,
                "grain directory entry 1: table at sector 13 is not inside the file of 8192 bytes, at byte 1028",
            ),
            (
                &[4, 7],
                2,
                "grain directory entry 1: table at sector 7 overlaps the header, a directory or another table, at byte 1028",
            ),
            (
                &[2],
                2,
                "grain directory entry 0: table at sector 2 overlaps the header, a directory or another table, at byte 1024",
            ),
            (&[4], 0, "the grain directory lies in the header, at byte 0"),
            (&[4], 16, "a grain directory of 4 bytes is not inside the file of 8192, at byte 8192"),
            (
                &[4],
                u64::MAX - 1,
                "a grain directory of 4 bytes is not inside the file of 8192, at byte 18446744073709551615",
            ),
        ] {
            let (bytes, header) = file(entries);
            let error = GrainMap::read(&bytes, &header, sector).unwrap_err();
            assert_eq!(error.to_string(), want);
        }
    }

    #[test]
    fn makes_tables_of_walked_grains() {
        let grain = |index, sector| WalkedGrain { index, sector };
        let map = GrainMap::Walked(vec![grain(3, 128), grain(511, 129), grain(1024, 130)]);
        let none = Vec::new();
        assert_eq!((map.next_table(0), map.next_table(1)), (Some(0), Some(2)));
        let table = map.table(&none, 0).unwrap().unwrap();
        assert_eq!((table[3], table[511], table[4]), (128, 129, 0));
        assert!(map.table(&none, 1).unwrap().is_none());
        assert_eq!(map.table(&none, 2).unwrap().unwrap()[0], 130);
    }
}
