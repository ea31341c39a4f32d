//! What interrupted runs left on the machines of a host and in the folders that backups were written to.
//!
//! ```text
//! folders --lists--> the checkpoints that points know --\
//! machine, its lock --job, scratch files, checkpoints----+--> leftovers --put right--> a sentence each
//! folders --NAME.partial-ID that nobody writes ---------/
//! ```
//!
//! A look changes nothing. A checkpoint is judged only by a folder that is there with all that it holds: of
//! one that cannot be read, has a damaged backup or has none at all (it may be the place of a file system
//! that is not mounted now), no checkpoint is deleted.

use std::path::{Path, PathBuf};

use domain::{DriveDevice, DriveSource};
use host::{
    Host, dir,
    libvirt::{Definition, Protection},
    lock,
};
use vm::Uuid;

use crate::{
    Contents, Error, Kind, Result, State, catalogue,
    create::{Known, Leftover, Note, is_lost, left_on, put_right, series_of},
    snapshot::{Records, Subject},
};

/// A folder whose checkpoints nobody can judge now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsure {
    /// Which one.
    pub folder: PathBuf,
    /// Why.
    pub reason: String,
}

/// The checkpoints that the backups in these folders know, and the folders that do not tell.
#[must_use]
pub fn known_in(folders: &[PathBuf]) -> (Known, Vec<Unsure>) {
    let (mut known, mut unsure) = (Known::default(), Vec::new());
    for folder in folders {
        let mut doubt = |reason: String| unsure.push(Unsure { folder: folder.clone(), reason });
        let entries = match catalogue::list(folder, &[]) {
            Ok(entries) => entries,
            Err(error) => {
                doubt(reason_of(&error));
                continue;
            }
        };
        let (found, damage) = known_by(folder, &entries);
        known.checkpoints.extend(found.checkpoints);
        match damage {
            Some(damage) => doubt(damage),
            None if entries.is_empty() => doubt("it has no backups".to_owned()),
            None => known.series.extend(found.series),
        }
    }
    (known, unsure)
}

/// The checkpoints that the backups of a folder know, and why there may be more: a damaged one does not tell.
#[must_use]
pub fn known_by(folder: &Path, entries: &[catalogue::Entry]) -> (Known, Option<String>) {
    let facts = entries.iter().filter_map(catalogue::Entry::facts);
    let points = facts.flat_map(|facts| &facts.points);
    let checkpoints = points.filter_map(|point| point.checkpoint.clone()).collect();
    let is_damaged = |it: &&catalogue::Entry| matches!(it.contents, Contents::Damaged { .. });
    match entries.iter().find(is_damaged) {
        Some(damaged) => {
            let doubt = format!("{} is damaged", damaged.path.display());
            (Known { series: Vec::new(), checkpoints }, Some(doubt))
        }
        None => (Known { series: vec![series_of(folder)], checkpoints }, None),
    }
}

fn reason_of(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A machine that nobody else backs up while this value lives.
#[derive(Debug)]
pub struct Held {
    machine: Uuid,
    /// What relift noted of its snapshots.
    records: Records,
    _lock: lock::Lock,
}

/// The ways to a machine.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    /// Its host.
    pub host: &'a (dyn Protection + 'a),
    /// The file system that its images lie in.
    pub files: &'a dyn Host,
    /// Its name.
    pub name: &'a str,
    /// The images that other machines of the host use.
    pub foreign: &'a [PathBuf],
}

impl std::fmt::Debug for Reach<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Held {
    /// Takes the lock of a machine.
    ///
    /// # Errors
    /// `E0602` when somebody backs the machine up, `E0508` when the state takes no locks.
    pub fn take(state: &State, machine: Uuid) -> Result<Self> {
        state.make()?;
        let path = state.backup_lock(machine);
        let lock = lock::attempt(&path).map_err(|error| Error::io("cannot lock", &path, error))?;
        let busy = || Error::new(Kind::Locked, "a backup of it is under way");
        let records = Records::of(state.folder(), machine);
        Ok(Self { machine, records, _lock: lock.ok_or_else(busy)? })
    }

    /// Looks for what interrupted runs left on the machine, in the order in which it is put right.
    ///
    /// # Errors
    /// The host does not answer, or another program backs the machine up (`E0602`).
    pub fn look(&self, known: &Known, reach: Reach<'_>) -> Result<Vec<Leftover>> {
        let xml = reach.host.definition(self.machine, Definition::Live)?;
        let drives = domain::drives(xml.as_bytes())?;
        let folders = drives.iter().filter_map(|drive| match (&drive.device, &drive.source) {
            (DriveDevice::Disk, DriveSource::File(path)) => path.parent().map(Path::to_owned),
            _ => None,
        });
        let mut found = left_on(&self.subject(reach), &folders.collect::<Vec<_>>(), known)?;
        if is_lost(reach.host, self.machine) {
            found.push(Leftover::LostJob);
        }
        Ok(found)
    }

