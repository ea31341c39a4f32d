//! Which backups there are, which stay and which go: what a person sees, and a year of nights.

use std::collections::BTreeMap;

use backup::{Condition, Item, Rules, Schedule, Verdict};
use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;

use crate::shelf::{FIRST, NIGHT, backup, nights};

/// `ID: verdict, reasons` of each backup of a pruning.
fn verdicts(data: &Value) -> Vec<String> {
    let told = |one: &Value| {
        let text = |key: &str| one[key].as_str().unwrap().to_owned();
        let reasons = one["reasons"].as_array().unwrap().iter();
        let reasons: Vec<_> = reasons.map(|reason| reason.as_str().unwrap()).collect();
        format!("{}: {}, {}", text("id"), text("verdict"), reasons.join(", "))
    };
    data["data"]["backups"].as_array().unwrap().iter().map(told).collect()
}

#[test]
fn each_backup_is_kept_or_dropped_with_its_reason_and_a_dry_run_deletes_nothing() {
    let bench = nights(4);
    let line = ["backup", "prune", "--keep-last", "1", "--keep-weekly", "2", "--tz", "UTC"];
    let dry = bench.run(line.iter().chain(&["--dry-run", "--json"]));
    assert_eq!(dry.code, Some(0), "{dry:?}");
    let want = [
        "web01-0: keep, weekly 2026-W01",
        "web01-1: drop, no rule keeps it",
        "web01-2: drop, no rule keeps it",
        "web01-3: keep, last good one of its machine, newest, weekly 2026-W02",
    ];
    assert_eq!(verdicts(&dry.json()), want);
    assert_eq!(bench.files("").len(), 4);
    // Nobody is there to say yes.
    let asked = bench.run(line);
    assert_eq!(asked.code, Some(2), "{asked:?}");
    assert!(asked.stderr.contains("error: a yes is needed, and standard input is no terminal"));
    assert_eq!(bench.files("").len(), 4);
    let done = bench.run(line.iter().chain(&["--yes"]));
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("\nKept 2, deleted 2, "), "{done:?}");
    assert_eq!(bench.files(""), ["web01-0.tar", "web01-3.tar"]);
    let again = bench.run(line.iter().chain(&["--yes"]));
    assert!(again.stdout.ends_with("Kept 2, nothing to delete\n"), "{again:?}");
}

#[test]
fn a_pruning_without_a_rule_is_refused_and_other_machines_are_left_alone() {
    let bench = nights(2);
    backup(&bench, "db", "db", FIRST);
    let bare = bench.run(["backup", "prune", "--yes"]);
    assert_eq!(bare.code, Some(2), "{bare:?}");
    assert!(bare.stderr.starts_with("error: no rule says what is kept, so nothing is pruned\n"));
    let old = ["backup", "prune", "--vm", "db", "--older-than", "1d", "--yes"];
    let old = bench.run(old);
    assert!(old.stdout.contains("last good one of its machine"), "{old:?}");
    assert_eq!(bench.files("").len(), 3);
}

#[test]
fn room_that_cannot_be_made_is_said_and_the_last_good_one_stays() {
    let bench = nights(2);
    let line = ["backup", "prune", "--make-room", "8191P", "--storage", ".", "--yes", "--json"];
    let run = bench.run(line);
    assert_eq!(run.code, Some(8), "{run:?}");
    assert_eq!(run.json()["error"]["code"], "E0506");
    let want = ["web01-0: drop, room is needed", "web01-1: keep, last good one of its machine"];
    assert_eq!(verdicts(&run.json()), want);
    assert_eq!(bench.files(""), ["web01-1.tar"]);
}

