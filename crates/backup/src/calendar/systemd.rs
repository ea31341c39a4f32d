//! A schedule as systemd writes it, man page systemd.time(7), "Calendar events".

use super::fields::{Fields, Set};

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONDAY_TO_FRIDAY: &str = "Mon,Tue,Wed,Thu,Fri";

/// The lines; several, since systemd has no either-or of the two kinds of days that cron has.
pub(super) fn lines(fields: &Fields, zone: Option<&str>) -> Vec<String> {
    let parts = match (fields.days, fields.weekdays) {
        (Some(_), Some(_)) => {
            vec![Fields { weekdays: None, ..*fields }, Fields { days: None, ..*fields }]
        }
        _ => vec![*fields],
    };
    parts.iter().map(|part| line(part, zone)).collect()
}

fn line(fields: &Fields, zone: Option<&str>) -> String {
    let names = |days: Set| {
        let names = days.numbers().filter_map(|day| WEEKDAYS.get(usize::from(day)).copied());
        let names = names.collect::<Vec<_>>().join(",");
        if names == MONDAY_TO_FRIDAY { "Mon..Fri ".to_owned() } else { format!("{names} ") }
    };
    let weekdays = fields.weekdays.map(names).unwrap_or_default();
    let (months, days) = (numbers(fields.months), numbers(fields.days));
    let (hours, minutes) = (numbers(fields.hours), numbers(fields.minutes));
    let zone = zone.map(|zone| format!(" {zone}")).unwrap_or_default();
    format!("{weekdays}*-{months}-{days} {hours}:{minutes}:00{zone}")
}

fn numbers(set: Option<Set>) -> String {
    let Some(set) = set else { return "*".to_owned() };
    let numbers: Vec<String> = set.numbers().map(|number| format!("{number:02}")).collect();
    numbers.join(",")
}
