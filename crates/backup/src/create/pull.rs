//! One pull job: QEMU keeps a moment of a machine's disks, and serves it over NBD.
//!
//! ```text
//! freeze --> backup-begin, with a new checkpoint --> thaw        the moment
//! NBD export of each disk --> copy                               afterwards, while the guest runs
//! domjobabort                                                    how such a job ends
//! ```

use std::{path::PathBuf, sync::Arc};

use bundle::Mode;
use code::Code;
use domain::{BackupDisk, BackupJob};
use host::{
    libvirt::{Extent, LibvirtKind, Protection, Scope},
    scratch::Scratch,
};
use nbd::{ALLOCATION, Client, DIRTY_BITMAP_PREFIX, NbdImage, Options};
use vm::Uuid;

use super::base::{Reading, Wish, no_increment};
use crate::{
    Error, Kind, Result,
    quiesce::{Asked, Moment, at_a_quiet_moment},
};

/// What a job is about.
pub(super) struct Wanted<'a> {
    /// How the disks are read; one whose bitmap turns out to be gone is read whole.
    pub(super) readings: &'a mut Vec<Reading>,
    /// The other disks of the machine: they are not in the job.
    pub(super) others: Vec<String>,
    /// The checkpoint that increments count from.
    pub(super) base: Option<&'a str>,
    /// The name of the checkpoint that is made, for the next increment.
    pub(super) checkpoint: Option<String>,
    /// What the user asked for.
    pub(super) wish: Wish,
}

/// A job that runs. Dropped, it is ended, and its checkpoint goes: what was counted since it goes on being
/// counted from the one before.
pub(super) struct Pull<'a> {
    host: &'a dyn Protection,
    machine: Uuid,
    scratch: Scratch,
    checkpoint: Option<String>,
}

impl<'a> Pull<'a> {
    /// Begins the job at a quiet moment.
    ///
    /// # Errors
    /// The guest has to be quiet and is not, another job runs, or no increment is possible where one was
    /// asked for. Then there is neither a job nor a new checkpoint.
    pub(super) fn begin(
        asked: &Asked<'a, dyn Protection + 'a>,
        scratch: Scratch,
        wanted: &mut Wanted<'_>,
    ) -> Result<(Self, Moment<()>)> {
        let (host, machine) = (asked.host, asked.machine);
        let mut pull = Self { host, machine, scratch, checkpoint: None };
        loop {
            let (backup, checkpoint) = pull.documents(wanted)?;
            let began = at_a_quiet_moment(asked, || {
                Ok(host.begin_backup(machine, &backup, checkpoint.as_deref())?)
            });
            match began {
                Ok(moment) => {
                    pull.checkpoint.clone_from(&wanted.checkpoint);
                    return Ok((pull, moment));
                }
                Err(broken) if broken.made.is_some() => {
                    pull.checkpoint.clone_from(&wanted.checkpoint);
                    return Err(broken.error);
                }
                Err(broken) if is_broken_chain(&broken.error, wanted.readings) => {
                    pull.find_broken(wanted)?;
                }
                Err(broken) => return Err(broken.error),
            }
        }
    }

    /// The documents of the job and of its checkpoint.
    fn documents(&self, wanted: &Wanted<'_>) -> Result<(String, Option<String>)> {
        let disks = wanted.readings.iter().map(|reading| BackupDisk {
            target: reading.disk.target.clone(),
            scratch: Some(self.scratch.file(&reading.disk.target)),
            since: wanted.base.filter(|_| reading.mode == Mode::Incremental).map(str::to_owned),
        });
        let job = BackupJob {
            socket: self.scratch.socket(),
            disks: disks.chain(wanted.others.iter().map(|it| BackupDisk::none(it))).collect(),
        };
        let checkpoint = wanted.checkpoint.as_deref().map(|name| {
            let has_bitmap = |reading: &&Reading| reading.disk.has_bitmaps();
            let kept = wanted.readings.iter().filter(has_bitmap);
            let kept: Vec<_> = kept.map(|reading| reading.disk.target.clone()).collect();
            let rest = wanted.readings.iter().filter(|it| !has_bitmap(it));
            let rest = rest.map(|reading| reading.disk.target.clone());
            let rest: Vec<_> = rest.chain(wanted.others.iter().cloned()).collect();
            domain::write_checkpoint(name, &kept, &rest).map_err(unwritable)
        });
        Ok((domain::write_backup_job(&job).map_err(unwritable)?, checkpoint.transpose()?))
    }

