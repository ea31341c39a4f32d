//! The snapshots of a machine: what libvirt keeps, with what relift noted.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use bundle::{Indication, LeftOut};
use domain::{DriveDevice, DriveSource, Kept, KeptMemory, ReadSnapshot, SnapshotState};
use host::libvirt::{Definition, Guest, Power, Snapshots};

use super::{
    Phase, Record, Subject, chain,
    images::{Images, State},
};
use crate::{Error, Kind, Result};

/// The snapshots of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Parents before their children; those that libvirt does not know, last.
    pub snapshots: Vec<Found>,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// What somebody wrote of it.
    pub description: Option<String>,
    /// The snapshot that it follows.
    pub parent: Option<String>,
    /// When it was taken, in seconds since 1970.
    pub unix_seconds: u64,
    /// What is in it; `None` where libvirt does not know it.
    pub content: Option<Content>,
    /// Whether it is inside the images, where only libvirt gets at it.
    pub is_internal: bool,
    /// Whether the machine goes on from it.
    pub is_current: bool,
    /// How far it came, and how quiet the guest was.
    pub record: Record,
    /// Its state: images, and the format of each, by the disk's name.
    pub images: BTreeMap<String, (PathBuf, String)>,
    /// The file with the guest's memory.
    pub memory: Option<PathBuf>,
    /// What its images and its memory take on the host, in bytes; `None` where a file cannot be asked.
    pub size_bytes: Option<u64>,
    /// What libvirt keeps of it, and in its own words.
    pub(super) kept: Option<(ReadSnapshot, String)>,
}

/// What is in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Disks and memory: the machine goes on where it was.
    Running,
    /// The disks of a machine that was off.
    Off,
    /// The disks of a machine that ran: it starts anew from them.
    DiskOnly,
}

impl Content {
    /// One word for documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Off => "off",
            Self::DiskOnly => "disk_only",
        }
    }
}

impl Tree {
    /// The snapshot of this name.
    ///
    /// # Errors
    /// There is none; the message lists those that there are.
    pub fn find(&self, name: &str) -> Result<&Found> {
        self.snapshots.iter().find(|one| one.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.snapshots.iter().map(|one| one.name.as_str()).collect();
            let known = if known.is_empty() { "it has none".into() } else { known.join(", ") };
            Error::new(Kind::NotFound, format!("the machine has no snapshot {name}: {known}"))
        })
    }

    /// The one that the machine goes on from.
    #[must_use]
    pub fn current(&self) -> Option<&Found> {
        self.snapshots.iter().find(|one| one.is_current)
    }

    /// The names of all.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.snapshots.iter().map(|one| one.name.clone()).collect()
    }

    /// Those that follow a snapshot, or none.
    pub fn children<'a>(&'a self, parent: Option<&'a str>) -> impl Iterator<Item = &'a Found> {
        let known = |name: &str| self.snapshots.iter().any(|one| one.name == name);
        self.snapshots.iter().filter(move |one| match (one.parent.as_deref(), parent) {
            (Some(own), Some(parent)) => own == parent,
            (own, None) => own.is_none_or(|own| !known(own)),
            (None, Some(_)) => false,
        })
    }
}

