//! The five fields of a cron line: minute, hour, day of the month, month, day of the week.
//!
//! Each is `*` or a list of numbers and ranges, with a step behind `/`; months and days of the week have names,
//! and Sunday is 0 or 7. Extensions of single crons (`L`, `W`, `#`, `@reboot`) are not taken.

use super::fields::{Fields, Set};
use crate::{Error, Result};

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// One of the fields.
struct Field {
    /// What it counts.
    name: &'static str,
    /// The same, more than one.
    names: &'static str,
    first: u8,
    last: u8,
    /// Names, the first of which is `first`.
    words: &'static [&'static str],
}

const MINUTE: Field = Field { name: "minute", names: "minutes", first: 0, last: 59, words: &[] };
const HOUR: Field = Field { name: "hour", names: "hours", first: 0, last: 23, words: &[] };
const DAY: Field =
    Field { name: "day of the month", names: "days", first: 1, last: 31, words: &[] };
const MONTH: Field = Field { name: "month", names: "months", first: 1, last: 12, words: &MONTHS };
const WEEKDAY: Field =
    Field { name: "day of the week", names: "days", first: 0, last: 7, words: &WEEKDAYS };

/// Reads the fields.
pub(super) fn parse(text: &str, words: &[&str]) -> Result<Fields> {
    let refused = |why: String| Error::usage(format!("the schedule '{text}'{why}"));
    let [minute, hour, day, month, weekday] = words else {
        return Err(refused(format!(" has {} fields, cron has 5", words.len())));
    };
    let set =
        |field: &Field, word: &str| field.parse(word).map_err(|why| refused(format!(": {why}")));
    let fields = Fields {
        minutes: set(&MINUTE, minute)?,
        hours: set(&HOUR, hour)?,
        days: set(&DAY, day)?,
        months: set(&MONTH, month)?,
        weekdays: set(&WEEKDAY, weekday)?.map(sunday_once),
    };
    if !fields.comes() {
        return Err(refused(" never comes: those months have no such day".to_owned()));
    }
    Ok(fields)
}

/// Reads a day of the week, `sun` or 0.
pub(super) fn weekday(word: &str) -> std::result::Result<Set, String> {
    WEEKDAY.number(word).map(|number| sunday_once(Set::of(number, number, 1)))
}

/// Reads a day of the month.
pub(super) fn day(word: &str) -> std::result::Result<Set, String> {
    DAY.number(word).map(|number| Set::of(number, number, 1))
}

/// Sunday is 0 alone.
fn sunday_once(days: Set) -> Set {
    days.numbers().fold(Set::default(), |set, day| set.with(if day == 7 { 0 } else { day }))
}

impl Field {
    /// Reads a list; `None` for all of them.
    fn parse(&self, word: &str) -> std::result::Result<Option<Set>, String> {
        if word == "*" {
            return Ok(None);
        }
        let parts = word.split(',').map(|part| self.part(part));
        let set = parts.collect::<std::result::Result<Vec<Set>, String>>()?;
        let set = set.into_iter().fold(Set::default(), Set::and);
        // `*/1` says as little as `*`.
        Ok(Some(set).filter(|set| *set != Set::of(self.first, self.last, 1)))
    }

    fn part(&self, part: &str) -> std::result::Result<Set, String> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (part, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            // `5/15` goes on to the end.
            None => {
                let number = self.number(range)?;
                (number, if step.is_some() { self.last } else { number })
            }
        };
        if last < first {
            return Err(format!("{range} is no range of {}, it ends before it begins", self.names));
        }
        Ok(Set::of(first, last, step.unwrap_or(1)))
    }

    fn step(&self, word: &str) -> std::result::Result<u8, String> {
        let step = digits(word).filter(|step| (1..=self.last).contains(step));
        step.ok_or_else(|| format!("{word} is no step, 1 to {} are", self.last))
    }

    fn number(&self, word: &str) -> std::result::Result<u8, String> {
        let named = || {
            let at = self.words.iter().position(|name| name.eq_ignore_ascii_case(word))?;
            u8::try_from(at).ok()?.checked_add(self.first)
        };
        let number = digits(word).or_else(named);
        number.filter(|number| (self.first..=self.last).contains(number)).ok_or_else(|| {
            let words = match self.words {
                [first, .., last] => format!(" and {first} to {last}"),
                _ => String::new(),
            };
            format!("{word} is no {}, {} to {}{words} are", self.name, self.first, self.last)
        })
    }
}

/// A number without a sign.
fn digits(word: &str) -> Option<u8> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}
