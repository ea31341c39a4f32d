//! Which bytes of a request are answered already.

use std::{collections::BTreeMap, ops::Range};

/// Ranges that came, in any order: none of them twice, and in the end all of them.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// Starts and ends of what is covered; ranges that touch are one.
    ranges: BTreeMap<u64, u64>,
}

impl Coverage {
    /// Adds a range that is not empty; `false` when a part of it is covered already.
    pub(crate) fn add(&mut self, range: &Range<u64>) -> bool {
        let Range { mut start, mut end } = *range;
        if let Some((&before, &ends)) = self.ranges.range(..=start).next_back() {
            if ends > start {
                return false;
            }
            if ends == start {
                start = before;
            }
        }
        if let Some((&behind, &ends)) = self.ranges.range(range.start..).next() {
            if behind < end {
                return false;
            }
            if behind == end {
                self.ranges.remove(&behind);
                end = ends;
            }
        }
        self.ranges.insert(start, end);
        true
    }

    /// The first byte of `range` that is not covered.
    pub(crate) fn first_gap(&self, range: &Range<u64>) -> Option<u64> {
        let covered =
            self.ranges.range(..=range.start).next_back().map_or(range.start, |(_, &end)| end);
        let gap = covered.max(range.start);
        (gap < range.end).then_some(gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_whole_once_every_byte_came_in_whatever_order() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1], [1, 3, 0, 2]] {
            let mut coverage = Coverage::default();
            for part in order {
                assert!(coverage.first_gap(&(100..140)).is_some(), "{order:?}");
                let start = 100 + 10 * part;
                assert!(coverage.add(&(start..start + 10)), "{order:?}");
            }
            assert_eq!(coverage.first_gap(&(100..140)), None, "{order:?}");
            assert_eq!(coverage.ranges.len(), 1, "{order:?}");
        }
    }

    #[test]
    fn refuses_a_byte_that_came_before() {
        let mut coverage = Coverage::default();
        assert!(coverage.add(&(10..20)) && coverage.add(&(30..40)));
        for range in [10..20, 5..11, 19..21, 15..16, 5..50, 20..31, 39..50, 10..11, 25..35] {
            assert!(!coverage.add(&range), "{range:?}");
        }
        assert_eq!(coverage.first_gap(&(0..40)), Some(0));
        assert_eq!(coverage.first_gap(&(10..40)), Some(20));
        assert_eq!(coverage.first_gap(&(12..18)), None);
    }
}
