//! The only place that asks for the time of day.

use jiff::{Timestamp, Zoned, civil::Time};

use crate::failure::{Failure, Result};

/// The time in UTC, to the second, as RFC 3339 writes it.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The time in UTC, to the millisecond, as RFC 3339 writes it.
pub(crate) fn now_exact() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A moment by the clock of this machine, to the minute, and how long ago it was.
pub(crate) fn local(unix_seconds: u64) -> String {
    let time = i64::try_from(unix_seconds).ok().and_then(|at| Timestamp::from_second(at).ok());
    let Some(time) = time else { return unix_seconds.to_string() };
    let shown = time.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string();
    format!("{shown} ({})", since(time, Timestamp::now()))
}

/// How long ago a moment was that is written as RFC 3339 has it; the text itself where it is none.
pub(crate) fn ago(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => since(time, Timestamp::now()),
        Err(_) => text.to_owned(),
    }
}

/// A distance in its largest unit.
fn since(then: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - then.as_second();
    let (distance, ahead) = (seconds.unsigned_abs(), seconds < 0);
    let (number, unit) = match distance {
        0..60 => return if ahead { "soon".to_owned() } else { "just now".to_owned() },
        60..3600 => (distance / 60, "min"),
        3600..86_400 => (distance / 3600, "h"),
        _ => (distance / 86_400, "d"),
    };
    if ahead { format!("in {number} {unit}") } else { format!("{number} {unit} ago") }
}

/// Reads the value of a flag that is a span of time: `12h`, `30d`, `8w`, `2y` (of 365 days), in seconds.
pub(crate) fn span_seconds(flag: &str, text: &str) -> Result<u64> {
    let refused = || {
        let failure = Failure::usage(format!("{flag} '{text}' is no span of time"));
        failure.tip(format!("{flag} 30d; also h, w and y"))
    };
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: u64 = number.parse().map_err(|_| refused())?;
    let unit = match unit {
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        "y" => 365 * 86_400,
        _ => return Err(refused()),
    };
    number.checked_mul(unit).ok_or_else(refused)
}

/// A part of each day, in local time; one that begins later than it ends goes over midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    begins: Time,
    ends: Time,
}

impl Window {
    /// Reads `22:00-06:00`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let time = |text: &str| Time::strptime("%H:%M", text).ok();
        let parts = text.split_once('-').and_then(|(one, two)| Some((time(one)?, time(two)?)));
        let (begins, ends) = parts.filter(|(begins, ends)| begins != ends).ok_or_else(|| {
            Failure::usage(format!("--window '{text}' is no part of a day"))
                .tip("--window 22:00-06:00")
        })?;
        Ok(Self { begins, ends })
    }

    /// Whether it is that part of the day now.
    pub(crate) fn is_open(self) -> bool {
        self.holds(Zoned::now().time())
    }

    fn holds(self, time: Time) -> bool {
        if self.begins < self.ends {
            self.begins <= time && time < self.ends
        } else {
            self.begins <= time || time < self.ends
        }
    }
}

/// A time in seconds since 1970 as RFC 3339 writes it; one that no calendar has is the number itself.
pub(crate) fn told(unix_seconds: u64) -> String {
    let time = i64::try_from(unix_seconds).ok().and_then(|at| Timestamp::from_second(at).ok());
    time.map_or_else(
        || unix_seconds.to_string(),
        |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// The time that written members get: now, or what `SOURCE_DATE_EPOCH` says
/// (reproducible-builds.org, "`SOURCE_DATE_EPOCH` specification" 1.1).
pub(crate) fn stamp_seconds() -> Result<u64> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(now_seconds()) };
    let seconds = text.to_str().and_then(|text| text.parse().ok());
    seconds.ok_or_else(|| {
        let text = text.to_string_lossy();
        Failure::usage(format!("SOURCE_DATE_EPOCH is '{text}', and no number of seconds"))
    })
}

/// The time in seconds since 1970, in UTC.
pub(crate) fn now_seconds() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_told_in_its_largest_unit() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        for (then, want) in [
            (1_000_000, "just now"),
            (999_000, "16 min ago"),
            (990_000, "2 h ago"),
            (0, "11 d ago"),
            (1_000_030, "soon"),
            (1_004_000, "in 1 h"),
        ] {
            assert_eq!(since(at(then), at(1_000_000)), want);
        }
    }

    #[test]
    fn a_span_has_a_unit() {
        let span =
            |text: &str| span_seconds("--keep-within", text).map_err(|failure| failure.message);
        assert_eq!((span("12h"), span("2w")), (Ok(43_200), Ok(1_209_600)));
        for text in ["", "30", "d", "30m", "-1d", "99999999999999999999d", "9999999999999999999y"] {
            assert_eq!(span(text), Err(format!("--keep-within '{text}' is no span of time")));
        }
    }

    #[test]
    fn a_window_may_go_over_midnight() {
        let holds = |window: &str, time: &str| {
            Window::parse(window).unwrap().holds(Time::strptime("%H:%M", time).unwrap())
        };
        for (time, is_open) in
            [("21:59", false), ("22:00", true), ("00:30", true), ("06:00", false)]
        {
            assert_eq!(holds("22:00-06:00", time), is_open, "{time}");
        }
        for (time, is_open) in [("08:59", false), ("09:00", true), ("17:00", false)] {
            assert_eq!(holds("09:00-17:00", time), is_open, "{time}");
        }
        for text in ["", "22:00", "22-06", "22:00-22:00", "25:00-06:00"] {
            assert!(Window::parse(text).is_err(), "{text}");
        }
    }
}
