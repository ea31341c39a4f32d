//! What a reviewed plan pins: the source that it was made from, and what its machines shall be.
//!
//! A plan is made from choices, and a plan file has the *results* of such choices, of which a reader
//! may have changed some. So the planner plans, looks where the plan differs from what the file says,
//! takes those values for chosen, and plans again, until both agree. What the file leaves as it was
//! is thus decided, and explained, exactly as before; what was edited is `set by you`; and what cannot
//! be as the file says is a blocker that names the line, never dropped.
//!
//! These are plain values: the text of the file, and its version, belong to whoever reads it.

mod settle;
mod values;

use std::path::PathBuf;

use code::Code;
use convert::DiskBus;
use vm::{Chipset, DiskFormat, Firmware, MacAddress, NicModel, NicTarget, Uuid};

use super::Choices;
use crate::{Error, Facts};

pub(super) use settle::settle;
pub use values::{DiskValues, Hang, MachineValues, NicValues, Word};

/// What a plan file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// The source that the plan was made from.
    pub source: SourcePin,
    /// The machines that are planned, each with what is said of it.
    pub machines: Vec<PinnedMachine>,
}

/// What pins a source, and what tells which part of it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePin {
    /// The kind of the source, in the word used in JSON.
    pub kind: String,
    /// The digest that counts: [`Facts::digest`].
    pub digest: String,
    /// Digest of the descriptor alone.
    pub descriptor: Option<String>,
    /// Digest of the manifest alone.
    pub manifest: Option<String>,
}

/// A value of a plan file, and the line that it stands on, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<T> {
    /// The value.
    pub value: T,
    /// The line.
    pub line: usize,
}

/// What is said of one machine; what is absent is the planner's to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedMachine {
    /// What the machine is chosen by.
    pub id: Said<String>,
    /// Its name on the host.
    pub name: Option<Said<String>>,
    /// Its identity.
    pub uuid: Option<Said<Uuid>>,
    /// Virtual processors.
    pub vcpus: Option<Said<u32>>,
    /// Memory in bytes.
    pub memory_bytes: Option<Said<u64>>,
    /// Firmware.
    pub firmware: Option<Said<Firmware>>,
    /// Board.
    pub chipset: Option<Said<Chipset>>,
    /// Every disk.
    pub disks: Vec<PinnedDisk>,
    /// Every network card.
    pub nics: Vec<PinnedNic>,
}

/// What is said of one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedDisk {
    /// The disk's id, `disk0`.
    pub id: Said<String>,
    /// The file of the source; it can be compared, not chosen.
    pub file: Option<Said<String>>,
    /// A name in the machine's folder, or an absolute path.
    pub to: Option<Said<PathBuf>>,
    /// Format of the image.
    pub format: Option<Said<DiskFormat>>,
    /// What the disk hangs on.
    pub bus: Option<Said<Hang>>,
}

/// What is said of one network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedNic {
    /// The card's id, `nic0`.
    pub id: Said<String>,
    /// The network of the source; it can be compared, not chosen.
    pub source: Option<Said<String>>,
    /// Where the card goes.
    pub target: Option<Said<NicTarget>>,
    /// The model.
    pub model: Option<Said<NicModel>>,
    /// The Ethernet address.
    pub mac: Option<Said<MacAddress>>,
}

/// A value that is as it is because the plan file says so, and not because of choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The line of the file.
    pub line: usize,
    /// The key.
    pub key: &'static str,
    /// The machine, disk or card.
    pub item: String,
    /// The value, as the file has it.
    pub value: String,
}

impl SourcePin {
    /// What pins a source; a pipe that has not passed has nothing that does.
    #[must_use]
    pub fn of(facts: &Facts) -> Option<Self> {
        let sha256 = |bytes: &[u8]| {
            format!("sha256:{}", crate::digest_of(bytes, ovf::manifest::Algorithm::Sha256))
        };
        Some(Self {
            kind: facts.kind.as_str().to_owned(),
            digest: facts.digest()?,
            descriptor: Some(sha256(&facts.descriptor.bytes)),
            manifest: facts.manifest.as_ref().map(|(text, _)| sha256(&text.bytes)),
        })
    }

