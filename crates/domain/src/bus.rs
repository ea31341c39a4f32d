//! libvirt's words for buses and the controllers on them.

use vm::{Bus, ControllerModel};

/// The value of `bus` in `<target>` and of `type` in `<controller>`.
pub(crate) const fn bus_name(bus: Bus) -> &'static str {
    match bus {
        Bus::Ide => "ide",
        Bus::Sata => "sata",
        Bus::Scsi => "scsi",
        Bus::VirtioBlk => "virtio",
        Bus::Nvme => "nvme",
        Bus::Fdc => "fdc",
    }
}

/// The value of `model` in `<controller>`; IDE and AHCI are the only ones of their bus and have
/// none.
pub(crate) const fn model_name(model: ControllerModel) -> Option<&'static str> {
    match model {
        ControllerModel::Ide | ControllerModel::Ahci => None,
        ControllerModel::VmPvScsi => Some("vmpvscsi"),
        ControllerModel::LsiSas1068 => Some("lsisas1068"),
        ControllerModel::LsiLogic => Some("lsilogic"),
        ControllerModel::VirtioScsi => Some("virtio-scsi"),
    }
}
