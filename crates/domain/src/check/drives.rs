//! Disks and removable media: where they hang, and what they say of themselves.
//!
//! libvirt's own choice of an address puts the second disk of a SCSI controller at LUN 1 of target
//! 0, which `pvscsi` refuses at start. So every drive on a controller has an address, and it is one
//! that this controller has.

use std::collections::BTreeMap;

use vm::{Bus, Controller, ControllerModel, Disk, DriveAddress, Machine, Removable, RemovableKind};

use super::{
    controllers,
    text::{Text, require_image_path},
};
use crate::{
    Error,
    bus::bus_name,
    error::{Item, Refusal},
};

/// The longest serial number: what virtio-blk hands to the guest (virtio 1.2, section 5.2.6).
const MAX_SERIAL_BYTES: u64 = 20;
/// The last SCSI target that libvirt's schema writes (`domaincommon.rng`, `driveTarget`: two digits);
/// QEMU's virtio-scsi has 256.
const LAST_SCHEMA_TARGET: u16 = 99;
/// The SCSI target that VMware's controllers take for themselves.
const PVSCSI_OWN_TARGET: u16 = 7;

pub(super) fn check(machine: &Machine) -> Result<(), Error> {
    let mut taken = BTreeMap::new();
    for (at, disk) in machine.disks.iter().enumerate() {
        let place = Place { item: Item::Disk(at), bus: disk.bus, address: disk.address };
        place.check_disk(disk, &machine.controllers)?;
        place.take(&mut taken)?;
    }
    for (at, drive) in machine.removables.iter().enumerate() {
        let address = Some(drive.address);
        let place = Place { item: Item::Removable(at), bus: drive.bus, address };
        place.check_removable(drive, &machine.controllers)?;
        place.take(&mut taken)?;
    }
    refuse_equal_wwns(&machine.disks)
}

/// A drive and where it wants to be.
#[derive(Debug, Clone, Copy)]
struct Place {
    item: Item,
    bus: Bus,
    address: Option<DriveAddress>,
}

impl Place {
    fn check_disk(self, disk: &Disk, all: &[Controller]) -> Result<(), Error> {
        require_image_path(self.item, &disk.image)?;
        if !disk.serial.is_empty() {
            let serial = Text::new(self.item, "serial", &disk.serial);
            serial.require_token()?;
            serial.require_length(MAX_SERIAL_BYTES)?;
        }
        // "readonly ide disks are not supported" is libvirt's; a CD drive is read-only anyway.
        if disk.read_only && matches!(self.bus, Bus::Ide | Bus::Sata) {
            return Err(self.needs("a read-only disk", "the scsi or virtio bus"));
        }
        if disk.wwn.is_some() && !matches!(self.bus, Bus::Ide | Bus::Scsi) {
            return Err(self.needs("a world wide name", "the ide or scsi bus"));
        }
        if disk.solid_state && !matches!(self.bus, Bus::Ide | Bus::Sata | Bus::Scsi) {
            return Err(self.needs("a rotation rate", "the ide, sata or scsi bus"));
        }
        match self.bus {
            Bus::Nvme => Err(self.item.refuse(Refusal::Nvme)),
            Bus::Fdc => Err(self.needs("a hard disk", "a bus other than fdc")),
            Bus::VirtioBlk if self.address.is_some() => {
                Err(self.needs("a virtio disk", "no drive address"))
            }
            Bus::VirtioBlk => Ok(()),
            Bus::Ide | Bus::Sata | Bus::Scsi => self.check_controller(disk.wwn, all),
        }
    }

    fn check_removable(self, drive: &Removable, all: &[Controller]) -> Result<(), Error> {
        if let Some(image) = &drive.image {
            require_image_path(self.item, image)?;
        }
        match (drive.kind, self.bus) {
            (RemovableKind::Floppy, Bus::Fdc) => self.check_address("fdc", [0, 0, 0, 1]),
            (RemovableKind::Floppy, _) => Err(self.needs("a floppy drive", "the fdc bus")),
            (RemovableKind::Cdrom, Bus::Ide | Bus::Sata | Bus::Scsi) => {
                self.check_controller(None, all)
            }
            (RemovableKind::Cdrom, _) => Err(self.needs("a CD drive", "the ide, sata or scsi bus")),
        }
    }

