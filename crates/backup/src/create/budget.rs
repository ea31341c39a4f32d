//! The room for what a guest overwrites while its disks are read.
//!
//! QEMU keeps the old content of each such cluster in a scratch file, or, where the machine is read below a
//! snapshot of ours, the new content in an overlay. When that file cannot grow, it is the guest that stops:
//! so the room is counted before, watched meanwhile, and given back in time.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use disk::Progress;
use host::libvirt::{Power, Protection};
use vm::{ByteSize, Uuid};

use crate::{Error, Kind, Result};

/// How often the scratch files are looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How many looks there are for each time that the host is asked of the guest: that takes a process.
const LOOKS_PER_QUESTION: u32 = 20;

/// The bytes of a block as `stat` counts them.
const BLOCK_BYTES: u64 = 512;

/// Less room than this is none (ours): a guest fills it between two looks.
const LEAST_BYTES: u64 = 64 << 20;

/// Why room is needed beside the images of a machine that is only read.
const WHY: &str = "what a guest writes is kept apart until its disks are read";

/// How much the scratch files of a job may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    limit_bytes: u64,
    /// Whether everything fits that the guest could overwrite at all.
    is_enough: bool,
}

impl Budget {
    /// Half of the room, as far as the disks can need it: the guest has to write somewhere, too.
    ///
    /// # Errors
    /// `E0506` when that is next to nothing.
    pub(super) fn of(
        capacity_bytes: u64,
        free_bytes: u64,
        (room, folder): (Room, &Path),
    ) -> Result<Self> {
        let half = free_bytes / 2;
        let needed = capacity_bytes.min(LEAST_BYTES);
        if half < needed {
            let (free, needed) = (ByteSize(free_bytes), ByteSize(needed.saturating_mul(2)));
            let text = format!(
                "{free} are free in {} for what the guest overwrites meanwhile, at least {needed} are needed",
                folder.display()
            );
            return Err(Error::new(Kind::NoRoom, text).caused_by(WHY).fixed_by(room.fix()));
        }
        Ok(Self { limit_bytes: capacity_bytes.min(half), is_enough: capacity_bytes <= half })
    }

    /// Whether a job that holds so much has to end: at four fifths, since a guest goes on meanwhile.
    fn is_spent(self, used_bytes: u64) -> bool {
        !self.is_enough && used_bytes >= self.limit_bytes / 5 * 4
    }
}

/// Why a job cannot go on, as the watcher saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Trouble {
    /// The scratch files hold too much.
    Spent(u64),
    /// They were full before that was seen, and the guest stands still.
    Paused,
    /// There is no job any more.
    Gone,
}

/// A machine whose job is watched.
pub(super) struct Watched<'a> {
    /// Its host.
    pub(super) host: &'a dyn Protection,
    /// The machine.
    pub(super) machine: Uuid,
    /// What it was doing before the job.
    pub(super) was: &'a Power,
    /// The files that grow with what the guest writes.
    pub(super) files: Vec<PathBuf>,
    /// What they are.
    pub(super) room: Room,
    /// The folder whose file system they are on.
    pub(super) folder: &'a Path,
}

/// Where what a guest writes is held meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Its old content, in the scratch files of a job.
    Scratch,
    /// The new one, in overlays, which are merged into its images afterwards.
    Overlays,
}

impl Room {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Scratch => "scratch files",
            Self::Overlays => "overlays",
        }
    }

    /// What to do when there is too little.
    const fn fix(self) -> &'static str {
        match self {
            Self::Scratch => {
                "Free space there, name a folder with more room with --scratch DIR, or back up while \
                 the guest writes less."
            }
            Self::Overlays => {
                "Free space beside the disks of the machine, or back up while the guest writes less."
            }
        }
    }
}

impl Watched<'_> {
    /// What the files take on their file system, in bytes; one that is not there yet takes none.
    fn used_bytes(&self) -> u64 {
        let blocks = self.files.iter().filter_map(|file| Some(fs::metadata(file).ok()?.blocks()));
        blocks.fold(0, u64::saturating_add).saturating_mul(BLOCK_BYTES)
    }
}