impl Found {
    /// What people should know of it at a glance, in the words of lists.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        match self.record.phase {
            Phase::InProgress => notes.push("in progress".to_owned()),
            Phase::Failed => notes.push("failed".to_owned()),
            Phase::Succeeded => {}
        }
        if self.record.is_going {
            notes.push("half deleted".to_owned());
        }
        for indication in &self.record.indications {
            match indication {
                Indication::NoGuestAgent => notes.push("no guest agent".to_owned()),
                Indication::QuiesceFailed => notes.push("quiesce failed".to_owned()),
                Indication::Online | Indication::GuestAgent => {}
            }
        }
        if self.is_internal {
            notes.push("internal".to_owned());
        }
        let left_out: Vec<&str> = self.left_out().map(|one| one.target.as_str()).collect();
        if !left_out.is_empty() {
            notes.push(format!("without {}", left_out.join(", ")));
        }
        notes
    }

    /// The disks that are not in it; drives that never are do not count.
    fn left_out(&self) -> impl Iterator<Item = &LeftOut> {
        let drives = ["a CD drive", "a floppy drive", "an empty drive"];
        self.record.left_out.iter().filter(move |one| !drives.contains(&one.reason.as_str()))
    }

    /// Refuses a snapshot whose state cannot be relied on.
    ///
    /// # Errors
    /// It failed, is being taken, or is half deleted.
    pub(crate) fn check_usable(&self) -> Result<&(ReadSnapshot, String)> {
        let name = &self.name;
        let refuse = |why: String| Err(Error::new(Kind::State, why));
        match (self.record.phase, &self.record.error) {
            (Phase::Failed, Some(why)) => {
                return refuse(format!(
                    "the snapshot {name} failed, and can only be deleted: {why}"
                ));
            }
            (Phase::Failed, None) => {
                return refuse(format!("the snapshot {name} failed, and can only be deleted"));
            }
            (Phase::InProgress, _) => return refuse(format!("the snapshot {name} is being taken")),
            (Phase::Succeeded, _) => {}
        }
        if self.record.is_going {
            return refuse(format!("the snapshot {name} is half deleted: delete it again"));
        }
        let unknown =
            || Error::new(Kind::State, format!("libvirt does not know the snapshot {name}"));
        self.kept.as_ref().ok_or_else(unknown)
    }

    /// The definition that the machine had for its next start.
    ///
    /// # Errors
    /// As [`check_usable`](Self::check_usable), and when there is none.
    pub(crate) fn definition(&self) -> Result<&str> {
        let (kept, _) = self.check_usable()?;
        let then = kept.inactive_domain.as_deref().or(kept.domain.as_deref());
        let none = || {
            let text = format!("the snapshot {} has no definition of its machine", self.name);
            Error::new(Kind::State, text)
        };
        then.ok_or_else(none)
    }
}

/// Lists the snapshots of a machine.
///
/// # Errors
/// The host does not say, or a document or a record cannot be read.
pub fn tree<H: Snapshots + ?Sized>(subject: &Subject<'_, H>) -> Result<Tree> {
    let mut records: BTreeMap<String, Record> =
        subject.records.all()?.into_iter().map(|record| (record.name.clone(), record)).collect();
    let mut snapshots = Vec::new();
    for known in subject.host.snapshots(subject.machine)? {
        let kept = domain::read_snapshot(known.xml.as_bytes())?;
        let record = records.remove(&kept.name);
        let record = record.unwrap_or_else(|| Record::found(&kept.name, kept.created_unix_seconds));
        snapshots.push(found(kept, known.xml, record, known.is_current)?);
    }
    snapshots.extend(records.into_values().map(unknown));
    Ok(Tree { snapshots })
}

fn found(kept: ReadSnapshot, xml: String, record: Record, is_current: bool) -> Result<Found> {
    let then =
        kept.domain.as_deref().map_or(Ok(Vec::new()), |xml| domain::drives(xml.as_bytes()))?;
    let is_external = |target: &str| {
        let mut disks = kept.disks.iter();
        disks.any(|disk| disk.target == target && matches!(disk.kept, Kept::External(_)))
    };
    let images: BTreeMap<String, (PathBuf, String)> = then
        .into_iter()
        .filter(|drive| is_external(&drive.target))
        .filter_map(|drive| match drive.source {
            DriveSource::File(path) | DriveSource::Block(path) => {
                Some((drive.target, (path, drive.format)))
            }
            _ => None,
        })
        .collect();
    let memory = match &kept.memory {
        KeptMemory::External(file) => Some(file.clone()),
        KeptMemory::No | KeptMemory::Internal => None,
    };
    let is_internal = kept.memory == KeptMemory::Internal
        || kept.disks.iter().any(|disk| disk.kept == Kept::Internal);
    let content = match kept.state {
        SnapshotState::Running | SnapshotState::Paused => Content::Running,
        SnapshotState::Off => Content::Off,
        SnapshotState::DisksOnly | SnapshotState::Other(_) => Content::DiskOnly,
    };
    let files = images.values().map(|(image, _)| image).chain(&memory);
    let size_bytes = if is_internal { None } else { files.map(|file| allocated(file)).sum() };
    Ok(Found {
        name: kept.name.clone(),
        description: kept.description.clone(),
        parent: kept.parent.clone(),
        unix_seconds: kept.created_unix_seconds,
        content: Some(content),
        is_internal,
        is_current,
        record,
        images,
        memory,
        size_bytes,
        kept: Some((kept, xml)),
    })
}

