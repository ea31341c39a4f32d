//! `job …`: what is done to which machines, when, and what became of it.

mod add;
mod change;
mod history;
mod list;
mod run;
mod show;

use std::{fs, path::Path};

use backup::{Job, State, Unit};
use code::Code;
use serde::Serialize;

use crate::{
    args::JobCommand,
    clock,
    failure::{Failure, Result},
    report::Report,
    session::Session,
    state,
};

/// Does what a command about jobs says.
pub(super) fn run(command: &JobCommand, session: &Session) -> Result<Report> {
    let state = state::of_environment();
    match command {
        JobCommand::Add(args) => add::run(args, &state, session),
        JobCommand::List => list::run(&state, session),
        JobCommand::Show(args) => show::run(args, &state),
        JobCommand::Run(args) => run::run(args, &state, session),
        JobCommand::Pause(args) => change::pause(args, &state),
        JobCommand::Resume(args) => change::resume(args, &state),
        JobCommand::Remove(args) => change::remove(args, &state),
        JobCommand::History(args) => history::run(args, &state, session),
    }
}

/// A job as documents show it.
#[derive(Debug, Serialize)]
struct JobData {
    name: String,
    task: &'static str,
    vm: Vec<String>,
    all: bool,
    schedule: Option<String>,
    tz: Option<String>,
    paused: bool,
    concurrency: u32,
    pool: Option<String>,
    storage: Option<String>,
    max_increments: Option<u32>,
    skip_unchanged: bool,
    limit_rate: Option<String>,
    keep: Vec<FlagData>,
    words: Vec<String>,
    created: String,
}

#[derive(Debug, Serialize)]
struct FlagData {
    flag: &'static str,
    value: String,
}

impl JobData {
    fn of(job: &Job) -> Self {
        let flags = job.keep.flags().into_iter();
        Self {
            name: job.name.clone(),
            task: job.task.as_str(),
            vm: job.vm.clone(),
            all: job.all,
            schedule: job.schedule.clone(),
            tz: job.tz.clone(),
            paused: job.paused,
            concurrency: job.concurrency,
            pool: job.place.pool.clone(),
            storage: job.place.storage.clone(),
            max_increments: job.max_increments,
            skip_unchanged: job.skip_unchanged,
            limit_rate: job.limit_rate.clone(),
            keep: flags.map(|(flag, value)| FlagData { flag, value: value.to_owned() }).collect(),
            words: job.words.clone(),
            created: job.created.clone(),
        }
    }
}

/// The machines of a job in few words.
fn machines(job: &Job) -> String {
    if job.all { "all".to_owned() } else { job.vm.join(", ") }
}

/// When a job runs next, for people; nothing where it only runs by hand.
fn next(job: &Job, state: &State) -> Result<Option<String>> {
    if job.paused {
        return Ok(Some("paused".to_owned()));
    }
    let history = state.history(&job.name)?;
    let next = job.next_run(job.last_run(&history))?;
    let seconds = next.and_then(|next| u64::try_from(next.as_second()).ok());
    Ok(seconds.map(clock::local))
}

/// Writes the units of a job into a folder, in the place of older ones, and gives their paths.
fn emit(job: &Job, state: &State, folder: &Path) -> Result<Vec<String>> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::new(Code::E0508, "cannot tell where this program is").cause(error.to_string())
    })?;
    let units = backup::units(job, &program, state.folder())?;
    let write = |Unit { name, text }: Unit| {
        let path = folder.join(name);
        let shown = path.display().to_string();
        fs::write(&path, text).map(|()| shown.clone()).map_err(|error| {
            Failure::new(Code::E0508, format!("cannot write {shown}")).cause(error.to_string())
        })
    };
    units.into_iter().map(write).collect()
}

/// What is to be typed once the units are there.
fn enable(job: &Job, folder: &Path) -> String {
    let (name, folder) = (&job.name, crate::show::quoted(&folder.display().to_string()));
    format!(
        "Next:  systemctl link {folder}/relift-{name}.service && systemctl enable --now {folder}/relift-{name}.timer\n"
    )
}
