//! How far a batch is, for people: a line each for what runs, and one for all.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use batch::{Item, Record, State};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use vm::ByteSize;

use crate::{progress::Look, session::Session, show::clean};

/// What is shown of a batch while it runs.
///
/// On a terminal each item that runs has a line, and the last line is about all of them; elsewhere each
/// item that ends is one plain line.
pub(super) struct Display<'a> {
    session: &'a Session,
    lines: MultiProgress,
    total: ProgressBar,
    shared: Mutex<Shared>,
    begun: Instant,
    all_bytes: u64,
    count: usize,
}

#[derive(Default)]
struct Shared {
    running: BTreeMap<String, Running>,
    /// The items that ended, and whether they failed; one that is tried again may end anew.
    ended: BTreeMap<String, HasFailed>,
    /// Bytes of the packages that are through.
    done_bytes: u64,
}

impl Shared {
    fn failed(&self) -> usize {
        self.ended.values().filter(|has_failed| has_failed.0).count()
    }
}

struct HasFailed(bool);

struct Running {
    bar: ProgressBar,
    since: Instant,
}

impl<'a> Display<'a> {
    /// Begins with these items to do.
    pub(super) fn new(todo: &[&Item], session: &'a Session) -> Self {
        let target = match session.look() {
            Look::Bar => ProgressDrawTarget::stderr(),
            Look::Plain | Look::Nothing => ProgressDrawTarget::hidden(),
        };
        let lines = MultiProgress::with_draw_target(target);
        let total = lines.add(ProgressBar::new(todo.len() as u64));
        total.set_style(style("{msg}"));
        let all_bytes = todo.iter().fold(0, |sum: u64, item| sum.saturating_add(item.source_bytes));
        let display = Self {
            session,
            lines,
            total,
            shared: Mutex::default(),
            begun: Instant::now(),
            all_bytes,
            count: todo.len(),
        };
        display.renew(&display.shared());
        display
    }

    /// An item reached a state.
    pub(super) fn state(&self, item: &Item, record: &Record) {
        let mut shared = self.shared();
        match record.state {
            State::Queued | State::Skipped => return,
            State::Done | State::Failed => self.ended(&mut shared, item, record),
            state => {
                let running = shared.running.entry(item.id.clone()).or_insert_with(|| {
                    let bar = self.lines.insert_before(&self.total, ProgressBar::new(0));
                    bar.set_style(style(
                        "  {prefix:24!} {msg:8} {percent:>3}% {bar:20} {bytes}/{total_bytes}",
                    ));
                    bar.set_prefix(item.id.clone());
                    Running { bar, since: Instant::now() }
                });
                running.bar.set_message(state.as_str());
            }
        }
        self.renew(&shared);
    }

    /// So many guest bytes of an item are done.
    pub(super) fn progress(&self, item: &Item, done: u64, total: Option<u64>) {
        if let Some(running) = self.shared().running.get(&item.id) {
            running.bar.set_length(total.unwrap_or(0));
            running.bar.set_position(done);
        }
    }

    /// Takes the lines away.
    pub(super) fn end(&self) {
        // The terminal may be gone: then there is nobody to tell.
        drop(self.lines.clear());
    }

    fn ended(&self, shared: &mut Shared, item: &Item, record: &Record) {
        let took = shared.running.remove(&item.id).map_or(Duration::ZERO, |running| {
            self.lines.remove(&running.bar);
            running.since.elapsed()
        });
        let has_failed = HasFailed(record.state == State::Failed);
        if shared.ended.insert(item.id.clone(), has_failed).is_none() {
            shared.done_bytes = shared.done_bytes.saturating_add(item.source_bytes);
        }
        let what = match record.state {
            State::Failed => {
                let code = record.code.as_deref().unwrap_or("-");
                let why = clean(record.message.as_deref().unwrap_or_default());
                format!("failed   {}  {code}  {why}", item.id)
            }
            _ => {
                let bytes = ByteSize(record.bytes.unwrap_or(0));
                format!("done     {}  {bytes}  {:.1} s", item.id, took.as_secs_f64())
            }
        };
        let line = format!("[{}/{}] {what}", shared.ended.len(), self.count);
        self.lines.suspend(|| self.session.show.say(&line));
    }

    /// The line about all items.
    fn renew(&self, shared: &Shared) {
        let left = self.all_bytes.saturating_sub(shared.done_bytes);
        let took = self.begun.elapsed();
        let rest = left_time(took, shared.done_bytes, left)
            .map(|rest| format!(" · about {} s left", rest.as_secs()))
            .unwrap_or_default();
        self.total.set_message(format!(
            "{}/{} items · {} failed · {} of packages left{rest}",
            shared.ended.len(),
            self.count,
            shared.failed(),
            ByteSize(left)
        ));
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long the rest takes, at the rate so far; unknown before anything is done.
fn left_time(took: Duration, done_bytes: u64, left_bytes: u64) -> Option<Duration> {
    let rate = done_bytes as f64 / took.as_secs_f64();
    (rate > 0.0 && rate.is_finite()).then(|| Duration::from_secs_f64(left_bytes as f64 / rate))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_the_rate_so_far_says() {
        let second = Duration::from_secs(1);
        assert_eq!(left_time(second * 10, 100, 50), Some(second * 5));
        assert_eq!(left_time(second, 0, 50), None);
        assert_eq!(left_time(Duration::ZERO, 1, 50), None);
    }
}
