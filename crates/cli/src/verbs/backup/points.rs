//! The moments of a backup, as `inspect` and `backup show` tell them.

use bundle::Point;
use serde::Serialize;
use vm::ByteSize;

use crate::{clock, show::table::Table};

/// A point.
#[derive(Debug, Serialize)]
pub(in crate::verbs) struct PointData {
    id: String,
    created: String,
    mode: &'static str,
    state: &'static str,
    indications: Vec<&'static str>,
    config: String,
    disks: Vec<PointDiskData>,
    left_out: Vec<LeftOutData>,
}

#[derive(Debug, Serialize)]
struct PointDiskData {
    id: String,
    file: String,
    mode: &'static str,
    capacity_bytes: u64,
    read_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct LeftOutData {
    id: String,
    reason: String,
}

/// Describes points, oldest first.
pub(in crate::verbs) fn of(points: &[Point]) -> Vec<PointData> {
    let disk = |disk: &bundle::PointDisk| PointDiskData {
        id: disk.target.clone(),
        file: disk.member.clone(),
        mode: disk.mode.as_str(),
        capacity_bytes: disk.capacity_bytes,
        read_bytes: disk.read_bytes,
        reason: disk.reason.clone(),
    };
    let left_out =
        |one: &bundle::LeftOut| LeftOutData { id: one.target.clone(), reason: one.reason.clone() };
    let described = points.iter().map(|point| PointData {
        id: point.id.clone(),
        created: clock::told(point.created_unix_seconds),
        mode: point.mode.as_str(),
        state: point.state.as_str(),
        indications: point.indications.iter().map(|one| one.as_str()).collect(),
        config: point.config.clone(),
        disks: point.disks.iter().map(disk).collect(),
        left_out: point.left_out.iter().map(left_out).collect(),
    });
    described.collect()
}

/// A row a point; none where there are no points.
pub(in crate::verbs) fn lines(points: &[PointData], width: Option<usize>) -> Vec<String> {
    if points.is_empty() {
        return Vec::new();
    }
    let mut table = Table::new(&[5]);
    table.row(["POINT", "CREATED", "MODE", "STATE", "DISKS", "READ", "NOTES"]);
    for point in points {
        let disks: Vec<&str> = point.disks.iter().map(|disk| disk.id.as_str()).collect();
        let read = point.disks.iter().map(|disk| disk.read_bytes).fold(0, u64::saturating_add);
        let without = point.left_out.iter().map(|one| format!("without {}", one.id));
        let indications = point.indications.iter().map(|one| (*one).to_owned());
        let notes: Vec<String> = indications.chain(without).collect();
        table.row([
            point.id.as_str(),
            &point.created,
            point.mode,
            point.state,
            &disks.join(", "),
            &ByteSize(read).to_string(),
            &notes.join(", "),
        ]);
    }
    table.lines(2, width)
}
