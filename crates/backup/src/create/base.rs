//! What of a machine is read: all of it, or what changed since the last point of a bundle.

use bundle::{Mode, Point};

use super::{disks::Disk, template::Footing};
use crate::{Error, Kind, Result};

/// What a user wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wish {
    /// What changed, where that can be known; else everything, with the reason.
    #[default]
    Auto,
    /// Everything.
    Full,
    /// What changed; it is an error when nothing is known of any disk.
    Incremental,
}

/// What the last point of a bundle and the host say of each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base<'a> {
    /// The last point.
    pub(super) point: &'a Point,
    /// The names of the checkpoints that the host has for the machine.
    pub(super) checkpoints: &'a [String],
    /// The disks that the point's checkpoint has a bitmap of; `None` where the host does not say.
    pub(super) bitmaps: Option<&'a [String]>,
}

/// How a disk is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// The disk.
    pub(super) disk: Disk,
    /// How large it is for the guest, in bytes.
    pub(super) capacity_bytes: u64,
    /// How much of it is read.
    pub(super) mode: Mode,
    /// Why all of it, where an increment was wanted.
    pub(super) reason: Option<String>,
    /// The disk of a template that it stands on.
    pub(super) stands_on: Option<Footing>,
}

impl Reading {
    /// The same disk, read whole.
    pub(super) fn whole(&mut self, reason: impl Into<String>) {
        self.mode = Mode::Full;
        self.reason = Some(reason.into());
    }
}

/// Decides for each disk, with its capacity, how it is read.
///
/// # Errors
/// `E0606` when an increment was asked for and not one disk can have one.
pub(super) fn readings(
    disks: &[(Disk, u64)],
    wish: Wish,
    base: Option<&Base<'_>>,
) -> Result<Vec<Reading>> {
    let machine_reason = match (wish, base) {
        (Wish::Full, _) => None,
        (Wish::Auto, None) => None,
        (Wish::Incremental, None) => Some("there is no earlier point".to_owned()),
        (_, Some(base)) => base.obstacle(),
    };
    let is_incremental = wish != Wish::Full && base.is_some() && machine_reason.is_none();
    let mut readings = Vec::new();
    for (disk, capacity_bytes) in disks {
        let (disk, capacity_bytes) = (disk.clone(), *capacity_bytes);
        let base = base.filter(|_| is_incremental);
        let reason = match base {
            Some(base) => base.obstacle_of(&disk, capacity_bytes),
            None => machine_reason.clone(),
        };
        let mode = if base.is_some() && reason.is_none() { Mode::Incremental } else { Mode::Full };
        readings.push(Reading { disk, capacity_bytes, mode, reason, stands_on: None });
    }
    check(&readings, wish)?;
    Ok(readings)
}

/// Refuses readings that are all whole where an increment was asked for.
///
/// # Errors
/// `E0606`.
pub(super) fn check(readings: &[Reading], wish: Wish) -> Result<()> {
    if wish == Wish::Incremental && readings.iter().all(|reading| reading.mode == Mode::Full) {
        return Err(no_increment(readings));
    }
    Ok(())
}

/// Why no disk can have an increment.
pub(super) fn no_increment(readings: &[Reading]) -> Error {
    let reason = readings.iter().find_map(|reading| reading.reason.as_deref());
    let reason = reason.unwrap_or("the machine has no disk");
    Error::new(Kind::NoIncrement, format!("no increment is possible: {reason}"))
}

