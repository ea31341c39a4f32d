//! What became of each item, for people and for programs.
//!
//! ```text
//! Batch + History --of--> Report (plain values) --render--> Markdown · HTML · CSV · JSON
//! ```
//!
//! Nothing in a report is trusted: ids, paths and messages come from packages and journals. Each
//! format writes them through [`escape`].

mod entry;
mod escape;
mod html;
mod markdown;
mod markup;
mod quantity;
mod table;
mod timeline;

use std::{collections::BTreeMap, str::FromStr};

use jiff::Timestamp;
use serde::Serialize;

use crate::{Batch, Error, History, Result};

use entry::known;
pub use entry::{Entry, Finding, Standing};

/// The schema of the JSON form: that of the command, which tells the same with `--json`.
const SCHEMA: &str = "relift.batch.report/1";

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The name of the batch.
    pub batch: String,
    /// Where its machines go, as `--to` says it.
    pub target: String,
    /// When the report was made, as the caller says.
    pub reported: String,
    /// All items together.
    pub totals: Totals,
    /// The failed items by code, the most frequent code first.
    pub failures: Vec<Group>,
    /// Every item, in the order of the batch file.
    pub items: Vec<Entry>,
}

/// All items of a batch together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// How many there are.
    pub items: usize,
    /// How many are done.
    pub done: usize,
    /// How many failed.
    pub failed: usize,
    /// How many were begun and not ended.
    pub interrupted: usize,
    /// How many wait.
    pub queued: usize,
    /// Length of all packages.
    pub source_bytes: u64,
    /// Bytes of the files of the done items.
    pub written_bytes: u64,
    /// When the first item began, in UTC.
    pub began: Option<String>,
    /// When the last item ended, in UTC.
    pub ended: Option<String>,
    /// From the first begin to the last end, pauses between two runs included.
    pub duration_ms: Option<u64>,
}

/// The failed items that have one code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// The code; none where no code was told.
    pub code: Option<String>,
    /// What the code means; none for a code that this program does not have.
    pub title: Option<String>,
    /// The usual cause.
    pub cause: Option<String>,
    /// What usually helps.
    pub fix: Option<String>,
    /// How many items.
    pub count: usize,
    /// Which.
    pub ids: Vec<String>,
}

/// In what form a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A text for people and for trackers.
    Markdown,
    /// One page that needs no other file.
    Html,
    /// A line an item, for spreadsheets.
    Csv,
    /// For programs.
    Json,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "md" => Ok(Self::Markdown),
            "html" => Ok(Self::Html),
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            _ => {
                let found = text.escape_debug();
                Err(Error::usage(format!("'{found}' is no format: md, html, csv or json")))
            }
        }
    }
}

impl Report {
    /// Puts together what a batch file asks for and what journals tell of it.
    ///
    /// `now` is when that was, in UTC, as RFC 3339 writes it. Items that only journals know are of
    /// another batch file and left out; a time that is none counts as unknown.
    #[must_use]
    pub fn of(batch: &Batch, history: &History, now: &str) -> Self {
        let items: Vec<_> =
            batch.items.iter().map(|item| Entry::of(item, history.get(&item.id))).collect();
        Self {
            batch: batch.name.clone(),
            target: batch.target.clone(),
            reported: now.to_owned(),
            totals: Totals::of(&items),
            failures: groups(&items),
            items,
        }
    }

    /// The text of the report, with a line break at its end.
    #[must_use]
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Markdown => markdown::render(self),
            Format::Html => html::render(self),
            Format::Csv => table::render(self),
            Format::Json => self.json(),
        }
    }

    /// The envelope that every JSON document of this program has, with the report in it.
    fn json(&self) -> String {
        #[derive(Serialize)]
        struct Envelope<'a> {
            schema: &'static str,
            ok: bool,
            data: &'a Report,
            warnings: [(); 0],
            error: Option<()>,
        }
        let envelope = Envelope { schema: SCHEMA, ok: true, data: self, warnings: [], error: None };
        // Texts and numbers under names: nothing of this fails.
        let text = serde_json::to_string_pretty(&envelope).unwrap_or_default();
        escape::json(&text) + "\n"
    }

    /// The items in this state, in the order of the batch file.
    fn standing(&self, state: Standing) -> impl Iterator<Item = &Entry> {
        self.items.iter().filter(move |item| item.state == state)
    }
}

impl Totals {
    fn of(items: &[Entry]) -> Self {
        let count = |state| items.iter().filter(|item| item.state == state).count();
        let sum = |bytes: fn(&Entry) -> u64| {
            items.iter().map(bytes).fold(0, |sum: u64, one| sum.saturating_add(one))
        };
        let first = items.iter().filter_map(|item| item.began.as_deref());
        let first = first.min_by_key(|time| instant_ms(time));
        let last = items.iter().filter_map(|item| item.ended.as_deref());
        let last = last.max_by_key(|time| instant_ms(time));
        Self {
            items: items.len(),
            done: count(Standing::Done),
            failed: count(Standing::Failed),
            interrupted: count(Standing::Interrupted),
            queued: count(Standing::Queued),
            source_bytes: sum(|item| item.source_bytes),
            written_bytes: sum(|item| item.written_bytes.unwrap_or_default()),
            began: first.map(str::to_owned),
            ended: last.map(str::to_owned),
            duration_ms: duration_ms(first, last),
        }
    }

    /// How many items are in a state.
    const fn of_state(&self, state: Standing) -> usize {
        match state {
            Standing::Failed => self.failed,
            Standing::Interrupted => self.interrupted,
            Standing::Queued => self.queued,
            Standing::Done => self.done,
        }
    }
}

