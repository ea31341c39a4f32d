//! What a terminal shows of a running batch, as text: a line each for what runs, and one for all.

use std::{collections::BTreeMap, time::Duration};

use batch::{Item, Record, State};
use vm::ByteSize;

use crate::{
    show::{clean, table::Table},
    verbs::convert::closing,
};

/// How many characters a bar has.
const BAR: u64 = 20;

/// The room that a terminal has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Screen {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

/// How far the items of a batch are.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// How many items there are, and the bytes of their packages.
    count: usize,
    all_bytes: u64,
    running: BTreeMap<String, Running>,
    /// The items that ended, and whether they failed; one that is tried again may end anew.
    ended: BTreeMap<String, HasFailed>,
    /// Bytes of the packages of the items that ended.
    ended_bytes: u64,
}

#[derive(Debug)]
struct HasFailed(bool);

#[derive(Debug)]
struct Running {
    state: State,
    /// When it began, since the batch did.
    since: Duration,
    done_bytes: u64,
    /// Guest bytes of the disk that is being converted, where they are known.
    total_bytes: Option<u64>,
    package_bytes: u64,
    /// Bytes of the package that are done, in proportion to the disk; never less than before.
    reached_bytes: u64,
}

impl Board {
    /// Begins with these items to do.
    pub(super) fn new(todo: &[&Item]) -> Self {
        let all_bytes = todo.iter().fold(0, |sum: u64, item| sum.saturating_add(item.source_bytes));
        Self { count: todo.len(), all_bytes, ..Self::default() }
    }

    /// An item reached a state; `now` is since the batch began. Gives what is to be told of one that
    /// ended.
    pub(super) fn state(&mut self, item: &Item, record: &Record, now: Duration) -> Option<String> {
        match record.state {
            State::Queued | State::Skipped => None,
            State::Done | State::Failed => Some(self.ended(item, record, now)),
            state => {
                let begun = Running {
                    state,
                    since: now,
                    done_bytes: 0,
                    total_bytes: None,
                    package_bytes: item.source_bytes,
                    reached_bytes: 0,
                };
                self.running.entry(item.id.clone()).or_insert(begun).state = state;
                None
            }
        }
    }

    /// So many guest bytes of an item are done.
    pub(super) fn progress(&mut self, item: &Item, done_bytes: u64, total_bytes: Option<u64>) {
        if let Some(running) = self.running.get_mut(&item.id) {
            (running.done_bytes, running.total_bytes) = (done_bytes, total_bytes);
            let reached_bytes = running.share(running.package_bytes).unwrap_or(0);
            running.reached_bytes = running.reached_bytes.max(reached_bytes);
        }
    }

