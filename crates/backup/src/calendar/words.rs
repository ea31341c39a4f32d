//! Schedules in words: `hourly :15`, `daily 02:00`, `weekly sun 01:00`, `monthly 1 03:00`.

use super::{
    cron,
    fields::{Fields, Set},
};
use crate::{Error, Result};

/// Reads the words.
pub(super) fn parse(text: &str, words: &[&str]) -> Result<Fields> {
    let read = match words {
        ["hourly", minute] => minute_of_hour(minute),
        ["daily", time] => time_of_day(time),
        ["weekly", day, time] => cron::weekday(day)
            .and_then(|days| Ok(Fields { weekdays: Some(days), ..time_of_day(time)? })),
        ["monthly", day, time] => {
            cron::day(day).and_then(|days| Ok(Fields { days: Some(days), ..time_of_day(time)? }))
        }
        _ => {
            let forms = "hourly :15, daily 02:00, weekly sun 01:00, monthly 1 03:00, or five fields of cron";
            return Err(Error::usage(format!("the schedule '{text}' is none: {forms}")));
        }
    };
    read.map_err(|why| Error::usage(format!("the schedule '{text}': {why}")))
}

fn minute_of_hour(word: &str) -> std::result::Result<Fields, String> {
    let minute = word.strip_prefix(':').and_then(|digits| number(digits, 59));
    let minute = minute.ok_or_else(|| format!("{word} is no minute of an hour, :00 to :59 are"))?;
    Ok(Fields { minutes: Some(Set::of(minute, minute, 1)), ..Fields::default() })
}

fn time_of_day(word: &str) -> std::result::Result<Fields, String> {
    let parts = word.split_once(':');
    let time = parts.and_then(|(hour, minute)| Some((number(hour, 23)?, number(minute, 59)?)));
    let (hour, minute) =
        time.ok_or_else(|| format!("{word} is no time of the day, 00:00 to 23:59 are"))?;
    Ok(Fields {
        minutes: Some(Set::of(minute, minute, 1)),
        hours: Some(Set::of(hour, hour, 1)),
        ..Fields::default()
    })
}

/// Two digits.
fn number(word: &str, last: u8) -> Option<u8> {
    let is_one = word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_digit());
    word.parse().ok().filter(|number| is_one && *number <= last)
}
