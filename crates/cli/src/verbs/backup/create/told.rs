//! What `backup create` tells of what it did, or would do.

use std::path::{Path, PathBuf};

use backup::create::{Made, Plan, Untaken, Way};
use bundle::Indication;
use code::Code;
use host::libvirt::KnownMachine;
use serde::Serialize;
use vm::ByteSize;

use crate::{json::Message, show::clean};

/// The document of `backup create`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Data {
    /// Whether nothing was done.
    pub(super) dry_run: bool,
    /// The backups that were made.
    pub(super) backups: Vec<BackupData>,
    /// The machines of which nothing was to be kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unchanged: Vec<UnchangedData>,
    /// Those that would be made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) plans: Vec<PlanData>,
}

/// A backup that was made.
#[derive(Debug, Serialize)]
pub(in crate::verbs::backup) struct BackupData {
    vm: String,
    pub(super) path: String,
    point: String,
    mode: &'static str,
    state: &'static str,
    indications: Vec<&'static str>,
    frozen_ms: Option<u64>,
    pub(super) file_bytes: u64,
    added_bytes: u64,
    incrementable: bool,
    disks: Vec<DiskData>,
    left_out: Vec<LeftOutData>,
    template: bool,
    /// The snapshots that come back with the point.
    snapshots: Vec<String>,
    /// Those that are not in it.
    untaken: Vec<UntakenData>,
    pub(super) notes: Vec<String>,
}

