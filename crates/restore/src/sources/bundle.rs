//! A native backup file: read where it lies, a member at a time.

use std::sync::Arc;

use ::bundle::{Bundle, Point, Role};
use code::Code;
use disk::ReadAt;
use ovf::{EntryName, Signature};

use super::{Named, deliver_whole};
use crate::{
    Description, Error, Facts, Native, Policy, Source, SourceKind,
    native::Backup,
    source::{Check, Member, Take, Text},
};

/// The most points that a message lists, from the newest on (ours).
const MAX_LISTED: usize = 20;

/// A native backup file.
pub(super) struct BundleFile {
    facts: Facts,
    bundle: Arc<Bundle>,
}

/// Opens an archive as a backup, where it is one: it has a definition among its members, or disks
/// and no descriptor of another kind.
///
/// # Errors
/// `E0604` for a backup whose definition cannot be read, `E0505` for one without the point that is meant,
/// and what is wrong with its members.
pub(super) fn open(
    named: &Named,
    bytes: &Arc<dyn ReadAt>,
    policy: &Policy,
) -> Result<Option<BundleFile>, Error> {
    // What is no archive of ours is for the other readers to judge.
    let Ok(bundle) = Bundle::open(Arc::clone(bytes)) else { return Ok(None) };
    if !is_backup(&bundle) {
        return Ok(None);
    }
    BundleFile::of(named, bundle, policy.point.as_deref())
        .map(Some)
        .map_err(|error| error.detail("package", named.shown()))
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
    fn of(named: &Named, bundle: Bundle, wanted: Option<&str>) -> Result<Self, Error> {
        let manifest = bundle.manifest()?;
        let points = manifest.as_ref().map_or(&[][..], |manifest| &manifest.points);
        let point = choose(points, wanted, named)?.cloned();
        let (member, xml) = match &point {
            Some(point) => {
                bundle.check_point(&point.id)?;
                (point.config.clone(), bundle.document(&point.config)?)
            }
            None => {
                let config = bundle.config()?;
                if let Some(member) = bundle.member(&config.member) {
                    bundle.check_member(member, &disk::Unheard)?;
                }
                (config.member, config.xml)
            }
        };
        let name = EntryName::parse(&member)?;
        let mut native = Native::parse(xml.clone())?;
        native.backup = Some(Backup::read(&bundle, manifest, point)?);
        let members = bundle.members().map(|member| Member {
            name: member.name.clone(),
            offset_bytes: member.offset_bytes,
            length_bytes: member.length_bytes,
        });
        let facts = Facts {
            kind: SourceKind::Bundle,
            name: named.name.clone(),
            folder: named.folder.clone(),
            descriptor: Text { name, bytes: xml.into_bytes() },
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

/// The point that is meant: the newest, unless one is named.
fn choose<'a>(
    points: &'a [Point],
    wanted: Option<&str>,
    named: &Named,
) -> Result<Option<&'a Point>, Error> {
    let Some(wanted) = wanted else { return Ok(points.last()) };
    if let Some(point) = points.iter().find(|point| point.id == wanted) {
        return Ok(Some(point));
    }
    let newest = points.iter().rev().take(MAX_LISTED).map(|point| point.id.as_str());
    let listed = match points.len() {
        0 => "none: it is one moment, and restored without naming it".to_owned(),
        _ => newest.collect::<Vec<_>>().join(", "),
    };
    let wanted = wanted.escape_debug();
    Err(Error::new(Code::E0505, format!("{} has no point {wanted}", named.shown()))
        .detail("points", listed)
        .fix("name one of them; the newest is taken when none is named"))
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
