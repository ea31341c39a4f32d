//! `backup prune`: what no rule keeps goes, each with its reason.

use std::path::{Path, PathBuf};

use backup::{Entry, Item, Kept, Outcome, Period, Rules, Verdict};
use code::Code;
use jiff::tz::TimeZone;
use serde::Serialize;
use vm::ByteSize;

use super::shelf;
use crate::{
    args::{BackupPruneArgs, KeepArgs},
    clock, confirm,
    failure::{Failure, Result},
    report::Report,
    session::Session,
    show::{self, clean, table::Table},
    state,
};

/// `relift.backup.prune/1`.
#[derive(Debug, Serialize)]
struct Data {
    dry_run: bool,
    backups: Vec<BackupData>,
    freed_bytes: u64,
    /// What is still missing of the room that was asked for.
    missing_bytes: u64,
}

#[derive(Debug, Serialize)]
struct BackupData {
    id: String,
    path: String,
    vm: Option<String>,
    created: Option<String>,
    file_bytes: u64,
    verdict: &'static str,
    reasons: Vec<String>,
}

/// Deletes what goes, once somebody has said yes.
pub(in crate::verbs) fn run(args: &BackupPruneArgs, session: &Session) -> Result<Report> {
    let rules = rules(&args.keep)?;
    if rules.is_empty() && args.keep.make_room.is_none() {
        return Err(Failure::usage("no rule says what is kept, so nothing is pruned").tip(
            "--keep-last 7, --keep-within 30d, --at-most 10, … : relift backup prune --help",
        ));
    }
    let state = state::of_environment();
    let folders = shelf::folders(&args.shelf, &session.hypervisor.uri)?;
    let mut entries = shelf::entries(&folders, &state)?;
    if !args.vm.is_empty() {
        entries.retain(|entry| entry.facts().is_some_and(|facts| args.vm.contains(&facts.vm)));
    }
    for entry in &mut entries {
        entry.is_in_use = backup::is_in_use(&entry.path);
    }
    let rules =
        Rules { missing_bytes: missing(args.keep.make_room.as_deref(), &folders)?, ..rules };
    let zone = zone(args.tz.as_deref())?;
    let items: Vec<Item> = entries.iter().map(Entry::item).collect();
    let failures = state.failures()?;
    let mut outcome = backup::decide(&items, &rules, &failures, clock::now_seconds(), &zone);
    let gone = |verdict: &Verdict| matches!(verdict, Verdict::Drop(_));
    let mut gone: Vec<&Entry> = entries
        .iter()
        .zip(&outcome.verdicts)
        .filter_map(|(entry, verdict)| gone(verdict).then_some(entry))
        .collect();
    // The oldest first: whatever stops this has deleted nothing that is worth more than what is left.
    gone.sort_by_key(|entry| entry.item().moments.into_iter().max());
    let table = table(&entries, &outcome, session.show.width());
    if !args.dry_run && !gone.is_empty() {
        if !args.yes {
            show::talk(&table);
            let room = ByteSize(outcome.freed_bytes);
            confirm::ask(&format!("{} backups, {room}, will be deleted.", gone.len()))?;
        }
        let busy = delete(&gone, session)?;
        keep(&busy, &entries, (&rules, &mut outcome));
    }
    Ok(report(args, &entries, &outcome, &table))
}

/// Deletes backups, and gives those that somebody began to read or write since they were listed.
fn delete(gone: &[&Entry], session: &Session) -> Result<Vec<PathBuf>> {
    let mut busy = Vec::new();
    for entry in gone {
        if session.stop.is_asked() {
            return Err(Failure::stopped(code::ExitStatus::Interrupted));
        }
        match backup::remove(&entry.path) {
            Err(error) if error.code() == Some(Code::E0602) => busy.push(entry.path.clone()),
            done => {
                done?;
                session.detail(&format!("deleted {}", entry.path.display()));
            }
        }
    }
    Ok(busy)
}

