//! `batch status`: where each item is.

use batch::{History, Item, State};
use serde::Serialize;

use super::{history, read};
use crate::{
    args::BatchFileArgs,
    failure::Result,
    report::Report,
    show::{clean, table::Table},
};

/// `relift.batch.status/1`.
#[derive(Debug, Serialize)]
struct Data<'a> {
    batch: &'a str,
    items: Vec<ItemData<'a>>,
}

#[derive(Debug, Serialize)]
struct ItemData<'a> {
    id: &'a str,
    state: State,
    /// Whether it was being worked on when its journal ended.
    interrupted: bool,
    attempt: Option<u32>,
    since: Option<&'a str>,
    code: Option<&'a str>,
    message: Option<&'a str>,
    written_bytes: Option<u64>,
}

impl<'a> ItemData<'a> {
    fn of(item: &'a Item, history: &'a History) -> Self {
        let status = history.get(&item.id);
        let last = status.map(|status| &status.last);
        Self {
            id: &item.id,
            state: last.map_or(State::Queued, |last| last.state),
            interrupted: status.is_some_and(batch::Status::is_interrupted),
            attempt: last.map(|last| last.attempt),
            since: last.map(|last| last.t.as_str()),
            code: last.and_then(|last| last.code.as_deref()),
            message: last.and_then(|last| last.message.as_deref()),
            written_bytes: last.and_then(|last| last.bytes),
        }
    }
}

/// Tells the last state of each item, from every journal beside the file.
pub(in crate::verbs) fn run(args: &BatchFileArgs) -> Result<Report> {
    let batch = read(&args.file)?;
    let history = history(&args.file, None)?;
    let items: Vec<ItemData<'_>> =
        batch.items.iter().map(|item| ItemData::of(item, &history)).collect();
    let mut table = Table::new(&[]);
    for item in &items {
        let why = match item.message {
            None if item.interrupted => {
                "begun and not ended: a run is at it, or was cut off".into()
            }
            message => message.map(clean).unwrap_or_default(),
        };
        table.row([item.state.as_str(), item.id, item.code.unwrap_or(""), &why]);
    }
    let count = |state: State| items.iter().filter(|item| item.state == state).count();
    let (done, failed) = (count(State::Done), count(State::Failed));
    let text = format!(
        "{} items · {done} done · {failed} failed · {} to do\n\n{}\n",
        items.len(),
        items.len() - done - failed,
        table.lines(2, None).join("\n")
    );
    Ok(Report::new(text, &Data { batch: &batch.name, items }))
}
