//! Which backups may go, and why each stays or goes.
//!
//! ```text
//! items --keep rules--> kept by one, or not   the last N, one an hour … a year, all of a span
//!       --limits------> dropped over one      older than, no more than N, room: oldest first
//!       --laws--------> kept all the same     protected, in use, below another, the last good one, …
//! ```
//!
//! An item is what can be deleted: a bundle, whose points stand on each other. Its points are what the
//! rules count; it is kept if any of them is. The laws beat every rule and limit.

mod reason;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{Timestamp, Zoned, tz::TimeZone};

pub use reason::{Dropped, Kept, Period, Verdict};

/// Whether a backup could be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Every byte was read since it was written, and is right.
    Verified,
    /// Its headers can be read; nobody has looked further.
    Readable,
    /// It is damaged, or was found damaged.
    Damaged,
}

/// A backup as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is called; no two have the same.
    pub id: String,
    /// The machine; `None` where the file does not say.
    pub vm: Option<String>,
    /// What tells it from others of its name, where that is known.
    pub uuid: Option<String>,
    /// Its moments, in seconds since 1970; at least one.
    pub moments: Vec<u64>,
    /// What deleting it gives back.
    pub size_bytes: u64,
    /// Whether it could be restored.
    pub condition: Condition,
    /// Whether somebody said that it stays.
    pub is_protected: bool,
    /// Whether it is being written or restored.
    pub is_in_use: bool,
    /// The items that it cannot be restored without.
    pub stands_on: Vec<String>,
}

impl Item {
    /// The machine that it is a backup of: two that are called alike are two.
    fn machine(&self) -> Option<(&str, Option<&str>)> {
        Some((self.vm.as_deref()?, self.uuid.as_deref()))
    }

    fn newest(&self) -> u64 {
        self.moments.iter().copied().max().unwrap_or(0)
    }
}

/// What is kept, and what must not be exceeded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// Keep the last so many moments of each machine.
    pub keep_last: Option<u32>,
    /// Keep the newest moment of each of the last so many hours, days, … that have one.
    pub keep_newest_of: Vec<(Period, u32)>,
    /// Keep every moment that is not older than so many seconds.
    pub keep_within_seconds: Option<u64>,
    /// Drop what is older than so many seconds, though it be kept by a rule.
    pub older_than_seconds: Option<u64>,
    /// Drop the oldest where a machine has more than so many, though they be kept by a rule.
    pub at_most: Option<u32>,
    /// Drop the oldest until so many bytes are free, though they be kept by a rule.
    pub missing_bytes: Option<u64>,
}

impl Rules {
    /// Whether nothing is said that could drop anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.has_keep()
            && self.older_than_seconds.is_none()
            && self.at_most.is_none()
            && self.missing_bytes.is_none()
    }

    fn has_keep(&self) -> bool {
        self.keep_last.is_some()
            || !self.keep_newest_of.is_empty()
            || self.keep_within_seconds.is_some()
    }
}

/// What is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One verdict for each item, in the order of the items.
    pub verdicts: Vec<Verdict>,
    /// What is given back.
    pub freed_bytes: u64,
    /// What is still missing of the room that was asked for: the laws keep the rest.
    pub missing_bytes: u64,
}

/// Decides what becomes of each item, at a time in seconds since 1970, by the calendar of a zone.
///
/// `failures` has, for each machine whose last backup failed, when that was.
#[must_use]
pub fn decide(
    items: &[Item],
    rules: &Rules,
    failures: &BTreeMap<String, u64>,
    now: u64,
    zone: &TimeZone,
) -> Outcome {
    let mut sorted: Vec<usize> = (0..items.len()).collect();
    // The newest first; ties by id, so that the order of the folder decides nothing.
    sorted.sort_by(|a, b| {
        let key = |at: &usize| (items[*at].newest(), &items[*at].id);
        key(b).cmp(&key(a))
    });
    let mut desk = Desk { items, sorted, kept: vec![Vec::new(); items.len()], dropped: Vec::new() };
    desk.dropped = vec![None; items.len()];
    desk.apply_laws(failures);
    if rules.has_keep() {
        desk.apply_keep_rules(rules, now, zone);
    }
    desk.drop_unkept(rules);
    desk.apply_limits(rules, now);
    desk.keep_what_others_need();
    let missing_bytes = desk.make_room(rules.missing_bytes.unwrap_or(0));
    desk.close(missing_bytes)
}

