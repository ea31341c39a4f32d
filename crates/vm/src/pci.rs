//! Where network cards are plugged in on the PCI buses.

use crate::{Chipset, Nic};

/// The first device of q35's bus 0 that takes root ports: 0 is the host bridge, 1 the graphics card.
const FIRST_PORT_DEVICE: usize = 2;
/// A device has eight functions, and each may be a root port.
const PORTS_PER_DEVICE: usize = 8;
/// As many root ports as cards are given one; the rest of bus 0 is the host's own.
const MAX_PORTS: usize = 64;
/// The devices of a conventional bus behind a bridge; 0 is the bridge's own controller.
const BRIDGE_DEVICES: u8 = 31;
/// The first device of i440fx's bus 0 that takes cards: 1 is the PIIX3, 2 the graphics card.
const FIRST_PC_DEVICE: u8 = 3;
/// As many devices of i440fx's bus 0 as cards are given; the rest is the host's own.
const MAX_PC_DEVICES: usize = 16;

/// An address on the PCI buses of a machine, in segment 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    /// Number of the bus.
    pub bus: u8,
    /// Device on the bus, 0..=31.
    pub device: u8,
    /// Function of the device, 0..=7.
    pub function: u8,
}

/// A bridge that a card needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PciBridge {
    /// Number of the bus behind it, from 1 without gaps.
    pub bus: u8,
    /// Where the bridge itself is.
    pub address: PciAddress,
    /// What it is.
    pub kind: PciBridgeKind,
}

/// Kinds of bridges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PciBridgeKind {
    /// A PCI Express root port, which takes one card.
    RootPort {
        /// The slot number that it shows to the guest, where the card's name hangs on it.
        slot: Option<u16>,
    },
    /// A bridge from PCI Express to conventional PCI, behind a root port of its own.
    ToConventional,
}

/// Where each card of a machine is, and the bridges that lead there.
///
/// Cards are found in the order of the machine's list: addresses rise with it, and firmware and
/// guest number the buses as here, since they count in the order of devices and functions and nothing
/// else that is a bridge comes before. A card for which there is no place has no address, and the
/// host finds one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PciLayout {
    /// Bridges by the number of the bus behind them.
    pub bridges: Vec<PciBridge>,
    /// The address of each card, in the order of the machine's list.
    pub cards: Vec<Option<PciAddress>>,
}

impl PciLayout {
    /// Lays out the cards of a machine with this board.
    ///
    /// On q35 each PCI Express card has a root port, and conventional cards that follow each other share
    /// a bridge. On i440fx cards are devices of bus 0.
    #[must_use]
    pub fn of(chipset: Chipset, nics: &[Nic]) -> Self {
        match chipset {
            Chipset::Pc => Self::on_pc(nics.len()),
            Chipset::Q35 => Self::on_q35(nics),
        }
    }

    fn on_pc(cards: usize) -> Self {
        let devices = (FIRST_PC_DEVICE..).take(MAX_PC_DEVICES);
        let placed = devices.map(|device| Some(PciAddress { bus: 0, device, function: 0 }));
        let cards = placed.chain(std::iter::repeat(None)).take(cards).collect();
        Self { bridges: Vec::new(), cards }
    }