/// A snapshot that was begun and of which libvirt knows nothing.
fn unknown(record: Record) -> Found {
    Found {
        name: record.name.clone(),
        description: None,
        parent: None,
        unix_seconds: record.created_unix_seconds,
        content: None,
        is_internal: false,
        is_current: false,
        images: BTreeMap::new(),
        memory: None,
        size_bytes: None,
        kept: None,
        record,
    }
}

/// What a file takes on the host, in bytes.
fn allocated(file: &Path) -> Option<u64> {
    // POSIX leaves the unit open; on Linux it is 512 bytes whatever the file system.
    std::fs::metadata(file).ok()?.blocks().checked_mul(512)
}

/// The images of a machine: what it writes to, what its snapshots keep, and what each stands on.
///
/// An image that is not there stands on nothing: a snapshot that lost its state can still be deleted.
///
/// # Errors
/// The host does not say what the machine is made of, or an image cannot be read.
pub(crate) fn images<H: Guest + ?Sized>(subject: &Subject<'_, H>, tree: &Tree) -> Result<Images> {
    let mut images = Images::default();
    let mut seen = BTreeSet::new();
    let mut look = |images: &mut Images, image: &Path, format: &str| -> Result<()> {
        if seen.insert(image.to_owned()) && image.exists() {
            images.below.append(&mut chain::open(image, format)?.below);
        }
        Ok(())
    };
    for (target, image, format) in heads(subject)? {
        look(&mut images, &image, &format)?;
        images.heads.insert(target, image);
    }
    for one in &tree.snapshots {
        for (image, format) in one.images.values() {
            look(&mut images, image, format)?;
        }
        images.states.push(State {
            name: one.name.clone(),
            parent: one.parent.clone(),
            images: one
                .images
                .iter()
                .map(|(target, (image, _))| (target.clone(), image.clone()))
                .collect(),
            memory: one.memory.clone(),
        });
    }
    images.foreign = foreign(subject, &images);
    Ok(images)
}

/// Those of the images that other machines use, under whatever name.
fn foreign<H: ?Sized>(subject: &Subject<'_, H>, images: &Images) -> BTreeSet<PathBuf> {
    let identity = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.dev(), found.ino()))
    };
    let below = subject.foreign.iter().flat_map(|image| chain::named(image));
    let theirs: BTreeSet<(u64, u64)> =
        subject.foreign.iter().cloned().chain(below).filter_map(|path| identity(&path)).collect();
    let states = images.states.iter().flat_map(|state| state.images.values());
    let chains = images.below.iter().flat_map(|(child, below)| [child, below]);
    let ours = images.heads.values().chain(states).chain(chains);
    ours.filter(|path| identity(path).is_some_and(|it| theirs.contains(&it))).cloned().collect()
}

/// What the machine writes to: disk, image and format.
pub(super) fn heads<H: Guest + ?Sized>(
    subject: &Subject<'_, H>,
) -> Result<Vec<(String, PathBuf, String)>> {
    let which = match subject.host.power(subject.machine)? {
        Power::Off => Definition::Inactive,
        _ => Definition::Live,
    };
    let definition = subject.host.definition(subject.machine, which)?;
    let drives = domain::drives(definition.as_bytes())?.into_iter();
    let on_files = drives.filter(|drive| drive.device == DriveDevice::Disk).filter_map(|drive| {
        match drive.source {
            DriveSource::File(path) | DriveSource::Block(path) => {
                Some((drive.target, path, drive.format))
            }
            _ => None,
        }
    });
    Ok(on_files.collect())
}

