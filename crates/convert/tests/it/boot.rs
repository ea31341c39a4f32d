//! The boot order.

use convert::{Choices, Converted, Identity, from_ovf, map_hardware};
use ovf::Envelope;
use testkit::{Descriptor, MIB};

use crate::map;

/// Two disks (ids 100 and 101), a CD drive (102) and a card (103).
fn machine() -> Descriptor {
    Descriptor::new("vm", "rhel8_64Guest")
        .controller("3", "6", "VirtualSCSI", "0")
        .controller("4", "20", "vmware.sata.ahci", "0")
        .disk("a.vmdk", MIB, "3", "0")
        .disk("b.vmdk", 2 * MIB, "3", "1")
        .cdrom("4", "0")
        .nic("VmxNet3", "net")
}

/// The orders of disks, drives and cards.
fn orders(converted: &Converted) -> (Vec<u16>, Vec<u16>, Vec<u16>) {
    let machine = &converted.machine;
    let number = |order: Option<u16>| order.unwrap_or_default();
    (
        machine.disks.iter().map(|disk| number(disk.boot_order)).collect(),
        machine.removables.iter().map(|drive| number(drive.boot_order)).collect(),
        machine.nics.iter().map(|nic| number(nic.boot_order)).collect(),
    )
}

#[test]
fn a_stated_boot_order_changes_numbers_and_moves_no_device() {
    let vmware = |id: &str, class: &str| {
        let id = if id.is_empty() { String::new() } else { format!(r#" vmw:instanceId="{id}""#) };
        format!(
            r#"<vmw:BootOrderSection{id} vmw:type="{class}"><Info>x</Info></vmw:BootOrderSection>"#
        )
    };
    for (sections, disks, drives, cards) in [
        (String::new(), [1, 2], 3, 4),
        (vmware("101", "disk"), [2, 1], 3, 4),
        (vmware("102", "cdrom") + &vmware("101", "disk"), [3, 2], 1, 4),
        (vmware("", "net") + &vmware("", "cdrom"), [3, 4], 2, 1),
        (vmware("", "disk"), [1, 2], 3, 4),
        (vmware("999", "cdrom"), [1, 2], 3, 4),
    ] {
        let converted = map(&machine().section(&sections), &Choices::default());
        let want = (disks.to_vec(), vec![drives], vec![cards]);
        assert_eq!(orders(&converted), want, "{sections}");
        let sizes: Vec<u64> = converted.disks.iter().filter_map(|d| d.capacity_bytes).collect();
        assert_eq!(sizes, [MIB, 2 * MIB], "{sections}");
    }
}

#[test]
fn the_first_disk_of_the_stated_order_is_the_one_that_the_firmware_must_read() {
    let section = r#"<vmw:BootOrderSection vmw:instanceId="101" vmw:type="disk"><Info>x</Info></vmw:BootOrderSection>"#;
    let descriptor = machine().setting("firmware", "efi").section(section);
    let buses = |descriptor: &Descriptor| {
        let converted = map(descriptor, &Choices::default());
        converted.machine.disks.iter().map(|disk| disk.bus).collect::<Vec<_>>()
    };
    assert_eq!(buses(&descriptor), [vm::Bus::Scsi, vm::Bus::Sata]);
    let plain = machine().setting("firmware", "efi");
    assert_eq!(buses(&plain), [vm::Bus::Sata, vm::Bus::Scsi]);
}

#[test]
fn a_rank_stays_with_its_device_when_another_is_left_out() {
    let section = r#"<vmw:BootOrderSection vmw:instanceId="103" vmw:type="net"><Info>x</Info></vmw:BootOrderSection>"#;
    let descriptor = machine().nic("VmxNet3", "net").section(section);
    let ignore = |ids: &[&str]| Choices {
        ignore: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..Choices::default()
    };
    let all = map(&descriptor, &Choices::default());
    assert_eq!(orders(&all), (vec![2, 3], vec![4], vec![1, 5]));
    let without_the_first_card = map(&descriptor, &ignore(&["nic0", "disk0"]));
    assert_eq!(orders(&without_the_first_card), (vec![1], vec![2], vec![3]));
}

#[test]
fn more_devices_than_numbers_end_without_a_panic() {
    let xml = machine().xml();
    let envelope = Envelope::parse(xml.as_bytes()).unwrap();
    let mut system = envelope.select(&ovf::Choices::default()).unwrap().systems.remove(0);
    let card = system.nics[0].clone();
    system.nics = vec![card; 1000];
    let identity = Identity::new(xml.as_bytes(), "vm", "vm");
    let converted =
        map_hardware(&from_ovf(&envelope, &system), &Choices::default(), "vm", &identity);
    let (disks, _, cards) = orders(&converted);
    assert_eq!((disks, cards[508], cards[509]), (vec![1, 2], 512, 0));
}

#[test]
fn a_floppy_with_an_image_is_tried_after_the_other_drives() {
    let floppy = machine().file("dos.flp").item(&[
        ("HostResource", "ovf:/file/dos.flp"),
        ("InstanceID", "8"),
        ("ResourceType", "14"),
    ]);
    let want = (vec![1, 2], vec![3, 4], vec![5]);
    assert_eq!(orders(&map(&floppy, &Choices::default())), want);
}
