//! What was found in the package, sorted: what is only said, and what no plan may be carried out with.

use code::{Code, Severity};
use convert::Note;
use ovf::Finding;

use super::MachinePlan;

/// Where everything that belongs to one machine begins.
const OF_A_SYSTEM: &str = "/VirtualSystem[";

/// Sorts findings into those that are said and those that block.
///
/// What a row of a machine tells is not told again, what concerns a machine that is not planned does
/// not block, and neither does what the user chose to leave out.
pub(super) fn sort(
    findings: Vec<Finding>,
    machines: &[MachinePlan],
    choices: &convert::Choices,
) -> (Vec<Finding>, Vec<Note>) {
    let (mut said, mut grave) = (Vec::new(), Vec::new());
    for finding in findings {
        let item = finding.item.as_deref().unwrap_or_default();
        let is_of_a_system = finding.path.as_deref().is_some_and(|p| p.starts_with(OF_A_SYSTEM));
        if is_of_a_system && is_section(&finding, item) {
            continue;
        }
        if finding.code.severity() == Severity::Warning {
            said.push(finding);
        } else if is_of_a_system && !has_row(machines, &finding) {
            continue;
        } else if choices.ignores(item, None) {
            let message = format!("{}: left out on request", finding.message);
            said.push(Finding { code: Code::W0203, message, ..finding });
        } else {
            let note = Note::blocker(finding.code, &finding.message);
            grave.push(match item.split_once('.') {
                Some((kind, name)) => {
                    note.hint(format!("--ignore {kind}:{name}, if the guest works without it"))
                }
                None => note,
            });
        }
    }
    (said, grave)
}

/// Whether the finding is one about a section; the code tells it from one about an item whose name,
/// which its writer chose, only looks like that.
fn is_section(finding: &Finding, item: &str) -> bool {
    matches!(finding.code, Code::E0305 | Code::W0203 | Code::W0204) && item.starts_with("section.")
}

/// Whether the finding is at an item that a machine of the plan has.
fn has_row(machines: &[MachinePlan], finding: &Finding) -> bool {
    let mut rows = machines.iter().flat_map(|machine| &machine.rows);
    rows.any(|row| row.path.is_some() && row.path == finding.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(code: Code, item: &str, path: &str) -> Finding {
        Finding {
            code,
            message: "odd".to_owned(),
            item: Some(item.to_owned()),
            path: Some(path.to_owned()),
            line: None,
        }
    }

    #[test]
    fn what_a_row_tells_is_not_told_again_and_everything_else_is() {
        let findings = vec![
            finding(Code::E0305, "section.A", "/VirtualSystem[vm]/A"),
            finding(Code::W0204, "section.A", "/VirtualSystem[vm]/A"),
            finding(Code::W0112, "section.A", "/VirtualSystem[vm]/VirtualHardwareSection/Item[1]"),
            finding(Code::W0204, "section.B", "/B"),
            finding(Code::E0305, "section.C", "/C"),
            finding(Code::E0305, "section.D", "/D"),
            finding(
                Code::E0305,
                "element.E",
                "/VirtualSystem[other]/VirtualHardwareSection/Item[1]",
            ),
        ];
        let choices =
            convert::Choices { ignore: vec!["section:D".to_owned()], ..Default::default() };
        let (said, grave) = sort(findings, &[], &choices);
        let said: Vec<_> =
            said.iter().map(|one| (one.code, one.item.as_deref().unwrap())).collect();
        let (a, b) = ((Code::W0112, "section.A"), (Code::W0204, "section.B"));
        assert_eq!(said, [a, b, (Code::W0203, "section.D")]);
        let hints: Vec<_> = grave.iter().map(|note| (note.code, note.hint.as_deref())).collect();
        let hint = "--ignore section:C, if the guest works without it";
        assert_eq!(hints, [(Code::E0305, Some(hint))]);
    }
}