/// Whether the next backup of a machine has to be a full one, after so many increments on its last one;
/// without a limit never.
#[must_use]
pub fn is_full_due(increments: usize, max_increments: Option<u32>) -> bool {
    max_increments.is_some_and(|max| u32::try_from(increments).map_or(true, |done| done >= max))
}

/// The items while it is decided about them.
struct Desk<'a> {
    items: &'a [Item],
    /// Their places, the newest first.
    sorted: Vec<usize>,
    kept: Vec<Vec<Kept>>,
    dropped: Vec<Option<Dropped>>,
}

impl Desk<'_> {
    fn keep(&mut self, at: usize, why: Kept) {
        if !self.kept[at].contains(&why) {
            self.kept[at].push(why);
        }
    }

    fn is_lawful(&self, at: usize) -> bool {
        self.kept[at].iter().any(Kept::is_law)
    }

    fn apply_laws(&mut self, failures: &BTreeMap<String, u64>) {
        let (mut good, mut verified, mut damaged) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for at in self.sorted.clone() {
            let item = &self.items[at];
            if item.is_protected {
                self.keep(at, Kept::Protected);
            }
            if item.is_in_use {
                self.keep(at, Kept::InUse);
            }
            let Some(vm) = item.machine() else {
                self.keep(at, Kept::UnknownMachine);
                continue;
            };
            match item.condition {
                Condition::Verified => {
                    good.entry(vm).or_insert(at);
                    verified.entry(vm).or_insert(at);
                }
                Condition::Readable => {
                    good.entry(vm).or_insert(at);
                }
                Condition::Damaged => {
                    damaged.entry(vm).or_insert(at);
                }
            }
        }
        good.values().for_each(|at| self.keep(*at, Kept::LastGood));
        verified.values().for_each(|at| self.keep(*at, Kept::LastVerified));
        for (vm, at) in damaged {
            if !good.contains_key(&vm) {
                self.keep(at, Kept::NothingBetter);
            }
        }
        for at in 0..self.items.len() {
            let Some(machine) = self.items[at].machine() else { continue };
            let newest = good.get(&machine).map_or(0, |at| self.items[*at].newest());
            if failures.get(machine.0).is_some_and(|failed| *failed > newest) {
                self.keep(at, Kept::AfterFailure);
            }
        }
    }

    fn apply_keep_rules(&mut self, rules: &Rules, now: u64, zone: &TimeZone) {
        let mut machines: BTreeMap<_, Vec<(u64, usize)>> = BTreeMap::new();
        for at in self.sorted.clone() {
            let item = &self.items[at];
            // A damaged one must not take the place of a good one.
            if let (Some(vm), true) = (item.machine(), item.condition != Condition::Damaged) {
                let moments = item.moments.iter().map(|moment| (*moment, at));
                machines.entry(vm).or_default().extend(moments);
            }
        }
        for moments in machines.values_mut() {
            moments.sort_by(|a, b| b.cmp(a));
            for (rank, (_, at)) in (1..=rules.keep_last.unwrap_or(0)).zip(moments.iter()) {
                self.keep(*at, Kept::Last(rank));
            }
            for (period, count) in &rules.keep_newest_of {
                self.keep_newest_of(*period, *count, moments, zone);
            }
            if let Some(span) = rules.keep_within_seconds {
                let young = moments.iter().filter(|(moment, _)| age(*moment, now) <= span);
                young.for_each(|(_, at)| self.keep(*at, Kept::Within));
            }
        }
    }

    fn keep_newest_of(
        &mut self,
        period: Period,
        count: u32,
        moments: &[(u64, usize)],
        zone: &TimeZone,
    ) {
        let mut seen = BTreeSet::new();
        for (moment, at) in moments {
            let Some(local) = local(*moment, zone) else { continue };
            let name = period.of(&local);
            if seen.contains(&name) {
                continue;
            }
            if seen.len() >= usize::try_from(count).unwrap_or(usize::MAX) {
                return;
            }
            seen.insert(name.clone());
            self.keep(*at, Kept::NewestOf(period, name));
        }
    }

    fn drop_unkept(&mut self, rules: &Rules) {
        for at in 0..self.items.len() {
            if !self.kept[at].is_empty() {
                continue;
            }
            match (rules.has_keep(), self.items[at].condition) {
                (true, Condition::Damaged) => self.dropped[at] = Some(Dropped::Damaged),
                (true, _) => self.dropped[at] = Some(Dropped::NotKept),
                (false, _) => self.kept[at].push(Kept::NoRule),
            }
        }
    }

    fn apply_limits(&mut self, rules: &Rules, now: u64) {
        let mut counts: BTreeMap<_, u32> = BTreeMap::new();
        for at in self.sorted.clone() {
            let item = &self.items[at];
            let Some(vm) = item.machine() else { continue };
            if self.dropped[at].is_some() {
                continue;
            }
            let count = counts.entry(vm).or_default();
            *count = count.saturating_add(1);
            if self.is_lawful(at) {
                continue;
            }
            if rules.older_than_seconds.is_some_and(|span| age(item.newest(), now) > span) {
                self.dropped[at] = Some(Dropped::TooOld);
            } else if rules.at_most.is_some_and(|most| *count > most) {
                self.dropped[at] = Some(Dropped::TooMany);
            }
        }
    }

    /// Takes back what would make an item that stays useless.
    fn keep_what_others_need(&mut self) {
        let places: BTreeMap<&str, usize> =
            self.items.iter().enumerate().map(|(at, item)| (item.id.as_str(), at)).collect();
        let stays = |at: &usize| self.dropped[*at].is_none();
        let mut open: Vec<usize> = (0..self.items.len()).filter(stays).collect();
        while let Some(at) = open.pop() {
            for below in &self.items[at].stands_on {
                let Some(below) = places.get(below.as_str()).copied() else { continue };
                if self.dropped[below].take().is_some() {
                    self.kept[below].clear();
                    open.push(below);
                }
                if !self.is_lawful(below) {
                    self.keep(below, Kept::Below(self.items[at].id.clone()));
                }
            }
        }
    }

    /// Drops the oldest until so many bytes are free, and gives what is still missing.
    fn make_room(&mut self, missing_bytes: u64) -> u64 {
        let mut missing = missing_bytes.saturating_sub(self.freed_bytes());
        while missing > 0 {
            let mut oldest_first = self.sorted.iter().rev();
            let Some(at) = oldest_first.find(|at| self.may_make_room(**at)).copied() else { break };
            self.dropped[at] = Some(Dropped::Room);
            missing = missing.saturating_sub(self.items[at].size_bytes);
            self.release_what_was_below(at);
        }
        missing
    }

    fn may_make_room(&self, at: usize) -> bool {
        self.dropped[at].is_none() && !self.is_lawful(at)
    }

    /// What was kept for the sake of an item alone is not any more.
    fn release_what_was_below(&mut self, gone: usize) {
        let needed: BTreeMap<&str, &str> = (0..self.items.len())
            .filter(|at| self.dropped[*at].is_none())
            .flat_map(|at| {
                let item = &self.items[at];
                item.stands_on.iter().map(|below| (below.as_str(), item.id.as_str()))
            })
            .collect();
        for below in &self.items[gone].stands_on {
            let Some(at) = self.items.iter().position(|item| item.id == *below) else { continue };
            self.kept[at].retain(|why| !matches!(why, Kept::Below(_)));
            if let Some(other) = needed.get(below.as_str()) {
                self.kept[at].push(Kept::Below((*other).to_owned()));
            } else if self.kept[at].is_empty() {
                self.kept[at].push(Kept::NoRule);
            }
        }
    }

    fn freed_bytes(&self) -> u64 {
        let gone = self.items.iter().zip(&self.dropped).filter(|(_, dropped)| dropped.is_some());
        gone.fold(0, |sum: u64, (item, _)| sum.saturating_add(item.size_bytes))
    }

    fn close(self, missing_bytes: u64) -> Outcome {
        let freed_bytes = self.freed_bytes();
        let pairs = self.kept.into_iter().zip(self.dropped);
        let verdicts = pairs.map(|(mut kept, dropped)| match dropped {
            Some(why) => Verdict::Drop(why),
            None => {
                kept.sort();
                Verdict::Keep(kept)
            }
        });
        Outcome { verdicts: verdicts.collect(), freed_bytes, missing_bytes }
    }
}

