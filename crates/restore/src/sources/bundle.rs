//! A native backup file: read where it lies, a member at a time.

use std::sync::Arc;

use ::bundle::{Bundle, Role};
use code::Code;
use disk::ReadAt;
use ovf::{EntryName, Signature};

use super::{Named, deliver_whole};
use crate::{
    Description, Error, Facts, Native, Source, SourceKind,
    native::Backup,
    source::{Check, Member, Take, Text},
};

/// A native backup file.
pub(super) struct BundleFile {
    facts: Facts,
    bundle: Arc<Bundle>,
}

/// Opens an archive as a backup, where it is one: it has a definition among its members, or disks
/// and no descriptor of another kind.
///
/// # Errors
/// `E0604` for a backup whose definition cannot be read, and what is wrong with its members.
pub(super) fn open(named: &Named, bytes: &Arc<dyn ReadAt>) -> Result<Option<BundleFile>, Error> {
    // What is no archive of ours is for the other readers to judge.
    let Ok(bundle) = Bundle::open(Arc::clone(bytes)) else { return Ok(None) };
    if !is_backup(&bundle) {
        return Ok(None);
    }
    BundleFile::of(named, bundle).map(Some).map_err(|error| error.detail("package", named.shown()))
}

/// Whether an archive is a backup, sound or not.
#[must_use]
pub fn is_backup(bundle: &Bundle) -> bool {
    let has_descriptor = bundle
        .members()
        .any(|member| member.name.has_extension("ovf") && member.role == Role::Other);
    let is_ours = |role: Role| role.is_image() || matches!(role, Role::Manifest { .. });
    let has_parts =
        !bundle.configs().is_empty() || bundle.members().any(|member| is_ours(member.role));
    bundle.config().is_ok() || (has_parts && !has_descriptor)
}

impl BundleFile {
    fn of(named: &Named, bundle: Bundle) -> Result<Self, Error> {
        let config = bundle.config()?;
        let name = EntryName::parse(&config.member)?;
        if let Some(member) = bundle.member(&config.member) {
            bundle.check_member(member, &disk::Unheard)?;
        }
        let mut native = Native::parse(config.xml.clone())?;
        native.backup = Some(Backup::read(&bundle)?);
        let members = bundle.members().map(|member| Member {
            name: member.name.clone(),
            offset_bytes: member.offset_bytes,
            length_bytes: member.length_bytes,
        });
        let facts = Facts {
            kind: SourceKind::Bundle,
            name: named.name.clone(),
            folder: named.folder.clone(),
            descriptor: Text { name, bytes: config.xml.into_bytes() },
            description: Description::Native(Box::new(native)),
            manifest: None,
            certificate: None,
            signature: Signature::default(),
            bundles: Vec::new(),
            members: members.collect(),
            is_complete: true,
            package_bytes: Some(bundle.file_bytes()),
            findings: bundle.findings().to_vec(),
        };
        Ok(Self { facts, bundle: Arc::new(bundle) })
    }
}

impl Source for BundleFile {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn bytes(&self, name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error> {
        match self.bundle.member(name.as_str()) {
            Some(member) => Ok(Some(self.bundle.bytes(member)?)),
            None => Ok(None),
        }
    }

    fn check(&self, name: &EntryName) -> Option<Check> {
        let bundle = Arc::clone(&self.bundle);
        let name = name.clone();
        Some(Box::new(move |progress| match bundle.member(name.as_str()) {
            Some(member) => Ok(bundle.check_member(member, progress)?),
            None => Err(Error::new(Code::E0104, format!("{name} is not in the backup"))),
        }))
    }

    fn deliver(
        &mut self,
        wanted: &dyn Fn(&EntryName) -> bool,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        deliver_whole(self, wanted, take)
    }
}
