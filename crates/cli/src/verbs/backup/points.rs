//! The moments of a backup, as `inspect` and `backup show` tell them.

use bundle::Point;
use serde::Serialize;

use crate::{clock, show::table::Table};

/// A point.
#[derive(Debug, Serialize)]
pub(in crate::verbs) struct PointData {
    id: String,
    created: String,
    mode: &'static str,
    state: &'static str,
    indications: Vec<&'static str>,
    disks: Vec<PointDiskData>,
    left_out: Vec<LeftOutData>,
    snapshots: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PointDiskData {
    target: String,
    member: String,
    mode: &'static str,
    reason: Option<String>,
    read_bytes: u64,
}

#[derive(Debug, Serialize)]
struct LeftOutData {
    target: String,
    reason: String,
}

/// Describes points, oldest first.
pub(in crate::verbs) fn of(points: &[Point]) -> Vec<PointData> {
    points.iter().map(point).collect()
}

/// The moments that can be restored, and what is special about the disks of each.
pub(in crate::verbs) fn lines(points: &[PointData], width: Option<usize>) -> Vec<String> {
    if points.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new(&[]);
    table.row(["POINT", "MODE", "STATE", "DISKS", "NOTE"]);
    for point in points {
        let disks: Vec<&str> = point.disks.iter().map(|disk| disk.target.as_str()).collect();
        let mut notes: Vec<String> = point.indications.iter().map(|&one| one.to_owned()).collect();
        notes.extend(point.disks.iter().filter_map(|disk| {
            let reason = disk.reason.as_ref()?;
            Some(format!("{} is full: {reason}", disk.target))
        }));
        notes.extend(
            point.left_out.iter().map(|disk| format!("without {}: {}", disk.target, disk.reason)),
        );
        let snapshots = Some(point.snapshots.join(", ")).filter(|names| !names.is_empty());
        notes.extend(snapshots.map(|names| format!("with the snapshots {names}")));
        table.row([&*point.id, point.mode, point.state, &disks.join(", "), &notes.join("; ")]);
    }
    std::iter::once(String::new()).chain(table.lines(2, width)).collect()
}

fn point(point: &Point) -> PointData {
    let disks = point.disks.iter().map(|disk| PointDiskData {
        target: disk.target.clone(),
        member: disk.member.clone(),
        mode: disk.mode.as_str(),
        reason: disk.reason.clone(),
        read_bytes: disk.read_bytes,
    });
    let left_out = point
        .left_out
        .iter()
        .map(|disk| LeftOutData { target: disk.target.clone(), reason: disk.reason.clone() });
    PointData {
        id: point.id.clone(),
        created: clock::told(point.created_unix_seconds),
        mode: point.mode.as_str(),
        state: point.state.as_str(),
        indications: point.indications.iter().map(|one| one.as_str()).collect(),
        disks: disks.collect(),
        left_out: left_out.collect(),
        snapshots: point.snapshots.clone(),
    }
}
