//! The moments of a machine that a backup can bring back.
//!
//! ```text
//! full         Point { disks: [vda -> web-vda-17.qcow2] }
//! incremental  Point { disks: [vda -> web-vda-18.snapshot] }      which stands on web-vda-17.qcow2
//!
//!  web-vda-18.snapshot   the increment  \ flattened to one image, the machine's disk
//!  web-vda-17.qcow2      the full image /
//!  web.qcow2.snapshot    an image that a snapshot or template keeps: restored as it is, below the disk
//! ```
//!
//! The disks of a point are the chains that end at its members. Increments were never files of the machine:
//! who restores a point flattens each chain to one image, down to its full image. What that one stands on,
//! if anything, are the images that snapshots of the machine keep, or those of its template.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::{Error, Kind, Manifest, Result};

/// The most points of a bundle (ours: one each hour for five months).
const MAX_POINTS: usize = 4096;
/// The most disks of a point, and the most that are left out of one (ours; libvirt names fewer).
const MAX_DISKS: usize = 1024;
/// The most snapshots of a point (ours).
const MAX_SNAPSHOTS: usize = 4096;
/// The most tags of a bundle (ours).
const MAX_TAGS: usize = 64;
/// The most bytes of the id of a point, and of the name of a target (ours).
const MAX_ID_BYTES: usize = 64;
/// The most bytes of a note, a reason, a tag or the name of a checkpoint (ours).
const MAX_TEXT_BYTES: usize = 4096;
/// The most bytes of a checkpoint's XML (ours; one of a machine with 1024 disks has 100 KiB).
const MAX_CHECKPOINT_BYTES: usize = 1 << 20;

/// A moment of the machine that can be restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// What it is called: its time in UTC as [`id_at`](Self::id_at) writes it.
    pub id: String,
    /// When, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// Whether any of its disks needs an older point.
    pub mode: Mode,
    /// The member with the machine as it was.
    pub config: String,
    /// What the machine was doing.
    pub state: State,
    /// What is known of how consistent its disks are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub indications: Vec<Indication>,
    /// The disks, in the order of the definition.
    pub disks: Vec<PointDisk>,
    /// The disks of the machine that are not in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// The checkpoint of libvirt that the next increment counts from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<Checkpoint>,
    /// The names of the snapshots that the machine had, and that come back with it; each is one of
    /// [`Manifest::snapshots`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<String>,
}

/// How much of a machine or a disk was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// All of it.
    Full,
    /// What changed since the point before.
    Incremental,
}

impl Mode {
    /// One word for people and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// What a machine was doing when a point was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It ran.
    Running,
    /// It was paused.
    Paused,
    /// It was off.
    Off,
}

impl State {
    /// One word for people and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Off => "off",
        }
    }
}

/// What is known of the consistency of a point, in the words of `KubeVirt`'s snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Indication {
    /// The machine ran.
    Online,
    /// The guest agent had frozen the file systems.
    GuestAgent,
    /// There was no guest agent to freeze them.
    NoGuestAgent,
    /// The guest agent was there and could not freeze them.
    QuiesceFailed,
}

impl Indication {
    /// One word for people and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "Online",
            Self::GuestAgent => "GuestAgent",
            Self::NoGuestAgent => "NoGuestAgent",
            Self::QuiesceFailed => "QuiesceFailed",
        }
    }
}

/// A disk of a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointDisk {
    /// Which disk of the definition it is: `vda`.
    pub target: String,
    /// The member with its content, or with what changed.
    pub member: String,
    /// The size of the guest's disk.
    pub capacity_bytes: u64,
    /// Whether the member stands on that of the point before.
    pub mode: Mode,
    /// Why it is full where an increment was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many bytes of the guest were read for it.
    pub read_bytes: u64,
}

/// A disk of the machine that is not in a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which disk of the definition it is.
    pub target: String,
    /// Why.
    pub reason: String,
}

/// A checkpoint of libvirt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its name.
    pub name: String,
    /// Its document, to tell libvirt of it again.
    pub xml: String,
}

impl Point {
    /// The id of a point that is made at this time beside others: `20261121-190500`, else `…-2`.
    #[must_use]
    pub fn id_at(unix_seconds: u64, others: &[Self]) -> String {
        let first = utc(unix_seconds);
        let is_free = |id: &String| others.iter().all(|other| other.id != *id);
        let numbered = (2..=u32::MAX).map(|number| format!("{first}-{number}"));
        std::iter::once(first.clone()).chain(numbered).find(is_free).unwrap_or_default()
    }

    /// The disk of this target.
    #[must_use]
    pub fn disk(&self, target: &str) -> Option<&PointDisk> {
        self.disks.iter().find(|disk| disk.target == target)
    }

