//! `snapshot delete`.

use backup::snapshot::{DeletePlan, Deleted, End, Family, Step, delete, plan_delete, tree};
use serde::Serialize;

use super::Machine;
use crate::{
    args::SnapshotDeleteArgs, confirm, failure::Result, progress::Gauge, report::Report,
    session::Session, show::clean,
};

/// `relift.snapshot.delete/1`.
#[derive(Debug, Serialize)]
struct Data {
    vm: String,
    dry_run: bool,
    snapshots: Vec<GoneData>,
    removed: Vec<String>,
    kept: Vec<KeptData>,
}

#[derive(Debug, Serialize)]
struct GoneData {
    name: String,
    steps: Vec<StepData>,
}

#[derive(Debug, Serialize)]
struct StepData {
    act: &'static str,
    file: String,
    into: Option<String>,
    target: Option<String>,
    running: bool,
}

#[derive(Debug, Serialize)]
struct KeptData {
    image: String,
    reason: String,
}

/// Deletes a snapshot.
pub(super) fn run(
    args: &SnapshotDeleteArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    let machine = Machine::find(&args.named.of.machine, session)?;
    let (subject, name) = (machine.subject(), &args.named.name);
    let family = if args.children { Family::WithChildren } else { Family::One };
    let planned =
        || -> Result<DeletePlan> { Ok(plan_delete(&subject, &tree(&subject)?, name, family)?) };
    let first = planned()?;
    if args.dry_run {
        let data = data(args, &machine, &first, &Deleted::default());
        return Ok(Report::new(format!("{}\nNothing was changed.\n", shown(&first)), &data));
    }
    session.show.say(&shown(&first));
    if !args.yes {
        let names: Vec<&str> = first.snapshots.iter().map(|(one, _)| one.name.as_str()).collect();
        confirm::ask(&format!("{} cannot be gone back to any more.", names.join(", ")))?;
    }
    let _lock = machine.records.lock()?;
    let plan = planned()?;
    gauge.phase("merge", None, None);
    let deleted = delete(&subject, &plan, gauge)?;
    let data = data(args, &machine, &plan, &deleted);
    let names: Vec<_> = plan.snapshots.iter().map(|(one, _)| clean(&one.name)).collect();
    let text = format!("Deleted {} of {}\n", names.join(", "), clean(&machine.known.name));
    Ok(Report::new(text, &data))
}

fn data(
    args: &SnapshotDeleteArgs,
    machine: &Machine,
    plan: &DeletePlan,
    deleted: &Deleted,
) -> Data {
    let path = |path: &std::path::PathBuf| path.display().to_string();
    let kept = deleted
        .kept
        .iter()
        .map(|(image, why)| KeptData { image: path(image), reason: why.clone() });
    let snapshots = plan.snapshots.iter().map(|(one, steps)| GoneData {
        name: one.name.clone(),
        steps: steps.iter().map(step).collect(),
    });
    Data {
        vm: machine.known.name.clone(),
        dry_run: args.dry_run,
        snapshots: snapshots.collect(),
        removed: deleted.removed.iter().map(path).collect(),
        kept: kept.collect(),
    }
}

fn step(step: &Step) -> StepData {
    let path = |path: &std::path::Path| path.display().to_string();
    match step {
        Step::Merge { target, child, base, end, .. } => StepData {
            act: "merge",
            file: path(child),
            into: Some(path(base)),
            target: Some(target.clone()),
            running: *end == End::Active,
        },
        Step::Remove(file) => {
            StepData { act: "remove", file: path(file), into: None, target: None, running: false }
        }
        Step::Keep { image, .. } => {
            StepData { act: "keep", file: path(image), into: None, target: None, running: false }
        }
    }
}

/// What is merged, removed and kept.
fn shown(plan: &DeletePlan) -> String {
    let path = |path: &std::path::Path| clean(&path.display().to_string());
    let mut lines = Vec::new();
    for (one, steps) in &plan.snapshots {
        lines.push(format!("Delete {}", clean(&one.name)));
        for step in steps {
            lines.push(match step {
                Step::Merge { child, base, .. } => {
                    format!("  {} is merged into {}", path(child), path(base))
                }
                Step::Remove(file) => format!("  {} is removed", path(file)),
                Step::Keep { image, why } => format!("  {} stays: {}", path(image), clean(why)),
            });
        }
    }
    if plan.starts {
        lines.push("  the machine gets a process for this, and its guest does not run".to_owned());
    }
    lines.join("\n")
}
