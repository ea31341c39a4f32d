//! `batch merge`: the journals of shards become part of the batch's own.

use std::collections::BTreeSet;

use batch::{Journal, Line};
use code::Code;
use serde::Serialize;

use super::{journal_path, journals, read};
use crate::{
    args::BatchMergeArgs,
    clock,
    failure::{Failure, Result},
    report::Report,
};

/// `relift.batch.merge/1`.
#[derive(Debug, Serialize)]
struct Data {
    journal: String,
    merged: Vec<String>,
    added_records: usize,
}

/// Adds to the journal of the batch every record of the others that it has not; nothing is removed, so
/// that it can be done again at any time.
pub(in crate::verbs) fn run(args: &BatchMergeArgs) -> Result<Report> {
    let batch = read(&args.file)?;
    let own = journal_path(&args.file, None);
    let mut others = journals(&args.file)?;
    others.retain(|path| *path != own);
    others.extend(args.journals.iter().cloned());
    if let Some(absent) = args.journals.iter().find(|path| !path.exists()) {
        let text = format!("cannot read the journal {}", absent.display());
        return Err(Failure::new(Code::E0508, text).cause("there is no such file"));
    }
    let text = |line: &Line| serde_json::to_string(line).unwrap_or_default();
    let owner = Line::Run {
        t: clock::now_exact(),
        batch: batch.name.clone(),
        run: format!("merge, process {}", std::process::id()),
    };
    let journal = Journal::open(&own, &owner)?;
    let mut known: BTreeSet<String> = batch::read_journal(&own)?.iter().map(text).collect();
    let mut added = 0;
    for path in &others {
        for line in batch::read_journal(path)? {
            let is_record = matches!(&line, Line::Item(record) if record.batch == batch.name);
            if is_record && known.insert(text(&line)) {
                journal.write(&line)?;
                added += 1;
            }
        }
    }
    let data = Data {
        journal: own.display().to_string(),
        merged: others.iter().map(|path| path.display().to_string()).collect(),
        added_records: added,
    };
    let text = format!(
        "Merged {} journals into {}: {added} records are new\n",
        data.merged.len(),
        data.journal
    );
    Ok(Report::new(text, &data))
}
