//! What journals tell of each item, whoever wrote them.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{Line, Record, State};

/// Where an item is, by its last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The last record.
    pub last: Record,
    /// When its last try began, in UTC.
    pub began: Option<String>,
    /// Whether it was ever begun, however that ended: something of it may be there.
    pub is_begun: bool,
    /// The files of the last time that it was done: they are there, unless somebody took them away.
    pub files: Vec<PathBuf>,
    /// The states of its last try, each with the time it began.
    pub states: Vec<(State, String)>,
}

impl Status {
    /// Whether it was being worked on when the journal ends: a run is at it, or was killed.
    #[must_use]
    pub const fn is_interrupted(&self) -> bool {
        !matches!(self.last.state, State::Done | State::Failed | State::Skipped | State::Queued)
    }

    /// Whether it is done, in the way that it would be done now.
    #[must_use]
    pub fn is_done_as(&self, plan: &str) -> bool {
        self.last.state == State::Done && self.last.plan.as_deref() == Some(plan)
    }
}

/// What is known of the items, by id.
#[derive(Debug, Clone, Default)]
pub struct History(BTreeMap<String, Status>);

impl History {
    /// Puts the lines of any number of journals together, by item and time.
    ///
    /// That an item was left as it is (`skipped`) says nothing new of it.
    #[must_use]
    pub fn of(journals: impl IntoIterator<Item = Vec<Line>>) -> Self {
        let lines = journals.into_iter().flatten();
        let mut records: Vec<Record> = lines
            .filter_map(|line| match line {
                Line::Item(record) if record.state != State::Skipped => Some(*record),
                _ => None,
            })
            .collect();
        // Times of RFC 3339 in UTC sort as texts; records of one moment keep the order they stand in.
        records.sort_by(|one, other| (&one.t, &one.id).cmp(&(&other.t, &other.id)));
        let mut items = BTreeMap::new();
        for moment in records.chunk_by(|one, other| (&one.t, &one.id) == (&other.t, &other.id)) {
            for (at, record) in moment.iter().enumerate() {
                // What was merged stands in two journals.
                if moment.iter().take(at).all(|before| before != record) {
                    note(&mut items, record.clone());
                }
            }
        }
        Self(items)
    }

    /// What is known of an item.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Status> {
        self.0.get(id)
    }

    /// Every item that was heard of.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Status)> {
        self.0.iter().map(|(id, status)| (id.as_str(), status))
    }
}

fn note(items: &mut BTreeMap<String, Status>, record: Record) {
    let (state, t) = (record.state, record.t.clone());
    let status = items.entry(record.id.clone()).or_insert_with(|| Status {
        last: record.clone(),
        began: None,
        is_begun: false,
        files: Vec::new(),
        states: Vec::new(),
    });
    let is_new_try = state == State::Queued || record.attempt != status.last.attempt;
    if is_new_try {
        status.states.clear();
        status.began = None;
    }
    if state != State::Queued && status.began.is_none() {
        status.began = Some(t.clone());
        status.is_begun = true;
    }
    if state == State::Done {
        status.files.clone_from(&record.files);
    }
    status.states.push((state, t));
    status.last = record;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(t: u32, id: &str, state: State, attempt: u32) -> Line {
        let t = format!("2026-11-21T10:00:{t:02}.000Z");
        let plan = Some("p".to_owned());
        Line::Item(Box::new(Record { attempt, plan, ..Record::new(t, "b", id, state) }))
    }

    #[test]
    fn journals_of_several_processes_are_put_together_by_item_and_time() {
        let one = vec![line(1, "a", State::Queued, 1), line(4, "a", State::Failed, 1)];
        let two = vec![
            line(2, "b", State::Convert, 1),
            line(5, "a", State::Convert, 2),
            line(6, "a", State::Done, 2),
            line(7, "a", State::Skipped, 1),
        ];
        let history = History::of([two, one]);
        let a = history.get("a").unwrap();
        assert_eq!((a.last.state, a.last.attempt), (State::Done, 2));
        assert_eq!(a.began.as_deref(), Some("2026-11-21T10:00:05.000Z"));
        assert!(a.is_done_as("p") && !a.is_done_as("q"));
        assert!(history.get("b").unwrap().is_interrupted());
        assert_eq!(history.iter().count(), 2);
    }

    #[test]
    fn what_stands_in_two_journals_counts_once() {
        let at_once = [State::Convert, State::Verify, State::Define];
        let mut lines: Vec<_> = at_once.map(|state| line(1, "a", state, 1)).into();
        lines.push(line(2, "a", State::Done, 1));
        let once = History::of([lines.clone()]);
        let twice = History::of([lines.clone(), lines]);
        assert_eq!(once.get("a").unwrap().states.len(), 4);
        assert_eq!(once.get("a"), twice.get("a"));
    }
}
