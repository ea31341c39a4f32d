//! A new bundle, which gets its name with its first point.

use std::{fmt, path::Path, sync::Arc};

use bundle::{Bundle, Level, Node, Point, Snapshot, Template};
use code::Code;
use disk::{FileBytes, Image, Progress, ReadAt};
use host::{Host, Partial};
use ovf::EntryName;

use super::{Begun, Bundled, Sink, Written};
use crate::{Error, Result};

/// A new bundle. To publish it is to look at it, and then to give it its name: before that nobody finds it,
/// and nothing that an older bundle needs may go.
pub struct Named<'a> {
    inner: Bundled<'a>,
    host: &'a (dyn Host + Sync),
    partial: &'a Partial,
    looks: Looks<'a>,
}

/// How closely a bundle is looked at.
#[derive(Clone, Copy)]
pub struct Looks<'a> {
    /// `None` for not at all.
    pub level: Option<Level>,
    /// Who hears of it.
    pub progress: &'a dyn Progress,
}

impl fmt::Debug for Looks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Looks").field("level", &self.level).finish_non_exhaustive()
    }
}

impl fmt::Debug for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Named").field(&self.inner).finish()
    }
}

impl<'a> Named<'a> {
    /// A bundle that `inner` begins in the file of `partial`.
    #[must_use]
    pub fn new(
        inner: Bundled<'a>,
        (host, partial): (&'a (dyn Host + Sync), &'a Partial),
        looks: Looks<'a>,
    ) -> Self {
        Self { inner, host, partial, looks }
    }
}

impl Looks<'_> {
    /// Looks at a bundle.
    ///
    /// # Errors
    /// `E0605` with the first fault, or it cannot be read.
    pub fn at(&self, file: &std::fs::File) -> Result<()> {
        let Some(level) = self.level else { return Ok(()) };
        let bytes = file.try_clone().and_then(FileBytes::new);
        let bytes =
            bytes.map_err(|error| Error::io("cannot read", Path::new("the bundle"), error))?;
        let bundle = Bundle::open(Arc::new(bytes))?;
        let report = bundle::verify(&bundle, level, self.progress)?;
        match report.faults.first() {
            None => Ok(()),
            Some(fault) => {
                let text = "the bundle was not written as it should be";
                Err(Error::coded(Code::E0605, text, fault.message.clone()))
            }
        }
    }
}

impl Sink for Named<'_> {
    fn points(&self) -> &[Point] {
        self.inner.points()
    }

    fn snapshots(&self) -> &[Snapshot] {
        self.inner.snapshots()
    }

    fn template(&self) -> Option<&Template> {
        self.inner.template()
    }

    fn mark_template(&mut self) -> Result<()> {
        self.inner.mark_template()
    }

    fn definition(&mut self, xml: &str, progress: &dyn Progress) -> Result<String> {
        self.inner.definition(xml, progress)
    }

    fn image(
        &mut self,
        begun: &Begun<'_>,
        image: &dyn Image,
        workers: usize,
        progress: &dyn Progress,
    ) -> Result<Written> {
        self.inner.image(begun, image, workers, progress)
    }

    fn layer(
        &mut self,
        node: &Node,
        image: &dyn Image,
        workers: usize,
        progress: &dyn Progress,
    ) -> Result<Written> {
        self.inner.layer(node, image, workers, progress)
    }

    fn member(
        &mut self,
        name: &EntryName,
        bytes: &dyn ReadAt,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.inner.member(name, bytes, progress)
    }

    fn tell_of(&mut self, snapshots: Vec<Snapshot>) -> Result<()> {
        self.inner.tell_of(snapshots)
    }

    fn medium(&mut self, file: &Path, progress: &dyn Progress) -> Result<()> {
        self.inner.medium(file, progress)
    }

    fn give_up(&mut self) {
        self.inner.give_up();
    }

    fn publish(&mut self, point: &Point) -> Result<u64> {
        let file_bytes = self.inner.publish(point)?;
        self.looks.at(&self.partial.file)?;
        self.host.publish(self.partial)?;
        Ok(file_bytes)
    }
}
