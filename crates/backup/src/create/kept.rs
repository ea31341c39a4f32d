//! What of a machine's snapshots goes into a new bundle: which images, each by itself, under which names.
//!
//! ```text
//! disk.qcow2 <- disk.s1.qcow2 <- disk.s2.qcow2         the files: s1 keeps the first, s2 the second
//! disk.qcow2 <- disk.s1.qcow2.snapshot <- VM-vda-17.snapshot         the members; the last is the point's
//! ```
//!
//! It is a value, made of what is known of the machine, before anything is read.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use bundle::Snapshot;
use disk::Declared;

use super::disks::Disk;
use crate::{
    Error, Kind, Result,
    snapshot::{Images, Tree, chain},
};

/// What goes into a bundle beside the disks of its first point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kept {
    /// The images that snapshots and the disks stand on, each behind the one that it stands on itself.
    pub(super) layers: Vec<Layered>,
    /// The disks of the point, by target.
    pub(super) tops: BTreeMap<String, Top>,
    /// The snapshots, each before its children.
    pub(super) snapshots: Vec<Taken>,
}

/// An image that becomes a member by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layered {
    /// The disk that it is of.
    pub(super) target: String,
    /// The file.
    pub(super) image: PathBuf,
    /// What is known of its format.
    pub(super) format: Declared,
    /// Its name in the bundle.
    pub(super) member: String,
    /// The member that it stands on.
    pub(super) backing: Option<String>,
}

/// A disk of the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Top {
    /// The file that the machine writes to.
    pub(super) image: PathBuf,
    /// What is known of its format.
    pub(super) format: Declared,
    /// The member that it stands on.
    pub(super) backing: Option<String>,
    /// Whether all that it holds is in that member: a snapshot keeps this very image.
    pub(super) is_empty: bool,
}

/// A snapshot that goes into the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    /// What the bundle tells of it.
    pub(super) snapshot: Snapshot,
    /// The definition that the machine had then.
    pub(super) definition: String,
    /// The file with the memory.
    pub(super) memory: Option<PathBuf>,
}

/// What the names of members are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names<'a> {
    /// The machine.
    pub(super) machine: &'a str,
    /// The time of the point: definitions of snapshots are older, so that its own is the current one.
    pub(super) unix_seconds: u64,
}

impl Kept {
    /// Decides; `tree` has the snapshots that are taken and no others, `images` what they and the machine stand on. Of
    /// each snapshot those disks are taken that `is_wanted`.
    ///
    /// # Errors
    /// An image cannot be read, or a snapshot has no definition.
    pub(super) fn decide(
        names: Names<'_>,
        disks: &[Disk],
        (tree, images): (&Tree, &Images),
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Self> {
        let mut layers = Layers::new(names, disks);
        for found in &tree.snapshots {
            for (target, (image, format)) in found.images.iter().filter(|it| is_wanted(it.0)) {
                layers.add(target, (image, format), images)?;
            }
        }
        for disk in disks {
            layers.add_below(disk, images)?;
        }
        let tops = disks.iter().map(|disk| Ok((disk.target.clone(), layers.top(disk, images)?)));
        let tops = tops.collect::<Result<_>>()?;
        let snapshots = snapshots(names, tree, &mut layers, is_wanted)?;
        Ok(Self { layers: layers.found, tops, snapshots })
    }

    /// The names of the snapshots.
    pub(super) fn names(&self) -> Vec<String> {
        self.snapshots.iter().map(|taken| taken.snapshot.name.clone()).collect()
    }
}

/// Images that get names.
struct Layers {
    found: Vec<Layered>,
    /// The member of each image.
    members: BTreeMap<PathBuf, String>,
    used: BTreeSet<String>,
}

impl Layers {
    /// None yet; the names of the point's own disks are taken.
    fn new(names: Names<'_>, disks: &[Disk]) -> Self {
        let Names { machine, unix_seconds } = names;
        let own = |disk: &Disk| {
            ["qcow2", "snapshot"]
                .map(|ending| format!("{machine}-{}-{unix_seconds}.{ending}", disk.target))
        };
        let own = disks.iter().flat_map(own);
        let used = own.filter_map(|text| Some(bundle::member_name(&text).ok()?.to_string()));
        Self { found: Vec::new(), members: BTreeMap::new(), used: used.collect() }
    }

    /// Adds an image and all that it stands on.
    fn add(&mut self, target: &str, (image, format): (&Path, &str), images: &Images) -> Result<()> {
        let chain: Vec<&Path> = images.chain(image).collect();
        self.add_chain(target, &chain, chain::stated(image, format)?)
    }

    /// Adds all that the image of a disk stands on.
    fn add_below(&mut self, disk: &Disk, images: &Images) -> Result<()> {
        let image = file_of(disk)?;
        let below: Vec<&Path> = images.chain(image).skip(1).collect();
        if below.is_empty() {
            return Ok(());
        }
        self.add_chain(&disk.target, &below, chain::format_below(image)?)
    }

