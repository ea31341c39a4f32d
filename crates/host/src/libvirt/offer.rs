//! What a host offers a machine, from what libvirt and QEMU say.

use std::{collections::BTreeSet, path::PathBuf};

use vm::{
    Accelerator, Chipset, ControllerModel, Firmware, NicModel, Offer, Sound, Usb, VideoModel,
};

use super::{Libvirt, LibvirtError, LibvirtKind, capabilities::Capabilities, emulator};

/// What a host offers, and how much of it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// What a machine may be made of; what is not known is taken to be there.
    pub offer: Offer,
    /// The program that runs machines.
    pub emulator: Option<PathBuf>,
    /// Whether that program was asked for its devices: only one of this machine can be.
    pub devices: Known,
}

/// Whether something was told or is assumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It was told.
    Told,
    /// It is assumed.
    Assumed,
}

impl Libvirt {
    /// Asks what the host offers a machine.
    ///
    /// # Errors
    /// libvirt does not say, or has no QEMU for x86-64.
    pub fn offered(&self) -> Result<Offered, LibvirtError> {
        // Each board is asked for by itself: one that is not there is refused.
        let boards = match self.capabilities("q35") {
            // Whoever does not answer is not asked twice: each question may take its time.
            Err(error) if error.kind() == LibvirtKind::Unreachable => return Err(error),
            Err(_) => Boards { q35: None, pc: Some(self.capabilities("pc")?) },
            Ok(q35) => Boards { q35: Some(q35), pc: self.capabilities("pc").ok() },
        };
        let emulator = boards.any().and_then(|board| board.emulator.clone());
        let devices = emulator.as_deref().filter(|_| self.is_local()).and_then(emulator::devices);
        let offer = offer(&boards, devices.as_ref());
        let devices = if devices.is_some() { Known::Told } else { Known::Assumed };
        Ok(Offered { offer, emulator, devices })
    }
}

/// What is said of each board.
#[derive(Debug)]
struct Boards {
    q35: Option<Capabilities>,
    pc: Option<Capabilities>,
}

impl Boards {
    /// What is said of the better board.
    const fn any(&self) -> Option<&Capabilities> {
        match &self.q35 {
            Some(q35) => Some(q35),
            None => self.pc.as_ref(),
        }
    }
}

/// Everything that QEMU has as its makers configure it, less what this host is known not to have.
fn offer(boards: &Boards, devices: Option<&BTreeSet<String>>) -> Offer {
    let mut offer = Offer::default();
    let all = [boards.q35.as_ref(), boards.pc.as_ref()];
    let of_any = |test: &dyn Fn(&Capabilities) -> bool| all.into_iter().flatten().any(test);
    let has = |names: &[&str]| {
        devices.is_none_or(|devices| names.iter().any(|name| devices.contains(*name)))
    };
    let bus = |name: &str| of_any(&|board| lists(board.disk_buses.as_deref(), name));
    offer.kvm = of_any(&|board| board.accelerator == Accelerator::Kvm);
    offer.chipsets.retain(|chipset| match chipset {
        Chipset::Q35 => boards.q35.is_some(),
        Chipset::Pc => boards.pc.is_some(),
    });
    let efi = boards.q35.as_ref().is_some_and(|q35| lists(q35.firmwares.as_deref(), "efi"));
    let secure = boards.q35.as_ref().is_some_and(|q35| q35.firmwares.is_none() || q35.secure_boot);
    offer.firmwares.retain(|firmware| match firmware {
        Firmware::Bios => true,
        Firmware::Uefi => efi,
        Firmware::UefiSecure => efi && secure,
    });
    offer.controllers.retain(|model| bus(bus_of(*model)) && has(&[controller(*model)]));
    offer.virtio_blk = bus("virtio") && has(&["virtio-blk-pci"]);
    offer.nics.retain(|model| has(&[nic(*model)]));
    offer.videos.retain(|model| {
        let name = video(*model);
        of_any(&|board| lists(board.videos.as_deref(), name))
    });
    offer.sounds.retain(|card| has(&[sound(*card)]));
    offer.usbs.retain(|model| has(usb(*model)));
    offer.tpm = of_any(&|board| lists(board.tpm_backends.as_deref(), "emulator"));
    offer
}

/// Whether a list has the name; one that is not given has everything.
fn lists(list: Option<&[String]>, name: &str) -> bool {
    list.is_none_or(|list| list.iter().any(|have| have == name))
}

