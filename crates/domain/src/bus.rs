//! libvirt's words for buses and the controllers on them.

use vm::{Bus, ControllerModel};

/// Every bus, to find one by its name.
const BUSES: [Bus; 6] = [Bus::Ide, Bus::Sata, Bus::Scsi, Bus::VirtioBlk, Bus::Nvme, Bus::Fdc];
/// Every SCSI controller, to find one by its name.
const SCSI_MODELS: [ControllerModel; 4] = [
    ControllerModel::VmPvScsi,
    ControllerModel::LsiSas1068,
    ControllerModel::LsiLogic,
    ControllerModel::VirtioScsi,
];

/// The bus of a name that [`bus_name`] gives.
pub(crate) fn bus_of(name: &str) -> Option<Bus> {
    BUSES.into_iter().find(|bus| bus_name(*bus) == name)
}

/// The SCSI controller of a name that [`model_name`] gives.
pub(crate) fn scsi_model_of(name: &str) -> Option<ControllerModel> {
    SCSI_MODELS.into_iter().find(|model| model_name(*model) == Some(name))
}

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