    /// Adds the images of a chain that are not there yet, the lowest first; its top has this format.
    fn add_chain(&mut self, target: &str, chain: &[&Path], top: Declared) -> Result<()> {
        let new = chain.iter().take_while(|image| !self.members.contains_key(**image)).count();
        let mut format = top;
        let mut missing = Vec::new();
        for (image, below) in
            chain.iter().zip(chain.iter().skip(1).map(Some).chain([None])).take(new)
        {
            missing.push((*image, format, below.copied()));
            if below.is_some() {
                format = chain::format_below(image)?;
            }
        }
        for (image, format, below) in missing.into_iter().rev() {
            let member = self.name(target, image, below);
            self.members.insert(image.to_owned(), member.clone());
            let backing = below.and_then(|below| self.members.get(below)).cloned();
            let (target, image) = (target.to_owned(), image.to_owned());
            self.found.push(Layered { target, image, format, member, backing });
        }
        Ok(())
    }

    /// The disk of the point.
    fn top(&self, disk: &Disk, images: &Images) -> Result<Top> {
        let image = file_of(disk)?.to_owned();
        let format = chain::stated(&image, &disk.format)?;
        let own = self.members.get(&image);
        let below = images.chain(&image).nth(1).and_then(|below| self.members.get(below));
        let backing = own.or(below).cloned();
        Ok(Top { image, format, backing, is_empty: own.is_some() })
    }

    /// A name that tells the file, and that no other member has.
    fn name(&mut self, target: &str, image: &Path, below: Option<&Path>) -> String {
        let base = image.file_name().unwrap_or_default().to_string_lossy();
        let named = match below {
            Some(_) => format!("{base}.snapshot"),
            None if base.ends_with(".qcow2") => base.into_owned(),
            None => format!("{base}.qcow2"),
        };
        let ending = if below.is_some() { "snapshot" } else { "qcow2" };
        let numbered = (1..).map(|number: u32| format!("kept{number}.{ending}"));
        let wanted = [named.clone(), format!("{target}-{named}")].into_iter().chain(numbered);
        self.take(wanted)
    }

    /// The first of the names that a member can have and that none has.
    fn take(&mut self, wanted: impl Iterator<Item = String>) -> String {
        let mut fit = wanted.filter_map(|text| Some(bundle::member_name(&text).ok()?.to_string()));
        let name = fit.find(|name| !self.used.contains(name)).unwrap_or_default();
        self.used.insert(name.clone());
        name
    }
}

/// The file of a disk, which every disk has that is read by layers.
fn file_of(disk: &Disk) -> Result<&Path> {
    disk.file.as_deref().ok_or_else(|| {
        Error::new(Kind::State, format!("the disk {} is on {}", disk.target, disk.place))
    })
}

/// The snapshots, with the members that they are made of.
fn snapshots(
    names: Names<'_>,
    tree: &Tree,
    layers: &mut Layers,
    is_wanted: &dyn Fn(&str) -> bool,
) -> Result<Vec<Taken>> {
    let mut taken = Vec::new();
    for (found, seconds) in tree.snapshots.iter().zip(times(tree, names.unix_seconds)) {
        let of_disk = found.images.iter().filter(|it| is_wanted(it.0));
        let disks: BTreeMap<String, String> = of_disk
            .filter_map(|(target, (image, _))| {
                Some((target.clone(), layers.members.get(image)?.clone()))
            })
            .collect();
        let memory = found.memory.as_ref().map(|_| {
            let others = (1..).map(|number: u32| format!("snapshot-{number}.memory"));
            layers.take(std::iter::once(format!("{}.memory", found.name)).chain(others))
        });
        let snapshot = Snapshot {
            name: found.name.clone(),
            parent: found.parent.clone(),
            created_unix_seconds: found.unix_seconds,
            config: bundle::member_name(&format!("{seconds}-{}.xml", names.machine))?.to_string(),
            nodes: disks.values().cloned().collect(),
            disks,
            memory,
        };
        let definition = found.definition()?.to_owned();
        taken.push(Taken { snapshot, definition, memory: found.memory.clone() });
    }
    Ok(taken)
}

/// A second for the definition of each snapshot: its own, or one before that of the next, so that no two
/// are alike and all are before that of the point.
fn times(tree: &Tree, before: u64) -> Vec<u64> {
    let mut limit = before;
    let earlier = tree.snapshots.iter().rev().map(|found| {
        limit = found.unix_seconds.min(limit.saturating_sub(1));
        limit
    });
    let mut times: Vec<u64> = earlier.collect();
    times.reverse();
    times
}

#[cfg(test)]
mod tests {
    use disk::Format;
    use host::fake::Fake;

    use super::*;
    use crate::snapshot::{
        self,
        fixture::{Lab, MACHINE},
        images_of,
    };

