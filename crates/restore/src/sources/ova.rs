//! An OVA file: read where it lies, never unpacked.

use std::sync::Arc;

use code::Code;
use disk::{ReadAt, Slice};
use ovf::{
    EntryName,
    archive::{Index, Member as Entry},
};

use super::{
    Named, deliver_whole,
    papers::{Papers, read_text},
};
use crate::{
    Description, Error, Facts, Policy, Source, SourceKind,
    packed::FrontToEnd,
    source::{Member, Take, Text},
};

/// An OVA file.
pub(super) struct Ova {
    facts: Facts,
    bytes: Arc<dyn ReadAt>,
}

impl Ova {
    /// Walks the headers and reads descriptor, manifest and certificate.
    pub(super) fn open(
        named: Named,
        bytes: Arc<dyn ReadAt>,
        policy: &Policy,
    ) -> Result<Self, Error> {
        let index = Index::read(FrontToEnd::new(&*bytes))
            .map_err(|error| Error::from(error).detail("package", &named.name))?;
        let text = |entry: &Entry| -> Result<Text, Error> {
            let slice = slice(&bytes, entry)?;
            read_text(entry.name.clone(), &mut FrontToEnd::new(&slice), entry.length_bytes)
        };
        let facts = facts(named, &index, &text, policy)?;
        Ok(Self { facts, bytes })
    }
}

/// What is known of an archive whose members can be read in any order; `text` reads a small one.
pub(super) fn facts(
    Named { name, folder }: Named,
    index: &Index,
    text: &dyn Fn(&Entry) -> Result<Text, Error>,
    policy: &Policy,
) -> Result<Facts, Error> {
    let descriptor = text(index.descriptor()?)?;
    let manifest = index.manifest()?.map(text).transpose()?;
    let certificate = index.certificate()?.map(text).transpose()?;
    let names: Vec<EntryName> = index.members.iter().map(|entry| entry.name.clone()).collect();
    let beside = descriptor.name.clone();
    let small = |href: &str| {
        let found = ovf::resolve_href(href, &beside, &names)?;
        let entry = index.members.iter().find(|entry| entry.name == *found.name);
        entry.map_or_else(|| Err(Error::new(Code::E0104, "it is not there")), text)
    };
    let judged = Papers { descriptor, manifest, certificate }.judge(&name, policy, &small)?;
    let members = index.members.iter().map(|entry| Member {
        name: entry.name.clone(),
        offset_bytes: entry.offset_bytes,
        length_bytes: entry.length_bytes,
    });
    Ok(Facts {
        kind: SourceKind::Ova,
        folder,
        descriptor: judged.descriptor,
        description: Description::Ovf(Box::new(judged.envelope)),
        manifest: judged.manifest,
        certificate: judged.certificate,
        signature: judged.signature,
        bundles: judged.bundles,
        members: members.collect(),
        is_complete: true,
        package_bytes: Some(index.length_bytes),
        findings: index.findings.iter().cloned().chain(judged.findings).collect(),
        name,
    })
}

fn slice(bytes: &Arc<dyn ReadAt>, entry: &Entry) -> Result<Slice, Error> {
    Slice::new(Arc::clone(bytes), entry.offset_bytes, entry.length_bytes)
        .map_err(|source| Error::io(format!("cannot read {}", entry.name), source))
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
