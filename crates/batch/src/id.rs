//! Ids of items: what a journal, a shard and an output folder know them by.

use std::{collections::BTreeSet, fmt, str::FromStr};

use crate::{Error, Result};

/// The most bytes of an id: it becomes the name of a folder, with room for an ending.
const MAX_BYTES: usize = 100;

/// The name of an item within its batch: letters, digits, `.`, `_` and `-` of ASCII, not led by `.` or
/// `-`, at most 100 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(String);

impl ItemId {
    /// The nearest id to a text, for instance the stem of a file's name.
    #[must_use]
    pub fn near(text: &str) -> Self {
        let mut id: String =
            text.chars().map(|letter| if is_allowed(letter) { letter } else { '-' }).collect();
        id.truncate(MAX_BYTES);
        let id = id.trim_start_matches(['.', '-']);
        Self(if id.is_empty() { "item".to_owned() } else { id.to_owned() })
    }

    /// This id, or where it is taken the first of `ID-2`, `ID-3`, … that is not.
    #[must_use]
    pub fn unlike(self, taken: &BTreeSet<Self>) -> Self {
        let mut id = self.clone();
        for number in 2_u32.. {
            if !taken.contains(&id) {
                break;
            }
            let ending = format!("-{number}");
            let stem: String =
                self.0.chars().take(MAX_BYTES.saturating_sub(ending.len())).collect();
            id = Self(stem + &ending);
        }
        id
    }

    /// The id as it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_allowed(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-')
}

impl FromStr for ItemId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_led = text.starts_with(['.', '-']);
        if text.is_empty() || is_led || text.len() > MAX_BYTES || !text.chars().all(is_allowed) {
            return Err(Error::usage(format!(
                "'{}' is no id: letters, digits, '.', '_' and '-', at most {MAX_BYTES}, not led by '.' \
                 or '-'",
                text.escape_debug()
            )));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_id_is_one() {
        for (text, id) in [
            ("web-01", "web-01"),
            ("Über web (2)", "-ber-web--2-".trim_start_matches('-')),
            ("../../etc/passwd", "..-etc-passwd".trim_start_matches('.').trim_start_matches('-')),
            ("", "item"),
            ("-.-", "item"),
        ] {
            assert_eq!(ItemId::near(text).as_str(), id);
            assert_eq!(id.parse::<ItemId>().unwrap().as_str(), id);
        }
    }

    #[test]
    fn an_id_that_is_taken_gets_a_number() {
        let taken: BTreeSet<_> = ["a", "a-2"].map(ItemId::near).into();
        assert_eq!(ItemId::near("a").unlike(&taken).as_str(), "a-3");
        assert_eq!(ItemId::near("b").unlike(&taken).as_str(), "b");
        let long = ItemId::near(&"x".repeat(200));
        let taken: BTreeSet<_> = [long.clone()].into();
        assert_eq!(long.unlike(&taken).as_str(), format!("{}-2", "x".repeat(98)));
    }

    #[test]
    fn what_is_no_name_of_a_folder_is_no_id() {
        for text in ["", ".", "..", "-a", "a/b", "a b", "ä", "a\0"] {
            assert!(text.parse::<ItemId>().is_err(), "{text}");
        }
        assert!("x".repeat(101).parse::<ItemId>().is_err());
    }
}
