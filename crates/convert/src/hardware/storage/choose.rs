//! Which kind of controller each disk gets.
//!
//! `compat` goes down four steps and takes the first candidate that can be:
//!
//! 1. the model QEMU emulates that the guest already drives, if the firmware can boot from it;
//! 2. another bus whose driver the source proves (AHCI, then IDE);
//! 3. virtio, when every boot image of the system carries it;
//! 4. SATA, for an old guest IDE, with a warning.
//!
//! Measured with QEMU 7.2: SeaBIOS boots from every model here, stock OVMF has no driver for the
//! VMware and LSI ones; QEMU's `lsilogic` is another chip than VMware's, which no QEMU device is.

use code::Code;
use vm::{Bus, Chipset, ControllerModel, Firmware};

use super::driven::Driven;
use crate::{
    Choices, DiskBus, Note, Profile,
    guest::GuestOs,
    hardware::{
        boot,
        offer::{self, Instead},
    },
    source::{Bus as SourceBus, Disk, Drive, Format, System},
};

/// IDE has two channels of two devices.
const IDE_DEVICES: usize = 4;

/// What a disk hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hang {
    /// A controller of this model.
    Controller(ControllerModel),
    /// A virtio-blk device of its own.
    VirtioBlk,
}

impl Hang {
    pub(crate) const fn bus(self) -> Bus {
        match self {
            Self::Controller(model) => model.bus(),
            Self::VirtioBlk => Bus::VirtioBlk,
        }
    }

    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::VirtioBlk => "virtio-blk",
            Self::Controller(ControllerModel::Ide) => "IDE",
            Self::Controller(ControllerModel::Ahci) => "SATA (AHCI)",
            Self::Controller(ControllerModel::VmPvScsi) => "vmpvscsi",
            Self::Controller(ControllerModel::LsiSas1068) => "lsisas1068",
            Self::Controller(ControllerModel::LsiLogic) => "lsilogic (53C895A)",
            Self::Controller(ControllerModel::VirtioScsi) => "virtio-scsi",
        }
    }
}

/// A decision about one disk.
#[derive(Debug, Clone)]
pub(crate) struct Hung {
    pub(crate) hang: Hang,
    /// Which step decided.
    pub(crate) reason: &'static str,
    /// What is to be said about the controller, if the guest needs another driver.
    pub(crate) note: Option<Note>,
    /// What is to be said about the disk, if the driver is not known to be there.
    pub(crate) risk: Option<Note>,
    /// Why it cannot be as chosen.
    pub(crate) refusal: Option<&'static str>,
}

/// What must be known of the machine before its disks can be hung.
pub(crate) struct Asked<'a> {
    pub(crate) system: &'a System,
    pub(crate) choices: &'a Choices,
    pub(crate) guest: &'a GuestOs,
    pub(crate) firmware: Firmware,
}

/// What the choice of one disk depends on.
struct Case<'a> {
    choices: &'a Choices,
    guest: &'a GuestOs,
    proof: Format,
    uefi: bool,
    proves_ahci: bool,
    /// The board may have IDE.
    ide_allowed: bool,
    /// An IDE controller is proven, the board may have one, and it has room for every device.
    ide_fits: bool,
}

/// Chooses for each disk of the system, in its order; `None` for one that is left out.
pub(crate) fn choose(asked: &Asked<'_>) -> Vec<Option<Hung>> {
    let Asked { system, choices, guest, .. } = *asked;
    let uefi = asked.firmware.is_uefi();
    let ide_allowed =
        !uefi && choices.chipset != Some(Chipset::Q35) && offer::has_ide(&choices.offer);
    let disks = system.disks.iter().enumerate().filter(|(at, disk)| asked.keeps(*at, disk));
    let devices = disks.count().saturating_add(usize::from(asked.has_cd()));
    let case = Case {
        choices,
        guest,
        proof: system.format,
        uefi,
        proves_ahci: system.proves(SourceBus::Sata),
        ide_allowed,
        ide_fits: ide_allowed && devices <= IDE_DEVICES && system.proves(SourceBus::Ide),
    };
    let boot = boot_disk_number(system, choices);
    let each = system.disks.iter().enumerate();
    each.map(|(at, disk)| {
        let boots = boot == Some(at);
        asked.keeps(at, disk).then(|| case.one((at, disk), boots))
    })
    .collect()
}

