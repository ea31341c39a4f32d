//! `backup append`: files are added to a bundle that is not rewritten.

use std::{fs::File, path::Path, sync::Arc};

use bundle::{Addition, DEFAULT_LEVEL, Increment, Role};
use disk::FileBytes;
use serde::Serialize;
use vm::ByteSize;

use crate::{
    args::BackupAppendArgs,
    clock,
    failure::{Failure, Result},
    progress::Gauge,
    report::Report,
};

#[derive(Debug, Serialize)]
struct Data {
    path: String,
    file_bytes: u64,
    added: Vec<AddedData>,
}

#[derive(Debug, Serialize)]
struct AddedData {
    name: String,
    kind: &'static str,
    length_bytes: u64,
}

/// Appends files; until the last write the bundle is what it was.
pub(in crate::verbs) fn run(args: &BackupAppendArgs, gauge: &Gauge<'_>) -> Result<Report> {
    let now = clock::now_seconds();
    let additions: Vec<Addition> =
        args.members.iter().map(|path| addition(path, now)).collect::<Result<_>>()?;
    let cannot = |error: std::io::Error| super::unreadable(&args.file, &error);
    let file = File::options().read(true).write(true).open(&args.file).map_err(cannot)?;
    let refused = |error| super::refused(error, &args.file);
    bundle::lock(&file).map_err(refused)?;
    let bundle = super::of_file(file.try_clone().map_err(cannot)?, &args.file)?;
    // To a file that is no bundle nothing is added.
    bundle.config().map_err(refused)?;
    let total = additions.iter().map(|addition| addition.bytes.len_bytes()).sum();
    gauge.phase("append", None, Some(total));
    let tool = concat!("relift ", env!("CARGO_PKG_VERSION")).to_owned();
    let added = additions.iter().map(added).collect();
    let increment = Increment {
        additions,
        tool,
        unix_seconds: now,
        level: DEFAULT_LEVEL,
        ..Increment::default()
    };
    let file_bytes = bundle::append(&bundle, &file, &increment, gauge).map_err(refused)?;
    let data = Data { path: args.file.display().to_string(), file_bytes, added };
    let warnings = super::warnings(&bundle, &args.file);
    Ok(Report::new(text(&data), &data).warnings(warnings))
}

fn addition(path: &Path, now: u64) -> Result<Addition> {
    let cannot = |error: std::io::Error| super::unreadable(path, &error);
    let file = crate::verbs::disk::open_file(path).map_err(cannot)?;
    if !file.metadata().map_err(cannot)?.is_file() {
        let text = format!("{} is no regular file and cannot be a member", path.display());
        return Err(Failure::usage(text));
    }
    let base = path.file_name().unwrap_or_default().to_string_lossy();
    let mut name = bundle::member_name(&base)?;
    if name.has_extension("xml") && Role::of(&name) == Role::Other {
        name = bundle::member_name(&format!("{now}-{base}"))?;
    }
    Ok(Addition { name, bytes: Arc::new(FileBytes::new(file).map_err(cannot)?) })
}

fn added(addition: &Addition) -> AddedData {
    AddedData {
        name: addition.name.to_string(),
        kind: Role::of(&addition.name).as_str(),
        length_bytes: addition.bytes.len_bytes(),
    }
}

fn text(data: &Data) -> String {
    let added =
        data.added.iter().map(|one| format!("{} ({})", one.name, ByteSize(one.length_bytes)));
    let added: Vec<String> = added.collect();
    let path = crate::show::clean(&data.path);
    format!("Added {} to {path}, now {}\n", added.join(", "), ByteSize(data.file_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_gets_a_time_and_other_files_keep_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for (file, want) in
            [("a b.iso", "a%20b.iso"), ("domain.xml", "77-domain.xml"), ("5-web.xml", "5-web.xml")]
        {
            let path = folder.path().join(file);
            std::fs::write(&path, "x").unwrap();
            assert_eq!(addition(&path, 77).unwrap().name.as_str(), want);
        }
        assert!(addition(folder.path(), 77).is_err());
    }
}
