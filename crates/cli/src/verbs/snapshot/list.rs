//! `snapshot list` and `snapshot tree`.

use backup::snapshot::{Found, Tree, tree};
use serde::Serialize;
use vm::ByteSize;

use super::{Machine, SnapshotData};
use crate::{
    args::SnapshotMachineArgs,
    failure::Result,
    report::Report,
    session::Session,
    show::{clean, table::Table},
};

/// `relift.snapshot.list/1` and `relift.snapshot.tree/1`.
#[derive(Debug, Serialize)]
struct Data {
    vm: String,
    current: Option<String>,
    snapshots: Vec<SnapshotData>,
}

impl Data {
    fn of(machine: &Machine, tree: &Tree) -> Self {
        Self {
            vm: machine.known.name.clone(),
            current: tree.current().map(|one| one.name.clone()),
            snapshots: tree.snapshots.iter().map(SnapshotData::of).collect(),
        }
    }
}

/// Lists the snapshots of a machine.
pub(super) fn run(args: &SnapshotMachineArgs, session: &Session) -> Result<Report> {
    let machine = Machine::find(&args.machine, session)?;
    let data = Data::of(&machine, &tree(&machine.subject())?);
    if data.snapshots.is_empty() {
        return Ok(Report::new(none(&machine), &data));
    }
    let mut table = Table::new(&[4]);
    table.row(["NAME", "CREATED", "STATE", "PARENT", "SIZE", "NOTES"]);
    for one in &data.snapshots {
        let size = one.size_bytes.map_or_else(|| "—".to_owned(), |it| ByteSize(it).to_string());
        table.row([
            &one.name,
            &one.created,
            one.shown_state(),
            one.parent.as_deref().unwrap_or("—"),
            &size,
            &one.notes.join(", "),
        ]);
    }
    let text = format!("{}\n", table.lines(0, None).join("\n"));
    Ok(Report::new(text, &data))
}

/// Draws the snapshots of a machine as a tree.
pub(super) fn draw(args: &SnapshotMachineArgs, session: &Session) -> Result<Report> {
    let machine = Machine::find(&args.machine, session)?;
    let tree = tree(&machine.subject())?;
    let data = Data::of(&machine, &tree);
    if data.snapshots.is_empty() {
        return Ok(Report::new(none(&machine), &data));
    }
    let mut lines = vec![clean(&machine.known.name)];
    branch(&tree, None, "", &mut lines);
    if tree.current().is_none() {
        lines.push("← you are here, on no snapshot".to_owned());
    }
    Ok(Report::new(format!("{}\n", lines.join("\n")), &data))
}

fn none(machine: &Machine) -> String {
    let vm = clean(&machine.known.name);
    format!("{vm} has no snapshots\n\nNext:  relift snapshot create {vm}\n")
}

/// A line for each snapshot, beneath the one that it follows.
fn branch(tree: &Tree, parent: Option<&str>, indent: &str, lines: &mut Vec<String>) {
    let children: Vec<&Found> = tree.children(parent).collect();
    for (number, one) in children.iter().enumerate() {
        let is_last = number + 1 == children.len();
        let (knot, below) = if is_last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let notes = one.notes();
        let notes =
            if notes.is_empty() { String::new() } else { format!("  ({})", notes.join(", ")) };
        let here = if one.is_current { "  ← you are here" } else { "" };
        lines.push(format!("{indent}{knot}{}{}{here}", clean(&one.name), clean(&notes)));
        branch(tree, Some(&one.name), &format!("{indent}{below}"), lines);
    }
}
