//! A plan as a table for people.

use convert::{Action, Row};
use restore::Plan;
use vm::ByteSize;

use super::{Shown, package};
use crate::show::{Show, clean, table::Table};

/// Where what is behind the heading begins.
const HEADING: usize = 75;

/// One block a machine, then the legend, the room and the next step.
pub(crate) fn of(plan: &Plan, shown: &Shown<'_>, convert: &str, show: &Show) -> String {
    let mut lines = Vec::new();
    for machine in &plan.machines {
        let head = format!("Plan for {} → {}", clean(&machine.machine.name), clean(shown.target));
        let padding = " ".repeat(HEADING.saturating_sub(head.chars().count()));
        lines.push(format!("{}{padding}   nothing has been changed yet", show.heading(&head)));
        lines.push(String::new());
        lines.extend(rows(&machine.rows, "ON KVM", show.width()));
        lines.push(String::new());
    }
    lines.extend(package::lines(plan));
    let (warnings, blockers) = (plan.warnings(), plan.blockers().len());
    let count = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    };
    lines.push(format!(
        "  = kept   ~ changed   - dropped   ! needs you                  {}, {}",
        count(warnings, "warning"),
        count(blockers, "blocker")
    ));
    lines.push(format!(
        "  Space: needs {} now, {} when full; {} free.",
        ByteSize(plan.space.needed_bytes),
        ByteSize(plan.space.full_bytes),
        ByteSize(plan.space.free_bytes)
    ));
    lines.push(String::new());
    lines.extend(next(plan, convert));
    lines.join("\n") + "\n"
}

/// What becomes of each item, one line a note; `target` heads the column of what it becomes.
pub(crate) fn rows(rows: &[Row], target: &str, width: Option<usize>) -> Vec<String> {
    let mut table = Table::new(&[]);
    table.row(["  ITEM", "SOURCE", target, "WHY"]);
    for row in rows {
        let symbol = match row.action {
            Action::Kept => "=",
            Action::Changed => "~",
            Action::Dropped => "-",
            Action::Blocked => "!",
        };
        let to = match row.action {
            Action::Dropped if row.to.is_empty() => "dropped",
            _ => &row.to,
        };
        let label = format!("{symbol} {}", row.label);
        let mut why = why(row).into_iter();
        table.row([&label, &row.from, to, &why.next().unwrap_or_default()]);
        for more in why {
            table.row(["", "", "", &more]);
        }
    }
    table.lines(0, width)
}

/// One line a note, with its code in front and what to do behind.
fn why(row: &Row) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    if !row.reason.is_empty() {
        lines.push(row.reason.clone());
    }
    lines.extend(row.notes.iter().map(|note| match &note.hint {
        Some(hint) => format!("{} {}: {hint}", note.code, note.text),
        None => format!("{} {}", note.code, note.text),
    }));
    lines
}

/// What the user types next: the conversion, and an explanation of the first code; that of a blocker
/// where there is one.
fn next(plan: &Plan, convert: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let blockers = plan.blockers();
    if blockers.is_empty() {
        commands.push(clean(convert));
    }
    commands.extend(
        blockers
            .into_iter()
            .chain(plan.notes())
            .next()
            .map(|note| format!("relift explain {}", note.code)),
    );
    let heads = ["Next:  "].into_iter().chain(std::iter::repeat("       "));
    heads.zip(commands).map(|(head, command)| format!("{head}{command}")).collect()
}

#[cfg(test)]
mod tests {
    use code::Code;
    use convert::Note;

    use super::*;

    #[test]
    fn a_row_says_its_reason_and_each_note_with_what_to_do() {
        let row = Row::kept("nic1", "nic 1  DMZ", "E1000", "e1000")
            .because("set by you")
            .note(Note::new(Code::W0301, "no map for \"DMZ\"").hint("--net 'DMZ=…'"))
            .note(Note::new(Code::W0303, "made anew"));
        assert_eq!(
            why(&row),
            ["set by you", "W0301 no map for \"DMZ\": --net 'DMZ=…'", "W0303 made anew"]
        );
    }
}
