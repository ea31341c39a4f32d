//! Everything that is refused before the first element is written.

mod board;
mod boot;
mod controllers;
mod devices;
mod drives;
mod fw_cfg;
mod slots;
mod text;

use vm::Machine;

pub(crate) use self::{
    board::{PLAIN_APIC_CPUS, check_name},
    fw_cfg::check as check_fw_cfg,
    text::require_image_path,
};
use crate::Error;

/// Looks at every item of a machine and stops at the first that cannot work.
pub(crate) fn check(machine: &Machine) -> Result<(), Error> {
    board::check(machine)?;
    controllers::check(machine)?;
    drives::check(machine)?;
    devices::check(machine)?;
    slots::check(machine)?;
    fw_cfg::check(&machine.fw_cfg)?;
    boot::check(machine)
}

#[cfg(test)]
mod tests {
    use vm::{
        Bus, Controller, ControllerModel, Cpus, Disk, DiskFormat, DiskId, DriveAddress, Guest,
        MacAddress, Nic, NicModel, NicTarget, Removable, RemovableKind, Usb,
    };

    use super::*;

    /// Spoils one value of a sound machine, and the message that this gives.
    pub(super) type Spoilt = (fn(&mut Machine), &'static str);

    pub(super) fn assert_refusals(cases: &[Spoilt]) {
        for (spoil, want) in cases {
            let mut machine = sound();
            spoil(&mut machine);
            assert_eq!(check(&machine).expect_err(want).to_string(), *want);
        }
    }

    /// Two SAS disks, an AHCI with a CD drive, and two cards: something to spoil in every check.
    pub(super) fn sound() -> Machine {
        Machine {
            name: "sound".into(),
            title: None,
            description: None,
            uuid: None,
            guest: Guest::default(),
            accelerator: vm::Accelerator::Kvm,
            cpus: Cpus {
                count: 2,
                max_count: None,
                topology: None,
                model: None,
                features: Vec::new(),
            },
            memory_bytes: 1 << 30,
            max_memory_bytes: None,
            chipset: vm::Chipset::Q35,
            firmware: vm::Firmware::Bios,
            clock: vm::Clock::Utc,
            controllers: vec![
                Controller { model: ControllerModel::LsiSas1068, index: 0 },
                Controller { model: ControllerModel::Ahci, index: 0 },
            ],
            disks: vec![disk(0), disk(1)],
            removables: vec![Removable {
                kind: RemovableKind::Cdrom,
                image: None,
                bus: Bus::Sata,
                address: DriveAddress::default(),
                boot_order: None,
            }],
            nics: vec![nic(1), nic(2)],
            video: None,
            sound: None,
            usb: Some(Usb::Xhci),
            serials: Vec::new(),
            tpm: false,
            iommu: false,
            pmu: false,
            watchdog: false,
            agent_channel: true,
            rng: true,
            balloon: true,
            fw_cfg: Vec::new(),
        }
    }

    fn disk(at: u16) -> Disk {
        Disk {
            id: DiskId(at),
            image: format!("/images/sound-disk{at}.qcow2").into(),
            format: DiskFormat::Qcow2,
            capacity_bytes: 64 << 20,
            bus: Bus::Scsi,
            address: Some(DriveAddress { target: at, ..DriveAddress::default() }),
            serial: format!("disk{at}"),
            wwn: Some(0x5000_c500_0000_0001 + u64::from(at)),
            read_only: false,
            solid_state: false,
            boot_order: (at == 0).then_some(1),
        }
    }

    fn nic(last: u8) -> Nic {
        Nic {
            model: NicModel::Virtio,
            target: NicTarget::Network("default".into()),
            mac: Some(MacAddress([0x52, 0x54, 0, 0, 0, last])),
            slot: None,
            link_up: true,
            boot_order: None,
        }
    }

    #[test]
    fn lets_a_sound_machine_pass() {
        check(&sound()).unwrap();
    }
}
