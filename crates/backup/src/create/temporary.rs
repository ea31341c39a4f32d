//! A snapshot of ours, for the time in which the images of a running machine are read.
//!
//! ```text
//! disk.qcow2                                       the machine writes here
//! disk.qcow2 <- disk.relift-backup-17.qcow2        it writes there, and disk.qcow2 is read
//! disk.qcow2                                       what it wrote meanwhile is merged back
//! ```
//!
//! Its name tells the next run what it is, should this one not come to its end.

use std::path::PathBuf;

use bundle::{Indication, State};
use disk::Unheard;
use host::libvirt::{Power, Protection};

use super::{Doors, Found, Request};
use crate::{
    Error, Kind, Result,
    quiesce::Quiesce,
    snapshot::{
        self, CreateOptions, CreatePlan, Created, Family, Record, Subject, create, delete,
        images_of, plan_create, plan_delete,
    },
};

/// What the names of our snapshots begin with.
pub(super) const PREFIX: &str = "relift-backup-";

/// Why the machine has this snapshot, for whoever finds it.
const DESCRIPTION: &str = "made by relift to read the disks of the machine; deleted after that";

/// A machine and its snapshots, by a host that is any.
pub(super) type Whole<'a> = Subject<'a, dyn Protection + 'a>;

/// A snapshot of ours. Dropped, it is deleted: the machine goes on with the images that it had.
pub(super) struct Temporary<'a> {
    subject: Whole<'a>,
    name: String,
    was: Power,
    is_over: bool,
}

/// Decides what the snapshot would be made of.
///
/// # Errors
/// A disk that is backed up cannot be in it, or would not come back to its image; there is no room. The
/// message is the reason.
pub(super) fn plan(request: &Request, found: &Found, doors: &Doors<'_>) -> Result<CreatePlan> {
    let subject = doors.subject(request);
    let plan = plan_create(
        &subject,
        &CreateOptions {
            name: format!("{PREFIX}{}", request.unix_seconds),
            description: Some(DESCRIPTION.to_owned()),
            memory: request.memory,
            quiesce: request.quiesce,
            deadline: request.deadline,
            exclude: found.others.clone(),
            storage: None,
            unix_seconds: request.unix_seconds,
        },
    )?;
    let is_in = |target: &str| plan.included.iter().any(|disk| disk.target == target);
    if let Some(disk) = found.choice.disks.iter().find(|disk| !is_in(&disk.target)) {
        let why = plan.left_out.iter().find(|one| one.target == disk.target);
        let why = why.map_or("it cannot be in a snapshot", |one| one.reason.as_str());
        return Err(Error::new(Kind::State, format!("the disk {} is {why}", disk.target)));
    }
    let images = images_of(&subject, &snapshot::tree(&subject)?)?;
    if !images.can_come_back(&plan.included) {
        let text = "somebody else uses an image that the machine writes to";
        return Err(Error::new(Kind::State, text));
    }
    Ok(plan)
}

/// The files that a machine goes on in while a snapshot is there.
pub(super) fn overlays(plan: &CreatePlan) -> Vec<PathBuf> {
    plan.included.iter().map(|disk| disk.overlay.clone()).collect()
}

impl<'a> Temporary<'a> {
    /// Takes it. Who calls it holds the lock of the machine's records.
    ///
    /// # Errors
    /// The host does not take it, or the guest had to be quiet and was not; nothing of it is left then.
    pub(super) fn take(
        (request, doors): (&'a Request, &Doors<'a>),
        plan: &CreatePlan,
        was: &Power,
    ) -> Result<(Self, Created)> {
        let subject = doors.subject(request);
        let created = create(&subject, plan, doors.guards);
        // What failed is gone with this value, as far as there is anything of it.
        let taken = Self { subject, name: plan.name.clone(), was: was.clone(), is_over: false };
        match created {
            Ok(created) => Ok((taken, created)),
            Err(error) => match taken.kept_late(&error)? {
                Some(created) if request.quiesce != Quiesce::Require => Ok((taken, created)),
                _ => Err(error),
            },
        }
    }

    /// The snapshot that the host has although its guest did not stay frozen: that is a failure of a
    /// snapshot, and less than was wanted of a backup.
    fn kept_late(&self, error: &Error) -> Result<Option<Created>> {
        let noted = self.subject.records.all()?.into_iter().find(|one| one.name == self.name);
        let is_late = |record: &Record| record.indications.contains(&Indication::QuiesceFailed);
        let late = noted.filter(|record| error.kind() == Kind::Quiesce && is_late(record));
        Ok(late.map(|record| Created {
            state: State::Running,
            record,
            notes: vec![error.to_string()],
        }))
    }

    /// Deletes it, now that the images are read.
    ///
    /// # Errors
    /// The host does not merge: it is tried again when this value goes, and by the next run.
    pub(super) fn end(&mut self) -> Result<()> {
        remove(&self.subject, &self.name)?;
        self.is_over = true;
        let (host, machine) = (self.subject.host, self.subject.machine);
        let is_stopped = Power::Paused { by_error: true };
        if self.was == Power::Running && host.power(machine)? == is_stopped {
            // It could not write because its overlay could not grow. That is over.
            host.resume(machine)?;
        }
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        // What cannot be taken back now is taken back by the next run.
        if !self.is_over && left_on(&self.subject).is_ok_and(|left| left.contains(&self.name)) {
            drop(self.end());
        }
    }
}

/// The snapshots of ours that a machine has, and those that were only begun.
///
/// # Errors
/// The host does not say, or a record cannot be read.
pub(super) fn left_on(subject: &Whole<'_>) -> Result<Vec<String>> {
    let is_ours = |name: &String| name.starts_with(PREFIX);
    let known = subject.host.snapshots(subject.machine)?.into_iter().map(|known| known.name);
    let noted = subject.records.all()?.into_iter().map(|record| record.name);
    let mut names: Vec<String> = known.chain(noted).filter(is_ours).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// Deletes a snapshot that a run which was killed has left. Who calls it holds the lock of the machine's
/// records.
///
/// # Errors
/// The host does not merge, or does not let go of it.
pub(super) fn put_right(subject: &Whole<'_>, name: &str) -> Result<()> {
    for target in snapshot::tree(subject)?.find(name)?.images.keys() {
        // The merging that it had begun goes on, and keeps another one from its begin.
        subject.host.abort_block_job(subject.machine, target)?;
    }
    remove(subject, name)
}

/// Deletes a snapshot of ours: what the machine wrote since goes into the images that it had.
fn remove(subject: &Whole<'_>, name: &str) -> Result<()> {
    let tree = snapshot::tree(subject)?;
    let files = tree.find(name)?.record.files.clone();
    delete(subject, &plan_delete(subject, &tree, name, Family::One)?, &Unheard)?;
    // What a run that was killed had merged and not removed.
    let after = images_of(subject, &snapshot::tree(subject)?)?;
    for file in files.iter().filter(|file| file.exists() && !after.uses(file)) {
        subject.files.remove_file(file)?;
    }
    Ok(())
}