    /// The line about an item that ended.
    fn ended(&mut self, item: &Item, record: &Record, now: Duration) -> String {
        let begun = self.running.remove(&item.id).map_or(now, |running| running.since);
        let took = now.saturating_sub(begun);
        let has_failed = HasFailed(record.state == State::Failed);
        if self.ended.insert(item.id.clone(), has_failed).is_none() {
            self.ended_bytes = self.ended_bytes.saturating_add(item.source_bytes);
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
        format!("[{}/{}] {what}", self.ended.len(), self.count)
    }

    /// What fits on the screen: the items that run, by id, and the line about all of them.
    pub(super) fn lines(&self, now: Duration, screen: Screen) -> Vec<String> {
        // A row for the line about all, and one for the cursor.
        let room = screen.rows.saturating_sub(2);
        let shown = if self.running.len() > room { room.saturating_sub(1) } else { room };
        let mut table = Table::new(&[2]);
        for (id, running) in self.running.iter().take(shown) {
            table.row([
                id,
                running.state.as_str(),
                &running.percent(),
                &running.bar(),
                &running.bytes(),
            ]);
        }
        let mut lines = table.lines(2, Some(screen.columns));
        let mut single = Table::new(&[]);
        if let Some(more) = self.running.len().checked_sub(shown).filter(|more| *more > 0) {
            single.row([&format!("  and {more} more")]);
        }
        single.row([&self.total(now)]);
        lines.extend(single.lines(0, Some(screen.columns)));
        lines
    }

    /// The line about all items.
    fn total(&self, now: Duration) -> String {
        let done_bytes = self.done_bytes();
        let left_bytes = self.all_bytes.saturating_sub(done_bytes);
        let rest = left_time(now, done_bytes, left_bytes)
            .map(|rest| format!(" · about {} left", closing::duration(rest)))
            .unwrap_or_default();
        format!(
            "{}/{} items · {} failed · {} of packages left{rest}",
            self.ended.len(),
            self.count,
            self.ended.values().filter(|has_failed| has_failed.0).count(),
            ByteSize(left_bytes)
        )
    }

    /// Bytes of the packages of all items.
    pub(super) const fn all_bytes(&self) -> u64 {
        self.all_bytes
    }

    /// Bytes of packages that are done, of those that run in proportion.
    pub(super) fn done_bytes(&self) -> u64 {
        // One that is tried again was counted when it ended.
        let running = self.running.iter().filter(|(id, _)| !self.ended.contains_key(*id));
        let reached = running.map(|(_, running)| running.reached_bytes);
        reached.fold(self.ended_bytes, u64::saturating_add)
    }
}

impl Running {
    /// So many parts of `whole` are done; `None` where that is not known.
    fn share(&self, whole: u64) -> Option<u64> {
        let total = self.total_bytes.filter(|total| *total > 0)?;
        let done = u128::from(self.done_bytes.min(total)) * u128::from(whole) / u128::from(total);
        u64::try_from(done).ok()
    }

    fn percent(&self) -> String {
        self.share(100).map(|percent| format!("{percent}%")).unwrap_or_default()
    }

    fn bar(&self) -> String {
        let bar = |share| (0..BAR).map(|at| if at < share { '━' } else { '·' }).collect();
        self.share(BAR).map(bar).unwrap_or_default()
    }

