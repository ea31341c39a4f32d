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
