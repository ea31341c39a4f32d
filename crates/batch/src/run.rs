//! Items through [`Work`], several at a time, each state into the journal.

use std::{
    path::PathBuf,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    Batch, Error, Item, Journal, Need, Record, Result, Room, State,
    schedule::{Queue, Turn},
};

/// How often a run looks whether it may go on: when a window opens, when somebody stops it, when room
/// that others use becomes free.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What does an item.
pub trait Work: Sync {
    /// Does an item; `told` is called at each state that it reaches.
    ///
    /// # Errors
    ///
    /// When it is not done; what was begun is taken back then, as far as it can be.
    fn run(
        &self,
        item: &Item,
        attempt: u32,
        told: &dyn Fn(State),
    ) -> std::result::Result<Done, Failed>;

    /// What an item needs while it runs.
    fn need(&self, item: &Item) -> Need;
}

/// What an item gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Done {
    /// Bytes of the files.
    pub bytes: u64,
    /// The files.
    pub files: Vec<PathBuf>,
    /// The codes of its warnings.
    pub warnings: Vec<String>,
    /// What tells whether the source is the same as now.
    pub source: Option<String>,
    /// Length and time of the package when it was read, where they say enough.
    pub stamp: Option<String>,
}

/// Why an item is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The published code.
    pub code: Option<String>,
    /// Why, in words.
    pub message: String,
    /// What to do about it.
    pub fix: Option<String>,
    /// Whether the same may succeed another time.
    pub is_retryable: bool,
    /// Whether the run itself was stopped: the item is not at fault, and waits again.
    pub is_interrupted: bool,
}

/// In which order items are done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// By the length of the package, short ones first: most are done soon.
    #[default]
    Size,
    /// By id.
    Name,
    /// As they stand in the file.
    File,
}

/// When a run stops before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many items at a time, at least 1.
    pub jobs: usize,
    /// How often an item is tried again whose failure may pass.
    pub retries: u32,
    /// After how many failed items no other is begun.
    pub max_failures: Option<usize>,
}

/// What a run tells and asks.
pub trait Watch: Sync {
    /// The time in UTC, as RFC 3339 writes it, with parts of a second.
    fn now(&self) -> String;

    /// Whether another item may be begun now: within the window of time.
    fn may_begin(&self) -> bool;

    /// Whether somebody stops the run.
    fn is_stopped(&self) -> bool;

    /// An item reached a state, and the journal has it.
    fn state(&self, item: &Item, record: &Record);
}

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many items are done by it.
    pub done: usize,
    /// How many failed.
    pub failed: usize,
    /// How many it did not come to.
    pub left: usize,
    /// Bytes of the files that it wrote.
    pub bytes: u64,
}

/// Puts items in order.
pub(crate) fn sort(items: &mut [&Item], order: Order) {
    match order {
        Order::Size => items.sort_by_key(|item| item.source_bytes),
        Order::Name => items.sort_by(|one, other| one.id.cmp(&other.id)),
        Order::File => {}
    }
}

/// Does the items, and says how many are done.
///
/// # Errors
///
/// When the journal cannot be written: then nothing more is begun. What an item fails of is no error.
pub fn run(
    batch: &Batch,
    (mut items, order): (Vec<&Item>, Order),
    limits: Limits,
    journal: &Journal,
    (work, room, watch): (&dyn Work, &(dyn Room + Sync), &dyn Watch),
) -> Result<Summary> {
    sort(&mut items, order);
    let run = Run {
        batch,
        limits,
        journal,
        work,
        room,
        watch,
        shared: Mutex::new(Shared {
            queue: Queue::new(items.iter().map(|item| (*item, work.need(item)))),
            summary: Summary::default(),
            error: None,
        }),
        changed: Condvar::new(),
        is_over: AtomicBool::new(false),
    };
    run.queue(&items)?;
    std::thread::scope(|threads| {
        for _ in 0..limits.jobs.clamp(1, items.len().max(1)) {
            threads.spawn(|| run.serve());
        }
    });
    let mut shared = run.shared();
    let left = shared.queue.rest().len();
    shared.summary.left = shared.summary.left.saturating_add(left);
    match shared.error.take() {
        Some(error) => Err(error),
        None => Ok(shared.summary),
    }
}