impl Group {
    fn of(code: Option<&str>, ids: Vec<String>) -> Self {
        let known = code.and_then(known);
        Self {
            code: code.map(str::to_owned),
            title: known.map(|code| code.title().to_owned()),
            cause: known.map(|code| code.page().cause()),
            fix: known.map(|code| code.page().fix()),
            count: ids.len(),
            ids,
        }
    }
}

fn groups(items: &[Entry]) -> Vec<Group> {
    let mut ids: BTreeMap<Option<&str>, Vec<String>> = BTreeMap::new();
    for item in items.iter().filter(|item| item.state == Standing::Failed) {
        ids.entry(item.code.as_deref()).or_default().push(item.id.clone());
    }
    let mut groups: Vec<_> = ids.into_iter().map(|(code, ids)| Group::of(code, ids)).collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// A time, if it is one.
fn time(text: Option<&str>) -> Option<String> {
    text.filter(|text| instant_ms(text).is_some()).map(str::to_owned)
}

/// Milliseconds since 1970.
fn instant_ms(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

/// From one time to another; none where the clock was set back between them.
fn duration_ms(from: Option<&str>, to: Option<&str>) -> Option<u64> {
    let length = instant_ms(to?)?.checked_sub(instant_ms(from?)?)?;
    u64::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use code::Code;

    use super::*;
    use crate::{Line, State};

    /// A line of a journal: a time, a state, and more of it as JSON.
    fn line(t: &str, state: &str, more: &str) -> Line {
        let head = format!(r#"{{"t":"{t}","batch":"b","id":"a","attempt":1"#);
        serde_json::from_str(&format!(r#"{head},"state":"{state}"{more}}}"#)).unwrap()
    }

    fn report(lines: Vec<Line>) -> Report {
        let text = "schema = 1\nname = \"b\"\ntarget = \"dir:o\"\n\
                    [[item]]\nid = \"a\"\nsource = \"a.ova\"\nsource_bytes = 5\n";
        let batch = Batch::parse(text).unwrap();
        Report::of(&batch, &History::of([lines]), "now")
    }

    const BEGAN: &str = "2026-11-21T10:00:00.250Z";
    const ENDED: &str = "2026-11-21T10:01:00.750Z";

    #[test]
    fn a_done_item_has_its_bytes_and_its_time() {
        let done = line(ENDED, "done", r#","bytes":7"#);
        let report = report(vec![line(BEGAN, "convert", ""), done]);
        let item = &report.items[0];
        assert_eq!((item.state, item.phase), (Standing::Done, Some(State::Convert)));
        assert_eq!((item.written_bytes, item.duration_ms), (Some(7), Some(60_500)));
        let totals = &report.totals;
        assert_eq!((totals.done, totals.source_bytes, totals.written_bytes), (1, 5, 7));
        assert_eq!(totals.began.as_deref(), Some(BEGAN));
        assert_eq!(totals.ended.as_deref(), Some(ENDED));
        assert_eq!(item.commands(), Vec::<String>::new());
    }

    #[test]
    fn an_item_that_began_and_did_not_end_is_interrupted_and_has_no_end() {
        let report = report(vec![line(BEGAN, "inspect", ""), line(ENDED, "convert", "")]);
        let item = &report.items[0];
        assert_eq!((item.state, item.phase), (Standing::Interrupted, Some(State::Convert)));
        assert_eq!((item.ended.as_deref(), item.heard.as_deref()), (None, Some(ENDED)));
        assert_eq!((item.duration_ms, report.totals.duration_ms), (None, None));
        assert_eq!(item.commands(), ["relift batch run BATCH.toml"]);
    }

    #[test]
    fn an_item_that_no_journal_has_heard_of_is_queued() {
        let report = report(Vec::new());
        let item = &report.items[0];
        assert_eq!((item.state, item.attempt, &item.heard), (Standing::Queued, None, &None));
        assert_eq!((report.totals.queued, &report.totals.began), (1, &None));
    }

    #[test]
    fn a_failure_brings_the_fix_that_it_told_or_else_that_of_its_code() {
        let failed = line(ENDED, "failed", r#","code":"E0102""#);
        let told = line(ENDED, "failed", r#","code":"E0102","fix":"ask Ann""#);
        let page = Code::E0102.page();
        for (line, fix) in [(failed, page.fix()), (told, "ask Ann".to_owned())] {
            let report = report(vec![line]);
            let item = &report.items[0];
            assert_eq!(item.title.as_deref(), Some(Code::E0102.title()));
            assert_eq!((&item.cause, &item.fix), (&Some(page.cause()), &Some(fix)));
            assert_eq!(
                item.commands(),
                ["relift explain E0102", "relift batch retry BATCH.toml --id a"]
            );
            assert_eq!((report.failures.len(), report.failures[0].count), (1, 1));
        }
    }

    #[test]
    fn a_code_that_is_none_of_ours_is_part_of_no_command() {
        let failed = line(ENDED, "failed", r#","code":"E1; rm -r /""#);
        let report = report(vec![failed]);
        assert_eq!(report.items[0].commands(), ["relift batch retry BATCH.toml --id a"]);
        assert_eq!((&report.items[0].title, &report.failures[0].fix), (&None, &None));
    }

    #[test]
    fn times_that_are_none_or_run_backwards_give_no_duration() {
        for (began, ended) in [(ENDED, BEGAN), ("yesterday", ENDED)] {
            let from = time(Some(began));
            assert_eq!(duration_ms(from.as_deref(), Some(ended)), None);
        }
    }

    #[test]
    fn an_unknown_format_is_refused_with_those_there_are() {
        let error = "pdf".parse::<Format>().unwrap_err();
        assert_eq!(error.to_string(), "'pdf' is no format: md, html, csv or json");
        assert_eq!("md".parse::<Format>().unwrap(), Format::Markdown);
    }
}
