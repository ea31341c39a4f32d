//! What relift itself notes of a snapshot: how far it came, and how quiet the guest was.
//!
//! ```text
//! STATE/snapshots/<uuid of the machine>/<name>.json     one record a snapshot
//!                                      /lock            held by who takes, deletes or reverts one
//! ```
//!
//! libvirt's own document of a snapshot exists only once it was taken. A record is written before, so
//! that a run that was cut off is seen: a snapshot in progress whose lock nobody holds has failed. The
//! phase never goes back. A snapshot without a record was taken by somebody else and has succeeded.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use bundle::{Indication, LeftOut};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use vm::Uuid;

use crate::{Error, Kind, Result};

/// The version of the records that are written.
const FORMAT: u32 = 1;
/// The most records of a machine that are read (ours).
const MAX_RECORDS: usize = 4096;
/// The longest record that is read, in bytes (ours; a machine with a hundred disks has some KiB).
const MAX_RECORD_BYTES: u64 = 1 << 20;
/// The ending of the names of records.
const ENDING: &str = ".json";
/// What is escaped in the name of a file.
const UNUSUAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'_').remove(b'-');

/// How far a snapshot is, in the words of `KubeVirt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It is being taken.
    InProgress,
    /// It can be gone back to.
    Succeeded,
    /// It cannot, and stays so until it is deleted.
    Failed,
}

impl Phase {
    /// One word for people and documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// What is noted of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the record.
    pub format: u32,
    /// The name of the snapshot.
    pub name: String,
    /// When it was begun, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// How far it is.
    pub phase: Phase,
    /// Why it failed.
    pub error: Option<String>,
    /// How quiet the guest was.
    pub indications: Vec<Indication>,
    /// For how long the guest's file systems were frozen, in milliseconds.
    pub frozen_ms: Option<u64>,
    /// The disks that are not in it.
    pub left_out: Vec<LeftOut>,
    /// The files that it begins: an overlay a disk, and the memory.
    pub files: Vec<PathBuf>,
    /// Whether somebody has begun to delete it: its state may be gone.
    pub is_going: bool,
}

impl Record {
    /// The record of a snapshot that is begun now.
    #[must_use]
    pub fn begun(name: &str, unix_seconds: u64) -> Self {
        Self {
            format: FORMAT,
            name: name.to_owned(),
            created_unix_seconds: unix_seconds,
            phase: Phase::InProgress,
            error: None,
            indications: Vec::new(),
            frozen_ms: None,
            left_out: Vec::new(),
            files: Vec::new(),
            is_going: false,
        }
    }

    /// The record of a snapshot that somebody else has taken.
    #[must_use]
    pub fn found(name: &str, unix_seconds: u64) -> Self {
        Self { phase: Phase::Succeeded, ..Self::begun(name, unix_seconds) }
    }

    /// Ends it; one that has ended stays as it is.
    #[must_use]
    pub fn ended(mut self, error: Option<String>) -> Self {
        if self.phase == Phase::InProgress {
            self.phase = if error.is_some() { Phase::Failed } else { Phase::Succeeded };
            self.error = error;
        }
        self
    }
}

/// The records of a machine.
#[derive(Debug, Clone)]
pub struct Records {
    folder: PathBuf,
}

