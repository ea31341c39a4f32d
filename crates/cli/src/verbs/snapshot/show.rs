//! `snapshot show`.

use backup::snapshot::tree;
use serde::Serialize;
use vm::ByteSize;

use super::{Machine, SnapshotData};
use crate::{
    args::SnapshotNamedArgs, failure::Result, report::Report, session::Session, show::clean,
};

/// `relift.snapshot.show/1`.
#[derive(Debug, Serialize)]
struct Data {
    vm: String,
    snapshot: SnapshotData,
}

/// Shows a snapshot.
pub(super) fn run(args: &SnapshotNamedArgs, session: &Session) -> Result<Report> {
    let machine = Machine::find(&args.of.machine, session)?;
    let tree = tree(&machine.subject())?;
    let snapshot = SnapshotData::of(tree.find(&args.name)?);
    let data = Data { vm: machine.known.name.clone(), snapshot };
    Ok(Report::new(text(&data), &data))
}

fn text(data: &Data) -> String {
    let one = &data.snapshot;
    let mut lines = vec![format!("{} of {}", clean(&one.name), clean(&data.vm)), String::new()];
    let mut say = |name: &str, value: &str| lines.push(format!("  {name:<12}{}", clean(value)));
    say("Created", &one.created);
    say("State", one.shown_state());
    say("Parent", one.parent.as_deref().unwrap_or("—"));
    say("Phase", one.phase);
    if let Some(why) = &one.error {
        say("Error", why);
    }
    if !one.indications.is_empty() {
        say("Guest", &one.indications.join(", "));
    }
    if let Some(text) = &one.description {
        say("Note", text);
    }
    if let Some(size) = one.size_bytes {
        say("Size", &ByteSize(size).to_string());
    }
    for disk in &one.disks {
        say("Disk", &format!("{}  {} ({})", disk.target, disk.image, disk.format));
    }
    if let Some(memory) = &one.memory {
        say("Memory", memory);
    }
    for disk in &one.left_out {
        say("Without", &format!("{}: {}", disk.target, disk.reason));
    }
    if one.current {
        lines.push("\n  ← you are here".to_owned());
    }
    format!("{}\n", lines.join("\n"))
}
