//! Thin clones and templates: on whose disks a machine stands, and who stands on its.
//!
//! ```text
//! web.qcow2 --> web-own.qcow2 --> golden.qcow2, the disk of another machine of the host: its template
//! \__________________________/
//!   what is in a backup of the clone: one image above /pool/golden.qcow2, and the state of that
//! ```
//!
//! The template of a clone is found by its files: the first image below the clone's own that another machine
//! has as its disk. An image below a machine that no other has (a cloud image) is a part of the machine, and
//! copied. What is copied of a clone is in `thin.rs`; which state of the template it needs is kept
//! as `restore` compares it ([`bundle::ImageState`]).
//!
//! What can be known of a template that changed: one that runs is refused, for its disk changes below the
//! clone. One whose disk has another state than at the point before makes the clone be read whole. One that
//! was written to later than the clone is told in a note, no more: a time says nothing of the content.
//! SpaceVM (SPACEVM-34) leaves the check to the restore; here the backup says it, too.

use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
};

use bundle::{ImageState, Mode, PointDisk, Template, TemplateDisk};
use disk::{Alone, Declared, FileBytes, Format, Image};
use host::libvirt::KnownMachine;
use vm::Uuid;

use super::{
    Before, Note,
    base::Reading,
    disks::Disk,
    images::{self, about, bytes},
    thin::MAX_THIN_BYTES,
};
use crate::{Error, Kind, Result};

/// Whether the backup of a machine is that of a template, and restores as one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Marking {
    /// If it is off, and the disk of another machine stands on one of its disks.
    #[default]
    ByClones,
    /// It is.
    Template,
    /// It is not.
    Ordinary,
}

/// How much of a thin clone is copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CloneCopy {
    /// What is above the disks of its template.
    #[default]
    AboveTemplate,
    /// All of it: the backup needs no template.
    Whole,
}

/// The disk of a template, as a disk of a thin clone stands on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footing {
    /// The name of the template.
    pub template: String,
    /// Its identity.
    pub uuid: Uuid,
    /// Its disk, as its definition calls it.
    pub path: PathBuf,
    /// In which state that is.
    pub state: ImageState,
    /// The images above it, the uppermost first.
    pub(super) layers: Vec<PathBuf>,
}

/// What a disk stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stand {
    /// Nothing, or images that are its own.
    Itself,
    /// A disk of a template.
    Template(Footing),
    /// A disk of a template that cannot stay away, for this reason.
    Unfit(String),
}

/// Finds out what a disk of `machine` stands on, among the disks of the machines of the host.
///
/// # Errors
/// `E0510` when its template runs.
pub(super) fn stand(disk: &Disk, machine: Uuid, all: &[KnownMachine]) -> Result<Stand> {
    let Some(top) = disk.file.as_deref().filter(|_| disk.format == "qcow2") else {
        return Ok(Stand::Itself);
    };
    // One that cannot be read here is told by who reads it: a running machine's is read by its host.
    let below = images::backing_files(top).unwrap_or_default();
    for (depth, image) in below.iter().enumerate() {
        let Some((template, path)) = owner(image, machine, all) else { continue };
        let (name, shown) = (&template.name, path.display());
        if template.is_active {
            let text = format!(
                "{name} runs, and its disk {shown} is below the disk {} of the machine: it changes there",
                disk.target
            );
            return Err(Error::new(Kind::State, text));
        }
        let state = match bytes(path).map(|bytes| ImageState::of(&*bytes)) {
            Ok(Ok(state)) => state,
            Ok(Err(error)) => {
                let text =
                    format!("its template's disk {shown} is no qcow2 that can be read: {error}");
                return Ok(Stand::Unfit(text));
            }
            Err(error) => return Err(error),
        };
        let own = below.iter().take(depth).cloned();
        return Ok(Stand::Template(Footing {
            template: name.clone(),
            uuid: template.uuid,
            path: path.to_owned(),
            state,
            layers: std::iter::once(top.to_owned()).chain(own).collect(),
        }));
    }
    Ok(Stand::Itself)
}

/// The other machine that has an image as its disk, and what it calls it.
fn owner<'m>(
    image: &Path,
    machine: Uuid,
    all: &'m [KnownMachine],
) -> Option<(&'m KnownMachine, &'m Path)> {
    let others = all.iter().filter(|other| other.uuid != machine);
    let mut disks = others.flat_map(|other| other.own_disks.iter().map(move |disk| (other, disk)));
    let (other, disk) = disks.find(|(_, disk)| is_same(disk, image))?;
    Some((other, disk))
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The machine whose disk stands on one of these disks; only headers are read.
pub(super) fn clone_of<'m>(
    disks: &[Disk],
    machine: Uuid,
    all: &'m [KnownMachine],
) -> Option<&'m KnownMachine> {
    let ours: Vec<&Path> = disks.iter().filter_map(|disk| disk.file.as_deref()).collect();
    let stands_on_ours = |image: &PathBuf| {
        let below = images::backing_files(image).unwrap_or_default();
        below.iter().any(|below| ours.iter().any(|disk| is_same(disk, below)))
    };
    let mut others = all.iter().filter(|other| other.uuid != machine);
    others.find(|other| other.own_disks.iter().any(stands_on_ours))
}

