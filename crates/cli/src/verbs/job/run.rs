//! `job run`: the task of a job for each of its machines, by this program in processes of their own.
//!
//! ```text
//! the job's turn --> machines --each in a thread--> the machine's turn, a turn at the place
//!                                                     create --> verify what was written --> prune
//!                                                                (a step that fails ends the rest)
//! ```

mod hall;

use std::thread;

use backup::{Job, Run, State, Turn, Turns};
use code::{Code, ExitStatus};
use jiff::Timestamp;
use serde::Serialize;

use self::hall::{Hall, Waits};
use crate::{
    args::JobRunArgs,
    clock,
    failure::{Failure, Result},
    report::Report,
    session::Session,
    show::clean,
    verbs::batch::worker::Crew,
};

/// `relift.job.run/1`.
#[derive(Debug, Serialize)]
struct Data {
    runs: Vec<RunData>,
    done: usize,
    failed: usize,
}

#[derive(Debug, Serialize)]
struct RunData {
    job: String,
    vm: String,
    state: &'static str,
    exit: Option<i32>,
    code: Option<String>,
    message: Option<String>,
    files: Vec<String>,
}

/// Runs a job, or all that are due.
pub(super) fn run(args: &JobRunArgs, state: &State, session: &Session) -> Result<Report> {
    let crew = Crew::default();
    let waits = if args.no_wait { Waits::No } else { Waits::Yes };
    let hall = Hall { state, session, crew: &crew, waits, due: clock::now_exact() };
    let jobs = match &args.name {
        Some(name) => {
            state.job(name)?;
            let turn = hall.wait(Turn::Job(name), &format!("the job {name}"))?;
            // Only now: somebody may have changed it meanwhile.
            vec![(turn, state.job(name)?)]
        }
        None => due(state, session)?,
    };
    let (mut tasks, mut runs) = (Vec::new(), Vec::new());
    for (_, job) in &jobs {
        match hall.machines(job) {
            Ok(machines) => tasks.extend(machines.into_iter().map(|vm| (job, vm))),
            Err(failure) => runs.push(hall.unlisted(job, &failure)?),
        }
    }
    let ended = crew.while_asked(&session.stop, || all(&hall, &tasks));
    runs.extend(ended?);
    match session.stop.exit() {
        Some(exit) => Err(Failure::stopped(exit)),
        None => Ok(report(runs)),
    }
}

/// Every task in a thread of its own; the turns say how many go on at a time.
fn all(hall: &Hall<'_>, tasks: &[(&Job, String)]) -> Result<Vec<Run>> {
    thread::scope(|threads| {
        let threads: Vec<_> =
            tasks.iter().map(|(job, vm)| threads.spawn(|| hall.task(job, vm))).collect();
        let ended = threads.into_iter().map(|thread| {
            let broken = |_| Err(Failure::plain(ExitStatus::Failure, "a task of the job broke"));
            thread.join().unwrap_or_else(broken)
        });
        ended.collect()
    })
}

/// The jobs that are due and that nobody runs, each with its turn.
fn due(state: &State, session: &Session) -> Result<Vec<(Turns, Job)>> {
    let mut jobs = Vec::new();
    for (name, job) in state.all_jobs()? {
        let is_due = |job: &Job| -> backup::Result<bool> {
            let history = state.history(&name)?;
            job.is_due(job.last_run(&history), Timestamp::now())
        };
        match job.and_then(|job| Ok((is_due(&job)?, job))) {
            Ok((false, _)) => {}
            Ok((true, job)) => {
                let Some(turn) = state.attempt(Turn::Job(&name))? else { continue };
                // Only now: another run may just have ended.
                if is_due(&job)? {
                    jobs.push((turn, job));
                }
            }
            // A job that cannot be read does not keep the others from being done.
            Err(error) => session.show.say(&format!("{name}: {}", clean(&error.to_string()))),
        }
    }
    Ok(jobs)
}

fn report(runs: Vec<Run>) -> Report {
    let failure = failure(&runs);
    let done = runs.iter().filter(|run| run.state.is_done()).count();
    let of = |run: Run| RunData {
        job: run.job,
        vm: run.vm,
        state: run.state.as_str(),
        exit: run.exit,
        code: run.code,
        message: run.message,
        files: run.files,
    };
    let runs: Vec<RunData> = runs.into_iter().map(of).collect();
    let failed = runs.len() - done;
    let line = |run: &RunData| {
        let why = match (&run.code, &run.message) {
            (Some(code), Some(message)) => format!(": {code} {message}"),
            (None, Some(message)) => format!(": {message}"),
            _ => String::new(),
        };
        clean(&format!("{} {}: {}{why}", run.job, run.vm, run.state)) + "\n"
    };
    let lines: String = runs.iter().map(line).collect();
    let text = match runs.len() {
        0 => "nothing is due\n".to_owned(),
        _ => format!("{lines}Done {done} · failed {failed}\n"),
    };
    Report::new(text, &Data { runs, done, failed }).failed(failure)
}

/// Why the run is not the wanted one: where nothing but turns was missing, another time may help.
fn failure(runs: &[Run]) -> Option<Box<Failure>> {
    let bad: Vec<&Run> = runs.iter().filter(|run| !run.state.is_done()).collect();
    let first = bad.first()?;
    if bad.iter().all(|run| run.code.as_deref() == Some(Code::E0602.as_str())) {
        let message = first.message.clone().unwrap_or_default();
        return Some(Failure::new(Code::E0602, message));
    }
    let text = format!("{} of {} tasks failed", bad.len(), runs.len());
    let failure =
        Failure::plain(ExitStatus::Partial, text).cause("the history names each with its code");
    Some(failure.fix(format!("relift job history {}", first.job)))
}

#[cfg(test)]
mod tests {
    use backup::RunState;

    use super::*;

    fn run(vm: &str, state: RunState, code: Option<&str>) -> Run {
        let mut run = Run::new("2026-11-21T00:00:00Z", "nightly", vm, state);
        run.code = code.map(str::to_owned);
        run.message = code.map(|_| "why".to_owned());
        run
    }

    #[test]
    fn a_run_with_a_task_that_failed_is_partial_and_one_that_only_lacked_turns_is_locked() {
        let done = run("a", RunState::Done, None);
        let failed = run("b", RunState::Failed, Some("E0506"));
        let locked = run("c", RunState::Stopped, Some("E0602"));
        let exit = |runs: &[&Run]| {
            let runs: Vec<Run> = runs.iter().copied().cloned().collect();
            failure(&runs).map(|failure| failure.exit)
        };
        assert_eq!(exit(&[&done]), None);
        assert_eq!(exit(&[&done, &failed, &locked]), Some(ExitStatus::Partial));
        assert_eq!(exit(&[&done, &locked]), Some(ExitStatus::Locked));
        let report = report(vec![done, failed]);
        let text = String::from_utf8(report.text).unwrap();
        assert_eq!(text, "nightly a: done\nnightly b: failed: E0506 why\nDone 1 · failed 1\n");
    }
}
