//! The hardware map, row by row: what stands in the descriptor, the row that it becomes, and what that
//! row says (action, target, codes).
//!
//! Buses of disks are in `storage`, network cards in `network`; here is everything else.

use convert::{Choices, Profile, Watchdog};
use testkit::{Descriptor, MIB};
use vm::{CpuFeature, Machine, Usb};

use crate::{line, map, row};

/// One row of the table.
struct Case {
    /// The items, as XML.
    xml: &'static str,
    /// The id of the row, and what it says.
    want: (&'static str, &'static str),
}

const fn case(xml: &'static str, item: &'static str, want: &'static str) -> Case {
    Case { xml, want: (item, want) }
}

/// An item with this resource type and what else stands in it.
macro_rules! item {
    ($resource_type:literal, $subtype:literal) => {
        item!($resource_type, $subtype, "")
    };
    ($resource_type:literal, $subtype:literal, $more:literal) => {
        concat!(
            "<Item><rasd:InstanceID>7</rasd:InstanceID><rasd:ResourceSubType>",
            $subtype,
            "</rasd:ResourceSubType><rasd:ResourceType>",
            $resource_type,
            "</rasd:ResourceType>",
            $more,
            "</Item>"
        )
    };
}

/// A `vmw:Config` of the machine or of an item.
macro_rules! config {
    ($key:literal, $value:literal) => {
        concat!(r#"<vmw:Config vmw:key=""#, $key, r#"" vmw:value=""#, $value, r#""/>"#)
    };
}

/// A current Linux of 64 bits.
fn linux(xml: &str) -> Descriptor {
    Descriptor::new("vm", "debian12_64Guest").raw_item(xml)
}

fn check(guest: &str, choices: &Choices, cases: &[Case]) {
    for Case { xml, want: (item, want) } in cases {
        let converted = map(&Descriptor::new("vm", guest).raw_item(xml), choices);
        assert_eq!(line(row(&converted, item)), *want, "{guest}: {xml}");
    }
}

#[test]
fn processors_memory_and_firmware() {
    check(
        "debian12_64Guest",
        &Choices::default(),
        &[
            case(config!("cpuHotAddEnabled", "true"), "vcpu", "kept | 1 | W0205"),
            case(config!("cpuHotAddEnabled", "false"), "vcpu", "kept | 1 | "),
            case(config!("nestedHVEnabled", "true"), "vcpu", "kept | 1 | W0205"),
            case(config!("memoryHotAddEnabled", "true"), "memory", "kept | 512 MiB | W0205"),
            case(config!("flags.vvtdEnabled", "true"), "iommu", "kept | Intel IOMMU | "),
            case(
                config!("flags.vbsEnabled", "true"),
                "firmware",
                "changed | UEFI (OVMF), Secure Boot on | W0108",
            ),
            case(config!("flags.vbsEnabled", "true"), "vcpu", "kept | 1 | W0205"),
            case(config!("sevEnabled", "true"), "sevEnabled", "dropped |  | W0207"),
            case(config!("sgxInfo.epcSize", "64"), "sgxInfo.epcSize", "dropped |  | W0207"),
            case(config!("virtualSMCPresent", "true"), "virtualSMCPresent", "dropped |  | W0201"),
            case(config!("numa.vcpu.preferHT", "true"), "settings", "dropped |  | W0205"),
            case(config!("firmware", "EFI"), "firmware", "kept | UEFI (OVMF), Secure Boot off | "),
            case(config!("firmware", "bios"), "firmware", "kept | BIOS (SeaBIOS) | "),
            case("", "firmware", "kept | BIOS (SeaBIOS) | "),
            case(item!("1", "vmware.vtpm"), "tpm", "changed | TPM 2.0, emulated | W0109"),
            case(item!("34", "vmware.vtpm"), "tpm", "changed | TPM 2.0, emulated | W0109"),
        ],
    );
    check(
        "windows7Guest",
        &Choices::default(),
        &[case(
            config!("firmware", "efi"),
            "firmware",
            "kept | UEFI (OVMF), Secure Boot off | W0108",
        )],
    );
}

#[test]
fn devices() {
    check(
        "debian12_64Guest",
        &Choices::default(),
        &[
            case(item!("24", ""), "video", "changed | VGA, 16 MiB | W0106"),
            case(
                item!("24", "", r#"<vmw:Config vmw:key="videoRamSizeInKB" vmw:value="20000"/>"#),
                "video",
                "changed | VGA, 32 MiB | W0106",
            ),
            case(
                item!("24", "", r#"<vmw:Config vmw:key="numDisplays" vmw:value="2"/>"#),
                "video",
                "changed | VGA, 16 MiB | W0106 W0106",
            ),
            case(item!("23", ""), "usb", "kept | xHCI and a tablet | "),
            case(item!("23", "vmware.usb.xhci"), "usb", "kept | xHCI and a tablet | "),
            case(item!("23", "vmware.usb.ehci"), "usb", "kept | EHCI and a tablet | "),
            case(item!("1", "vmware.soundcard.hdaudio"), "sound", "kept | ich9 | "),
            case(item!("1", "vmware.soundcard.ensoniq1371"), "sound", "changed | es1370 | W0106"),
            case(item!("35", "ensoniq1371"), "sound", "changed | ac97 | W0106"),
            case(item!("1", "vmware.soundcard.sb16"), "sound", "dropped |  | W0203"),
            case(
                item!("21", "vmware.serialport.device"),
                "serial0",
                "changed | pseudo terminal | W0105",
            ),
            case(
                item!("21", "vmware.serialport.uri"),
                "serial0",
                "changed | pseudo terminal | W0105",
            ),
            case(item!("21", "vmware.serialport.thinprint"), "item7", "dropped |  | W0203"),
            case(item!("22", "vmware.parallelport.device"), "item7", "dropped |  | W0203"),
            case(item!("1", "vmware.vmci"), "item7", "dropped |  | W0201"),
            case(item!("1", "vmware.vmci.unrestricted"), "item7", "dropped |  | W0201"),
            case(item!("1", "vmware.pci.passthrough"), "item7", "blocked |  | W0206"),
            case(item!("1", "vmware.pci.passthrough-vmiop"), "item7", "blocked |  | W0206"),
            case(item!("1", "vmware.pci.passthrough-dvx"), "item7", "blocked |  | W0206"),
            case(item!("6", "vmware.scsi.passthrough"), "item7", "dropped |  | W0206"),
            case(item!("7", ""), "item7", "dropped |  | W0206"),
            case(item!("8", ""), "item7", "dropped |  | W0206"),
            case(item!("9", ""), "item7", "dropped |  | W0206"),
            case(item!("18", ""), "item7", "dropped |  | W0206"),
            case(item!("1", "vmware.pcicontroller"), "item7", "kept | part of the machine | "),
            case(item!("1", "vmware.ps2controller"), "item7", "kept | part of the machine | "),
            case(item!("1", "vmware.siocontroller"), "item7", "kept | part of the machine | "),
            case(item!("13", "vmware.keyboard"), "item7", "kept | part of the machine | "),
            case(item!("13", "vmware.pointingdevice"), "item7", "kept | part of the machine | "),
            case(item!("1", "vmware.precisionclock"), "item7", "kept | part of the machine | "),
            case(item!("1", "vmware.watchdogtimer"), "watchdog", "dropped |  | W0203"),
            case(item!("20", "vmware.nvdimm.controller"), "item7", "dropped |  | W0207"),
            case(item!("1", "vmware.nvdimm.device"), "item7", "dropped |  | W0207"),
            case(item!("0", "", "<rasd:Type>rng</rasd:Type>"), "item7", IMPLICIT),
            case(item!("0", "", "<rasd:Type>balloon</rasd:Type>"), "item7", IMPLICIT),
            case(item!("0", "", "<rasd:Type>channel</rasd:Type>"), "item7", IMPLICIT),
            case(item!("12", "x"), "item7", "dropped |  | W0204"),
            case(item!("13", "x"), "item7", "dropped |  | W0204"),
            case(item!("25", "x"), "item7", "dropped |  | W0204"),
            case(item!("29", "x"), "item7", "dropped |  | W0204"),
            case(item!("32769", "x"), "item7", "dropped |  | W0204"),
        ],
    );
}

/// What becomes of a device that every machine of ours has.
const IMPLICIT: &str = "kept | part of the machine | ";

#[test]
fn devices_of_old_guests_and_servers() {
    let choices = Choices::default();
    check(
        "winXPProGuest",
        &choices,
        &[
            case(item!("23", ""), "usb", "kept | UHCI and a tablet | "),
            case(item!("23", "vmware.usb.ehci"), "usb", "changed | UHCI and a tablet | W0106"),
            case(item!("1", "vmware.soundcard.sb16"), "sound", "kept | sb16 | "),
            case(config!("flags.vvtdEnabled", "true"), "iommu", "dropped |  | W0203"),
        ],
    );
    check(
        "windows2019srv_64Guest",
        &choices,
        &[case(item!("1", "vmware.soundcard.hdaudio"), "sound", "dropped |  | W0203")],
    );
    check(
        "windows7_64Guest",
        &choices,
        &[case(item!("23", ""), "usb", "kept | EHCI and a tablet | ")],
    );
    check("darwin16_64Guest", &choices, &[case("", "guest", "kept | no libosinfo id | W0201")]);
    check("vmkernel7Guest", &choices, &[case("", "vcpu", "kept | 1 | W0205")]);
}

#[test]
fn drives() {
    check(
        "debian12_64Guest",
        &Choices::default(),
        &[
            case(
                item!("15", "vmware.cdrom.remotepassthrough"),
                "cdrom0",
                "kept | empty drive on SATA (AHCI) | ",
            ),
            case(item!("16", ""), "cdrom0", "kept | empty drive on SATA (AHCI) | "),
            case(
                concat!(
                    item!("15", "vmware.cdrom.atapi"),
                    r#"<Item ovf:required="false"><rasd:InstanceID>8</rasd:InstanceID><rasd:ResourceType>15</rasd:ResourceType></Item>"#
                ),
                "cdrom1",
                "dropped |  | W0203",
            ),
            case(item!("14", "vmware.floppy.device"), "floppy0", "dropped |  | W0203"),
        ],
    );
    let medium = |resource_type, item, want| {
        let descriptor = linux("").file("a.iso").item(&[
            ("HostResource", "ovf:/file/a.iso"),
            ("InstanceID", "7"),
            ("ResourceType", resource_type),
        ]);
        assert_eq!(line(row(&map(&descriptor, &Choices::default()), item)), want);
        let choices = Choices { ignore: vec![item.to_owned()], ..Choices::default() };
        line(row(&map(&descriptor, &choices), item))
    };
    let left_out = medium("15", "cdrom0", "kept | the same image on SATA (AHCI) | ");
    assert_eq!(left_out, "dropped |  | W0202");
    let left_out = medium("14", "floppy0", "kept | the same image | ");
    assert_eq!(left_out, "dropped |  | W0203");
}

#[test]
fn disks_say_what_they_are_built_without() {
    let disk = |config: &str| {
        let raw = format!(
            "<Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/d</rasd:HostResource><rasd:InstanceID>7</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType>{config}</Item>"
        );
        linux("").controller("3", "6", "VirtualSCSI", "0").loose_disk("d", MIB).raw_item(&raw)
    };
    for (config, want) in [
        ("", "kept | 1 MiB on vmpvscsi | "),
        (config!("backing.writeThrough", "true"), "kept | 1 MiB on vmpvscsi | W0205"),
        (config!("backing.writeThrough", "false"), "kept | 1 MiB on vmpvscsi | "),
        (config!("backing.diskMode", "independent_persistent"), "kept | 1 MiB on vmpvscsi | W0205"),
        (config!("backing.guestReadOnly", "true"), "kept | 1 MiB on vmpvscsi | "),
    ] {
        let converted = map(&disk(config), &Choices::default());
        assert_eq!(line(row(&converted, "disk0")), want, "{config}");
        assert_eq!(converted.machine.disks[0].read_only, config.contains("guestReadOnly"));
    }
    let solid = |value| disk("").setting("scsi0:0.virtualSSD", value);
    for (value, want) in [("1", true), ("0", false)] {
        let machine = map(&solid(value), &Choices::default()).machine;
        assert_eq!(machine.disks[0].solid_state, want, "{value}");
    }
    let on_virtio = Choices { disk_bus: Some(convert::DiskBus::VirtioBlk), ..Choices::default() };
    assert!(!map(&solid("1"), &on_virtio).machine.disks[0].solid_state);
}

#[test]
fn a_disk_on_an_adapter_of_the_old_host_blocks() {
    let descriptor = linux(item!("8", "")).disk("a.vmdk", MIB, "7", "0");
    let converted = map(&descriptor, &Choices::default());
    assert_eq!(line(row(&converted, "item7")), "blocked |  | W0206");
    let choices = Choices { ignore: vec!["item7".to_owned()], ..Choices::default() };
    let converted = map(&descriptor, &choices);
    assert_eq!(line(row(&converted, "item7")), "dropped |  | W0203");
}

#[test]
fn what_is_built_on_request_only() {
    let choices = Choices {
        watchdog: Watchdog::Add,
        max_vcpus: Some(8),
        max_memory_bytes: Some(4 << 30),
        ..Choices::default()
    };
    check(
        "debian12_64Guest",
        &choices,
        &[
            case("", "watchdog", "changed | i6300esb, without an action | "),
            case(
                item!("1", "vmware.watchdogtimer"),
                "watchdog",
                "changed | i6300esb, without an action | W0106",
            ),
            case(config!("cpuHotAddEnabled", "true"), "vcpu", "kept | 1, up to 8 while it runs | "),
            case(
                config!("memoryHotAddEnabled", "true"),
                "memory",
                "kept | 512 MiB, up to 4 GiB while it runs | ",
            ),
        ],
    );
    let Machine { cpus, max_memory_bytes, watchdog, .. } = map(&linux(""), &choices).machine;
    assert_eq!((cpus.count, cpus.max_count), (1, Some(8)));
    assert_eq!((max_memory_bytes, watchdog), (Some(4 << 30), true));
}

#[test]
fn no_two_rows_have_one_id() {
    let watchdog = concat!(item!("1", "vmware.watchdogtimer"), item!("1", "vmware.watchdogtimer"));
    let choices = Choices {
        watchdog: Watchdog::Add,
        ignore: vec!["watchdog".to_owned()],
        ..Choices::default()
    };
    let converted = map(&linux(watchdog), &choices);
    let mut ids: Vec<&str> = converted.rows.iter().map(|row| row.item.as_str()).collect();
    ids.sort_unstable();
    assert!(ids.windows(2).all(|two| two[0] != two[1]), "{ids:?}");
}

#[test]
fn virtualbox_says_which_sound_card_it_is() {
    let card = |controller: &str| {
        let xml = linux(item!("35", "ensoniq1371")).xml();
        let vbox = format!(
            r#"<vbox:Machine xmlns:vbox="http://www.virtualbox.org/ovf/machine"><Hardware><AudioAdapter controller="{controller}" enabled="true"/></Hardware></vbox:Machine></VirtualSystem>"#
        );
        crate::map_xml(&xml.replace("</VirtualSystem>", &vbox), &Choices::default())
    };
    for (controller, want) in [("HDA", "kept | ich9 | "), ("AC97", "kept | ac97 | ")] {
        assert_eq!(line(row(&card(controller), "sound")), want, "{controller}");
    }
}

#[test]
fn a_ceiling_below_what_is_built_blocks_and_one_that_equals_it_is_none() {
    for (choices, item, want) in [
        (
            Choices { vcpus: Some(4), max_vcpus: Some(2), ..Choices::default() },
            "vcpu",
            "at most 2 processors were asked for, and 4 are built",
        ),
        (
            Choices { max_memory_bytes: Some(256 << 20), ..Choices::default() },
            "memory",
            "at most 256 MiB was asked for, and 512 MiB is built",
        ),
        (
            Choices { max_memory_bytes: Some(65 << 40), ..Choices::default() },
            "memory",
            "71468255805440 bytes at most, 70368744177664 are allowed",
        ),
    ] {
        let converted = map(&linux(""), &choices);
        assert!(row(&converted, item).is_blocker());
        assert_eq!(row(&converted, item).notes[0].text, want);
    }
    let choices =
        Choices { max_vcpus: Some(1), max_memory_bytes: Some(512 << 20), ..Choices::default() };
    let machine = map(&linux(""), &choices).machine;
    assert_eq!((machine.cpus.max_count, machine.max_memory_bytes), (None, None));
}

#[test]
fn settings_reach_the_machine() {
    let features = |xml| map(&linux(xml), &Choices::default()).machine;
    assert_eq!(features(config!("nestedHVEnabled", "true")).cpus.features, [CpuFeature::Nested]);
    assert_eq!(features(config!("flags.vbsEnabled", "true")).cpus.features, [CpuFeature::Nested]);
    assert!(features(config!("vPMCEnabled", "true")).pmu);
    assert!(features(config!("flags.vvtdEnabled", "true")).iommu);
    let plain = features("");
    assert!(plain.cpus.features.is_empty() && !plain.pmu && !plain.iommu && !plain.watchdog);
    let waived = Choices { ignore: vec!["vbs".to_owned()], ..Choices::default() };
    let machine = map(&linux(config!("flags.vbsEnabled", "true")), &waived).machine;
    assert_eq!((machine.firmware, machine.cpus.features), (vm::Firmware::Bios, Vec::new()));
    let emulated = Choices { accelerator: vm::Accelerator::Qemu, ..Choices::default() };
    let converted = map(&linux(config!("flags.vvtdEnabled", "true")), &emulated);
    assert_eq!(line(row(&converted, "iommu")), "dropped |  | W0203");
}

#[test]
fn settings_that_say_nothing_are_not_listed() {
    for (xml, want) in [
        (config!("disk.enableUUID", "TRUE"), None),
        (config!("tools.syncTimeWithHost", "true"), None),
        (config!("virtualICH7MPresent", "false"), None),
        (config!("cpuHotRemoveEnabled", "false"), None),
        (config!("cpuHotRemoveEnabled", "true"), Some("cpuHotRemoveEnabled")),
        (config!("cpuAllocation.shares.shares", "2000"), Some("cpuAllocation.shares.shares")),
    ] {
        let converted = map(&linux(xml), &Choices::default());
        let settings = converted.rows.iter().find(|row| row.item == "settings");
        assert_eq!(settings.map(|row| row.from.as_str()), want, "{xml}");
    }
    for (field, want) in [
        ("Reservation", Some("memory reservation")),
        ("Limit", Some("memory limit")),
        ("Weight", None),
    ] {
        let stated = "<rasd:VirtualQuantity>512<";
        let xml = linux("").xml();
        let xml = xml.replace(stated, &format!("<rasd:{field}>512</rasd:{field}>{stated}"));
        let converted = crate::map_xml(&xml, &Choices::default());
        let settings = converted.rows.iter().find(|row| row.item == "settings");
        assert_eq!(settings.map(|row| row.from.as_str()), want, "{field}");
    }
}

#[test]
fn screens_and_a_balloon_come_with_the_virtio_profile() {
    let choices = Choices { profile: Profile::Virtio, ..Choices::default() };
    let screens = item!("24", "", r#"<vmw:Config vmw:key="numDisplays" vmw:value="20"/>"#);
    let machine = map(&linux(screens), &choices).machine;
    assert_eq!(machine.video.unwrap().heads, 16);
    let balloon =
        |guest, choices: &Choices| map(&Descriptor::new("vm", guest), choices).machine.balloon;
    assert!(balloon("windows9_64Guest", &choices) && !balloon("winXPProGuest", &choices));
    assert!(!balloon("windows9_64Guest", &Choices::default()));
}

#[test]
fn the_identity_of_the_source_is_said() {
    let uuid = "42343691-387c-c457-d8c7-000000000000";
    let descriptor = linux("").setting("uuid", uuid);
    let made = map(&descriptor, &Choices::default());
    assert_eq!(line(row(&made, "uuid")), "changed | made anew | ");
    let keep = Choices { uuid: convert::Origin::Keep, ..Choices::default() };
    let kept = map(&descriptor, &keep);
    assert_eq!(line(row(&kept, "uuid")), format!("kept | {uuid} | "));
    assert_eq!(kept.machine.uuid.unwrap().to_string(), uuid);
    assert_ne!(made.machine.uuid, kept.machine.uuid);
}

#[test]
fn choices_for_single_items() {
    let descriptor = Descriptor::new("vm", "debian12_64Guest")
        .controller("3", "6", "VirtualSCSI", "0")
        .disk("a.vmdk", MIB, "3", "0")
        .disk("b.vmdk", MIB, "3", "1")
        .nic("E1000", "net")
        .nic("E1000", "net");
    let choices = Choices {
        disk_buses: vec![("disk1".to_owned(), convert::DiskBus::VirtioScsi)],
        nic_models: vec![("nic0".to_owned(), convert::NicChoice::Model(vm::NicModel::E1000e))],
        ..Choices::default()
    };
    let converted = map(&descriptor, &choices);
    assert_eq!(line(row(&converted, "disk0")), "kept | 1 MiB on vmpvscsi | ");
    assert_eq!(line(row(&converted, "disk1")), "kept | 1 MiB on virtio-scsi | ");
    let models: Vec<_> = converted.machine.nics.iter().map(|nic| nic.model).collect();
    assert_eq!(models, [vm::NicModel::E1000e, vm::NicModel::E1000]);
    let slip = Choices {
        disk_buses: vec![("disk2".to_owned(), convert::DiskBus::Sata)],
        nic_models: vec![("0".to_owned(), convert::NicChoice::Keep)],
        ..Choices::default()
    };
    let converted = map(&descriptor, &slip);
    assert_eq!(line(row(&converted, "choice.disk2")), "blocked |  | E0306");
    let note = &row(&converted, "choice.0").notes[0];
    assert_eq!(note.text, "no item is called '0'");
    assert_eq!(note.hint.as_deref(), Some("the machine has nic0 to nic1"));
}

#[test]
fn the_words_of_ovirt_for_a_disk_are_understood() {
    for (word, want) in [
        ("VirtIO", "kept | 1 MiB on virtio-blk | "),
        ("VirtIO_SCSI", "kept | 1 MiB on virtio-scsi | "),
        ("SATA", "kept | 1 MiB on SATA (AHCI) | "),
        ("IDE", "kept | 1 MiB on IDE | "),
        ("other", "kept | 1 MiB on virtio-scsi | "),
    ] {
        let raw = "<Item><rasd:HostResource>ovf:/disk/d</rasd:HostResource><rasd:InstanceID>7</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType></Item>";
        let descriptor = linux("").loose_disk("d", MIB).raw_item(raw);
        let xml = descriptor.xml().replace(
            r#"ovf:diskId="d""#,
            &format!(
                r#"ovf:diskId="d" xmlns:o="http://www.ovirt.org/ovf" ovf:disk-interface="{word}""#
            ),
        );
        let converted = crate::map_xml(&xml, &Choices::default());
        assert_eq!(line(row(&converted, "disk0")), want, "{word}");
    }
}

#[test]
fn firmware_is_guessed_from_the_boot_disk_where_the_source_does_not_say() {
    use convert::source::Loader;
    let descriptor = Descriptor::new("vm", "rhel8_64Guest")
        .controller("3", "6", "VirtualSCSI", "0")
        .disk("a.vmdk", MIB, "3", "0");
    let mapped = |descriptor: &Descriptor, loader| {
        crate::map_changed(&descriptor.xml(), &Choices::default(), |system| {
            system.disks[0].loader = loader;
        })
    };
    for (loader, want, reason) in [
        (Some(Loader::Uefi), "changed | UEFI (OVMF), Secure Boot off | W0108", ""),
        (Some(Loader::Bios), "kept | BIOS (SeaBIOS) | ", "the boot disk has a BIOS loader"),
        (
            Some(Loader::None),
            "kept | BIOS (SeaBIOS) | ",
            "the package does not say; BIOS is what such packages mean",
        ),
        (
            None,
            "kept | BIOS (SeaBIOS) | ",
            "the package does not say, and no disk was looked at; BIOS is what such packages mean",
        ),
    ] {
        let converted = mapped(&descriptor, loader);
        let firmware = row(&converted, "firmware");
        assert_eq!((line(firmware).as_str(), firmware.reason.as_str()), (want, reason));
    }
    let stated = descriptor.setting("firmware", "bios");
    let converted = mapped(&stated, Some(Loader::Uefi));
    assert_eq!(line(row(&converted, "firmware")), "kept | BIOS (SeaBIOS) | ");
}

#[test]
fn the_variables_of_the_firmware_are_kept_as_a_file_for_people() {
    let descriptor = linux("").setting("firmware", "efi").setting("nvram", "ovf:/file/a.nvram");
    let gone = map(&descriptor, &Choices::default());
    assert_eq!(line(row(&gone, "nvram")), "dropped |  | W0104");
    assert!(gone.nvram.is_none());
    let there = descriptor.file("a.nvram");
    let kept = map(&there, &Choices::default());
    assert_eq!(line(row(&kept, "nvram")), "changed | kept beside the machine, not used | W0104");
    assert!(row(&kept, "nvram").notes[0].text.contains("a.nvram"));
    assert_eq!(kept.nvram.unwrap().file.text(), "a.nvram");
    let choices = Choices { ignore: vec!["nvram".to_owned()], ..Choices::default() };
    let left_out = map(&there, &choices);
    assert_eq!(line(row(&left_out, "nvram")), "dropped |  | W0203");
    assert!(left_out.nvram.is_none());
    let bios = map(&linux("").setting("nvram", "a.nvram"), &Choices::default());
    assert!(bios.rows.iter().all(|row| row.item != "nvram"));
}

#[test]
fn usb_follows_the_age_of_the_guest() {
    for (guest, want) in [
        ("dosGuest", Usb::Uhci),
        ("windows7_64Guest", Usb::Ehci),
        ("windows9_64Guest", Usb::Xhci),
        ("debian12_64Guest", Usb::Xhci),
        ("otherGuest", Usb::Ehci),
    ] {
        let machine = map(&Descriptor::new("vm", guest), &Choices::default()).machine;
        assert_eq!(machine.usb, Some(want), "{guest}");
    }
}
