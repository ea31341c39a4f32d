//! `backup list`: which backups there are, and how each is.

use std::collections::BTreeMap;

use backup::{Contents, Depth, Entry, Facts, Verified};
use bundle::Mode;
use serde::Serialize;
use vm::ByteSize;

use super::shelf;
use crate::{
    args::BackupListArgs, clock, failure::Result, report::Report, session::Session,
    show::table::Table, state,
};

/// `relift.backup.list/1`.
#[derive(Debug, Serialize)]
struct Data {
    folders: Vec<String>,
    backups: Vec<BackupData>,
}

#[derive(Debug, Serialize)]
struct BackupData {
    id: String,
    path: String,
    vm: Option<String>,
    uuid: Option<String>,
    created: Option<String>,
    mode: Option<&'static str>,
    points: Vec<PointData>,
    file_bytes: u64,
    added_bytes: Option<u64>,
    incrementable: bool,
    verified: Option<VerifiedData>,
    protected: bool,
    in_use: bool,
    note: Option<String>,
    tags: BTreeMap<String, String>,
    damage: Option<DamageData>,
}

#[derive(Debug, Serialize)]
struct PointData {
    id: Option<String>,
    created: String,
    mode: &'static str,
}

#[derive(Debug, Serialize)]
struct VerifiedData {
    t: String,
    level: &'static str,
    sound: bool,
}

#[derive(Debug, Serialize)]
struct DamageData {
    code: &'static str,
    message: String,
}

/// Lists; a damaged backup is in the list and ends nothing.
pub(in crate::verbs) fn run(args: &BackupListArgs, session: &Session) -> Result<Report> {
    let folders = shelf::folders(&args.shelf, &session.hypervisor.uri)?;
    let mut entries = shelf::entries(&folders, &state::of_environment())?;
    if !args.vm.is_empty() {
        entries.retain(|entry| entry.facts().is_some_and(|facts| args.vm.contains(&facts.vm)));
    }
    entries.sort_by_key(|entry| {
        let facts = entry.facts();
        (facts.map(|facts| facts.vm.clone()), newest(facts), entry.id.clone())
    });
    let data = Data {
        folders: folders.iter().map(|folder| folder.display().to_string()).collect(),
        backups: entries.iter().map(backup_data).collect(),
    };
    Ok(Report::new(text(&entries, &data, session.show.width()), &data))
}

fn newest(facts: Option<&Facts>) -> Option<u64> {
    facts?.points.iter().map(|point| point.created_unix_seconds).max()
}

fn backup_data(entry: &Entry) -> BackupData {
    let facts = entry.facts();
    let points = facts.map(|facts| facts.points.as_slice()).unwrap_or_default();
    let damage = match &entry.contents {
        Contents::Damaged { code, message } => {
            Some(DamageData { code: code.as_str(), message: message.clone() })
        }
        Contents::Backup(_) => None,
    };
    BackupData {
        id: entry.id.clone(),
        path: entry.path.display().to_string(),
        vm: facts.map(|facts| facts.vm.clone()),
        uuid: facts.and_then(|facts| facts.uuid.clone()),
        created: newest(facts).map(clock::told),
        mode: points.last().map(|point| point.mode.as_str()),
        points: points
            .iter()
            .map(|point| PointData {
                id: point.id.clone(),
                created: clock::told(point.created_unix_seconds),
                mode: point.mode.as_str(),
            })
            .collect(),
        file_bytes: entry.file_bytes,
        added_bytes: facts.map(|facts| facts.added_bytes),
        incrementable: facts.is_some_and(|facts| facts.is_incrementable),
        verified: entry.verified.as_ref().map(|verified| VerifiedData {
            t: verified.t.clone(),
            level: level(verified),
            sound: verified.sound,
        }),
        protected: facts.is_some_and(|facts| facts.is_protected),
        in_use: entry.is_in_use,
        note: facts.and_then(|facts| facts.note.clone()),
        tags: facts.map(|facts| facts.tags.clone()).unwrap_or_default(),
        damage,
    }
}

const fn level(verified: &Verified) -> &'static str {
    match verified.level {
        Depth::Quick => "quick",
        Depth::Deep => "deep",
    }
}

fn text(entries: &[Entry], data: &Data, width: Option<usize>) -> String {
    if entries.is_empty() {
        let folders = data.folders.join(", ");
        return format!("no backups in {}\n", crate::show::clean(&folders));
    }
    let mut table = Table::new(&[4, 5]);
    table.row([
        "ID",
        "VM",
        "CREATED",
        "MODE",
        "SIZE",
        "ADDED",
        "INCREMENTABLE",
        "VERIFIED",
        "PROTECTED",
    ]);
    for entry in entries {
        let size = ByteSize(entry.file_bytes).to_string();
        let Some(facts) = entry.facts() else {
            table.row([&*entry.id, "-", "-", "-", &size, "-", "-", "FAILED", "-"]);
            continue;
        };
        let yes = |is: bool| if is { "yes" } else { "-" };
        table.row([
            &*entry.id,
            &facts.vm,
            &newest(Some(facts)).map(clock::local).unwrap_or_default(),
            &mode(facts),
            &size,
            &ByteSize(facts.added_bytes).to_string(),
            yes(facts.is_incrementable),
            &verified(entry.verified.as_ref()),
            yes(facts.is_protected),
        ]);
    }
    let lines = table.lines(0, width);
    let damaged = data.backups.iter().filter_map(|one| {
        let damage = one.damage.as_ref()?;
        let (path, message) = (crate::show::clean(&one.path), crate::show::clean(&damage.message));
        Some(format!("{path}: {}: {message}", damage.code))
    });
    let damaged: Vec<String> = damaged.collect();
    let gap = (!damaged.is_empty()).then(String::new);
    lines.into_iter().chain(gap).chain(damaged).collect::<Vec<_>>().join("\n") + "\n"
}

/// `full`, and how many increments stand on it.
fn mode(facts: &Facts) -> String {
    let increments = facts.points.iter().filter(|point| point.mode == Mode::Incremental).count();
    match increments {
        0 => "full".to_owned(),
        count => format!("full+{count}"),
    }
}

fn verified(verified: Option<&Verified>) -> String {
    match verified {
        None => "never".to_owned(),
        Some(one) if one.sound => {
            let how = if one.level == Depth::Quick { "quick" } else { "ok" };
            format!("{how} {}", clock::ago(&one.t))
        }
        Some(_) => "FAILED".to_owned(),
    }
}