    /// Compares the source with the one that the plan was made from.
    ///
    /// # Errors
    /// `E0803`, with what changed as far as it is known.
    pub fn check(&self, facts: &Facts) -> Result<(), Error> {
        let Some(now) = Self::of(facts) else {
            let text = format!("{} passes once, so it cannot be compared first", facts.name);
            return Err(
                Error::new(Code::E0803, text).fix("save the package to a file, and plan that")
            );
        };
        if now.digest == self.digest {
            return Ok(());
        }
        let text = format!("{} changed since the plan was made", facts.name);
        Err(Error::new(Code::E0803, text)
            .detail("planned", &self.digest)
            .detail("found", &now.digest)
            .detail("changed", self.changed(&now).join(", ")))
    }

    /// Which parts differ. The digest covers the descriptor, the manifest and the list of files.
    fn changed(&self, now: &Self) -> Vec<&'static str> {
        let mut parts = Vec::new();
        if self.kind != now.kind {
            parts.push("the kind of the source");
        }
        if self.descriptor.is_none() {
            parts.push("what, is not known: the plan file has no digest of the descriptor");
            return parts;
        }
        if self.descriptor != now.descriptor {
            parts.push("the descriptor");
        }
        if self.manifest != now.manifest {
            parts.push("the manifest");
        }
        if parts.is_empty() {
            parts.push("the names, places or lengths of the files");
        }
        parts
    }
}

impl Pinned {
    /// The ids of the machines that are planned.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.machines.iter().map(|machine| machine.id.value.clone()).collect()
    }

    /// The paths of disks that lie in no folder that the planner chooses.
    pub fn places(&self) -> impl Iterator<Item = &PathBuf> {
        let disks = self.machines.iter().flat_map(|machine| &machine.disks);
        disks.filter_map(|disk| Some(&disk.to.as_ref()?.value)).filter(|path| path.is_absolute())
    }

    /// Fails for a machine that the source does not have; these are the ids of those that it has.
    pub(super) fn check_machines(&self, there: &[&str]) -> Result<(), Error> {
        for PinnedMachine { id: Said { value, line }, .. } in &self.machines {
            if !there.contains(&value.as_str()) {
                let text = format!("line {line}: the source has no machine with the id '{value}'");
                return Err(Error::new(Code::E0804, text)
                    .detail("machines", there.join(", "))
                    .fix("an id cannot be edited: the name is what can"));
            }
        }
        Ok(())
    }
}

impl PinnedMachine {
    /// A machine of which nothing is said.
    #[must_use]
    pub const fn bare(id: Said<String>) -> Self {
        Self {
            id,
            name: None,
            uuid: None,
            vcpus: None,
            memory_bytes: None,
            firmware: None,
            chipset: None,
            disks: Vec::new(),
            nics: Vec::new(),
        }
    }

    /// What is said of a disk.
    pub(super) fn disk(&self, id: &str) -> Option<&PinnedDisk> {
        self.disks.iter().find(|disk| disk.id.value == id)
    }

    /// The same for a machine that is restored as it was defined, which has one name and no rule for it.
    pub(super) fn of_definition(&self, choices: &Choices) -> Choices {
        let name = value(self.name.as_ref()).or_else(|| choices.name.clone());
        Choices { name, ..self.over(choices) }
    }

    /// The choices with what is said of this machine taken for chosen.
    pub(super) fn over(&self, choices: &Choices) -> Choices {
        let mut chosen = choices.clone();
        let hardware = &mut chosen.hardware;
        hardware.vcpus = value(self.vcpus.as_ref()).or(hardware.vcpus);
        hardware.memory_bytes = value(self.memory_bytes.as_ref()).or(hardware.memory_bytes);
        hardware.firmware = value(self.firmware.as_ref()).or(hardware.firmware);
        hardware.chipset = value(self.chipset.as_ref()).or(hardware.chipset);
        hardware.given_uuid = value(self.uuid.as_ref()).or(hardware.given_uuid);
        for disk in &self.disks {
            let bus = value(disk.bus.as_ref()).map(Hang::choice);
            hardware.disk_buses.extend(bus.map(|bus: DiskBus| (disk.id.value.clone(), bus)));
        }
        for nic in &self.nics {
            let id = || nic.id.value.clone();
            let model = value(nic.model.as_ref()).map(convert::NicChoice::Model);
            hardware.nic_models.extend(model.map(|model| (id(), model)));
            hardware.nic_targets.extend(value(nic.target.as_ref()).map(|target| (id(), target)));
            hardware.nic_macs.extend(value(nic.mac.as_ref()).map(|mac| (id(), mac)));
        }
        chosen
    }
}

/// The value alone.
fn value<T: Clone>(said: Option<&Said<T>>) -> Option<T> {
    said.map(|said| said.value.clone())
}
