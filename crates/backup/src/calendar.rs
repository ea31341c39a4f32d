//! When a job is due: schedules in words or as cron lines, by the clock of a time zone.
//!
//! ```text
//! "daily 02:00"  "weekly sun 01:00"  "monthly 1 03:00"  "hourly :15"  "*/15 8-18 * * mon-fri"
//!        \---------------------- words, cron ----------------------/
//!                                 Fields --> next run after a time      OnCalendar of systemd
//! ```
//!
//! **When clocks change.** A schedule for certain hours runs once each day: at a time that is left out
//! (clocks set forward) it runs at the first moment behind the gap, and of a time that comes twice (clocks set
//! back) it takes the first. A schedule for every hour goes by what passes: nothing in the gap, both of the
//! hours that come twice.

mod cron;
mod fields;
mod systemd;
mod words;

use std::fmt;

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Time},
    tz::{AmbiguousOffset, TimeZone},
};

use self::fields::Fields;
use crate::Result;

/// How far ahead the next run is looked for: 29 February comes after eight years at the latest.
const MAX_DAYS: u32 = 9 * 366;

/// A rule that says when something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    text: String,
    fields: Fields,
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Schedule {
    /// Reads `hourly :15`, `daily 02:00`, `weekly sun 01:00`, `monthly 1 03:00`, or the five fields of cron.
    ///
    /// # Errors
    /// What is wrong with the text, and what it may be; a date that never comes.
    pub fn parse(text: &str) -> Result<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let fields = match words.as_slice() {
            [first, ..] if first.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                words::parse(text, &words)?
            }
            _ => cron::parse(text, &words)?,
        };
        Ok(Self { text: words.join(" "), fields })
    }

    /// The first run behind a time, by the clock of a zone; `None` where the calendar ends.
    #[must_use]
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut date = zone.to_datetime(after).date();
        for _ in 0..MAX_DAYS {
            if self.fields.has_date(date) {
                let runs = self.runs_of(date, zone);
                if let Some(next) = runs.into_iter().find(|run| *run > after) {
                    return Some(next);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The lines of a systemd timer that say the same; `zone` is written into each where it is given.
    ///
    /// systemd runs a time that clocks leave out behind the gap, as this does.
    #[must_use]
    pub fn on_calendar(&self, zone: Option<&str>) -> Vec<String> {
        systemd::lines(&self.fields, zone)
    }

    /// The runs of a day, in their order.
    fn runs_of(&self, date: Date, zone: &TimeZone) -> Vec<Timestamp> {
        let times = self.fields.times();
        let mut runs: Vec<Timestamp> = times
            .filter_map(|(hour, minute)| Time::new(hour, minute, 0, 0).ok())
            .flat_map(|time| self.runs_at(date.to_datetime(time), zone))
            .collect();
        runs.sort();
        runs.dedup();
        runs
    }

    fn runs_at(&self, local: DateTime, zone: &TimeZone) -> Vec<Timestamp> {
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(local).ok();
        let found = match zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => [at(offset), None],
            AmbiguousOffset::Fold { before, after } if self.fields.is_every_hour() => {
                [at(before), at(after)]
            }
            AmbiguousOffset::Fold { before, .. } => [at(before), None],
            AmbiguousOffset::Gap { .. } if self.fields.is_every_hour() => [None, None],
            // What the clock after the change calls so lies before it.
            AmbiguousOffset::Gap { after, .. } => {
                let change = at(after).and_then(|early| zone.following(early).next());
                [change.map(|change| change.timestamp()), None]
            }
        };
        found.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Central Europe: forward at 02:00 on 2026-03-29, back at 03:00 on 2026-10-25.
    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn schedule(text: &str) -> Schedule {
        Schedule::parse(text).unwrap()
    }

    /// The first runs behind a local time.
    fn runs(text: &str, from: &str, count: usize) -> Vec<String> {
        let (schedule, zone) = (schedule(text), berlin());
        let from: DateTime = from.parse().unwrap();
        let mut at = zone.to_timestamp(from).unwrap();
        let mut next = || {
            at = schedule.next_after(at, &zone)?;
            Some(at.to_zoned(zone.clone()).strftime("%a %F %H:%M %Z").to_string())
        };
        (0..count).map_while(|_| next()).collect()
    }

    #[test]
    fn the_next_run_is_the_first_behind_a_time() {
        for (text, want) in [
            ("hourly :15", ["Sat 2026-11-21 10:15 CET", "Sat 2026-11-21 11:15 CET"]),
            ("daily 02:00", ["Sun 2026-11-22 02:00 CET", "Mon 2026-11-23 02:00 CET"]),
            ("weekly sun 01:00", ["Sun 2026-11-22 01:00 CET", "Sun 2026-11-29 01:00 CET"]),
            ("monthly 1 03:00", ["Tue 2026-12-01 03:00 CET", "Fri 2027-01-01 03:00 CET"]),
            ("monthly 31 03:00", ["Thu 2026-12-31 03:00 CET", "Sun 2027-01-31 03:00 CET"]),
            ("*/20 8-18/5 * * mon-fri", ["Mon 2026-11-23 08:00 CET", "Mon 2026-11-23 08:20 CET"]),
            // Either day of the month or day of the week, as cron has it.
            ("0 0 1 * tue", ["Tue 2026-11-24 00:00 CET", "Tue 2026-12-01 00:00 CET"]),
            ("0 0 29 2 *", ["Tue 2028-02-29 00:00 CET", "Sun 2032-02-29 00:00 CET"]),
        ] {
            assert_eq!(runs(text, "2026-11-21T10:00", 2), want, "{text}");
        }
        assert_eq!(runs("daily 10:00", "2026-11-21T10:00", 1), ["Sun 2026-11-22 10:00 CET"]);
    }

    #[test]
    fn a_time_that_is_left_out_runs_behind_the_gap_and_once() {
        let want =
            ["Sat 2026-03-28 02:30 CET", "Sun 2026-03-29 03:00 CEST", "Mon 2026-03-30 02:30 CEST"];
        assert_eq!(runs("daily 02:30", "2026-03-27T12:00", 3), want);
        let want =
            ["Sun 2026-03-29 01:30 CET", "Sun 2026-03-29 03:00 CEST", "Sun 2026-03-29 03:30 CEST"];
        assert_eq!(runs("0,30 1-3 * * *", "2026-03-29T01:00", 3), want);
        let want = ["Sun 2026-03-29 01:15 CET", "Sun 2026-03-29 03:15 CEST"];
        assert_eq!(runs("hourly :15", "2026-03-29T01:00", 2), want);
    }

    #[test]
    fn of_a_time_that_comes_twice_the_first_counts_but_every_hour_is_every_hour() {
        let want = ["Sun 2026-10-25 02:30 CEST", "Mon 2026-10-26 02:30 CET"];
        assert_eq!(runs("daily 02:30", "2026-10-25T00:00", 2), want);
        let want = [
            "Sun 2026-10-25 02:00 CEST",
            "Sun 2026-10-25 02:30 CEST",
            "Sun 2026-10-25 02:00 CET",
            "Sun 2026-10-25 02:30 CET",
            "Sun 2026-10-25 03:00 CET",
        ];
        assert_eq!(runs("*/30 * * * *", "2026-10-25T01:30", 5), want);
    }

    #[test]
    fn a_schedule_that_cannot_be_meant_is_refused_with_what_it_may_be() {
        for (text, want) in [
            ("", "the schedule '' has 0 fields, cron has 5"),
            ("* * * *", "the schedule '* * * *' has 4 fields, cron has 5"),
            ("60 * * * *", "the schedule '60 * * * *': 60 is no minute, 0 to 59 are"),
            ("* 8-24 * * *", "the schedule '* 8-24 * * *': 24 is no hour, 0 to 23 are"),
            (
                "* 9-8 * * *",
                "the schedule '* 9-8 * * *': 9-8 is no range of hours, it ends before it begins",
            ),
            ("*/0 * * * *", "the schedule '*/0 * * * *': 0 is no step, 1 to 59 are"),
            ("* * 0 * *", "the schedule '* * 0 * *': 0 is no day of the month, 1 to 31 are"),
            (
                "* * * * fry",
                "the schedule '* * * * fry': fry is no day of the week, 0 to 7 and sun to sat are",
            ),
            ("* * L * *", "the schedule '* * L * *': L is no day of the month, 1 to 31 are"),
            ("0 0 30 2 *", "the schedule '0 0 30 2 *' never comes: those months have no such day"),
            (
                "daily",
                "the schedule 'daily' is none: hourly :15, daily 02:00, weekly sun 01:00, monthly 1 03:00, or five fields of cron",
            ),
            ("daily 2", "the schedule 'daily 2': 2 is no time of the day, 00:00 to 23:59 are"),
            (
                "daily 24:00",
                "the schedule 'daily 24:00': 24:00 is no time of the day, 00:00 to 23:59 are",
            ),
            ("hourly 15", "the schedule 'hourly 15': 15 is no minute of an hour, :00 to :59 are"),
            (
                "weekly 01:00 sun",
                "the schedule 'weekly 01:00 sun': 01:00 is no day of the week, 0 to 7 and sun to sat are",
            ),
            (
                "monthly 32 01:00",
                "the schedule 'monthly 32 01:00': 32 is no day of the month, 1 to 31 are",
            ),
            ("@reboot", "the schedule '@reboot' has 1 fields, cron has 5"),
        ] {
            assert_eq!(Schedule::parse(text).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn every_schedule_has_its_form_for_a_timer() {
        for (text, want) in [
            ("hourly :15", &["*-*-* *:15:00"][..]),
            ("daily 02:00", &["*-*-* 02:00:00"]),
            ("weekly sun 01:00", &["Sun *-*-* 01:00:00"]),
            ("monthly 1 03:00", &["*-*-01 03:00:00"]),
            ("*/20 8-18/5 * 1,7 mon-fri", &["Mon..Fri *-01,07-* 08,13,18:00,20,40:00"]),
            ("* * * * 1,3,6-7", &["Sun,Mon,Wed,Sat *-*-* *:*:00"]),
            ("0 0 1 * tue", &["*-*-01 00:00:00", "Tue *-*-* 00:00:00"]),
        ] {
            assert_eq!(schedule(text).on_calendar(None), want, "{text}");
        }
        let zoned = schedule("daily 02:00").on_calendar(Some("Europe/Berlin"));
        assert_eq!(zoned, ["*-*-* 02:00:00 Europe/Berlin"]);
    }
}
