//! Which units of a file are in use.

use std::{collections::HashMap, ops::Range};

/// The units of a page.
const PAGE_UNITS: u64 = 512;

/// The units of a word.
const WORD_UNITS: u64 = 64;

/// A set of unit numbers (sectors, grains, clusters): it finds what is used twice.
///
/// Pages are made when they are first touched, so its memory follows the number of units that are
/// used and not the length that a file pretends to have.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pages: HashMap<u64, [u64; 8]>,
}

impl Usage {
    /// Takes a unit; `false` when it was taken before.
    pub(crate) fn claim(&mut self, unit: u64) -> bool {
        let page = self.pages.entry(unit / PAGE_UNITS).or_default();
        let bit = 1 << (unit % WORD_UNITS);
        let index = usize::try_from(unit % PAGE_UNITS / WORD_UNITS).unwrap_or(0);
        let Some(word) = page.get_mut(index) else { return false };
        let free = *word & bit == 0;
        *word |= bit;
        free
    }

    /// Takes a run of units; the first that was taken before, if any.
    pub(crate) fn claim_all(&mut self, units: Range<u64>) -> Option<u64> {
        // Every unit is claimed, also behind the first that is used twice.
        units.fold(None, |twice, unit| if self.claim(unit) { twice } else { twice.or(Some(unit)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_taken_twice() {
        let mut usage = Usage::default();
        for unit in [0, 63, 64, 511, 512, u64::MAX] {
            assert!(usage.claim(unit), "{unit}");
            assert!(!usage.claim(unit), "{unit}");
        }
        assert_eq!(usage.claim_all(60..63), None);
        assert_eq!(usage.claim_all(58..66), Some(60));
        assert!(!usage.claim(58) && !usage.claim(65) && usage.claim(66));
    }
}
