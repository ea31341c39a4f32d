//! The only place that asks for the time of day.

use jiff::Timestamp;

use crate::failure::{Failure, Result};

/// The time in UTC, to the second, as RFC 3339 writes it.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
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
