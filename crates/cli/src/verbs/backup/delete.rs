//! `backup delete`: one backup goes, damaged or not.

use code::Code;
use serde::Serialize;
use vm::ByteSize;

use super::shelf;
use crate::{
    args::BackupDeleteArgs,
    confirm,
    failure::{Failure, Result},
    report::Report,
    show::clean,
    state,
};

/// `relift.backup.delete/1`.
#[derive(Debug, Serialize)]
struct Data {
    path: String,
    vm: Option<String>,
    freed_bytes: u64,
    dry_run: bool,
}

/// Deletes a backup, once somebody has said yes.
pub(in crate::verbs) fn run(args: &BackupDeleteArgs) -> Result<Report> {
    let path = shelf::located(&args.file)?;
    let entry = backup::one(&path, &state::of_environment().verified()?)?;
    let facts = entry.facts();
    let shown = path.display().to_string();
    if facts.is_some_and(|facts| facts.is_protected) {
        let note = facts.and_then(|facts| facts.note.clone());
        let failure = Failure::new(Code::E0607, format!("{shown} is protected"));
        return Err(match note {
            Some(note) => failure.detail("note", note),
            None => failure,
        });
    }
    let vm = facts.map(|facts| facts.vm.clone());
    let what = match &vm {
        Some(vm) => format!("{shown}, a backup of {vm}, {}", ByteSize(entry.file_bytes)),
        None => format!("{shown}, which cannot be read, {}", ByteSize(entry.file_bytes)),
    };
    let text = if args.dry_run {
        format!("Would delete {what}\n")
    } else {
        if !args.yes {
            confirm::ask(&format!("{what} will be deleted."))?;
        }
        backup::remove(&path)?;
        format!("Deleted {what}\n")
    };
    let data = Data { path: shown, vm, freed_bytes: entry.file_bytes, dry_run: args.dry_run };
    Ok(Report::new(clean(text.trim_end()) + "\n", &data))
}
