//! One pull job: QEMU keeps a moment of a machine's disks, and serves it over NBD.
//!
//! ```text
//! freeze --> backup-begin, with a new checkpoint --> thaw        the moment
//! NBD export of each disk --> copy                               afterwards, while the guest runs
//! domjobabort                                                    how such a job ends
//! ```

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bundle::Mode;
use domain::{BackedUpDisk, BackupJob, DiskMode, NewCheckpoint, RunningDisk, Tracked};
use host::{
    libvirt::{Extent, LibvirtKind, Power, Protection, Scope},
    scratch::Scratch,
};
use nbd::{ALLOCATION, Client, DIRTY_BITMAP_PREFIX, NbdImage, Options};
use vm::Uuid;

use super::{
    Keeps,
    base::{Reading, Wish, no_increment},
    has_checkpoint,
};
use crate::{
    Error, Kind, Result,
    quiesce::{Asked, Moment, at_a_quiet_moment},
};

/// The most connections to one disk (ours): QEMU has one thread that serves them all.
const MAX_CONNECTIONS: usize = 4;

/// What a job is about.
pub(super) struct Wanted<'a> {
    /// How the disks are read; one whose bitmap turns out to be gone is read whole.
    pub(super) readings: &'a mut Vec<Reading>,
    /// The other disks of the machine: they are not in the job.
    pub(super) others: Vec<String>,
    /// The checkpoint that increments count from.
    pub(super) base: Option<&'a str>,
    /// The name of the checkpoint that is made, if one is.
    pub(super) checkpoint: String,
    /// When one is made.
    pub(super) keeps: Keeps,
    /// What the user asked for.
    pub(super) wish: Wish,
    /// What the machine was doing before.
    pub(super) was: Power,
}

