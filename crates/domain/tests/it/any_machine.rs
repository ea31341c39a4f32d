//! Machines at random, all of which can be written.

use std::fmt;

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{select, subsequence},
};
use vm::{
    Accelerator, Bus, Chipset, Clock, Controller, ControllerModel, CpuFeature, Cpus, Disk,
    DiskFormat, DiskId, DriveAddress, Firmware, FwCfg, Guest, GuestFamily, MacAddress, Machine,
    Nic, NicModel, NicTarget, Removable, RemovableKind, Serial, SerialTarget, Sound, Topology, Usb,
    Uuid, Video, VideoModel,
};

/// Any machine that [`domain::write()`] takes.
pub(crate) fn machine() -> impl Strategy<Value = Machine> {
    (identity(), board(), storage(), vec(nic(), 0..4), extras()).prop_map(
        |(identity, board, storage, nics, extras)| {
            let mut machine = crate::machines::smallest();
            board.0(&mut machine);
            identity.0(&mut machine);
            storage.0(&mut machine);
            machine.nics = nics;
            extras.0(&mut machine);
            number_and_rank(&mut machine);
            machine
        },
    )
}

/// A part of a machine, as the change that makes it.
struct Change(Box<dyn Fn(&mut Machine)>);

impl Change {
    fn new(change: impl Fn(&mut Machine) + 'static) -> Self {
        Self(Box::new(change))
    }
}

/// The machine that comes of it is what a failing test shows.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a change")
    }
}

fn identity() -> impl Strategy<Value = Change> {
    let line = || r"[a-zA-Z0-9<>&'\x22é虚 -]{0,12}[a-z<&]";
    let osinfo = select(vec![
        ("http://debian.org/debian/12", GuestFamily::Linux),
        ("http://microsoft.com/win/2k19", GuestFamily::Windows),
        ("http://freebsd.org/freebsd/14.0", GuestFamily::Bsd),
    ]);
    let text = r"[ a-z<>&\]\r\n\té]{0,20}[a-z\]]";
    (line(), option::of(line()), option::of(text), any::<Option<[u8; 16]>>(), option::of(osinfo))
        .prop_map(|(name, title, description, uuid, osinfo)| {
            Change::new(move |m| {
                m.name.clone_from(&name);
                m.title.clone_from(&title);
                m.description.clone_from(&description);
                m.uuid = uuid.map(Uuid);
                m.guest = osinfo.map_or_else(Guest::default, |(id, family)| Guest {
                    family,
                    osinfo: Some(id.to_owned()),
                });
            })
        })
}