/// A machine that has not changed since the last point of its bundle.
#[derive(Debug, Serialize)]
pub(super) struct UnchangedData {
    pub(super) vm: String,
    pub(super) path: String,
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DiskData {
    target: String,
    mode: &'static str,
    reason: Option<String>,
    capacity_bytes: u64,
    read_bytes: u64,
    member: String,
    /// The disk of the template that is not copied with it.
    stands_on: Option<String>,
}

#[derive(Debug, Serialize)]
struct UntakenData {
    name: String,
    reason: String,
}

#[derive(Debug, Serialize)]
struct LeftOutData {
    target: String,
    reason: String,
}

/// A backup that would be made.
#[derive(Debug, Serialize)]
pub(super) struct PlanData {
    vm: String,
    path: String,
    /// Whether the file is there, and gets one more point.
    extends: bool,
    state: &'static str,
    incrementable: bool,
    disks: Vec<PlannedDiskData>,
    left_out: Vec<LeftOutData>,
    /// The snapshots that would come back with the point.
    snapshots: Vec<String>,
    /// Those that would not be in it.
    untaken: Vec<UntakenData>,
    /// Whether disks are read from images, from a job, or from below a snapshot of ours.
    way: &'static str,
    /// The room where the bundle goes, in bytes.
    free_bytes: u64,
    scratch: Option<ScratchData>,
    /// The folders of the overlays that the guest would write to meanwhile.
    overlays: Vec<ScratchData>,
    recovers: bool,
    template: bool,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PlannedDiskData {
    target: String,
    mode: &'static str,
    reason: Option<String>,
    capacity_bytes: u64,
    /// The disk of the template that is not copied with it.
    stands_on: Option<String>,
}

#[derive(Debug, Serialize)]
struct ScratchData {
    path: String,
    free_bytes: u64,
}

/// What is worth a warning: a guest that was not quiet, and snapshots that are not in the backup.
pub(super) fn warnings(made: &Made) -> Vec<Message> {
    let left = made.untaken.iter().map(|Untaken { name, reason }| {
        Message::new(Code::W0612, format!("the snapshot {name} is not in the backup: {reason}"))
    });
    restless(made).into_iter().chain(left).collect()
}

fn restless(made: &Made) -> Vec<Message> {
    let is_restless =
        |it: &Indication| matches!(it, Indication::NoGuestAgent | Indication::QuiesceFailed);
    let found = made.point.indications.iter().find(|it| is_restless(it));
    let why = made.notes.first().cloned();
    let message = |it: &Indication| {
        let why = why.unwrap_or_else(|| it.as_str().to_owned());
        Message::new(Code::W0611, format!("the disks are as after a power cut: {why}"))
    };
    found.map(message).into_iter().collect()
}

/// What is told of a backup.
pub(super) fn data(
    machine: &KnownMachine,
    path: &Path,
    made: &Made,
    before_bytes: u64,
) -> BackupData {
    let point = &made.point;
    BackupData {
        vm: machine.name.clone(),
        path: path.display().to_string(),
        point: point.id.clone(),
        mode: point.mode.as_str(),
        state: point.state.as_str(),
        indications: point.indications.iter().map(|it| it.as_str()).collect(),
        frozen_ms: made.frozen.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        file_bytes: made.file_bytes,
        added_bytes: made.file_bytes.saturating_sub(before_bytes),
        incrementable: point.checkpoint.is_some(),
        disks: point.disks.iter().map(|disk| disk_data(disk, made)).collect(),
        left_out: left_out(&point.left_out),
        template: made.is_template,
        snapshots: point.snapshots.clone(),
        untaken: untaken(&made.untaken),
        notes: made.notes.clone(),
    }
}

fn disk_data(disk: &bundle::PointDisk, made: &Made) -> DiskData {
    DiskData {
        target: disk.target.clone(),
        mode: disk.mode.as_str(),
        reason: disk.reason.clone(),
        capacity_bytes: disk.capacity_bytes,
        read_bytes: disk.read_bytes,
        member: disk.member.clone(),
        stands_on: made.stands_on.get(&disk.target).map(|path| path.display().to_string()),
    }
}

/// The report for people.
pub(super) fn text(data: &Data) -> String {
    let made = data.backups.iter().map(lines);
    let all = made.chain(data.unchanged.iter().map(unchanged_lines));
    let all = all.chain(data.plans.iter().map(planned_lines));
    all.map(|lines| lines.join("\n") + "\n").collect()
}

/// What people are told of one backup, line by line.
fn lines(backup: &BackupData) -> Vec<String> {
    let BackupData { point, mode, state, .. } = backup;
    let indications = backup.indications.join(", ");
    let quiet = match (backup.frozen_ms, indications.is_empty()) {
        (Some(ms), _) => format!(" ({indications}; frozen for {ms} ms)"),
        (None, false) => format!(" ({indications})"),
        (None, true) => String::new(),
    };
    let vm = clean(&backup.vm);
    let mut lines =
        vec![format!("Backed up {vm} at {point}, {mode} while {state}{quiet}"), String::new()];
    for disk in &backup.disks {
        let why = disk.reason.as_deref().map(|why| format!(": {}", clean(why)));
        let (read, all) = (ByteSize(disk.read_bytes), ByteSize(disk.capacity_bytes));
        let why = why.unwrap_or_default();
        lines.push(row(&disk.target, format!("{read} of {all} read, {}{why}", disk.mode)));
    }
    for left in &backup.left_out {
        lines.push(row(&left.target, format!("left out: {}", clean(&left.reason))));
    }
    lines.extend(snapshots(&backup.snapshots));
    let again = if backup.incrementable { "incrementable" } else { "not incrementable" };
    let (added, all) = (ByteSize(backup.added_bytes), ByteSize(backup.file_bytes));
    let path = clean(&backup.path);
    lines.push(row("file", format!("{path} ({added} added, {all}, {again})")));
    lines.extend(backup.notes.iter().map(|note| row("note", clean(note))));
    lines.extend([String::new(), format!("Next:  relift backup verify {path}")]);
    lines
}

fn unchanged_lines(unchanged: &UnchangedData) -> Vec<String> {
    let (vm, path) = (clean(&unchanged.vm), clean(&unchanged.path));
    let head = format!("Nothing has changed on {vm} since the last point of {path}");
    let notes = unchanged.notes.iter().map(|note| row("note", clean(note)));
    std::iter::once(head).chain(notes).collect()
}

fn row(name: &str, text: impl std::fmt::Display) -> String {
    format!("  {:<10}{text}", clean(name))
}

/// What is told of a backup that would be made in a file, in whose folder so much is free.
pub(super) fn planned(
    machine: &KnownMachine,
    (path, extends): (&Path, bool),
    plan: Plan,
    free_bytes: u64,
) -> PlanData {
    let disks = plan.disks.into_iter().map(|disk| PlannedDiskData {
        target: disk.target,
        mode: disk.mode.as_str(),
        reason: disk.reason,
        capacity_bytes: disk.capacity_bytes,
        stands_on: disk.stands_on.map(|path| path.display().to_string()),
    });
    let room = |(path, free_bytes): (PathBuf, u64)| ScratchData {
        path: path.display().to_string(),
        free_bytes,
    };
    let (way, scratch, overlays) = match plan.way {
        Way::Images => ("images", None, Vec::new()),
        Way::Job { scratch, free_bytes } => ("job", Some(room((scratch, free_bytes))), Vec::new()),
        Way::Snapshot { folders } => ("snapshot", None, folders.into_iter().map(room).collect()),
    };
    PlanData {
        vm: machine.name.clone(),
        path: path.display().to_string(),
        extends,
        state: plan.state.as_str(),
        incrementable: plan.is_incrementable,
        disks: disks.collect(),
        left_out: left_out(&plan.left_out),
        snapshots: plan.snapshots,
        untaken: untaken(&plan.untaken),
        free_bytes,
        way,
        scratch,
        overlays,
        recovers: plan.recovers,
        template: plan.is_template,
        notes: plan.notes,
    }
}

fn untaken(snapshots: &[Untaken]) -> Vec<UntakenData> {
    let one = |it: &Untaken| UntakenData { name: it.name.clone(), reason: it.reason.clone() };
    snapshots.iter().map(one).collect()
}

/// The line with the snapshots of a backup.
fn snapshots(names: &[String]) -> Option<String> {
    let names: Vec<_> = names.iter().map(|name| clean(name)).collect();
    (!names.is_empty()).then(|| row("snapshots", names.join(", ")))
}

fn left_out(disks: &[bundle::LeftOut]) -> Vec<LeftOutData> {
    let one =
        |it: &bundle::LeftOut| LeftOutData { target: it.target.clone(), reason: it.reason.clone() };
    disks.iter().map(one).collect()
}

/// What people are told of a backup that would be made, line by line.
fn planned_lines(plan: &PlanData) -> Vec<String> {
    let head = format!("Would back up {}, which is {}", clean(&plan.vm), plan.state);
    let mut lines = vec![head, String::new()];
    for disk in &plan.disks {
        let why = disk.reason.as_deref().map(|why| format!(": {}", clean(why)));
        let (capacity, why) = (ByteSize(disk.capacity_bytes), why.unwrap_or_default());
        lines.push(row(&disk.target, format!("{capacity}, {}{why}", disk.mode)));
    }
    for left in &plan.left_out {
        lines.push(row(&left.target, format!("left out: {}", clean(&left.reason))));
    }
    lines.extend(snapshots(&plan.snapshots));
    lines.extend(plan.untaken.iter().map(|UntakenData { name, reason }| {
        row("without", format!("the snapshot {}: {}", clean(name), clean(reason)))
    }));
    let how = if plan.extends { "one more point in" } else { "a new file," };
    let again = if plan.incrementable { "incrementable" } else { "not incrementable" };
    let (path, free) = (clean(&plan.path), ByteSize(plan.free_bytes));
    lines.push(row("file", format!("{how} {path} ({again}; {free} free)")));
    if let Some(ScratchData { path, free_bytes }) = &plan.scratch {
        let (path, free) = (clean(path), ByteSize(*free_bytes));
        let what = format!("what the guest overwrites meanwhile, beneath {path} ({free} free)");
        lines.push(row("scratch", what));
    }
    lines.extend(plan.overlays.iter().map(|ScratchData { path, free_bytes }| {
        let (path, free) = (clean(path), ByteSize(*free_bytes));
        row(
            "snapshot",
            format!("for the time of the backup, with overlays in {path} ({free} free)"),
        )
    }));
    if plan.recovers {
        lines.push(row("note", "what an interrupted run left is put right first"));
    }
    lines.extend(plan.notes.iter().map(|note| row("note", clean(note))));
    lines.extend([String::new(), "Nothing was changed.".to_owned()]);
    lines
}
