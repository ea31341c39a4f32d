//! A descriptor with its files beside it.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use code::Code;
use disk::ReadAt;
use ovf::EntryName;

use super::{
    deliver_whole,
    folder::{Folder, Typed},
    papers::{Judged, Papers},
};
use crate::{
    Description, Error, Facts, Policy, Source, SourceKind,
    source::{Take, Text},
};

/// A descriptor and the folder that it lies in.
pub(super) struct OvfDir {
    facts: Facts,
    folder: Folder,
}

impl OvfDir {
    /// Opens a descriptor.
    pub(super) fn of_descriptor(path: &Path, policy: &Policy) -> Result<Self, Error> {
        Self::read(path.display().to_string(), Folder::of_typed(path)?, policy)
    }

    /// Reads a descriptor that is open; `name` is what the user typed.
    pub(super) fn read(name: String, typed: Typed, policy: &Policy) -> Result<Self, Error> {
        let Typed { path, folder, text: descriptor } = typed;
        let beside = |extension: &str| -> Result<Option<Text>, Error> {
            folder.text(EntryName::parse(&format!("{}.{extension}", descriptor.name.stem()))?)
        };
        let (manifest, certificate) = (beside("mf")?, beside("cert")?);
        let shown = descriptor.name.to_string();
        let small = |href: &str| bundle(&folder, href);
        let Judged { descriptor, envelope, manifest, certificate, signature, bundles, findings } =
            Papers { descriptor, manifest, certificate }.judge(&shown, policy, &small)?;
        let members = folder.members(&descriptor, folders_of(&envelope), &|name| {
            let listed = manifest.as_ref().is_some_and(|(_, all)| all.expected(name).is_some());
            listed || is_spoken_of(name, &envelope, &descriptor.name)
        })?;
        let facts = Facts {
            kind: SourceKind::Ovf,
            name,
            folder: Some(path),
            description: Description::Ovf(Box::new(envelope)),
            manifest,
            certificate,
            signature,
            bundles,
            is_complete: true,
            package_bytes: None,
            findings,
            members,
            descriptor,
        };
        Ok(Self { facts, folder })
    }
}

impl Source for OvfDir {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn bytes(&self, name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error> {
        self.folder.bytes(name)
    }

    fn check_unchanged(&self) -> Result<(), Error> {
        self.folder.check_unchanged()
    }

    fn deliver(
        &mut self,
        wanted: &dyn Fn(&EntryName) -> bool,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        deliver_whole(self, wanted, take)
    }
}

/// A message bundle beside the descriptor, found as any other file of the package.
fn bundle(folder: &Folder, href: &str) -> Result<Text, Error> {
    ovf::check_href(href)?;
    for spelling in ovf::spellings(href) {
        let Ok(name) = EntryName::parse(&spelling) else { continue };
        if let Some(text) = folder.text(name)? {
            return Ok(text);
        }
    }
    Err(Error::new(Code::E0104, "it is not beside the descriptor"))
}

/// Whether the descriptor speaks of a file.
fn is_spoken_of(name: &EntryName, envelope: &ovf::Envelope, descriptor: &EntryName) -> bool {
    let mut hrefs = envelope.files.iter().filter_map(|file| file.href.as_deref());
    hrefs.any(|href| ovf::resolve_href(href, descriptor, std::slice::from_ref(name)).is_ok())
}

/// The sub-folders that the descriptor speaks of.
fn folders_of(envelope: &ovf::Envelope) -> BTreeSet<String> {
    let hrefs = envelope.files.iter().filter_map(|file| file.href.as_deref());
    hrefs.filter_map(|href| EntryName::parse(href).ok()?.folder().map(str::to_owned)).collect()
}