/// The right to change the snapshots of a machine; it ends when it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Records {
    /// The records of a machine in the folder where relift keeps its state.
    #[must_use]
    pub fn of(state: &Path, machine: Uuid) -> Self {
        Self { folder: state.join("snapshots").join(machine.to_string()) }
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// Another run has it, or the folder takes no writes.
    pub fn lock(&self) -> Result<Lock> {
        let path = self.folder.join("lock");
        let fail = |error: io::Error| Error::io("cannot make", &path, error);
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(fail)?;
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(&path).map_err(fail)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let text = "another run is at the snapshots of the machine";
                Err(Error::new(Kind::Locked, text))
            }
            Err(error) => Err(fail(error.into())),
        }
    }

    /// Every record, by name.
    ///
    /// One in progress whose run is gone has failed. Who holds the lock is that run.
    ///
    /// # Errors
    /// A record cannot be read, or is none.
    pub fn all(&self) -> Result<Vec<Record>> {
        let cut_off = self.is_unlocked();
        let mut records = Vec::new();
        for path in self.paths()? {
            let record = read(&path)?;
            let why = cut_off.then(|| "the run that took it was cut off".to_owned());
            records.push(if why.is_some() { record.ended(why) } else { record });
        }
        records.sort_by(|a: &Record, b| a.name.cmp(&b.name));
        Ok(records)
    }

    /// Writes a record, in the place of the one of that name; it is durable then.
    ///
    /// # Errors
    /// The folder takes no writes.
    pub fn write(&self, record: &Record) -> Result<()> {
        let path = self.path(&record.name);
        let partial = path.with_extension("partial");
        let fail = |error: io::Error| Error::io("cannot write", &path, error);
        let text = serde_json::to_vec_pretty(record).map_err(|error| fail(error.into()))?;
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(true).write(true).mode(0o600);
        let mut file = options.open(&partial).map_err(fail)?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(fail)?;
        fs::rename(&partial, &path).map_err(fail)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(fail)
    }

    /// Forgets a record; none is no error.
    ///
    /// # Errors
    /// The folder takes no writes.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("cannot remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}{ENDING}", utf8_percent_encode(name, UNUSUAL)))
    }

    fn paths(&self) -> Result<Vec<PathBuf>> {
        let fail = |error: io::Error| Error::io("cannot list", &self.folder, error);
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(fail)?,
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(fail)?.path();
            let is_record = path.to_str().is_some_and(|path| path.ends_with(ENDING));
            if is_record && paths.len() == MAX_RECORDS {
                let text = format!("over {MAX_RECORDS} records in {}", self.folder.display());
                return Err(Error::new(Kind::Io, text));
            }
            paths.extend(is_record.then_some(path));
        }
        Ok(paths)
    }

    /// Whether no run is at the snapshots.
    fn is_unlocked(&self) -> bool {
        let Ok(file) = File::open(self.folder.join("lock")) else { return true };
        flock(&file, FlockOperation::NonBlockingLockShared).is_ok()
    }
}

fn read(path: &Path) -> Result<Record> {
    let fail = |error: io::Error| Error::io("cannot read", path, error);
    let file = File::open(path).map_err(fail)?;
    let mut text = Vec::new();
    file.take(MAX_RECORD_BYTES).read_to_end(&mut text).map_err(fail)?;
    serde_json::from_slice(&text).map_err(|error| fail(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> (tempfile::TempDir, Records) {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::of(folder.path(), Uuid([7; 16]));
        (folder, records)
    }

    #[test]
    fn a_snapshot_that_nobody_takes_any_more_has_failed() {
        let (_folder, records) = records();
        assert_eq!(records.all().unwrap(), []);
        let lock = records.lock().unwrap();
        let begun = Record::begun("a/b ü", 17);
        records.write(&begun).unwrap();
        assert_eq!(records.all().unwrap(), std::slice::from_ref(&begun));
        drop(lock);
        let failed = records.all().unwrap().remove(0);
        assert_eq!(failed.phase, Phase::Failed);
        assert_eq!(failed.error.as_deref(), Some("the run that took it was cut off"));
        records.remove("a/b ü").unwrap();
        records.remove("a/b ü").unwrap();
        assert_eq!(records.all().unwrap(), []);
    }

    #[test]
    fn a_phase_never_goes_back() {
        let failed = Record::begun("a", 1).ended(Some("late".to_owned()));
        assert_eq!(failed.phase, Phase::Failed);
        assert_eq!(failed.clone().ended(None), failed);
        let done = Record::begun("a", 1).ended(None);
        assert_eq!(done.phase, Phase::Succeeded);
        assert_eq!(done.clone().ended(Some("no".to_owned())), done);
    }

    #[test]
    fn one_run_at_a_time_changes_the_snapshots_of_a_machine() {
        let (_folder, records) = records();
        let lock = records.lock().unwrap();
        let error = records.lock().unwrap_err();
        assert_eq!(error.to_string(), "another run is at the snapshots of the machine");
        assert_eq!(error.code(), Some(code::Code::E0602));
        drop(lock);
        records.lock().unwrap();
    }

    #[test]
    fn a_record_that_is_none_is_told_with_its_file() {
        let (folder, records) = records();
        drop(records.lock().unwrap());
        let path = records.path("a");
        for text in ["", "{}", "{\"format\":1}"] {
            fs::write(&path, text).unwrap();
            let error = records.all().unwrap_err();
            assert_eq!(error.to_string(), format!("cannot read {}", path.display()));
        }
        assert!(path.starts_with(folder.path()));
    }
}