/// How old a moment is; one in the future is new.
const fn age(moment: u64, now: u64) -> u64 {
    now.saturating_sub(moment)
}

fn local(moment: u64, zone: &TimeZone) -> Option<Zoned> {
    let moment = Timestamp::from_second(i64::try_from(moment).ok()?).ok()?;
    Some(moment.to_zoned(zone.clone()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: u64 = 86_400;
    /// 2026-11-21, 12:00 UTC, a Saturday.
    const NOW: u64 = 1_795_262_400;

    fn item(id: &str, age_days: u64) -> Item {
        Item {
            id: id.to_owned(),
            vm: Some("web01".to_owned()),
            uuid: None,
            moments: vec![NOW - age_days * DAY],
            size_bytes: 100,
            condition: Condition::Readable,
            is_protected: false,
            is_in_use: false,
            stands_on: Vec::new(),
        }
    }

    /// One a day: `0` is from today.
    fn days(count: u64) -> Vec<Item> {
        (0..count).map(|day| item(&day.to_string(), day)).collect()
    }

    fn decided(items: &[Item], rules: &Rules) -> Outcome {
        decide(items, rules, &BTreeMap::new(), NOW, &TimeZone::UTC)
    }

    /// A line for each item.
    fn told(items: &[Item], rules: &Rules) -> Vec<String> {
        let verdicts = decided(items, rules).verdicts;
        let line = |(item, verdict): (&Item, Verdict)| match verdict {
            Verdict::Keep(why) => {
                let why: Vec<String> = why.iter().map(ToString::to_string).collect();
                format!("{}: keep, {}", item.id, why.join(", "))
            }
            Verdict::Drop(why) => format!("{}: drop, {why}", item.id),
        };
        items.iter().zip(verdicts).map(line).collect()
    }

    fn dropped(items: &[Item], rules: &Rules) -> Vec<String> {
        let verdicts = decided(items, rules).verdicts;
        let gone = items.iter().zip(verdicts).filter(|(_, it)| matches!(it, Verdict::Drop(_)));
        gone.map(|(item, _)| item.id.clone()).collect()
    }

    #[test]
    fn each_item_is_told_with_every_reason_that_keeps_it() {
        let rules = Rules {
            keep_last: Some(2),
            keep_newest_of: vec![(Period::Day, 3), (Period::Week, 2), (Period::Month, 2)],
            ..Rules::default()
        };
        assert_eq!(
            told(&days(24), &rules)[..7],
            [
                "0: keep, last good one of its machine, newest, daily 2026-11-21, weekly 2026-W47, monthly 2026-11",
                "1: keep, number 2 from the newest, daily 2026-11-20",
                "2: keep, daily 2026-11-19",
                "3: drop, no rule keeps it",
                "4: drop, no rule keeps it",
                "5: drop, no rule keeps it",
                "6: keep, weekly 2026-W46",
            ]
        );
        assert_eq!(told(&days(24), &rules)[21], "21: keep, monthly 2026-10");
    }

    #[test]
    fn a_bundle_is_kept_for_any_of_its_points() {
        let mut week = item("week", 0);
        week.moments = (10..17).map(|day| NOW - day * DAY).collect();
        let within = |days| Rules { keep_within_seconds: Some(days * DAY), ..Rules::default() };
        assert_eq!(dropped(&[item("new", 0), week.clone()], &within(9)), ["week"]);
        assert_eq!(dropped(&[item("new", 0), week], &within(10)), [""; 0]);
    }

    #[test]
    fn limits_drop_what_rules_keep_the_oldest_first() {
        let kept = Rules { keep_last: Some(9), ..Rules::default() };
        let old = Rules { older_than_seconds: Some(2 * DAY), ..kept.clone() };
        assert_eq!(dropped(&days(5), &old), ["3", "4"]);
        let many = Rules { at_most: Some(4), ..kept.clone() };
        assert_eq!(dropped(&days(5), &many), ["4"]);
        let room = Rules { missing_bytes: Some(150), ..kept };
        let outcome = decided(&days(5), &room);
        assert_eq!((outcome.freed_bytes, outcome.missing_bytes), (200, 0));
        assert_eq!(dropped(&days(5), &room), ["3", "4"]);
        let all = Rules { missing_bytes: Some(1000), ..Rules::default() };
        assert_eq!(decided(&days(5), &all).missing_bytes, 600);
        let lines = ["0: keep, last good one of its machine", "1: drop, room is needed"];
        assert_eq!(told(&days(2), &all), lines);
    }

    #[test]
    fn damaged_ones_take_no_place_and_the_last_verified_one_stays() {
        let mut items = days(5);
        items[0].condition = Condition::Damaged;
        items[3].condition = Condition::Verified;
        let rules = Rules { keep_last: Some(1), ..Rules::default() };
        assert_eq!(
            told(&items, &rules),
            [
                "0: drop, damaged, and its machine has a good one",
                "1: keep, last good one of its machine, newest",
                "2: drop, no rule keeps it",
                "3: keep, last verified one of its machine",
                "4: drop, no rule keeps it",
            ]
        );
        let mut only = [item("x", 9)];
        only[0].condition = Condition::Damaged;
        assert_eq!(told(&only, &rules), ["x: keep, damaged, but its machine has no good one"]);
        only[0].vm = None;
        assert_eq!(told(&only, &rules), ["x: keep, nobody knows whose it is"]);
    }

    #[test]
    fn two_machines_that_are_called_alike_are_two() {
        let mut items = days(3);
        items[2].uuid = Some("5b1c".to_owned());
        let rules = Rules { keep_last: Some(1), ..Rules::default() };
        assert_eq!(dropped(&items, &rules), ["1"]);
    }

    #[test]
    fn nothing_goes_after_a_failed_run_until_one_succeeds() {
        let rules = Rules { keep_last: Some(1), ..Rules::default() };
        let decide = |failed: u64| {
            let failures = BTreeMap::from([("web01".to_owned(), failed)]);
            decide(&days(3), &rules, &failures, NOW, &TimeZone::UTC)
        };
        assert_eq!(decide(NOW + 1).freed_bytes, 0);
        assert_eq!(decide(NOW - 1).freed_bytes, 200);
    }

    #[test]
    fn what_another_stands_on_goes_after_it_and_never_before() {
        let mut items = days(4);
        items[1].stands_on = vec!["3".to_owned()];
        let rules = Rules { keep_last: Some(2), ..Rules::default() };
        assert_eq!(told(&items, &rules)[3], "3: keep, 1 needs it");
        let room = Rules { missing_bytes: Some(300), ..rules };
        assert_eq!(dropped(&items, &room), ["1", "2", "3"]);
        let little = Rules { missing_bytes: Some(100), ..room };
        assert_eq!(dropped(&items, &little), ["2"]);
    }

    #[test]
    fn two_hours_of_one_name_are_two_hours_when_clocks_are_set_back() {
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        // 2026-10-25, 02:30 CEST, and 02:30 CET.
        let (first, second) = (1_792_888_200, 1_792_891_800);
        let at = |id: &str, moment| Item { moments: vec![moment], ..item(id, 0) };
        let items = [at("a", first), at("b", second)];
        let rules = |period| Rules { keep_newest_of: vec![(period, 9)], ..Rules::default() };
        let freed =
            |period| decide(&items, &rules(period), &BTreeMap::new(), second, &zone).freed_bytes;
        assert_eq!((freed(Period::Hour), freed(Period::Day)), (0, 100));
    }

    #[test]
    fn a_full_backup_is_due_after_so_many_increments() {
        let due = |increments| is_full_due(increments, Some(6));
        assert!(!due(0) && !due(5) && due(6) && due(7) && !is_full_due(1000, None));
        assert!(is_full_due(0, Some(0)));
    }

    fn any_item() -> impl Strategy<Value = Item> {
        let condition = prop_oneof![
            Just(Condition::Verified),
            Just(Condition::Readable),
            Just(Condition::Damaged)
        ];
        let vm = prop_oneof![Just(None), Just(Some("a".to_owned())), Just(Some("b".to_owned()))];
        let moments = prop::collection::vec(0..NOW + DAY, 1..4);
        let below = prop::collection::vec(0_u8..12, 0..2);
        (vm, moments, 0..1000_u64, condition, (0..8_u8, 0..8_u8), below).prop_map(
            |(vm, moments, size_bytes, condition, (protected, in_use), below)| Item {
                id: String::new(),
                vm,
                uuid: None,
                moments,
                size_bytes,
                condition,
                is_protected: protected == 0,
                is_in_use: in_use == 0,
                stands_on: below.iter().map(ToString::to_string).collect(),
            },
        )
    }

    fn any_rules() -> impl Strategy<Value = Rules> {
        let some = || prop::option::of(0..4_u32);
        let span = || prop::option::of(0..NOW);
        let room = prop::option::of(0..3000_u64);
        (some(), some(), some(), span(), span(), room).prop_map(
            |(keep_last, months, at_most, within, older, missing_bytes)| Rules {
                keep_last,
                keep_newest_of: months.map(|count| (Period::Month, count)).into_iter().collect(),
                keep_within_seconds: within,
                older_than_seconds: older,
                at_most,
                missing_bytes,
            },
        )
    }

    proptest! {
        #[test]
        fn the_laws_hold_whatever_the_rules_are(
            items in prop::collection::vec(any_item(), 0..12),
            rules in any_rules(),
            failed in prop::option::of(0..NOW + DAY),
        ) {
            let mut items = items;
            for (at, item) in items.iter_mut().enumerate() {
                item.id = at.to_string();
            }
            let failures: BTreeMap<String, u64> =
                failed.map(|at| ("a".to_owned(), at)).into_iter().collect();
            let outcome = decide(&items, &rules, &failures, NOW, &TimeZone::UTC);
            let stays: Vec<bool> =
                outcome.verdicts.iter().map(|it| matches!(it, Verdict::Keep(_))).collect();
            for (item, (stays_here, verdict)) in
                items.iter().zip(stays.iter().zip(&outcome.verdicts))
            {
                prop_assert!(*stays_here || !(item.is_protected || item.is_in_use));
                prop_assert!(*stays_here || item.vm.is_some());
                prop_assert!(*verdict != Verdict::Keep(Vec::new()), "{item:?}");
                for below in item.stands_on.iter().filter(|_| *stays_here) {
                    let at: usize = below.parse().unwrap();
                    prop_assert!(stays.get(at).copied().unwrap_or(true), "{below} is needed");
                }
            }
            for vm in ["a", "b"] {
                let of = |item: &Item| item.vm.as_deref() == Some(vm);
                let is_good = |item: &Item| of(item) && item.condition != Condition::Damaged;
                let newest = items.iter().filter(|it| is_good(it)).map(Item::newest).max();
                let survives = items.iter().zip(&stays).any(|(item, stays)| {
                    *stays && is_good(item) && Some(item.newest()) == newest
                });
                prop_assert!(newest.is_none() || survives, "the last good one of {vm}");
                let is_blocked = failures.get(vm).is_some_and(|at| *at > newest.unwrap_or(0));
                let all = items.iter().zip(&stays).all(|(item, stays)| !of(item) || *stays);
                prop_assert!(!is_blocked || all);
            }
            let freed: u64 =
                items.iter().zip(&stays).filter(|(_, stays)| !**stays).map(|(it, _)| it.size_bytes).sum();
            prop_assert_eq!(freed, outcome.freed_bytes);
            if rules.is_empty() {
                prop_assert_eq!(freed, 0);
            }
        }

        #[test]
        fn room_is_made_from_the_oldest(ages in prop::collection::btree_set(0..4000_u64, 1..20), missing in 0..3000_u64) {
            let items: Vec<Item> = ages.iter().map(|age| item(&age.to_string(), *age)).collect();
            let rules = Rules { missing_bytes: Some(missing), ..Rules::default() };
            let outcome = decided(&items, &rules);
            let gone = usize::try_from(missing.div_ceil(100)).unwrap().min(items.len() - 1);
            // The items are sorted by age, the newest first.
            let due: Vec<String> =
                items[items.len() - gone..].iter().map(|item| item.id.clone()).collect();
            prop_assert_eq!(dropped(&items, &rules), due);
            prop_assert_eq!(outcome.missing_bytes, missing.saturating_sub(outcome.freed_bytes));
        }
    }
}
