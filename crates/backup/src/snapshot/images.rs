//! Which image of a machine stands on which, and what may become of them when a snapshot goes.
//!
//! ```text
//! disk.qcow2 <- disk.s1.qcow2 <- disk.s2.qcow2        each image stands on the one to its left
//!  state of s1     state of s2      the machine writes here: the head
//! ```
//!
//! A snapshot's state is an image that nobody writes to any more. When the snapshot goes, the image that
//! stands on it is merged into it, as long as nobody else needs the state: another snapshot, another
//! branch, another machine. It is a value: what will be done is known, and can be shown, before anything is.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::Included;

/// The images of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Images {
    /// What the machine writes to, by the disk's name.
    pub(crate) heads: BTreeMap<String, PathBuf>,
    /// The snapshots, parents before their children.
    pub(crate) states: Vec<State>,
    /// What each image stands on; a base has no entry.
    pub(crate) below: BTreeMap<PathBuf, PathBuf>,
    /// Images that other machines use.
    pub(crate) foreign: BTreeSet<PathBuf>,
}

/// What a snapshot keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct State {
    /// Its name.
    pub(super) name: String,
    /// The snapshot that it follows.
    pub(super) parent: Option<String>,
    /// The images, by the disk's name.
    pub(super) images: BTreeMap<String, PathBuf>,
    /// The file with the guest's memory.
    pub(super) memory: Option<PathBuf>,
}

/// What is done to a file when a snapshot goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// What was written into `child` goes into `base`, and `child` goes.
    Merge {
        /// The disk.
        target: String,
        /// The image that stands on the other.
        child: PathBuf,
        /// The image that takes the data, and has been the snapshot's state.
        base: PathBuf,
        /// Whether the machine writes to the child, and to the base afterwards.
        end: End,
        /// The snapshots whose state is in the base afterwards.
        moved: Vec<String>,
    },
    /// A file that nothing needs goes.
    Remove(PathBuf),
    /// An image of the snapshot stays.
    Keep {
        /// The image.
        image: PathBuf,
        /// Why.
        why: String,
    },
}

/// Where in the chain of a disk something is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// At its top: the machine writes there.
    Active,
    /// Below.
    Frozen,
}

impl Images {
    /// The images that a chain consists of, the upper ones first.
    pub(crate) fn chain<'a>(&'a self, top: &'a Path) -> impl Iterator<Item = &'a Path> {
        // Whoever read the chains has refused circles; a limit costs nothing.
        let limit = self.below.len().saturating_add(1);
        std::iter::successors(Some(top), |image| self.below.get(*image).map(PathBuf::as_path))
            .take(limit)
    }

    /// A snapshot and all that follow from it, the last ones first.
    #[must_use]
    pub(super) fn family(&self, name: &str) -> Vec<String> {
        let mut family = BTreeSet::from([name]);
        for state in &self.states {
            if state.parent.as_deref().is_some_and(|parent| family.contains(parent)) {
                family.insert(&state.name);
            }
        }
        let members = self.states.iter().rev().filter(|state| family.contains(&*state.name));
        members.map(|state| state.name.clone()).collect()
    }

    /// Whether the machine, a snapshot or another machine stands on this image.
    #[must_use]
    pub(crate) fn uses(&self, image: &Path) -> bool {
        self.needed().contains(image)
    }

    /// Takes a snapshot out, and says what has to be done for that.
    ///
    /// `None` where there is no such snapshot.
    pub(super) fn delete(&mut self, name: &str) -> Option<Vec<Step>> {
        let at = self.states.iter().position(|state| state.name == name)?;
        let gone = self.states.remove(at);
        for state in &mut self.states {
            if state.parent.as_deref() == Some(name) {
                state.parent.clone_from(&gone.parent);
            }
        }
        let mut steps = Vec::new();
        for (target, image) in &gone.images {
            self.release(target, image, &mut steps);
        }
        steps.extend(gone.memory.map(Step::Remove));
        Some(steps)
    }

    /// The overlays of the machine's heads that nothing would need if the machine went on with other
    /// ones.
    #[must_use]
    pub(super) fn lost(&self, targets: &BTreeSet<String>) -> Vec<PathBuf> {
        let heads = self.heads.iter().filter(|(target, _)| targets.contains(*target));
        let needed = |image: &Path| {
            // A base was there before any snapshot.
            !self.below.contains_key(image)
                || self.foreign.contains(image)
                || self.states.iter().flat_map(|state| state.images.values()).any(|it| it == image)
                || self.children(image).next().is_some()
        };
        heads.map(|(_, head)| head.clone()).filter(|head| !needed(head)).collect()
    }

    /// Whether a snapshot of these disks, with an overlay each, could be taken and at once deleted so that the
    /// machine went on with the images that it has now.
    #[must_use]
    pub(crate) fn can_come_back(&self, disks: &[Included]) -> bool {
        let mut after = self.clone();
        let images = disks.iter().map(|disk| (disk.target.clone(), disk.image.clone()));
        let name = "\0".to_owned();
        let state = State { name: name.clone(), images: images.collect(), ..State::default() };
        after.states.push(state);
        for Included { target, image, overlay } in disks {
            after.heads.insert(target.clone(), overlay.clone());
            after.below.insert(overlay.clone(), image.clone());
        }
        let is_merged = |step: &&Step| matches!(step, Step::Merge { end: End::Active, .. });
        let steps = after.delete(&name).unwrap_or_default();
        steps.iter().filter(is_merged).count() == disks.len()
    }

