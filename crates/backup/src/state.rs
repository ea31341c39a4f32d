//! The folder in which relift remembers what it did: plain files, which an editor reads.
//!
//! ```text
//! STATE/places.jsonl          a folder that backups were written to, a line each
//!       verified.jsonl        a backup that was verified, a line each time
//!       jobs/NAME.toml        a job            jobs/NAME.history.jsonl   what became of its runs
//!       locks/                turns: jobs, machines, slots of a place
//! ```
//!
//! Not a database: there is one writer at a time under a lock, a crash costs at most the last line, and what
//! is here can be read, repaired and kept in version control without a tool.

use std::{
    fs,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use host::lines;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use vm::Uuid;

use crate::{Error, Result};

/// The folder of the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    folder: PathBuf,
}

/// A folder with backups.
#[derive(Debug, Serialize, Deserialize)]
struct Place {
    folder: PathBuf,
}

/// A backup was verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When, in UTC, as RFC 3339 writes it.
    pub t: String,
    /// The file, absolute.
    pub path: PathBuf,
    /// What its manifest said of its members then: another content was not verified.
    pub digest: String,
    /// How far it was looked.
    pub level: Depth,
    /// Whether all was right.
    pub sound: bool,
}

/// How far a backup was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Headers and lengths.
    Quick,
    /// Every byte.
    Deep,
}

impl State {
    /// The state in this folder; nothing is read or made yet.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folders that are not there, for this user alone.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn make(&self) -> Result<()> {
        for folder in [self.jobs(), self.locks()] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|error| Error::io("cannot make", &folder, error))?;
        }
        Ok(())
    }

    pub(crate) fn jobs(&self) -> PathBuf {
        self.folder.join("jobs")
    }

    pub(crate) fn locks(&self) -> PathBuf {
        self.folder.join("locks")
    }

    /// The file that whoever backs up a machine, or puts it right, has locked.
    #[must_use]
    pub fn backup_lock(&self, machine: Uuid) -> PathBuf {
        self.locks().join(format!("backup-{machine}.lock"))
    }

    fn places_file(&self) -> PathBuf {
        self.folder.join("places.jsonl")
    }

    fn verified_file(&self) -> PathBuf {
        self.folder.join("verified.jsonl")
    }

    /// Remembers a folder, absolute, that a backup was written to.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn note_place(&self, folder: &Path) -> Result<()> {
        if self.places()?.iter().any(|place| place == folder) {
            return Ok(());
        }
        self.make()?;
        append(&self.places_file(), &Place { folder: folder.to_owned() })
    }

    /// The folders that backups were written to, in the order of their first one.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn places(&self) -> Result<Vec<PathBuf>> {
        let places: Vec<Place> = read(&self.places_file())?;
        let mut folders: Vec<PathBuf> = Vec::new();
        for place in places {
            if !folders.contains(&place.folder) {
                folders.push(place.folder);
            }
        }
        Ok(folders)
    }

    /// Remembers what came of verifying a backup.
    ///
    /// # Errors
    /// The state cannot be written.
    pub fn note_verified(&self, verified: &Verified) -> Result<()> {
        self.make()?;
        append(&self.verified_file(), verified)
    }

    /// All that was verified, the oldest first.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn verified(&self) -> Result<Vec<Verified>> {
        read(&self.verified_file())
    }
}

/// Adds a line to a file of the state.
pub(crate) fn append(path: &Path, line: &impl Serialize) -> Result<()> {
    let wrap = |error| Error::io("cannot write", path, error);
    let text = serde_json::to_vec(line).map_err(|error| wrap(error.into()))?;
    lines::append(path, &text).map_err(wrap)
}

/// Reads the lines of a file of the state; what is none is passed over.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let mut found = Vec::new();
    lines::read(path, &mut |line| found.extend(serde_json::from_slice::<T>(line).ok()))
        .map_err(|error| Error::io("cannot read", path, error))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_remembered_once_and_a_state_that_is_not_there_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path().join("new/relift"));
        assert_eq!(state.places().unwrap(), [""; 0].map(PathBuf::from));
        for place in ["/srv/a", "/srv/b", "/srv/a"] {
            state.note_place(Path::new(place)).unwrap();
        }
        assert_eq!(state.places().unwrap(), ["/srv/a", "/srv/b"].map(PathBuf::from));
        let text = fs::read_to_string(state.folder().join("places.jsonl")).unwrap();
        assert_eq!(text, "{\"folder\":\"/srv/a\"}\n{\"folder\":\"/srv/b\"}\n");
    }

    #[test]
    fn what_was_verified_is_read_back_past_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let state = State::at(folder.path());
        let verified = Verified {
            t: "2026-11-21T01:00:00Z".to_owned(),
            path: "/srv/a/web01.tar".into(),
            digest: "00".to_owned(),
            level: Depth::Deep,
            sound: true,
        };
        state.note_verified(&verified).unwrap();
        let file = folder.path().join("verified.jsonl");
        let whole = fs::read(&file).unwrap();
        fs::write(&file, [&whole[..], &whole[..20]].concat()).unwrap();
        state.note_verified(&verified).unwrap();
        assert_eq!(state.verified().unwrap(), [verified.clone(), verified]);
    }
}