/// Whether the disk is built.
fn keeps(choices: &Choices, at: usize, disk: &Disk) -> bool {
    !choices.ignores(&format!("disk{at}"), disk.origin.id.as_deref())
}

/// The disk that the firmware must be able to read: the first of the boot order, else the first.
pub(crate) fn boot_disk<'a>(system: &'a System, choices: &Choices) -> Option<&'a Disk> {
    system.disks.get(boot_disk_number(system, choices)?)
}

fn boot_disk_number(system: &System, choices: &Choices) -> Option<usize> {
    let kept = system.disks.iter().enumerate().filter(|(at, disk)| keeps(choices, *at, disk));
    kept.min_by_key(|(_, disk)| boot::rank(disk.boot_rank)).map(|(at, _)| at)
}

impl Asked<'_> {
    /// Whether the disk is built.
    fn keeps(&self, at: usize, disk: &Disk) -> bool {
        keeps(self.choices, at, disk)
    }

    /// The CD drives that are built.
    fn cds(&self) -> impl Iterator<Item = &Drive> {
        let all = self.system.cdroms.iter().enumerate();
        all.filter(|(at, drive)| {
            !self.choices.ignores(&format!("cdrom{at}"), drive.origin.id.as_deref())
        })
        .map(|(_, drive)| drive)
    }

    fn has_cd(&self) -> bool {
        self.cds().next().is_some()
    }

    /// Whether a CD drive hangs on IDE.
    pub(crate) fn has_ide_cd(&self) -> bool {
        self.cds().filter_map(|drive| drive.controller.as_ref()).any(|c| c.bus == SourceBus::Ide)
    }
}

