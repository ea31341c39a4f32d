//! A plan as a value: what becomes of each machine, and which files are made of what.

use std::{collections::BTreeSet, path::PathBuf};

use code::Severity;
use convert::{Licences, Note, Row, SourceCard, copy::TargetOptions};
use ovf::{EntryName, Finding, descriptor::Configuration};
use vm::{DiskId, Machine};

use super::{DOMAIN_XML, Edit, Made, Replacing, Space, Startup, members, result_path};
use crate::{ManifestPolicy, PackedImage, SignaturePolicy};

/// What is done on a libvirt host once the files are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPlan {
    /// Its address.
    pub uri: String,
    /// The pools that shall see the files.
    pub pools: Vec<String>,
    /// Whether the machines are started.
    pub start: bool,
}

/// The backup file that is written, and what its members are called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundlePlan {
    /// How it is stored.
    pub form: bundle::Form,
    /// The time that its members have, in seconds since 1970.
    pub unix_seconds: u64,
    /// The program that writes it, with its version.
    pub tool: String,
    /// The member with the domain XML.
    pub config: String,
}

/// What would happen.
#[derive(Debug)]
pub struct Plan {
    /// The source's name as the user typed it.
    pub source: String,
    /// What the source is.
    pub kind: crate::SourceKind,
    /// What pins the source; a pipe has none.
    pub digest: Option<String>,
    /// The folder that the machines' files go to, or the backup file that they are members of.
    pub target: PathBuf,
    /// The libvirt host that gets the machines; without one the folder gets their definitions.
    pub host: Option<HostPlan>,
    /// The backup file, where one is written.
    pub bundle: Option<BundlePlan>,
    /// The configuration that was taken.
    pub configuration: Option<String>,
    /// The configurations that there are.
    pub configurations: Vec<Configuration>,
    /// The order in which the machines are meant to start; nothing is started because of it.
    pub startup: Vec<Startup>,
    /// The machines, in the order of the descriptor.
    pub machines: Vec<MachinePlan>,
    /// What is to be said about the package as a whole.
    pub findings: Vec<Finding>,
    /// Room on the target.
    pub space: Space,
    /// What to do with the manifest.
    pub manifest: ManifestPolicy,
    /// What to do with the signature.
    pub signature: SignaturePolicy,
    /// What is known of the signature; on a pipe it may be still to come.
    pub signed: ovf::Signature,
    /// What keeps the plan from being executed and belongs to no row.
    pub blockers: Vec<Note>,
    /// Files that may be replaced.
    pub replace: BTreeSet<PathBuf>,
    /// Warnings that come to be known in the run end it.
    pub strict: bool,
    /// What a plan file decided, in the order in which it came to count.
    pub edits: Vec<Edit>,
}

/// One machine of a plan.
#[derive(Debug)]
pub struct MachinePlan {
    /// What the system is chosen by.
    pub id: String,
    /// The folder of its files.
    pub folder: PathBuf,
    /// The machine, with the paths of its images.
    pub machine: Machine,
    /// What runs inside, for people.
    pub guest: String,
    /// What becomes of each item.
    pub rows: Vec<Row>,
    /// The licences that bind it.
    pub licences: Vec<Licence>,
    /// The files that are written.
    pub files: Vec<FilePlan>,
    /// The id of each disk, which has the source's number, in the machine's order.
    pub disk_ids: Vec<String>,
    /// What each network card is of the source, in the machine's order.
    pub cards: Vec<SourceCard>,
    /// The domain XML; absent where a blocker forbids it.
    pub domain_xml: Option<String>,
    /// The snapshots that come along, each before its children.
    pub snapshots: Vec<SnapshotPlan>,
    /// The machine of the host that it replaces.
    pub replacing: Option<Replacing>,
}

/// A snapshot that is told to the host again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPlan {
    /// Its name.
    pub name: String,
    /// libvirt's document of it.
    pub document: String,
}

/// An image of a backup, of which the name of the one it stands on is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFile {
    /// The size of the guest's disk.
    pub capacity_bytes: u64,
    /// What it stands on, as its header will say it.
    pub backing: Option<String>,
}

/// A licence, as a result records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Licence {
    /// SHA-256 of its text in UTF-8, as `inspect --full` prints it but for indentation.
    pub sha256: String,
    /// What the user said to it.
    pub answer: Licences,
}

