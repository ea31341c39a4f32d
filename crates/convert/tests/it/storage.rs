//! Controllers and addresses.

use convert::{Choices, DiskBus, Profile};
use testkit::{Descriptor, MIB};
use vm::{Bus, Chipset, ControllerModel, DriveAddress, Firmware};

use crate::{line, map, row};

/// A machine with one disk on a controller.
fn one_disk(os: &str, resource_type: &str, subtype: &str) -> Descriptor {
    Descriptor::new("vm", os)
        .controller("3", resource_type, subtype, "0")
        .disk("a.vmdk", MIB, "3", "0")
}

#[test]
fn keeps_the_controller_that_the_guest_drives_or_goes_down_the_steps() {
    let ahci = |d: Descriptor| d.controller("4", "20", "vmware.sata.ahci", "0");
    let ide = |d: Descriptor| d.controller("5", "5", "", "0");
    let efi = |d: Descriptor| d.setting("firmware", "efi");
    let debian = "debian10_64Guest";
    let rhel = "rhel8_64Guest";
    for (name, descriptor, want, board) in [
        ("pvscsi", one_disk(rhel, "6", "VirtualSCSI"), "kept | vmpvscsi | ", Chipset::Q35),
        ("lsi sas", one_disk(rhel, "6", "lsilogicsas"), "kept | lsisas1068 | ", Chipset::Q35),
        ("ahci", one_disk(rhel, "20", "AHCI"), "kept | SATA (AHCI) | ", Chipset::Q35),
        ("ide", one_disk(rhel, "5", ""), "kept | IDE | ", Chipset::Pc),
        ("virtio", one_disk(rhel, "6", "virtio-scsi"), "kept | virtio-scsi | ", Chipset::Q35),
        (
            "lsi with ahci",
            ahci(one_disk(rhel, "6", "lsilogic")),
            "changed | SATA (AHCI) | W0101",
            Chipset::Q35,
        ),
        (
            "lsi with ide",
            ide(one_disk(rhel, "6", "lsilogic")),
            "changed | IDE | W0101",
            Chipset::Pc,
        ),
        (
            "lsi, debian",
            one_disk(debian, "6", "lsilogic"),
            "changed | virtio-scsi | W0101",
            Chipset::Q35,
        ),
        (
            "lsi, nothing proven",
            one_disk(rhel, "6", "lsilogic"),
            "changed | SATA (AHCI) | W0101",
            Chipset::Q35,
        ),
        (
            "lsi, old",
            one_disk("winNetStandardGuest", "6", "lsilogic"),
            "changed | IDE | W0101",
            Chipset::Pc,
        ),
        (
            "buslogic with both",
            ide(ahci(one_disk(rhel, "6", "buslogic"))),
            "changed | IDE | W0101",
            Chipset::Pc,
        ),
        (
            "a list",
            one_disk(rhel, "6", "someother, VirtualSCSI"),
            "kept | vmpvscsi | ",
            Chipset::Q35,
        ),
        (
            "pvscsi, uefi",
            efi(one_disk(rhel, "6", "VirtualSCSI")),
            "changed | SATA (AHCI) | W0101",
            Chipset::Q35,
        ),
        (
            "lsi sas, uefi",
            efi(one_disk(debian, "6", "lsilogicsas")),
            "changed | SATA (AHCI) | W0101",
            Chipset::Q35,
        ),
        ("ide, uefi", efi(one_disk(rhel, "5", "")), "changed | SATA (AHCI) | W0101", Chipset::Q35),
        (
            "nvme",
            one_disk(debian, "20", "vmware.nvme.controller"),
            "changed | SATA (AHCI) | W0103",
            Chipset::Q35,
        ),
    ] {
        let converted = map(&descriptor, &Choices::default());
        assert_eq!(line(row(&converted, "controller3")), want, "{name}");
        assert_eq!(converted.machine.chipset, board, "{name}");
        assert_eq!(converted.machine.disks.len(), 1, "{name}");
    }
}

