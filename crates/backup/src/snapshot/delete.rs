//! Deleting snapshots, so that the machine goes on without loss.
//!
//! What was written since a snapshot is merged into its state by QEMU (`blockcommit`), which does it the
//! same way for a guest that runs; of a machine that is off, a process is started whose guest does not
//! run. At every moment each image that is still needed is whole: the upper image has its data until the
//! lower one has it, and is removed at the very end. A run that is cut off leaves a snapshot that is marked as
//! half deleted; deleting it again goes on.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use ::disk::Progress;
use domain::Kept;
use host::libvirt::{Commit, Extent, Power, Protection, Scope};
use vm::Uuid;

use super::{
    End, Found, Record, Step, Subject,
    tree::{self, Tree},
};
use crate::{Error, Kind, Result};

/// How long merging one disk may take (ours; there is a progress, and Ctrl-C).
const MERGE_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Which snapshots go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// That one; those that follow get its parent.
    One,
    /// That one and all that follow from it.
    WithChildren,
}

/// What deleting will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletePlan {
    /// The snapshots that go, in this order, with what is done to files for each.
    pub snapshots: Vec<(Found, Vec<Step>)>,
    /// Whether the machine is off, and gets a process meanwhile.
    pub starts: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deleted {
    /// The files that are gone.
    pub removed: Vec<PathBuf>,
    /// The images that stay, and why.
    pub kept: Vec<(PathBuf, String)>,
}

/// Decides what deleting does; nothing is changed.
///
/// # Errors
/// There is no such snapshot, an image cannot be read, or the machine is in the middle of something.
pub fn plan_delete<H: Protection + ?Sized>(
    subject: &Subject<'_, H>,
    tree: &Tree,
    name: &str,
    family: Family,
) -> Result<DeletePlan> {
    tree.find(name)?;
    let mut images = tree::images(subject, tree)?;
    let names = match family {
        Family::One => vec![name.to_owned()],
        Family::WithChildren => images.family(name),
    };
    let mut snapshots = Vec::new();
    for name in names {
        let found = tree.find(&name)?;
        let mut steps = images.delete(&name).unwrap_or_default();
        if found.kept.is_none() {
            let begun = found.record.files.iter().filter(|file| !images.uses(file));
            steps.extend(begun.cloned().map(Step::Remove));
        }
        snapshots.push((found.clone(), steps));
    }
    let merges = snapshots
        .iter()
        .flat_map(|(_, steps)| steps)
        .any(|step| matches!(step, Step::Merge { .. }));
    let power = subject.host.power(subject.machine)?;
    if let Power::Other(state) = &power {
        let text = format!("the machine is neither running nor off: {state}");
        return Err(Error::new(Kind::State, text));
    }
    Ok(DeletePlan { snapshots, starts: merges && power == Power::Off })
}

/// Deletes. Who calls it holds the lock of the machine's records. `progress` is told what is merged.
///
/// # Errors
/// The host does not merge, or does not let go of a snapshot. The machine goes on, and the snapshot is
/// marked as half deleted.
pub fn delete<H: Protection + ?Sized>(
    subject: &Subject<'_, H>,
    plan: &DeletePlan,
    progress: &dyn Progress,
) -> Result<Deleted> {
    carry_out(subject, plan, progress)
}

pub(super) fn carry_out<H: Protection + ?Sized>(
    subject: &Subject<'_, H>,
    plan: &DeletePlan,
    progress: &dyn Progress,
) -> Result<Deleted> {
    if plan.starts {
        subject.host.start_paused(subject.machine)?;
    }
    let mut deleted = Deleted::default();
    let done = plan
        .snapshots
        .iter()
        .try_for_each(|(found, steps)| one(subject, (found, steps), progress, &mut deleted));
    if !plan.starts {
        return done.map(|()| deleted);
    }
    let ended = subject.host.destroy(subject.machine).map_err(Error::from);
    match (done, ended) {
        (Err(error), Err(other)) => Err(error.beside(&other)),
        (Err(error), Ok(())) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(())) => Ok(deleted),
    }
}

