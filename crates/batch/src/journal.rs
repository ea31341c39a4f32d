//! What has happened to each item, one JSON object a line, made durable at each state.
//!
//! A journal is only ever appended to. Whoever writes one holds a lock on it; a line that a crash cut
//! short is ended by the next run, and passed over by every reader.

use std::{
    io,
    path::{Path, PathBuf},
};

use host::lines::{self, Lines};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for its turn.
    Queued,
    /// Its package is being read.
    Inspect,
    /// Its machine is being planned.
    Plan,
    /// Its disks are being written.
    Convert,
    /// Its machine is being defined.
    Define,
    /// What was written is being read back.
    Verify,
    /// It is there.
    Done,
    /// It is not there; the code says why.
    Failed,
    /// It is left as it is: it was done before, and nothing has changed.
    Skipped,
}

impl State {
    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Inspect => "inspect",
            Self::Plan => "plan",
            Self::Convert => "convert",
            Self::Define => "define",
            Self::Verify => "verify",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// An item changed its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in UTC, as RFC 3339 writes it.
    pub t: String,
    /// The name of the batch.
    pub batch: String,
    /// The item.
    pub id: String,
    /// Its state since then.
    pub state: State,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// Why it failed, as a published code.
    pub code: Option<String>,
    /// Bytes of the files that were written, where it is done.
    pub bytes: Option<u64>,
    /// What tells whether the source is the same as now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Length and time of the package when it was read, where they say enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<String>,
    /// What tells whether the plan is the same as now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Why it failed, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The codes of its warnings, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The files that were written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
}

impl Record {
    /// An item reached a state, in its first try, and there is nothing else to say.
    #[must_use]
    pub fn new(t: String, batch: &str, id: &str, state: State) -> Self {
        Self {
            t,
            batch: batch.to_owned(),
            id: id.to_owned(),
            state,
            attempt: 1,
            code: None,
            bytes: None,
            source: None,
            stamp: None,
            plan: None,
            message: None,
            fix: None,
            warnings: Vec::new(),
            files: Vec::new(),
        }
    }
}

/// A line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// An item changed its state.
    Item(Box<Record>),
    /// A run began.
    Run {
        /// When, in UTC, as RFC 3339 writes it.
        t: String,
        /// The name of the batch.
        batch: String,
        /// Who: host and process.
        run: String,
    },
}

/// A journal that this run writes.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    lines: Lines,
}

impl Journal {
    /// Opens or begins a journal, for this run alone; `owner` names it to others.
    ///
    /// # Errors
    ///
    /// When another run has it (named by what it wrote last), or the file cannot be opened.
    pub fn open(path: &Path, owner: &Line) -> Result<Self> {
        let lines = Lines::hold(path).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => locked(path),
            _ => Error::io("cannot open the journal", path, error),
        })?;
        let journal = Self { path: path.to_owned(), lines };
        journal.write(owner)?;
        Ok(journal)
    }

    /// Adds a line and makes it durable.
    ///
    /// # Errors
    ///
    /// When the disk is full or fails.
    pub fn write(&self, line: &Line) -> Result<()> {
        self.write_all(std::slice::from_ref(line))
    }

    /// Adds what happened to an item, and makes it durable.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn record(&self, record: &Record) -> Result<()> {
        self.write_all(std::slice::from_ref(record))
    }

    /// Adds what happened to many items, and makes it durable with one wait for the disk.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn record_all(&self, records: &[Record]) -> Result<()> {
        self.write_all(records)
    }

    fn write_all(&self, lines: &[impl Serialize]) -> Result<()> {
        let wrap = |error| Error::io("cannot write the journal", &self.path, error);
        let texts: std::result::Result<Vec<_>, _> = lines.iter().map(serde_json::to_vec).collect();
        let texts = texts.map_err(|error| wrap(error.into()))?;
        if texts.is_empty() {
            return Ok(());
        }
        self.lines.write(&texts.join(&b'\n')).map_err(wrap)
    }
}

/// Asks whether a run has a journal; no journal is nobody's.
///
/// # Errors
///
/// When one has it (named by what it wrote last), or the file cannot be opened.
pub fn check_unused(path: &Path) -> Result<()> {
    match lines::is_held(path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(locked(path)),
        Err(error) => Err(Error::io("cannot open the journal", path, error)),
    }
}

/// Who has the journal, as its last run said.
fn locked(path: &Path) -> Error {
    let lines = read(path).unwrap_or_default();
    let owner = lines.into_iter().rev().find_map(|line| match line {
        Line::Run { run, t, .. } => Some(format!("{run}, since {t}")),
        Line::Item(_) => None,
    });
    let owner = owner.unwrap_or_else(|| "another run".to_owned());
    Error::locked(format!("the journal {} is in use by {owner}", path.display()))
}

/// Reads a journal; lines that are none, as a crash leaves them, are passed over. No journal is an
/// empty one.
///
/// # Errors
///
/// When the file cannot be read, or has more than 1 GiB.
pub fn read(path: &Path) -> Result<Vec<Line>> {
    let mut found = Vec::new();
    lines::read(path, &mut |line| found.extend(serde_json::from_slice::<Line>(line).ok()))
        .map_err(|error| Error::io("cannot read the journal", path, error))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(run: &str) -> Line {
        Line::Run { t: "2026-11-21T10:00:00Z".into(), batch: "b".into(), run: run.into() }
    }

    fn record(id: &str, state: State) -> Record {
        Record::new("2026-11-21T10:00:01Z".into(), "b", id, state)
    }

    #[test]
    fn a_line_is_what_the_contract_says() {
        let mut done = record("web-01", State::Done);
        done.bytes = Some(5);
        let text = serde_json::to_string(&Line::Item(Box::new(done))).unwrap();
        assert_eq!(
            text,
            r#"{"t":"2026-11-21T10:00:01Z","batch":"b","id":"web-01","state":"done","attempt":1,"code":null,"bytes":5}"#
        );
    }

    #[test]
    fn two_runs_do_not_share_a_journal_and_the_second_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.journal.jsonl");
        let first = Journal::open(&path, &owner("vh1, process 7")).unwrap();
        let error = Journal::open(&path, &owner("vh1, process 8")).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the journal {} is in use by vh1, process 7, since 2026-11-21T10:00:00Z",
                path.display()
            )
        );
        assert_eq!(error.code(), Some(code::Code::E0602));
        assert_eq!(check_unused(&path).unwrap_err().to_string(), error.to_string());
        drop(first);
        check_unused(&path).unwrap();
        check_unused(&folder.path().join("absent.jsonl")).unwrap();
        Journal::open(&path, &owner("vh1, process 9")).unwrap();
    }

    #[test]
    fn a_journal_that_was_cut_anywhere_is_read_up_to_the_cut_and_goes_on_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.journal.jsonl");
        let journal = Journal::open(&path, &owner("one")).unwrap();
        journal.record(&record("a", State::Queued)).unwrap();
        journal.record(&record("a", State::Done)).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let ends: Vec<_> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            // A line without its line break is whole all the same.
            let lines = ends.iter().filter(|end| **end <= cut).count();
            let before = read(&path).unwrap();
            assert_eq!(before.len(), lines, "cut at {cut}");
            let journal = Journal::open(&path, &owner("two")).unwrap();
            journal.record(&record("b", State::Done)).unwrap();
            let after = read(&path).unwrap();
            assert_eq!(after[..lines], before);
            assert_eq!(
                after[lines..],
                [owner("two"), Line::Item(Box::new(record("b", State::Done)))]
            );
        }
    }
}