impl Case<'_> {
    fn one(&self, (at, disk): (usize, &Disk), boots: bool) -> Hung {
        let source = Driven::of(disk);
        let wanted = self.choices.bus_of(&format!("disk{at}"));
        let mut hung = match (wanted, self.choices.profile) {
            (Some(bus), _) => self.told(self.asked(source, bus)),
            (None, Profile::Virtio) => self.offered(self.virtio(source), source, boots),
            (None, Profile::Compat) => self.offered(self.compat(source, boots), source, boots),
        };
        if boots && self.uefi && !firmware_reads(hung.hang) {
            hung.risk = Some(
                Note::new(Code::W0503, "stock UEFI firmware has no driver for this controller")
                    .hint("--disk-bus sata, or --disk-bus virtio-scsi if the guest has its driver"),
            );
        }
        hung
    }

    /// The same bus, or the next one that the host has.
    fn offered(&self, hung: Hung, source: Driven, boots: bool) -> Hung {
        match offer::bus(&self.choices.offer, hung.hang, self.ide_allowed) {
            Instead::Same => hung,
            Instead::Next(hang, why) => {
                let next = Hung::new(hang, "the next bus that the host has");
                self.unproven(next.because(source.changed(), &why), boots)
            }
            Instead::Nothing(why) => warned(hung, why),
        }
    }

    /// The bus that the user chose, with a warning where the host has none.
    fn told(&self, hung: Hung) -> Hung {
        match offer::bus(&self.choices.offer, hung.hang, self.ide_allowed) {
            Instead::Same => hung,
            Instead::Next(_, why) | Instead::Nothing(why) => warned(hung, why),
        }
    }

    /// The first candidate that the host has.
    fn compat(&self, source: Driven, boots: bool) -> Hung {
        let last = || Hung::new(Hang::Controller(ControllerModel::Ahci), "every board has AHCI");
        let has = |hung: &Hung| {
            offer::bus(&self.choices.offer, hung.hang, self.ide_allowed) == Instead::Same
        };
        self.candidates(source, boots).into_iter().find(has).unwrap_or_else(last)
    }

    /// What the disk may hang on, best first: the four steps. The last is on every host.
    fn candidates(&self, source: Driven, boots: bool) -> Vec<Hung> {
        use ControllerModel::{Ahci, Ide, VirtioScsi};
        let why = self.why_not_the_same(source, boots);
        let same = source.same_as().filter(|_| why.is_none());
        let same = same.map(|hang| Hung::new(hang, "QEMU has the same controller"));
        let name = source.same_as().map_or("such controller", Hang::describe);
        let why = why.map_or_else(|| offer::lacks(name), str::to_owned);
        let to = |model, reason: &'static str| {
            Hung::new(Hang::Controller(model), reason)
                .because(source.changed(), &format!("{why}; {reason}"))
        };
        let guest = self.guest.kind;
        let ide_first = source == Driven::BusLogic && self.ide_fits;
        // libvirt before 11.5 offers no NVMe disk; AHCI is a class of its own as well.
        let ahci_next = source == Driven::Nvme && !self.proves_ahci;
        let old = guest.is_old() && self.ide_allowed;
        [
            same,
            ide_first.then(|| to(Ide, self.proof.ide())),
            self.proves_ahci.then(|| to(Ahci, self.proof.ahci())),
            self.uefi.then(|| self.unproven(to(Ahci, "UEFI boots from AHCI"), boots)),
            ahci_next.then(|| self.unproven(to(Ahci, "most systems drive AHCI"), boots)),
            self.ide_fits.then(|| to(Ide, self.proof.ide())),
            guest
                .carries_virtio()
                .then(|| to(VirtioScsi, "this system carries virtio in every boot image")),
            old.then(|| self.unproven(to(Ide, "an old system drives IDE"), boots)),
            Some(self.unproven(to(Ahci, "most systems drive AHCI"), boots)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Why the guest cannot have the controller that it drives; `None` where it can.
    const fn why_not_the_same(&self, source: Driven, boots: bool) -> Option<&'static str> {
        match source {
            Driven::PvScsi | Driven::LsiSas if boots && self.uefi => {
                Some("UEFI firmware cannot boot from it")
            }
            Driven::Ide if !self.ide_allowed => Some("q35 has no IDE"),
            Driven::PvScsi
            | Driven::LsiSas
            | Driven::VirtioScsi
            | Driven::VirtioBlk
            | Driven::Ahci
            | Driven::Ide => None,
            Driven::LsiLogic | Driven::BusLogic => Some("QEMU has no such chip"),
            Driven::OtherScsi => Some("no model is named that QEMU has"),
            Driven::Nvme => Some("libvirt before 11.5 offers no NVMe disk"),
            Driven::None => Some("no controller is named"),
        }
    }

    /// Adds the warning about a boot disk whose driver nothing proves.
    fn unproven(&self, mut hung: Hung, boots: bool) -> Hung {
        if boots && !self.guest.kind.carries_virtio() {
            let text = "nothing proves that the guest's boot image has the driver of this bus";
            let hint = if self.uefi {
                "if it does not boot, try --disk-bus virtio-scsi next"
            } else {
                "if it does not boot, try --disk-bus ide, then --disk-bus virtio-scsi"
            };
            hung.risk = Some(Note::new(Code::W0503, text).hint(hint));
        }
        hung
    }

    fn virtio(&self, source: Driven) -> Hung {
        let hang = if source.is_scsi() {
            Hang::Controller(ControllerModel::VirtioScsi)
        } else {
            Hang::VirtioBlk
        };
        self.by_choice(source, hang, "profile virtio")
    }

    fn asked(&self, source: Driven, bus: DiskBus) -> Hung {
        use ControllerModel::{Ahci, Ide, LsiLogic, LsiSas1068, VirtioScsi, VmPvScsi};
        let refuse =
            |why| Hung { refusal: Some(why), ..Hung::new(Hang::Controller(Ahci), "set by you") };
        let hang = match (bus, source) {
            (DiskBus::VirtioBlk, _) | (DiskBus::Keep, Driven::VirtioBlk) => Hang::VirtioBlk,
            (DiskBus::VirtioScsi, _) | (DiskBus::Keep, Driven::VirtioScsi) => {
                Hang::Controller(VirtioScsi)
            }
            (DiskBus::Sata, _) | (DiskBus::Keep, Driven::Ahci | Driven::None) => {
                Hang::Controller(Ahci)
            }
            (DiskBus::Ide, _) | (DiskBus::Keep, Driven::Ide) if self.ide_allowed => {
                Hang::Controller(Ide)
            }
            (DiskBus::Ide, _) | (DiskBus::Keep, Driven::Ide) => return refuse("q35 has no IDE"),
            (DiskBus::Keep, Driven::PvScsi) => Hang::Controller(VmPvScsi),
            (DiskBus::Keep, Driven::LsiSas) => Hang::Controller(LsiSas1068),
            (DiskBus::Keep, Driven::LsiLogic) => Hang::Controller(LsiLogic),
            (DiskBus::Keep, Driven::BusLogic | Driven::OtherScsi) => {
                return refuse("QEMU has no such controller");
            }
            (DiskBus::Keep, Driven::Nvme) => {
                return refuse("libvirt before 11.5 offers no NVMe disk");
            }
        };
        self.by_choice(source, hang, "set by you")
    }

    /// A bus that the user chose: said where it differs, with a warning where nothing proves it.
    fn by_choice(&self, source: Driven, hang: Hang, reason: &'static str) -> Hung {
        let mut hung = Hung::new(hang, reason);
        if source.same_as() == Some(hang) {
            return hung;
        }
        hung = hung.because(source.changed(), reason);
        let proven = match hang {
            Hang::Controller(ControllerModel::Ahci) => self.proves_ahci,
            Hang::Controller(ControllerModel::Ide) => self.ide_fits,
            Hang::VirtioBlk | Hang::Controller(ControllerModel::VirtioScsi) => {
                self.guest.kind.carries_virtio()
            }
            Hang::Controller(_) => false,
        };
        if !proven {
            let name = hang.describe();
            let text = format!("{} is not known to have the driver for {name}", self.guest.label);
            let hint =
                "install the driver in the guest before the move, or leave the bus to relift";
            hung.risk = Some(Note::new(Code::W0503, text).hint(hint));
        }
        hung
    }
}

