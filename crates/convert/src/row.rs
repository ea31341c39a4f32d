//! One line of a plan: what becomes of one item of the source, and why.

use code::{Code, Severity};

/// What becomes of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The item's id, stable within a source: `vcpu`, `disk0`, `nic1`, `item7`.
    pub item: String,
    /// The item as people call it: `disk 0`, `nic 1  DMZ`.
    pub label: String,
    /// What becomes of it.
    pub action: Action,
    /// What the source says.
    pub from: String,
    /// What the target gets; empty where it gets nothing.
    pub to: String,
    /// Why, where no note says it.
    pub reason: String,
    /// What somebody should know about it, gravest first.
    pub notes: Vec<Note>,
    /// Where the descriptor says it.
    pub path: Option<String>,
}

/// What becomes of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// The guest sees what it saw before.
    Kept,
    /// The guest sees something else in its place.
    Changed,
    /// The guest does not get it.
    Dropped,
    /// Somebody must decide.
    Blocked,
}

impl Action {
    /// The word used in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Changed => "changed",
            Self::Dropped => "dropped",
            Self::Blocked => "blocked",
        }
    }
}

/// A remark with a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The published code.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is to be known, a lowercase fragment.
    pub text: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Note {
    /// A note with the severity of its code.
    #[must_use]
    pub fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), text: text.into(), hint: None }
    }

    /// A note that keeps the plan from being executed.
    #[must_use]
    pub fn blocker(code: Code, text: impl Into<String>) -> Self {
        Self { severity: Severity::Blocker, ..Self::new(code, text) }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Row {
    /// A row that keeps its item.
    #[must_use]
    pub fn kept(item: &str, label: &str, from: impl Into<String>, to: impl Into<String>) -> Self {
        Self {
            item: item.to_owned(),
            label: label.to_owned(),
            action: Action::Kept,
            from: from.into(),
            to: to.into(),
            reason: String::new(),
            notes: Vec::new(),
            path: None,
        }
    }

    /// A row that drops its item for the reason of the note.
    #[must_use]
    pub fn dropped(item: &str, label: &str, from: impl Into<String>, note: Note) -> Self {
        Self { action: Action::Dropped, ..Self::kept(item, label, from, "") }.note(note)
    }

    /// A row that waits for somebody.
    #[must_use]
    pub fn blocked(item: &str, label: &str, from: impl Into<String>, note: Note) -> Self {
        Self { action: Action::Blocked, ..Self::kept(item, label, from, "") }.note(note)
    }

    /// The same row as a changed one.
    #[must_use]
    pub fn changed(mut self) -> Self {
        self.action = Action::Changed;
        self
    }

    /// Says why, where there is no note.
    #[must_use]
    pub fn because(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }

    /// Adds a remark.
    #[must_use]
    pub fn note(mut self, note: Note) -> Self {
        if note.severity == Severity::Blocker {
            self.action = Action::Blocked;
        }
        self.notes.push(note);
        self
    }

    /// Adds a remark if there is one.
    #[must_use]
    pub fn note_if(self, note: Option<Note>) -> Self {
        match note {
            Some(note) => self.note(note),
            None => self,
        }
    }

    /// Says where the descriptor says it.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Whether the row keeps the plan from being executed.
    #[must_use]
    pub fn is_blocker(&self) -> bool {
        self.notes.iter().any(|note| note.severity == Severity::Blocker)
    }
}