#[cfg(test)]
mod tests {
    use host::fake::Fake;

    use super::{super::fixture::Lab, *};

    #[test]
    fn what_libvirt_keeps_and_what_was_noted_come_together() {
        let lab = Lab::new();
        drop(lab.records.lock().unwrap());
        let quiet =
            Record { indications: vec![Indication::NoGuestAgent], ..Record::found("s2", 1) };
        lab.records.write(&quiet).unwrap();
        lab.records.write(&Record::begun("cut", 5)).unwrap();
        let fake = Fake::new(None).with_guest(lab.guest());
        let tree = tree(&lab.subject(&fake)).unwrap();
        assert_eq!(tree.names(), ["s1", "s2", "cut"]);
        let one = tree.find("s2").unwrap();
        assert_eq!((one.content, one.is_current, one.unix_seconds), (Some(Content::Off), true, 17));
        assert_eq!(one.images["vda"], (lab.path("base.s1.qcow2"), "qcow2".to_owned()));
        assert!(one.size_bytes.is_some_and(|bytes| bytes > 0));
        assert_eq!(one.notes(), ["no guest agent"]);
        assert_eq!(tree.find("cut").unwrap().notes(), ["failed"]);
        let names = |parent| tree.children(parent).map(|it| it.name.as_str()).collect::<Vec<_>>();
        assert_eq!((names(None), names(Some("s1"))), (vec!["s1", "cut"], vec!["s2"]));
        let error = tree.find("s3").unwrap_err();
        assert_eq!(error.to_string(), "the machine has no snapshot s3: s1, s2, cut");
        assert_eq!(error.code(), Some(code::Code::E0505));
    }

    #[test]
    fn the_images_of_a_machine_are_read_from_their_own_heads() {
        let lab = Lab::new();
        let fake = Fake::new(None).with_guest(lab.guest());
        let subject = lab.subject(&fake);
        let images = images(&subject, &tree(&subject).unwrap()).unwrap();
        let [base, one, two] =
            ["base.qcow2", "base.s1.qcow2", "base.s2.qcow2"].map(|name| lab.path(name));
        assert_eq!(images.heads["vda"], two);
        assert_eq!(images.below, [(one.clone(), base), (two, one)].into());
        assert_eq!(images.states.len(), 2);
    }

    #[test]
    fn an_image_that_another_machine_stands_on_is_not_ours_alone() {
        let lab = Lab::new();
        lab.overlay("base.s1.qcow2", "linked.qcow2");
        std::os::unix::fs::symlink(lab.path("linked.qcow2"), lab.path("name")).unwrap();
        let fake = Fake::new(None).with_guest(lab.guest());
        let others = [lab.path("name"), lab.path("missing")];
        let subject = Subject { foreign: &others, ..lab.subject(&fake) };
        let images = images(&subject, &tree(&subject).unwrap()).unwrap();
        let want = ["base.qcow2", "base.s1.qcow2"].map(|name| lab.path(name));
        assert_eq!(images.foreign, want.into());
    }

    #[test]
    fn a_snapshot_that_failed_can_only_be_deleted() {
        let lab = Lab::new();
        let fake = Fake::new(None).with_guest(lab.guest());
        let subject = lab.subject(&fake);
        let mut found = tree(&subject).unwrap().find("s1").unwrap().clone();
        assert!(found.check_usable().is_ok());
        found.record.is_going = true;
        let told = |found: &Found| found.check_usable().unwrap_err().to_string();
        assert_eq!(told(&found), "the snapshot s1 is half deleted: delete it again");
        found.record = Record::begun("s1", 1).ended(Some("late".to_owned()));
        assert_eq!(told(&found), "the snapshot s1 failed, and can only be deleted: late");
        found.record = Record::found("s1", 1);
        found.kept = None;
        assert_eq!(told(&found), "libvirt does not know the snapshot s1");
    }
}
