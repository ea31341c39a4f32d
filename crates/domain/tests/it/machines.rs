//! The machines that the other tests write.

use vm::{
    Accelerator, Bus, Chipset, Clock, Controller, ControllerModel, CpuFeature, Cpus, Disk,
    DiskFormat, DiskId, DriveAddress, Firmware, Guest, GuestFamily, MacAddress, Machine, Nic,
    NicModel, NicTarget, Removable, RemovableKind, Serial, SerialTarget, Sound, Topology, Usb,
    Uuid, Video, VideoModel,
};

/// Every machine with its name.
pub(crate) fn all() -> Vec<Machine> {
    vec![
        ide_on_pc(),
        sata_on_uefi(),
        paravirtual_scsi(),
        sas(),
        windows(),
        everything_else(),
        with_room(),
        named_cards(),
        smallest(),
    ]
}

/// A machine with one processor and nothing on any bus.
pub(crate) fn smallest() -> Machine {
    Machine {
        name: "smallest".into(),
        title: None,
        description: None,
        uuid: None,
        guest: Guest::default(),
        accelerator: Accelerator::Kvm,
        cpus: Cpus { count: 1, max_count: None, topology: None, model: None, features: Vec::new() },
        memory_bytes: 512 << 20,
        max_memory_bytes: None,
        chipset: Chipset::Q35,
        firmware: Firmware::Bios,
        clock: Clock::Utc,
        controllers: Vec::new(),
        disks: Vec::new(),
        removables: Vec::new(),
        nics: Vec::new(),
        video: None,
        sound: None,
        usb: None,
        serials: Vec::new(),
        tpm: false,
        iommu: false,
        pmu: false,
        watchdog: false,
        agent_channel: false,
        rng: false,
        balloon: false,
        fw_cfg: Vec::new(),
    }
}

/// An old appliance: i440fx, IDE disk and CD with an image, an empty floppy drive, emulated.
pub(crate) fn ide_on_pc() -> Machine {
    Machine {
        name: "old".into(),
        accelerator: Accelerator::Qemu,
        chipset: Chipset::Pc,
        controllers: vec![Controller { model: ControllerModel::Ide, index: 0 }],
        disks: vec![Disk {
            boot_order: Some(1),
            ..disk("old", 0, Bus::Ide, Some(DriveAddress::default()))
        }],
        removables: vec![
            Removable {
                kind: RemovableKind::Cdrom,
                image: Some("/images/old cd & more.iso".into()),
                bus: Bus::Ide,
                address: DriveAddress { bus: 1, ..DriveAddress::default() },
                boot_order: Some(2),
            },
            Removable {
                kind: RemovableKind::Floppy,
                image: None,
                bus: Bus::Fdc,
                address: DriveAddress::default(),
                boot_order: None,
            },
        ],
        nics: vec![nic(NicModel::Pcnet, NicTarget::User)],
        video: Some(Video { model: VideoModel::Vga, memory_bytes: None, heads: 1 }),
        sound: Some(Sound::Sb16),
        usb: Some(Usb::Uhci),
        serials: vec![Serial { target: SerialTarget::Pty }],
        ..smallest()
    }
}

/// A current Linux appliance: q35, UEFI, SATA, two cards.
pub(crate) fn sata_on_uefi() -> Machine {
    Machine {
        name: "web <1> & \"co\"".into(),
        title: Some("web/1".into()),
        description: Some("Made by <b>somebody</b> & sons,\nin two lines.".into()),
        uuid: Some(Uuid(*b"0123456789abcdef")),
        guest: Guest {
            family: GuestFamily::Linux,
            osinfo: Some("http://debian.org/debian/12".into()),
        },
        firmware: Firmware::Uefi,
        cpus: Cpus {
            count: 4,
            max_count: None,
            topology: Some(Topology { sockets: 2, cores: 2, threads: 1 }),
            model: None,
            features: vec![CpuFeature::Nested],
        },
        controllers: vec![
            Controller { model: ControllerModel::Ahci, index: 0 },
            Controller { model: ControllerModel::Ahci, index: 1 },
        ],
        disks: vec![
            Disk { boot_order: Some(1), ..disk("web", 0, Bus::Sata, at(0, 0, 0)) },
            Disk { format: DiskFormat::Raw, ..disk("web", 1, Bus::Sata, at(1, 0, 5)) },
        ],
        removables: vec![Removable {
            kind: RemovableKind::Cdrom,
            image: None,
            bus: Bus::Sata,
            address: DriveAddress { unit: 1, ..DriveAddress::default() },
            boot_order: None,
        }],
        nics: vec![
            Nic {
                mac: Some(MacAddress([0x52, 0x54, 0, 1, 2, 3])),
                boot_order: Some(2),
                ..nic(NicModel::Vmxnet3, NicTarget::Network("default".into()))
            },
            Nic {
                link_up: false,
                ..nic(NicModel::E1000e, NicTarget::Bridge { name: "br-dmz".into(), vlan: Some(30) })
            },
            nic(NicModel::E1000, NicTarget::None),
        ],
        video: Some(Video { model: VideoModel::Vga, memory_bytes: Some(32 << 20), heads: 1 }),
        usb: Some(Usb::Xhci),
        serials: vec![Serial { target: SerialTarget::Pty }],
        agent_channel: true,
        rng: true,
        balloon: true,
        ..smallest()
    }
}

