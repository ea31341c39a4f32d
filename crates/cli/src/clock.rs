//! The only place that asks for the time of day.

use jiff::Timestamp;

/// The time in UTC, to the second, as RFC 3339 writes it.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
