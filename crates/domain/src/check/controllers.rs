//! Storage controllers.

use vm::{Bus, Chipset, Controller, ControllerModel, Machine};

use crate::{
    Error,
    bus::bus_name,
    error::{Item, Refusal},
};

/// The last number that libvirt's schema writes (`domaincommon.rng`, `driveController`: two digits).
const LAST_SCHEMA_INDEX: u64 = 99;

/// Refuses controllers that the board lacks, two of one number, and gaps in the numbers.
///
/// libvirt fills a gap with a controller of its own choice, which the guest would see.
pub(super) fn check(machine: &Machine) -> Result<(), Error> {
    let all = machine.controllers.as_slice();
    for (at, controller) in all.iter().enumerate() {
        let (item, bus) = (Item::Controller(at), controller.model.bus());
        if bus == Bus::Ide && machine.chipset != Chipset::Pc {
            return Err(item.refuse(Refusal::Needs { what: "IDE", needs: "the pc board" }));
        }
        if let Some(other) = all.iter().take(at).position(|other| is_same(other, controller)) {
            let value = format!("{} {}", bus_name(bus), controller.index);
            let by = Item::Controller(other);
            return Err(item.refuse(Refusal::Taken { what: "number", value, by }));
        }
        item.require_range("index", controller.index.into(), 0..=last_index(all, bus))?;
    }
    Ok(())
}

/// Finds the model of a controller by its bus and number.
pub(super) fn find(all: &[Controller], bus: Bus, index: u16) -> Option<ControllerModel> {
    all.iter().find(|c| c.model.bus() == bus && c.index == index).map(|c| c.model)
}

fn is_same(a: &Controller, b: &Controller) -> bool {
    a.model.bus() == b.model.bus() && a.index == b.index
}

/// The greatest number that leaves no gap; the PIIX chip is one IDE controller with two channels.
fn last_index(all: &[Controller], bus: Bus) -> u64 {
    if bus == Bus::Ide {
        return 0;
    }
    let count = all.iter().filter(|controller| controller.model.bus() == bus).count();
    u64::try_from(count.saturating_sub(1)).unwrap_or(u64::MAX).min(LAST_SCHEMA_INDEX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{assert_refusals, sound};

    #[test]
    fn refuses_two_controllers_of_one_number_and_gaps() {
        assert_refusals(&[
            (
                |m| m.controllers.push(m.controllers[0].clone()),
                "controller 2: number scsi 0 is taken by controller 0",
            ),
            (|m| m.controllers[1].index = 1, "controller 1: index of 1 is not in 0..=0"),
            (|m| m.controllers[0].index = u16::MAX, "controller 0: index of 65535 is not in 0..=0"),
        ]);
    }

    #[test]
    fn refuses_ide_on_q35_and_a_second_ide_controller() {
        const IDE: ControllerModel = ControllerModel::Ide;
        assert_refusals(&[
            (|m| m.controllers[1].model = IDE, "controller 1: IDE needs the pc board"),
            (
                |m| {
                    m.chipset = Chipset::Pc;
                    m.controllers.push(Controller { model: IDE, index: 0 });
                    m.controllers.push(Controller { model: IDE, index: 1 });
                },
                "controller 3: index of 1 is not in 0..=0",
            ),
        ]);
    }

    #[test]
    fn refuses_a_number_that_the_schema_has_no_room_for() {
        let mut machine = sound();
        let ahci = |index| Controller { model: ControllerModel::Ahci, index };
        machine.controllers = (0..=100).map(ahci).collect();
        assert_eq!(
            check(&machine).unwrap_err().to_string(),
            "controller 100: index of 100 is not in 0..=99"
        );
    }

    #[test]
    fn finds_a_controller_by_bus_and_number() {
        let all = sound().controllers;
        assert_eq!(find(&all, Bus::Scsi, 0), Some(ControllerModel::LsiSas1068));
        assert_eq!(find(&all, Bus::Sata, 1), None);
    }
}
