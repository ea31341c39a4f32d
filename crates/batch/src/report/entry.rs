//! What became of one item.

use code::Code;
use serde::Serialize;

use super::{duration_ms, time};
use crate::{Item, State, Status};

/// One item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// The package.
    pub source: String,
    /// Length of the package.
    pub source_bytes: u64,
    /// Where it is.
    pub state: Standing,
    /// The last thing that was done to it.
    pub phase: Option<State>,
    /// Which try it was, from 1; none where it waits.
    pub attempt: Option<u32>,
    /// Why it failed, as a published code.
    pub code: Option<String>,
    /// What the code means; none for a code that this program does not have.
    pub title: Option<String>,
    /// Why it failed, in words.
    pub message: Option<String>,
    /// The usual cause of the code.
    pub cause: Option<String>,
    /// What to do about it: told with the failure, else what usually helps.
    pub fix: Option<String>,
    /// What the run warned of, in its order.
    pub warnings: Vec<Finding>,
    /// What the plan warned of, as the batch file has it.
    pub plan_warnings: Vec<String>,
    /// What the plan was blocked by, as the batch file has it.
    pub plan_blockers: Vec<String>,
    /// Bytes of the files that were written, where it is done.
    pub written_bytes: Option<u64>,
    /// The files that were written.
    pub files: Vec<String>,
    /// When its last try began, in UTC.
    pub began: Option<String>,
    /// When its last try ended, in UTC; none where it has not.
    pub ended: Option<String>,
    /// When a journal last heard of it, in UTC.
    pub heard: Option<String>,
    /// From begin to end.
    pub duration_ms: Option<u64>,
}

/// Where an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It is not there; the code says why.
    Failed,
    /// It was begun, and its journal says no end: a run is at it, or was killed.
    Interrupted,
    /// It waits for a run.
    Queued,
    /// It is there.
    Done,
}

impl Standing {
    /// Those that somebody has to look at first.
    pub(super) const ALL: [Self; 4] = [Self::Failed, Self::Interrupted, Self::Queued, Self::Done];

    /// As it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Queued => "queued",
            Self::Done => "done",
        }
    }
}

/// Something a run warned of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The code.
    pub code: String,
    /// What it means; none for a code that this program does not have.
    pub title: Option<String>,
}

impl Entry {
    pub(super) fn of(item: &Item, status: Option<&Status>) -> Self {
        let mut entry = Self {
            id: item.id.clone(),
            source: item.source.display().to_string(),
            source_bytes: item.source_bytes,
            state: Standing::Queued,
            phase: None,
            attempt: None,
            code: None,
            title: None,
            message: None,
            cause: None,
            fix: None,
            warnings: Vec::new(),
            plan_warnings: item.warnings.clone(),
            plan_blockers: item.blockers.clone(),
            written_bytes: None,
            files: Vec::new(),
            began: None,
            ended: None,
            heard: None,
            duration_ms: None,
        };
        if let Some(status) = status {
            entry.fill(status);
        }
        entry
    }

    /// Adds what journals tell.
    fn fill(&mut self, status: &Status) {
        let last = &status.last;
        self.state = standing(status);
        self.phase = status.states.iter().rev().map(|(state, _)| *state).find(is_phase);
        self.attempt = (self.state != Standing::Queued).then_some(last.attempt);
        self.heard = time(Some(&last.t));
        self.began = time(status.began.as_deref());
        self.warnings = last.warnings.iter().map(|code| Finding::of(code)).collect();
        if self.state == Standing::Done {
            self.written_bytes = last.bytes;
            self.files = last.files.iter().map(|file| file.display().to_string()).collect();
        }
        if self.state == Standing::Failed {
            let known = last.code.as_deref().and_then(known);
            self.code.clone_from(&last.code);
            self.title = known.map(|code| code.title().to_owned());
            self.message.clone_from(&last.message);
            self.cause = known.map(|code| code.page().cause());
            self.fix = last.fix.clone().or_else(|| known.map(|code| code.page().fix()));
        }
        if matches!(self.state, Standing::Done | Standing::Failed) {
            self.ended.clone_from(&self.heard);
            self.duration_ms = duration_ms(self.began.as_deref(), self.ended.as_deref());
        }
    }

    /// What to type next, a command a line; none for an item that is done.
    ///
    /// A code is named only if it is one of ours: others are text of a journal, and no part of a
    /// command that people copy. Ids are safe in a shell, since [`Batch::parse`](crate::Batch::parse) takes no others.
    pub(super) fn commands(&self) -> Vec<String> {
        match self.state {
            Standing::Done => Vec::new(),
            Standing::Queued | Standing::Interrupted => {
                vec!["relift batch run BATCH.toml".to_owned()]
            }
            Standing::Failed => {
                let explain = self.code.as_deref().and_then(known).map(explain);
                let retry = format!("relift batch retry BATCH.toml --id {}", self.id);
                explain.into_iter().chain([retry]).collect()
            }
        }
    }
}

impl Finding {
    fn of(code: &str) -> Self {
        let title = known(code).map(|code| code.title().to_owned());
        Self { code: code.to_owned(), title }
    }
}

const fn standing(status: &Status) -> Standing {
    match status.last.state {
        State::Done => Standing::Done,
        State::Failed => Standing::Failed,
        State::Queued | State::Skipped => Standing::Queued,
        State::Inspect | State::Plan | State::Convert | State::Define | State::Verify => {
            Standing::Interrupted
        }
    }
}

/// Whether a state is a part of the work.
const fn is_phase(state: &State) -> bool {
    !matches!(state, State::Queued | State::Done | State::Failed | State::Skipped)
}

pub(super) fn known(code: &str) -> Option<Code> {
    code.parse().ok()
}

fn explain(code: Code) -> String {
    format!("relift explain {code}")
}