#[test]
fn warns_where_nothing_proves_the_driver_of_the_boot_disk() {
    let converted = map(&one_disk("rhel8_64Guest", "6", "lsilogic"), &Choices::default());
    let disk = row(&converted, "disk0");
    assert_eq!(line(disk), "kept | 1 MiB on SATA (AHCI) | W0503");
    assert!(disk.notes[0].hint.as_deref().unwrap().contains("--disk-bus ide"));
}

#[test]
fn uefi_moves_the_boot_disk_only() {
    let descriptor = one_disk("debian10_64Guest", "6", "VirtualSCSI")
        .disk("b.vmdk", MIB, "3", "1")
        .setting("firmware", "efi");
    let machine = map(&descriptor, &Choices::default()).machine;
    assert_eq!(machine.firmware, Firmware::Uefi);
    let buses: Vec<Bus> = machine.disks.iter().map(|disk| disk.bus).collect();
    assert_eq!(buses, [Bus::Sata, Bus::Scsi]);
    assert!(machine.controllers.iter().any(|c| c.model == ControllerModel::VmPvScsi));
}

#[test]
fn writes_out_addresses_that_the_models_take() {
    let at = |target, unit| DriveAddress { controller: 0, bus: 0, target, unit };
    for (subtype, want) in [
        ("VirtualSCSI", [at(0, 0), at(1, 0), at(15, 0)]),
        ("virtio-scsi", [at(0, 0), at(1, 0), at(15, 0)]),
    ] {
        let descriptor = one_disk("rhel8_64Guest", "6", subtype)
            .disk("b.vmdk", MIB, "3", "1")
            .disk("c.vmdk", MIB, "3", "15");
        let machine = map(&descriptor, &Choices::default()).machine;
        let addresses: Vec<_> = machine.disks.iter().filter_map(|disk| disk.address).collect();
        assert_eq!(addresses, want, "{subtype}");
    }
}

#[test]
fn gives_each_disk_on_lsisas1068_a_wwn_and_a_second_controller_from_the_ninth_unit() {
    let descriptor = one_disk("rhel8_64Guest", "6", "lsilogicsas").disk("b.vmdk", MIB, "3", "9");
    let converted = map(&descriptor, &Choices::default());
    let [first, second] = converted.machine.disks.as_slice() else { panic!("two disks") };
    assert!(first.wwn.is_some() && second.wwn.is_some() && first.wwn != second.wwn);
    assert_eq!(second.address, Some(DriveAddress { controller: 1, bus: 0, target: 1, unit: 0 }));
    assert_eq!(line(row(&converted, "disk1")), "kept | 1 MiB on lsisas1068 | W0111");
}

#[test]
fn moves_the_second_of_two_disks_at_one_place() {
    let descriptor = one_disk("rhel8_64Guest", "6", "VirtualSCSI").disk("b.vmdk", MIB, "3", "0");
    let converted = map(&descriptor, &Choices::default());
    assert_eq!(converted.machine.disks[1].address.unwrap().target, 1);
    assert_eq!(line(row(&converted, "disk1")), "kept | 1 MiB on vmpvscsi | W0111");
}

#[test]
fn spreads_thirty_sata_ports_over_controllers_of_six() {
    let descriptor = one_disk("rhel8_64Guest", "20", "AHCI").disk("b.vmdk", MIB, "3", "29");
    let machine = map(&descriptor, &Choices::default()).machine;
    assert_eq!(
        machine.disks[1].address,
        Some(DriveAddress { controller: 1, bus: 0, target: 0, unit: 5 })
    );
    assert_eq!(machine.controllers.len(), 2);
}

