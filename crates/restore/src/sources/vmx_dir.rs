//! A VMX with its files beside it: the folder that VMware keeps a machine in.
//!
//! Files are opened beneath the VMX's own folder, as those of an OVF are: no link is followed, and no
//! name climbs out. Snapshots need nothing here: the VMX names the newest delta, and each delta its
//! parent.

use std::{collections::BTreeSet, fs::File, path::Path, sync::Arc};

use convert::source::File as Named;
use disk::ReadAt;
use ovf::{EntryName, Signature};
use vmx::Vmx;

use super::{deliver_whole, ovf_dir};
use crate::{
    Description, Error, Facts, Source, SourceKind,
    source::{Member, Take},
};

/// A VMX and the folder that it lies in.
pub(super) struct VmxDir {
    facts: Facts,
    folder: File,
}

impl VmxDir {
    /// Opens a VMX.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let (parent, folder, descriptor) = ovf_dir::open_typed(path)?;
        let vmx = Vmx::parse(&descriptor.bytes)
            .map_err(|error| of_vmx(&error).detail("file", descriptor.name.as_str()))?;
        let (system, _) = convert::from_vmx(&vmx);
        let named: BTreeSet<EntryName> = system.files().into_iter().filter_map(beside).collect();
        let mut names = ovf_dir::list(&folder, None)?;
        let folders = named.iter().filter_map(|name| Some(name.folder()?.to_owned()));
        names.extend(ovf_dir::names_in_folders(&folder, folders.collect())?);
        names.remove(&descriptor.name);
        let length_bytes = descriptor.bytes.len() as u64;
        let own = Member { name: descriptor.name.clone(), offset_bytes: 0, length_bytes };
        let mut members = vec![own];
        for name in names {
            let is_named = named.contains(&name);
            members.extend(ovf_dir::member(&folder, name, is_named)?);
        }
        let facts = Facts {
            kind: SourceKind::Vmx,
            name: path.display().to_string(),
            folder: Some(parent),
            descriptor,
            description: Description::Vmx(Box::new(vmx)),
            manifest: None,
            signature: Signature::Unsigned,
            members,
            is_complete: true,
            package_bytes: None,
            findings: Vec::new(),
        };
        Ok(Self { facts, folder })
    }
}

/// The name of a file in the VMX's own folder: what it names there, or what it may be called there.
fn beside(file: &Named) -> Option<EntryName> {
    let Named::Named(name) = file else { return None };
    EntryName::parse(name.beside().or(name.base())?).ok()
}

fn of_vmx(error: &vmx::Error) -> Error {
    let told = Error::new(error.code(), error.to_string());
    match error.kind() {
        vmx::Kind::Malformed => told.fix("get the file from VMware's datastore again"),
        vmx::Kind::Unsupported if error.line().is_none() => {
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
        ovf_dir::bytes(&self.folder, name)
    }

    fn deliver(
        &mut self,
        wanted: &dyn Fn(&EntryName) -> bool,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        deliver_whole(self, wanted, take)
    }
}