/// What the points of a bundle say of the template, and what that means for the disks now.
///
/// A bundle tells of one template. A disk that stands on another one is copied whole; so is one whose
/// template's disk is not what it was when it was last copied, since what changed on the clone says nothing of
/// what changed below it, and one that is to need no template from now on.
pub(super) fn settle(readings: &mut [Reading], before: Before<'_>, clone_copy: CloneCopy) {
    let first = readings.iter().find_map(|reading| reading.stands_on.as_ref());
    let due = match before.template {
        Some(template) => template.uuid.clone(),
        None => first.map(|footing| footing.uuid.to_string()),
    };
    for reading in readings {
        let then = last_footing(before, &reading.disk.target);
        if reading.mode == Mode::Incremental {
            let now = reading.stands_on.as_ref();
            let reason = then.and_then(|then| obstacle(then, now, clone_copy));
            reason.into_iter().for_each(|reason| reading.whole(reason));
        }
        let Some(footing) = &reading.stands_on else { continue };
        let (path, size) = (footing.path.display(), reading.capacity_bytes);
        let why = if due.as_deref() != Some(&*footing.uuid.to_string()) {
            format!(
                "it stands on {path}, a template beside that of the backup: it is copied with it"
            )
        } else if size > MAX_THIN_BYTES {
            format!("a disk of {size} bytes is copied with its template")
        } else {
            continue;
        };
        reading.stands_on = None;
        if reading.mode == Mode::Full {
            reading.reason = Some(why);
        }
    }
}

/// A clone that goes into the bundle with its snapshots is copied whole: the lowest image that they stand on is
/// that of its template.
pub(super) fn take_with_tree(readings: &mut [Reading]) {
    for reading in readings {
        let Some(footing) = reading.stands_on.take() else { continue };
        let (path, template) = (footing.path.display(), &footing.template);
        reading.reason = Some(format!(
            "it is copied with its snapshots, and so with the disk {path} of its template {template}"
        ));
    }
}

/// The disk of the template that the increments of a disk end at.
fn last_footing<'a>(before: Before<'a>, target: &str) -> Option<&'a TemplateDisk> {
    let disks = before.points.iter().rev().filter_map(|point| point.disk(target));
    let full = disks.into_iter().find(|disk| disk.mode == Mode::Full)?;
    before.template?.disks.iter().find(|disk| disk.member == full.member)
}

/// Why no increment may end at that disk of the template.
fn obstacle(then: &TemplateDisk, now: Option<&Footing>, clone_copy: CloneCopy) -> Option<String> {
    if clone_copy == CloneCopy::Whole {
        return Some("it is to need no template from now on".to_owned());
    }
    let has_changed = now.is_none_or(|now| now.state != then.state);
    has_changed.then(|| {
        format!("the disk {} of its template is not what it was at the point before", then.path)
    })
}

/// The disks of a template that those of a point stand on, by the names of what stands on them.
pub(super) fn beneath(
    disks: &[PointDisk],
    template: Option<&Template>,
) -> BTreeMap<String, PathBuf> {
    let below = |disk: &PointDisk| {
        let below = template?.disks.iter().find(|below| below.member == disk.member)?;
        Some((disk.target.clone(), PathBuf::from(&below.path)))
    };
    disks.iter().filter_map(below).collect()
}

impl Footing {
    /// What people are told of a disk that stands on it.
    pub(super) fn note(&self, target: &str) -> Note {
        let newer = if self.is_newer() {
            "; that was written to after the clone: if its content changed, so did the clone's"
        } else {
            ""
        };
        let (path, template) = (self.path.display(), &self.template);
        Note(format!(
            "{target} stands on {path} of the template {template}, which is not in the backup{newer}"
        ))
    }

    /// Whether the template's disk was written to later than the clone's images.
    fn is_newer(&self) -> bool {
        let written = |path: &Path| path.metadata().and_then(|found| found.modified()).ok();
        let clone = self.layers.iter().filter_map(|layer| written(layer)).max();
        written(&self.path).zip(clone).is_some_and(|(template, clone)| template > clone)
    }
}

/// Opens the template's disk, to be compared with the clone's.
///
/// # Errors
/// It cannot be read, or is not in the state that was looked at any more.
pub(super) fn open(footing: &Footing) -> Result<Box<dyn Image>> {
    let path = &footing.path;
    let file = File::open(path).and_then(FileBytes::new);
    let file = file.map_err(|error| Error::io("cannot read", path, error))?;
    if ImageState::of(&file)? != footing.state {
        let text = format!("the template's disk {} changed meanwhile", path.display());
        return Err(Error::new(Kind::State, text));
    }
    images::open_file(path, Format::Qcow2)
}

/// Opens the images above the template's disk, each by itself.
///
/// # Errors
/// One of them cannot be read.
pub(super) fn layers(footing: &Footing) -> Result<Vec<Box<dyn Image>>> {
    let open = |path: &PathBuf| {
        let image = disk::open_behind(&Alone, bytes(path)?, Declared::Stated(Format::Qcow2));
        image.map_err(|error| about(path, error))
    };
    footing.layers.iter().map(open).collect()
}
