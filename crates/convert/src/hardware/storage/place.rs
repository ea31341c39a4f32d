//! Where on its bus each disk and drive goes.
//!
//! Ranges are measured with QEMU 7.2 and libvirt 9.0, whose automatic addresses put a second disk on
//! `vmpvscsi` at LUN 1, where it never starts: every address is written out.

use std::collections::BTreeSet;

use code::Code;
use vm::{Bus, Chipset, Controller, ControllerModel, DriveAddress};

use super::Hang;
use crate::{
    Note,
    source::{Bus as SourceBus, Controller as SourceController, Disk as SourceDisk, Drive},
};

/// AHCI as QEMU has it: 6 ports a controller.
const SATA_PORTS: u32 = 6;

/// The SCSI id of the adapter itself.
const ADAPTER_UNIT: u32 = 7;

/// A PC's floppy controller has two drives.
const FLOPPY_DRIVES: u16 = 2;

/// Runs of units that are tried: more than all disks and drives of a machine can fill.
const MAX_RUNS: u32 = 128;

/// IDE has two channels of two devices.
const IDE_PLACES: [(u32, u32); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

/// The controllers of a machine, and what is taken on them.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) controllers: Vec<Controller>,
    made: Vec<Made>,
    taken: BTreeSet<(u8, DriveAddress)>,
}

/// Which source controller became which of ours; one with more units than ours has becomes several.
#[derive(Debug, PartialEq, Eq)]
struct Made {
    source: String,
    run: u32,
    model: ControllerModel,
    index: u16,
}

/// A disk's place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) address: Option<DriveAddress>,
    pub(crate) moved: Option<Note>,
}

/// A drive's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlacedDrive {
    pub(crate) bus: Bus,
    pub(crate) address: DriveAddress,
}

impl Places {
    /// Gives each disk its source's unit where the bus has it and nobody before it took it; then
    /// each other one the next free unit.
    ///
    /// Two rounds, so that a disk that must move takes no place that another one states.
    pub(crate) fn disks(&mut self, disks: &[(&SourceDisk, Hang)]) -> Vec<Placed> {
        let stated: Vec<_> =
            disks.iter().map(|(source, hang)| self.stated(source, *hang)).collect();
        let each = disks.iter().zip(stated);
        each.map(|((source, hang), stated)| match (stated, hang) {
            (Some(address), Hang::Controller(model)) => {
                Placed { moved: moved(source, *model, address), address: Some(address) }
            }
            (_, Hang::Controller(ControllerModel::Ide)) => self.ide(ide_position(source)),
            (_, Hang::Controller(model)) => self.on_controller(key(source), *model, unit(source)),
            (_, Hang::VirtioBlk) => Placed { address: None, moved: None },
        })
        .collect()
    }

    /// Takes the unit that the source states; makes the disk's controller in any case.
    fn stated(&mut self, source: &SourceDisk, hang: Hang) -> Option<DriveAddress> {
        let Hang::Controller(model) = hang else { return None };
        if model == ControllerModel::Ide {
            self.controller("", 0, model);
            return self.take_ide(ide_position(source)?);
        }
        let stated = unit(source);
        let (run, unit) = split(model, stated.unwrap_or_default());
        let index = self.controller(key(source), run, model);
        stated?;
        self.take_unit(model, index, unit)
    }

    /// Places a disk on the controller of its source, from the run of its unit on.
    fn on_controller(&mut self, key: &str, model: ControllerModel, unit: Option<u32>) -> Placed {
        let (first, _) = split(model, unit.unwrap_or_default());
        for run in first..first.saturating_add(MAX_RUNS) {
            let index = self.controller(key, run, model);
            let free = (0..units(model)).find_map(|at| self.take_unit(model, index, at));
            if let Some(address) = free {
                let note = |unit| Note::new(Code::W0111, now_at(unit, model, address));
                return Placed { address: Some(address), moved: unit.map(note) };
            }
        }
        Placed { address: None, moved: None }
    }

    /// Takes a unit of a controller, if it has one of that number and it is free.
    fn take_unit(
        &mut self,
        model: ControllerModel,
        controller: u16,
        unit: u32,
    ) -> Option<DriveAddress> {
        if model.bus() == Bus::Scsi && unit == ADAPTER_UNIT {
            return None;
        }
        address(model, controller, unit).filter(|address| self.take(model.bus(), *address))
    }

    fn ide(&mut self, wanted: Option<(u32, u32)>) -> Placed {
        self.controller("", 0, ControllerModel::Ide);
        for place in wanted.into_iter().chain(IDE_PLACES) {
            if let Some(address) = self.take_ide(place) {
                let (channel, unit) = place;
                let moved = wanted
                    .filter(|wanted| *wanted != place)
                    .map(|_| Note::new(Code::W0111, format!("now channel {channel}, unit {unit}")));
                return Placed { address: Some(address), moved };
            }
        }
        Placed { address: None, moved: None }
    }

    /// Takes a channel and unit, if IDE has them and they are free.
    fn take_ide(&mut self, place: (u32, u32)) -> Option<DriveAddress> {
        let (channel, unit) = IDE_PLACES.contains(&place).then_some(place)?;
        let bus = u16::try_from(channel).ok()?;
        let unit = u16::try_from(unit).ok()?;
        let address = DriveAddress { controller: 0, bus, target: 0, unit };
        self.take(Bus::Ide, address).then_some(address)
    }

