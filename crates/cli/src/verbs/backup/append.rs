//! `backup append`: files, or what changed on the machine, are added to a bundle that is not rewritten.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use backup::{Entry, Facts};
use bundle::{Addition, Bundle, DEFAULT_LEVEL, Increment, Role};
use code::Code;
use disk::FileBytes;
use serde::Serialize;
use vm::ByteSize;

use super::{create, shelf};
use crate::{
    args::{BackupAppendArgs, ShelfArgs},
    clock,
    failure::{Failure, Result},
    progress::Gauge,
    report::Report,
    session::Session,
    show::clean,
    state,
};

#[derive(Debug, Serialize)]
struct Data {
    path: String,
    file_bytes: u64,
    added: Vec<AddedData>,
    /// The point that was made; `None` where files were added.
    backup: Option<create::BackupData>,
}

#[derive(Debug, Serialize)]
struct AddedData {
    name: String,
    kind: &'static str,
    length_bytes: u64,
}

/// Appends; until the last write the bundle is what it was.
pub(in crate::verbs) fn run(
    args: &BackupAppendArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    match &args.file {
        Some(path) if !args.members.is_empty() => members(path, &args.members, gauge),
        Some(path) => increment(&shelf::located(path)?, args, session, gauge),
        None => {
            let path = newest_of(args.last.as_deref().unwrap_or_default())?;
            increment(&path, args, session, gauge)
        }
    }
}

/// Appends what changed on the machine.
fn increment(
    path: &Path,
    args: &BackupAppendArgs,
    session: &Session,
    gauge: &Gauge<'_>,
) -> Result<Report> {
    let machine = machine_of(path)?;
    let before: Vec<String> = names(&super::open(path)?);
    let (backup, text, warnings) = create::append((machine, path), args, session, gauge)?;
    let bundle = super::open(path)?;
    let is_new = |name: &str| !before.iter().any(|known| known == name);
    let added = bundle.members().filter(|member| is_new(member.name.as_str()));
    let added = added.map(|member| AddedData {
        name: member.name.to_string(),
        kind: Role::of(&member.name).as_str(),
        length_bytes: member.length_bytes,
    });
    let added = added.collect();
    let path = path.display().to_string();
    let data = Data { path, file_bytes: bundle.file_bytes(), added, backup };
    Ok(Report::new(text, &data).warnings(warnings))
}

fn names(bundle: &Bundle) -> Vec<String> {
    bundle.members().map(|member| member.name.to_string()).collect()
}

/// The machine that a bundle takes increments of, by its UUID where there is one.
fn machine_of(path: &Path) -> Result<String> {
    let bundle = super::open(path)?;
    let manifest = bundle.manifest().map_err(|error| super::refused(error, path))?;
    let none = |why: &str| {
        let text = format!("no increment is possible: {} {why}", path.display());
        Failure::new(Code::E0606, text)
            .fix("begin another bundle: relift backup create VM --incrementable")
    };
    let manifest = manifest.ok_or_else(|| none("has no manifest, another program wrote it"))?;
    if manifest.points.is_empty() {
        return Err(none("has no point that an increment could stand on"));
    }
    if !manifest.incrementable {
        return Err(none(
            "takes no increments: it was made without --incrementable, or has had its last",
        ));
    }
    Ok(manifest.vm.uuid.unwrap_or(manifest.vm.name))
}

/// The newest bundle of a machine that takes increments, in the folders that backups were written to.
fn newest_of(machine: &str) -> Result<PathBuf> {
    let state = state::of_environment();
    let folders = shelf::usual_folders(&ShelfArgs { pool: None, storage: None }, &state);
    let entries = shelf::entries(&folders, &state)?;
    let is_of = |facts: &&Facts| facts.vm == machine || facts.uuid.as_deref() == Some(machine);
    let time = |entry: &Entry| {
        let facts = entry.facts().filter(|facts| facts.is_incrementable).filter(is_of)?;
        Some(facts.points.last()?.created_unix_seconds)
    };
    let timed = entries.into_iter().filter_map(|entry| Some((time(&entry)?, entry.path)));
    timed.max().map(|(_, path)| path).ok_or_else(|| {
        let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let text =
            format!("no increment is possible: no incrementable backup of {}", clean(machine));
        Failure::new(Code::E0606, text)
            .cause(format!("looked in: {}", folders.join(", ")))
            .fix("make a full one first: relift backup create VM --incrementable")
    })
}

/// Appends files.
fn members(path: &Path, members: &[PathBuf], gauge: &Gauge<'_>) -> Result<Report> {
    let now = clock::now_seconds();
    let additions: Vec<Addition> =
        members.iter().map(|member| addition(member, now)).collect::<Result<_>>()?;
    let cannot = |error: std::io::Error| super::unreadable(path, &error);
    let file = File::options().read(true).write(true).open(path).map_err(cannot)?;
    let refused = |error| super::refused(error, path);
    bundle::lock(&file).map_err(refused)?;
    let bundle = super::of_file(file.try_clone().map_err(cannot)?, path)?;
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
    let data = Data { path: path.display().to_string(), file_bytes, added, backup: None };
    let warnings = super::warnings(&bundle, path);
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
    let path = clean(&data.path);
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
