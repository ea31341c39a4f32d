//! What a native source says: the definition of a machine in libvirt's own words, and, in a backup,
//! the images of its disks and the tree of its snapshots.

use bundle::{Bundle, Manifest, Node, Snapshot, Template};
use domain::{Drive, FirmwareFiles};
use vm::Machine;

use crate::Error;

/// A machine as it was defined.
#[derive(Debug)]
pub struct Native {
    /// The document.
    pub document: String,
    /// What relift understands of it.
    pub machine: Machine,
    /// What a machine has no place for; the document keeps it.
    pub findings: Vec<domain::Finding>,
    /// Its drives, in the order of the document.
    pub drives: Vec<Drive>,
    /// The files of its firmware.
    pub firmware: FirmwareFiles,
    /// What a backup has beside it; `None` for a document alone.
    pub backup: Option<Backup>,
}

/// What a backup has beside the definition.
#[derive(Debug, Default)]
pub struct Backup {
    /// The disk images, each behind the one it stands on.
    pub nodes: Vec<Node>,
    /// The snapshots, each before its children, with their definitions.
    pub snapshots: Vec<(Snapshot, String)>,
    /// When it was made, in seconds since 1970.
    pub unix_seconds: u64,
    /// Whether it was made from an appliance: then its files never had a place on a host.
    pub is_from_appliance: bool,
    /// Whether relift's own manifest says what belongs to it.
    pub has_manifest: bool,
    /// Whether the machine is a template that others are cloned from.
    pub is_template: bool,
    /// What the machine is a thin clone of.
    pub template: Option<Template>,
}

impl Native {
    /// Reads a definition.
    ///
    /// # Errors
    /// Text that is no sound domain XML of an x86 machine.
    pub(crate) fn parse(document: String) -> Result<Self, Error> {
        let read = domain::read(document.as_bytes())?;
        Ok(Self {
            drives: domain::drives(document.as_bytes())?,
            firmware: domain::firmware_files(document.as_bytes())?,
            machine: read.machine,
            findings: read.findings,
            document,
            backup: None,
        })
    }

    /// What people call the source.
    pub(crate) const fn called(&self) -> &'static str {
        if self.backup.is_some() { "a backup" } else { "a domain XML" }
    }
}

impl Backup {
    /// Reads what stands beside the definition.
    ///
    /// # Errors
    /// An image or the manifest is damaged, or names what is not there.
    pub(crate) fn read(bundle: &Bundle) -> Result<Self, Error> {
        let manifest = bundle.manifest()?;
        let deleted = manifest.as_ref().map_or(&[][..], |manifest| &manifest.deleted);
        let nodes = bundle.nodes()?.into_iter().filter(|node| !deleted.contains(&node.member));
        Ok(Self {
            nodes: nodes.collect(),
            snapshots: snapshots(bundle, manifest.as_ref())?,
            unix_seconds: bundle.config()?.unix_seconds,
            is_from_appliance: manifest.as_ref().is_some_and(|it| it.source_facts.is_some()),
            has_manifest: manifest.is_some(),
            is_template: manifest.as_ref().is_some_and(|it| it.is_template),
            template: manifest.and_then(|it| it.template),
        })
    }

    /// The image of this name.
    #[must_use]
    pub fn node(&self, member: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.member == member)
    }
}

fn snapshots(
    bundle: &Bundle,
    manifest: Option<&Manifest>,
) -> Result<Vec<(Snapshot, String)>, Error> {
    let mut found = Vec::new();
    for snapshot in manifest.map_or(&[][..], |manifest| &manifest.snapshots) {
        found.push((snapshot.clone(), bundle.document(&snapshot.config)?));
    }
    Ok(found)
}
