//! The L1 table: where the L2 tables are.

use crate::{
    Error, ReadAt, Result,
    error::Kind,
    fields::{be64, buffer_len},
    qcow2::{
        header::{COPIED, Header},
        state::State,
    },
    usage::Usage,
};

/// The part of the table that is read at once.
const WINDOW_BYTES: u64 = 64 << 10;

/// The bits of an L1 or L2 entry that are the offset of a cluster.
pub(super) const OFFSET_MASK: u64 = 0x00ff_ffff_ffff_fe00;

/// The bits of an L1 entry that must be zero.
const RESERVED: u64 = !(OFFSET_MASK | COPIED);

/// The L2 tables of a state of the disk; empty entries are left out.
#[derive(Debug)]
pub(super) struct L1 {
    places: Vec<L2Place>,
}

/// An entry of the L1 table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct L2Place {
    pub(super) number: u32,
    pub(super) offset_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
enum L1Error {
    #[error("an L1 table of {len_bytes} bytes is not inside the file of {file_bytes}")]
    Outside { len_bytes: u64, file_bytes: u64 },
    #[error(
        "L1 entry {number} is {entry:#018x}: reserved bits are set, or it is not aligned to clusters"
    )]
    Entry { number: u32, entry: u64 },
    #[error(
        "L1 entry {number}: table at byte {offset} is not inside the file of {file_bytes} bytes"
    )]
    TableOutside { number: u32, offset: u64, file_bytes: u64 },
    #[error("L1 entry {number}: table at byte {offset} overlaps the header or another table")]
    TableShared { number: u32, offset: u64 },
    #[error("the L2 tables lie too far apart to be noted in the memory that there is for it")]
    Scattered,
}

impl L1 {
    /// Reads the entries that the virtual size needs; each is checked, no L2 table is read.
    pub(super) fn read(bytes: &dyn ReadAt, header: &Header, state: &State) -> Result<Self> {
        let file_bytes = bytes.len_bytes();
        let start = state.l1_offset_bytes;
        let len_bytes = state.needed_l1_bytes(header);
        if start.checked_add(len_bytes).is_none_or(|end| end > file_bytes) {
            let leaf = L1Error::Outside { len_bytes, file_bytes };
            return Err(Error::malformed(leaf).at(start));
        }
        let mut places = Vec::new();
        let mut used = fixed_clusters(header, state);
        let mut window = Vec::new();
        let mut done = 0;
        while done < len_bytes {
            let part = len_bytes.saturating_sub(done).min(WINDOW_BYTES);
            window.resize(buffer_len(part), 0);
            let at = start.saturating_add(done);
            bytes.fill(&mut window, at)?;
            let entries = window.chunks_exact(8).filter_map(|raw| be64(raw, 0));
            for (number, entry) in (done / 8..).zip(entries) {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                let place = checked(number, entry, file_bytes, header, &mut used);
                let entry_at = start.saturating_add(u64::from(number).saturating_mul(8));
                places.extend(place.map_err(|leaf| Error::malformed(leaf).at(entry_at))?);
            }
            if used.is_full() {
                return Err(Error::new(Kind::Limit, L1Error::Scattered).at(at));
            }
            done = done.saturating_add(part);
        }
        Ok(Self { places })
    }

    /// The first L2 table at or behind number `from`.
    pub(super) fn next_table(&self, from: u64) -> Option<L2Place> {
        let behind = self.places.partition_point(|place| u64::from(place.number) < from);
        self.places.get(behind).copied()
    }

    /// The L2 table `number`, if there is one.
    pub(super) fn table(&self, number: u64) -> Option<L2Place> {
        self.next_table(number).filter(|place| u64::from(place.number) == number)
    }

    pub(super) fn places(&self) -> &[L2Place] {
        &self.places
    }

    /// The clusters that no guest cluster may lie in: header, L1, refcount table, L2 tables.
    pub(super) fn metadata_clusters(&self, header: &Header, state: &State) -> Usage {
        let mut used = fixed_clusters(header, state);
        for place in &self.places {
            used.claim(place.offset_bytes >> header.cluster_bits());
        }
        used
    }
}

fn fixed_clusters(header: &Header, state: &State) -> Usage {
    let mut used = Usage::default();
    let bits = header.cluster_bits();
    let (refcounts, refcount_bytes) = header.refcount_table();
    let l1 = (state.l1_offset_bytes, state.needed_l1_bytes(header));
    used.claim(0);
    for (start, len) in [l1, (refcounts, refcount_bytes)] {
        let len = len.div_ceil(header.cluster_bytes());
        let first = start >> bits;
        used.claim_all(first..first.saturating_add(len));
    }
    used
}

fn checked(
    number: u32,
    entry: u64,
    file_bytes: u64,
    header: &Header,
    used: &mut Usage,
) -> std::result::Result<Option<L2Place>, L1Error> {
    let offset = entry & OFFSET_MASK;
    if entry & RESERVED != 0 || !offset.is_multiple_of(header.cluster_bytes()) {
        return Err(L1Error::Entry { number, entry });
    }
    if offset == 0 {
        return Ok(None);
    }
    if offset.saturating_add(header.cluster_bytes()) > file_bytes {
        return Err(L1Error::TableOutside { number, offset, file_bytes });
    }
    if !used.claim(offset >> header.cluster_bits()) {
        return Err(L1Error::TableShared { number, offset });
    }
    Ok(Some(L2Place { number, offset_bytes: offset }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qcow2::header::tests::{good, put64};

    fn file(entries: [u64; 2]) -> Vec<u8> {
        let mut bytes = good();
        bytes.resize(6 * 65536, 0);
        put64(&mut bytes, 0x30000, entries[0]);
        put64(&mut bytes, 0x30008, entries[1]);
        bytes
    }

    fn read(bytes: &Vec<u8>) -> Result<L1> {
        let header = Header::parse(bytes).unwrap();
        L1::read(bytes, &header, header.active())
    }

    #[test]
    fn keeps_the_tables_that_are_there() {
        let l1 = read(&file([0, 0x40000 | 1 << 63])).unwrap();
        let place = L2Place { number: 1, offset_bytes: 0x40000 };
        assert_eq!((l1.next_table(0), l1.table(0)), (Some(place), None));
        assert_eq!(l1.next_table(2), None);
    }

    #[test]
    fn names_the_entry_that_is_wrong() {
        for (entries, want) in [
            (
                [0x40000, 0x60000],
                "L1 entry 1: table at byte 393216 is not inside the file of 393216 bytes, at byte 196616",
            ),
            (
                [0x40000, 0x40000],
                "L1 entry 1: table at byte 262144 overlaps the header or another table, at byte 196616",
            ),
            (
                [0x30000, 0],
                "L1 entry 0: table at byte 196608 overlaps the header or another table, at byte 196608",
            ),
            (
                [0x10000, 0],
                "L1 entry 0: table at byte 65536 overlaps the header or another table, at byte 196608",
            ),
            (
                [0x40200, 0],
                "L1 entry 0 is 0x0000000000040200: reserved bits are set, or it is not aligned to clusters, at byte 196608",
            ),
            (
                [0, 1 << 62],
                "L1 entry 1 is 0x4000000000000000: reserved bits are set, or it is not aligned to clusters, at byte 196616",
            ),
        ] {
            assert_eq!(read(&file(entries)).unwrap_err().to_string(), want);
        }
        let mut short = file([0, 0]);
        short.truncate(0x30008);
        let want = "an L1 table of 16 bytes is not inside the file of 196616, at byte 196608";
        assert_eq!(read(&short).unwrap_err().to_string(), want);
    }
}
