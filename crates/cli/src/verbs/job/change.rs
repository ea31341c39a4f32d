//! `job pause`, `job resume`, `job remove`.

use backup::State;
use serde::Serialize;

use super::JobData;
use crate::{
    args::{JobNameArgs, JobRemoveArgs},
    clock, confirm,
    failure::Result,
    report::Report,
};

/// `relift.job.pause/1` and its like.
#[derive(Debug, Serialize)]
struct Data {
    job: JobData,
}

/// Keeps a job from running by its schedule.
pub(super) fn pause(args: &JobNameArgs, state: &State) -> Result<Report> {
    let mut job = state.job(&args.name)?;
    job.paused = true;
    state.write_job(&job)?;
    let text = format!("{0} is paused until: relift job resume {0}\n", job.name);
    Ok(Report::new(text, &Data { job: JobData::of(&job) }))
}

/// Lets a job run again. What it missed in between is not made up for: somebody wanted that.
pub(super) fn resume(args: &JobNameArgs, state: &State) -> Result<Report> {
    let mut job = state.job(&args.name)?;
    if job.paused {
        job.paused = false;
        job.created = clock::now();
    }
    state.write_job(&job)?;
    let text = match super::next(&job, state)? {
        Some(next) => format!("{}: next run {next}\n", job.name),
        None => format!("{} runs by hand\n", job.name),
    };
    Ok(Report::new(text, &Data { job: JobData::of(&job) }))
}

/// Removes a job, once somebody has said yes.
pub(super) fn remove(args: &JobRemoveArgs, state: &State) -> Result<Report> {
    let job = state.job(&args.name)?;
    if !args.yes {
        confirm::ask(&format!("The job {} will be removed.", job.name))?;
    }
    state.remove_job(&job.name)?;
    let text = format!("Removed {}; its backups and its history stay\n", job.name);
    Ok(Report::new(text, &Data { job: JobData::of(&job) }))
}
