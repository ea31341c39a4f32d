//! The machine that is there, where the restored one takes its place, and what becomes of its parts.
//!
//! ```text
//! moment                          NAME        NAME.before-POINT   the machine is defined with
//! before                          old         -                   NAME
//! each old file has two names     old         old                 NAME
//! the old machine is held         old         old                 NAME.before-POINT
//! the new files get their names   new         old                 NAME.before-POINT
//! the new machine is defined      new         old                 NAME
//! after --no-safety-snapshot      new         -                   NAME
//! ```
//!
//! So a run that ends anywhere leaves the old machine whole or the new one: each definition in turn
//! names files that are all of one of them, and libvirt puts one in the place of another at once.

use std::path::PathBuf;

use host::libvirt::KnownMachine;
use vm::Uuid;

use crate::{Definition, Error};

/// What a restored machine is to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Restored {
    /// Another machine, with an identity of its own.
    #[default]
    AsNew,
    /// The machine that is there: it is replaced.
    InPlace(Safety),
}

/// What becomes of the files that are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Safety {
    /// They stay under another name, with the definition that they belong to.
    Kept,
    /// They are removed once the new machine is there.
    Removed,
}

/// What is known of the machine of the host whose place the restored one takes.
#[derive(Debug, Clone)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: Uuid,
    /// Whether it has to be turned off first.
    pub is_active: bool,
    /// Whether libvirt keeps its memory for the next start.
    pub has_saved_memory: bool,
    /// Its definition, secrets and all: it is defined again when something fails.
    pub definition: Definition,
    /// Its checkpoints.
    pub checkpoints: Vec<String>,
    /// Its snapshots.
    pub snapshots: Vec<String>,
}

impl Standing {
    /// A machine that is off, without checkpoints and snapshots.
    ///
    /// # Errors
    /// Its document is no sound domain XML of an x86 machine.
    pub fn new(known: &KnownMachine, document: String) -> Result<Self, Error> {
        Ok(Self {
            name: known.name.clone(),
            uuid: known.uuid,
            is_active: known.is_active,
            has_saved_memory: false,
            definition: Definition::parse(document)?,
            checkpoints: Vec::new(),
            snapshots: Vec::new(),
        })
    }
}

/// How a machine of the host is replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacing {
    /// Its identity, which stays.
    pub uuid: Uuid,
    /// Its definition as it was planned from, secrets and all.
    pub document: String,
    /// The same with its files under their second names.
    pub held: String,
    /// The files that are replaced.
    pub files: Vec<Aside>,
    /// The checkpoints that are forgotten.
    pub checkpoints: Vec<String>,
    /// The snapshots that are: those of the backup take their places.
    pub snapshots: Vec<String>,
    /// Whether the files stay under their second names.
    pub safety: Safety,
    /// Where the definition of the held machine is kept beside them, where they stay. Only its owner can
    /// read that: the secrets are in it.
    pub xml: Option<PathBuf>,
}

/// A file of the old machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aside {
    /// Its name, which a new file may get.
    pub path: PathBuf,
    /// Its second name.
    pub aside: PathBuf,
}

impl Replacing {
    /// What is left of the old machine on purpose, for people.
    #[must_use]
    pub fn kept(&self) -> Vec<PathBuf> {
        if self.safety == Safety::Removed {
            return Vec::new();
        }
        self.files.iter().map(|file| file.aside.clone()).chain(self.xml.clone()).collect()
    }
}
