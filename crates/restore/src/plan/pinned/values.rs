//! The values of a plan that a plan file has, and the words that it has them in.

use std::path::{Path, PathBuf};

use convert::DiskBus;
use vm::{
    Bus, Chipset, ControllerModel, Disk, DiskFormat, Firmware, MacAddress, Machine, NicModel,
    NicTarget, Uuid,
};

use crate::MachinePlan;

/// What a plan makes of one machine, as far as a plan file can change it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineValues {
    /// What the machine is chosen by.
    pub id: String,
    /// Its name on the host.
    pub name: String,
    /// Its identity.
    pub uuid: Option<Uuid>,
    /// Virtual processors.
    pub vcpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Firmware.
    pub firmware: Firmware,
    /// Board.
    pub chipset: Chipset,
    /// Its disks, in order.
    pub disks: Vec<DiskValues>,
    /// Its network cards, in order.
    pub nics: Vec<NicValues>,
}

/// What a plan makes of one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskValues {
    /// The disk's id, `disk0`, with the source's number.
    pub id: String,
    /// The file of the source; an empty disk has none.
    pub file: Option<String>,
    /// Where it goes: relative to the machine's folder, if it is in there.
    pub to: PathBuf,
    /// Format of the image.
    pub format: DiskFormat,
    /// What it hangs on; absent for what no choice leads to.
    pub bus: Option<Hang>,
}

/// What a plan makes of one network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NicValues {
    /// The card's id, `nic0`, with the source's number.
    pub id: String,
    /// The network of the source.
    pub source: Option<String>,
    /// Where it goes.
    pub target: NicTarget,
    /// The model.
    pub model: NicModel,
    /// The Ethernet address.
    pub mac: Option<MacAddress>,
}

/// What a disk hangs on: a controller, or nothing but PCI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hang {
    /// virtio-blk, a device of its own.
    VirtioBlk,
    /// A controller of this model.
    Controller(ControllerModel),
}

impl MachineValues {
    /// The values of a planned machine.
    #[must_use]
    pub fn of(planned: &MachinePlan) -> Self {
        let machine = &planned.machine;
        let disks = machine.disks.iter().zip(&planned.disk_ids);
        let nics = machine.nics.iter().zip(&planned.cards);
        Self {
            id: planned.id.clone(),
            name: machine.name.clone(),
            uuid: machine.uuid,
            vcpus: machine.cpus.count,
            memory_bytes: machine.memory_bytes,
            firmware: machine.firmware,
            chipset: machine.chipset,
            disks: disks
                .map(|(disk, id)| DiskValues {
                    id: id.clone(),
                    file: planned.member_of(disk).map(ToString::to_string),
                    to: place(&planned.folder, &disk.image),
                    format: disk.format,
                    bus: Hang::of(disk, machine),
                })
                .collect(),
            nics: nics
                .map(|(nic, card)| NicValues {
                    id: card.row.clone(),
                    source: card.network.clone(),
                    target: nic.target.clone(),
                    model: nic.model,
                    mac: nic.mac,
                })
                .collect(),
        }
    }
}

/// A path as a plan file has it: relative to the folder, where it is in there.
pub(super) fn place(folder: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(folder).unwrap_or(path).to_owned()
}

impl Hang {
    /// Everything that a disk can hang on.
    pub const ALL: [Self; 7] = [
        Self::VirtioBlk,
        Self::Controller(ControllerModel::VirtioScsi),
        Self::Controller(ControllerModel::Ahci),
        Self::Controller(ControllerModel::Ide),
        Self::Controller(ControllerModel::VmPvScsi),
        Self::Controller(ControllerModel::LsiSas1068),
        Self::Controller(ControllerModel::LsiLogic),
    ];

    fn of(disk: &Disk, machine: &Machine) -> Option<Self> {
        if disk.bus == Bus::VirtioBlk {
            return Some(Self::VirtioBlk);
        }
        let index = disk.address?.controller;
        let mut controllers = machine.controllers.iter();
        let found = controllers.find(|one| one.model.bus() == disk.bus && one.index == index);
        found.map(|controller| Self::Controller(controller.model))
    }

    /// The choice that leads to it; a controller that only a source can have is kept, or not had.
    pub(super) const fn choice(self) -> DiskBus {
        match self {
            Self::VirtioBlk => DiskBus::VirtioBlk,
            Self::Controller(ControllerModel::VirtioScsi) => DiskBus::VirtioScsi,
            Self::Controller(ControllerModel::Ahci) => DiskBus::Sata,
            Self::Controller(ControllerModel::Ide) => DiskBus::Ide,
            Self::Controller(
                ControllerModel::VmPvScsi | ControllerModel::LsiSas1068 | ControllerModel::LsiLogic,
            ) => DiskBus::Keep,
        }
    }
}

/// A value that a plan file has as a word.
pub trait Word {
    /// The word, as the flag of this value has it.
    fn word(&self) -> String;
}

impl Word for Hang {
    fn word(&self) -> String {
        match self {
            Self::VirtioBlk => "virtio-blk",
            Self::Controller(ControllerModel::VirtioScsi) => "virtio-scsi",
            Self::Controller(ControllerModel::Ahci) => "sata",
            Self::Controller(ControllerModel::Ide) => "ide",
            Self::Controller(ControllerModel::VmPvScsi) => "vmpvscsi",
            Self::Controller(ControllerModel::LsiSas1068) => "lsisas1068",
            Self::Controller(ControllerModel::LsiLogic) => "lsilogic",
        }
        .to_owned()
    }
}

impl Word for Firmware {
    fn word(&self) -> String {
        match self {
            Self::Bios => "bios",
            Self::Uefi => "uefi",
            Self::UefiSecure => "uefi-secure",
        }
        .to_owned()
    }
}

impl Word for Chipset {
    fn word(&self) -> String {
        match self {
            Self::Pc => "pc",
            Self::Q35 => "q35",
        }
        .to_owned()
    }
}

impl Word for DiskFormat {
    fn word(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Word for NicModel {
    fn word(&self) -> String {
        self.as_str().to_owned()
    }
}

impl Word for NicTarget {
    fn word(&self) -> String {
        match self {
            Self::Network(name) => format!("network:{name}"),
            Self::Bridge { name, vlan: None } => format!("bridge:{name}"),
            Self::Bridge { name, vlan: Some(tag) } => format!("bridge:{name},vlan={tag}"),
            Self::User => "user".to_owned(),
            Self::None => "none".to_owned(),
        }
    }
}

impl Word for PathBuf {
    fn word(&self) -> String {
        self.display().to_string()
    }
}

impl Word for MacAddress {
    fn word(&self) -> String {
        self.to_string()
    }
}

impl Word for Uuid {
    fn word(&self) -> String {
        self.to_string()
    }
}

impl Word for String {
    fn word(&self) -> String {
        self.clone()
    }
}

impl Word for u32 {
    fn word(&self) -> String {
        self.to_string()
    }
}

impl Word for u64 {
    fn word(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_written_as_the_flag_reads_them() {
        let bridge = NicTarget::Bridge { name: "br1".to_owned(), vlan: Some(30) };
        assert_eq!(bridge.word(), "bridge:br1,vlan=30");
        assert_eq!(NicTarget::Network("default".to_owned()).word(), "network:default");
    }

    #[test]
    fn a_place_in_the_folder_is_relative_to_it() {
        let folder = Path::new("/a/b");
        assert_eq!(place(folder, Path::new("/a/b/x.qcow2")), Path::new("x.qcow2"));
        assert_eq!(place(folder, Path::new("/a/x.qcow2")), Path::new("/a/x.qcow2"));
    }
}