    const NAMES: Names<'_> = Names { machine: "web", unix_seconds: 17 };

    /// The disk that the machine of the lab writes to.
    fn disk(lab: &Lab, head: &str) -> Disk {
        Disk {
            target: "vda".to_owned(),
            format: "qcow2".to_owned(),
            file: Some(lab.path(head)),
            place: String::new(),
            uncounted: None,
        }
    }

    fn decide(lab: &Lab, fake: &Fake, head: &str) -> Kept {
        let subject = lab.subject(fake);
        let tree = snapshot::tree(&subject).unwrap();
        let images = images_of(&subject, &tree).unwrap();
        Kept::decide(NAMES, &[disk(lab, head)], (&tree, &images), &|_| true).unwrap()
    }

    /// Members, with the one that each stands on.
    fn members(kept: &Kept) -> Vec<(&str, Option<&str>)> {
        kept.layers.iter().map(|it| (it.member.as_str(), it.backing.as_deref())).collect()
    }

    #[test]
    fn every_image_below_the_disk_becomes_a_member_above_the_one_that_it_stands_on() {
        let lab = Lab::new();
        let fake = Fake::new(None).with_guest(lab.guest());
        let kept = decide(&lab, &fake, "base.s2.qcow2");
        let want = [("base.qcow2", None), ("base.s1.qcow2.snapshot", Some("base.qcow2"))];
        assert_eq!(members(&kept), want);
        assert!(kept.layers.iter().all(|it| it.format == Declared::Stated(Format::Qcow2)));
        let top = Top {
            image: lab.path("base.s2.qcow2"),
            format: Declared::Stated(Format::Qcow2),
            backing: Some("base.s1.qcow2.snapshot".to_owned()),
            is_empty: false,
        };
        assert_eq!(kept.tops, BTreeMap::from([("vda".to_owned(), top)]));
        let told: Vec<_> = kept.snapshots.iter().map(|it| &it.snapshot).collect();
        assert_eq!((told[0].parent.as_deref(), told[1].parent.as_deref()), (None, Some("s1")));
        assert_eq!(told[1].nodes, ["base.s1.qcow2.snapshot"]);
        assert_eq!(told[1].disks["vda"], "base.s1.qcow2.snapshot");
        let configs: Vec<_> = told.iter().map(|it| it.config.as_str()).collect();
        assert_eq!(configs, ["15-web.xml", "16-web.xml"], "older than the point, each its own");
    }

    #[test]
    fn a_snapshot_that_keeps_what_the_machine_writes_to_leaves_nothing_for_the_disk() {
        let lab = Lab::new();
        let mut guest = lab.guest();
        guest.snapshots.push(lab.snapshot("s3", Some("s2"), "base.s2.qcow2"));
        let fake = Fake::new(None).with_guest(guest);
        let kept = decide(&lab, &fake, "base.s2.qcow2");
        let top = &kept.tops["vda"];
        assert!(top.is_empty);
        assert_eq!(top.backing.as_deref(), Some("base.s2.qcow2.snapshot"));
        assert_eq!(members(&kept).len(), 3);
    }

    #[test]
    fn two_branches_share_what_they_stand_on_and_no_two_members_have_one_name() {
        let lab = Lab::new();
        std::fs::create_dir(lab.path("other")).unwrap();
        lab.overlay("base.qcow2", "other/base.s1.qcow2");
        let mut guest = lab.guest();
        guest.snapshots.push(lab.snapshot("s3", Some("s1"), "other/base.s1.qcow2"));
        let fake = Fake::new(None).with_guest(guest);
        let kept = decide(&lab, &fake, "base.s2.qcow2");
        let want = [
            ("base.qcow2", None),
            ("base.s1.qcow2.snapshot", Some("base.qcow2")),
            ("vda-base.s1.qcow2.snapshot", Some("base.qcow2")),
        ];
        assert_eq!(members(&kept), want);
        assert_eq!(kept.names(), ["s1", "s2", "s3"]);
        assert_eq!(lab.subject(&fake).machine, MACHINE);
    }

    #[test]
    fn names_that_no_member_can_have_are_numbered() {
        let mut layers = Layers::new(NAMES, &[]);
        let long = "x".repeat(200);
        let below = Some(Path::new("a"));
        let name =
            |layers: &mut Layers, file: &str, below| layers.name("vda", Path::new(file), below);
        assert_eq!(name(&mut layers, &long, None), "kept1.qcow2");
        assert_eq!(name(&mut layers, &long, below), "kept1.snapshot");
        assert_eq!(name(&mut layers, &long, None), "kept2.qcow2");
        assert_eq!(name(&mut layers, "a b.img", None), "a%20b.img.qcow2");
        assert_eq!(name(&mut layers, "a b.img", None), "vda-a%20b.img.qcow2");
    }
}