fn board() -> impl Strategy<Value = Change> {
    let processors = (1_u32..5, 1_u32..7, 1_u32..3, any::<bool>());
    let model = option::of(select(vec!["EPYC", "host-passthrough", "host-model", "maximum"]));
    let firmware = select(vec![Firmware::Bios, Firmware::Uefi, Firmware::UefiSecure]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let room = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (processors, model, firmware, flags, room, 1024_u64..1 << 32).prop_map(
        |((sockets, cores, threads, is_grouped), model, firmware, flags, room, kib)| {
            let (is_pc, is_emulated, is_local, is_nested) = flags;
            let (has_room, can_grow, iommu, pmu) = room;
            Change::new(move |m| {
                m.chipset = if is_pc { Chipset::Pc } else { Chipset::Q35 };
                m.accelerator = if is_emulated { Accelerator::Qemu } else { Accelerator::Kvm };
                m.clock = if is_local { Clock::LocalTime } else { Clock::Utc };
                let cannot = is_pc && firmware == Firmware::UefiSecure;
                m.firmware = if cannot { Firmware::Uefi } else { firmware };
                m.memory_bytes = kib * 1024;
                m.max_memory_bytes = has_room.then_some((kib + 1024) * 1024);
                m.iommu = iommu && !is_pc && !is_emulated;
                m.pmu = pmu;
                let most = sockets * cores * threads;
                m.cpus = Cpus {
                    count: if can_grow { 1 } else { most },
                    max_count: can_grow.then_some(most),
                    topology: is_grouped.then_some(Topology { sockets, cores, threads }),
                    model: model.map(str::to_owned),
                    features: if is_nested { vec![CpuFeature::Nested] } else { Vec::new() },
                };
            })
        },
    )
}

/// Up to four controllers with up to three disks each, disks without a controller, a CD, a floppy.
fn storage() -> impl Strategy<Value = Change> {
    use ControllerModel::{Ahci, Ide, LsiLogic, LsiSas1068, VirtioScsi, VmPvScsi};
    let models = vec![Ahci, Ahci, VmPvScsi, LsiSas1068, LsiLogic, VirtioScsi];
    let places = vec((select(models), subsequence(vec![0_u16, 1, 5], 0..=3)), 0..4);
    let virtio = vec(disk(Bus::VirtioBlk), 0..3);
    (places, vec(disk(Bus::Scsi), 12), virtio, subsequence(vec![false, true], 0..=2)).prop_map(
        |(places, disks, virtio, removables)| {
            Change::new(move |m| {
                if m.chipset == Chipset::Pc {
                    m.controllers.push(Controller { model: Ide, index: 0 });
                }
                let mut disks = disks.iter();
                for (model, numbers) in &places {
                    let same = m.controllers.iter().filter(|c| c.model.bus() == model.bus());
                    let index = u16::try_from(same.count()).unwrap_or(0);
                    m.controllers.push(Controller { model: *model, index });
                    m.disks.extend(
                        numbers.iter().zip(&mut disks).map(|(n, d)| hang(d, *model, index, *n)),
                    );
                }
                let no_rate = |d: &Disk| Disk { solid_state: false, ..d.clone() };
                m.disks.extend(virtio.iter().map(no_rate));
                m.removables.extend(removables.iter().filter_map(|is_floppy| {
                    if *is_floppy { Some(floppy()) } else { cd(&m.controllers) }
                }));
            })
        },
    )
}

fn disk(bus: Bus) -> impl Strategy<Value = Disk> {
    (any::<bool>(), any::<bool>(), "[A-Za-z0-9_.-]{0,20}", "/[ a-z&é.]{0,9}[a-z]").prop_map(
        move |(is_raw, read_only, serial, image)| Disk {
            id: DiskId(0),
            image: image.into(),
            format: if is_raw { DiskFormat::Raw } else { DiskFormat::Qcow2 },
            capacity_bytes: 1 << 20,
            bus,
            address: None,
            serial,
            wwn: None,
            read_only,
            solid_state: is_raw,
            boot_order: None,
        },
    )
}

/// Hangs a disk on a controller, at the place that stands for this number there.
fn hang(disk: &Disk, model: ControllerModel, controller: u16, number: u16) -> Disk {
    let bus = model.bus();
    let counts_units = matches!(model, ControllerModel::Ahci | ControllerModel::LsiLogic);
    let (target, unit) = if counts_units { (0, number) } else { (number, 0) };
    Disk {
        bus,
        address: Some(DriveAddress { controller, bus: 0, target, unit }),
        read_only: disk.read_only && bus == Bus::Scsi,
        wwn: (model == ControllerModel::LsiSas1068).then_some(1),
        ..disk.clone()
    }
}

fn floppy() -> Removable {
    Removable {
        kind: RemovableKind::Floppy,
        image: Some("/images/drivers.flp".into()),
        bus: Bus::Fdc,
        address: DriveAddress::default(),
        boot_order: None,
    }
}

/// A CD drive on the last port of the first AHCI, where no other drive hangs.
fn cd(controllers: &[Controller]) -> Option<Removable> {
    let ahci = controllers.iter().find(|c| c.model == ControllerModel::Ahci)?;
    let address = DriveAddress { controller: ahci.index, unit: 4, ..DriveAddress::default() };
    let kind = RemovableKind::Cdrom;
    Some(Removable { kind, image: None, bus: Bus::Sata, address, boot_order: None })
}

fn nic() -> impl Strategy<Value = Nic> {
    use NicModel::{E1000, E1000e, Pcnet, Rtl8139, Virtio, Vmxnet3};
    let model = select(vec![Virtio, Vmxnet3, E1000, E1000e, Pcnet, Rtl8139]);
    let target = prop_oneof![
        "[a-z<& ]{0,8}[a-z]".prop_map(NicTarget::Network),
        ("[a-z0-9._-]{1,15}", option::of(1_u16..4095))
            .prop_map(|(name, vlan)| NicTarget::Bridge { name, vlan }),
        Just(NicTarget::User),
        Just(NicTarget::None),
    ];
    (model, target, any::<bool>(), any::<bool>()).prop_map(|(model, target, has_mac, link_up)| {
        let mac = has_mac.then_some(MacAddress([0x52, 0x54, 0, 0, 0, 0]));
        Nic { model, target, mac, link_up, slot: None, boot_order: None }
    })
}

fn extras() -> impl Strategy<Value = Change> {
    let video = option::of(prop_oneof![
        Just(Video { model: VideoModel::Virtio, memory_bytes: None, heads: 3 }),
        option::of(24_u32..29).prop_map(|power| Video {
            model: VideoModel::Vga,
            memory_bytes: power.map(|power| 1 << power),
            heads: 1,
        }),
    ]);
    let sound = option::of(select(vec![Sound::Ich9, Sound::Es1370, Sound::Ac97, Sound::Sb16]));
    let usb = option::of(select(vec![Usb::Xhci, Usb::Ehci, Usb::Uhci]));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (video, sound, usb, 0_usize..5, flags).prop_map(|(video, sound, usb, serials, flags)| {
        let (tpm, agent_channel, rng, balloon) = flags;
        Change::new(move |m| {
            let is_pc = m.chipset == Chipset::Pc;
            m.video = video;
            m.sound = sound.filter(|sound| is_pc || *sound != Sound::Sb16);
            m.usb = usb.filter(|usb| is_pc || *usb != Usb::Uhci);
            m.serials = vec![Serial { target: SerialTarget::Pty }; serials];
            m.watchdog = tpm != rng;
            m.fw_cfg = if rng { Vec::new() } else { vec![fw_cfg()] };
            (m.tpm, m.agent_channel, m.rng, m.balloon) = (tpm, agent_channel, rng, balloon);
        })
    })
}

fn fw_cfg() -> FwCfg {
    FwCfg { name: "opt/org.example/a".into(), file: "/images/a & b".into() }
}

/// Gives every device numbers of its own, and every second drive and card a place in the order.
fn number_and_rank(machine: &mut Machine) {
    for (at, disk) in (0_u16..).zip(&mut machine.disks) {
        disk.id = DiskId(at);
        disk.wwn = disk.wwn.map(|wwn| wwn + u64::from(at));
    }
    for (at, nic) in (0_u8..).zip(&mut machine.nics) {
        nic.mac = nic.mac.map(|MacAddress([a, b, c, d, e, _])| MacAddress([a, b, c, d, e, at]));
    }
    let disks = machine.disks.iter_mut().map(|disk| &mut disk.boot_order);
    let removables = machine.removables.iter_mut().map(|drive| &mut drive.boot_order);
    let nics = machine.nics.iter_mut().map(|nic| &mut nic.boot_order);
    for (rank, slot) in (1_u16..).zip(disks.chain(removables).chain(nics)) {
        *slot = (rank % 2 == 1).then_some(rank);
    }
}
