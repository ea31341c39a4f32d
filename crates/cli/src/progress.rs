//! How far long work is: a bar on a terminal, else a plain line every 5 s, and events.
//!
//! ```text
//! workers --advance--> Gauge <--reads, 4 times a second-- ticker --> bar | plain lines | events
//!         <--stopped--       (counters only)               (its own thread)
//! ```

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use restore::{Step, Watch};
use vm::ByteSize;

use crate::{
    clock,
    events::{Event, Progress},
    session::Session,
    show,
};

/// How often bar and events are renewed.
const TICK: Duration = Duration::from_millis(250);

/// When the first plain line is due: the contract allows 2 s of silence.
const FIRST_LINE: Duration = Duration::from_millis(1900);

/// When each further plain line is due.
const NEXT_LINE: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A bar that is drawn anew.
    Bar,
    /// A line every 5 s.
    Plain,
    /// Nothing.
    Nothing,
}

/// Counts what is done in the step that is under way.
#[derive(Debug)]
pub(crate) struct Gauge<'a> {
    session: &'a Session,
    bar: ProgressBar,
    phase: Mutex<Phase>,
    done_bytes: AtomicU64,
    /// Whether the command draws on the terminal itself.
    is_drawn_elsewhere: AtomicBool,
    over: Mutex<bool>,
    wake: Condvar,
}

/// A step of the work.
#[derive(Debug, Clone)]
struct Phase {
    /// Its name in events: `convert`.
    name: &'static str,
    /// What it works on, for plain lines: `disk=0`.
    item: Option<String>,
    total_bytes: Option<u64>,
    since: Instant,
}

/// Runs work that reports to a gauge; the ticker ends with it, even if it panics.
pub(crate) fn watched<T>(session: &Session, work: impl FnOnce(&Gauge<'_>) -> T) -> T {
    let gauge = Gauge::new(session);
    thread::scope(|scope| {
        scope.spawn(|| gauge.tick());
        let _over = Over(&gauge);
        work(&gauge)
    })
}

/// Ends the ticker when it goes out of scope.
struct Over<'a>(&'a Gauge<'a>);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        *lock(&self.0.over) = true;
        self.0.wake.notify_all();
    }
}

impl<'a> Gauge<'a> {
    fn new(session: &'a Session) -> Self {
        // Shown from the first tick on, so that a run which takes no time shows nothing.
        let bar = ProgressBar::hidden();
        bar.set_style(style(None));
        bar.set_prefix("prepare");
        let phase = Phase { name: "prepare", item: None, total_bytes: None, since: Instant::now() };
        Self {
            session,
            bar,
            phase: Mutex::new(phase),
            done_bytes: AtomicU64::new(0),
            is_drawn_elsewhere: AtomicBool::new(false),
            over: Mutex::new(false),
            wake: Condvar::new(),
        }
    }

    /// A step begins.
    pub(crate) fn phase(&self, name: &'static str, item: Option<&str>, total_bytes: Option<u64>) {
        let since = Instant::now();
        *lock(&self.phase) = Phase { name, item: item.map(str::to_owned), total_bytes, since };
        self.done_bytes.store(0, Ordering::Relaxed);
        self.session.events.send(&Event::Phase { phase: name, item, total_bytes });
        self.session.detail(&format!("{name} {}", item.unwrap_or_default()));
        self.bar.set_style(style(total_bytes));
        self.bar.set_prefix(format!("{name} {}", item.unwrap_or_default()));
        self.bar.set_length(total_bytes.unwrap_or(0));
        self.bar.reset();
    }

    /// So many bytes of the step are done, all told.
    pub(crate) fn reach(&self, done_bytes: u64) {
        self.done_bytes.store(done_bytes, Ordering::Relaxed);
    }

    /// Leaves the terminal to the command; plain lines and events go on.
    pub(crate) fn leave_terminal(&self) {
        self.is_drawn_elsewhere.store(true, Ordering::Relaxed);
    }

    /// Shows how far the work is until it is over.
    fn tick(&self) {
        let start = Instant::now();
        let mut line_due = FIRST_LINE;
        let mut over = lock(&self.over);
        while !*over {
            over = self.wake.wait_timeout(over, TICK).unwrap_or_else(PoisonError::into_inner).0;
            if *over {
                break;
            }
            let phase = lock(&self.phase).clone();
            let done = self.done_bytes.load(Ordering::Relaxed);
            let progress = measure(&phase, done, phase.since.elapsed());
            self.session.events.send(&Event::Progress(progress));
            match self.session.look() {
                Look::Bar if !self.is_drawn_elsewhere.load(Ordering::Relaxed) => {
                    if self.bar.is_hidden() {
                        self.bar.set_draw_target(ProgressDrawTarget::stderr());
                    }
                    self.bar.set_position(done);
                    self.bar.tick();
                }
                Look::Plain if start.elapsed() >= line_due => {
                    line_due = start.elapsed() + NEXT_LINE;
                    let line = plain_line(&progress, phase.item.as_deref());
                    show::talk(&format!("{} {line}", clock::now()));
                }
                Look::Bar | Look::Plain | Look::Nothing => {}
            }
        }
        self.bar.finish_and_clear();
    }
}

