//! The only place that asks for the time of day.

use jiff::Timestamp;

/// The time in UTC, to the second, as RFC 3339 writes it.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The time in seconds since 1970, in UTC.
pub(crate) fn now_seconds() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}