#[test]
fn a_backup_that_somebody_reads_is_neither_pruned_nor_deleted_and_can_be_copied() {
    let bench = nights(3);
    // What a restore, a verification and a copy hold.
    let file = std::fs::File::open(bench.path("web01-0.tar")).unwrap();
    bundle::pin(&file).unwrap();
    let prune = ["backup", "prune", "--keep-last", "1", "--yes", "--json"];
    let want = ["web01-0: keep, in use", "web01-1: drop, no rule keeps it"];
    let dry = bench.run(prune.iter().chain(&["--dry-run"]));
    assert_eq!(verdicts(&dry.json())[..2], want);
    assert_eq!(verdicts(&bench.run(prune).json())[..2], want);
    assert_eq!(bench.files(""), ["web01-0.tar", "web01-2.tar"]);
    let run = bench.run(["backup", "delete", "web01-0.tar", "--yes"]);
    assert_eq!(run.code, Some(11), "{run:?}");
    let want = "error[E0602]: web01-0.tar is in use by another process\n";
    assert!(run.stderr.starts_with(want), "{run:?}");
    std::fs::create_dir(bench.path("other")).unwrap();
    for line in [
        &["backup", "copy", "web01-0.tar", "other"][..],
        &["backup", "verify", "web01-0.tar"],
        &["restore", "web01-0.tar", "--to", "dir:out"],
    ] {
        let run = bench.run(line);
        assert_eq!(run.code, Some(0), "{run:?}");
    }
    drop(file);
    let run = bench.run(["backup", "delete", "web01-0.tar", "--yes"]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_protected_backup_is_neither_pruned_nor_deleted_until_the_protection_is_off() {
    let bench = nights(2);
    let run = bench.run(["backup", "protect", "web01-0", "--note", "golden"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), "./web01-0.tar is protected: golden\n"));
    let prune = ["backup", "prune", "--keep-last", "1", "--yes", "--json"];
    assert_eq!(verdicts(&bench.run(prune).json())[0], "web01-0: keep, protected");
    let delete = bench.run(["backup", "delete", "web01-0", "--yes"]);
    assert_eq!(delete.code, Some(6), "{delete:?}");
    assert!(delete.stderr.starts_with("error[E0607]: ./web01-0.tar is protected\n"), "{delete:?}");
    assert!(delete.stderr.contains("  note      golden\n"), "{delete:?}");
    // The mark is part of the file, and the file is as sound as before.
    let show = bench.run(["backup", "show", "web01-0"]);
    assert!(show.stdout.contains("\n  protected\n  note: golden\n"), "{show:?}");
    assert_eq!(bench.run(["backup", "verify", "web01-0"]).code, Some(0));
    let off = bench.run(["backup", "protect", "web01-0.tar", "--off", "--json"]).json();
    assert_eq!((&off["data"]["protected"], &off["data"]["changed"]), (&false.into(), &true.into()));
    let delete = bench.run(["backup", "delete", "web01-0", "--yes"]);
    assert_eq!(delete.code, Some(0), "{delete:?}");
    assert_eq!(bench.files(""), ["web01-1.tar"]);
    let gone = bench.run(["backup", "delete", "web01-0", "--yes"]);
    assert_eq!(gone.code, Some(13), "{gone:?}");
    assert!(gone.stderr.starts_with("error[E0505]: no backup is called 'web01-0'\n"), "{gone:?}");
}

#[test]
fn a_damaged_backup_is_listed_and_can_be_deleted() {
    let bench = nights(1);
    let whole = bench.read("web01-0.tar");
    bench.write("cut.tar", &whole[..whole.len() / 2]);
    bench.write("noise.tar", &[9; 3000]);
    let list = bench.run(["backup", "list"]);
    assert_eq!((list.code, list.stderr.as_str()), (Some(0), ""));
    let head = "ID        VM      CREATED";
    assert!(list.stdout.starts_with(head), "{}", list.stdout);
    assert!(list.stdout.contains("\n./noise.tar: E0101: "), "{}", list.stdout);
    bench.write("letter.txt", b"not a backup");
    let kept = bench.run(["backup", "delete", "letter.txt", "--yes"]);
    assert_eq!(kept.code, Some(13), "{kept:?}");
    for name in ["cut", "noise.tar"] {
        let run = bench.run(["backup", "delete", name, "--yes"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stdout.contains(", which cannot be read, "), "{run:?}");
    }
    assert_eq!(bench.files(""), ["letter.txt", "web01-0.tar"]);
}

#[test]
fn what_was_verified_is_in_the_list_until_the_content_is_another() {
    let bench = nights(1);
    let verified = || {
        let list = bench.run(["backup", "list", "--json"]).json();
        let verified = &list["data"]["backups"][0]["verified"];
        verified["level"].as_str().map(|level| (level.to_owned(), verified["sound"] == true))
    };
    assert_eq!(verified(), None);
    assert_eq!(bench.run(["backup", "verify", "web01-0", "--level", "quick"]).code, Some(0));
    assert_eq!(verified(), Some(("quick".to_owned(), true)));
    assert_eq!(bench.run(["backup", "verify", "web01-0.tar"]).code, Some(0));
    assert_eq!(verified(), Some(("deep".to_owned(), true)));
    // A bit of the disk: the headers say the same, and the list does not know until somebody looks.
    let mut bytes = bench.read("web01-0.tar");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    bench.write("web01-0.tar", &bytes);
    assert_eq!(bench.run(["backup", "verify", "web01-0"]).code, Some(5));
    assert_eq!(verified(), Some(("deep".to_owned(), false)));
    let list = bench.run(["backup", "list"]).stdout;
    assert!(list.contains("FAILED"), "{list}");
}

/// SPACEVM-64 and -65: daily at 01:00 from the next Sunday on, the full one in the night to Sunday, increments
/// otherwise, kept 30 days.
#[test]
fn a_year_of_nights_has_a_full_backup_each_sunday_and_every_point_of_30_days() {
    const DAY: i64 = 86_400;
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    let schedule = Schedule::parse("daily 01:00").unwrap();
    let rules = Rules { older_than_seconds: Some(30 * 86_400), ..Rules::default() };
    let mut shelf: Vec<Item> = Vec::new();
    // Saturday, 2026-01-03 at noon.
    let mut now: Timestamp = "2026-01-03T11:00:00Z".parse().unwrap();
    let first = now;
    let (mut fulls, mut dropped) = (0, 0);
    for night in 0..365_u32 {
        now = schedule.next_after(now, &zone).unwrap();
        let local = now.to_zoned(zone.clone());
        assert_eq!((local.hour(), local.minute()), (1, 0), "{local}");
        let moment = u64::try_from(now.as_second()).unwrap();
        let increments = shelf.last().map(|last| last.moments.len() - 1);
        let is_full = increments.is_none_or(|done| backup::is_full_due(done, Some(6)));
        assert_eq!(is_full, local.strftime("%a").to_string() == "Sun", "{local}");
        if is_full {
            fulls += 1;
            shelf.push(Item {
                id: format!("web01-{night}"),
                vm: Some("web01".to_owned()),
                uuid: None,
                moments: vec![moment],
                size_bytes: 1,
                condition: Condition::Verified,
                is_protected: false,
                is_in_use: false,
                stands_on: Vec::new(),
            });
        } else {
            shelf.last_mut().unwrap().moments.push(moment);
        }
        let outcome = backup::decide(&shelf, &rules, &BTreeMap::new(), moment, &zone);
        let mut verdicts = outcome.verdicts.iter();
        let before = shelf.len();
        shelf.retain(|_| matches!(verdicts.next(), Some(Verdict::Keep(_))));
        dropped += before - shelf.len();
        // Every night of the last 30 days can be restored, and hardly more is kept.
        let nights: Vec<u64> = shelf.iter().flat_map(|item| item.moments.clone()).collect();
        let reach = (now.as_second() - 30 * DAY).max(first.as_second());
        let young = nights.iter().filter(|it| i64::try_from(**it).unwrap() >= reach).count();
        assert!(young >= usize::try_from(night + 1).unwrap().min(30), "{local}: {young}");
        assert!(shelf.len() <= 6, "{local}: {} files", shelf.len());
    }
    assert_eq!((fulls, dropped, shelf.len()), (53, 47, 6));
    assert!(shelf.iter().all(|item| item.moments[0] > FIRST + 300 * NIGHT));
}