fn one<H: Protection + ?Sized>(
    subject: &Subject<'_, H>,
    (found, steps): (&Found, &[Step]),
    progress: &dyn Progress,
    deleted: &mut Deleted,
) -> Result<()> {
    let (host, machine) = (subject.host, subject.machine);
    if found.is_internal {
        host.delete_snapshot(machine, &found.name, Scope::One, Extent::Whole)?;
        return subject.records.remove(&found.name);
    }
    subject.records.write(&Record { is_going: true, ..found.record.clone() })?;
    let mut gone = Vec::new();
    for step in steps {
        match step {
            Step::Merge { target, child, base, end, moved } => {
                let merge = Merge { target, child, base, end: *end };
                merge.run(subject, progress)?;
                tell_of_moves(subject, machine, (child, base), moved)?;
                gone.push(child);
            }
            Step::Remove(file) => gone.push(file),
            Step::Keep { image, why } => deleted.kept.push((image.clone(), why.clone())),
        }
    }
    if found.kept.is_some() {
        forget(subject, &found.name)?;
    }
    for file in gone {
        subject.files.remove_file(file)?;
        deleted.removed.push(file.clone());
    }
    subject.records.remove(&found.name)
}

/// Lets libvirt forget a snapshot, and nothing else.
///
/// libvirt 9.0 takes it for granted that the overlays of a snapshot that it forgets were merged: in every
/// snapshot that follows it puts the state of the forgotten one in their place. Where the images stay that
/// is another moment's data. So they get names first that no other document has.
fn forget<H: Protection + ?Sized>(subject: &Subject<'_, H>, name: &str) -> Result<()> {
    let (host, machine) = (subject.host, subject.machine);
    let known = host.snapshots(machine)?;
    if let Some(known) = known.iter().find(|known| known.name == name) {
        let kept = domain::read_snapshot(known.xml.as_bytes())?;
        let overlays = kept.disks.into_iter().filter_map(|disk| match disk.kept {
            Kept::External(file) => file,
            _ => None,
        });
        let unheard_of = |file: PathBuf| {
            let mut other = file.clone().into_os_string();
            other.push(".forgotten");
            (file, PathBuf::from(other))
        };
        let names = overlays.map(unheard_of).collect();
        let xml = domain::move_snapshot_files(known.xml.as_bytes(), &names)?;
        if known.is_current {
            host.define_current_snapshot(machine, &xml)?;
        } else {
            host.define_snapshot(machine, &xml)?;
        }
    }
    Ok(host.delete_snapshot(machine, name, Scope::One, Extent::Metadata)?)
}

/// What is merged.
struct Merge<'a> {
    target: &'a str,
    child: &'a Path,
    base: &'a Path,
    end: End,
}

impl Merge<'_> {
    fn run<H: Protection + ?Sized>(
        &self,
        subject: &Subject<'_, H>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let text = |path: &Path| match path.to_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(Error::usage(format!("the name {} is not UTF-8", path.display()))),
        };
        let (child, base) = (text(self.child)?, text(self.base)?);
        let top = (self.end == End::Frozen).then_some(child.as_str());
        let commit = Commit { target: self.target, base: Some(&base), top, limit: MERGE_LIMIT };
        Ok(subject.host.commit_disk(subject.machine, &commit, progress)?)
    }
}