/// One image that is written.
#[derive(Debug, Clone)]
pub struct FilePlan {
    /// What it is made of; an empty disk is made of nothing.
    pub image: Option<PackedImage>,
    /// What the descriptor calls it, where the members have not passed yet.
    pub href: Option<Href>,
    /// Where it will be.
    pub to: PathBuf,
    /// What it is.
    pub role: FileRole,
}

/// A name of the descriptor that is looked for among members as they pass.
#[derive(Debug, Clone)]
pub struct Href {
    /// The text of the descriptor.
    pub text: String,
    /// The descriptor's own name: the href is relative to its folder.
    pub descriptor: EntryName,
}

impl MachinePlan {
    /// The member that a disk of the machine is made of; an empty disk has none.
    #[must_use]
    pub fn member_of(&self, disk: &vm::Disk) -> Option<&EntryName> {
        self.files.iter().find(|file| file.to == disk.image).and_then(FilePlan::member)
    }
}

impl FilePlan {
    /// The member that the image begins in; an empty disk has none.
    #[must_use]
    pub fn member(&self) -> Option<&EntryName> {
        self.image.as_ref().map(|image| &image.name)
    }

    /// Whether this member is what the image is made of, or the first of its chunks.
    #[must_use]
    pub fn is_made_of(&self, name: &EntryName) -> bool {
        match &self.href {
            None => self.member() == Some(name),
            // Only what the text itself means: guesses need the names of all members.
            Some(Href { text, descriptor }) => {
                ovf::resolve_href(text, descriptor, std::slice::from_ref(name))
                    .is_ok_and(|resolved| resolved.finding.is_none())
            }
        }
    }
}

/// What a written image is.
#[derive(Debug, Clone)]
pub enum FileRole {
    /// A disk of the machine.
    Disk {
        /// Its number.
        disk: DiskId,
        /// The capacity that the descriptor states.
        stated_bytes: Option<u64>,
        /// The format and layout that are written.
        output: TargetOptions,
    },
    /// An image of a backup, kept with its clusters where they are.
    Node(NodeFile),
    /// Images of a point of a backup that become one, which stands on another image: they were never
    /// files of the machine.
    Merged(NodeFile),
    /// A file that the planner made itself.
    Made(Made),
    /// A CD or floppy image, copied as it is.
    Medium,
    /// A file for people that no device uses, copied as it is where it comes with the package.
    Kept,
}

impl Plan {
    /// Every row with what it is said about: the machine's id, the row.
    pub fn rows(&self) -> impl Iterator<Item = (&MachinePlan, &Row)> {
        self.machines.iter().flat_map(|machine| machine.rows.iter().map(move |row| (machine, row)))
    }

    /// The notes of the rows, and those that belong to none.
    pub fn notes(&self) -> impl Iterator<Item = &Note> {
        let rows = self.machines.iter().flat_map(|machine| &machine.rows);
        rows.flat_map(|row| &row.notes).chain(&self.blockers)
    }

    /// The files of the package that images are made of.
    #[must_use]
    pub fn members(&self) -> Vec<EntryName> {
        members(&self.machines)
    }

    /// What keeps the plan from being executed, in order.
    #[must_use]
    pub fn blockers(&self) -> Vec<&Note> {
        self.notes().filter(|note| note.severity == Severity::Blocker).collect()
    }

    /// Where the result is written: a folder gets one, a host has its definitions, a backup file its
    /// manifest.
    #[must_use]
    pub fn result(&self) -> Option<PathBuf> {
        self.has_folders().then(|| result_path(&self.target))
    }

    /// Where the domain XMLs are written: a host keeps its definitions itself.
    #[must_use]
    pub fn domains(&self) -> Vec<PathBuf> {
        let name = self.bundle.as_ref().map_or(DOMAIN_XML, |bundle| &bundle.config);
        let machines = self.machines.iter().filter(|_| self.host.is_none());
        machines.map(|machine| machine.folder.join(name)).collect()
    }

    /// Whether the machines get folders, with their definitions in them.
    const fn has_folders(&self) -> bool {
        self.host.is_none() && self.bundle.is_none()
    }

    /// How many warnings there are.
    #[must_use]
    pub fn warnings(&self) -> usize {
        let noted = self.notes().filter(|note| note.severity == Severity::Warning).count();
        noted + self.findings.len()
    }
}
