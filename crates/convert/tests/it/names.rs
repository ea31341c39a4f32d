//! Names of Linux interfaces: told, kept, or lost.

use convert::{Choices, Converted, DiskBus, NetworkMap, NicChoice, Profile};
use testkit::{Descriptor, MIB};
use vm::{Chipset, NicModel, NicTarget};

use crate::{line, map, row};

/// Every network is libvirt's user network, which needs no note.
fn user() -> Choices {
    let networks = NetworkMap { named: Vec::new(), others: Some(NicTarget::User) };
    Choices { networks, ..Choices::default() }
}

fn keeping() -> Choices {
    Choices { keep_nic_names: true, ..user() }
}

/// A Debian machine with a card of each kind that VMware offers.
fn three_cards() -> Descriptor {
    with_cards("debian12_64Guest", &[("VmxNet3", "192"), ("E1000e", "160"), ("E1000", "224")])
}

fn with_cards(os: &str, cards: &[(&str, &str)]) -> Descriptor {
    cards
        .iter()
        .fold(Descriptor::new("vm", os), |vm, (model, slot)| vm.nic_in_slot(model, "A", slot))
}

/// The reason and the notes of each card's row, and of the row about all names.
fn told(converted: &Converted) -> Vec<String> {
    let rows = converted.rows.iter().filter(|row| row.item.starts_with("nic"));
    rows.map(|row| {
        let notes = row.notes.iter().map(|note| format!("{} {}", note.code, note.text));
        let reason = (!row.reason.is_empty()).then(|| row.reason.clone());
        reason.into_iter().chain(notes).collect::<Vec<_>>().join("; ")
    })
    .collect()
}

fn slots(converted: &Converted) -> Vec<Option<u16>> {
    converted.machine.nics.iter().map(|nic| nic.slot).collect()
}

#[test]
fn tells_the_old_and_the_new_name_of_each_card() {
    let converted = map(&three_cards(), &user());
    assert_eq!(
        told(&converted),
        ["W0304 ens192 becomes enp1s0", "W0304 ens160 becomes enp2s0", "W0304 ens224 becomes ens1"]
    );
    let hint = row(&converted, "nic0").notes[0].hint.as_deref();
    assert_eq!(hint, Some("--keep-nic-names"));
    let pc = Choices { chipset: Some(Chipset::Pc), ..user() };
    assert_eq!(
        told(&map(&three_cards(), &pc)),
        ["W0304 ens192 becomes ens3", "W0304 ens160 becomes ens4", "W0304 ens224 becomes ens5"]
    );
}

#[test]
fn tells_names_only_of_guests_that_may_have_such() {
    for (os, want) in [
        ("rhel8_64Guest", "W0304 ens192 becomes enp1s0"),
        ("otherGuest64", "W0304 if it is Linux, ens192 becomes enp1s0"),
        ("windows9_64Guest", ""),
        ("freebsd13_64Guest", ""),
    ] {
        assert_eq!(told(&map(&with_cards(os, &[("VmxNet3", "192")]), &user())), [want], "{os}");
    }
    let nameless = Descriptor::new("vm", "debian12_64Guest").nic("VmxNet3", "A");
    assert_eq!(told(&map(&nameless, &user())), [""]);
    // The same name as before is no change.
    let pc = Choices { chipset: Some(Chipset::Pc), ..user() };
    let same = with_cards("debian12_64Guest", &[("VmxNet3", "3")]);
    assert_eq!(told(&map(&same, &pc)), [""]);
}

#[test]
fn keeps_every_name_on_q35_with_cards_that_show_a_slot() {
    let converted = map(&three_cards(), &keeping());
    assert_eq!(slots(&converted), [Some(192), Some(160), Some(224)]);
    let lines = ["nic0", "nic1", "nic2"].map(|item| line(row(&converted, item)));
    assert_eq!(
        lines,
        [
            "kept | vmxnet3 → user network | ",
            "kept | e1000e → user network | ",
            "changed | e1000e → user network | W0102"
        ]
    );
    assert_eq!(
        told(&converted),
        [
            "stays ens192",
            "stays ens160",
            "stays ens224; W0102 its name stays on a PCI Express card only, which e1000 is not",
            "libvirt marks such a machine as tainted, and some tools refuse it; a .link file by MAC \
             address in the guest does without: relift explain W0304"
        ]
    );
    let names = row(&converted, "nic-names");
    assert_eq!(
        (names.from.as_str(), names.to.as_str()),
        ("ens192 ens160 ens224", "kept by a qemu: section")
    );
}