    fn bytes(&self) -> String {
        match self.total_bytes.filter(|total| *total > 0) {
            Some(total) => format!("{}/{}", ByteSize(self.done_bytes), ByteSize(total)),
            None => String::new(),
        }
    }
}

/// How long the rest takes, at the rate so far; unknown before anything is done, and nothing to tell
/// when nothing is left.
fn left_time(took: Duration, done_bytes: u64, left_bytes: u64) -> Option<Duration> {
    if left_bytes == 0 {
        return None;
    }
    let seconds = left_bytes as f64 / (done_bytes as f64 / took.as_secs_f64());
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Screen = Screen { columns: 100, rows: 25 };
    const MIB: u64 = 1 << 20;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn items(ids: &[&str]) -> Vec<Item> {
        let item =
            |id: &&str| Item { id: (*id).to_owned(), source_bytes: 10 * MIB, ..Item::default() };
        ids.iter().map(item).collect()
    }

    fn board(items: &[Item]) -> Board {
        Board::new(&items.iter().collect::<Vec<_>>())
    }

    fn record(item: &Item, state: State) -> Record {
        Record::new("2026-11-21T10:00:00Z".to_owned(), "b", &item.id, state)
    }

    fn to(board: &mut Board, item: &Item, state: State, now: u64) -> Option<String> {
        board.state(item, &record(item, state), seconds(now))
    }

    #[test]
    fn each_item_that_runs_has_a_line_and_the_last_line_is_about_all() {
        let items = items(&["web-01", "db-01", "mail", "files"]);
        let mut board = board(&items);
        assert_eq!(
            board.lines(seconds(0), WIDE),
            ["0/4 items · 0 failed · 40 MiB of packages left"]
        );
        for (item, state) in items.iter().zip([State::Convert, State::Inspect, State::Convert]) {
            assert_eq!(to(&mut board, item, state, 1), None);
        }
        board.progress(&items[0], 16 * MIB, Some(64 * MIB));
        board.progress(&items[2], 64 * MIB, Some(64 * MIB));
        assert_eq!(
            board.lines(seconds(10), WIDE),
            [
                "  db-01    inspect",
                "  mail     convert   100%   ━━━━━━━━━━━━━━━━━━━━   64 MiB/64 MiB",
                "  web-01   convert    25%   ━━━━━···············   16 MiB/64 MiB",
                "0/4 items · 0 failed · 27.5 MiB of packages left · about 22 s left",
            ]
        );
    }

    #[test]
    fn an_item_that_ends_is_told_once_and_counted_once() {
        let items = items(&["a", "b"]);
        let mut board = board(&items);
        to(&mut board, &items[0], State::Convert, 3);
        let mut done = record(&items[0], State::Done);
        done.bytes = Some(5 * MIB);
        let told = board.state(&items[0], &done, seconds(5));
        assert_eq!(told.as_deref(), Some("[1/2] done     a  5 MiB  2.0 s"));
        let mut failed = record(&items[1], State::Failed);
        (failed.code, failed.message) = (Some("E0102".into()), Some("cut\u{1b}[2J".into()));
        for _try in 0..2 {
            to(&mut board, &items[1], State::Convert, 5);
            let told = board.state(&items[1], &failed, seconds(6));
            assert_eq!(told.as_deref(), Some("[2/2] failed   b  E0102  cut\\u{1b}[2J"));
        }
        assert_eq!(board.lines(seconds(6), WIDE), ["2/2 items · 1 failed · 0 B of packages left"]);
    }

    #[test]
    fn what_is_done_of_a_package_stays_done_and_counts_once() {
        let items = items(&["a", "b"]);
        let mut board = board(&items);
        to(&mut board, &items[0], State::Convert, 0);
        board.progress(&items[0], MIB, Some(2 * MIB));
        assert_eq!(board.done_bytes(), 5 * MIB);
        // What is looked at afterwards, and its second disk, begin at zero again.
        to(&mut board, &items[0], State::Verify, 1);
        board.progress(&items[0], 0, None);
        assert_eq!(board.done_bytes(), 5 * MIB);
        assert_eq!(board.lines(seconds(1), WIDE)[0], "  a   verify");
        to(&mut board, &items[0], State::Failed, 2);
        assert_eq!(board.done_bytes(), 10 * MIB);
        to(&mut board, &items[0], State::Convert, 3);
        board.progress(&items[0], MIB, Some(2 * MIB));
        assert_eq!(board.done_bytes(), 10 * MIB);
    }

    #[test]
    fn no_line_is_wider_than_the_screen_and_all_lines_fit_on_it() {
        let ids: Vec<String> = (0..9).map(|number| format!("machine-{number}")).collect();
        let items = items(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        let mut board = board(&items);
        for item in &items {
            to(&mut board, item, State::Convert, 0);
            board.progress(item, MIB, Some(2 * MIB));
        }
        let lines = board.lines(seconds(1), Screen { columns: 40, rows: 6 });
        assert_eq!(
            lines,
            [
                "  machine-0   convert   50%   ━━━━━━━━━…",
                "  machine-1   convert   50%   ━━━━━━━━━…",
                "  machine-2   convert   50%   ━━━━━━━━━…",
                "  and 6 more",
                "0/9 items · 0 failed · 45 MiB of packag…",
            ]
        );
        assert_eq!(board.lines(seconds(1), Screen { columns: 40, rows: 11 }).len(), 10);
        assert_eq!(board.lines(seconds(1), Screen { columns: 1, rows: 0 }), ["…", "…"]);
    }

    #[test]
    fn the_rest_takes_as_long_as_the_rate_so_far_says() {
        assert_eq!(left_time(seconds(10), 100, 50), Some(seconds(5)));
        assert_eq!(left_time(seconds(1), 0, 50), None);
        assert_eq!(left_time(seconds(1), 50, 0), None);
        assert_eq!(left_time(Duration::ZERO, 1, 50), Some(Duration::ZERO));
        assert_eq!(left_time(seconds(u64::MAX), 1, u64::MAX), None);
    }
}
