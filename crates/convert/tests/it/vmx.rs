//! The hardware map, from the text of a VMX.

use convert::{Choices, Converted, DiskBus, Identity, Origin, from_vmx, map_hardware};
use testkit::{Descriptor, MIB, Vmx};
use vm::{Bus, Chipset, ControllerModel, Firmware, NicModel, Topology};

use crate::{line, row};

/// Maps the machine of a VMX.
fn map(text: &Vmx, choices: &Choices) -> Converted {
    let bytes = text.text().as_bytes();
    let vmx = vmx::Vmx::parse(bytes).expect("a sound VMX");
    let (system, _) = from_vmx(&vmx);
    map_hardware(&system, choices, "vm", &Identity::new(bytes, &system.handle, "vm"))
}

/// Which item has which action, target and codes.
fn lines(converted: &Converted) -> Vec<String> {
    converted.rows.iter().map(|row| format!("{}: {}", row.item, line(row))).collect()
}

#[test]
fn a_vmx_and_an_ovf_of_one_machine_give_the_same_hardware() {
    let vmx = Vmx::new("vm", "debian10-64")
        .controller("scsi0", "pvscsi")
        .device("sata0", &[])
        .disk("scsi0:0", "a.vmdk")
        .disk("scsi0:1", "b.vmdk")
        .cdrom("sata0:0", "")
        .nic("ethernet0", "vmxnet3", "A")
        .nic("ethernet1", "e1000", "B");
    let ovf = Descriptor::new("vm", "debian10_64Guest")
        .setting("firmware", "bios")
        .controller("3", "6", "VirtualSCSI", "0")
        .controller("4", "20", "vmware.sata.ahci", "0")
        .disk("a.vmdk", MIB, "3", "0")
        .disk("b.vmdk", MIB, "3", "1")
        .cdrom("4", "0")
        .nic("VmxNet3", "A")
        .nic("E1000", "B");
    let one = map(&vmx, &Choices::default());
    let mut other = crate::map(&ovf, &Choices::default());
    // Identities differ as the texts do, and only an OVF states capacities.
    other.machine.uuid = one.machine.uuid;
    for (disk, same) in other.machine.disks.iter_mut().zip(&one.machine.disks) {
        disk.serial.clone_from(&same.serial);
        disk.capacity_bytes = same.capacity_bytes;
    }
    for (nic, same) in other.machine.nics.iter_mut().zip(&one.machine.nics) {
        nic.mac = same.mac;
    }
    assert_eq!(one.machine, other.machine);
    let told = |converted: &Converted| {
        let rows = converted.rows.iter().filter(|row| !row.item.starts_with("disk"));
        rows.map(|row| (row.label.clone(), line(row))).collect::<Vec<_>>()
    };
    assert_eq!(told(&one), told(&other));
}

#[test]
fn each_item_of_a_vmx_is_in_one_row() {
    let vmx = Vmx::small("vm")
        .device("sata0", &[])
        .disk("sata0:1", "b.vmdk")
        .cdrom("sata0:0", "/vmfs/volumes/iso/a.iso")
        .device("floppy0", &[("fileType", "file"), ("fileName", "a.flp")])
        .device("sound", &[("virtualDev", "hdaudio")])
        .device("serial0", &[("fileType", "network")])
        .device("parallel0", &[("fileName", "/dev/parport0")])
        .device("usb", &[])
        .device("ehci", &[])
        .device("usb_xhci", &[])
        .device("usb:0", &[("deviceType", "hid")])
        .device("vmci0", &[])
        .device("hpet0", &[])
        .device("pciBridge0", &[])
        .device("pciBridge4", &[])
        .device("vtpm", &[])
        .device("sharedFolder0", &[("guestName", "home")])
        .device("warpCore0", &[])
        .set("svga.vramSize", "8388608")
        .set("vcpu.hotadd", "TRUE")
        .set("sched.cpu.min", "500");
    let converted = map(&vmx, &Choices::default());
    assert_eq!(
        lines(&converted),
        [
            "guest: kept | http://debian.org/debian/10 | ",
            "vcpu: kept | 1 | W0205",
            "memory: kept | 512 MiB | ",
            "firmware: kept | BIOS (SeaBIOS) | ",
            "machine: kept | q35 | ",
            "disk0: kept | on vmpvscsi | ",
            "disk1: kept | on SATA (AHCI) | ",
            "cdrom0: changed | empty drive on SATA (AHCI) | W0202",
            "cdrom1: kept | empty drive on SATA (AHCI) | ",
            "floppy0: kept | the same image | ",
            "scsi0: kept | vmpvscsi | ",
            "sata0: kept | SATA (AHCI) | ",
            "ide1: kept | as needed | ",
            "nic0: kept | vmxnet3 → network default | W0301",
            "usb: kept | xHCI and a tablet | ",
            "sound: kept | ich9 | ",
            "serial0: changed | pseudo terminal | W0105",
            "parallel0: dropped |  | W0203",
            "usb-2: dropped |  | W0203",
            "ehci: kept | part of the machine | ",
            "usb:0: kept | part of the machine | ",
            "vmci0: dropped |  | W0201",
            "hpet0: kept | part of the machine | ",
            "tpm: changed | TPM 2.0, emulated | W0109",
            "sharedFolder0: dropped |  | W0201",
            "warpCore0: dropped |  | W0204",
            "video: changed | VGA, 16 MiB | W0106",
            "pciBridge0: kept | part of the machine | ",
            "settings: dropped |  | W0205",
        ]
    );
    assert_eq!(row(&converted, "cdrom0").from, "/vmfs/volumes/iso/a.iso");
    assert_eq!(row(&converted, "pciBridge0").from, "2 PCI bridges");
    assert_eq!(row(&converted, "settings").from, "sched.cpu.min");
}

