//! The boot order over all devices.

use std::collections::BTreeMap;

use vm::Machine;

use crate::{
    Error,
    error::{Item, Refusal},
};

/// Refuses ranks that libvirt refuses: 0, and one rank for two devices.
pub(super) fn check(machine: &Machine) -> Result<(), Error> {
    let disks = machine.disks.iter().enumerate().map(|(at, d)| (Item::Disk(at), d.boot_order));
    let removables =
        machine.removables.iter().enumerate().map(|(at, r)| (Item::Removable(at), r.boot_order));
    let nics = machine.nics.iter().enumerate().map(|(at, n)| (Item::Nic(at), n.boot_order));

    let mut taken = BTreeMap::new();
    for (item, rank) in disks.chain(removables).chain(nics) {
        let Some(rank) = rank else { continue };
        item.require_range("boot rank", rank.into(), 1..=u16::MAX.into())?;
        if let Some(by) = taken.insert(rank, item) {
            let value = rank.to_string();
            return Err(item.refuse(Refusal::Taken { what: "boot rank", value, by }));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::check::tests::assert_refusals;

    #[test]
    fn refuses_a_rank_of_zero_and_a_rank_used_twice() {
        assert_refusals(&[
            (|m| m.disks[0].boot_order = Some(0), "disk 0: boot rank of 0 is not in 1..=65535"),
            (|m| m.disks[1].boot_order = Some(1), "disk 1: boot rank 1 is taken by disk 0"),
            (
                |m| m.removables[0].boot_order = Some(1),
                "removable 0: boot rank 1 is taken by disk 0",
            ),
            (|m| m.nics[0].boot_order = Some(1), "nic 0: boot rank 1 is taken by disk 0"),
        ]);
    }
}
