//! The slot numbers that network cards show to the guest.

use std::collections::BTreeMap;

use vm::{Chipset, Machine, PciLayout};

use crate::{
    Error,
    error::{Item, Refusal},
};

/// Slot numbers that a root port can show (PCI Express Base Specification, Slot Capabilities: 13 bits;
/// Linux names no card by number 0).
const SLOTS: std::ops::RangeInclusive<u64> = 1..=8191;

pub(super) fn check(machine: &Machine) -> Result<(), Error> {
    let layout = PciLayout::of(machine.chipset, &machine.nics);
    let mut taken = BTreeMap::new();
    for (at, (nic, address)) in machine.nics.iter().zip(&layout.cards).enumerate() {
        let (item, Some(slot)) = (Item::Nic(at), nic.slot) else { continue };
        let needs = |needs| Err(item.refuse(Refusal::Needs { what: "a slot number", needs }));
        item.require_range("slot", slot.into(), SLOTS)?;
        if machine.chipset != Chipset::Q35 {
            return needs("the q35 board");
        }
        if !nic.model.is_express() {
            return needs("a PCI Express card");
        }
        if address.is_none() {
            return needs("a root port, and no more are left");
        }
        if let Some(by) = taken.insert(slot, item) {
            let value = slot.to_string();
            return Err(item.refuse(Refusal::Taken { what: "slot", value, by }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use vm::{MacAddress, NicModel};

    use super::*;
    use crate::check::tests::{assert_refusals, sound};

    #[test]
    fn lets_numbers_up_to_the_last_pass() {
        let mut machine = sound();
        (machine.nics[0].slot, machine.nics[1].slot) = (Some(1), Some(8191));
        check(&machine).unwrap();
    }

    #[test]
    fn refuses_slot_numbers_that_no_port_can_show() {
        assert_refusals(&[
            (|m| m.nics[0].slot = Some(0), "nic 0: slot of 0 is not in 1..=8191"),
            (|m| m.nics[1].slot = Some(8192), "nic 1: slot of 8192 is not in 1..=8191"),
            (
                |m| (m.nics[0].slot, m.nics[1].slot) = (Some(192), Some(192)),
                "nic 1: slot 192 is taken by nic 0",
            ),
        ]);
    }

    #[test]
    fn refuses_slot_numbers_where_there_is_no_root_port() {
        assert_refusals(&[
            (
                |m| {
                    m.nics[0].slot = Some(192);
                    m.chipset = Chipset::Pc;
                },
                "nic 0: a slot number needs the q35 board",
            ),
            (
                |m| {
                    m.nics[0].slot = Some(192);
                    m.nics[0].model = NicModel::E1000;
                },
                "nic 0: a slot number needs a PCI Express card",
            ),
            (
                |m| {
                    let last = vm::Nic { slot: Some(192), ..m.nics[0].clone() };
                    m.nics = vec![m.nics[0].clone(); 64];
                    for (at, nic) in (0..).zip(&mut m.nics) {
                        nic.mac = Some(MacAddress([0x52, 0x54, 0, 0, 1, at]));
                    }
                    m.nics.push(last);
                },
                "nic 64: a slot number needs a root port, and no more are left",
            ),
        ]);
    }
}
