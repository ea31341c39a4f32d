//! Images as files of their own.

use std::{path::Path, sync::Arc};

use disk::{FileBytes, ReadAt, WriteAt};
use host::{Host, Partial};

use super::Store;
use crate::{Error, Facts, Output, undo::Undo};

/// Unfinished files, each beside its later name.
pub(in crate::execute) struct Files<'a> {
    host: &'a dyn Host,
    partials: Vec<Partial>,
}

impl<'a> Files<'a> {
    pub(in crate::execute) const fn new(host: &'a dyn Host) -> Self {
        Self { host, partials: Vec::new() }
    }

    /// The file that is to have this name.
    pub(in crate::execute) fn partial(&self, to: &Path) -> Result<&Partial, Error> {
        let found = self.partials.iter().find(|partial| partial.published == to);
        found.ok_or_else(|| {
            let source = std::io::Error::from(std::io::ErrorKind::NotFound);
            Error::io(format!("{} was not written", to.display()), source)
        })
    }
}

impl Store for Files<'_> {
    fn begin(&mut self, to: &Path, undo: &mut Undo<'_>) -> Result<Arc<dyn WriteAt>, Error> {
        let partial = self.host.create_partial(to)?;
        undo.partial(&partial.path);
        let wrap = |source| Error::io(format!("cannot open {}", partial.path.display()), source);
        let file = Arc::new(partial.file.try_clone().map_err(wrap)?);
        self.partials.push(partial);
        Ok(file)
    }

    fn end(&mut self, length_bytes: u64) -> Result<(), Error> {
        let Some(partial) = self.partials.last() else { return Ok(()) };
        let wrap = |source| Error::io(format!("cannot cut {}", partial.path.display()), source);
        if partial.file.metadata().map_err(wrap)?.len() != length_bytes {
            partial.file.set_len(length_bytes).map_err(wrap)?;
        }
        Ok(())
    }

    fn seal(&mut self, _: &Facts, _: &[Output]) -> Result<(), Error> {
        Ok(())
    }

    fn read(&self, to: &Path) -> Result<Arc<dyn ReadAt>, Error> {
        let partial = self.partial(to)?;
        let wrap = |source| Error::io(format!("cannot read {}", partial.path.display()), source);
        let file = partial.file.try_clone().map_err(wrap)?;
        Ok(Arc::new(FileBytes::new(file).map_err(wrap)?))
    }
}
