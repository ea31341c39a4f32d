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

/// A Debian machine with a card for each of these addresses.
fn with_macs(macs: &[(&str, &str)]) -> Descriptor {
    let card = |at: usize, (field, mac): &(&str, &str)| {
        let id = (9 + at).to_string();
        testkit::item(&[
            (*field, *mac),
            ("Connection", "A"),
            ("InstanceID", &id),
            ("ResourceSubType", "E1000"),
            ("ResourceType", "10"),
        ])
    };
    let cards = macs.iter().enumerate().map(|(at, mac)| card(at, mac));
    cards.fold(Descriptor::new("vm", "debian12_64Guest"), |vm, card| vm.raw_item(&card))
}

#[test]
fn makes_addresses_that_are_the_same_each_time() {
    let descriptor = with_macs(&[("Address", "00:50:56:aa:bb:cc"), ("Connection", "A")]);
    let made = map(&descriptor, &mapped(NicTarget::User));
    let macs: Vec<_> = made.machine.nics.iter().map(|nic| nic.mac.unwrap().to_string()).collect();
    assert!(macs.iter().all(|mac| mac.starts_with("52:54:00:")) && macs[0] != macs[1], "{macs:?}");
    assert_eq!(line(row(&made, "nic0")), "kept | e1000 → user network | ");
    assert_eq!(map(&descriptor, &mapped(NicTarget::User)).machine, made.machine);
}

#[test]
fn keeps_an_address_of_the_package_however_it_is_written() {
    let keep = Choices { mac: Origin::Keep, ..mapped(NicTarget::User) };
    for (field, mac, want) in [
        ("Address", "00:50:56:AA:bb:cc", "00:50:56:aa:bb:cc"),
        ("Address", "00-50-56-AA-BB-CC", "00:50:56:aa:bb:cc"),
        ("Address", "0800273E698E", "08:00:27:3e:69:8e"),
        ("MACAddress", "00:1a:4a:16:01:51", "00:1a:4a:16:01:51"),
    ] {
        let kept = map(&with_macs(&[(field, mac)]), &keep);
        assert_eq!(kept.machine.nics[0].mac.unwrap().to_string(), want);
        assert_eq!(line(row(&kept, "nic0")), "kept | e1000 → user network | ");
    }
}

#[test]
fn makes_an_address_where_that_of_the_package_cannot_be() {
    let keep = Choices { mac: Origin::Keep, ..mapped(NicTarget::User) };
    let unusable = "the source's address cannot be used";
    for (mac, want) in [
        ("01:00:5e:00:00:01", unusable),
        ("00:00:00:00:00:00", unusable),
        ("00:50:56:aa:bb", unusable),
        ("7", unusable),
    ] {
        let made = map(&with_macs(&[("Address", mac)]), &keep);
        assert!(made.machine.nics[0].mac.unwrap().to_string().starts_with("52:54:00:"), "{mac}");
        assert_eq!(line(row(&made, "nic0")), "kept | e1000 → user network | W0303", "{mac}");
        assert_eq!(row(&made, "nic0").notes[0].text, want, "{mac}");
    }
    let without = map(&with_macs(&[("Connection", "A")]), &keep);
    assert_eq!(row(&without, "nic0").notes[0].text, "the source gives no address to keep");
    let twice = map(&with_macs(&[("Address", "00:50:56:aa:bb:cc"); 2]), &keep);
    assert_eq!(line(row(&twice, "nic0")), "kept | e1000 → user network | ");
    assert_eq!(row(&twice, "nic1").notes[0].text, "another card has the source's address");
    assert_ne!(twice.machine.nics[0].mac, twice.machine.nics[1].mac);
}