    /// The members that it names: its definition, and the top of each chain.
    pub(crate) fn members(&self) -> impl Iterator<Item = &String> {
        let images = self.disks.iter().map(|disk| &disk.member);
        std::iter::once(&self.config).chain(images)
    }
}

/// Seconds since 1970 as `20261121-190500` in the Gregorian calendar.
///
/// Days are counted from 1 March of the year 0, so that a leap day is the last of its year: 400 years have
/// 146,097 days, and from March on the months have 153 days in five.
fn utc(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let leaps = (day / 1_460).saturating_sub(day / 36_524).saturating_add(day / 146_096);
    let year = day.saturating_sub(leaps) / 365;
    let before = year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100);
    let day = day.saturating_sub(before);
    let month = day.saturating_mul(5).saturating_add(2) / 153;
    let first = month.saturating_mul(153).saturating_add(2) / 5;
    let day = day.saturating_sub(first).saturating_add(1);
    let (month, next) =
        if month < 10 { (month.saturating_add(3), 0) } else { (month.saturating_sub(9), 1) };
    let year = era.saturating_mul(400).saturating_add(year).saturating_add(next);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}{minute:02}{second:02}")
}

/// Tests what a manifest says of points against the limits of the format; not whether its members exist.
pub(crate) fn check_bounds(manifest: &Manifest) -> Result<()> {
    at_most("points", manifest.points.len(), MAX_POINTS)?;
    at_most("tags", manifest.tags.len(), MAX_TAGS)?;
    check_tags(&manifest.tags)?;
    manifest.note.iter().try_for_each(|note| text("the note", note))?;
    let mut ids = HashSet::new();
    for point in &manifest.points {
        check_id("the id of a point", &point.id)?;
        if !ids.insert(&point.id) {
            return Err(malformed(format!("two points are called {}", point.id)));
        }
        check_point(point)?;
    }
    Ok(())
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    tags.iter().try_for_each(|(key, value)| {
        text("the key of a tag", key)?;
        text("the value of a tag", value)
    })
}

fn check_point(point: &Point) -> Result<()> {
    at_most("disks of a point", point.disks.len(), MAX_DISKS)?;
    at_most("disks left out of a point", point.left_out.len(), MAX_DISKS)?;
    // Each of the four at most once.
    at_most("indications of a point", point.indications.len(), 4)?;
    at_most("snapshots of a point", point.snapshots.len(), MAX_SNAPSHOTS)?;
    point.snapshots.iter().try_for_each(|name| text("the name of a snapshot", name))?;
    let mut targets = HashSet::new();
    for disk in &point.disks {
        check_id("the target of a disk", &disk.target)?;
        disk.reason.iter().try_for_each(|reason| text("a reason", reason))?;
        if !targets.insert(&disk.target) {
            let message = format!("the point {} has two disks {}", point.id, disk.target);
            return Err(malformed(message));
        }
    }
    for left_out in &point.left_out {
        check_id("the target of a disk", &left_out.target)?;
        text("a reason", &left_out.reason)?;
    }
    let Some(checkpoint) = &point.checkpoint else { return Ok(()) };
    text("the name of a checkpoint", &checkpoint.name)?;
    length("the document of a checkpoint", &checkpoint.xml, MAX_CHECKPOINT_BYTES)
}

/// Tests a word that people type: letters, digits, `.`, `_` and `-`.
fn check_id(what: &str, id: &str) -> Result<()> {
    length(what, id, MAX_ID_BYTES)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if id.is_empty() || !id.bytes().all(is_plain) {
        let id = crate::error::shown(id);
        return Err(malformed(format!(
            "{what} '{id}' is not made of letters, digits, '.', '_', '-'"
        )));
    }
    Ok(())
}

fn text(what: &str, text: &str) -> Result<()> {
    length(what, text, MAX_TEXT_BYTES)
}

fn length(what: &str, text: &str, limit: usize) -> Result<()> {
    let found = text.len();
    if found > limit {
        return Err(Error::limit(format!("{what} of {found} bytes, at most {limit} are allowed")));
    }
    Ok(())
}

fn at_most(what: &str, found: usize, limit: usize) -> Result<()> {
    if found > limit {
        return Err(Error::limit(format!("{found} {what}, at most {limit} are allowed")));
    }
    Ok(())
}