/// Does work that reads from a job, on a thread of its own, and ends it early when the scratch files get
/// too large.
///
/// `act` is handed the progress that it has to listen to.
///
/// # Errors
/// Those of the work; `E0506` when the scratch files were the reason to end it.
pub(super) fn within<T: Send>(
    watched: &Watched<'_>,
    budget: Budget,
    progress: &dyn Progress,
    act: impl FnOnce(&dyn Progress) -> Result<T> + Send,
) -> Result<T> {
    let end = AtomicBool::new(false);
    let ended = Ended { progress, end: &end };
    let (over, wait) = mpsc::channel::<()>();
    let (mut trouble, mut looks) = (None, 0_u32);
    let done = thread::scope(|threads| {
        let work = threads.spawn(|| {
            // Dropped however the work ends.
            let _over = over;
            act(&ended)
        });
        while wait.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            if trouble.is_none() {
                looks = looks.wrapping_add(1);
                trouble = look(watched, budget, looks % LOOKS_PER_QUESTION == 0);
                end.store(trouble.is_some(), Ordering::Relaxed);
            }
        }
        work.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    match (done, trouble) {
        (Err(error), Some(trouble)) => Err(explained(error, &trouble, watched)),
        (done, _) => done,
    }
}

/// What is wrong with a job; what cannot be asked is not.
fn look(watched: &Watched<'_>, budget: Budget, asks: bool) -> Option<Trouble> {
    let used_bytes = watched.used_bytes();
    if budget.is_spent(used_bytes) {
        return Some(Trouble::Spent(used_bytes));
    }
    if !asks {
        return None;
    }
    match watched.host.power(watched.machine).ok()? {
        Power::Paused { by_error: true } if *watched.was == Power::Running => Some(Trouble::Paused),
        // Images are there without a process, too.
        Power::Off if watched.room == Room::Scratch => Some(Trouble::Gone),
        _ => None,
    }
}

fn explained(error: Error, trouble: &Trouble, watched: &Watched<'_>) -> Error {
    let Watched { room, folder, .. } = *watched;
    let (files, folder) = (room.as_str(), folder.display());
    let no_room = |text: String| Error::new(Kind::NoRoom, text).caused_by(WHY).fixed_by(room.fix());
    let explained = match trouble {
        Trouble::Spent(used) => {
            let used = ByteSize(*used);
            let text = format!(
                "the guest overwrote {used} while its disks were read, and the {files} in {folder} must \
                 not grow further; the backup was ended, the guest goes on"
            );
            no_room(text)
        }
        Trouble::Paused => no_room(format!(
            "there was no room in {folder} for what the guest overwrote, which stopped it; the backup \
             was ended, and the guest goes on"
        )),
        Trouble::Gone => Error::new(Kind::Gone, "the machine ended while its disks were read"),
    };
    // That it was stopped is what we did about it, not why.
    if error.kind() == Kind::Stopped { explained } else { explained.caused_by(error) }
}

/// Says stop for the caller, too.
struct Ended<'a> {
    progress: &'a dyn Progress,
    end: &'a AtomicBool,
}

impl Progress for Ended<'_> {
    fn advance(&self, done_bytes: u64) {
        self.progress.advance(done_bytes);
    }

    fn stopped(&self) -> bool {
        self.end.load(Ordering::Relaxed) || self.progress.stopped()
    }
}

#[cfg(test)]
mod tests {
    use host::fake::{Fake, FakeGuest};

    use super::*;
    use disk::Unheard;

    /// What becomes of work that goes on until it is told to stop, beside a file of this length.
    fn endless(guest: FakeGuest, scratch_len: usize, room: Room) -> Error {
        let scratch = tempfile::NamedTempFile::new().unwrap();
        fs::write(scratch.path(), vec![1; scratch_len]).unwrap();
        let files = vec![scratch.path().to_owned(), "/none/there".into()];
        let fake = Fake::new(None).with_guest(guest);
        let machine = Uuid([7; 16]);
        let folder = Path::new("/images");
        let watched = Watched { host: &fake, machine, was: &Power::Running, files, room, folder };
        let tight = Budget { limit_bytes: 64 << 10, is_enough: false };
        let work = |progress: &dyn Progress| -> Result<()> {
            while !progress.stopped() {
                thread::yield_now();
            }
            Err(Error::new(Kind::Stopped, "stopped"))
        };
        within(&watched, tight, &Unheard, work).unwrap_err()
    }

    #[test]
    fn work_is_ended_when_its_scratch_files_are_spent_or_its_guest_stands_still() {
        let error = endless(FakeGuest::default(), 64 << 10, Room::Scratch);
        assert_eq!(
            error.to_string(),
            "the guest overwrote 64 KiB while its disks were read, and the scratch files in /images must not grow \
             further; the backup was ended, the guest goes on"
        );
        assert_eq!(error.code(), Some(code::Code::E0506));
        let power = Power::Paused { by_error: true };
        let error = endless(FakeGuest { power, ..FakeGuest::default() }, 0, Room::Scratch);
        assert_eq!(error.code(), Some(code::Code::E0506));
        let off = FakeGuest { power: Power::Off, ..FakeGuest::default() };
        let error = endless(off.clone(), 0, Room::Scratch);
        assert_eq!(error.to_string(), "the machine ended while its disks were read");
        // Below an overlay its images are there all the same: what counts is how large that is.
        let error = endless(off, 64 << 10, Room::Overlays).to_string();
        assert!(
            error.contains("64 KiB while its disks were read, and the overlays in /images must"),
            "{error}"
        );
    }

    #[test]
    fn half_of_the_room_is_for_the_scratch_files_and_little_room_is_none() {
        let of = |capacity, free| {
            Budget::of(capacity, free, (Room::Scratch, Path::new("/images")))
                .map(|it| (it.limit_bytes, it.is_enough))
        };
        assert_eq!(of(1 << 30, 4 << 30).unwrap(), (1 << 30, true));
        assert_eq!(of(1 << 30, 1 << 30).unwrap(), (512 << 20, false));
        assert_eq!(of(1 << 20, 3 << 20).unwrap(), (1 << 20, true));
        let error = of(1 << 30, 100 << 20).unwrap_err();
        assert!(error.fix().is_some_and(|fix| fix.contains("--scratch DIR")));
        assert_eq!(
            error.to_string(),
            "100 MiB are free in /images for what the guest overwrites meanwhile, at least 128 MiB are needed"
        );
        assert_eq!(error.code(), Some(code::Code::E0506));
    }

    #[test]
    fn a_job_ends_at_four_fifths_of_a_budget_that_is_not_enough() {
        let tight = Budget { limit_bytes: 1000, is_enough: false };
        assert!(!tight.is_spent(799) && tight.is_spent(800));
        assert!(!Budget { is_enough: true, ..tight }.is_spent(1000));
    }
}