impl disk::Progress for Gauge<'_> {
    fn advance(&self, done_bytes: u64) {
        self.done_bytes.fetch_add(done_bytes, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.session.stop.is_asked()
    }
}

impl Watch for Gauge<'_> {
    fn begin(&self, step: Step<'_>) {
        match step {
            Step::Convert { number, total_bytes, .. } => {
                self.phase("convert", Some(&format!("disk={number}")), total_bytes);
            }
            Step::Digest { name } => {
                self.phase("digest", Some(&format!("file={name}")), None);
            }
            Step::Verify => self.phase("verify", None, None),
            Step::Publish => self.phase("publish", None, None),
        }
    }
}

/// The bar of a step, or a spinner where its length is not known.
fn style(total_bytes: Option<u64>) -> ProgressStyle {
    let template = if total_bytes.is_some() {
        "{prefix:<24} {wide_bar:.cyan} {percent:>3}%  {binary_bytes}/{binary_total_bytes}  \
         {binary_bytes_per_sec}  eta {eta}"
    } else {
        "{prefix:<24} {spinner} {elapsed}"
    };
    let style = ProgressStyle::with_template(template);
    style.expect("the templates above are sound").progress_chars("━╸ ")
}

/// Rate and time left, from what was done since the step began.
fn measure(phase: &Phase, done_bytes: u64, elapsed: Duration) -> Progress<'_> {
    let elapsed_ms = elapsed.as_millis().max(1);
    let rate = u128::from(done_bytes) * 1000 / elapsed_ms;
    let left = phase.total_bytes.map(|total| total.saturating_sub(done_bytes));
    let eta_ms = left.and_then(|left| (u128::from(left) * 1000).checked_div(rate));
    Progress {
        phase: phase.name,
        done_bytes,
        total_bytes: phase.total_bytes,
        written_bytes: None,
        zero_bytes: None,
        rate_bps: u64::try_from(rate).unwrap_or(u64::MAX),
        eta_ms: eta_ms.and_then(|eta| u64::try_from(eta).ok()),
    }
}

/// `convert disk=0 61% 24.4GiB/40GiB 412MiB/s eta=38s`.
fn plain_line(progress: &Progress<'_>, item: Option<&str>) -> String {
    let size = |bytes: u64| ByteSize(bytes).to_string().replace(' ', "");
    let mut words = vec![progress.phase.to_owned()];
    words.extend(item.map(str::to_owned));
    match progress.total_bytes.filter(|total| *total > 0) {
        Some(total) => {
            let percent = u128::from(progress.done_bytes.min(total)) * 100 / u128::from(total);
            words.push(format!("{percent}%"));
            words.push(format!("{}/{}", size(progress.done_bytes), size(total)));
        }
        None if progress.done_bytes > 0 => words.push(size(progress.done_bytes)),
        None => {}
    }
    if progress.done_bytes > 0 {
        words.push(format!("{}/s", size(progress.rate_bps)));
    }
    words.extend(progress.eta_ms.map(|eta| format!("eta={}s", eta.div_ceil(1000))));
    words.join(" ")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(total_bytes: Option<u64>, done_bytes: u64, item: Option<&str>) -> String {
        let phase = Phase { name: "convert", item: None, total_bytes, since: Instant::now() };
        plain_line(&measure(&phase, done_bytes, Duration::from_secs(2)), item)
    }

    #[test]
    fn a_plain_line_has_the_words_of_the_contract() {
        let gib = 1 << 30;
        assert_eq!(
            line(Some(40 * gib), 10 * gib, Some("disk=0")),
            "convert disk=0 25% 10GiB/40GiB 5GiB/s eta=6s"
        );
        assert_eq!(line(Some(gib), 0, Some("disk=1")), "convert disk=1 0% 0B/1GiB");
        assert_eq!(line(None, gib, None), "convert 1GiB 512MiB/s");
        assert_eq!(line(None, 0, None), "convert");
        assert_eq!(line(Some(0), 0, None), "convert");
    }
}