    /// Refuses an address that its controller does not have.
    fn check_controller(self, wwn: Option<u64>, all: &[Controller]) -> Result<(), Error> {
        let Some(address) = self.address else {
            return Err(self.needs("a drive on a controller", "an address"));
        };
        let Some(model) = controllers::find(all, self.bus, address.controller) else {
            let (bus, index) = (bus_name(self.bus), address.controller);
            return Err(self.item.refuse(Refusal::NoController { bus, index }));
        };
        let any = u16::MAX;
        match model {
            ControllerModel::Ide => self.check_address("ide", [0, 1, 0, 1]),
            ControllerModel::Ahci => self.check_address("ahci", [any, 0, 0, 5]),
            ControllerModel::LsiLogic => self.check_address("lsilogic", [any, 0, 0, 6]),
            ControllerModel::VirtioScsi => {
                self.check_address("virtio-scsi", [any, 0, LAST_SCHEMA_TARGET, 0])
            }
            ControllerModel::VmPvScsi if address.target == PVSCSI_OWN_TARGET => {
                let (value, why) = (PVSCSI_OWN_TARGET.to_string(), "is the vmpvscsi's own");
                Err(self.item.refuse(Refusal::Unusable { what: "target", value, why }))
            }
            ControllerModel::VmPvScsi => self.check_address("vmpvscsi", [any, 0, 63, 0]),
            // The controller reports the WWN as the SAS address, and Linux attaches no disk whose
            // SAS address is zero: the firmware boots, and then the guest has no root.
            ControllerModel::LsiSas1068 if wwn.is_none_or(|wwn| wwn == 0) => {
                Err(self.needs("a drive on lsisas1068", "a world wide name"))
            }
            ControllerModel::LsiSas1068 => self.check_address("lsisas1068", [any, 0, 7, 0]),
        }
    }

    /// Refuses a part of the address that is over its limit; the limits are those of controller,
    /// bus, target and unit.
    fn check_address(self, on: &'static str, limits: [u16; 4]) -> Result<(), Error> {
        let DriveAddress { controller, bus, target, unit } = self.address.unwrap_or_default();
        let parts = [("controller", controller), ("bus", bus), ("target", target), ("unit", unit)];
        for ((part, found), high) in parts.into_iter().zip(limits) {
            if found > high {
                return Err(self.item.refuse(Refusal::Address { part, found, high, on }));
            }
        }
        Ok(())
    }

