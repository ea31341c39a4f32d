//! A source that is one file, which must stay what it is.

use std::sync::Arc;

use disk::ReadAt;
use ovf::EntryName;

use crate::{
    Error, Facts, Source,
    source::{Access, Check, Take},
};

/// A source and the file that it is read from, packed or not.
pub(super) struct OnFile<'a> {
    pub(super) source: Box<dyn Source + 'a>,
    pub(super) bytes: Arc<dyn ReadAt>,
}

impl Source for OnFile<'_> {
    fn facts(&self) -> &Facts {
        self.source.facts()
    }

    fn bytes(&self, name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error> {
        self.source.bytes(name)
    }

    fn check(&self, name: &EntryName) -> Option<Check> {
        self.source.check(name)
    }

    fn access(&self, name: &EntryName) -> Access {
        self.source.access(name)
    }

    fn check_unchanged(&self) -> Result<(), Error> {
        self.bytes
            .check_unchanged()
            .map_err(|why| Error::changed(&self.facts().name).caused_by(why))
    }

    fn deliver(
        &mut self,
        wanted: &dyn Fn(&EntryName) -> bool,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        self.source.deliver(wanted, take)
    }
}