#[test]
fn the_identity_of_a_vmx_can_be_kept() {
    let vmx = Vmx::small("vm")
        .set("uuid.bios", "56 4d 99 89 a7 21 91 0d-cc 28 e2 db d5 4b 2b 8c")
        .set("ethernet0.generatedAddress", "00:0c:29:4b:2b:8c");
    let keep = Choices { mac: Origin::Keep, uuid: Origin::Keep, ..Choices::default() };
    let of = |choices| {
        let machine = map(&vmx, choices).machine;
        let mac = machine.nics[0].mac.map(|mac| mac.to_string());
        (machine.uuid.map(|uuid| uuid.to_string()), mac)
    };
    let (uuid, mac) = of(&keep);
    assert_eq!(uuid.as_deref(), Some("564d9989-a721-910d-cc28-e2dbd54b2b8c"));
    assert_eq!(mac.as_deref(), Some("00:0c:29:4b:2b:8c"));
    assert_ne!(of(&Choices::default()), (uuid, mac));
}

#[test]
fn firmware_and_processors_are_those_of_the_vmx() {
    let vmx = Vmx::small("vm")
        .set("firmware", "efi")
        .set("uefi.secureBoot.enabled", "TRUE")
        .set("numvcpus", "4")
        .set("cpuid.coresPerSocket", "2");
    let machine = map(&vmx, &Choices::default()).machine;
    assert_eq!(machine.firmware, Firmware::UefiSecure);
    let topology = Topology { sockets: 2, cores: 2, threads: 1 };
    assert_eq!((machine.cpus.count, machine.cpus.topology), (4, Some(topology)));
    // Stock UEFI firmware has no driver for PVSCSI.
    assert_eq!(machine.disks[0].bus, Bus::Sata);
}

#[test]
fn numbers_of_a_vmx_that_nothing_can_be_built_of_wait_for_somebody() {
    for (key, value, item) in [
        ("numvcpus", "0", "vcpu"),
        ("numvcpus", "5000", "vcpu"),
        ("memSize", "0", "memory"),
        ("memSize", "lots", "memory"),
        ("memSize", "67108865", "memory"),
    ] {
        let converted = map(&Vmx::small("vm").set(key, value), &Choices::default());
        assert!(row(&converted, item).is_blocker(), "{key} {value}");
    }
    let converted = map(&Vmx::small("vm").set("numvcpus", "two"), &Choices::default());
    assert_eq!(line(row(&converted, "vcpu")), "kept | 1 | W0112");
}

#[test]
fn an_old_machine_of_a_desktop_stays_on_ide() {
    let vmx = Vmx::new("old", "winxppro")
        .disk("ide0:0", "old.vmdk")
        .cdrom("ide1:0", "")
        .device("ethernet0", &[("connectionType", "nat")])
        .device("sound", &[]);
    let converted = map(&vmx, &Choices::default());
    let machine = &converted.machine;
    assert_eq!((machine.chipset, machine.disks[0].bus), (Chipset::Pc, Bus::Ide));
    assert_eq!(machine.nics[0].model, NicModel::Pcnet);
    assert_eq!(row(&converted, "nic0").label, "nic 0  nat");
    assert_eq!(line(row(&converted, "sound")), "changed | es1370 | W0106");
    let proven = Vmx::new("old", "winxppro")
        .controller("scsi0", "buslogic")
        .disk("scsi0:0", "old.vmdk")
        .cdrom("ide1:0", "");
    let converted = map(&proven, &Choices::default());
    assert_eq!(row(&converted, "scsi0").notes[0].text, "QEMU has no such chip; the VMX proves IDE");
}

#[test]
fn the_boot_order_of_a_vmx_is_kept() {
    let vmx = Vmx::small("vm")
        .disk("scsi0:1", "b.vmdk")
        .set("bios.bootOrder", "cdrom,hdd")
        .set("bios.hddOrder", "scsi0:1,scsi0:0");
    let machine = map(&vmx, &Choices::default()).machine;
    let disks: Vec<_> = machine.disks.iter().map(|disk| disk.boot_order).collect();
    assert_eq!((machine.removables[0].boot_order, disks), (Some(1), vec![Some(3), Some(2)]));
}

#[test]
fn devices_are_left_out_by_their_names() {
    let vmx = Vmx::small("vm").device("pciPassthru0", &[]).disk("scsi0:1", "b.vmdk");
    assert!(row(&map(&vmx, &Choices::default()), "pciPassthru0").is_blocker());
    let ignore = vec!["item:pciPassthru0".to_owned(), "item:scsi0:1".to_owned()];
    let converted = map(&vmx, &Choices { ignore, ..Choices::default() });
    assert!(!converted.rows.iter().any(convert::Row::is_blocker));
    assert_eq!(converted.machine.disks.len(), 1);
    let ide = Choices { disk_bus: Some(DiskBus::Ide), ..Choices::default() };
    let models: Vec<_> = map(&vmx, &ide).machine.controllers.iter().map(|one| one.model).collect();
    assert_eq!(models, [ControllerModel::Ide]);
}

#[test]
fn a_slot_of_a_vmx_keeps_its_name() {
    let vmx = Vmx::small("vm").set("ethernet0.pciSlotNumber", "192");
    let told = map(&vmx, &Choices::default());
    assert_eq!(row(&told, "nic0").notes[1].text, "ens192 becomes enp1s0");
    let kept = map(&vmx, &Choices { keep_nic_names: true, ..Choices::default() });
    assert_eq!((kept.machine.chipset, kept.machine.nics[0].slot), (Chipset::Q35, Some(192)));
}
