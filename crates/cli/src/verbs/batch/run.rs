//! `batch run`: what is still to do, several at a time, each state in the journal.

use std::{
    ffi::OsString,
    path::{Component, Path, PathBuf},
};

use batch::{
    Batch, Done, Failed, History, Item, Journal, Limits, Line, Need, Order, Record, Room, Shard,
    State, Summary, Watch, Work,
};
use code::Code;
use host::{Host as _, dir, here};
use serde::Serialize;
use serde_json::Value;
use vm::ByteSize;

use super::{
    claim::Claim,
    display::Display,
    history, journal_path, outputs, partial, stamp, words,
    worker::{Crew, Told, Words},
};
use crate::{
    args::{BatchLimitArgs, BatchRunArgs, OnError, OrderChoice},
    clock::{self, Window},
    events::Event,
    failure::{Failure, Result},
    progress::Gauge,
    rate::RateLimit,
    report::Report,
    session::Session,
    show::{clean, quoted},
};

/// The memory that is kept for a worker: what one takes at most, with some to spare.
const WORKER_BYTES: u64 = 256 << 20;

/// `relift.batch.run/1`.
#[derive(Debug, Serialize)]
struct Data {
    batch: String,
    journal: String,
    shard: Option<String>,
    done: usize,
    failed: usize,
    skipped: usize,
    left: usize,
    written_bytes: u64,
    /// The items that this run is for.
    items: Vec<String>,
}

/// Runs what is not done.
pub(in crate::verbs) fn run(
    args: &BatchRunArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    let batch = super::read(&args.file)?;
    let variable = |name: &str| std::env::var(name).ok();
    let shard = args.shard.as_deref().map(|text| Shard::find(text, &variable)).transpose()?;
    let mine = |item: &&Item| shard.is_none_or(|shard| item.id().is_ok_and(|id| shard.holds(&id)));
    let items: Vec<&Item> = batch.items.iter().filter(mine).collect();
    let job = Job { file: &args.file, batch: &batch, shard, args: &args.run, session, gauge };
    if args.dry_run {
        let history = history(&args.file, args.run.journal.as_deref())?;
        let (todo, skipped) = job.split(items, &history);
        return Ok(job.report(&todo, skipped.len(), None));
    }
    job.carry_out(items, |items, history| job.split(items, history))
}

/// A batch, and how it is run.
pub(super) struct Job<'a> {
    pub(super) file: &'a Path,
    pub(super) batch: &'a Batch,
    pub(super) shard: Option<Shard>,
    pub(super) args: &'a BatchLimitArgs,
    pub(super) session: &'a Session,
    pub(super) gauge: &'a Gauge<'a>,
}

/// Items to do, and items that stay as they are.
pub(super) type Split<'a> = (Vec<&'a Item>, Vec<&'a Item>);