/// A job that runs. Dropped, it is ended, and its checkpoint goes: what was counted since it goes on being
/// counted from the one before.
pub(super) struct Pull<'a> {
    host: &'a dyn Protection,
    machine: Uuid,
    scratch: Scratch,
    was: Power,
    /// The checkpoint that goes with this value.
    checkpoint: Option<String>,
    is_over: bool,
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
        let was = wanted.was.clone();
        let mut pull = Self { host, machine, scratch, was, checkpoint: None, is_over: false };
        loop {
            let (backup, checkpoint) = pull.documents(wanted)?;
            let began = at_a_quiet_moment(asked, || {
                Ok(host.begin_backup(machine, &backup, checkpoint.as_deref())?)
            });
            match began {
                Ok(moment) => {
                    pull.checkpoint = checkpoint.map(|_| wanted.checkpoint.clone());
                    return Ok((pull, moment));
                }
                Err(broken) if broken.made.is_some() => {
                    pull.checkpoint = checkpoint.map(|_| wanted.checkpoint.clone());
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
        let disks = wanted.readings.iter().map(|reading| {
            let since = wanted.base.filter(|_| is_increment(reading));
            (reading.disk.target.as_str(), since.map_or(Served::Whole, Served::Since))
        });
        let others = wanted.others.iter().map(|target| (target.as_str(), Served::No));
        let job = self.job(&disks.chain(others).collect::<Vec<_>>())?;
        if !has_checkpoint(wanted.keeps, wanted.readings) {
            return Ok((job, None));
        }
        let checkpoint = checkpoint_document(&wanted.checkpoint, wanted.readings, &wanted.others)?;
        Ok((job, Some(checkpoint)))
    }

    /// The document of a job.
    fn job(&self, disks: &[(&str, Served<'_>)]) -> Result<String> {
        let socket = self.scratch.socket();
        let files: Vec<_> = disks.iter().map(|(target, _)| self.scratch.file(target)).collect();
        let disks = disks.iter().zip(&files);
        let disks =
            disks.map(|((target, how), file)| BackedUpDisk { target, mode: how.mode(file) });
        let job = BackupJob { socket: &socket, disks: disks.collect() };
        Ok(domain::write_backup_job(&job)?)
    }

    /// Finds out which disks have no sound bitmap, by a job for each; they are read whole.
    ///
    /// When each by itself is sound, the host does not like something else, and all of them are: so each
    /// call leaves fewer increments than there were.
    fn find_broken(&self, wanted: &mut Wanted<'_>) -> Result<()> {
        let is_broken = |reading: &Reading| match is_increment(reading) {
            true => self.is_broken(&reading.disk.target, wanted),
            false => Ok(false),
        };
        let broken = wanted.readings.iter().map(is_broken).collect::<Result<Vec<_>>>()?;
        let reason = if broken.contains(&true) {
            "the bitmap of the checkpoint before is missing or broken"
        } else {
            "the host does not count from the checkpoint before any more"
        };
        let is_none_broken = !broken.contains(&true);
        for (reading, is_broken) in wanted.readings.iter_mut().zip(broken) {
            if is_increment(reading) && (is_broken || is_none_broken) {
                reading.whole(reason);
            }
        }
        if wanted.wish == Wish::Incremental && !wanted.readings.iter().any(is_increment) {
            return Err(no_increment(wanted.readings));
        }
        Ok(())
    }

    /// Whether a job for this disk alone is refused for its bitmap.
    fn is_broken(&self, target: &str, wanted: &Wanted<'_>) -> Result<bool> {
        let disks = wanted.readings.iter().map(|reading| reading.disk.target.as_str());
        let served = disks.chain(wanted.others.iter().map(String::as_str)).map(|it| {
            let how = if it == target { wanted.base.map(Served::Since) } else { None };
            (it, how.unwrap_or(Served::No))
        });
        let job = self.job(&served.collect::<Vec<_>>())?;
        match self.host.begin_backup(self.machine, &job, None) {
            Ok(()) => self.host.abort_job(self.machine).map(|()| false).map_err(Error::from),
            Err(error) if error.kind() == LibvirtKind::BadCheckpoint => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// The image of a disk, as it was at the moment.
    ///
    /// `workers` will read it, through a connection each as far as QEMU is fine with that.
    ///
    /// # Errors
    /// QEMU does not serve it.
    pub(super) fn image(&self, reading: &Reading, workers: usize) -> Result<NbdImage> {
        let target = &reading.disk.target;
        let bitmap = format!("backup-{target}");
        let mut contexts = vec![ALLOCATION.to_owned()];
        if reading.mode == Mode::Incremental {
            contexts.push(format!("{DIRTY_BITMAP_PREFIX}{bitmap}"));
        }
        let options = Options { contexts, ..Options::default() };
        let client = Arc::new(Client::connect(&self.socket(), target, &options)?);
        let more = if client.has_many() { workers.clamp(1, MAX_CONNECTIONS) - 1 } else { 0 };
        let image = match reading.mode {
            Mode::Full => NbdImage::full(client),
            Mode::Incremental => NbdImage::incremental(client, &bitmap)?,
        };
        let connect =
            |_| Ok(Arc::new(Client::connect(&self.socket(), target, &Options::default())?));
        let others = (0..more).map(connect).collect::<Result<Vec<_>>>()?;
        Ok(image.with_others(others))
    }

    /// The checkpoint that the job made.
    pub(super) fn checkpoint(&self) -> Option<&str> {
        self.checkpoint.as_deref()
    }

    /// The files with what the guest overwrites meanwhile.
    pub(super) fn scratch_files(&self, readings: &[Reading]) -> Vec<PathBuf> {
        readings.iter().map(|reading| self.scratch.file(&reading.disk.target)).collect()
    }

    fn socket(&self) -> PathBuf {
        self.scratch.socket()
    }

    /// Ends the job, now that its disks are read: from here on nothing of the guest is kept.
    ///
    /// # Errors
    /// The job cannot be ended: it is tried again when this value goes, and by the next run.
    pub(super) fn end(&mut self) -> Result<()> {
        end_own_job(self.host, self.machine, self.scratch.folder())?;
        self.is_over = true;
        let is_stopped = Power::Paused { by_error: true };
        if self.was == Power::Running && self.host.power(self.machine)? == is_stopped {
            // It could not write because the scratch file of its disk could not grow. That is over.
            self.host.resume(self.machine)?;
        }
        Ok(())
    }

    /// Keeps the checkpoint, now that its point is published.
    pub(super) fn keep(&mut self) {
        self.checkpoint = None;
    }
}

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        // What cannot be taken back now is taken back by the next run.
        if !self.is_over {
            drop(self.end());
        }
        if let Some(name) = self.checkpoint.take() {
            forget_checkpoint(self.host, self.machine, &name);
        }
    }
}

/// The document of a new checkpoint of these disks, and not of the other ones of the machine.
///
/// # Errors
/// A name cannot stand in a document.
pub(super) fn checkpoint_document(
    name: &str,
    readings: &[Reading],
    others: &[String],
) -> Result<String> {
    let tracked = |reading: &Reading| {
        if reading.disk.has_bitmaps() { Tracked::Yes } else { Tracked::No }
    };
    let disks = readings.iter().map(|it| (it.disk.target.as_str(), tracked(it)));
    let others = others.iter().map(|target| (target.as_str(), Tracked::No));
    Ok(domain::write_checkpoint(&NewCheckpoint {
        name,
        description: Some("made by relift for the next increment; deleted with its successor"),
        disks: disks.chain(others).collect(),
    })?)
}

/// Whose backup job a machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// There is none.
    Nobody,
    /// Ours, and it is ended.
    Us,
    /// Another program's: it is left alone.
    Another,
}

/// Ends the backup job of a machine if its scratch files are in this folder, and says whose it was.
///
/// # Errors
/// The host does not say what runs, or does not end it.
pub(super) fn end_own_job(host: &dyn Protection, machine: Uuid, folder: &Path) -> Result<Owner> {
    let Some(job) = host.running_backup(machine)? else { return Ok(Owner::Nobody) };
    let job = domain::read_backup_job(job.as_bytes())?;
    let is_ours =
        |disk: &RunningDisk| disk.scratch.as_ref().is_some_and(|file| file.starts_with(folder));
    if !job.disks.iter().any(is_ours) {
        return Ok(Owner::Another);
    }
    host.abort_job(machine)?;
    Ok(Owner::Us)
}

/// Deletes a checkpoint: with its bitmaps, else what the host knows of it.
pub(super) fn forget_checkpoint(host: &dyn Protection, machine: Uuid, name: &str) -> bool {
    let delete = |extent| host.delete_checkpoint(machine, name, Scope::One, extent);
    delete(Extent::Whole).or_else(|_| delete(Extent::Metadata)).is_ok()
}

/// How a job serves a disk.
#[derive(Clone, Copy)]
enum Served<'a> {
    No,
    Whole,
    Since(&'a str),
}

impl<'a> Served<'a> {
    const fn mode(self, scratch: &'a Path) -> DiskMode<'a> {
        match self {
            Self::No => DiskMode::LeftOut,
            Self::Whole => DiskMode::Full { scratch },
            Self::Since(checkpoint) => DiskMode::Since { checkpoint, scratch },
        }
    }
}

fn is_increment(reading: &Reading) -> bool {
    reading.mode == Mode::Incremental
}

/// Whether a job was refused for the bitmaps that it was to count from.
fn is_broken_chain(error: &Error, readings: &[Reading]) -> bool {
    error.kind() == Kind::Host(LibvirtKind::BadCheckpoint)
        && readings.iter().any(|reading| reading.mode == Mode::Incremental)
}
