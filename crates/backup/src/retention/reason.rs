//! Why an item stays or goes, in values and in words.

use std::fmt;

use jiff::Zoned;

/// A part of the calendar of which one moment is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// A day of the local calendar.
    Day,
    /// A week of ISO 8601, from Monday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

impl Period {
    /// The word for "one of each".
    const fn adverb(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The part of the calendar that a moment is in, as it is shown. Two hours of one name, when clocks
    /// are set back, differ by their distance from UTC.
    pub(super) fn of(self, moment: &Zoned) -> String {
        match self {
            Self::Hour => moment.strftime("%Y-%m-%d %H:00 %:z").to_string(),
            Self::Day => moment.strftime("%Y-%m-%d").to_string(),
            Self::Week => moment.strftime("%G-W%V").to_string(),
            Self::Month => moment.strftime("%Y-%m").to_string(),
            Self::Year => moment.strftime("%Y").to_string(),
        }
    }
}

/// Why an item stays.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Somebody said so.
    Protected,
    /// It is being written or restored.
    InUse,
    /// No good one of the machine is newer.
    LastGood,
    /// No verified one of the machine is newer.
    LastVerified,
    /// It is damaged, and the machine has no good one.
    NothingBetter,
    /// This item, which stays, cannot be restored without it.
    Below(String),
    /// The last backup of the machine failed: until one succeeds, nothing of it goes.
    AfterFailure,
    /// Nobody knows whose it is.
    UnknownMachine,
    /// It is this one from the newest, from 1.
    Last(u32),
    /// It is the newest of this part of the calendar.
    NewestOf(Period, String),
    /// It is not older than the span that is kept.
    Within,
    /// No keep rule is given, and no limit hits it.
    NoRule,
}

impl Kept {
    /// Whether it beats every rule and limit.
    pub(super) const fn is_law(&self) -> bool {
        matches!(
            self,
            Self::Protected
                | Self::InUse
                | Self::LastGood
                | Self::LastVerified
                | Self::NothingBetter
                | Self::Below(_)
                | Self::AfterFailure
                | Self::UnknownMachine
        )
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected => f.write_str("protected"),
            Self::InUse => f.write_str("in use"),
            Self::LastGood => f.write_str("last good one of its machine"),
            Self::LastVerified => f.write_str("last verified one of its machine"),
            Self::NothingBetter => f.write_str("damaged, but its machine has no good one"),
            Self::Below(id) => write!(f, "{id} needs it"),
            Self::AfterFailure => f.write_str("the last backup of its machine failed"),
            Self::UnknownMachine => f.write_str("nobody knows whose it is"),
            Self::Last(1) => f.write_str("newest"),
            Self::Last(rank) => write!(f, "number {rank} from the newest"),
            Self::NewestOf(period, name) => write!(f, "{} {name}", period.adverb()),
            Self::Within => f.write_str("young enough"),
            Self::NoRule => f.write_str("no rule drops it"),
        }
    }
}

/// Why an item goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// No keep rule keeps it.
    NotKept,
    /// It is damaged, so that no rule counts it, and the machine has a good one.
    Damaged,
    /// It is older than is allowed.
    TooOld,
    /// Its machine has more than are allowed.
    TooMany,
    /// Its room is needed.
    Room,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotKept => "no rule keeps it",
            Self::Damaged => "damaged, and its machine has a good one",
            Self::TooOld => "too old",
            Self::TooMany => "more than are allowed",
            Self::Room => "room is needed",
        })
    }
}

/// What becomes of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It stays, for at least one reason.
    Keep(Vec<Kept>),
    /// It goes.
    Drop(Dropped),
}
