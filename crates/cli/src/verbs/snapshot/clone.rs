//! `snapshot clone`.

use backup::snapshot::{CloneOptions, ClonePlan, Cloned, clone, plan_clone, tree};
use code::Code;
use serde::Serialize;
use vm::ByteSize;

use super::Machine;
use crate::{
    args::SnapshotCloneArgs,
    failure::{Failure, Result},
    progress::Gauge,
    report::Report,
    session::Session,
    show::clean,
};

/// `relift.snapshot.clone/1`.
#[derive(Debug, Serialize)]
struct Data {
    vm: String,
    snapshot: String,
    dry_run: bool,
    name: String,
    uuid: String,
    macs: Vec<String>,
    disks: Vec<DiskData>,
    dropped: Vec<DroppedData>,
    written_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct DiskData {
    target: String,
    from: String,
    to: String,
}

#[derive(Debug, Serialize)]
struct DroppedData {
    target: String,
    reason: String,
}

/// Makes a machine from a snapshot.
pub(super) fn run(
    args: &SnapshotCloneArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    let machine = Machine::find(&args.named.of.machine, session)?;
    let (subject, name) = (machine.subject(), &args.named.name);
    if machine.host.machines()?.iter().any(|one| one.name == args.new) {
        let text = format!("{} has a machine called {} already", machine.host.uri(), args.new);
        return Err(Failure::new(Code::E0503, text));
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let storage = match &args.pool {
        Some(pool) => Some(folder_of(&machine, pool)?),
        None => args
            .storage
            .as_ref()
            .map(std::path::absolute)
            .transpose()
            .map_err(|error| Failure::usage("--storage is no path").cause(error.to_string()))?,
    };
    let options = CloneOptions {
        name: args.new.clone(),
        storage,
        workers: args.jobs.map_or(cores, usize::from),
    };
    // Nothing of the snapshot may go while it is read.
    let _lock = machine.records.lock()?;
    let plan = plan_clone(&subject, &tree(&subject)?, name, &options)?;
    if args.dry_run {
        let data = data(args, &machine, &plan, None);
        return Ok(Report::new(format!("{}\nNothing was changed.\n", shown(&plan)), &data));
    }
    session.show.say(&shown(&plan));
    gauge.phase("clone", None, None);
    let cloned = clone(&subject, &plan, gauge)?;
    let new = clean(&plan.name);
    let text = format!(
        "Made {new} from the snapshot {} of {}: {} copied\n\nNext:  virsh start {new}\n",
        clean(name),
        clean(&machine.known.name),
        ByteSize(cloned.data_bytes)
    );
    Ok(Report::new(text, &data(args, &machine, &plan, Some(&cloned))))
}

/// The folder of a pool.
fn folder_of(machine: &Machine, pool: &str) -> Result<std::path::PathBuf> {
    let pools = machine.host.pools()?;
    let found = pools.iter().find(|one| one.name == pool && one.is_active);
    found.and_then(|one| one.path.clone()).ok_or_else(|| {
        let text = format!("{} has no active pool '{}' with a folder", machine.host.uri(), pool);
        Failure::new(Code::E0504, text)
    })
}

fn data(
    args: &SnapshotCloneArgs,
    machine: &Machine,
    plan: &ClonePlan,
    cloned: Option<&Cloned>,
) -> Data {
    let disks = plan.disks.iter().map(|(target, from, to)| DiskData {
        target: target.clone(),
        from: from.display().to_string(),
        to: to.display().to_string(),
    });
    let dropped = plan
        .dropped
        .iter()
        .map(|(target, reason)| DroppedData { target: target.clone(), reason: reason.clone() });
    Data {
        vm: machine.known.name.clone(),
        snapshot: args.named.name.clone(),
        dry_run: args.dry_run,
        name: plan.name.clone(),
        uuid: plan.uuid.to_string(),
        macs: plan.macs.iter().map(ToString::to_string).collect(),
        disks: disks.collect(),
        dropped: dropped.collect(),
        written_bytes: cloned.map(|it| it.file_bytes),
    }
}

fn shown(plan: &ClonePlan) -> String {
    let mut lines = vec![format!("Clone {}  uuid {}", clean(&plan.name), plan.uuid)];
    for (target, _, to) in &plan.disks {
        lines.push(format!("  {}  {}", clean(target), clean(&to.display().to_string())));
    }
    for (target, reason) in &plan.dropped {
        lines.push(format!("  - {}  dropped: {}", clean(target), clean(reason)));
    }
    if let Some((new, _)) = &plan.variables {
        let new = clean(&new.display().to_string());
        lines.push(format!("  firmware variables, as they are now, in {new}"));
    }
    lines.join("\n")
}
