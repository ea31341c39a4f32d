//! Tables of one cluster each, of which some are in memory.

use std::collections::VecDeque;

use crate::{
    Error, Result,
    target::{CLUSTER_LEN, WriteAt},
};

/// The tables of one kind that stay in memory: 4 MiB. As L2 tables they describe 32 GiB of the
/// disk, as refcount blocks 128 GiB of the file.
const CACHED_TABLES: usize = 64;

/// The tables of one kind (L2 tables, refcount blocks) of an image that is being written.
///
/// They leave memory when others are touched, and come back.
pub(super) struct Tables {
    places: Vec<Place>,
    /// Tables in memory, the one that was used last at the back.
    cached: VecDeque<Table>,
}

#[derive(Debug, thiserror::Error)]
#[error("table {0} of the written image has no place")]
struct NoPlace(usize);

/// Where a table is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// There is no such table.
    None,
    /// Nowhere yet: it is in memory only.
    Memory,
    /// At this byte.
    At(u64),
}

/// A table in memory, as it is written.
struct Table {
    number: usize,
    bytes: Vec<u8>,
}

impl Tables {
    pub(super) fn new() -> Self {
        Self { places: Vec::new(), cached: VecDeque::new() }
    }

    /// Where each table is in the file; 0 where there is none.
    pub(super) fn offsets(&self) -> impl Iterator<Item = u64> + Clone {
        self.places.iter().map(|place| if let Place::At(offset) = place { *offset } else { 0 })
    }

    /// One more than the highest number of a table.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is a table `number`.
    pub(super) fn contains(&self, number: usize) -> bool {
        self.places.get(number).is_some_and(|place| *place != Place::None)
    }

    /// Whether table `number` has no place in the file yet.
    pub(super) fn is_homeless(&self, number: usize) -> bool {
        self.places.get(number) == Some(&Place::Memory)
    }

    /// The table without a place that must get one before table `number` is used.
    pub(super) fn homeless_before(&self, number: usize) -> Option<usize> {
        let full = self.cached.len() >= CACHED_TABLES;
        let cached = self.cached.iter().any(|table| table.number == number);
        let oldest = self.cached.front().map(|table| table.number);
        oldest.filter(|oldest| full && !cached && self.is_homeless(*oldest))
    }

    /// Gives table `number` its place.
    pub(super) fn settle(&mut self, number: usize, offset_bytes: u64) {
        if let Some(place) = self.places.get_mut(number) {
            *place = Place::At(offset_bytes);
        }
    }

    /// Adds table `number`, empty and without a place.
    pub(super) fn add(&mut self, file: &dyn WriteAt, number: usize) -> Result<()> {
        if self.places.len() <= number {
            self.places.resize(number.saturating_add(1), Place::None);
        }
        if let Some(place) = self.places.get_mut(number) {
            *place = Place::Memory;
        }
        let bytes = self.room(file)?;
        self.cached.push_back(Table { number, bytes });
        Ok(())
    }

    /// The bytes of table `number`, which was added before.
    pub(super) fn get(&mut self, file: &dyn WriteAt, number: usize) -> Result<&mut [u8]> {
        if self.cached.back().is_none_or(|table| table.number != number) {
            let cached = self.cached.iter().position(|table| table.number == number);
            let table = match cached.and_then(|cached| self.cached.remove(cached)) {
                Some(table) => table,
                None => self.load(file, number)?,
            };
            self.cached.push_back(table);
        }
        Ok(self.cached.back_mut().map(|table| &mut table.bytes[..]).unwrap_or_default())
    }

    /// Writes every table that is in memory.
    pub(super) fn flush(&mut self, file: &dyn WriteAt) -> Result<()> {
        while let Some(table) = self.cached.pop_front() {
            self.write(file, &table)?;
        }
        Ok(())
    }

    fn load(&mut self, file: &dyn WriteAt, number: usize) -> Result<Table> {
        let mut bytes = self.room(file)?;
        file.read_exact_at(&mut bytes, self.offset(number)?)?;
        Ok(Table { number, bytes })
    }

    /// A buffer of zeros, after the oldest table has left when there are too many.
    fn room(&mut self, file: &dyn WriteAt) -> Result<Vec<u8>> {
        if self.cached.len() < CACHED_TABLES {
            return Ok(vec![0; CLUSTER_LEN]);
        }
        let Some(oldest) = self.cached.pop_front() else { return Ok(vec![0; CLUSTER_LEN]) };
        self.write(file, &oldest)?;
        let mut bytes = oldest.bytes;
        bytes.fill(0);
        Ok(bytes)
    }

    fn write(&self, file: &dyn WriteAt, table: &Table) -> Result<()> {
        Ok(file.write_all_at(&table.bytes, self.offset(table.number)?)?)
    }

    fn offset(&self, number: usize) -> Result<u64> {
        match self.places.get(number) {
            Some(Place::At(offset)) => Ok(*offset),
            _ => Err(Error::malformed(NoPlace(number))),
        }
    }
}
