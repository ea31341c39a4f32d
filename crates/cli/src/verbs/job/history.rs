//! `job history`: what became of the runs of a job, the newest first.

use backup::{Run, State};
use serde::Serialize;

use crate::{
    args::JobNameArgs, failure::Result, report::Report, session::Session, show::table::Table,
};

/// `relift.job.history/1`.
#[derive(Debug, Serialize)]
struct Data<'a> {
    job: &'a str,
    runs: Vec<RunData<'a>>,
}

#[derive(Debug, Serialize)]
struct RunData<'a> {
    t: &'a str,
    run: &'a str,
    vm: &'a str,
    state: &'static str,
    exit: Option<i32>,
    code: Option<&'a str>,
    message: Option<&'a str>,
    files: &'a [String],
    took_ms: Option<u64>,
}

/// Shows the history. A beginning is only shown where no end follows it.
pub(super) fn run(args: &JobNameArgs, state: &State, session: &Session) -> Result<Report> {
    let history = state.history(&args.name)?;
    if history.is_empty() {
        // Of a removed job the history is still there.
        state.job(&args.name)?;
    }
    let mut runs: Vec<&Run> = Vec::new();
    for run in &history {
        runs.retain(|one| one.due != run.due || one.vm != run.vm);
        runs.push(run);
    }
    runs.reverse();
    let mut table = Table::new(&[]);
    table.row(["TIME", "MACHINE", "STATE", "CODE", "MESSAGE"]);
    for run in &runs {
        let code = run.code.as_deref().unwrap_or("-");
        let message = run.message.clone().unwrap_or_else(|| run.files.join(", "));
        table.row([&*run.t, &run.vm, run.state.as_str(), code, &message]);
    }
    let text = if runs.is_empty() {
        format!("{} has not run yet\n", args.name)
    } else {
        table.lines(0, session.show.width()).join("\n") + "\n"
    };
    let data = Data { job: &args.name, runs: runs.into_iter().map(run_data).collect() };
    Ok(Report::new(text, &data))
}

fn run_data(run: &Run) -> RunData<'_> {
    RunData {
        t: &run.t,
        run: &run.due,
        vm: &run.vm,
        state: run.state.as_str(),
        exit: run.exit,
        code: run.code.as_deref(),
        message: run.message.as_deref(),
        files: &run.files,
        took_ms: run.took_ms,
    }
}