struct Run<'a> {
    batch: &'a Batch,
    limits: Limits,
    journal: &'a Journal,
    work: &'a dyn Work,
    room: &'a (dyn Room + Sync),
    watch: &'a dyn Watch,
    shared: Mutex<Shared<'a>>,
    changed: Condvar,
    is_over: AtomicBool,
}

struct Shared<'a> {
    queue: Queue<&'a Item>,
    summary: Summary,
    error: Option<Error>,
}

impl<'a> Run<'a> {
    /// What one thread does: an item, and the next, until nothing is left.
    fn serve(&self) {
        while let Some((item, ticket)) = self.next() {
            let ended = self.tries(item);
            let mut shared = self.shared();
            shared.queue.finish(ticket);
            match ended {
                Ok(Ended::Done(bytes)) => {
                    shared.summary.done = shared.summary.done.saturating_add(1);
                    shared.summary.bytes = shared.summary.bytes.saturating_add(bytes);
                }
                Ok(Ended::Failed) => {
                    shared.summary.failed = shared.summary.failed.saturating_add(1);
                }
                Ok(Ended::Interrupted) => {
                    shared.summary.left = shared.summary.left.saturating_add(1);
                }
                Err(error) => {
                    self.is_over.store(true, Ordering::Relaxed);
                    shared.error.get_or_insert(error);
                }
            }
            if self.limits.max_failures.is_some_and(|most| shared.summary.failed > most) {
                self.is_over.store(true, Ordering::Relaxed);
            }
            drop(shared);
            self.changed.notify_all();
        }
    }