    fn on_q35(nics: &[Nic]) -> Self {
        let mut layout = Self::default();
        for (at, nic) in nics.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| nics.get(at));
            let address = if nic.model.is_express() {
                layout.root_port(nic.slot).map(|bus| PciAddress { bus, device: 0, function: 0 })
            } else {
                let beside = before.filter(|nic| !nic.model.is_express());
                let last = beside.and_then(|_| layout.cards.last().copied().flatten());
                layout.conventional(last)
            };
            layout.cards.push(address);
        }
        layout
    }

    /// The next place on the conventional bus of the card before, else on a new one.
    fn conventional(&mut self, last: Option<PciAddress>) -> Option<PciAddress> {
        if let Some(PciAddress { bus, device, .. }) = last
            && device < BRIDGE_DEVICES
        {
            return Some(PciAddress { bus, device: device.saturating_add(1), function: 0 });
        }
        let port = self.root_port(None)?;
        let address = PciAddress { bus: port, device: 0, function: 0 };
        let bus = self.bridge(address, PciBridgeKind::ToConventional)?;
        Some(PciAddress { bus, device: 1, function: 0 })
    }

    /// Adds a root port and gives the bus behind it.
    fn root_port(&mut self, slot: Option<u16>) -> Option<u8> {
        let is_port = |bridge: &&PciBridge| matches!(bridge.kind, PciBridgeKind::RootPort { .. });
        let ports = self.bridges.iter().filter(is_port).count();
        let device = FIRST_PORT_DEVICE.saturating_add(ports / PORTS_PER_DEVICE);
        let address = PciAddress {
            bus: 0,
            device: u8::try_from(device).ok()?,
            function: u8::try_from(ports % PORTS_PER_DEVICE).ok()?,
        };
        (ports < MAX_PORTS).then(|| self.bridge(address, PciBridgeKind::RootPort { slot }))?
    }

    /// Adds a bridge and gives the bus behind it.
    fn bridge(&mut self, address: PciAddress, kind: PciBridgeKind) -> Option<u8> {
        let bus = u8::try_from(self.bridges.len().saturating_add(1)).ok()?;
        self.bridges.push(PciBridge { bus, address, kind });
        Some(bus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NicModel, NicTarget};

    fn nics(models: &[NicModel]) -> Vec<Nic> {
        let nic = |model: &NicModel| Nic {
            model: *model,
            target: NicTarget::User,
            mac: None,
            slot: None,
            link_up: true,
            boot_order: None,
        };
        models.iter().map(nic).collect()
    }

    fn text(address: PciAddress) -> String {
        format!("{:02x}:{:02x}.{}", address.bus, address.device, address.function)
    }

    /// Cards and bridges as text: `01:00.0`, `1 port 00:02.0`.
    fn laid_out(chipset: Chipset, nics: &[Nic]) -> (Vec<String>, Vec<String>) {
        let layout = PciLayout::of(chipset, nics);
        let cards = layout.cards.into_iter().map(|card| card.map_or("-".to_owned(), text));
        let bridges = layout.bridges.into_iter().map(|bridge| match bridge.kind {
            PciBridgeKind::RootPort { .. } => {
                format!("{} port {}", bridge.bus, text(bridge.address))
            }
            PciBridgeKind::ToConventional => format!("{} pci {}", bridge.bus, text(bridge.address)),
        });
        (cards.collect(), bridges.collect())
    }

    #[test]
    fn gives_each_express_card_a_port_and_lets_neighbours_share_a_bridge() {
        use NicModel::{E1000, E1000e, Pcnet, Virtio, Vmxnet3};
        let (cards, bridges) =
            laid_out(Chipset::Q35, &nics(&[Vmxnet3, E1000, Pcnet, Virtio, E1000, E1000e]));
        assert_eq!(cards, ["01:00.0", "03:01.0", "03:02.0", "04:00.0", "06:01.0", "07:00.0"]);
        assert_eq!(
            bridges,
            [
                "1 port 00:02.0",
                "2 port 00:02.1",
                "3 pci 02:00.0",
                "4 port 00:02.2",
                "5 port 00:02.3",
                "6 pci 05:00.0",
                "7 port 00:02.4"
            ]
        );
    }

    #[test]
    fn addresses_rise_with_the_list_until_the_ports_are_used_up() {
        let (cards, bridges) = laid_out(Chipset::Q35, &nics(&[NicModel::Virtio; 65]));
        assert!(cards[..64].is_sorted() && cards[64] == "-", "{cards:?}");
        assert_eq!((bridges.len(), bridges[8].as_str()), (64, "9 port 00:03.0"));
        assert_eq!(bridges[63], "64 port 00:09.7");
    }

    #[test]
    fn a_full_conventional_bus_is_followed_by_another() {
        let (cards, bridges) = laid_out(Chipset::Q35, &nics(&[NicModel::E1000; 32]));
        assert_eq!((cards[30].as_str(), cards[31].as_str()), ("02:1f.0", "04:01.0"));
        assert_eq!(bridges.len(), 4);
    }

    #[test]
    fn i440fx_has_its_cards_on_bus_0() {
        let (cards, bridges) = laid_out(Chipset::Pc, &nics(&[NicModel::Virtio; 17]));
        assert_eq!((cards[0].as_str(), cards[15].as_str()), ("00:03.0", "00:12.0"));
        assert_eq!((cards[16].as_str(), bridges.len()), ("-", 0));
    }

    #[test]
    fn a_port_shows_the_slot_of_its_card() {
        let mut all = nics(&[NicModel::Vmxnet3, NicModel::Vmxnet3]);
        all[1].slot = Some(192);
        let kinds: Vec<_> =
            PciLayout::of(Chipset::Q35, &all).bridges.iter().map(|bridge| bridge.kind).collect();
        assert_eq!(kinds, [None, Some(192)].map(|slot| PciBridgeKind::RootPort { slot }));
    }
}
