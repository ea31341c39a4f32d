//! Scripts that an appliance brings along: none is ever run.

use std::collections::BTreeSet;

use code::Code;
use ovf::Finding;

use crate::Facts;

/// The endings of scripts, of whatever system.
const ENDINGS: [&str; 9] = ["bat", "cmd", "js", "pl", "ps1", "py", "rb", "sh", "vbs"];

/// Says of each script that it is not run.
///
/// In a folder only what the descriptor names belongs to the appliance.
pub(super) fn of(facts: &Facts) -> Vec<Finding> {
    let members = facts.members.iter().filter(|_| !facts.kind.is_folder());
    let members = members.map(|member| member.name.as_str());
    let envelope = facts.description.envelope();
    let files = envelope.into_iter().flat_map(|envelope| &envelope.files);
    let named = files.filter_map(|file| file.href.as_deref());
    let scripts: BTreeSet<&str> = members.chain(named).filter(|name| is_script(name)).collect();
    scripts.into_iter().map(finding).collect()
}

fn is_script(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

fn finding(name: &str) -> Finding {
    Finding {
        code: Code::W0607,
        message: format!("the script {} is ignored: it is never run", name.escape_debug()),
        item: None,
        path: None,
        line: None,
    }
}
