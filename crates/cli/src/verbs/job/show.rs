//! `job show`: a job, and the command lines that it runs.

use backup::{Job, State};
use serde::Serialize;

use super::{JobData, emit, enable, machines};
use crate::{
    args::JobShowArgs,
    failure::Result,
    rate::RateLimit,
    report::Report,
    show::{clean, quoted},
};

/// `relift.job.show/1`.
#[derive(Debug, Serialize)]
struct Data {
    job: JobData,
    on_calendar: Vec<String>,
    commands: Vec<Vec<String>>,
    units: Vec<String>,
}

/// Shows a job, and writes its units where they are asked for.
pub(super) fn run(args: &JobShowArgs, state: &State) -> Result<Report> {
    let job = state.job(&args.name)?;
    let folder = args.emit_systemd.as_deref();
    let units = folder.map(|folder| emit(&job, state, folder)).transpose()?.unwrap_or_default();
    let timing = job.timing()?;
    let on_calendar = timing.map(|(schedule, _)| schedule.on_calendar(job.tz.as_deref()));
    let data = Data {
        job: JobData::of(&job),
        on_calendar: on_calendar.unwrap_or_default(),
        commands: commands(&job),
        units,
    };
    let mut text = text(&job, &data, super::next(&job, state)?);
    text.push_str(&folder.map(|folder| enable(&job, folder)).unwrap_or_default());
    Ok(Report::new(text, &data))
}

/// What is run for a machine, and for a backup that it wrote.
fn commands(job: &Job) -> Vec<Vec<String>> {
    let vm = job.vm.first().map_or("VM", String::as_str);
    let file = ["FILE".to_owned()];
    let first = backup::steps(job, vm, &file);
    let steps = first.into_iter().chain(job.steps_after(vm, &file));
    steps.map(|step| step.words).collect()
}

fn text(job: &Job, data: &Data, next: Option<String>) -> String {
    let mut lines = vec![format!("{}: {} of {}", job.name, data.job.task, machines(job))];
    let zone = job.tz.as_ref().map(|zone| format!(" {zone}")).unwrap_or_default();
    let schedule = job.schedule.as_deref().unwrap_or("by hand");
    lines.push(format!("  schedule   {schedule}{zone}"));
    lines.extend(next.map(|next| format!("  next run   {next}")));
    let rate = job.limit_rate.as_deref().and_then(|rate| rate.parse::<RateLimit>().ok());
    lines.extend(rate.map(|rate| format!("  rate       at most {} a second", rate.size())));
    lines.extend(data.on_calendar.iter().map(|line| format!("  systemd    {line}")));
    for words in &data.commands {
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        lines.push(format!("  runs       relift {}", words.join(" ")));
    }
    lines.extend(data.units.iter().map(|unit| format!("  wrote      {unit}")));
    lines.iter().map(|line| clean(line) + "\n").collect()
}
