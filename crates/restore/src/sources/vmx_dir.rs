//! A VMX with its files beside it: the folder that VMware keeps a machine in.
//!
//! Snapshots need nothing here: the VMX names the newest delta, and each delta its parent.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use convert::source::File;
use disk::ReadAt;
use ovf::{EntryName, Signature};
use vmx::Vmx;

use super::{
    deliver_whole,
    folder::{Folder, Typed},
};
use crate::{Description, Error, Facts, Source, SourceKind, source::Take};

/// A VMX and the folder that it lies in.
pub(super) struct VmxDir {
    facts: Facts,
    folder: Folder,
}

impl VmxDir {
    /// Opens a VMX.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        Self::read(path.display().to_string(), Folder::of_typed(path)?)
    }

    /// Reads a VMX that is open; `name` is what the user typed.
    pub(super) fn read(name: String, typed: Typed) -> Result<Self, Error> {
        let Typed { path: parent, folder, text: descriptor } = typed;
        let vmx = Vmx::parse(&descriptor.bytes)
            .map_err(|error| of_vmx(&error).detail("file", descriptor.name.as_str()))?;
        let (system, _) = convert::from_vmx(&vmx);
        let named: BTreeSet<EntryName> = system.files().into_iter().filter_map(beside).collect();
        let folders = named.iter().filter_map(|name| Some(name.folder()?.to_owned())).collect();
        let members = folder.members(&descriptor, folders, &|name| named.contains(name))?;
        let facts = Facts {
            kind: SourceKind::Vmx,
            name,
            folder: Some(parent),
            descriptor,
            description: Description::Vmx(Box::new(vmx)),
            manifest: None,
            certificate: None,
            signature: Signature::Unsigned,
            bundles: Vec::new(),
            members,
            is_complete: true,
            package_bytes: None,
            findings: Vec::new(),
        };
        Ok(Self { facts, folder })
    }
}

/// The name of a file in the VMX's own folder: what it names there, or what it may be called there.
fn beside(file: &File) -> Option<EntryName> {
    let File::Named(name) = file else { return None };
    EntryName::parse(name.beside().or(name.base())?).ok()
}

fn of_vmx(error: &vmx::Error) -> Error {
    let told = Error::new(error.code(), error.to_string());
    match error.kind() {
        vmx::Kind::Malformed => told.fix("get the file from VMware's datastore again"),
        vmx::Kind::Encrypted => {
            told.fix("remove the encryption in VMware, or export the machine as an OVA")
        }
        _ => told,
    }
}

impl Source for VmxDir {
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
