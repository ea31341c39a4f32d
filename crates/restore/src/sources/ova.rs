//! An OVA file: read where it lies, never unpacked.

use std::{fs::File, path::Path, sync::Arc};

use disk::{FileBytes, ReadAt, Slice};
use ovf::{
    EntryName,
    archive::{Index, Member as Entry},
};

use super::{
    deliver_whole,
    papers::{Papers, read_text},
};
use crate::{
    Description, Error, Facts, Policy, Source, SourceKind,
    packed::FrontToEnd,
    source::{Member, Take},
};

/// An OVA file.
pub(super) struct Ova {
    facts: Facts,
    bytes: Arc<dyn ReadAt>,
}

impl Ova {
    /// Walks the headers and reads descriptor and manifest.
    pub(super) fn open(path: &Path, file: File, policy: &Policy) -> Result<Self, Error> {
        let name = path.display().to_string();
        let wrap = |source| Error::io(format!("cannot read {name}"), source);
        let index =
            Index::read(&file).map_err(|error| Error::from(error).detail("package", &name))?;
        let bytes: Arc<dyn ReadAt> = Arc::new(FileBytes::new(file).map_err(wrap)?);
        let text = |entry: &Entry| {
            let slice = Slice::new(Arc::clone(&bytes), entry.offset_bytes, entry.length_bytes)
                .map_err(wrap)?;
            read_text(entry.name.clone(), &mut FrontToEnd::new(&slice), entry.length_bytes)
        };
        let descriptor = text(index.descriptor()?)?;
        let manifest = index.manifest()?.map(text).transpose()?;
        let certificate = index.certificate()?.map(text).transpose()?;
        let judged = Papers { descriptor, manifest, certificate }.judge(&name, policy)?;
        let members = index.members.iter().map(|entry| Member {
            name: entry.name.clone(),
            offset_bytes: entry.offset_bytes,
            length_bytes: entry.length_bytes,
        });
        let facts = Facts {
            kind: SourceKind::Ova,
            folder: path.parent().map(Path::to_owned),
            descriptor: judged.descriptor,
            description: Description::Ovf(Box::new(judged.envelope)),
            manifest: judged.manifest,
            signature: judged.signature,
            members: members.collect(),
            is_complete: true,
            package_bytes: Some(index.length_bytes),
            findings: index.findings.into_iter().chain(judged.findings).collect(),
            name,
        };
        Ok(Self { facts, bytes })
    }
}

impl Source for Ova {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn bytes(&self, name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error> {
        let Some(member) = self.facts.member(name) else { return Ok(None) };
        let slice = Slice::new(Arc::clone(&self.bytes), member.offset_bytes, member.length_bytes)
            .map_err(|source| Error::io(format!("cannot read {name}"), source))?;
        Ok(Some(Arc::new(slice)))
    }

    fn deliver(
        &mut self,
        wanted: &dyn Fn(&EntryName) -> bool,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        deliver_whole(self, wanted, take)
    }
}