    /// Refuses a second drive at one address.
    fn take(self, taken: &mut BTreeMap<(&'static str, DriveAddress), Item>) -> Result<(), Error> {
        let Some(address) = self.address else { return Ok(()) };
        let bus = bus_name(self.bus);
        let Some(by) = taken.insert((bus, address), self.item) else { return Ok(()) };
        let DriveAddress { controller, bus: channel, target, unit } = address;
        let value = format!("{bus} {controller}:{channel}:{target}:{unit}");
        Err(self.item.refuse(Refusal::Taken { what: "address", value, by }))
    }

    const fn needs(self, what: &'static str, needs: &'static str) -> Error {
        self.item.refuse(Refusal::Needs { what, needs })
    }
}

/// Refuses one world wide name for two disks: the guest would take them for two paths to one.
fn refuse_equal_wwns(disks: &[Disk]) -> Result<(), Error> {
    let mut taken = BTreeMap::new();
    for (at, disk) in disks.iter().enumerate() {
        let Some(wwn) = disk.wwn else { continue };
        if let Some(by) = taken.insert(wwn, Item::Disk(at)) {
            let value = format!("{wwn:016x}");
            let what = "world wide name";
            return Err(Item::Disk(at).refuse(Refusal::Taken { what, value, by }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vm::Chipset;

    use super::*;
    use crate::check::tests::{assert_refusals, sound};

    /// A machine whose first disk hangs alone on one controller.
    fn on(model: ControllerModel, target: u16, unit: u16) -> Machine {
        let mut machine = sound();
        machine.chipset = Chipset::Pc;
        machine.controllers = vec![Controller { model, index: 0 }];
        machine.removables.clear();
        machine.disks.truncate(1);
        let disk = &mut machine.disks[0];
        disk.bus = model.bus();
        disk.wwn = (model == ControllerModel::LsiSas1068).then_some(1);
        disk.address = Some(DriveAddress { target, unit, ..DriveAddress::default() });
        machine
    }

    #[test]
    fn allows_the_last_address_of_each_controller_and_refuses_the_next() {
        use ControllerModel as M;
        for (model, target, unit, next_target, next_unit, want) in [
            (M::Ide, 0, 1, 0, 2, "unit 2 is not in 0..=1 on ide"),
            (M::Ahci, 0, 5, 0, 6, "unit 6 is not in 0..=5 on ahci"),
            (M::Ahci, 0, 5, 1, 0, "target 1 is not in 0..=0 on ahci"),
            (M::VmPvScsi, 63, 0, 64, 0, "target 64 is not in 0..=63 on vmpvscsi"),
            (M::VmPvScsi, 8, 0, 7, 0, "target 7 is the vmpvscsi's own"),
            (M::VmPvScsi, 0, 0, 0, 1, "unit 1 is not in 0..=0 on vmpvscsi"),
            (M::LsiSas1068, 7, 0, 8, 0, "target 8 is not in 0..=7 on lsisas1068"),
            (M::LsiLogic, 0, 6, 0, 7, "unit 7 is not in 0..=6 on lsilogic"),
            (M::LsiLogic, 0, 0, 1, 0, "target 1 is not in 0..=0 on lsilogic"),
            (M::VirtioScsi, 99, 0, 100, 0, "target 100 is not in 0..=99 on virtio-scsi"),
        ] {
            check(&on(model, target, unit)).unwrap();
            let error = check(&on(model, next_target, next_unit)).unwrap_err();
            assert_eq!(error.to_string(), format!("disk 0: {want}"));
        }
    }

    #[test]
    fn refuses_a_third_ide_channel() {
        let mut machine = on(ControllerModel::Ide, 0, 0);
        machine.disks[0].address = Some(DriveAddress { bus: 2, ..DriveAddress::default() });
        assert_eq!(
            check(&machine).unwrap_err().to_string(),
            "disk 0: bus 2 is not in 0..=1 on ide"
        );
    }

    #[test]
    fn refuses_disks_whose_bus_and_address_do_not_fit() {
        assert_refusals(&[
            (|m| m.disks[0].address = None, "disk 0: a drive on a controller needs an address"),
            (
                |m| m.disks[1].address = m.disks[0].address,
                "disk 1: address scsi 0:0:0:0 is taken by disk 0",
            ),
            (
                |m| m.controllers.retain(|c| c.model.bus() != Bus::Scsi),
                "disk 0: there is no scsi controller 0",
            ),
            (
                |m| (m.disks[0].bus, m.disks[0].wwn) = (Bus::VirtioBlk, None),
                "disk 0: a virtio disk needs no drive address",
            ),
            (
                |m| (m.disks[0].bus, m.disks[0].wwn) = (Bus::Fdc, None),
                "disk 0: a hard disk needs a bus other than fdc",
            ),
            (
                |m| (m.disks[0].bus, m.disks[0].wwn) = (Bus::Nvme, None),
                "disk 0: an NVMe disk has no element in libvirt 9.0",
            ),
        ]);
    }

    #[test]
    fn refuses_a_sas_disk_that_linux_would_not_attach() {
        let want = "disk 1: a drive on lsisas1068 needs a world wide name";
        assert_refusals(&[
            (|m| m.disks[1].wwn = None, want),
            (|m| m.disks[1].wwn = Some(0), want),
            (
                |m| m.disks[1].wwn = m.disks[0].wwn,
                "disk 1: world wide name 5000c50000000001 is taken by disk 0",
            ),
            (
                |m| m.removables[0].bus = Bus::Scsi,
                "removable 0: a drive on lsisas1068 needs a world wide name",
            ),
        ]);
    }

    #[test]
    fn refuses_what_a_sata_disk_cannot_have() {
        assert_refusals(&[
            (|m| m.disks[0].bus = Bus::Sata, "disk 0: a world wide name needs the ide or scsi bus"),
            (
                |m| (m.disks[0].bus, m.disks[0].read_only) = (Bus::Sata, true),
                "disk 0: a read-only disk needs the scsi or virtio bus",
            ),
        ]);
    }

    #[test]
    fn refuses_a_rotation_rate_where_libvirt_has_none() {
        assert_refusals(&[(
            |m| {
                let disk = &mut m.disks[0];
                (disk.bus, disk.address, disk.wwn, disk.solid_state) =
                    (Bus::VirtioBlk, None, None, true);
            },
            "disk 0: a rotation rate needs the ide, sata or scsi bus",
        )]);
    }

    #[test]
    fn refuses_serials_that_are_cut_or_split_by_qemu() {
        assert_refusals(&[
            (
                |m| m.disks[0].serial = "123456789012345678901".into(),
                "disk 0: serial has 21 bytes, 20 are allowed",
            ),
            (
                |m| m.disks[0].serial = "a,b".into(),
                r#"disk 0: serial "a,b" is not made of letters, digits and ._+- only"#,
            ),
        ]);
    }

    #[test]
    fn refuses_removable_media_on_a_bus_without_them() {
        assert_refusals(&[
            (
                |m| m.removables[0].bus = Bus::VirtioBlk,
                "removable 0: a CD drive needs the ide, sata or scsi bus",
            ),
            (
                |m| m.removables[0].kind = RemovableKind::Floppy,
                "removable 0: a floppy drive needs the fdc bus",
            ),
            (
                |m| {
                    m.removables[0].kind = RemovableKind::Floppy;
                    m.removables[0].bus = Bus::Fdc;
                    m.removables[0].address.unit = 2;
                },
                "removable 0: unit 2 is not in 0..=1 on fdc",
            ),
            (
                |m| m.removables[0].image = Some("cd.iso".into()),
                r#"removable 0: image path "cd.iso" is not absolute"#,
            ),
        ]);
    }
}