    /// Waits for an item that may be begun.
    fn next(&self) -> Option<(&'a Item, u64)> {
        let mut shared = self.shared();
        loop {
            if self.is_over.load(Ordering::Relaxed) || self.watch.is_stopped() {
                return None;
            }
            if self.watch.may_begin() {
                match shared.queue.take(self.room) {
                    Turn::Run(item, ticket) => return Some((item, ticket)),
                    Turn::Over => return None,
                    Turn::Wait => {}
                }
            }
            shared = self
                .changed
                .wait_timeout(shared, LOOK_AGAIN)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn tries(&self, item: &Item) -> Result<Ended> {
        let mut attempt = 1;
        loop {
            let told = Mutex::new(None);
            let ended = self.work.run(item, attempt, &|state| {
                let written = self.write(item, state, attempt, |_| {});
                if let Err(error) = written {
                    told.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            });
            if let Some(error) = told.into_inner().unwrap_or_else(PoisonError::into_inner) {
                return Err(error);
            }
            match ended {
                Ok(done) => {
                    let bytes = done.bytes;
                    self.write(item, State::Done, attempt, |record| self.fill(record, item, done))?;
                    return Ok(Ended::Done(bytes));
                }
                Err(failed) if failed.is_interrupted => return Ok(Ended::Interrupted),
                Err(failed) => {
                    let again = failed.is_retryable && attempt <= self.limits.retries;
                    self.write(item, State::Failed, attempt, |record| {
                        record.code = failed.code;
                        record.message = Some(failed.message);
                        record.fix = failed.fix;
                    })?;
                    if !again || self.watch.is_stopped() {
                        return Ok(Ended::Failed);
                    }
                    attempt = attempt.saturating_add(1);
                }
            }
        }
    }

    fn fill(&self, record: &mut Record, item: &Item, done: Done) {
        record.bytes = Some(done.bytes);
        record.files = done.files;
        record.warnings = done.warnings;
        record.stamp = done.stamp;
        record.source = Some(done.source.unwrap_or_else(|| item.digest.clone()));
        record.plan = Some(self.batch.fingerprint(item));
    }

    /// Writes down that all items wait, and makes that durable at once: nothing is begun before.
    fn queue(&self, items: &[&Item]) -> Result<()> {
        let of =
            |item: &&Item| Record::new(self.watch.now(), &self.batch.name, &item.id, State::Queued);
        let records: Vec<Record> = items.iter().map(of).collect();
        self.journal.record_all(&records)?;
        items.iter().zip(&records).for_each(|(item, record)| self.watch.state(item, record));
        Ok(())
    }

    fn write(
        &self,
        item: &Item,
        state: State,
        attempt: u32,
        fill: impl FnOnce(&mut Record),
    ) -> Result<()> {
        let mut record = Record::new(self.watch.now(), &self.batch.name, &item.id, state);
        record.attempt = attempt;
        fill(&mut record);
        self.journal.record(&record)?;
        self.watch.state(item, &record);
        Ok(())
    }

    fn shared(&self) -> MutexGuard<'_, Shared<'a>> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How an item ended.
enum Ended {
    Done(u64),
    Failed,
    Interrupted,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{History, Line, SCHEMA, read_journal};

    struct Ample;

    impl Room for Ample {
        fn memory_bytes(&self) -> u64 {
            u64::MAX
        }

        fn free_bytes(&self, _place: u64) -> u64 {
            u64::MAX
        }
    }

    /// Items whose ids say how they end.
    struct Script;

    impl Work for Script {
        fn run(
            &self,
            item: &Item,
            attempt: u32,
            told: &dyn Fn(State),
        ) -> std::result::Result<Done, Failed> {
            told(State::Convert);
            let failed = |is_retryable| Failed {
                code: Some("E0501".into()),
                message: "no".into(),
                fix: None,
                is_retryable,
                is_interrupted: false,
            };
            match item.id.split('-').next() {
                Some("bad") => Err(failed(false)),
                Some("later") if attempt == 1 => Err(failed(true)),
                Some("never") => Err(failed(true)),
                _ => Ok(Done { bytes: 7, ..Done::default() }),
            }
        }

        fn need(&self, _item: &Item) -> Need {
            Need::default()
        }
    }

    struct Quiet(Mutex<u32>);

    impl Watch for Quiet {
        fn now(&self) -> String {
            let mut number = self.0.lock().unwrap();
            *number += 1;
            format!("2026-11-21T10:00:00.{number:03}Z")
        }

        fn may_begin(&self) -> bool {
            true
        }

        fn is_stopped(&self) -> bool {
            false
        }

        fn state(&self, _item: &Item, _record: &Record) {}
    }

    fn of(ids: &[&str], limits: Limits) -> (Summary, BTreeMap<String, (State, u32)>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.journal.jsonl");
        let items = ids.iter().map(|id| format!("[[item]]\nid = \"{id}\"\nsource = \"/x\"\n"));
        let text = format!("schema = {SCHEMA}\nname = \"b\"\ntarget = \"dir:o\"\n");
        let batch = Batch::parse(&(text + &items.collect::<String>())).unwrap();
        let owner = Line::Run { t: String::new(), batch: "b".into(), run: "test".into() };
        let journal = Journal::open(&path, &owner).unwrap();
        let watch = Quiet(Mutex::new(0));
        let items = batch.items.iter().collect();
        let summary =
            run(&batch, (items, Order::File), limits, &journal, (&Script, &Ample, &watch)).unwrap();
        let history = History::of([read_journal(&path).unwrap()]);
        let states = history
            .iter()
            .map(|(id, status)| (id.to_owned(), (status.last.state, status.last.attempt)));
        (summary, states.collect())
    }

    const LIMITS: Limits = Limits { jobs: 2, retries: 1, max_failures: None };

    #[test]
    fn each_item_ends_in_the_journal_and_only_what_may_pass_is_tried_again() {
        let (summary, states) = of(&["a", "bad-1", "later-1", "never-1"], LIMITS);
        assert_eq!(summary, Summary { done: 2, failed: 2, left: 0, bytes: 14 });
        assert_eq!(states["a"], (State::Done, 1));
        assert_eq!(states["bad-1"], (State::Failed, 1));
        assert_eq!(states["later-1"], (State::Done, 2));
        assert_eq!(states["never-1"], (State::Failed, 2));
    }

    #[test]
    fn after_too_many_failures_nothing_more_is_begun() {
        let limits = Limits { jobs: 1, max_failures: Some(1), ..LIMITS };
        let (summary, states) = of(&["bad-1", "a", "bad-2", "b", "c"], limits);
        assert_eq!(summary, Summary { done: 1, failed: 2, left: 2, bytes: 7 });
        assert_eq!((states["b"].0, states["c"].0), (State::Queued, State::Queued));
    }
}
