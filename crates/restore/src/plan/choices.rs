//! What the user decided before anything is planned.

use std::{collections::BTreeSet, path::PathBuf};

use convert::copy::TargetOptions;
use vm::Accelerator;

use super::{Pinned, Restored};
use crate::{ManifestPolicy, SignaturePolicy, XmlTrust};

/// What the user chose.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// Ids or names of the systems; empty is all of them.
    pub systems: Vec<String>,
    /// Deployment option.
    pub configuration: Option<String>,
    /// Values of properties.
    pub properties: Vec<(String, String)>,
    /// Name of the machine; for one machine only.
    pub name: Option<String>,
    /// Hardware.
    pub hardware: convert::Choices,
    /// Format and layout of the written disks.
    pub output: TargetOptions,
    /// What to do with the manifest.
    pub manifest: ManifestPolicy,
    /// What to do with the signature.
    pub signature: SignaturePolicy,
    /// How far the definition of a backup or a domain XML is believed.
    pub trust_xml: XmlTrust,
    /// By what the guest of a native source is executed, where not as its definition says.
    pub executed_by: Option<Accelerator>,
    /// Warnings block.
    pub strict: bool,
    /// Files that relift wrote before and that may be replaced.
    pub replace: BTreeSet<PathBuf>,
    /// The pool of the host that takes the files.
    pub pool: Option<String>,
    /// Whether disks and CD images come along.
    pub images: Images,
    /// What to do when the host has a machine of that name.
    pub on_conflict: OnConflict,
    /// Whether a backup becomes another machine or takes the place of the one that is there.
    pub restored: Restored,
    /// The disks of a backup that come back, by target (`vda`) or item (`disk0`); empty is all.
    pub disks: Vec<String>,
    /// The machines are started when they are defined.
    pub start: bool,
    /// A licence that nobody accepted keeps the plan from being carried out.
    pub licences_bind: bool,
    /// What a reviewed plan pins; its machines are the ones that are planned.
    pub pinned: Option<Pinned>,
}

/// Whether disks and CD images come along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Images {
    /// All of them.
    #[default]
    Restored,
    /// None: the machine gets its hardware only.
    LeftOut,
}

/// What to do when the host has a machine of that name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// The plan is blocked.
    #[default]
    Fail,
    /// The new machine gets a number behind its name.
    Rename,
}
