//! The parts of a time at which something is due, as sets of numbers.

use jiff::civil::Date;

/// A set of numbers from 0 to 63.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Set(u64);

impl Set {
    /// The numbers of a range with a step; what is beyond 63 is left out.
    pub(super) fn of(first: u8, last: u8, step: u8) -> Self {
        (first..=last.min(63)).step_by(usize::from(step.max(1))).fold(Self(0), Self::with)
    }

    pub(super) const fn with(self, number: u8) -> Self {
        Self(self.0 | 1 << (number & 63))
    }

    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) const fn has(self, number: u8) -> bool {
        number < 64 && self.0 & 1 << number != 0
    }

    pub(super) fn numbers(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |number| self.has(*number))
    }
}

/// When something is due. A part that is `None` may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fields {
    /// 0 to 59.
    pub(super) minutes: Option<Set>,
    /// 0 to 23.
    pub(super) hours: Option<Set>,
    /// 1 to 31.
    pub(super) days: Option<Set>,
    /// 1 to 12.
    pub(super) months: Option<Set>,
    /// 0 to 6, from Sunday.
    pub(super) weekdays: Option<Set>,
}

impl Fields {
    /// Whether it goes by what passes, not by the hour that a clock shows.
    pub(super) const fn is_every_hour(&self) -> bool {
        self.hours.is_none()
    }

    /// Whether a date is one of them: where both days are said, either will do, as with cron.
    pub(super) fn has_date(&self, date: Date) -> bool {
        let has = |set: Set, number: i8| u8::try_from(number).is_ok_and(|it| set.has(it));
        let by_day = self.days.map(|days| has(days, date.day()));
        let by_weekday =
            self.weekdays.map(|days| has(days, date.weekday().to_sunday_zero_offset()));
        let is_day = match (by_day, by_weekday) {
            (Some(day), Some(weekday)) => day || weekday,
            (one, other) => one.or(other).unwrap_or(true),
        };
        is_day && self.months.is_none_or(|months| has(months, date.month()))
    }

    /// The times of a day, hour and minute, in their order.
    pub(super) fn times(&self) -> impl Iterator<Item = (i8, i8)> {
        let hours = self.hours.unwrap_or(Set::of(0, 23, 1));
        let minutes = self.minutes.unwrap_or(Set::of(0, 59, 1));
        let times =
            hours.numbers().flat_map(move |hour| minutes.numbers().map(move |it| (hour, it)));
        times.filter_map(|(hour, minute)| {
            Some((i8::try_from(hour).ok()?, i8::try_from(minute).ok()?))
        })
    }

    /// Whether there is a date at all: 30 February is none.
    pub(super) fn comes(&self) -> bool {
        let Some(days) = self.days else { return true };
        let months = self.months.unwrap_or(Set::of(1, 12, 1));
        let longest = months.numbers().map(|month| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        });
        let longest = longest.max().unwrap_or(0);
        self.weekdays.is_some() || days.numbers().any(|day| day <= longest)
    }
}
