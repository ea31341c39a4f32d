//! Which units of a file are in use.

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
};

/// The units of a page.
const PAGE_UNITS: u64 = 1 << 15;

/// The units of a word.
const WORD_UNITS: u16 = 64;

/// The words of a full page.
const PAGE_WORDS: usize = 512;

/// The units of a page that are listed one by one; with more of them, bits take less memory.
const MAX_LISTED: usize = 2048;

/// What a page costs in the map, whatever is in it: measured for a map that has just grown.
const PAGE_COST_BYTES: usize = 128;

/// The memory of a set: 64 MiB, the limit of this product.
///
/// As bits that is 32 TiB of clusters of 64 KiB, wherever they lie.
const MAX_BYTES: usize = 64 << 20;

/// A set of unit numbers (sectors, grains, clusters): it finds what is used twice.
///
/// Its memory follows the number of units that are used, not the length that a file pretends to
/// have, and ends at a limit. A set that [is full](Self::is_full) notes nothing more.
#[derive(Debug)]
pub(crate) struct Usage {
    pages: HashMap<u64, Page>,
    bytes: usize,
    max_bytes: usize,
}

/// The used units of one page.
#[derive(Debug)]
enum Page {
    /// In order.
    Listed(Vec<u16>),
    /// One bit a unit.
    Bits(Box<[u64; PAGE_WORDS]>),
}

impl Default for Usage {
    fn default() -> Self {
        Self { pages: HashMap::new(), bytes: 0, max_bytes: MAX_BYTES }
    }
}

impl Usage {
    /// Takes a unit; `false` when it was taken before.
    pub(crate) fn claim(&mut self, unit: u64) -> bool {
        let within = u16::try_from(unit % PAGE_UNITS).unwrap_or(0);
        let full = self.is_full();
        match self.pages.entry(unit / PAGE_UNITS) {
            Entry::Occupied(page) if full => !page.get().contains(within),
            Entry::Vacant(_) if full => true,
            entry => {
                let new = matches!(entry, Entry::Vacant(_));
                let page = entry.or_insert_with(|| Page::Listed(Vec::new()));
                let before = if new { 0 } else { page.cost_bytes() };
                let free = page.insert(within);
                let grown = self.bytes.saturating_add(page.cost_bytes());
                self.bytes = grown.saturating_sub(before);
                free
            }
        }
    }

    /// Takes a run of units; the first that was taken before, if any.
    pub(crate) fn claim_all(&mut self, units: Range<u64>) -> Option<u64> {
        // Every unit is claimed, also behind the first that is used twice.
        units.fold(None, |twice, unit| if self.claim(unit) { twice } else { twice.or(Some(unit)) })
    }

    /// Whether the memory of the set is used up: from here on it notes no unit.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= self.max_bytes
    }
}

impl Page {
    /// Adds a unit; `false` when it was there.
    fn insert(&mut self, unit: u16) -> bool {
        match self {
            Self::Listed(units) => {
                let Err(place) = units.binary_search(&unit) else { return false };
                units.insert(place, unit);
                if units.len() > MAX_LISTED {
                    *self = Self::bits(units);
                }
                true
            }
            Self::Bits(words) => {
                let (index, bit) = word(unit);
                let Some(word) = words.get_mut(index) else { return false };
                let free = *word & bit == 0;
                *word |= bit;
                free
            }
        }
    }

    fn contains(&self, unit: u16) -> bool {
        match self {
            Self::Listed(units) => units.binary_search(&unit).is_ok(),
            Self::Bits(words) => {
                let (index, bit) = word(unit);
                words.get(index).is_some_and(|word| word & bit != 0)
            }
        }
    }

    fn bits(units: &[u16]) -> Self {
        let mut words = Box::new([0; PAGE_WORDS]);
        for unit in units {
            let (index, bit) = word(*unit);
            if let Some(word) = words.get_mut(index) {
                *word |= bit;
            }
        }
        Self::Bits(words)
    }

    fn cost_bytes(&self) -> usize {
        let content = match self {
            Self::Listed(units) => units.capacity().saturating_mul(size_of::<u16>()),
            Self::Bits(_) => size_of::<[u64; PAGE_WORDS]>(),
        };
        content.saturating_add(PAGE_COST_BYTES)
    }
}

/// The word of a unit in its page, and its bit there.
fn word(unit: u16) -> (usize, u64) {
    (usize::from(unit / WORD_UNITS), 1 << (unit % WORD_UNITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_taken_twice() {
        let mut usage = Usage::default();
        for unit in [0, 63, 64, 511, 512, 1 << 15, u64::MAX] {
            assert!(usage.claim(unit), "{unit}");
            assert!(!usage.claim(unit), "{unit}");
        }
        assert_eq!(usage.claim_all(60..63), None);
        assert_eq!(usage.claim_all(58..66), Some(60));
        assert!(!usage.claim(58) && !usage.claim(65) && usage.claim(66));
    }

    #[test]
    fn forgets_nothing_when_a_list_becomes_bits() {
        let mut usage = Usage::default();
        for unit in (0..PAGE_UNITS).step_by(3) {
            assert!(usage.claim(unit), "{unit}");
        }
        for unit in 0..PAGE_UNITS {
            assert_eq!(usage.claim(unit), !unit.is_multiple_of(3), "{unit}");
        }
    }

    #[test]
    fn ends_at_its_limit_and_still_knows_what_it_noted() {
        let mut usage = Usage { max_bytes: 10_000, ..Usage::default() };
        let noted = (0..1000).take_while(|page| {
            assert!(usage.claim(page * PAGE_UNITS));
            !usage.is_full()
        });
        let noted = noted.count() as u64;
        assert!((50..100).contains(&noted), "{noted}");
        assert!(!usage.claim(0) && !usage.claim(noted * PAGE_UNITS));
        let pages = usage.pages.len();
        assert!(usage.claim(5000 * PAGE_UNITS) && usage.claim(5000 * PAGE_UNITS) && usage.claim(7));
        assert_eq!(usage.pages.len(), pages);
    }

    #[test]
    fn counts_a_dense_file_as_bits() {
        let mut usage = Usage::default();
        assert_eq!(usage.claim_all(0..16 * PAGE_UNITS), None);
        assert_eq!(usage.bytes, 16 * (4096 + PAGE_COST_BYTES));
    }
}