/// libvirt's name of the bus of a controller.
const fn bus_of(model: ControllerModel) -> &'static str {
    match model {
        ControllerModel::Ide => "ide",
        ControllerModel::Ahci => "sata",
        ControllerModel::VmPvScsi
        | ControllerModel::LsiSas1068
        | ControllerModel::LsiLogic
        | ControllerModel::VirtioScsi => "scsi",
    }
}

/// QEMU's name of a storage controller.
const fn controller(model: ControllerModel) -> &'static str {
    match model {
        ControllerModel::Ide => "piix3-ide",
        ControllerModel::Ahci => "ich9-ahci",
        ControllerModel::VmPvScsi => "pvscsi",
        ControllerModel::LsiSas1068 => "mptsas1068",
        ControllerModel::LsiLogic => "lsi53c895a",
        ControllerModel::VirtioScsi => "virtio-scsi-pci",
    }
}

/// QEMU's name of a network card.
const fn nic(model: NicModel) -> &'static str {
    match model {
        NicModel::Virtio => "virtio-net-pci",
        NicModel::Vmxnet3 => "vmxnet3",
        NicModel::E1000 => "e1000",
        NicModel::E1000e => "e1000e",
        NicModel::Pcnet => "pcnet",
        NicModel::Rtl8139 => "rtl8139",
    }
}

/// libvirt's name of a graphics card.
const fn video(model: VideoModel) -> &'static str {
    match model {
        VideoModel::Vga => "vga",
        VideoModel::Virtio => "virtio",
    }
}

/// QEMU's name of a sound card.
const fn sound(card: Sound) -> &'static str {
    match card {
        Sound::Ich9 => "ich9-intel-hda",
        Sound::Es1370 => "ES1370",
        Sound::Ac97 => "AC97",
        Sound::Sb16 => "sb16",
    }
}

/// QEMU's names of a USB controller; one of them is enough.
const fn usb(model: Usb) -> &'static [&'static str] {
    match model {
        Usb::Xhci => &["qemu-xhci", "nec-usb-xhci"],
        Usb::Ehci => &["ich9-usb-ehci1"],
        Usb::Uhci => &["piix3-usb-uhci"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::capabilities::tests::{Q35, of};

    fn pc() -> Capabilities {
        of(&Q35.replace("<value>sata</value>", "<value>ide</value><value>sata</value>"))
    }

    #[test]
    fn without_a_list_of_devices_every_model_is_assumed() {
        let boards = Boards { q35: Some(of(Q35)), pc: Some(pc()) };
        let want = Offer { kvm: false, tpm: false, ..Offer::default() };
        assert_eq!(offer(&boards, None), want);
    }

    #[test]
    fn leaves_out_what_the_hosts_qemu_has_not() {
        let boards = Boards { q35: Some(of(Q35)), pc: None };
        let devices = "virtio-scsi-pci ich9-ahci piix3-ide virtio-blk-pci virtio-net-pci e1000e \
                       qemu-xhci ich9-intel-hda";
        let devices = devices.split(' ').map(str::to_owned).collect();
        let want = Offer {
            kvm: false,
            chipsets: vec![Chipset::Q35],
            // The board without IDE is the only one.
            controllers: vec![ControllerModel::Ahci, ControllerModel::VirtioScsi],
            nics: vec![NicModel::Virtio, NicModel::E1000e],
            sounds: vec![Sound::Ich9],
            usbs: vec![Usb::Xhci],
            tpm: false,
            ..Offer::default()
        };
        assert_eq!(offer(&boards, Some(&devices)), want);
    }

    #[test]
    fn firmware_is_offered_as_far_as_it_is_installed() {
        let text = Q35.replace("<enum name='firmware'><value>efi</value></enum>", "");
        let firmwares =
            |text: &str| offer(&Boards { q35: Some(of(text)), pc: None }, None).firmwares;
        assert_eq!(firmwares(&text), Offer::default().firmwares, "an old libvirt does not say");
        let none = Q35.replace("<value>efi</value>", "");
        assert_eq!(firmwares(&none), [Firmware::Bios]);
        let open = Q35.replace("<value>yes</value><value>no</value>", "<value>no</value>");
        assert_eq!(firmwares(&open), [Firmware::Bios, Firmware::Uefi]);
    }
}