impl<'a> Job<'a> {
    /// Parts the items into those to do and those that are done as they would be now.
    fn split(&self, items: Vec<&'a Item>, history: &History) -> Split<'a> {
        let crew = Crew::default();
        items.into_iter().partition(|item| !self.is_done(item, history, &crew))
    }

    fn is_done(&self, item: &Item, history: &History, crew: &Crew) -> bool {
        let plan = self.batch.fingerprint(item);
        let Some(status) = history.get(&item.id).filter(|status| status.is_done_as(&plan)) else {
            return false;
        };
        if outputs::are_gone(self.batch, item, status) {
            self.session.show.say(&format!("again    {}  its output is gone", item.id));
            return false;
        }
        let (then, now) = (status.last.stamp.as_deref(), stamp(&item.source));
        if then.is_some() && then == now.as_deref() {
            return true;
        }
        // Who was told to stop starts no process to find out: nothing is done any more.
        let may_ask = status.last.source.is_some() && !self.session.stop.is_asked();
        may_ask && status.last.source == self.digest(item, crew)
    }

    /// Does those of the items that are chosen by what is known of them, and tells what became of them.
    pub(super) fn carry_out(
        &self,
        items: Vec<&'a Item>,
        choose: impl FnOnce(Vec<&'a Item>, &History) -> Split<'a>,
    ) -> Result<Report> {
        let limits = limits(self.args, items.len())?;
        let window = self.args.window.as_deref().map(Window::parse).transpose()?;
        let owner = Line::Run {
            t: clock::now_exact(),
            batch: self.batch.name.clone(),
            run: format!("{}, process {}", here::name(), std::process::id()),
        };
        let journal = Journal::open(&self.journal(), &owner)?;
        let part = (self.file, self.shard);
        let _claim = Claim::take(part, (&self.journal(), &owner), self.session)?;
        // Only now: another run may have had the journal until a moment ago.
        let history = history(self.file, self.args.journal.as_deref())?;
        let (todo, skipped) = choose(items, &history);
        let of = |item: &&Item| {
            Record::new(clock::now_exact(), &self.batch.name, &item.id, State::Skipped)
        };
        journal.record_all(&skipped.iter().map(of).collect::<Vec<_>>())?;
        let display = Display::new(&todo, self.session, self.gauge);
        let (crew, watch) = (Crew::default(), Looking { display: &display, window, job: self });
        let limit_rate =
            self.args.limit_rate.map(|rate| rate.shared_by(limits.jobs.min(todo.len())));
        let foreman =
            Foreman { job: self, history: &history, crew: &crew, display: &display, limit_rate };
        let order = match self.args.order {
            OrderChoice::Size => Order::Size,
            OrderChoice::Name => Order::Name,
            OrderChoice::File => Order::File,
        };
        let ended = crew.while_asked(&self.session.stop, || {
            let parts = (&foreman as &dyn Work, &Host::of(self.batch) as _, &watch as _);
            batch::run(self.batch, (todo.clone(), order), limits, &journal, parts)
        });
        display.end();
        let summary = ended?;
        match self.session.stop.exit() {
            Some(exit) => Err(Failure::stopped(exit)),
            None => Ok(self.report(&todo, skipped.len(), Some(summary))),
        }
    }

    /// What tells the source of an item from others, as its plan says it now.
    fn digest(&self, item: &Item, crew: &Crew) -> Option<String> {
        let words = self.words("plan", item).ok()?;
        let command = [vec!["--json".into()], words].concat();
        let mut found = None;
        let ended = crew.run(&command, &mut |told| {
            if let Told::Line(value) = told {
                let digest = value.pointer("/data/source/digest").and_then(Value::as_str);
                found = digest.map(str::to_owned);
            }
        });
        ended.ok().and(found)
    }

    fn words(&self, verb: &str, item: &Item) -> Result<Vec<OsString>> {
        words(verb, (self.batch, item), &self.args.host, self.session)
    }

    fn journal(&self) -> PathBuf {
        self.args.journal.clone().unwrap_or_else(|| journal_path(self.file, self.shard))
    }

    /// What the run did, or would do.
    fn report(&self, todo: &[&Item], skipped: usize, summary: Option<Summary>) -> Report {
        let ran = summary.unwrap_or_default();
        let data = Data {
            batch: self.batch.name.clone(),
            journal: self.journal().display().to_string(),
            shard: self.shard.map(|shard| shard.to_string()),
            done: ran.done,
            failed: ran.failed,
            skipped,
            left: if summary.is_some() { ran.left } else { todo.len() },
            written_bytes: ran.bytes,
            items: todo.iter().map(|item| item.id.clone()).collect(),
        };
        let shown = clean(&quoted(&self.file.display().to_string()));
        let text = match summary {
            None => {
                let ids = data.items.iter().map(|id| format!("  {id}\n")).collect::<String>();
                format!("Would do {} items, {skipped} are done already\n\n{ids}", todo.len())
            }
            Some(_) => format!(
                "Done {} · failed {} · skipped {skipped} · left {} · wrote {}\n\n\
                 Next:  relift batch report {shown}\n",
                ran.done,
                ran.failed,
                ran.left,
                ByteSize(ran.bytes)
            ),
        };
        let failure = (ran.failed > 0).then(|| partial(ran.failed, todo.len(), self.file));
        Report::new(text, &data).failed(failure)
    }
}

fn limits(args: &BatchLimitArgs, count: usize) -> Result<Limits> {
    let max_failures = match (args.on_error, args.max_failures.as_deref()) {
        (OnError::Stop, _) => Some(0),
        (OnError::Continue, None) => None,
        (OnError::Continue, Some(text)) => Some(failures(text, count).ok_or_else(|| {
            Failure::usage(format!("--max-failures '{text}' is neither a number nor a share"))
                .tip("--max-failures 10, or --max-failures 5%")
        })?),
    };
    Ok(Limits { jobs: usize::from(args.jobs), retries: args.retry, max_failures })
}

/// Reads `N` or `P%` of so many items, rounded down.
fn failures(text: &str, count: usize) -> Option<usize> {
    match text.strip_suffix('%') {
        Some(share) => {
            let share: usize = share.parse().ok().filter(|share| *share <= 100)?;
            Some(count.saturating_mul(share) / 100)
        }
        None => text.parse().ok(),
    }
}

/// The host that all workers share, and the folder that a batch goes to.
struct Host {
    folder: Option<PathBuf>,
}

impl Host {
    fn of(batch: &Batch) -> Self {
        Self { folder: batch.target.strip_prefix("dir:").map(PathBuf::from) }
    }
}

impl Room for Host {
    fn memory_bytes(&self) -> u64 {
        here::available_memory_bytes().unwrap_or(u64::MAX)
    }

    fn free_bytes(&self, _place: u64) -> u64 {
        // Of a libvirt host the planner of each item asks the pool that it goes to.
        let facts = self.folder.as_deref().and_then(|folder| dir::facts(folder).ok());
        facts.map_or(u64::MAX, |facts| facts.free_bytes)
    }
}

/// Has items done by workers.
struct Foreman<'a> {
    job: &'a Job<'a>,
    history: &'a History,
    crew: &'a Crew,
    display: &'a Display<'a>,
    /// How fast each of the workers may read.
    limit_rate: Option<RateLimit>,
}

impl Work for Foreman<'_> {
    fn run(
        &self,
        item: &Item,
        attempt: u32,
        told: &dyn Fn(State),
    ) -> std::result::Result<Done, Failed> {
        told(State::Inspect);
        let before = stamp(&item.source);
        let is_as_planned = before.as_deref().is_some_and(|stamp| stamp == item.stamp);
        if !is_as_planned {
            self.check_source(item)?;
        }
        told(State::Plan);
        let mut words = Words::default();
        let command = self.command(item, attempt).map_err(|failure| wrong(&failure))?;
        let ended = self.crew.run(&command, &mut |line| match line {
            Told::State(state) => told(state),
            Told::Progress(done, total) => self.display.progress(item, done, total),
            Told::Line(value) => words.take(value),
        });
        let ended = ended.map_err(|error| no_process(&error))?;
        let mut done = words.end(&ended, self.job.session.stop.is_asked())?;
        done.stamp = before;
        self.sweep(item, &done);
        Ok(done)
    }

