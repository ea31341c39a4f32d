//! `job list`: every job, when it runs next, and what became of its last run.

use backup::{Job, Run, RunState, State};
use serde::Serialize;

use super::{JobData, machines};
use crate::{
    clock,
    failure::{Failure, Result},
    json::Message,
    report::Report,
    session::Session,
    show::table::Table,
};

/// `relift.job.list/1`.
#[derive(Debug, Serialize)]
struct Data {
    jobs: Vec<ListedData>,
}

#[derive(Debug, Serialize)]
struct ListedData {
    #[serde(flatten)]
    job: JobData,
    last: Option<LastData>,
}

#[derive(Debug, Serialize)]
struct LastData {
    t: String,
    state: &'static str,
}

/// Lists the jobs; one whose file cannot be read is a warning.
pub(super) fn run(state: &State, session: &Session) -> Result<Report> {
    let mut table = Table::new(&[]);
    table.row(["NAME", "TASK", "MACHINES", "SCHEDULE", "NEXT", "LAST"]);
    let (mut jobs, mut warnings) = (Vec::new(), Vec::new());
    for (name, job) in state.all_jobs()? {
        let job = match job {
            Ok(job) => job,
            Err(error) => {
                let failure = Box::<Failure>::from(error);
                warnings.push(Message::from(&*failure).about(name));
                continue;
            }
        };
        let history = state.history(&job.name)?;
        let last = last(&job, &history);
        let schedule = job.schedule.clone().unwrap_or_else(|| "by hand".to_owned());
        let zone = job.tz.as_ref().map(|zone| format!(" {zone}")).unwrap_or_default();
        table.row([
            &*job.name,
            job.task.as_str(),
            &machines(&job),
            &format!("{schedule}{zone}"),
            &super::next(&job, state)?.unwrap_or_else(|| "-".to_owned()),
            &last.as_ref().map_or_else(
                || "never".to_owned(),
                |last| format!("{} {}", last.state, clock::ago(&last.t)),
            ),
        ]);
        jobs.push(ListedData { job: JobData::of(&job), last });
    }
    let text = if jobs.is_empty() {
        "no jobs; relift job add --help\n".to_owned()
    } else {
        table.lines(0, session.show.width()).join("\n") + "\n"
    };
    Ok(Report::new(text, &Data { jobs }).warnings(warnings))
}

/// What became of the last run: the worst of its machines.
fn last(job: &Job, history: &[Run]) -> Option<LastData> {
    let due = &job.last_run(history)?.due;
    let mut ends: Vec<(&str, &Run)> = Vec::new();
    for run in history.iter().filter(|run| run.due == *due) {
        ends.retain(|(vm, _)| *vm != run.vm);
        ends.push((&run.vm, run));
    }
    let rank = |run: &Run| match run.state {
        RunState::Failed => 3,
        RunState::Started => 2,
        RunState::Stopped => 1,
        RunState::Done | RunState::Unchanged => 0,
    };
    let worst = ends.iter().map(|(_, run)| *run).max_by_key(|run| rank(run))?;
    Some(LastData { t: worst.t.clone(), state: worst.state.as_str() })
}

#[cfg(test)]
mod tests {
    use backup::Task;

    use super::*;

    #[test]
    fn a_run_is_as_good_as_the_worst_of_its_machines() {
        let job = Job::new("n", Task::Backup, "2026-11-21T00:00:00Z");
        let run = |hour: u32, vm: &str, state| {
            let mut run = Run::new(&format!("2026-11-21T{hour:02}:00:00Z"), "n", vm, state);
            run.due = "2026-11-21T01:00:00Z".to_owned();
            run
        };
        let history = [
            run(1, "a", RunState::Started),
            run(1, "b", RunState::Started),
            run(2, "b", RunState::Failed),
            run(3, "a", RunState::Done),
        ];
        let told = |history: &[Run]| last(&job, history).map(|last| last.state);
        assert_eq!(told(&history), Some("failed"));
        assert_eq!(told(&history[..2]), Some("started"));
        assert_eq!(told(&[]), None);
    }
}
