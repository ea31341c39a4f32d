//! `job add`: a job is written down; nothing runs yet.

use std::path::absolute;

use backup::{Job, Keep, Place, State, Task, Verify};
use serde::Serialize;

use super::{JobData, emit, enable};
use crate::{
    args::{BackupVerifyLevel, JobAddArgs, KeepArgs, TaskChoice},
    clock,
    failure::{Failure, Result},
    report::Report,
    session::Session,
    show::clean,
    verbs::backup::prune,
};

/// `relift.job.add/1`.
#[derive(Debug, Serialize)]
struct Data {
    job: JobData,
    /// The units that were written.
    units: Vec<String>,
}

/// Adds a job.
pub(super) fn run(args: &JobAddArgs, state: &State, session: &Session) -> Result<Report> {
    if !args.label.is_empty() {
        return Err(Failure::usage("machines of libvirt have no labels to choose them by")
            .tip("name each: --vm V, or take all: --all"));
    }
    let job = job(args, session)?;
    state.add_job(&job)?;
    let folder = args.emit_systemd.as_deref();
    let units = folder.map(|folder| emit(&job, state, folder)).transpose()?.unwrap_or_default();
    let head = match super::next(&job, state)? {
        Some(next) => format!("Added {}, next run {next}\n", job.name),
        None => format!("Added {}; it runs by hand: relift job run {0}\n", job.name),
    };
    let listed: String = units.iter().map(|unit| clean(&format!("  {unit}")) + "\n").collect();
    let close = folder.map(|folder| enable(&job, folder)).unwrap_or_default();
    let text = format!("{head}{listed}{close}");
    Ok(Report::new(text, &Data { job: JobData::of(&job), units }))
}

fn job(args: &JobAddArgs, session: &Session) -> Result<Job> {
    // A rule that cannot be read is refused now, not in the night.
    prune::rules(&args.keep)?;
    let task = match args.task {
        TaskChoice::Backup => Task::Backup,
        TaskChoice::Snapshot => Task::Snapshot,
        TaskChoice::Verify => Task::Verify,
        TaskChoice::Prune => Task::Prune,
    };
    let mut job = Job::new(&args.name, task, &clock::now());
    job.vm.clone_from(&args.vm);
    job.all = args.all;
    job.schedule.clone_from(&args.schedule);
    job.tz.clone_from(&args.tz);
    job.concurrency = args.concurrency;
    job.connect = session.hypervisor.words().map(|[_, uri]| uri.to_owned());
    job.place = place(args)?;
    job.max_increments = args.max_increments;
    job.skip_unchanged = args.skip_unchanged;
    job.limit_rate = args.limit_rate.map(|rate| rate.to_string());
    job.verify = match args.verify {
        BackupVerifyLevel::Quick => Verify::Quick,
        BackupVerifyLevel::Deep => Verify::Deep,
    };
    job.keep = keep(&args.keep);
    job.words.clone_from(&args.words);
    job.check()?;
    Ok(job)
}

/// A job runs in any folder, so the place has no name that depends on it.
fn place(args: &JobAddArgs) -> Result<Place> {
    let storage = args.shelf.storage.as_deref().map(|folder| {
        let path = absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let text = path.to_str().map(|text| text.trim_end_matches("/.").to_owned());
        text.ok_or_else(|| Failure::usage(format!("{} is no text", path.display())))
    });
    Ok(Place { pool: args.shelf.pool.clone(), storage: storage.transpose()? })
}

fn keep(args: &KeepArgs) -> Keep {
    let number = |value: Option<u32>| value.map(|number| number.to_string());
    Keep {
        keep_last: number(args.keep_last),
        keep_hourly: number(args.keep_hourly),
        keep_daily: number(args.keep_daily),
        keep_weekly: number(args.keep_weekly),
        keep_monthly: number(args.keep_monthly),
        keep_yearly: number(args.keep_yearly),
        keep_within: args.keep_within.clone(),
        older_than: args.older_than.clone(),
        at_most: number(args.at_most),
        make_room: args.make_room.clone(),
    }
}
