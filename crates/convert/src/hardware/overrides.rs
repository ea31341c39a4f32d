//! Choices for single items that no item is meant by.

use code::Code;

use super::Scene;
use crate::{Note, Row};

/// A row for each `--disk-bus ITEM=…` and `--nic-model ITEM=…` whose item the machine has not: a slip
/// of the pen must not be built as if nothing had been said.
pub(crate) fn rows(scene: &Scene<'_>) -> Vec<Row> {
    let Scene { system, choices, .. } = scene;
    let disks = choices.disk_buses.iter().map(|(item, _)| item);
    let cards = choices.nic_models.iter().map(|(item, _)| item);
    let unknown = |flag: &'static str, kind: &'static str, count: usize| {
        move |item: &&String| {
            let number = item.strip_prefix(kind).and_then(|number| number.parse::<usize>().ok());
            let is_known = number.is_some_and(|number| number < count);
            (!is_known).then(|| unknown(flag, item, kind, count))
        }
    };
    let disks = disks.filter_map(|item| unknown("--disk-bus", "disk", system.disks.len())(&item));
    let cards = cards.filter_map(|item| unknown("--nic-model", "nic", system.nics.len())(&item));
    disks.chain(cards).collect()
}

fn unknown(flag: &str, item: &str, kind: &str, count: usize) -> Row {
    let known = match count {
        0 => format!("the machine has no {kind}"),
        1 => format!("the machine has {kind}0"),
        more => format!("the machine has {kind}0 to {kind}{}", more.saturating_sub(1)),
    };
    let note = Note::blocker(Code::E0306, format!("no item is called '{}'", item.escape_debug()));
    Row::blocked(&format!("choice.{item}"), flag, item, note.hint(known))
}
