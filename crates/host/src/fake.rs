//! A host for tests: the real one underneath, every act recorded, one of them failing.

use std::{
    cell::RefCell,
    io,
    path::{Path, PathBuf},
};

use crate::{Error, Existed, Host, Partial, dir::Dir};

/// Records acts, and fails the one whose number a test gives.
#[derive(Debug)]
pub struct Fake {
    inner: Dir,
    fail_at: Option<usize>,
    acts: RefCell<Vec<String>>,
}

impl Fake {
    /// A host that fails its `fail_at`-th act (from 0), or none.
    #[must_use]
    pub fn new(fail_at: Option<usize>) -> Self {
        Self { inner: Dir::new("fake"), fail_at, acts: RefCell::default() }
    }

    /// The acts so far: a verb and a file name each.
    #[must_use]
    pub fn acts(&self) -> Vec<String> {
        self.acts.borrow().clone()
    }

    fn act(&self, verb: &'static str, path: &Path) -> Result<(), Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let number = self.acts.borrow().len();
        self.acts.borrow_mut().push(format!("{verb} {name}"));
        if self.fail_at == Some(number) {
            return Err(Error::new(
                "cannot go on with",
                path,
                io::Error::other("the test said so"),
            ));
        }
        Ok(())
    }
}

impl Host for Fake {
    fn create_folder(&self, path: &Path) -> Result<Existed, Error> {
        self.act("folder", path)?;
        self.inner.create_folder(path)
    }

    fn create_partial(&self, path: &Path) -> Result<Partial, Error> {
        self.act("create", path)?;
        self.inner.create_partial(path)
    }

    fn publish(&self, partial: &Partial) -> Result<(), Error> {
        self.act("publish", &partial.published)?;
        self.inner.publish(partial)
    }

    fn set_aside(&self, path: &Path) -> Result<Option<PathBuf>, Error> {
        self.act("set aside", path)?;
        self.inner.set_aside(path)
    }

    fn put_back(&self, aside: &Path, path: &Path) -> Result<(), Error> {
        self.act("put back", path)?;
        self.inner.put_back(aside, path)
    }

    fn remove_file(&self, path: &Path) -> Result<(), Error> {
        self.act("remove", path)?;
        self.inner.remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> Result<(), Error> {
        self.act("remove", path)?;
        self.inner.remove_folder(path)
    }

    fn sync_folder(&self, path: &Path) -> Result<(), Error> {
        self.act("sync", path)?;
        self.inner.sync_folder(path)
    }
}