    fn release(&mut self, target: &str, image: &Path, steps: &mut Vec<Step>) {
        let keep = |why: &str| Step::Keep { image: image.to_owned(), why: why.to_owned() };
        if self.heads.get(target).is_some_and(|head| head == image) {
            // Merged by a run that did not come to its end.
            return;
        }
        if self.foreign.contains(image) {
            steps.push(keep("another machine uses it"));
            return;
        }
        if let Some(other) = self.states.iter().find(|it| it.images.values().any(|it| it == image))
        {
            steps.push(keep(&format!("it is the state of {} as well", other.name)));
            return;
        }
        let needed = self.needed();
        let above = self.children(image).filter(|child| needed.contains(*child));
        let above: Vec<PathBuf> = above.map(Path::to_owned).collect();
        match above.as_slice() {
            // What is below it may be a template that only its owner knows.
            [] if self.below.remove(image).is_some() => steps.push(Step::Remove(image.to_owned())),
            [] => steps.push(keep("it is the base of a disk")),
            [child] => match self.merge(target, child, image) {
                Some(step) => steps.push(step),
                None => steps.push(keep("what stands on it is not what the machine runs on")),
            },
            _ => steps.push(keep("several images stand on it")),
        }
    }

    /// Merges an image into the one below it; `None` where that is not possible.
    fn merge(&mut self, target: &str, child: &Path, base: &Path) -> Option<Step> {
        let head = self.heads.get(target)?;
        let is_ours = self.chain(head).any(|image| image == child);
        if !is_ours || self.foreign.contains(child) {
            return None;
        }
        // Of the images above, only that in the machine's own chain learns that its base moved.
        let needed = self.needed();
        if self.children(child).filter(|above| needed.contains(*above)).count() > 1 {
            return None;
        }
        let end = if head == child { End::Active } else { End::Frozen };
        let above: Vec<PathBuf> = self.children(child).map(Path::to_owned).collect();
        for image in above {
            self.below.insert(image, base.to_owned());
        }
        self.below.remove(child);
        let mut moved = Vec::new();
        for state in &mut self.states {
            for image in state.images.values_mut().filter(|image| *image == child) {
                base.clone_into(image);
                moved.push(state.name.clone());
            }
        }
        if end == End::Active {
            self.heads.insert(target.to_owned(), base.to_owned());
        }
        let (child, base) = (child.to_owned(), base.to_owned());
        Some(Step::Merge { target: target.to_owned(), child, base, end, moved })
    }

    fn children<'a>(&'a self, image: &'a Path) -> impl Iterator<Item = &'a Path> {
        self.below
            .iter()
            .filter(move |(_, below)| *below == image)
            .map(|(child, _)| child.as_path())
    }

