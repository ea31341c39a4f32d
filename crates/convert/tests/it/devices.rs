//! Processors, memory, firmware, and everything else.

use convert::{Choices, Profile};
use testkit::Descriptor;
use vm::{Chipset, Clock, Firmware, GuestFamily, Sound, Topology, Usb, VideoModel};

use crate::{line, map, row};

fn other(resource_type: &str, subtype: &str) -> Descriptor {
    Descriptor::new("vm", "debian12_64Guest").item(&[
        ("InstanceID", "7"),
        ("ResourceSubType", subtype),
        ("ResourceType", resource_type),
    ])
}

#[test]
fn a_required_item_that_is_not_known_blocks_until_it_is_ignored() {
    let descriptor = Descriptor::new("vm", "debian12_64Guest").raw_item(
        r#"<Item ovf:required="true"><rasd:InstanceID>7</rasd:InstanceID><rasd:ResourceType>32769</rasd:ResourceType></Item>"#,
    );
    let converted = map(&descriptor, &Choices::default());
    assert_eq!(line(row(&converted, "item7")), "blocked |  | E0305");
    for ignore in ["item7", "item:7"] {
        let choices = Choices { ignore: vec![ignore.to_owned()], ..Choices::default() };
        let converted = map(&descriptor, &choices);
        assert!(!converted.rows.iter().any(convert::Row::is_blocker), "{ignore}");
    }
}

#[test]
fn names_the_device_that_was_passed_through() {
    let descriptor = Descriptor::new("vm", "debian12_64Guest").raw_item(
        r#"<Item><rasd:InstanceID>7</rasd:InstanceID><rasd:ResourceType>1</rasd:ResourceType><rasd:ResourceSubType>vmware.pci.passthrough</rasd:ResourceSubType><vmw:Config vmw:key="backing.vendorId" vmw:value="-32634"/><vmw:Config vmw:key="backing.deviceId" vmw:value="10d3"/></Item>"#,
    );
    let converted = map(&descriptor, &Choices::default());
    assert!(row(&converted, "item7").notes[0].text.contains("8086:10d3"));
}

#[test]
fn takes_firmware_from_the_settings() {
    for (settings, want, board) in [
        (&[][..], Firmware::Bios, Chipset::Q35),
        (&[("firmware", "bios")][..], Firmware::Bios, Chipset::Q35),
        (&[("firmware", "EFI")][..], Firmware::Uefi, Chipset::Q35),
        (
            &[("firmware", "efi"), ("bootOptions.efiSecureBootEnabled", "true")][..],
            Firmware::UefiSecure,
            Chipset::Q35,
        ),
        (
            &[("firmware", "efi"), ("flags.vbsEnabled", "true")][..],
            Firmware::UefiSecure,
            Chipset::Q35,
        ),
    ] {
        let descriptor =
            settings.iter().fold(Descriptor::new("vm", "debian12_64Guest"), |d, (key, value)| {
                d.setting(key, value)
            });
        let machine = map(&descriptor, &Choices::default()).machine;
        assert_eq!((machine.firmware, machine.chipset), (want, board), "{settings:?}");
    }
    let choices = Choices { firmware: Some(Firmware::Uefi), ..Choices::default() };
    let descriptor = Descriptor::new("vm", "debian12_64Guest").setting("firmware", "bios");
    let converted = map(&descriptor, &choices);
    assert_eq!(line(row(&converted, "firmware")), "changed | UEFI (OVMF), Secure Boot off | W0108");
    let pc = Choices { chipset: Some(Chipset::Pc), ..choices };
    assert!(row(&map(&descriptor, &pc), "machine").is_blocker());
}

#[test]
fn groups_processors_as_the_source_does_where_they_divide() {
    let cpus = |count: &str, per_socket: &str| {
        format!(
            "<Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>{count}</rasd:VirtualQuantity><vmw:CoresPerSocket ovf:required=\"false\">{per_socket}</vmw:CoresPerSocket></Item>"
        )
    };
    for (count, per_socket, want, codes) in [
        ("4", "2", Some(Topology { sockets: 2, cores: 2, threads: 1 }), ""),
        ("5", "2", None, "W0107"),
        ("2", "4", None, "W0107"),
    ] {
        let xml = Descriptor::new("vm", "debian12_64Guest").xml();
        let start = xml.find("<Item>").unwrap();
        let end = xml.find("</Item>").unwrap() + "</Item>".len();
        let xml = format!("{}{}{}", &xml[..start], cpus(count, per_socket), &xml[end..]);
        let envelope = ovf::Envelope::parse(xml.as_bytes()).unwrap();
        let selection = envelope.select(&ovf::Choices::default()).unwrap();
        let identity = convert::Identity::new(b"", "", "");
        let converted = convert::map_hardware(
            &convert::from_ovf(&envelope, &selection.systems[0]),
            &Choices::default(),
            "vm",
            &identity,
        );
        assert_eq!(converted.machine.cpus.topology, want, "{count} {per_socket}");
        assert!(line(row(&converted, "vcpu")).ends_with(codes), "{count} {per_socket}");
    }
}

#[test]
fn what_the_user_sets_wins_and_is_said() {
    let choices = Choices { vcpus: Some(8), memory_bytes: Some(4 << 30), ..Choices::default() };
    let converted = map(&Descriptor::new("vm", "debian12_64Guest"), &choices);
    assert_eq!(line(row(&converted, "vcpu")), "changed | 8 | ");
    assert_eq!(line(row(&converted, "memory")), "changed | 4 GiB | ");
    assert_eq!(row(&converted, "memory").reason, "set by you");
    let little = Choices { memory_bytes: Some(1), ..Choices::default() };
    let converted = map(&Descriptor::new("vm", "debian12_64Guest"), &little);
    assert!(row(&converted, "memory").is_blocker());
}