    /// Gives a CD drive a place: IDE on `pc` while there is one, else a port of AHCI.
    pub(crate) fn cdrom(&mut self, chipset: Chipset, source: &Drive) -> PlacedDrive {
        if chipset == Chipset::Pc {
            let wanted = ide_place(source.controller.as_ref(), source.unit).or(Some((1, 0)));
            if let Some(address) = self.ide(wanted).address {
                return PlacedDrive { bus: Bus::Ide, address };
            }
        }
        PlacedDrive { bus: Bus::Sata, address: self.free_port() }
    }

    /// Gives a floppy drive its place; a PC has two.
    pub(crate) fn floppy(&mut self) -> Option<PlacedDrive> {
        let places =
            (0..FLOPPY_DRIVES).map(|unit| DriveAddress { unit, ..DriveAddress::default() });
        let mut places = places.filter(|address| self.taken.insert((rank(Bus::Fdc), *address)));
        places.next().map(|address| PlacedDrive { bus: Bus::Fdc, address })
    }

    /// A free port of a controller that is there, else of a new one.
    fn free_port(&mut self) -> DriveAddress {
        let model = ControllerModel::Ahci;
        let there: Vec<u16> =
            self.controllers.iter().filter(|c| c.model == model).map(|c| c.index).collect();
        let ports = there.iter().flat_map(|index| (0..SATA_PORTS).map(move |unit| (*index, unit)));
        for (index, unit) in ports {
            if let Some(address) = address(model, index, unit)
                && self.take(Bus::Sata, address)
            {
                return address;
            }
        }
        self.on_controller("drives", model, None).address.unwrap_or_default()
    }

    /// Our controller for a run of a source's controller, made when it is first asked for.
    fn controller(&mut self, source: &str, run: u32, model: ControllerModel) -> u16 {
        let same = |made: &&Made| made.source == source && made.run == run && made.model == model;
        if let Some(made) = self.made.iter().find(same) {
            return made.index;
        }
        let there = self.controllers.iter().filter(|c| c.model.bus() == model.bus()).count();
        let index = u16::try_from(there).unwrap_or(u16::MAX);
        self.controllers.push(Controller { model, index });
        self.made.push(Made { source: source.to_owned(), run, model, index });
        index
    }

    /// Takes an address; false when somebody has it.
    fn take(&mut self, bus: Bus, address: DriveAddress) -> bool {
        self.taken.insert((rank(bus), address))
    }
}

/// What our controllers for the source's one are found by.
fn key(source: &SourceDisk) -> &str {
    let id = source.controller.as_ref().and_then(|controller| controller.origin.id.as_deref());
    id.unwrap_or_default()
}

/// The unit that the source states; without a controller it means nothing.
fn unit(source: &SourceDisk) -> Option<u32> {
    source.unit.filter(|_| source.controller.is_some())
}

/// Which of our controllers a unit is on, and where on it.
const fn split(model: ControllerModel, unit: u32) -> (u32, u32) {
    (unit / units(model), unit % units(model))
}

/// What is to be said of a disk whose unit has another number on the next of our controllers.
fn moved(source: &SourceDisk, model: ControllerModel, address: DriveAddress) -> Option<Note> {
    let unit =
        unit(source).filter(|unit| *unit >= units(model) && model != ControllerModel::Ide)?;
    Some(Note::new(Code::W0111, now_at(unit, model, address)))
}

fn now_at(unit: u32, model: ControllerModel, address: DriveAddress) -> String {
    let at = if model.bus() == Bus::Scsi { address.target.max(address.unit) } else { address.unit };
    format!("unit {unit} of the source is unit {at} of controller {}", address.controller)
}

/// Channel and unit of a disk on IDE, if the source says both.
fn ide_position(source: &SourceDisk) -> Option<(u32, u32)> {
    ide_place(source.controller.as_ref(), source.unit)
}

fn ide_place(controller: Option<&SourceController>, unit: Option<u32>) -> Option<(u32, u32)> {
    let controller = controller.filter(|controller| controller.bus == SourceBus::Ide)?;
    Some((controller.number, unit?))
}

/// How many units a controller of the model has, the adapter's own included.
const fn units(model: ControllerModel) -> u32 {
    match model {
        ControllerModel::Ide => 2,
        ControllerModel::Ahci => SATA_PORTS,
        ControllerModel::VmPvScsi => 64,
        ControllerModel::LsiSas1068 => 8,
        ControllerModel::LsiLogic => 7,
        // libvirt's schema gives a target two digits.
        ControllerModel::VirtioScsi => 100,
    }
}

/// A unit as libvirt's address counts it.
fn address(model: ControllerModel, controller: u16, unit: u32) -> Option<DriveAddress> {
    let unit = u16::try_from(unit).ok()?;
    let (target, unit) = match model {
        ControllerModel::VmPvScsi | ControllerModel::LsiSas1068 | ControllerModel::VirtioScsi => {
            (unit, 0)
        }
        ControllerModel::Ide | ControllerModel::Ahci | ControllerModel::LsiLogic => (0, unit),
    };
    Some(DriveAddress { controller, bus: 0, target, unit })
}

/// A number for each bus, so that addresses of all of them lie in one set.
const fn rank(bus: Bus) -> u8 {
    match bus {
        Bus::Ide => 0,
        Bus::Sata => 1,
        Bus::Scsi => 2,
        Bus::VirtioBlk => 3,
        Bus::Nvme => 4,
        Bus::Fdc => 5,
    }
}