    /// Finds out which disks have no sound bitmap, by a job for each; they are read whole.
    fn find_broken(&self, wanted: &mut Wanted<'_>) -> Result<()> {
        let targets: Vec<_> =
            wanted.readings.iter().map(|reading| reading.disk.target.clone()).collect();
        for number in 0..wanted.readings.len() {
            let Some(reading) = wanted.readings.get(number) else { break };
            if reading.mode == Mode::Full {
                continue;
            }
            let target = reading.disk.target.clone();
            let others = targets.iter().filter(|it| **it != target).chain(&wanted.others);
            let job = BackupJob {
                socket: self.scratch.socket(),
                disks: std::iter::once(BackupDisk {
                    scratch: Some(self.scratch.file(&target)),
                    since: wanted.base.map(str::to_owned),
                    target: target.clone(),
                })
                .chain(others.map(|it| BackupDisk::none(it)))
                .collect(),
            };
            let job = domain::write_backup_job(&job).map_err(unwritable)?;
            match self.host.begin_backup(self.machine, &job, None) {
                Ok(()) => self.host.abort_job(self.machine)?,
                Err(error) if error.kind() == LibvirtKind::BadCheckpoint => {
                    if let Some(reading) = wanted.readings.get_mut(number) {
                        reading.whole("the bitmap of the checkpoint before is missing or broken");
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        let is_whole = |reading: &Reading| reading.mode == Mode::Full;
        if wanted.readings.iter().any(|reading| !is_whole(reading)) {
            // Each by itself is sound: what the job did not like is something else.
            return self.none_is_broken(wanted);
        }
        if wanted.wish == Wish::Incremental {
            return Err(no_increment(wanted.readings));
        }
        Ok(())
    }

    /// Ends a search that found fewer broken bitmaps than there are.
    fn none_is_broken(&self, wanted: &mut Wanted<'_>) -> Result<()> {
        let was_found = |reading: &Reading| {
            reading.reason.as_deref().is_some_and(|reason| reason.contains("missing or broken"))
        };
        if wanted.readings.iter().any(was_found) {
            return Ok(());
        }
        for reading in wanted.readings.iter_mut().filter(|it| it.mode == Mode::Incremental) {
            reading.whole("the host does not count from the checkpoint before any more");
        }
        Ok(())
    }

    /// The image of a disk, as it was at the moment.
    ///
    /// # Errors
    /// QEMU does not serve it.
    pub(super) fn image(&self, reading: &Reading) -> Result<NbdImage> {
        let target = &reading.disk.target;
        let bitmap = format!("backup-{target}");
        let mut contexts = vec![ALLOCATION.to_owned()];
        if reading.mode == Mode::Incremental {
            contexts.push(format!("{DIRTY_BITMAP_PREFIX}{bitmap}"));
        }
        let options = Options { contexts, ..Options::default() };
        let client = Arc::new(Client::connect(&self.socket(), target, &options)?);
        Ok(match reading.mode {
            Mode::Full => NbdImage::full(client),
            Mode::Incremental => NbdImage::incremental(client, &bitmap)?,
        })
    }

    fn socket(&self) -> PathBuf {
        self.scratch.socket()
    }

    /// Ends the job and keeps its checkpoint, now that its point is published.
    ///
    /// # Errors
    /// The job cannot be ended: a later run does it.
    pub(super) fn end(mut self) -> Result<()> {
        self.checkpoint = None;
        Ok(self.host.abort_job(self.machine)?)
    }
}

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        // What cannot be taken back now is taken back by the next run.
        drop(self.host.abort_job(self.machine));
        if let Some(name) = self.checkpoint.take() {
            forget_checkpoint(self.host, self.machine, &name);
        }
    }
}

/// A name that XML cannot hold: libvirt would not have it either.
fn unwritable(error: std::io::Error) -> Error {
    Error::coded(Code::E0303, "a disk of the machine has a name that XML cannot hold", error)
}

/// Deletes a checkpoint: with its bitmaps, else what the host knows of it.
pub(super) fn forget_checkpoint(host: &dyn Protection, machine: Uuid, name: &str) -> bool {
    let delete = |extent| host.delete_checkpoint(machine, name, Scope::One, extent);
    delete(Extent::Whole).or_else(|_| delete(Extent::Metadata)).is_ok()
}

/// Whether a job was refused for the bitmaps that it was to count from.
fn is_broken_chain(error: &Error, readings: &[Reading]) -> bool {
    error.kind() == Kind::Host(LibvirtKind::BadCheckpoint)
        && readings.iter().any(|reading| reading.mode == Mode::Incremental)
}
