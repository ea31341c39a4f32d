//! The proof that the tables of a stream list exactly the grains that were in it.

use std::collections::HashMap;

use crate::{
    Error, Result,
    fields::le32,
    vmdk::{header::TABLE_ENTRIES, map::Table},
};

/// Compares what the grain tables say with what the grains were.
///
/// It keeps 16 bytes for each table and none for a grain: a count, and a sum over slot and sector
/// that does not depend on the order.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// What was seen, by the number of the table that a grain belongs to.
    seen: HashMap<u64, Sum>,
    /// What the tables say, by the sector that each stands at.
    tables: HashMap<u32, Sum>,
    /// What the tables say, by their number, which the directory gives.
    said: Option<HashMap<u64, Sum>>,
}

/// The entries of a table, summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    grains: u32,
    mixed: u64,
}

#[derive(Debug, thiserror::Error)]
enum ProofError {
    #[error(
        "grain directory entry {number} names sector {sector}, where the stream had no grain table"
    )]
    NoTable { number: u64, sector: u32 },
    #[error("grain table {0} does not list the grains that are in the stream")]
    Differs(u64),
}

impl Sum {
    fn add(&mut self, slot: u64, sector: u32) {
        self.grains = self.grains.saturating_add(1);
        // The finalizer of splitmix64: any mixer does, it has to catch mistakes and not attackers.
        let mut mixed = (slot << 32) | u64::from(sector);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.mixed = self.mixed.wrapping_add(mixed ^ (mixed >> 31));
    }
}

impl Proof {
    /// Notes a grain of the stream.
    pub(super) fn grain(&mut self, index: u64, sector: u32) {
        let sum = self.seen.entry(index / TABLE_ENTRIES).or_default();
        sum.add(index % TABLE_ENTRIES, sector);
    }

    /// Notes a grain table that stands at `sector`.
    pub(super) fn table(&mut self, sector: u32, table: &Table, zero_grains: bool) {
        let mut sum = Sum::default();
        for (slot, entry) in (0..).zip(table) {
            if *entry != 0 && !(*entry == 1 && zero_grains) {
                sum.add(slot, *entry);
            }
        }
        self.tables.insert(sector, sum);
    }

    /// Takes a part of the grain directory, which stands at byte `at` and begins with entry `first`.
    pub(super) fn directory(&mut self, raw: &[u8], first: u64, at: u64) -> Result<()> {
        let said = self.said.get_or_insert_default();
        let entries = raw.chunks_exact(4).filter_map(|raw| le32(raw, 0));
        for (number, sector) in (first..).zip(entries).filter(|(_, sector)| *sector > 1) {
            let Some(sum) = self.tables.get(&sector) else {
                return Err(Error::malformed(ProofError::NoTable { number, sector }).at(at));
            };
            if sum.grains > 0 {
                said.insert(number, *sum);
            }
        }
        Ok(())
    }

    /// Whether there was a directory; an error when it does not agree with the grains.
    pub(super) fn conclude(&self, at: u64) -> Result<bool> {
        let Some(said) = &self.said else { return Ok(false) };
        let numbers = said.keys().chain(self.seen.keys());
        let differs = numbers.filter(|number| said.get(number) != self.seen.get(number)).min();
        match differs {
            Some(number) => Err(Error::malformed(ProofError::Differs(*number)).at(at)),
            None => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(entries: &[(usize, u32)]) -> Table {
        let mut table = [0; 512];
        for (slot, sector) in entries {
            table[*slot] = *sector;
        }
        table
    }

    /// A proof that saw grain 3 at sector 128 and grain 515 at 130, with tables at 200 and 210.
    fn proof(first: &[(usize, u32)], second: &[(usize, u32)], zero_grains: bool) -> Proof {
        let mut proof = Proof::default();
        proof.grain(515, 130);
        proof.grain(3, 128);
        proof.table(200, &table(first), zero_grains);
        proof.table(210, &table(second), zero_grains);
        proof
    }

    fn raw(entries: [u32; 2]) -> Vec<u8> {
        entries.iter().flat_map(|entry| entry.to_le_bytes()).collect()
    }

    #[test]
    fn agrees_when_the_tables_list_the_grains() {
        let mut whole = proof(&[(3, 128), (9, 1)], &[(3, 130)], true);
        assert!(!whole.conclude(0).unwrap());
        whole.directory(&raw([200, 210]), 0, 0).unwrap();
        assert!(whole.conclude(0).unwrap());
    }

    #[test]
    fn names_the_table_that_lists_something_else() {
        for (first, second, directory, want) in [
            (&[(3, 128)][..], &[(4, 130)][..], [200, 210], "grain table 1 does not list"),
            (&[(3, 129)], &[(3, 130)], [200, 210], "grain table 0 does not list"),
            (&[(3, 128), (4, 128)], &[(3, 130)], [200, 210], "grain table 0 does not list"),
            (&[(3, 128)], &[(3, 130)], [200, 0], "grain table 1 does not list"),
            (&[(3, 128)], &[(3, 130)], [210, 200], "grain table 0 does not list"),
        ] {
            let mut proof = proof(first, second, false);
            proof.directory(&raw(directory), 0, 0).unwrap();
            let error = proof.conclude(9000).unwrap_err().to_string();
            assert_eq!(error, format!("{want} the grains that are in the stream, at byte 9000"));
        }
        let mut proof = proof(&[], &[], false);
        let error = proof.directory(&raw([0, 99]), 0, 512).unwrap_err().to_string();
        assert_eq!(
            error,
            "grain directory entry 1 names sector 99, where the stream had no grain table, at byte 512"
        );
    }
}
