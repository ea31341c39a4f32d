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
    /// Opens a folder that holds exactly one descriptor.
    pub(super) fn of_folder(path: &Path, policy: &Policy) -> Result<Self, Error> {
        let folder = Folder::open(path)?;
        let names = folder.names()?;
        let found: Vec<&EntryName> = names
            .iter()
            .filter(|name| name.has_extension("ovf") && !name.base().starts_with("._"))
            .collect();
        let [descriptor] = found.as_slice() else {
            let shown = path.display();
            let text = match found.len() {
                0 => format!("no .ovf is in the folder {shown}"),
                count => format!("{count} .ovf files are in the folder {shown}"),
            };
            let list = found.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            let error = Error::new(Code::E0103, text);
            return Err(if list.is_empty() {
                error.fix("point relift at the .ovf, the .vmx or the .ova itself")
            } else {
                error.detail("found", list).fix("point relift at one of them")
            });
        };
        let name = (*descriptor).clone();
        // Nobody typed this name, so it is opened as the package's other names are.
        let Some(text) = folder.text(name.clone())? else {
            return Err(Error::new(Code::E0105, format!("{name} is no regular file")));
        };
        let shown = path.display().to_string();
        Self::read(shown, Typed { path: path.to_owned(), folder, text }, policy)
    }

    /// Opens a descriptor.
    pub(super) fn of_descriptor(path: &Path, policy: &Policy) -> Result<Self, Error> {
        Self::read(path.display().to_string(), Folder::of_typed(path)?, policy)
    }

    fn read(name: String, typed: Typed, policy: &Policy) -> Result<Self, Error> {
        let Typed { path, folder, text: descriptor } = typed;
        let beside = |extension: &str| -> Result<Option<Text>, Error> {
            folder.text(EntryName::parse(&format!("{}.{extension}", descriptor.name.stem()))?)
        };
        let (manifest, certificate) = (beside("mf")?, beside("cert")?);
        let shown = descriptor.name.to_string();
        let Judged { descriptor, envelope, manifest, signature, findings } =
            Papers { descriptor, manifest, certificate }.judge(&shown, policy)?;
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
            signature,
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

    fn deliver(
        &mut self,
        wanted: &dyn Fn(&EntryName) -> bool,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        deliver_whole(self, wanted, take)
    }
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