    fn need(&self, item: &Item) -> Need {
        Need { memory_bytes: WORKER_BYTES, space_bytes: item.needed_bytes, place: 0 }
    }
}

impl Foreman<'_> {
    /// Refuses a package that is not the one that was inspected.
    fn check_source(&self, item: &Item) -> std::result::Result<(), Failed> {
        if item.digest.is_empty() {
            return Ok(());
        }
        match self.job.digest(item, self.crew) {
            Some(now) if now != item.digest => Err(Failed {
                code: Some(Code::E0803.as_str().to_owned()),
                message: format!("{} changed since the batch was planned", item.source.display()),
                fix: Some("plan the batch again, and review what is new".to_owned()),
                is_retryable: false,
                is_interrupted: false,
            }),
            // Where it cannot be planned, carrying it out says why.
            _ => Ok(()),
        }
    }

    /// Removes what an item left in its folder under names that it no longer has, and that would be in
    /// the way when it gets them back.
    fn sweep(&self, item: &Item, done: &Done) {
        let Some(folder) = outputs::folder(self.job.batch, item) else { return };
        let is_in_it = |file: &Path| {
            let mut beneath = file.strip_prefix(&folder).into_iter().flat_map(Path::components);
            beneath.clone().next().is_some()
                && beneath.all(|part| matches!(part, Component::Normal(_)))
        };
        let before = self.history.get(&item.id).map_or(&[][..], |status| &status.files);
        for file in before.iter().filter(|file| !done.files.contains(file) && is_in_it(file)) {
            if let Err(error) = self.job.session.host().remove_file(file) {
                self.job.session.detail(&format!("{} is left: {error}", file.display()));
            }
        }
    }

    /// What converts an item. What an earlier run of this item left is replaced.
    fn command(&self, item: &Item, attempt: u32) -> Result<Vec<OsString>> {
        let mut command: Vec<OsString> =
            ["--events", "-", "--quiet", "--progress", "none"].map(OsString::from).to_vec();
        command.extend(self.job.words("import", item)?);
        let at = command.iter().position(|word| word == "--").unwrap_or(command.len());
        let is_again =
            attempt > 1 || self.history.get(&item.id).is_some_and(|status| status.is_begun);
        if is_again && self.job.batch.target.starts_with("dir:") {
            command.insert(at, "--force".into());
        }
        if let Some(rate) = self.limit_rate {
            command.insert(at, format!("--limit-rate={rate}").into());
        }
        Ok(command)
    }
}

fn wrong(failure: &Failure) -> Failed {
    Failed {
        code: None,
        message: failure.message.clone(),
        fix: None,
        is_retryable: false,
        is_interrupted: false,
    }
}

fn no_process(error: &std::io::Error) -> Failed {
    Failed {
        code: None,
        message: format!("no process can be started for it: {error}"),
        fix: None,
        is_retryable: true,
        is_interrupted: false,
    }
}

/// What a run sees and tells.
struct Looking<'a> {
    display: &'a Display<'a>,
    window: Option<Window>,
    job: &'a Job<'a>,
}

impl Watch for Looking<'_> {
    fn now(&self) -> String {
        clock::now_exact()
    }

    fn may_begin(&self) -> bool {
        self.window.is_none_or(Window::is_open)
    }

    fn is_stopped(&self) -> bool {
        self.job.session.stop.is_asked()
    }

    fn state(&self, item: &Item, record: &Record) {
        let (phase, id) = (record.state.as_str(), Some(item.id.as_str()));
        self.job.session.events.send(&Event::Phase { phase, item: id, total_bytes: None });
        self.display.state(item, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_or_a_share_of_the_items_may_fail() {
        assert_eq!(failures("10", 300), Some(10));
        assert_eq!(failures("5%", 300), Some(15));
        assert_eq!(failures("1%", 50), Some(0));
        for text in ["", "%", "101%", "-1", "5 %", "many"] {
            assert_eq!(failures(text, 300), None, "{text}");
        }
    }
}