    /// The images that the machine, a snapshot or another machine stands on.
    fn needed(&self) -> BTreeSet<PathBuf> {
        let states = self.states.iter().flat_map(|state| state.images.values());
        let tops = self.heads.values().chain(states).chain(&self.foreign);
        tops.flat_map(|top| self.chain(top)).map(Path::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Images {
        fn state(&self, name: &str) -> Option<&State> {
            self.states.iter().find(|state| state.name == name)
        }
    }

    fn state(name: &str, parent: Option<&str>, image: &str) -> State {
        State {
            name: name.to_owned(),
            parent: parent.map(str::to_owned),
            images: BTreeMap::from([("vda".to_owned(), image.into())]),
            memory: None,
        }
    }

    /// `base <- a <- b <- c`, where s1 is the base, s2 a, s3 b, and the machine writes to c.
    fn row() -> Images {
        Images {
            heads: BTreeMap::from([("vda".to_owned(), "c".into())]),
            states: vec![
                state("s1", None, "base"),
                state("s2", Some("s1"), "a"),
                state("s3", Some("s2"), "b"),
            ],
            below: [("a", "base"), ("b", "a"), ("c", "b")]
                .map(|(child, below)| (child.into(), below.into()))
                .into(),
            foreign: BTreeSet::new(),
        }
    }

    fn merge(child: &str, base: &str, end: End, moved: &[&str]) -> Step {
        let moved = moved.iter().map(|&name| name.to_owned()).collect();
        Step::Merge { target: "vda".to_owned(), child: child.into(), base: base.into(), end, moved }
    }

    fn keep(image: &str, why: &str) -> Step {
        Step::Keep { image: image.into(), why: why.to_owned() }
    }

    #[test]
    fn a_snapshot_comes_back_unless_somebody_else_stands_on_what_the_machine_writes_to() {
        let disk = |target: &str, image: &str| Included {
            target: target.to_owned(),
            image: image.into(),
            overlay: format!("{image}.new").into(),
        };
        let mut images = row();
        assert!(images.can_come_back(&[disk("vda", "c")]));
        images.heads.insert("vdb".to_owned(), "alone".into());
        assert!(images.can_come_back(&[disk("vda", "c"), disk("vdb", "alone")]));
        let before = images.clone();
        images.foreign.insert("alone".into());
        assert!(!images.can_come_back(&[disk("vda", "c"), disk("vdb", "alone")]));
        images = before;
        images.states.push(state("s4", None, "c"));
        assert!(!images.can_come_back(&[disk("vda", "c")]), "its state would be written to");
    }

    #[test]
    fn the_last_snapshot_takes_what_the_machine_wrote_since() {
        let mut images = row();
        assert_eq!(images.delete("s3"), Some(vec![merge("c", "b", End::Active, &[])]));
        assert_eq!(images.heads["vda"], Path::new("b"));
        assert_eq!(images.delete("s3"), None);
    }

    #[test]
    fn one_in_the_middle_hands_its_image_to_the_next_one() {
        let mut images = row();
        images.states[0].memory = Some("m".into());
        let want = vec![merge("a", "base", End::Frozen, &["s2"]), Step::Remove("m".into())];
        assert_eq!(images.delete("s1"), Some(want));
        assert_eq!(images.state("s2"), Some(&state("s2", None, "base")));
        assert_eq!(images.below[Path::new("b")], Path::new("base"));
        assert!(!images.below.contains_key(Path::new("a")));
    }

    #[test]
    fn a_whole_family_ends_where_the_first_one_began() {
        let mut images = row();
        assert_eq!(images.family("s2"), ["s3", "s2"]);
        let steps: Vec<Step> =
            images.family("s1").iter().filter_map(|it| images.delete(it)).flatten().collect();
        let want = [("c", "b"), ("b", "a"), ("a", "base")];
        assert_eq!(steps, want.map(|(child, base)| merge(child, base, End::Active, &[])));
        assert_eq!(images.heads["vda"], Path::new("base"));
        assert!(images.below.is_empty() && images.states.is_empty());
    }

    /// The row with a second branch upon a: s4 keeps d, and nothing runs on it.
    fn branched() -> Images {
        let mut images = row();
        images.states.push(state("s4", Some("s2"), "d"));
        images.below.insert("d".into(), "a".into());
        images
    }

    #[test]
    fn a_state_that_two_branches_stand_on_stays() {
        let mut images = branched();
        assert_eq!(images.delete("s2"), Some(vec![keep("a", "several images stand on it")]));
        assert_eq!(images.state("s4").unwrap().parent.as_deref(), Some("s1"));
        // The image that would be merged is the parent of another branch, which nobody would tell.
        let why = "what stands on it is not what the machine runs on";
        assert_eq!(images.delete("s1"), Some(vec![keep("base", why)]));
        assert_eq!(images.below, branched().below);
    }

    #[test]
    fn a_branch_that_nothing_runs_on_goes_with_its_last_snapshot() {
        let mut images = branched();
        assert_eq!(images.delete("s4"), Some(vec![Step::Remove("d".into())]));
        let mut images = branched();
        images.below.insert("e".into(), "d".into());
        images.states.push(state("s5", Some("s4"), "e"));
        let why = "what stands on it is not what the machine runs on";
        assert_eq!(images.delete("s4"), Some(vec![keep("d", why)]));
        assert_eq!(images.delete("s5"), Some(vec![Step::Remove("e".into())]));
    }

    #[test]
    fn what_somebody_else_needs_stays() {
        let mut images = row();
        images.foreign.insert("b".into());
        assert_eq!(images.delete("s3"), Some(vec![keep("b", "another machine uses it")]));
        let mut images = row();
        images.foreign.insert("a".into());
        let why = "what stands on it is not what the machine runs on";
        assert_eq!(images.delete("s1"), Some(vec![keep("base", why)]));
        let mut images = row();
        images.states.push(state("same", Some("s3"), "b"));
        let why = "it is the state of same as well";
        assert_eq!(images.delete("s3"), Some(vec![keep("b", why)]));
        let mut images = row();
        images.heads.insert("vda".to_owned(), "other".into());
        images.states.truncate(1);
        assert_eq!(images.delete("s1"), Some(vec![keep("base", "it is the base of a disk")]));
    }

    #[test]
    fn a_disk_that_was_merged_already_needs_nothing_more() {
        let mut images = row();
        images.heads.insert("vda".to_owned(), "b".into());
        assert_eq!(images.delete("s3"), Some(vec![]));
    }

    #[test]
    fn a_machine_that_goes_on_elsewhere_loses_what_no_snapshot_keeps() {
        let all = BTreeSet::from(["vda".to_owned()]);
        assert_eq!(row().lost(&all), [Path::new("c")]);
        assert!(row().lost(&BTreeSet::new()).is_empty());
        let mut images = row();
        images.states.push(state("s4", Some("s3"), "c"));
        assert!(images.lost(&all).is_empty());
        let mut images = row();
        images.foreign.insert("c".into());
        assert!(images.lost(&all).is_empty());
        let mut images = row();
        images.heads.insert("vda".to_owned(), "swapped".into());
        assert!(images.lost(&all).is_empty());
    }
}
