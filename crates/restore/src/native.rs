//! What a native source says: the definition of a machine in libvirt's own words, and, in a backup,
//! the images of its disks and the tree of its snapshots.
//!
//! ```text
//! document --as it stands--> Definition                    taken with --trust-xml
//!         \--domain::scrub--> Definition, and what went    taken else
//! ```

use bundle::{Bundle, Manifest, Node, Point, Snapshot, Template};
use domain::{Drive, FirmwareFiles};
use vm::Machine;

use crate::Error;

/// A machine as it was defined.
#[derive(Debug)]
pub struct Native {
    /// As the source has it.
    pub stated: Definition,
    /// Without what a host must not take from a stranger.
    pub scrubbed: Definition,
    /// What the scrubbed one lost, in document order.
    pub removed: Vec<domain::Finding>,
    /// What a backup has beside it; `None` for a document alone.
    pub backup: Option<Backup>,
}

/// A document, and what is understood of it.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The document.
    pub document: String,
    /// What relift understands of it.
    pub machine: Machine,
    /// Its drives, in the order of the document.
    pub drives: Vec<Drive>,
    /// The files of its firmware.
    pub firmware: FirmwareFiles,
}

/// What a backup has beside the definition.
#[derive(Debug, Default)]
pub struct Backup {
    /// The disk images, each behind the one it stands on.
    pub nodes: Vec<Node>,
    /// The snapshots, each before its children, with their definitions; of a point, those that it has.
    pub snapshots: Vec<(Snapshot, String)>,
    /// When it was made, in seconds since 1970.
    pub unix_seconds: u64,
    /// Whether it was made from an appliance: then its files never had a place on a host.
    pub is_from_appliance: bool,
    /// How many members relift's own manifest lists; `None` without one.
    pub listed: Option<usize>,
    /// Whether the machine is a template that others are cloned from.
    pub is_template: bool,
    /// What the machine is a thin clone of.
    pub template: Option<Template>,
    /// The moments that can be restored, oldest first; none in a backup that is one moment.
    pub points: Vec<Point>,
    /// The one that is meant: its definition is the source's, its disks are chains of images.
    pub point: Option<Point>,
}

impl Native {
    /// Reads a definition.
    ///
    /// # Errors
    /// Text that is no sound domain XML of an x86 machine.
    pub(crate) fn parse(document: String) -> Result<Self, Error> {
        let scrubbed = domain::scrub(document.as_bytes())?;
        Ok(Self {
            stated: Definition::parse(document)?,
            scrubbed: Definition::parse(scrubbed.text)?,
            removed: scrubbed.findings,
            backup: None,
        })
    }

    /// The definition that counts.
    #[must_use]
    pub const fn definition(&self, trust: XmlTrust) -> &Definition {
        match trust {
            XmlTrust::Scrubbed => &self.scrubbed,
            XmlTrust::AsItStands => &self.stated,
        }
    }

    /// What people call the source.
    #[must_use]
    pub const fn called(&self) -> &'static str {
        if self.backup.is_some() { "a backup" } else { "a domain XML" }
    }
}

/// How far a definition from elsewhere is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XmlTrust {
    /// What gives a guest something of the host is taken out.
    #[default]
    Scrubbed,
    /// Devices, paths and programs of the host that it names are taken as they stand there.
    AsItStands,
}

impl Definition {
    /// Reads a document.
    ///
    /// # Errors
    /// Text that is no sound domain XML of an x86 machine.
    pub(crate) fn parse(document: String) -> Result<Self, Error> {
        Ok(Self {
            machine: domain::read(document.as_bytes())?.machine,
            drives: domain::drives(document.as_bytes())?,
            firmware: domain::firmware_files(document.as_bytes())?,
            document,
        })
    }
}

impl Backup {
    /// Reads what stands beside the definition.
    ///
    /// # Errors
    /// An image or the manifest is damaged, or names what is not there.
    pub(crate) fn read(
        bundle: &Bundle,
        manifest: Option<Manifest>,
        point: Option<Point>,
    ) -> Result<Self, Error> {
        let deleted = manifest.as_ref().map_or(&[][..], |manifest| &manifest.deleted);
        let nodes = bundle.nodes()?.into_iter().filter(|node| !deleted.contains(&node.member));
        Ok(Self {
            nodes: nodes.collect(),
            snapshots: snapshots(bundle, manifest.as_ref(), point.as_ref())?,
            unix_seconds: match &point {
                Some(point) => point.created_unix_seconds,
                None => bundle.config()?.unix_seconds,
            },
            is_from_appliance: manifest.as_ref().is_some_and(|it| it.source_facts.is_some()),
            listed: manifest.as_ref().map(|manifest| manifest.members.len()),
            is_template: manifest.as_ref().is_some_and(|it| it.is_template),
            template: manifest.as_ref().and_then(|it| it.template.clone()),
            points: manifest.map(|it| it.points).unwrap_or_default(),
            point,
        })
    }

    /// Why the point that is meant has not this drive.
    pub(crate) fn left_out(&self, drive: &Drive) -> Option<&str> {
        let mut left_out = self.point.as_ref()?.left_out.iter();
        Some(left_out.find(|one| one.target == drive.target)?.reason.as_str())
    }

    /// The image of this name.
    #[must_use]
    pub fn node(&self, member: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.member == member)
    }

    /// The image that held a drive when a snapshot was taken: the one that the snapshot names, else by the
    /// name of the drive's file.
    pub(crate) fn held<'s>(&self, snapshot: &'s Snapshot, drive: &Drive) -> Option<&'s str> {
        let by_file = || snapshot.nodes.iter().find(|node| is_member_of(&drive.source, node));
        snapshot.disks.get(&drive.target).or_else(by_file).map(String::as_str)
    }

    /// The image that was this drive's: by the drive's name in the point, else by that of its file.
    #[must_use]
    pub fn image_of(&self, drive: &Drive) -> Option<&Node> {
        if let Some(point) = &self.point {
            return self.node(&point.disk(&drive.target)?.member);
        }
        self.nodes.iter().find(|node| is_member_of(&drive.source, &node.member))
    }
}

/// Whether a member is what a drive's source was: the name is all that both have.
pub(crate) fn is_member_of(source: &domain::DriveSource, member: &str) -> bool {
    use domain::DriveSource;
    let base = match source {
        DriveSource::File(path) | DriveSource::Block(path) => {
            path.file_name().and_then(|name| name.to_str())
        }
        DriveSource::Network { name, .. } => name.rsplit('/').next(),
        DriveSource::Volume { volume, .. } => Some(volume.as_str()),
        DriveSource::None | DriveSource::Other(_) => None,
    };
    let stem = member.rsplit_once('.').map_or(member, |(stem, _)| stem);
    base.is_some_and(|base| base == member || base == stem)
}

/// The snapshots of a backup, or of the point that is meant: a parent that the point does not have was
/// deleted before it was made.
fn snapshots(
    bundle: &Bundle,
    manifest: Option<&Manifest>,
    point: Option<&Point>,
) -> Result<Vec<(Snapshot, String)>, Error> {
    let is_meant = |name: &String| point.is_none_or(|point| point.snapshots.contains(name));
    let all = manifest.map_or(&[][..], |manifest| &manifest.snapshots).iter();
    let mut found = Vec::new();
    for snapshot in all.filter(|snapshot| is_meant(&snapshot.name)) {
        let parent = snapshot.parent.clone().filter(is_meant);
        let document = bundle.document(&snapshot.config)?;
        found.push((Snapshot { parent, ..snapshot.clone() }, document));
    }
    Ok(found)
}
