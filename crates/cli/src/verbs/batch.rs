//! `batch …`: many appliances, one file to review, one journal, one report.

mod claim;
mod display;
pub(super) mod merge;
mod outputs;
pub(super) mod plan;
pub(super) mod report;
pub(super) mod retry;
pub(super) mod run;
pub(super) mod status;
pub(super) mod worker;

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use batch::{Batch, History, Item, Line, Shard};
use code::ExitStatus;

use crate::{
    args::HostArgs,
    failure::{Failure, Result},
    session::Session,
};

/// The ending of every journal.
const JOURNAL: &str = ".journal.jsonl";

/// The most files of a folder among which journals are looked for: the limit of this product.
const MAX_NAMES: usize = 100_000;

/// The journal of a batch, or of one shard of it.
fn journal_path(file: &Path, shard: Option<Shard>) -> PathBuf {
    let part = shard.map(|shard| format!(".journal.{}.jsonl", shard.file_part()));
    beside(file, part.as_deref().unwrap_or(JOURNAL))
}

/// The name of the batch file with another ending.
fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.file_stem().unwrap_or_default().to_owned();
    name.push(ending);
    file.with_file_name(name)
}

/// Every journal beside a batch file: its own, and those of shards; sorted.
fn journals(file: &Path) -> Result<Vec<PathBuf>> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let cannot = |error: std::io::Error| {
        Failure::new(code::Code::E0508, format!("cannot list {}", folder.display()))
            .cause(error.to_string())
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)?.take(MAX_NAMES) {
        let name = entry.map_err(cannot)?.file_name();
        if part_of(file, Path::new(&name)).is_some() {
            found.push(file.with_file_name(name));
        }
    }
    found.sort();
    Ok(found)
}

/// What a journal is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The whole batch.
    Whole,
    /// One shard of it.
    Shard(Shard),
}

impl Part {
    /// Whether an item can be of both.
    fn overlaps(self, other: Self) -> bool {
        match (self, other) {
            (Self::Shard(one), Self::Shard(other)) => one.overlaps(other),
            _ => true,
        }
    }
}

impl From<Option<Shard>> for Part {
    fn from(shard: Option<Shard>) -> Self {
        shard.map_or(Self::Whole, Self::Shard)
    }
}

/// What a journal of a batch is of, by its name; `None` for what is no journal of it.
fn part_of(file: &Path, journal: &Path) -> Option<Part> {
    let start = beside(file, ".journal.");
    let start = start.file_name()?.to_str()?;
    let rest = journal.file_name()?.to_str()?.strip_prefix(start)?;
    if rest == "jsonl" {
        return Some(Part::Whole);
    }
    rest.strip_suffix(".jsonl").and_then(Shard::of_file_part).map(Part::Shard)
}

/// What all journals tell: those beside the file, and one elsewhere.
fn history(file: &Path, other: Option<&Path>) -> Result<History> {
    let mut paths = journals(file)?;
    paths.extend(other.filter(|other| !paths.iter().any(|path| path == other)).map(Path::to_owned));
    let lines: Vec<Vec<Line>> =
        paths.iter().map(|path| batch::read_journal(path)).collect::<batch::Result<_>>()?;
    Ok(History::of(lines))
}

fn read(file: &Path) -> Result<Batch> {
    Ok(Batch::read(file)?)
}

/// What tells whether a file is as it was, without reading it: its length and its time. `None` where
/// that says too little: a descriptor has its disks beside it.
fn stamp(source: &Path) -> Option<String> {
    let is_one_file = !source.extension().is_some_and(|it| it.eq_ignore_ascii_case("ovf"));
    let found = fs::metadata(source).ok().filter(|found| is_one_file && found.is_file())?;
    Some(format!("{}:{}.{:09}", found.len(), found.mtime(), found.mtime_nsec()))
}

/// Where an item goes: of a folder its own part.
fn target(batch: &Batch, item: &Item) -> String {
    match outputs::folder(batch, item) {
        Some(folder) => format!("dir:{}", folder.display()),
        None => batch.target.clone(),
    }
}

/// The command line that does something with an item, as far as the batch file says it.
fn words(
    verb: &str,
    (batch, item): (&Batch, &Item),
    host: &HostArgs,
    session: &Session,
) -> Result<Vec<OsString>> {
    let choices = batch.choices_of(item);
    let flags = crate::plan_file::command_line(&choices)
        .map_err(|failure| failure.detail("item", item.id.clone()))?;
    let mut words: Vec<OsString> = vec![verb.into(), "--to".into(), target(batch, item).into()];
    words.extend(flags.into_iter().map(OsString::from));
    words.extend(session.hypervisor.words().into_iter().flatten().map(OsString::from));
    words.extend(host.offline.then(|| "--offline".into()));
    // The path stands behind `--`: it may begin with a dash.
    words.extend(["--".into(), item.source.clone().into_os_string()]);
    Ok(words)
}

impl From<batch::Error> for Box<Failure> {
    fn from(error: batch::Error) -> Self {
        let text = error.to_string();
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        let failure = match error.kind() {
            batch::Kind::Usage => Failure::usage(text),
            batch::Kind::Locked => Failure::new(code::Code::E0602, text)
                .fix("wait for it or stop it; parts that have no items in common run side by side: --shard I/N"),
            batch::Kind::Io => Failure::new(code::Code::E0508, text),
        };
        match cause {
            Some(cause) => failure.cause(cause),
            None => failure,
        }
    }
}

/// The failure of a run with items that are not done.
fn partial(failed: usize, of: usize, file: &Path) -> Box<Failure> {
    Failure::plain(ExitStatus::Partial, format!("{failed} of {of} items failed"))
        .cause("the report names each with its code")
        .fix(format!("relift batch report {0}; relift batch retry {0}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journals_of_a_batch_are_its_own_and_those_of_its_shards() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("wave.1.toml");
        for name in [
            "wave.1.toml",
            "wave.1.journal.jsonl",
            "wave.1.journal.0-of-3.jsonl",
            "wave.1.journal.0-of-x.jsonl",
            "wave.10.journal.jsonl",
            "other.journal.jsonl",
        ] {
            fs::write(folder.path().join(name), b"").unwrap();
        }
        let found = journals(&file).unwrap();
        let names: Vec<_> =
            found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["wave.1.journal.0-of-3.jsonl", "wave.1.journal.jsonl"]);
        let shard: Shard = "0/3".parse().unwrap();
        assert_eq!(journal_path(&file, Some(shard)), found[0]);
        assert_eq!(journal_path(&file, None), found[1]);
    }
}