fn malformed(message: String) -> Error {
    Error::new(code::Code::E0605, Kind::Malformed, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use code::Code;

    fn point(id: &str) -> Point {
        Point {
            id: id.to_owned(),
            created_unix_seconds: 1_700_000_000,
            mode: Mode::Incremental,
            config: "1-a.xml".to_owned(),
            state: State::Running,
            indications: vec![Indication::Online, Indication::NoGuestAgent],
            disks: vec![PointDisk {
                target: "vda".to_owned(),
                member: "a.snapshot".to_owned(),
                capacity_bytes: 1 << 20,
                mode: Mode::Full,
                reason: Some("the disk is new".to_owned()),
                read_bytes: 1 << 20,
            }],
            left_out: vec![LeftOut { target: "vdb".to_owned(), reason: "a LUN".to_owned() }],
            checkpoint: Some(Checkpoint { name: "c".to_owned(), xml: "<x/>".to_owned() }),
            snapshots: vec!["clean".to_owned()],
        }
    }

    #[test]
    fn the_id_is_the_time_in_utc_and_unique() {
        for (unix_seconds, want) in [
            (0, "19700101-000000"),
            (951_782_400, "20000229-000000"),
            (1_709_251_199, "20240229-235959"),
            (1_709_251_200, "20240301-000000"),
            (1_735_689_599, "20241231-235959"),
            (4_107_542_400, "21000301-000000"),
            (1_795_287_900, "20261121-190500"),
        ] {
            assert_eq!(Point::id_at(unix_seconds, &[]), want);
        }
        let others = [point("19700101-000000"), point("19700101-000000-2")];
        assert_eq!(Point::id_at(0, &others), "19700101-000000-3");
        assert!(check_id("it", &Point::id_at(u64::MAX, &[])).is_ok());
    }

    #[test]
    fn points_are_an_addition_that_an_older_manifest_does_not_have() {
        let plain = String::from_utf8(Manifest::default().to_bytes().unwrap()).unwrap();
        for key in ["points", "incrementable", "protected", "note", "tags"] {
            assert!(!plain.contains(key), "{key} in {plain}");
        }
        let manifest = Manifest {
            points: vec![
                point("a"),
                Point { snapshots: Vec::new(), checkpoint: None, ..point("b") },
            ],
            incrementable: true,
            protected: true,
            note: Some("before the upgrade".to_owned()),
            tags: BTreeMap::from([("team".to_owned(), "db".to_owned())]),
            ..Manifest::default()
        };
        let bytes = manifest.to_bytes().unwrap();
        assert_eq!(Manifest::parse(&bytes).unwrap(), manifest);
        let text = String::from_utf8(bytes).unwrap();
        for word in ["\"incremental\"", "\"running\"", "\"NoGuestAgent\"", "\"vda\""] {
            assert!(text.contains(word), "{word} in {text}");
        }
    }

    #[test]
    fn what_is_too_long_too_many_or_no_plain_word_is_neither_written_nor_read() {
        let with = |spoil: &dyn Fn(&mut Manifest)| {
            let mut manifest = Manifest { points: vec![point("a")], ..Manifest::default() };
            spoil(&mut manifest);
            let error = manifest.to_bytes().unwrap_err();
            (error.code(), error.to_string())
        };
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        for (spoil, code, want) in [
            (
                &(|it: &mut Manifest| it.points = vec![point("a"); MAX_POINTS + 1])
                    as &dyn Fn(&mut Manifest),
                Code::E0106,
                "4097 points, at most 4096 are allowed",
            ),
            (
                &|it| it.tags = (0..65).map(|n| (n.to_string(), String::new())).collect(),
                Code::E0106,
                "65 tags, at most 64 are allowed",
            ),
            (
                &|it| it.note = Some(long.clone()),
                Code::E0106,
                "the note of 4097 bytes, at most 4096 are allowed",
            ),
            (&|it| it.points.push(point("a")), Code::E0605, "two points are called a"),
            (
                &|it| it.points[0].id = "a/\u{1b}".to_owned(),
                Code::E0605,
                "the id of a point 'a/\\u{1b}' is not made of letters, digits, '.', '_', '-'",
            ),
            (
                &|it| it.points[0].disks[0].target = String::new(),
                Code::E0605,
                "the target of a disk '' is not made of letters, digits, '.', '_', '-'",
            ),
            (
                &|it| it.points[0].disks = vec![point("a").disks[0].clone(); 2],
                Code::E0605,
                "the point a has two disks vda",
            ),
            (
                &|it| it.points[0].indications = vec![Indication::Online; 5],
                Code::E0106,
                "5 indications of a point, at most 4 are allowed",
            ),
            (
                &|it| {
                    let xml = "x".repeat(MAX_CHECKPOINT_BYTES + 1);
                    it.points[0].checkpoint = Some(Checkpoint { name: "c".to_owned(), xml });
                },
                Code::E0106,
                "the document of a checkpoint of 1048577 bytes, at most 1048576 are allowed",
            ),
        ] {
            assert_eq!(with(spoil), (code, want.to_owned()));
        }
    }
}
