//! How quiet a guest has to be: for backups and snapshots.

use std::time::Duration;

use clap::{Args, ValueEnum};

/// How quiet a guest has to be.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct QuiesceArgs {
    /// Freeze the guest's file systems for the moment: where possible, or else not at all, or never.
    #[arg(long, value_enum, default_value_t = QuiesceChoice::Auto)]
    pub(crate) quiesce: QuiesceChoice,
    /// Thaw the guest after this time, whatever happens: 5m, 90s, seconds; 0 for no deadline.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = deadline)]
    pub(crate) deadline: Deadline,
}

/// Whether file systems are frozen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QuiesceChoice {
    /// Where the guest agent can.
    Auto,
    /// It is an error when it cannot.
    Require,
    /// They are left alone.
    Never,
}

/// How long a guest may stand still; `None` for as long as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline(pub(crate) Option<Duration>);

/// Reads minutes (`m`), seconds (`s`), or a number of seconds.
fn deadline(text: &str) -> Result<Deadline, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "it is neither minutes (5m) nor seconds (300s, 300)".to_owned())?;
    let seconds = number.saturating_mul(unit);
    Ok(Deadline((seconds > 0).then(|| Duration::from_secs(seconds))))
}

impl From<QuiesceChoice> for backup::quiesce::Quiesce {
    fn from(choice: QuiesceChoice) -> Self {
        match choice {
            QuiesceChoice::Auto => Self::Auto,
            QuiesceChoice::Require => Self::Require,
            QuiesceChoice::Never => Self::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_minutes_or_seconds_and_nought_is_none() {
        for (text, want) in [("5m", Some(300)), ("90s", Some(90)), ("7", Some(7)), ("0", None)] {
            assert_eq!(deadline(text), Ok(Deadline(want.map(Duration::from_secs))), "{text}");
        }
        for text in ["", "m", "-1", "1h", "1.5m"] {
            assert!(deadline(text).is_err(), "{text}");
        }
    }
}
