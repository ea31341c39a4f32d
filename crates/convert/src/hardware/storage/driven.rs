//! What the guest drives: the controllers of a source.

use code::Code;
use vm::ControllerModel;

use super::Hang;
use crate::source::{Bus, Controller, Disk};

/// Controllers of a source, as far as they are treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driven {
    PvScsi,
    LsiSas,
    LsiLogic,
    BusLogic,
    VirtioScsi,
    VirtioBlk,
    OtherScsi,
    Ide,
    Ahci,
    Nvme,
    None,
}

impl Driven {
    /// Reads what the disk hangs on.
    pub(super) fn of(disk: &Disk) -> Self {
        disk.controller.as_ref().map_or(Self::None, Self::of_controller)
    }

    /// Reads the subtype: the first word of the list that is known.
    fn of_controller(controller: &Controller) -> Self {
        match controller.bus {
            Bus::Ide => Self::Ide,
            Bus::Sata => Self::Ahci,
            Bus::Nvme => Self::Nvme,
            Bus::Virtio => Self::VirtioBlk,
            Bus::Scsi => {
                let subtype = controller.subtype.as_deref().unwrap_or("lsilogic").to_lowercase();
                let mut words = subtype.split([' ', ',']);
                words.find_map(Self::of_scsi_word).unwrap_or(Self::OtherScsi)
            }
        }
    }

    fn of_scsi_word(word: &str) -> Option<Self> {
        Some(match word {
            "virtualscsi" | "pvscsi" | "vmpvscsi" => Self::PvScsi,
            "lsilogicsas" | "lsilogic-sas" | "lsisas1068" => Self::LsiSas,
            "lsilogic" => Self::LsiLogic,
            "buslogic" => Self::BusLogic,
            "virtio-scsi" | "virtioscsi" | "virtio_scsi" => Self::VirtioScsi,
            _ => return None,
        })
    }

    /// Whether disks on it speak SCSI.
    pub(super) const fn is_scsi(self) -> bool {
        !matches!(self, Self::VirtioBlk | Self::Ide | Self::Ahci | Self::Nvme | Self::None)
    }

    /// The code for a disk that leaves a controller of this kind.
    pub(super) const fn changed(self) -> Code {
        match self {
            Self::Nvme => Code::W0103,
            Self::None => Code::W0111,
            _ => Code::W0101,
        }
    }

    /// What the guest's driver for this controller drives as well.
    pub(super) const fn same_as(self) -> Option<Hang> {
        let model = match self {
            Self::PvScsi => ControllerModel::VmPvScsi,
            Self::LsiSas => ControllerModel::LsiSas1068,
            Self::VirtioScsi => ControllerModel::VirtioScsi,
            Self::Ide => ControllerModel::Ide,
            Self::Ahci => ControllerModel::Ahci,
            Self::VirtioBlk => return Some(Hang::VirtioBlk),
            Self::LsiLogic | Self::BusLogic | Self::OtherScsi | Self::Nvme | Self::None => {
                return None;
            }
        };
        Some(Hang::Controller(model))
    }
}
