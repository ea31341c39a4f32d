//! Which kind of controller each disk gets.
//!
//! `compat` goes down four steps and takes the first that holds:
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

use crate::{
    Choices, DiskBus, Note, Profile,
    guest::GuestOs,
    hardware::{
        boot,
        offer::{self, Instead},
    },
    source::{Bus as SourceBus, Controller, Disk, Drive, Format, System},
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
    let boot = asked.boot_disk();
    let each = system.disks.iter().enumerate();
    each.map(|(at, disk)| {
        let boots = boot == Some(at);
        asked.keeps(at, disk).then(|| case.one(disk.controller.as_ref(), boots))
    })
    .collect()
}

impl Asked<'_> {
    /// Whether the disk is built.
    fn keeps(&self, at: usize, disk: &Disk) -> bool {
        !self.choices.ignores(&format!("disk{at}"), disk.origin.id.as_deref())
    }

    /// The disk that the firmware must be able to read: the first of the boot order, else the first.
    fn boot_disk(&self) -> Option<usize> {
        let kept = self.system.disks.iter().enumerate().filter(|(at, disk)| self.keeps(*at, disk));
        kept.min_by_key(|(_, disk)| boot::rank(disk.boot_rank)).map(|(at, _)| at)
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
    fn one(&self, controller: Option<&Controller>, boots: bool) -> Hung {
        let source = Source::of(controller);
        let mut hung = match (self.choices.disk_bus, self.choices.profile) {
            (Some(bus), _) => self.asked(source, bus),
            (None, Profile::Virtio) => self.virtio(source),
            (None, Profile::Compat) => self.compat(source, boots),
        };
        hung = self.offered(hung, source, boots);
        if boots && self.uefi && !firmware_reads(hung.hang) {
            hung.risk = Some(
                Note::new(Code::W0503, "stock UEFI firmware has no driver for this controller")
                    .hint("--disk-bus sata, or --disk-bus virtio-scsi if the guest has its driver"),
            );
        }
        hung
    }

    /// The same bus, or the next one that the host has; one that the user chose stays.
    fn offered(&self, hung: Hung, source: Source, boots: bool) -> Hung {
        let is_chosen = self.choices.disk_bus.is_some();
        match offer::bus(&self.choices.offer, hung.hang, self.ide_allowed) {
            Instead::Same => hung,
            Instead::Next(hang, why) if !is_chosen => {
                let next = Hung::new(hang, "the next bus that the host has");
                self.unproven(next.because(source.changed(), &why), boots)
            }
            Instead::Next(_, why) | Instead::Nothing(why) => {
                let note = Note::new(Code::W0503, why).hint("choose another --disk-bus");
                Hung { risk: Some(note), ..hung }
            }
        }
    }

    /// The four steps.
    fn compat(&self, source: Source, boots: bool) -> Hung {
        use ControllerModel::{Ahci, Ide, LsiSas1068, VirtioScsi, VmPvScsi};
        let same = |model| Hung::new(Hang::Controller(model), "QEMU has the same controller");
        let bootable = !(boots && self.uefi);
        match source {
            Source::PvScsi if bootable => same(VmPvScsi),
            Source::LsiSas if bootable => same(LsiSas1068),
            Source::VirtioScsi => same(VirtioScsi),
            Source::Ahci => same(Ahci),
            Source::Ide if self.ide_allowed => same(Ide),
            Source::PvScsi | Source::LsiSas => {
                self.fallback(source, "UEFI firmware cannot boot from it", boots)
            }
            Source::BusLogic if self.ide_fits => {
                let proof = self.proof.ide();
                Hung::new(Hang::Controller(Ide), proof)
                    .because(Code::W0101, &format!("QEMU has no such chip; {proof}"))
            }
            Source::LsiLogic | Source::BusLogic => {
                self.fallback(source, "QEMU has no such chip", boots)
            }
            Source::OtherScsi => self.fallback(source, "no model is named that QEMU has", boots),
            Source::Ide => self.fallback(source, "q35 has no IDE", boots),
            Source::Nvme => self.fallback(source, "libvirt before 11.5 offers no NVMe disk", boots),
            Source::None => self.fallback(source, "no controller is named", boots),
        }
    }

    /// Steps 2 to 4.
    fn fallback(&self, source: Source, why: &str, boots: bool) -> Hung {
        use ControllerModel::{Ahci, Ide, VirtioScsi};
        let to = |model, reason: &'static str| {
            Hung::new(Hang::Controller(model), reason)
                .because(source.changed(), &format!("{why}; {reason}"))
        };
        if self.proves_ahci {
            return to(Ahci, self.proof.ahci());
        }
        if self.uefi {
            return self.unproven(to(Ahci, "UEFI boots from AHCI"), boots);
        }
        if self.ide_fits {
            return to(Ide, self.proof.ide());
        }
        if self.guest.kind.carries_virtio() {
            return to(VirtioScsi, "this system carries virtio in every boot image");
        }
        if self.guest.kind.is_old() && self.ide_allowed {
            return self.unproven(to(Ide, "an old system drives IDE"), boots);
        }
        self.unproven(to(Ahci, "most systems drive AHCI"), boots)
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

    fn virtio(&self, source: Source) -> Hung {
        let hang = if source.is_scsi() {
            Hang::Controller(ControllerModel::VirtioScsi)
        } else {
            Hang::VirtioBlk
        };
        self.by_choice(source, hang, "profile virtio")
    }

    fn asked(&self, source: Source, bus: DiskBus) -> Hung {
        use ControllerModel::{Ahci, Ide, LsiLogic, LsiSas1068, VirtioScsi, VmPvScsi};
        let refuse =
            |why| Hung { refusal: Some(why), ..Hung::new(Hang::Controller(Ahci), "set by you") };
        let hang = match (bus, source) {
            (DiskBus::VirtioBlk, _) => Hang::VirtioBlk,
            (DiskBus::VirtioScsi, _) | (DiskBus::Keep, Source::VirtioScsi) => {
                Hang::Controller(VirtioScsi)
            }
            (DiskBus::Sata, _) | (DiskBus::Keep, Source::Ahci | Source::None) => {
                Hang::Controller(Ahci)
            }
            (DiskBus::Ide, _) | (DiskBus::Keep, Source::Ide) if self.ide_allowed => {
                Hang::Controller(Ide)
            }
            (DiskBus::Ide, _) | (DiskBus::Keep, Source::Ide) => return refuse("q35 has no IDE"),
            (DiskBus::Keep, Source::PvScsi) => Hang::Controller(VmPvScsi),
            (DiskBus::Keep, Source::LsiSas) => Hang::Controller(LsiSas1068),
            (DiskBus::Keep, Source::LsiLogic) => Hang::Controller(LsiLogic),
            (DiskBus::Keep, Source::BusLogic | Source::OtherScsi) => {
                return refuse("QEMU has no such controller");
            }
            (DiskBus::Keep, Source::Nvme) => {
                return refuse("libvirt before 11.5 offers no NVMe disk");
            }
        };
        self.by_choice(source, hang, "set by you")
    }

    /// A bus that the user chose: said where it differs, with a warning where nothing proves it.
    fn by_choice(&self, source: Source, hang: Hang, reason: &'static str) -> Hung {
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
            let hint = "install the driver in the guest before the move";
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

/// Whether stock firmware of both kinds can read a disk there.
fn firmware_reads(hang: Hang) -> bool {
    use ControllerModel::{Ahci, Ide, VirtioScsi};
    match hang {
        Hang::VirtioBlk => true,
        Hang::Controller(model) => matches!(model, Ide | Ahci | VirtioScsi),
    }
}

/// Controllers of a source, as far as they are treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    PvScsi,
    LsiSas,
    LsiLogic,
    BusLogic,
    VirtioScsi,
    OtherScsi,
    Ide,
    Ahci,
    Nvme,
    None,
}

impl Source {
    /// Reads the subtype: the first word of the list that is known.
    fn of(controller: Option<&Controller>) -> Self {
        let Some(controller) = controller else { return Self::None };
        match controller.bus {
            SourceBus::Ide => Self::Ide,
            SourceBus::Sata => Self::Ahci,
            SourceBus::Nvme => Self::Nvme,
            SourceBus::Scsi => {
                let subtype = controller.subtype.as_deref().unwrap_or("lsilogic").to_lowercase();
                let mut words = subtype.split([' ', ',']);
                words.find_map(Self::of_scsi_word).unwrap_or(Self::OtherScsi)
            }
        }
    }

    fn of_scsi_word(word: &str) -> Option<Self> {
        Some(match word {
            "virtualscsi" | "pvscsi" | "vmpvscsi" => Self::PvScsi,
            "lsilogicsas" | "lsilogic-sas" | "lsisas1068" => Self::LsiSas,
            "lsilogic" => Self::LsiLogic,
            "buslogic" => Self::BusLogic,
            "virtio-scsi" | "virtioscsi" | "virtio_scsi" => Self::VirtioScsi,
            _ => return None,
        })
    }

    const fn is_scsi(self) -> bool {
        !matches!(self, Self::Ide | Self::Ahci | Self::Nvme | Self::None)
    }

    /// The code for a disk that leaves a controller of this kind.
    const fn changed(self) -> Code {
        match self {
            Self::Nvme => Code::W0103,
            Self::None => Code::W0111,
            _ => Code::W0101,
        }
    }

    /// What the guest's driver for this controller drives as well.
    fn same_as(self) -> Option<Hang> {
        let model = match self {
            Self::PvScsi => ControllerModel::VmPvScsi,
            Self::LsiSas => ControllerModel::LsiSas1068,
            Self::VirtioScsi => ControllerModel::VirtioScsi,
            Self::Ide => ControllerModel::Ide,
            Self::Ahci => ControllerModel::Ahci,
            Self::LsiLogic | Self::BusLogic | Self::OtherScsi | Self::Nvme | Self::None => {
                return None;
            }
        };
        Some(Hang::Controller(model))
    }
}