#[test]
fn the_virtio_profile_warns_where_the_guest_may_lack_the_driver() {
    let choices = Choices { profile: Profile::Virtio, ..Choices::default() };
    for (os, subtype, want) in [
        ("debian12_64Guest", "lsilogic", "kept | 1 MiB on virtio-scsi | "),
        ("windows9_64Guest", "lsilogic", "kept | 1 MiB on virtio-scsi | W0503"),
    ] {
        let converted = map(&one_disk(os, "6", subtype), &choices);
        assert_eq!(line(row(&converted, "disk0")), want, "{os}");
    }
    let converted = map(&one_disk("debian12_64Guest", "5", ""), &choices);
    assert_eq!(line(row(&converted, "disk0")), "kept | 1 MiB on virtio-blk | ");
}

#[test]
fn an_asked_bus_that_cannot_be_is_a_blocker() {
    let choices = Choices { disk_bus: Some(DiskBus::Ide), ..Choices::default() };
    let descriptor = one_disk("rhel8_64Guest", "20", "AHCI").setting("firmware", "efi");
    let converted = map(&descriptor, &choices);
    assert!(row(&converted, "disk0").is_blocker());
    let five = (0..5).fold(
        Descriptor::new("vm", "rhel8_64Guest").controller("3", "20", "AHCI", "0"),
        |d, at| d.disk(&format!("{at}.vmdk"), MIB, "3", &at.to_string()),
    );
    let converted = map(&five, &choices);
    assert!(!row(&converted, "disk3").is_blocker() && row(&converted, "disk4").is_blocker());
}

#[test]
fn a_drive_finds_a_free_place_beside_the_disks() {
    let descriptor = one_disk("debian10_64Guest", "6", "lsilogic")
        .controller("4", "20", "vmware.sata.ahci", "0")
        .cdrom("4", "0");
    let machine = map(&descriptor, &Choices::default()).machine;
    assert_eq!((machine.removables[0].bus, machine.removables[0].address.unit), (Bus::Sata, 1));
    assert_eq!(machine.disks[0].boot_order, Some(1));
    assert_eq!(machine.removables[0].boot_order, Some(2));
    let descriptor = one_disk("rhel8_64Guest", "5", "").cdrom("3", "0");
    let machine = map(&descriptor, &Choices::default()).machine;
    assert_eq!((machine.removables[0].bus, machine.removables[0].address.unit), (Bus::Ide, 1));
}

#[test]
fn leaves_out_what_it_is_told_to() {
    let choices = Choices { ignore: vec!["disk1".to_owned()], ..Choices::default() };
    let descriptor = one_disk("rhel8_64Guest", "6", "VirtualSCSI").disk("b.vmdk", MIB, "3", "1");
    let converted = map(&descriptor, &choices);
    assert_eq!(converted.machine.disks.len(), 1);
    assert_eq!(line(row(&converted, "disk1")), "dropped |  | W0203");
}

#[test]
fn leaving_out_the_first_disk_renames_no_other() {
    let choices = Choices { ignore: vec!["disk0".to_owned()], ..Choices::default() };
    let descriptor = one_disk("rhel8_64Guest", "6", "VirtualSCSI").disk("b.vmdk", MIB, "3", "1");
    let converted = map(&descriptor, &choices);
    assert_eq!(line(row(&converted, "disk0")), "dropped |  | W0203");
    assert_eq!(line(row(&converted, "disk1")), "kept | 1 MiB on vmpvscsi | ");
    assert_eq!(row(&converted, "disk1").label, "disk 1");
    let [source] = converted.disks.as_slice() else { panic!("one disk") };
    assert_eq!((source.disk.0, source.row.as_str()), (0, "disk1"));
    assert_eq!(source.file.as_ref().unwrap().text(), "b.vmdk");
}

