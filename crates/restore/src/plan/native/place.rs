//! Where each file of a backup goes.
//!
//! ```text
//! a pool or folder was named, or there is no original path  ->  there
//! the original path, if its folder takes writes and has room
//! no room there                                             ->  the pool that holds the backup (W0606)
//! none                                                      ->  blocked: the bytes, and what to type
//! ```
//!
//! A file that is there is never overwritten: the new machine's gets another name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use code::Code;
use convert::Note;
use host::{FolderFacts, PathKind};

use super::Inputs;
use crate::plan::{Space, storage::Storage};

/// The folders that files can go to, and what is planned for them already.
pub(super) struct Places<'a> {
    inputs: &'a Inputs<'a>,
    storage: &'a Storage,
    /// The pool of the backup, where files go that have no room at their own place.
    fallback: Option<&'a FolderFacts>,
    used_bytes: BTreeMap<u64, u64>,
    given: BTreeSet<PathBuf>,
    space: Space,
    /// Whether something went to the chosen storage, so that what is wrong with it matters.
    uses_storage: bool,
}

/// Where a file goes, and what is to be said about it.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) note: Option<Note>,
}

impl<'a> Places<'a> {
    pub(super) fn new(inputs: &'a Inputs<'a>, storage: &'a Storage) -> Self {
        let source = inputs.facts.folder.as_deref();
        let pool = source.and_then(|folder| inputs.target.host()?.pool_of(folder));
        let fallback = pool.filter(|pool| !pool.is_read_only());
        Self {
            inputs,
            storage,
            fallback: fallback.and_then(|pool| pool.folder.as_ref()),
            used_bytes: BTreeMap::new(),
            given: BTreeSet::new(),
            space: Space { free_bytes: u64::MAX, ..Space::default() },
            uses_storage: false,
        }
    }

    /// Finds the place of a file that was at `original` and is called `name` in the backup.
    pub(super) fn place(&mut self, original: Option<&Path>, name: &str, bytes: u64) -> Placed {
        let (folder, base, note) = self.folder(original, name, bytes);
        let path = self.free_name(&folder.path, &base);
        let used = self.used_bytes.entry(folder.file_system).or_default();
        *used = used.saturating_add(bytes);
        let left = folder.free_bytes.saturating_sub(*used);
        let needed = self.space.needed_bytes.saturating_add(bytes);
        self.space.free_bytes = match folder.free_bytes < *used {
            true => folder.free_bytes,
            false => self.space.free_bytes.min(needed.saturating_add(left)),
        };
        (self.space.needed_bytes, self.space.least_bytes) = (needed, needed);
        self.given.insert(path.clone());
        Placed { path, note }
    }

    /// Adds what a disk holds when it is full.
    pub(super) fn when_full(&mut self, bytes: u64) {
        self.space.full_bytes = self.space.full_bytes.saturating_add(bytes);
    }

    fn folder(
        &mut self,
        original: Option<&Path>,
        name: &str,
        bytes: u64,
    ) -> (FolderFacts, String, Option<Note>) {
        if self.inputs.has_no_original_paths() {
            self.uses_storage = true;
            return (self.storage.folder.clone(), name.to_owned(), None);
        }
        let own = original.and_then(|path| Some((&self.inputs.at(path)?.folder, base_of(path)?)));
        let base = own.map_or(name, |(_, base)| base).to_owned();
        let (code, why) = match own {
            None => (Code::E0507, "its old place is not known".to_owned()),
            Some((folder, _)) if !folder.exists => {
                (Code::E0507, format!("{} is not there", folder.path.display()))
            }
            Some((folder, _)) if !self.takes_writes(folder) => {
                (Code::E0507, format!("{} takes no writes", folder.path.display()))
            }
            Some((folder, _)) if self.has_room(folder, bytes) => {
                return (folder.clone(), base, None);
            }
            Some((folder, _)) => {
                (Code::E0506, format!("{} has no room for {bytes} bytes", folder.path.display()))
            }
        };
        match self.fallback {
            Some(folder) if self.has_room(folder, bytes) => {
                let text = format!("{why}: it goes to the pool that holds the backup");
                (folder.clone(), base, Some(Note::new(Code::W0606, text)))
            }
            _ => {
                let blocker = Note::blocker(code, format!("{why}; {bytes} bytes are needed"))
                    .hint("--pool NAME or --storage DIR");
                (self.storage.folder.clone(), base, Some(blocker))
            }
        }
    }

    /// Whether a folder may be written to: its file system lets us, and it lies in no read-only pool.
    fn takes_writes(&self, folder: &FolderFacts) -> bool {
        let pool = self.inputs.target.host().and_then(|host| host.pool_of(&folder.path));
        folder.writable && pool.is_none_or(|pool| !pool.is_read_only())
    }

    fn has_room(&self, folder: &FolderFacts, bytes: u64) -> bool {
        let used = self.used_bytes.get(&folder.file_system).copied().unwrap_or_default();
        folder.free_bytes.saturating_sub(used) >= bytes
    }

    /// A name that nothing in the folder has, and no other file of the plan.
    ///
    /// In a folder of its own a machine's files keep their names: one that is taken blocks.
    fn free_name(&self, folder: &Path, base: &str) -> PathBuf {
        let path = folder.join(base);
        let is_taken = |path: &PathBuf| {
            let is_there = self.inputs.target.host().is_some()
                && (self.inputs.target.taken.contains(path)
                    || self.inputs.at(path).is_some_and(|at| at.kind != PathKind::Nothing));
            is_there || self.given.contains(path)
        };
        let (stem, ending) = base.rsplit_once('.').unwrap_or((base, ""));
        let dot = if ending.is_empty() { "" } else { "." };
        let numbered = (2_u32..).map(|number| folder.join(format!("{stem}-{number}{dot}{ending}")));
        let mut all = std::iter::once(path.clone()).chain(numbered);
        all.find(|path| !is_taken(path)).unwrap_or(path)
    }

    /// Room and pool of all files together, and what keeps the chosen storage from taking them.
    pub(super) fn finish(self) -> (Space, Option<String>, Vec<Note>) {
        let host = self.inputs.target.host();
        let pool_of = |path: &PathBuf| Some(host?.pool_of(path)?.pool.name.clone());
        let pool = self.given.iter().find_map(pool_of);
        let blockers = if self.uses_storage || host.is_none() {
            self.storage.blockers.clone()
        } else {
            Vec::new()
        };
        (self.space, pool, blockers)
    }
}

fn base_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}
