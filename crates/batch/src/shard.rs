//! Which part of a batch this process does, without asking anybody.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256};

use crate::{Error, ItemId, Result};

/// The most parts of a batch: the limit of this product.
const MAX_COUNT: u32 = 100_000;

/// Part `index` of `count` parts of a batch.
///
/// An item is in part `u64_be(SHA-256(id)[0..8]) mod count`: each process finds its own items by itself,
/// and an item stays in its part whatever else is in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

impl Shard {
    /// Reads `I/N`, or where the index is found: `kubernetes/N` takes `JOB_COMPLETION_INDEX` of an
    /// Indexed Job; `slurm` takes `SLURM_ARRAY_TASK_ID`, counted from `SLURM_ARRAY_TASK_MIN`, of
    /// `SLURM_ARRAY_TASK_COUNT` tasks.
    ///
    /// # Errors
    ///
    /// When the text is none of these, a variable is missing, or the index is not below the count.
    pub fn find(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let number = |name: &str| -> Result<u32> {
            let value = variable(name).ok_or_else(|| {
                Error::usage(format!(
                    "the shard '{text}' needs the variable {name}, which is not set"
                ))
            })?;
            value.parse().map_err(|_| {
                Error::usage(format!("{name} is '{}' and no number", value.escape_debug()))
            })
        };
        match text.split_once('/') {
            Some(("kubernetes", count)) => {
                Self::new(number("JOB_COMPLETION_INDEX")?, count_of(text, count)?)
            }
            None if text == "slurm" => {
                let (task, first) =
                    (number("SLURM_ARRAY_TASK_ID")?, number("SLURM_ARRAY_TASK_MIN")?);
                let index = task.checked_sub(first).ok_or_else(|| {
                    Error::usage(format!(
                        "SLURM_ARRAY_TASK_ID {task} is below the first task, {first}"
                    ))
                })?;
                Self::new(index, number("SLURM_ARRAY_TASK_COUNT")?)
            }
            _ => text.parse(),
        }
    }

    fn new(index: u32, count: u32) -> Result<Self> {
        if count == 0 || count > MAX_COUNT || index >= count {
            return Err(Error::usage(format!(
                "there is no shard {index}/{count}: I/N with I from 0 below N, and N at most {MAX_COUNT}"
            )));
        }
        Ok(Self { index, count })
    }

    /// Whether an item is of this part.
    #[must_use]
    pub fn holds(self, id: &ItemId) -> bool {
        let hash = Sha256::digest(id.as_str().as_bytes());
        let head = hash.iter().take(8).fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        head % u64::from(self.count) == u64::from(self.index)
    }

    /// Whether an item can be of both parts.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let common = greatest_common_divisor(self.count, other.count);
        self.index % common == other.index % common
    }

    /// As it stands in the name of a journal: `0-of-3`.
    #[must_use]
    pub fn file_part(self) -> String {
        format!("{}-of-{}", self.index, self.count)
    }

    /// Reads what stands in the name of a journal; `None` where it is none.
    #[must_use]
    pub fn of_file_part(text: &str) -> Option<Self> {
        let (index, count) = text.split_once("-of-")?;
        let shard = Self::new(index.parse().ok()?, count.parse().ok()?).ok()?;
        // A sign or a zero in front is nothing that was written by `file_part`.
        (shard.file_part() == text).then_some(shard)
    }
}

/// Of two numbers over 0.
const fn greatest_common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

fn count_of(text: &str, count: &str) -> Result<u32> {
    count.parse().map_err(|_| Error::usage(format!("'{}' is no shard: I/N", text.escape_debug())))
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let no_shard = || {
            Error::usage(format!(
                "'{}' is no shard: I/N, kubernetes/N or slurm",
                text.escape_debug()
            ))
        };
        let (index, count) = text.split_once('/').ok_or_else(no_shard)?;
        Self::new(index.parse().map_err(|_| no_shard())?, count.parse().map_err(|_| no_shard())?)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, set: &[(&str, &str)]) -> std::result::Result<String, String> {
        let variable = |name: &str| {
            set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        let found = Shard::find(text, &variable);
        found.map(|shard| shard.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_item_is_in_the_part_that_the_contract_says() {
        for (id, index) in [("web-01", 3), ("web-02", 0), ("db-01", 2), ("demo", 0)] {
            for other in 0..4 {
                let shard = Shard::new(other, 4).unwrap();
                assert_eq!(shard.holds(&ItemId::near(id)), other == index, "{id} {shard}");
            }
        }
    }

    #[test]
    fn two_parts_overlap_when_a_number_is_in_both() {
        for (one_count, other_count) in [(1, 1), (1, 4), (2, 4), (3, 3), (4, 6), (3, 5), (6, 4)] {
            for (one, other) in (0..one_count).flat_map(|i| (0..other_count).map(move |j| (i, j))) {
                let both = (0..60).any(|n| n % one_count == one && n % other_count == other);
                let one = Shard::new(one, one_count).unwrap();
                let other = Shard::new(other, other_count).unwrap();
                assert_eq!(one.overlaps(other), both, "{one} {other}");
            }
        }
    }

    #[test]
    fn the_part_of_a_journal_is_in_its_name() {
        let shard = Shard::new(2, 16).unwrap();
        assert_eq!(Shard::of_file_part(&shard.file_part()), Some(shard));
        for text in ["", "0-of-", "-of-3", "3-of-3", "0-of-x", "+0-of-3", "00-of-3", "0-of-3-of-4"]
        {
            assert_eq!(Shard::of_file_part(text), None, "{text}");
        }
    }

    #[test]
    fn the_index_is_read_where_schedulers_put_it() {
        assert_eq!(find("1/3", &[]).unwrap(), "1/3");
        assert_eq!(find("kubernetes/16", &[("JOB_COMPLETION_INDEX", "5")]).unwrap(), "5/16");
        let array = [
            ("SLURM_ARRAY_TASK_ID", "12"),
            ("SLURM_ARRAY_TASK_MIN", "10"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
        ];
        assert_eq!(find("slurm", &array).unwrap(), "2/4");
    }

    #[test]
    fn what_is_no_part_is_refused_with_the_reason() {
        assert_eq!(
            find("kubernetes/3", &[]).unwrap_err(),
            "the shard 'kubernetes/3' needs the variable JOB_COMPLETION_INDEX, which is not set"
        );
        assert_eq!(
            find("3/3", &[]).unwrap_err(),
            "there is no shard 3/3: I/N with I from 0 below N, and N at most 100000"
        );
        for text in ["", "1", "a/b", "-1/3", "0/0", "1/2/3"] {
            assert!(find(text, &[]).is_err(), "{text}");
        }
    }
}