impl Base<'_> {
    /// What keeps the whole machine from an increment.
    fn obstacle(&self) -> Option<String> {
        let id = &self.point.id;
        let Some(checkpoint) = &self.point.checkpoint else {
            return Some(format!("the point {id} left no checkpoint on the host"));
        };
        let name = &checkpoint.name;
        let is_known = self.checkpoints.contains(name);
        (!is_known).then(|| format!("the host does not have the checkpoint {name} any more"))
    }

    /// What keeps one disk from it.
    fn obstacle_of(&self, disk: &Disk, capacity_bytes: u64) -> Option<String> {
        let Some(before) = self.point.disk(&disk.target) else {
            return Some("the disk is not in the point before".to_owned());
        };
        if before.capacity_bytes != capacity_bytes {
            return Some(format!(
                "the disk was resized: {} bytes before, {capacity_bytes} now",
                before.capacity_bytes
            ));
        }
        if disk.uncounted.is_some() {
            return disk.uncounted.clone();
        }
        let has_bitmap = |bitmaps: &[String]| bitmaps.contains(&disk.target);
        let is_without = self.bitmaps.is_some_and(|bitmaps| !has_bitmap(bitmaps));
        is_without.then(|| "the checkpoint before has no bitmap of it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use bundle::{Checkpoint, PointDisk, State};

    use super::*;

    fn disk(target: &str, format: &str) -> Disk {
        Disk {
            target: target.to_owned(),
            format: format.to_owned(),
            file: None,
            place: String::new(),
            uncounted: Disk::without_bitmap(format),
        }
    }

    fn point() -> Point {
        let of = |target: &str| PointDisk {
            target: target.to_owned(),
            member: format!("{target}.qcow2"),
            capacity_bytes: 100,
            mode: Mode::Full,
            reason: None,
            read_bytes: 0,
        };
        Point {
            id: "p".to_owned(),
            created_unix_seconds: 1,
            mode: Mode::Full,
            config: "1-a.xml".to_owned(),
            state: State::Running,
            indications: Vec::new(),
            disks: ["vda", "vdb", "vdc", "vdd"].map(of).to_vec(),
            left_out: Vec::new(),
            checkpoint: Some(Checkpoint { name: "c1".to_owned(), xml: String::new() }),
            snapshots: Vec::new(),
        }
    }

    fn reasons(readings: &[Reading]) -> Vec<(Mode, Option<&str>)> {
        readings.iter().map(|reading| (reading.mode, reading.reason.as_deref())).collect()
    }

    #[test]
    fn each_disk_falls_back_by_itself_with_its_reason() {
        let (point, known) = (point(), ["c1".to_owned()]);
        let bitmaps = ["vda", "vdb", "vdc"].map(str::to_owned);
        let base = Base { point: &point, checkpoints: &known, bitmaps: Some(&bitmaps) };
        let disks = [
            (disk("vda", "qcow2"), 100),
            (disk("vdb", "qcow2"), 200),
            (disk("vdc", "raw"), 100),
            (disk("vdd", "qcow2"), 100),
            (disk("vde", "qcow2"), 100),
        ];
        let found = readings(&disks, Wish::Auto, Some(&base)).unwrap();
        assert_eq!(
            reasons(&found),
            [
                (Mode::Incremental, None),
                (Mode::Full, Some("the disk was resized: 100 bytes before, 200 now")),
                (Mode::Full, Some("an image of the format raw keeps no bitmap")),
                (Mode::Full, Some("the checkpoint before has no bitmap of it")),
                (Mode::Full, Some("the disk is not in the point before")),
            ]
        );
        let full = readings(&disks, Wish::Full, Some(&base)).unwrap();
        assert!(full.iter().all(|it| (it.mode, &it.reason) == (Mode::Full, &None)));
    }

    #[test]
    fn a_machine_without_a_known_checkpoint_has_no_increment() {
        let mut point = point();
        let disks = [(disk("vda", "qcow2"), 100)];
        let gone = Base { point: &point, checkpoints: &[], bitmaps: None };
        let found = readings(&disks, Wish::Auto, Some(&gone)).unwrap();
        let want = "the host does not have the checkpoint c1 any more";
        assert_eq!(reasons(&found), [(Mode::Full, Some(want))]);
        let error = readings(&disks, Wish::Incremental, Some(&gone)).unwrap_err();
        assert_eq!(error.to_string(), format!("no increment is possible: {want}"));
        assert_eq!(error.code(), Some(code::Code::E0606));

        point.checkpoint = None;
        let none = Base { point: &point, checkpoints: &[], bitmaps: None };
        let error = readings(&disks, Wish::Incremental, Some(&none)).unwrap_err();
        let want = "no increment is possible: the point p left no checkpoint on the host";
        assert_eq!(error.to_string(), want);
        let error = readings(&disks, Wish::Incremental, None).unwrap_err();
        assert_eq!(error.to_string(), "no increment is possible: there is no earlier point");
        assert!(readings(&disks, Wish::Auto, None).unwrap()[0].reason.is_none());
    }
}
