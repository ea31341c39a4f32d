//! `batch retry`: items once more.

use std::collections::BTreeSet;

use batch::State;
use code::ExitStatus;

use super::{read, run::Job};
use crate::{
    args::BatchRetryArgs,
    failure::{Failure, Result},
    progress::Gauge,
    report::Report,
    session::Session,
};

/// Runs the items that failed, or those that are named, whatever became of them.
pub(in crate::verbs) fn run(
    args: &BatchRetryArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    let batch = read(&args.file)?;
    let named: BTreeSet<&str> = args.id.iter().map(String::as_str).collect();
    if let Some(unknown) = named.iter().find(|id| !batch.items.iter().any(|item| item.id == **id)) {
        let text = format!("{} has no item '{unknown}'", args.file.display());
        return Err(Failure::plain(ExitStatus::NotFound, text));
    }
    let job = Job { file: &args.file, batch: &batch, shard: None, args: &args.run, session, gauge };
    job.carry_out(batch.items.iter().collect(), |mut items, history| {
        let has_failed =
            |id: &str| history.get(id).is_some_and(|status| status.last.state == State::Failed);
        items.retain(|item| match named.is_empty() {
            true => has_failed(&item.id),
            false => named.contains(item.id.as_str()),
        });
        (items, Vec::new())
    })
}