#[test]
fn keeps_names_with_virtio_cards_too() {
    let choices = Choices { profile: Profile::Virtio, ..keeping() };
    let converted = map(&three_cards(), &choices);
    assert_eq!(slots(&converted), [Some(192), Some(160), Some(224)]);
    assert!(converted.machine.nics.iter().all(|nic| nic.model == NicModel::Virtio));
}

#[test]
fn moves_a_machine_that_would_be_pc_to_q35_and_says_what_that_costs() {
    let ide = three_cards().controller("3", "5", "", "0").disk("a.vmdk", MIB, "3", "0");
    let plain = map(&ide, &user());
    assert_eq!(plain.machine.chipset, Chipset::Pc);
    let kept = map(&ide, &keeping());
    assert_eq!(kept.machine.chipset, Chipset::Q35);
    assert_eq!(row(&kept, "machine").reason, "--keep-nic-names needs it");
    assert!(kept.machine.controllers.iter().all(|one| one.model != vm::ControllerModel::Ide));
    let changed = kept.rows.iter().flat_map(|row| &row.notes);
    assert!(changed.into_iter().any(|note| note.text.starts_with("q35 has no IDE")));
    let bus = Choices { disk_bus: Some(DiskBus::Ide), ..keeping() };
    assert!(row(&map(&ide, &bus), "disk0").is_blocker());
}

#[test]
fn refuses_the_pc_board_where_names_are_to_be_kept() {
    let choices = Choices { chipset: Some(Chipset::Pc), ..keeping() };
    let converted = map(&three_cards(), &choices);
    let note = &row(&converted, "machine").notes[0];
    assert!(row(&converted, "machine").is_blocker());
    assert_eq!(note.code.as_str(), "E0305");
    assert_eq!(note.text, "--keep-nic-names needs the q35 board");
    assert_eq!(note.hint.as_deref(), Some("--machine q35, or let the names change"));
    assert_eq!(slots(&converted), [None; 3]);
}

#[test]
fn says_which_names_are_lost_and_why() {
    let cards = [("VmxNet3", "192"), ("VmxNet3", "192"), ("VmxNet3", "9000"), ("E1000", "1184")];
    let converted = map(&with_cards("debian12_64Guest", &cards).nic("E1000", "A"), &keeping());
    assert_eq!(slots(&converted), [Some(192), None, None, Some(161), None]);
    assert_eq!(
        told(&converted)[..5],
        [
            "stays ens192",
            "W0304 its name is not kept: nic 0 is ens192 already",
            "W0304 its name is not kept: the source names no slot that its name came from",
            "stays ens161; W0102 its name stays on a PCI Express card only, which e1000 is not",
            "W0304 its name is not kept: the source names no slot that its name came from"
        ]
    );
    // A card whose name is not kept stays what it is.
    assert_eq!(converted.machine.nics[4].model, NicModel::E1000);
}

#[test]
fn a_card_that_is_left_out_holds_no_name() {
    let cards = [("VmxNet3", "192"), ("VmxNet3", "192")];
    let choices = Choices { ignore: vec!["nic0".to_owned()], ..keeping() };
    let converted = map(&with_cards("debian12_64Guest", &cards), &choices);
    assert_eq!(slots(&converted), [Some(192)]);
    assert_eq!(told(&converted)[1], "stays ens192");
}

#[test]
fn a_chosen_model_that_shows_no_slot_loses_the_names_and_forces_no_board() {
    for choice in [NicChoice::Model(NicModel::E1000), NicChoice::Keep] {
        let choices = Choices { nic_model: Some(choice), ..keeping() };
        let converted = map(&with_cards("debian12_64Guest", &[("E1000", "224")]), &choices);
        assert_eq!(slots(&converted), [None]);
        assert_eq!(
            told(&converted),
            [
                "W0304 its name is not kept: e1000 is no PCI Express card",
                "no card has a name that can stay"
            ]
        );
        assert_eq!(row(&converted, "machine").reason, "");
        let told = map(
            &with_cards("debian12_64Guest", &[("E1000", "224")]),
            &Choices { keep_nic_names: false, ..choices },
        );
        let hint = row(&told, "nic0").notes[0].hint.as_deref();
        assert_eq!(hint, Some("a .link file by MAC address in the guest"));
    }
}

#[test]
fn has_no_effect_on_other_guests() {
    for os in ["windows9_64Guest", "freebsd13_64Guest", "other24xLinuxGuest"] {
        let converted = map(&with_cards(os, &[("E1000", "224")]), &keeping());
        assert_eq!(slots(&converted), [None], "{os}");
        assert_eq!(converted.machine.nics[0].model, NicModel::E1000, "{os}");
        assert_eq!(
            told(&converted),
            ["", "--keep-nic-names has no effect: only Linux names its cards by their slots"],
            "{os}"
        );
    }
}
