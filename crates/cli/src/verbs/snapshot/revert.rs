//! `snapshot revert`.

use std::{thread, time::Duration};

use backup::{
    quiesce::{Processes, Quiesce},
    snapshot::{
        CreateOptions, Leftover, MemoryFile, RevertPlan, create, plan_create, plan_revert, revert,
        stop, tree,
    },
};
use code::Code;
use disk::Progress as _;
use host::libvirt::{Guest as _, Power};
use serde::Serialize;

use super::Machine;
use crate::{
    args::SnapshotRevertArgs,
    clock, confirm,
    failure::{Failure, Result},
    progress::Gauge,
    report::Report,
    session::Session,
    show::clean,
};

/// How often a guest that shuts down is looked at.
const LOOK: Duration = Duration::from_millis(500);

/// How many times: five minutes, as a service that stops slowly takes.
const LOOKS: u32 = 600;

/// `relift.snapshot.revert/1`.
#[derive(Debug, Serialize)]
struct Data {
    vm: String,
    name: String,
    dry_run: bool,
    disks: Vec<DiskData>,
    lost: Vec<String>,
    kept: bool,
    runs: bool,
    safety_snapshot: Option<String>,
}

#[derive(Debug, Serialize)]
struct DiskData {
    target: String,
    image: String,
}

/// Takes a machine back.
pub(super) fn run(
    args: &SnapshotRevertArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    let machine = Machine::find(&args.named.of.machine, session)?;
    let (subject, name) = (machine.subject(), &args.named.name);
    let first = plan_revert(&subject, &tree(&subject)?, name)?;
    if args.dry_run {
        let data = data(args, &machine, &first, None);
        return Ok(Report::new(format!("{}\nNothing was changed.\n", shown(args, &first)), &data));
    }
    let vm = clean(&machine.known.name);
    if subject.host.power(subject.machine)? != Power::Off && !args.stop {
        let fix = format!("relift snapshot revert {vm} {} --stop", clean(name));
        let text = format!("the machine {vm} is not off");
        return Err(Failure::new(Code::E0510, text).fix(fix));
    }
    session.show.say(&shown(args, &first));
    if !args.yes {
        confirm::ask_for(&machine.known.name, &format!("{vm} goes back to {name}."))?;
    }
    let _lock = machine.records.lock()?;
    if args.stop {
        gauge.phase("stop", None, None);
        let mut looks = 0;
        stop(subject.host, subject.machine, || {
            looks += 1;
            thread::sleep(LOOK);
            looks < LOOKS && !gauge.stopped()
        })?;
    }
    let safety = if args.snapshot_first { Some(keep_first(&machine, name)?) } else { None };
    // What is lost may have changed: by the guest that stopped, by the snapshot.
    let plan = plan_revert(&subject, &tree(&subject)?, name)?;
    let leftover = if args.keep { Leftover::Kept } else { Leftover::Removed };
    gauge.phase("revert", None, None);
    revert(&subject, &plan, leftover)?;
    let data = data(args, &machine, &plan, safety);
    let next = if plan.wakes { format!("virsh console {vm}") } else { format!("virsh start {vm}") };
    let runs = if plan.wakes { ", and runs" } else { "" };
    let text = format!("{vm} is at the snapshot {}{runs}\n\nNext:  {next}\n", clean(name));
    Ok(Report::new(text, &data))
}

/// Keeps the machine as it is, before it goes back.
fn keep_first(machine: &Machine, name: &str) -> Result<String> {
    let now = clock::stamp_seconds()?;
    let options = CreateOptions {
        name: bundle::Point::id_at(now, &[]),
        description: Some(format!("before going back to {name}")),
        memory: MemoryFile::None,
        quiesce: Quiesce::Never,
        deadline: None,
        exclude: Vec::new(),
        storage: None,
        unix_seconds: now,
    };
    let subject = machine.subject();
    let plan = plan_create(&subject, &options)?;
    create(&subject, &plan, &Processes { uri: machine.host.uri() })?;
    Ok(plan.name)
}

fn data(
    args: &SnapshotRevertArgs,
    machine: &Machine,
    plan: &RevertPlan,
    safety_snapshot: Option<String>,
) -> Data {
    let disks = plan.disks.iter().map(|(target, image)| DiskData {
        target: target.clone(),
        image: image.display().to_string(),
    });
    Data {
        vm: machine.known.name.clone(),
        name: plan.snapshot.name.clone(),
        dry_run: args.dry_run,
        disks: disks.collect(),
        lost: plan.lost.iter().map(|image| image.display().to_string()).collect(),
        kept: args.keep,
        runs: plan.wakes,
        safety_snapshot,
    }
}

/// What goes back, and what is lost.
fn shown(args: &SnapshotRevertArgs, plan: &RevertPlan) -> String {
    let created = clock::told(plan.snapshot.unix_seconds);
    let mut lines = vec![format!("Back to {}, taken at {created}", clean(&plan.snapshot.name))];
    for (target, image) in &plan.disks {
        let image = clean(&image.display().to_string());
        lines.push(format!("  {}  goes on in {image}", clean(target)));
    }
    for image in plan.lost.iter().filter(|_| !args.snapshot_first) {
        let image = clean(&image.display().to_string());
        let what = if args.keep { "stays as a file" } else { "is removed" };
        lines.push(format!("  lost: what was written since; {image} {what}"));
    }
    if args.snapshot_first {
        lines.push("  nothing is lost: a snapshot is taken first".to_owned());
    }
    lines.join("\n")
}
