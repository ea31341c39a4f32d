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
        if is_of_a_system && item.starts_with("section.") {
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

/// Whether the finding is at an item that a machine of the plan has.
fn has_row(machines: &[MachinePlan], finding: &Finding) -> bool {
    let mut rows = machines.iter().flat_map(|machine| &machine.rows);
    rows.any(|row| row.path.is_some() && row.path == finding.path)
}