/// Says of backups that they were not deleted after all.
fn keep(busy: &[PathBuf], entries: &[Entry], (rules, outcome): (&Rules, &mut Outcome)) {
    let all = entries.iter().zip(&mut outcome.verdicts);
    for (entry, verdict) in all.filter(|(entry, _)| busy.contains(&entry.path)) {
        *verdict = Verdict::Keep(vec![Kept::InUse]);
        outcome.freed_bytes = outcome.freed_bytes.saturating_sub(entry.file_bytes);
    }
    let wanted = rules.missing_bytes.unwrap_or_default();
    outcome.missing_bytes = wanted.saturating_sub(outcome.freed_bytes);
}

fn report(args: &BackupPruneArgs, entries: &[Entry], outcome: &Outcome, table: &str) -> Report {
    let of = |(entry, verdict): (&Entry, &Verdict)| {
        let (verdict, reasons) = told(verdict);
        let newest = entry.item().moments.into_iter().max();
        BackupData {
            id: entry.id.clone(),
            path: entry.path.display().to_string(),
            vm: entry.facts().map(|facts| facts.vm.clone()),
            created: newest.map(clock::told),
            file_bytes: entry.file_bytes,
            verdict,
            reasons,
        }
    };
    let backups: Vec<BackupData> = entries.iter().zip(&outcome.verdicts).map(of).collect();
    let gone = backups.iter().filter(|one| one.verdict == "drop").count();
    let kept = backups.len() - gone;
    let room = ByteSize(outcome.freed_bytes);
    let close = match (args.dry_run, gone) {
        (true, _) => format!("Would keep {kept} and delete {gone}, {room}"),
        (false, 0) => format!("Kept {kept}, nothing to delete"),
        (false, _) => format!("Kept {kept}, deleted {gone}, {room}"),
    };
    let data = Data {
        dry_run: args.dry_run,
        backups,
        freed_bytes: outcome.freed_bytes,
        missing_bytes: outcome.missing_bytes,
    };
    let table = if table.is_empty() { String::new() } else { format!("{table}\n\n") };
    Report::new(format!("{table}{close}\n"), &data).failed(no_room(outcome.missing_bytes))
}

fn no_room(missing_bytes: u64) -> Option<Box<Failure>> {
    let missing = ByteSize(missing_bytes);
    (missing_bytes > 0).then(|| {
        Failure::new(Code::E0506, format!("{missing} are still missing of the room asked for"))
            .cause("what is left is protected, in use, or the last good backup of its machine")
            .fix("add room, or write backups elsewhere: --storage DIR")
    })
}

fn table(entries: &[Entry], outcome: &Outcome, width: Option<usize>) -> String {
    let mut table = Table::new(&[3]);
    table.row(["", "ID", "CREATED", "SIZE", "WHY"]);
    for (entry, verdict) in entries.iter().zip(&outcome.verdicts) {
        let (word, reasons) = told(verdict);
        let created = entry.item().moments.into_iter().max().map(clock::local);
        let size = ByteSize(entry.file_bytes).to_string();
        let created = created.unwrap_or_else(|| "-".to_owned());
        table.row([word, &entry.id, &created, &size, &reasons.join(", ")]);
    }
    if entries.is_empty() { String::new() } else { table.lines(0, width).join("\n") }
}

fn told(verdict: &Verdict) -> (&'static str, Vec<String>) {
    match verdict {
        Verdict::Keep(why) => ("keep", why.iter().map(Kept::to_string).collect()),
        Verdict::Drop(why) => ("drop", vec![why.to_string()]),
    }
}

/// The rules that flags say; of `--make-room` only that it can be read.
pub(in crate::verbs) fn rules(args: &KeepArgs) -> Result<Rules> {
    let seconds = |flag: &str, value: Option<&String>| {
        value.map(|text| clock::span_seconds(flag, text)).transpose()
    };
    let newest_of = [
        (Period::Hour, args.keep_hourly),
        (Period::Day, args.keep_daily),
        (Period::Week, args.keep_weekly),
        (Period::Month, args.keep_monthly),
        (Period::Year, args.keep_yearly),
    ];
    args.make_room.as_deref().map(room).transpose()?;
    Ok(Rules {
        keep_last: args.keep_last,
        keep_newest_of: newest_of
            .into_iter()
            .filter_map(|(period, count)| Some((period, count?)))
            .collect(),
        keep_within_seconds: seconds("--keep-within", args.keep_within.as_ref())?,
        older_than_seconds: seconds("--older-than", args.older_than.as_ref())?,
        at_most: args.at_most,
        missing_bytes: None,
    })
}

