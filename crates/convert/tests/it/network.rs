//! Network cards.

use convert::{Choices, NetworkMap, NicChoice, Origin, Profile};
use testkit::Descriptor;
use vm::{NicModel, NicTarget};

use crate::{line, map, row};

fn mapped(target: NicTarget) -> Choices {
    let networks = NetworkMap { named: Vec::new(), others: Some(target) };
    Choices { networks, ..Choices::default() }
}

#[test]
fn keeps_models_that_the_same_driver_drives() {
    let user = mapped(NicTarget::User);
    for (os, model, want) in [
        ("rhel8_64Guest", "VmxNet3", "kept | vmxnet3 → user network | "),
        ("rhel8_64Guest", "E1000", "kept | e1000 → user network | "),
        ("rhel8_64Guest", "E10000", "kept | e1000 → user network | "),
        ("rhel8_64Guest", "E1000e", "kept | e1000e → user network | "),
        ("rhel8_64Guest", "82545EM", "kept | e1000 → user network | "),
        ("winNetStandardGuest", "PCNet32", "kept | pcnet → user network | "),
        ("rhel8_64Guest", "PCNet32", "changed | e1000 → user network | W0102"),
        ("rhel8_64Guest", "Vmxnet2", "changed | e1000 → user network | W0102"),
        ("other24xLinuxGuest", "Flexible", "kept | pcnet → user network | "),
        ("rhel8_64Guest", "SriovEthernetCard", "changed | virtio → user network | W0102"),
        ("rhel8_64Guest", "virtio", "kept | virtio → user network | "),
        ("rhel8_64Guest", "whatever", "changed | e1000e → user network | W0102"),
    ] {
        let descriptor = Descriptor::new("vm", os).nic(model, "A");
        assert_eq!(line(row(&map(&descriptor, &user), "nic0")), want, "{os} {model}");
    }
}

#[test]
fn asked_models_and_profiles_say_what_they_change() {
    let descriptor = Descriptor::new("vm", "debian12_64Guest").nic("VmxNet3", "A");
    let choices = Choices { profile: Profile::Virtio, ..mapped(NicTarget::User) };
    assert_eq!(
        line(row(&map(&descriptor, &choices), "nic0")),
        "changed | virtio → user network | W0102"
    );
    let keep = Choices { nic_model: Some(NicChoice::Keep), ..choices.clone() };
    assert_eq!(line(row(&map(&descriptor, &keep), "nic0")), "kept | vmxnet3 → user network | ");
    let e1000e = Choices { nic_model: Some(NicChoice::Model(NicModel::E1000e)), ..choices };
    assert_eq!(
        line(row(&map(&descriptor, &e1000e), "nic0")),
        "changed | e1000e → user network | W0102"
    );
}

#[test]
fn says_where_networks_go_when_nobody_chose() {
    let descriptor = Descriptor::new("vm", "debian12_64Guest").nic("E1000", "A").nic("E1000", "B");
    let converted = map(&descriptor, &Choices::default());
    assert_eq!(line(row(&converted, "nic0")), "kept | e1000 → network default | W0301");
    assert_eq!(line(row(&converted, "nic1")), "kept | e1000 → network default | W0301 W0302");
    let named = vec![
        ("A".to_owned(), NicTarget::Bridge { name: "br0".to_owned(), vlan: Some(30) }),
        ("B".to_owned(), NicTarget::None),
    ];
    let networks = NetworkMap { named, others: None };
    let converted = map(&descriptor, &Choices { networks, ..Choices::default() });
    assert_eq!(line(row(&converted, "nic0")), "kept | e1000 → bridge br0, VLAN 30 | ");
    assert_eq!(line(row(&converted, "nic1")), "kept | e1000 → no network | ");
    assert!(!converted.machine.nics[1].link_up);
}

#[test]
fn makes_addresses_or_keeps_those_of_the_package() {
    let with_mac = |mac: &str| {
        Descriptor::new("vm", "debian12_64Guest").item(&[
            ("Address", mac),
            ("Connection", "A"),
            ("InstanceID", "9"),
            ("ResourceSubType", "E1000"),
            ("ResourceType", "10"),
        ])
    };
    let made = map(&with_mac("00:50:56:aa:bb:cc"), &mapped(NicTarget::User));
    assert!(made.machine.nics[0].mac.unwrap().to_string().starts_with("52:54:00:"));
    let keep = Choices { mac: Origin::Keep, ..mapped(NicTarget::User) };
    let kept = map(&with_mac("00-50-56-AA-BB-CC"), &keep);
    assert_eq!(kept.machine.nics[0].mac.unwrap().to_string(), "00:50:56:aa:bb:cc");
    let unusable = map(&with_mac("01:00:5e:00:00:01"), &keep);
    assert_eq!(line(row(&unusable, "nic0")), "kept | e1000 → user network | W0303");
}

#[test]
fn names_the_interface_that_will_be_renamed() {
    let descriptor = Descriptor::new("vm", "debian12_64Guest").raw_item(
        r#"<Item><rasd:Connection>A</rasd:Connection><rasd:InstanceID>9</rasd:InstanceID><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType><vmw:Config vmw:key="slotInfo.pciSlotNumber" vmw:value="192"/></Item>"#,
    );
    let converted = map(&descriptor, &mapped(NicTarget::User));
    let nic = row(&converted, "nic0");
    assert_eq!(line(nic), "kept | vmxnet3 → user network | W0304");
    assert!(nic.notes[0].text.contains("ens192"));
}
