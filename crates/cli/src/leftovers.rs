//! What a run has made so far, for the case that it is stopped at once.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use host::{Error, Existed, Host, Partial, dir::Dir};

/// The files and folders that a run has made and not taken back.
#[derive(Debug, Default)]
pub(crate) struct Leftovers(Mutex<BTreeSet<PathBuf>>);

impl Leftovers {
    /// What is there now.
    pub(crate) fn list(&self) -> Vec<PathBuf> {
        self.with(|paths| paths.iter().cloned().collect())
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeSet<PathBuf>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The file system, with a list of what is made in it.
#[derive(Debug)]
pub(crate) struct Tracked<'a> {
    dir: Dir,
    left: &'a Leftovers,
}

impl<'a> Tracked<'a> {
    /// A way to the file system for the run of this process.
    pub(crate) fn new(left: &'a Leftovers) -> Self {
        Self { dir: Dir::new(std::process::id().to_string()), left }
    }
}

impl Host for Tracked<'_> {
    fn create_folder(&self, path: &Path) -> Result<Existed, Error> {
        let existed = self.dir.create_folder(path)?;
        if existed == Existed::No {
            self.left.with(|paths| paths.insert(path.to_owned()));
        }
        Ok(existed)
    }

    fn create_partial(&self, path: &Path) -> Result<Partial, Error> {
        let partial = self.dir.create_partial(path)?;
        self.left.with(|paths| paths.insert(partial.path.clone()));
        Ok(partial)
    }

    fn set_aside(&self, path: &Path) -> Result<Option<PathBuf>, Error> {
        let aside = self.dir.set_aside(path)?;
        self.left.with(|paths| paths.extend(aside.clone()));
        Ok(aside)
    }

    fn put_back(&self, aside: &Path, path: &Path) -> Result<(), Error> {
        self.dir.put_back(aside, path)?;
        self.left.with(|paths| paths.remove(aside));
        Ok(())
    }

    fn publish(&self, partial: &Partial) -> Result<(), Error> {
        self.dir.publish(partial)?;
        self.left.with(|paths| {
            paths.remove(&partial.path);
            paths.insert(partial.published.clone());
        });
        Ok(())
    }

    fn second_name(&self, path: &Path, name: &Path) -> Result<(), Error> {
        self.dir.second_name(path, name)?;
        self.left.with(|paths| paths.insert(name.to_owned()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> Result<(), Error> {
        self.dir.remove_file(path)?;
        self.left.with(|paths| paths.remove(path));
        Ok(())
    }

    fn remove_folder(&self, path: &Path) -> Result<(), Error> {
        self.dir.remove_folder(path)?;
        self.left.with(|paths| paths.remove(path));
        Ok(())
    }

    fn sync_folder(&self, path: &Path) -> Result<(), Error> {
        self.dir.sync_folder(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_what_was_made_and_not_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let left = Leftovers::default();
        let host = Tracked::new(&left);
        let out = folder.path().join("out");
        host.create_folder(&out).unwrap();
        host.create_folder(folder.path()).unwrap();
        let one = host.create_partial(&out.join("a")).unwrap();
        let two = host.create_partial(&out.join("b")).unwrap();
        host.publish(&one).unwrap();
        assert_eq!(left.list(), [out.clone(), out.join("a"), two.path.clone()]);
        host.remove_file(&two.path).unwrap();
        host.remove_file(&out.join("a")).unwrap();
        host.remove_folder(&out).unwrap();
        assert!(left.list().is_empty(), "{:?}", left.list());
    }
}