fn room(text: &str) -> Result<u64> {
    let size: std::result::Result<ByteSize, _> = text.parse();
    size.map(|size| size.0).map_err(|_| {
        Failure::usage(format!("--make-room '{text}' is no number of bytes")).tip("--make-room 50G")
    })
}

/// How much is missing of the room that is wanted where the backups lie.
fn missing(wanted: Option<&str>, folders: &[PathBuf]) -> Result<Option<u64>> {
    let Some(wanted) = wanted.map(room).transpose()? else { return Ok(None) };
    let [folder] = folders else {
        let text = "--make-room is for one place, and backups lie in several";
        return Err(Failure::usage(text).tip("--storage DIR, or --pool NAME"));
    };
    Ok(Some(wanted.saturating_sub(free_bytes(folder)?)))
}

fn free_bytes(folder: &Path) -> Result<u64> {
    Ok(host::dir::facts(folder)?.free_bytes)
}

fn zone(name: Option<&str>) -> Result<TimeZone> {
    let Some(name) = name else { return Ok(TimeZone::system()) };
    TimeZone::get(name).map_err(|error| {
        let failure = Failure::usage(format!("the time zone '{}' is not known", clean(name)));
        failure.cause(error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use backup::{Contents, Dropped};

    use super::*;

    #[test]
    fn what_somebody_began_to_read_is_told_as_kept_and_gives_no_room() {
        let entry = |name: &str| Entry {
            id: name.to_owned(),
            path: PathBuf::from(format!("{name}.tar")),
            file_bytes: 100,
            contents: Contents::Damaged { code: Code::E0101, message: String::new() },
            verified: None,
            is_in_use: false,
        };
        let entries = [entry("a"), entry("b")];
        let verdicts = vec![Verdict::Drop(Dropped::NotKept); 2];
        let mut outcome = Outcome { verdicts, freed_bytes: 200, missing_bytes: 0 };
        let rules = Rules { missing_bytes: Some(150), ..Rules::default() };
        keep(&[PathBuf::from("b.tar")], &entries, (&rules, &mut outcome));
        let verdicts = vec![Verdict::Drop(Dropped::NotKept), Verdict::Keep(vec![Kept::InUse])];
        assert_eq!(outcome, Outcome { verdicts, freed_bytes: 100, missing_bytes: 50 });
    }

    #[test]
    fn flags_become_rules() {
        let args = KeepArgs {
            keep_last: Some(2),
            keep_weekly: Some(4),
            keep_within: Some("30d".to_owned()),
            older_than: Some("1y".to_owned()),
            ..KeepArgs::default()
        };
        let want = Rules {
            keep_last: Some(2),
            keep_newest_of: vec![(Period::Week, 4)],
            keep_within_seconds: Some(30 * 86_400),
            older_than_seconds: Some(365 * 86_400),
            ..Rules::default()
        };
        assert_eq!(rules(&args).unwrap(), want);
        assert!(rules(&KeepArgs::default()).unwrap().is_empty());
        let bad = KeepArgs { make_room: Some("much".to_owned()), ..KeepArgs::default() };
        assert_eq!(rules(&bad).unwrap_err().message, "--make-room 'much' is no number of bytes");
    }

    #[test]
    fn room_is_made_in_one_place() {
        let two = [PathBuf::from("a"), PathBuf::from("b")];
        let failure = missing(Some("1G"), &two).unwrap_err();
        assert_eq!(failure.message, "--make-room is for one place, and backups lie in several");
        assert_eq!(missing(None, &two).unwrap(), None);
        assert_eq!(missing(Some("1"), &[PathBuf::from(".")]).unwrap(), Some(0));
    }
}
