//! What a host can give a machine.

use crate::{Chipset, ControllerModel, Firmware, NicModel, Sound, Usb, VideoModel};

/// What a host can give a machine, one list a kind of device.
///
/// The default is what QEMU has as its makers configure it, so that without a host every choice is
/// open. Distributions leave devices out, and firmware and programs are packages of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Whether the processor runs guests itself.
    pub kvm: bool,
    /// Boards.
    pub chipsets: Vec<Chipset>,
    /// Firmware that is installed.
    pub firmwares: Vec<Firmware>,
    /// Storage controllers.
    pub controllers: Vec<ControllerModel>,
    /// Whether a disk can be a virtio-blk device.
    pub virtio_blk: bool,
    /// Network cards.
    pub nics: Vec<NicModel>,
    /// Graphics cards.
    pub videos: Vec<VideoModel>,
    /// Sound cards.
    pub sounds: Vec<Sound>,
    /// USB controllers.
    pub usbs: Vec<Usb>,
    /// Whether a TPM 2.0 can be emulated.
    pub tpm: bool,
}

impl Default for Offer {
    fn default() -> Self {
        Self {
            kvm: true,
            chipsets: vec![Chipset::Q35, Chipset::Pc],
            firmwares: vec![Firmware::Bios, Firmware::Uefi, Firmware::UefiSecure],
            controllers: vec![
                ControllerModel::Ahci,
                ControllerModel::Ide,
                ControllerModel::VirtioScsi,
                ControllerModel::VmPvScsi,
                ControllerModel::LsiSas1068,
                ControllerModel::LsiLogic,
            ],
            virtio_blk: true,
            nics: vec![
                NicModel::Virtio,
                NicModel::E1000e,
                NicModel::E1000,
                NicModel::Vmxnet3,
                NicModel::Rtl8139,
                NicModel::Pcnet,
            ],
            videos: vec![VideoModel::Vga, VideoModel::Virtio],
            sounds: vec![Sound::Ich9, Sound::Ac97, Sound::Es1370, Sound::Sb16],
            usbs: vec![Usb::Xhci, Usb::Ehci, Usb::Uhci],
            tpm: true,
        }
    }
}