#[test]
fn offers_a_guest_what_its_age_drives() {
    for (os, usb, clock, family, extras) in [
        ("debian12_64Guest", Usb::Xhci, Clock::Utc, GuestFamily::Linux, true),
        ("windows7_64Guest", Usb::Ehci, Clock::LocalTime, GuestFamily::Windows, true),
        ("windows8_64Guest", Usb::Xhci, Clock::LocalTime, GuestFamily::Windows, true),
        ("windows9_64Guest", Usb::Xhci, Clock::LocalTime, GuestFamily::Windows, true),
        ("winXPProGuest", Usb::Uhci, Clock::LocalTime, GuestFamily::Windows, false),
        ("dosGuest", Usb::Uhci, Clock::Utc, GuestFamily::Other, false),
        ("otherGuest64", Usb::Xhci, Clock::Utc, GuestFamily::Unknown, true),
        ("otherGuest", Usb::Ehci, Clock::Utc, GuestFamily::Unknown, true),
    ] {
        let machine = map(&Descriptor::new("vm", os), &Choices::default()).machine;
        assert_eq!(
            (machine.usb, machine.clock, machine.guest.family, machine.rng),
            (Some(usb), clock, family, extras),
            "{os}"
        );
        assert_eq!(machine.serials.len(), 1);
    }
}

#[test]
fn the_virtio_profile_takes_virtio_video_and_no_sound() {
    let choices = Choices { profile: Profile::Virtio, ..Choices::default() };
    let converted = map(&other("1", "vmware.soundcard.hdaudio"), &choices);
    assert_eq!(converted.machine.video.unwrap().model, VideoModel::Virtio);
    assert_eq!(converted.machine.sound, None);
    let kept = map(&other("1", "vmware.soundcard.hdaudio"), &Choices::default());
    assert_eq!(kept.machine.sound, Some(Sound::Ich9));
}

#[test]
fn says_what_no_item_says() {
    let descriptor = Descriptor::new("vm", "otherGuest")
        .setting("firmware", "efi")
        .setting("nvram", "vm.nvram")
        .setting("cpuHotRemoveEnabled", "true")
        .setting("tools.syncTimeWithHost", "false")
        .section(r#"<ProductSection><Info>x</Info><Property ovf:key="hostname" ovf:type="string" ovf:userConfigurable="true"/><Property ovf:key="secret" ovf:type="string" ovf:password="true" ovf:value="hunter2"/></ProductSection><EulaSection><Info>x</Info><License>text</License></EulaSection>"#);
    let converted = map(&descriptor, &Choices::default());
    assert_eq!(line(row(&converted, "guest")), "kept | no libosinfo id | W0501");
    assert_eq!(line(row(&converted, "nvram")), "dropped |  | W0104");
    assert_eq!(line(row(&converted, "settings")), "dropped |  | W0205");
    assert_eq!(row(&converted, "settings").from, "cpuHotRemoveEnabled");
    assert_eq!(line(row(&converted, "property.hostname")), "blocked |  | W0401");
    assert_eq!(row(&converted, "property.secret").from, "***");
    assert_eq!(line(row(&converted, "eula")), "kept | not accepted | W0402");
    assert!(!converted.rows.iter().any(convert::Row::is_blocker));
}

#[test]
fn a_second_device_of_a_kind_that_a_machine_has_one_of_is_dropped() {
    for (resource_type, subtype, item) in [
        ("1", "vmware.soundcard.hdaudio", "sound"),
        ("1", "vmware.vtpm", "tpm"),
        ("23", "vmware.usb.ehci", "usb"),
        ("24", "", "video"),
    ] {
        let twice = other(resource_type, subtype).item(&[
            ("InstanceID", "8"),
            ("ResourceSubType", subtype),
            ("ResourceType", resource_type),
        ]);
        let converted = map(&twice, &Choices::default());
        assert_ne!(row(&converted, item).action, convert::Action::Dropped, "{subtype}");
        assert_eq!(line(row(&converted, "item8")), "dropped |  | W0203", "{subtype}");
        assert_eq!(row(&converted, "item8").notes[0].text, "a machine has one");
        let choices = Choices { ignore: vec![item.to_owned()], ..Choices::default() };
        let converted = map(&twice, &choices);
        for id in [item, "item8"] {
            assert_eq!(row(&converted, id).notes[0].text, "left out on request", "{subtype}");
        }
    }
}

#[test]
fn the_second_sound_card_is_taken_when_the_first_cannot_be() {
    let card = |d: Descriptor, id: &str| {
        d.item(&[
            ("InstanceID", id),
            ("ResourceSubType", "vmware.soundcard.hdaudio"),
            ("ResourceType", "1"),
        ])
    };
    let descriptor = ["8", "9"].into_iter().fold(other("1", "vmware.soundcard.sb16"), card);
    let converted = map(&descriptor, &Choices::default());
    assert_eq!(converted.machine.sound, Some(Sound::Ich9));
    assert_eq!(line(row(&converted, "sound")), "dropped |  | W0203");
    assert_eq!(line(row(&converted, "item8")), "kept | ich9 | ");
    assert_eq!(line(row(&converted, "item9")), "dropped |  | W0203");
}
