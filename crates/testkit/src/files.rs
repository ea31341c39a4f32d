//! A folder in memory, for images that name other files.

use std::{collections::BTreeMap, sync::Arc};

use disk::{Closed, Declared, FileName, Format, Gate, Image, Opened, Place, ReadAt, Result, Role};

/// Files that an image may name, each by the last part of its name.
#[derive(Debug, Clone, Default)]
pub struct Files(BTreeMap<String, Arc<Vec<u8>>>);

impl Files {
    /// Adds a file.
    #[must_use]
    pub fn with(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self.0.insert(name.to_owned(), Arc::new(bytes));
        self
    }

    /// Opens one of the files as an image that may name the others.
    ///
    /// # Errors
    ///
    /// Those of the image.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    pub fn open_image(&self, name: &str, format: Format) -> Result<Box<dyn Image>> {
        let bytes: Arc<dyn ReadAt> = Arc::clone(&self.0[name]) as _;
        disk::open_behind(&self.gate(name), bytes, Declared::Stated(format))
    }

    /// What an image of the name `root` may open: the files.
    pub fn gate<'a>(&'a self, root: &'a str) -> impl Gate + 'a {
        Beside { files: self, root }
    }
}

/// What an image among the files may open.
struct Beside<'a> {
    files: &'a Files,
    root: &'a str,
}

impl Gate for Beside<'_> {
    fn open(&self, role: Role, name: &FileName, from: &Place) -> Result<Opened> {
        let base = name.base().text().to_owned();
        let Some(bytes) = self.files.0.get(&base) else { return Closed.open(role, name, from) };
        Ok(Opened { bytes: Arc::clone(bytes) as _, place: Place { name: base, file: None } })
    }

    fn root(&self) -> Place {
        Place { name: self.root.to_owned(), file: None }
    }

    fn max_depth(&self) -> usize {
        16
    }
}