    /// Puts one thing right and says what that was; `None` where it stays.
    ///
    /// # Errors
    /// The host refuses.
    pub fn put_right(&self, leftover: &Leftover, reach: Reach<'_>) -> Result<Option<Note>> {
        put_right(&self.subject(reach), leftover)
    }

    fn subject<'s>(&'s self, reach: Reach<'s>) -> Subject<'s, dyn Protection + 's> {
        let Reach { host, files, name, foreign } = reach;
        Subject { host, files, machine: self.machine, name, records: &self.records, foreign }
    }
}

/// The backups in a folder that were begun, and that nobody writes any more.
///
/// # Errors
/// The folder cannot be listed.
pub fn half_written(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_backup = |name: &str| catalogue::id_of(Path::new(name)).is_some();
    dir::abandoned(folder, is_backup).map_err(Error::from)
}

/// Removes a backup that was begun, and that nobody writes.
///
/// # Errors
/// Somebody writes it now, or its folder takes no writes.
pub fn remove_half_written(path: &Path) -> Result<()> {
    dir::remove_abandoned(path).map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use bundle::{Checkpoint, Manifest, Mode, Options, Point, Vm, Writer};
    use host::fake::Fake;

    use super::*;

    /// A backup whose point counts from a checkpoint; its images are not looked at.
    fn write(path: &Path, checkpoint: &str) {
        let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        let point = Point {
            id: "p".to_owned(),
            created_unix_seconds: 17,
            mode: Mode::Full,
            config: "17-web01.xml".to_owned(),
            state: bundle::State::Off,
            indications: Vec::new(),
            disks: Vec::new(),
            left_out: Vec::new(),
            checkpoint: Some(Checkpoint { name: checkpoint.to_owned(), xml: String::new() }),
            snapshots: Vec::new(),
        };
        let manifest = Manifest {
            vm: Vm { name: "web01".to_owned(), uuid: None },
            points: vec![point],
            ..Manifest::default()
        };
        let options = Options { form: bundle::Form::Tar, level: 1, unix_seconds: 17 };
        Writer::new(&file, options).finish(Some(&manifest)).unwrap();
    }

    #[test]
    fn only_a_folder_that_is_read_whole_says_which_checkpoints_are_nobodys() {
        let root = tempfile::tempdir().unwrap();
        let folders = ["whole", "spoiled", "empty", "gone"].map(|name| root.path().join(name));
        for folder in &folders[..3] {
            fs::create_dir(folder).unwrap();
        }
        write(&folders[0].join("a.tar"), "c1");
        write(&folders[1].join("b.tar"), "c2");
        fs::write(folders[1].join("noise.tar"), [9; 2000]).unwrap();
        let (known, unsure) = known_in(&folders);
        assert_eq!(known.series, [series_of(&folders[0])]);
        assert_eq!(known.checkpoints, ["c1", "c2"], "what is known counts wherever it is");
        let told: Vec<_> =
            unsure.iter().map(|it| it.reason.replace(root.path().to_str().unwrap(), "")).collect();
        let gone = "cannot list /gone: No such file or directory (os error 2)";
        assert_eq!(told, ["/spoiled/noise.tar is damaged", "it has no backups", gone]);
    }

    #[test]
    fn a_machine_is_held_once() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("state"));
        let machine = Uuid([7; 16]);
        let held = Held::take(&state, machine).unwrap();
        let error = Held::take(&state, machine).unwrap_err();
        assert_eq!(error.to_string(), "a backup of it is under way");
        assert_eq!(error.code(), Some(code::Code::E0602));
        let fake = Fake::new(None);
        let reach = Reach { host: &fake, files: &fake, name: "web", foreign: &[] };
        assert_eq!(held.look(&Known::default(), reach).unwrap(), []);
        drop(held);
        Held::take(&state, machine).unwrap();
    }

    #[test]
    fn only_backups_that_were_begun_are_half_written() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.tar.partial-7", "a.tar.zst.partial-7", "a.qcow2.partial-7", "a.tar"] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let found = half_written(folder.path()).unwrap();
        let want = ["a.tar.partial-7", "a.tar.zst.partial-7"].map(|name| folder.path().join(name));
        assert_eq!(found, want);
        remove_half_written(&found[0]).unwrap();
        assert_eq!(half_written(folder.path()).unwrap(), want[1..]);
    }
}
