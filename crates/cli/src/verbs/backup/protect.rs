//! `backup protect`: a mark in the file of a backup, so that nothing deletes it.

use std::fs::File;

use bundle::{DEFAULT_LEVEL, Increment, Mark};
use code::Code;
use serde::Serialize;

use super::shelf;
use crate::{
    args::BackupProtectArgs,
    clock,
    failure::{Failure, Result},
    progress::Gauge,
    report::Report,
    show::clean,
};

/// `relift.backup.protect/1`.
#[derive(Debug, Serialize)]
struct Data {
    path: String,
    protected: bool,
    note: Option<String>,
    /// Whether anything had to be written.
    changed: bool,
}

/// Writes another manifest behind what the file holds; until the last write it is what it was.
pub(in crate::verbs) fn run(args: &BackupProtectArgs, gauge: &Gauge<'_>) -> Result<Report> {
    let path = shelf::located(&args.file)?;
    let cannot = |error: std::io::Error| super::unreadable(&path, &error);
    let file = File::options().read(true).write(true).open(&path).map_err(cannot)?;
    let refused = |error| super::refused(error, &path);
    bundle::lock(&file).map_err(refused)?;
    let bundle = super::of_file(file.try_clone().map_err(cannot)?, &path)?;
    let shown = path.display().to_string();
    let manifest = bundle.manifest().map_err(refused)?.ok_or_else(|| {
        Failure::new(Code::E0606, format!("{shown} has no manifest to write the mark in"))
            .cause("another program wrote it")
            .fix("keep it where relift deletes nothing, or copy it")
    })?;
    let protected = !args.off;
    let note = args.note.clone().or(manifest.note.clone());
    let changed = manifest.protected != protected || manifest.note != note;
    if changed {
        let increment = Increment {
            mark: Some(Mark { protected, note: args.note.clone() }),
            tool: concat!("relift ", env!("CARGO_PKG_VERSION")).to_owned(),
            unix_seconds: clock::now_seconds(),
            level: DEFAULT_LEVEL,
            ..Increment::default()
        };
        bundle::append(&bundle, &file, &increment, gauge).map_err(refused)?;
    }
    let word = if protected { "protected" } else { "not protected" };
    let told = note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    let text = clean(&format!("{shown} is {word}{told}")) + "\n";
    Ok(Report::new(text, &Data { path: shown, protected, note, changed }))
}