/// Two disks on VMware's paravirtual controller: libvirt's own addresses would not start.
pub(crate) fn paravirtual_scsi() -> Machine {
    Machine {
        name: "pvscsi".into(),
        controllers: vec![Controller { model: ControllerModel::VmPvScsi, index: 0 }],
        disks: vec![
            Disk { boot_order: Some(1), ..disk("pvscsi", 0, Bus::Scsi, at(0, 0, 0)) },
            Disk { read_only: true, ..disk("pvscsi", 1, Bus::Scsi, at(0, 15, 0)) },
        ],
        ..smallest()
    }
}

/// Two SAS disks, each with the name that Linux asks for.
pub(crate) fn sas() -> Machine {
    Machine {
        name: "sas".into(),
        controllers: vec![Controller { model: ControllerModel::LsiSas1068, index: 0 }],
        disks: vec![
            Disk {
                wwn: Some(0x5000_c500_0a0b_0c0d),
                boot_order: Some(1),
                ..disk("sas", 0, Bus::Scsi, at(0, 0, 0))
            },
            Disk { wwn: Some(0x0c0d), ..disk("sas", 1, Bus::Scsi, at(0, 1, 0)) },
        ],
        ..smallest()
    }
}

/// Windows with Secure Boot and a TPM.
pub(crate) fn windows() -> Machine {
    Machine {
        name: "win11".into(),
        guest: Guest {
            family: GuestFamily::Windows,
            osinfo: Some("http://microsoft.com/win/11".into()),
        },
        firmware: Firmware::UefiSecure,
        clock: Clock::LocalTime,
        controllers: vec![Controller { model: ControllerModel::Ahci, index: 0 }],
        disks: vec![disk("win11", 0, Bus::Sata, at(0, 0, 0))],
        nics: vec![nic(NicModel::E1000e, NicTarget::Network("default".into()))],
        video: Some(Video { model: VideoModel::Vga, memory_bytes: Some(16 << 20), heads: 1 }),
        sound: Some(Sound::Ich9),
        usb: Some(Usb::Xhci),
        tpm: true,
        ..smallest()
    }
}

/// What no other machine has: more processors than 255, virtio, EHCI, a named processor.
pub(crate) fn everything_else() -> Machine {
    Machine {
        name: "rest".into(),
        cpus: Cpus {
            count: 256,
            max_count: None,
            topology: None,
            model: Some("EPYC-Rome".into()),
            features: Vec::new(),
        },
        controllers: vec![
            Controller { model: ControllerModel::VirtioScsi, index: 0 },
            Controller { model: ControllerModel::LsiLogic, index: 1 },
        ],
        disks: vec![
            disk("rest", 0, Bus::VirtioBlk, None),
            Disk { serial: String::new(), ..disk("rest", 1, Bus::Scsi, at(0, 99, 0)) },
            disk("rest", 2, Bus::Scsi, at(1, 0, 6)),
        ],
        nics: vec![nic(NicModel::Virtio, NicTarget::User), nic(NicModel::Rtl8139, NicTarget::User)],
        video: Some(Video { model: VideoModel::Virtio, memory_bytes: None, heads: 1 }),
        sound: Some(Sound::Es1370),
        usb: Some(Usb::Ehci),
        serials: vec![Serial { target: SerialTarget::Pty }; 2],
        ..smallest()
    }
}

/// Room to grow, an IOMMU and counters for guests of the guest, two screens, a watchdog, a disk in
/// which nothing turns.
pub(crate) fn with_room() -> Machine {
    Machine {
        name: "room".into(),
        cpus: Cpus {
            count: 2,
            max_count: Some(8),
            topology: Some(Topology { sockets: 2, cores: 4, threads: 1 }),
            model: None,
            features: vec![CpuFeature::Nested],
        },
        max_memory_bytes: Some(4 << 30),
        iommu: true,
        pmu: true,
        watchdog: true,
        controllers: vec![Controller { model: ControllerModel::Ahci, index: 0 }],
        disks: vec![Disk { solid_state: true, ..disk("room", 0, Bus::Sata, at(0, 0, 0)) }],
        video: Some(Video { model: VideoModel::Virtio, memory_bytes: None, heads: 2 }),
        ..smallest()
    }
}

/// Three cards that keep the names which VMware's slots gave them, and one that has none.
pub(crate) fn named_cards() -> Machine {
    let named = |model, slot| Nic { slot: Some(slot), ..nic(model, NicTarget::User) };
    Machine {
        name: "named".into(),
        nics: vec![
            named(NicModel::Vmxnet3, 192),
            nic(NicModel::E1000, NicTarget::User),
            named(NicModel::E1000e, 160),
            named(NicModel::Virtio, 224),
        ],
        ..smallest()
    }
}

fn disk(machine: &str, id: u16, bus: Bus, address: Option<DriveAddress>) -> Disk {
    Disk {
        id: DiskId(id),
        image: format!("/images/{machine}-disk{id}.qcow2").into(),
        format: DiskFormat::Qcow2,
        capacity_bytes: 64 << 20,
        bus,
        address,
        serial: format!("{machine}-{id}"),
        wwn: None,
        read_only: false,
        solid_state: false,
        boot_order: None,
    }
}

fn nic(model: NicModel, target: NicTarget) -> Nic {
    Nic { model, target, mac: None, slot: None, link_up: true, boot_order: None }
}

fn at(controller: u16, target: u16, unit: u16) -> Option<DriveAddress> {
    Some(DriveAddress { controller, bus: 0, target, unit })
}