#[test]
fn disks_that_are_left_out_neither_boot_nor_fill_the_bus() {
    let five = (0..5).fold(
        Descriptor::new("vm", "rhel8_64Guest")
            .controller("3", "6", "lsilogic", "0")
            .controller("5", "5", "", "0"),
        |d, at| d.disk(&format!("{at}.vmdk"), MIB, "3", &at.to_string()),
    );
    assert_eq!(map(&five, &Choices::default()).machine.disks[0].bus, Bus::Sata);
    let choices = Choices { ignore: vec!["disk0".to_owned()], ..Choices::default() };
    assert_eq!(map(&five, &choices).machine.disks[0].bus, Bus::Ide);

    let efi = one_disk("rhel8_64Guest", "6", "VirtualSCSI")
        .disk("b.vmdk", MIB, "3", "1")
        .setting("firmware", "efi");
    assert_eq!(map(&efi, &choices).machine.disks[0].bus, Bus::Sata, "disk 1 boots now");
}

#[test]
fn a_disk_that_must_move_takes_no_place_that_another_one_states() {
    let descriptor = one_disk("rhel8_64Guest", "6", "VirtualSCSI")
        .disk("b.vmdk", MIB, "3", "0")
        .disk("c.vmdk", MIB, "3", "1");
    let converted = map(&descriptor, &Choices::default());
    let targets: Vec<u16> =
        converted.machine.disks.iter().map(|disk| disk.address.unwrap().target).collect();
    assert_eq!(targets, [0, 2, 1]);
    let notes = ["disk0", "disk1", "disk2"].map(|id| row(&converted, id).notes.len());
    assert_eq!(notes, [0, 1, 0]);
    assert_eq!(
        row(&converted, "disk1").notes[0].text,
        "unit 0 of the source is unit 2 of controller 0"
    );
}

#[test]
fn a_pc_has_two_floppy_drives_and_each_can_be_left_out() {
    let drive = |d: Descriptor, id: &str| {
        d.item(&[("HostResource", "ovf:/file/file100"), ("InstanceID", id), ("ResourceType", "14")])
    };
    let descriptor =
        ["20", "21", "22"].into_iter().fold(one_disk("rhel8_64Guest", "6", "VirtualSCSI"), drive);
    let converted = map(&descriptor, &Choices::default());
    let units: Vec<u16> = converted.machine.removables.iter().map(|d| d.address.unit).collect();
    assert_eq!(units, [0, 1]);
    assert_eq!(line(row(&converted, "floppy2")), "dropped |  | W0203");
    let choices = Choices { ignore: vec!["floppy0".to_owned()], ..Choices::default() };
    let converted = map(&descriptor, &choices);
    assert_eq!(line(row(&converted, "floppy0")), "dropped |  | W0203");
    assert_eq!(line(row(&converted, "floppy2")), "kept | the same image | ");
}

#[test]
fn a_virtio_scsi_controller_proves_no_ahci() {
    let descriptor =
        one_disk("rhel8_64Guest", "6", "lsilogic").controller("4", "20", "VirtioSCSI", "0");
    let converted = map(&descriptor, &Choices::default());
    assert_eq!(line(row(&converted, "disk0")), "kept | 1 MiB on SATA (AHCI) | W0503");
    assert_eq!(row(&converted, "controller4").from, "VirtioSCSI");
}

#[test]
fn the_board_follows_the_cd_that_boots_and_the_firmware_that_is_chosen() {
    let cd = |d: Descriptor| d.controller("3", "5", "", "0").cdrom("3", "0");
    let descriptor = cd(Descriptor::new("vm", "rhel8_64Guest"));
    let machine = map(&descriptor, &Choices::default()).machine;
    assert_eq!((machine.chipset, machine.removables[0].bus), (Chipset::Pc, Bus::Ide));
    let choices = Choices { ignore: vec!["cdrom0".to_owned()], ..Choices::default() };
    assert_eq!(map(&descriptor, &choices).machine.chipset, Chipset::Q35);
    let secure = cd(Descriptor::new("vm", "winNetStandardGuest"))
        .setting("firmware", "bios")
        .setting("flags.vbsEnabled", "true");
    let converted = map(&secure, &Choices::default());
    assert_eq!(converted.machine.chipset, Chipset::Q35);
    assert!(!row(&converted, "machine").is_blocker());
}
