//! `snapshot create`.

use backup::{
    quiesce::Processes,
    snapshot::{CreateOptions, CreatePlan, MemoryFile, create, plan_create},
};
use serde::Serialize;
use vm::ByteSize;

use super::{LeftOutData, Machine, left_out, restless};
use crate::{
    args::SnapshotCreateArgs, clock, failure::Result, progress::Gauge, report::Report,
    session::Session, show::clean,
};

/// `relift.snapshot.create/1`.
#[derive(Debug, Serialize)]
struct Data {
    vm: String,
    name: String,
    dry_run: bool,
    phase: Option<&'static str>,
    state: Option<&'static str>,
    indications: Vec<&'static str>,
    disks: Vec<IncludedData>,
    left_out: Vec<LeftOutData>,
    memory: Option<MemoryData>,
}

#[derive(Debug, Serialize)]
struct IncludedData {
    target: String,
    image: String,
    overlay: String,
}

#[derive(Debug, Serialize)]
struct MemoryData {
    file: String,
    needed_bytes: u64,
}

/// Says what is in the snapshot, and takes it.
pub(super) fn run(
    args: &SnapshotCreateArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    let machine = Machine::find(&args.of.machine, session)?;
    let subject = machine.subject();
    let now = clock::stamp_seconds()?;
    let memory = if args.with_memory { MemoryFile::Kept } else { MemoryFile::None };
    let storage = args.storage.as_ref().map(std::path::absolute).transpose();
    let options = CreateOptions {
        name: args.name.clone().unwrap_or_else(|| bundle::Point::id_at(now, &[])),
        description: args.description.clone(),
        memory,
        quiesce: args.quiet.quiesce.into(),
        deadline: args.quiet.deadline.0,
        exclude: args.exclude_disk.clone(),
        storage: storage.map_err(|error| {
            crate::failure::Failure::usage("--storage is no path").cause(error.to_string())
        })?,
        unix_seconds: now,
    };
    if args.dry_run {
        let plan = plan_create(&subject, &options)?;
        let data = data(&machine, &plan);
        return Ok(Report::new(format!("{}\nNothing was changed.\n", shown(&plan)), &data));
    }
    let _lock = machine.records.lock()?;
    let plan = plan_create(&subject, &options)?;
    session.show.say(&shown(&plan));
    gauge.phase("snapshot", None, None);
    let created = create(&subject, &plan, &Processes { uri: machine.host.uri() })?;
    let data = Data {
        dry_run: false,
        phase: Some(created.record.phase.as_str()),
        state: Some(created.state.as_str()),
        indications: created.record.indications.iter().map(|it| it.as_str()).collect(),
        ..data(&machine, &plan)
    };
    let frozen = match created.record.frozen_ms {
        Some(ms) => format!("; the guest was frozen for {ms} ms"),
        None => String::new(),
    };
    let vm = clean(&machine.known.name);
    let text = format!(
        "Took the snapshot {} of {vm}, which was {}{frozen}\n\nNext:  relift snapshot tree {vm}\n       \
         relift snapshot revert {vm} {} --stop\n",
        plan.name,
        created.state.as_str(),
        plan.name
    );
    Ok(Report::new(text, &data).warnings(restless(&created.notes)))
}

fn data(machine: &Machine, plan: &CreatePlan) -> Data {
    let disks = plan.included.iter().map(|disk| IncludedData {
        target: disk.target.clone(),
        image: disk.image.display().to_string(),
        overlay: disk.overlay.display().to_string(),
    });
    let memory = plan.memory.as_ref().map(|(file, needed_bytes)| MemoryData {
        file: file.display().to_string(),
        needed_bytes: *needed_bytes,
    });
    Data {
        vm: machine.known.name.clone(),
        name: plan.name.clone(),
        dry_run: true,
        phase: None,
        state: None,
        indications: Vec::new(),
        disks: disks.collect(),
        left_out: left_out(&plan.left_out),
        memory,
    }
}

/// What is in it, what is not and why, what memory needs and what is free.
fn shown(plan: &CreatePlan) -> String {
    let mut lines = vec![format!("Snapshot {}", plan.name)];
    for disk in &plan.included {
        let overlay = clean(&disk.overlay.display().to_string());
        lines.push(format!("  + {}  goes on in {overlay}", clean(&disk.target)));
    }
    for disk in &plan.left_out {
        lines.push(format!("  - {}  not included: {}", clean(&disk.target), clean(&disk.reason)));
    }
    if let Some((file, needed)) = &plan.memory {
        let file = clean(&file.display().to_string());
        lines.push(format!("  + memory  at most {}, in {file}", ByteSize(*needed)));
    }
    for (folder, free) in &plan.free {
        let folder = clean(&folder.display().to_string());
        lines.push(format!("  free: {} in {folder}", ByteSize(*free)));
    }
    lines.join("\n")
}