impl Format {
    /// The reason for a bus whose driver the source proves by having a controller of it.
    const fn ahci(self) -> &'static str {
        match self {
            Self::Ovf => "the OVF proves AHCI",
            Self::Vmx => "the VMX proves AHCI",
        }
    }

    const fn ide(self) -> &'static str {
        match self {
            Self::Ovf => "the OVF proves IDE",
            Self::Vmx => "the VMX proves IDE",
        }
    }
}

impl Hung {
    fn new(hang: Hang, reason: &'static str) -> Self {
        Self { hang, reason, note: None, risk: None, refusal: None }
    }

    fn because(mut self, code: Code, text: &str) -> Self {
        self.note = Some(Note::new(code, text));
        self
    }
}

/// The same bus, with a warning that this host cannot give it.
fn warned(hung: Hung, why: String) -> Hung {
    let note = Note::new(Code::W0503, why).hint("choose another --disk-bus");
    Hung { risk: Some(note), ..hung }
}

/// Whether stock firmware of both kinds can read a disk there.
fn firmware_reads(hang: Hang) -> bool {
    use ControllerModel::{Ahci, Ide, VirtioScsi};
    match hang {
        Hang::VirtioBlk => true,
        Hang::Controller(model) => matches!(model, Ide | Ahci | VirtioScsi),
    }
}