/// Tells libvirt where the states of snapshots are that were merged into another image.
fn tell_of_moves<H: Protection + ?Sized>(
    subject: &Subject<'_, H>,
    machine: Uuid,
    (from, to): (&Path, &Path),
    moved: &[String],
) -> Result<()> {
    let files = BTreeMap::from([(from.to_owned(), to.to_owned())]);
    for known in subject.host.snapshots(machine)? {
        let is_moved = moved.contains(&known.name);
        let xml = domain::move_snapshot_files(known.xml.as_bytes(), &files)?;
        if !is_moved || xml == known.xml {
            continue;
        }
        if known.is_current {
            subject.host.define_current_snapshot(machine, &xml)?;
        } else {
            subject.host.define_snapshot(machine, &xml)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ::disk::Unheard;
    use host::fake::{Fake, FakeGuest};

    use super::{super::fixture::Lab, *};

    fn run(lab: &Lab, fake: &Fake, name: &str, family: Family) -> Result<Deleted> {
        let subject = lab.subject(fake);
        let _lock = lab.records.lock()?;
        let plan = plan_delete(&subject, &tree::tree(&subject)?, name, family)?;
        delete(&subject, &plan, &Unheard)
    }

    #[test]
    fn a_machine_that_is_off_is_started_for_the_merge_and_its_guest_is_not() {
        let lab = Lab::new();
        let fake = Fake::new(None).with_guest(lab.guest());
        let deleted = run(&lab, &fake, "s2", Family::One).unwrap();
        let uuid = super::super::fixture::MACHINE;
        assert_eq!(
            lab.acts(&fake),
            [
                format!("start paused {uuid}"),
                "commit vda into F/base.s1.qcow2".to_owned(),
                "current snapshot s2".to_owned(),
                "delete snapshot s2, metadata".to_owned(),
                "remove base.s2.qcow2".to_owned(),
                format!("destroy {uuid}"),
            ]
        );
        assert_eq!(deleted.removed, [lab.path("base.s2.qcow2")]);
        assert_eq!(lab.records.all().unwrap(), []);
    }

    #[test]
    fn the_snapshot_behind_one_in_the_middle_learns_where_its_state_is() {
        let lab = Lab::new();
        let guest = FakeGuest { power: Power::Running, ..lab.guest() };
        let fake = Fake::new(None).with_guest(guest);
        run(&lab, &fake, "s1", Family::One).unwrap();
        let want = [
            "commit vda from F/base.s1.qcow2 into F/base.qcow2",
            "current snapshot s2",
            "snapshot s1",
            "delete snapshot s1, metadata",
            "remove base.s1.qcow2",
        ];
        assert_eq!(lab.acts(&fake), want);
        let left = fake.guest().snapshots.remove(0);
        let kept = domain::read_snapshot(left.xml.as_bytes()).unwrap();
        let drives = domain::drives(kept.domain.unwrap().as_bytes()).unwrap();
        assert_eq!(drives[0].source, domain::DriveSource::File(lab.path("base.qcow2")));
    }

    #[test]
    fn a_merge_that_fails_leaves_the_images_and_a_mark() {
        for (fail_at, acts) in [(1, 3), (2, 4), (3, 5)] {
            let lab = Lab::new();
            let fake = Fake::new(Some(fail_at)).with_guest(lab.guest());
            run(&lab, &fake, "s2", Family::One).unwrap_err();
            assert_eq!(fake.acts().len(), acts, "{:?}", fake.acts());
            assert!(fake.acts().last().unwrap().starts_with("destroy"));
            assert_eq!(lab.images(), ["base.qcow2", "base.s1.qcow2", "base.s2.qcow2"]);
            assert!(lab.records.all().unwrap()[0].is_going);
        }
    }

    #[test]
    fn a_failed_snapshot_that_libvirt_does_not_know_goes_with_its_files() {
        let lab = Lab::new();
        drop(lab.records.lock().unwrap());
        lab.overlay("base.s2.qcow2", "base.cut.qcow2");
        let files = vec![lab.path("base.cut.qcow2"), lab.path("base.s2.qcow2")];
        lab.records.write(&Record { files, ..Record::begun("cut", 1) }).unwrap();
        let fake = Fake::new(None).with_guest(lab.guest());
        run(&lab, &fake, "cut", Family::One).unwrap();
        // The machine runs on the other one.
        assert_eq!(fake.acts(), ["remove base.cut.qcow2"]);
        assert_eq!(lab.images(), ["base.qcow2", "base.s1.qcow2", "base.s2.qcow2"]);
    }

    #[test]
    fn a_family_goes_from_its_end() {
        let lab = Lab::new();
        let guest = FakeGuest { power: Power::Running, ..lab.guest() };
        let fake = Fake::new(None).with_guest(guest);
        run(&lab, &fake, "s1", Family::WithChildren).unwrap();
        let want = [
            "commit vda into F/base.s1.qcow2",
            "current snapshot s2",
            "delete snapshot s2, metadata",
            "remove base.s2.qcow2",
            "commit vda into F/base.qcow2",
            "snapshot s1",
            "delete snapshot s1, metadata",
            "remove base.s1.qcow2",
        ];
        assert_eq!(lab.acts(&fake), want);
    }
}
