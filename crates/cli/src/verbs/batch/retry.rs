//! `batch retry`: items once more.

use std::collections::BTreeSet;

use batch::{Item, State};
use code::ExitStatus;

use super::{history, read, run::Job};
use crate::{
    args::BatchRetryArgs,
    failure::{Failure, Result},
    report::Report,
    session::Session,
};

/// Runs the items that failed, or those that are named, whatever became of them.
pub(in crate::verbs) fn run(args: &BatchRetryArgs, session: &Session) -> Result<Report> {
    let batch = read(&args.file)?;
    let history = history(&args.file, args.run.journal.as_deref())?;
    let named: BTreeSet<&str> = args.id.iter().map(String::as_str).collect();
    if let Some(unknown) = named.iter().find(|id| !batch.items.iter().any(|item| item.id == **id)) {
        let text = format!("{} has no item '{unknown}'", args.file.display());
        return Err(Failure::plain(ExitStatus::NotFound, text));
    }
    let has_failed = |item: &Item| {
        history.get(&item.id).is_some_and(|status| status.last.state == State::Failed)
    };
    let is_meant = |item: &&Item| match named.is_empty() {
        true => has_failed(item),
        false => named.contains(item.id.as_str()),
    };
    let todo: Vec<&Item> = batch.items.iter().filter(is_meant).collect();
    let job = Job { file: &args.file, batch: &batch, shard: None, args: &args.run };
    job.carry_out(&todo, &[], &history, session)
}
