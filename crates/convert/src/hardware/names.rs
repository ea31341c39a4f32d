//! Names of Linux interfaces: what VMware's slots made them, and which of them stay.
//!
//! Linux calls a card `ens<slot>` by the number of its hot-plug slot, else `enp<bus>s<device>` by its
//! place on the PCI buses. Old names are known from the slot numbers that VMware writes; new ones from
//! the places that the machine gives its cards.

use std::borrow::Cow;

use code::Code;
use vm::{Chipset, PciAddress, PciBridgeKind, PciLayout};

use super::{Scene, network};
use crate::{
    Choices, Note, Row,
    guest::{GuestOs, Kind},
    source::{Nic, System},
};

/// The flag that keeps the names.
pub(crate) const FLAG: &str = "--keep-nic-names";

/// What gives a card its name back without the flag.
const LINK_FILE: &str = "a .link file by MAC address in the guest";

/// The greatest number that VMware gives a slot: 5 bits of device, 5 of bridge, 3 of function.
const MAX_PCI_SLOT: u32 = (1 << 13) - 1;

/// Bits of device and bridge.
const DEVICE_BITS: u32 = 10;

/// What becomes of the cards' names.
#[derive(Debug)]
pub(crate) enum Keeping {
    /// Nobody asked to keep them.
    NotAsked,
    /// The guest is known, and no Linux that names cards by their slots.
    NotByGuest,
    /// They are to be kept: what becomes of each card, in the order of the source.
    Cards(Vec<Name>),
}

/// What becomes of the name of one card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// It stays, since the card shows this slot number.
    Stays(u16),
    /// It cannot stay, and why.
    Lost(String),
}

impl Keeping {
    /// Decides which names stay, in the order of the cards: the first of two with one number has it.
    pub(crate) fn of(system: &System, choices: &Choices, guest: &GuestOs) -> Self {
        if !choices.keep_nic_names {
            return Self::NotAsked;
        }
        if !names_by_slot(guest.kind) {
            return Self::NotByGuest;
        }
        let mut names: Vec<Name> = Vec::new();
        for (at, card) in system.nics.iter().enumerate() {
            let id = format!("nic{at}");
            let is_built = !choices.ignores(&id, card.origin.id.as_deref());
            let name = match shown_slot(card) {
                _ if !is_built => Name::Lost("left out on request".to_owned()),
                None => Name::Lost("the source names no slot that its name came from".to_owned()),
                Some(slot) => {
                    free(slot, &names).unwrap_or_else(|| stay(slot, (&id, card), choices, guest))
                }
            };
            names.push(name);
        }
        Self::Cards(names)
    }

    /// What becomes of a card's name, where it is to be kept.
    pub(crate) fn name(&self, card: usize) -> Option<&Name> {
        match self {
            Self::Cards(names) => names.get(card),
            Self::NotAsked | Self::NotByGuest => None,
        }
    }

    /// Whether a card is to show a slot number, which only q35 can do.
    pub(crate) fn needs_q35(&self) -> bool {
        self.slots().next().is_some()
    }

    /// The choices with the board that the names need, unless another one was asked for.
    pub(crate) fn board<'a>(&self, choices: &'a Choices) -> Cow<'a, Choices> {
        if choices.chipset.is_none() && self.needs_q35() {
            return Cow::Owned(Choices { chipset: Some(Chipset::Q35), ..choices.clone() });
        }
        Cow::Borrowed(choices)
    }

    /// What is to be known of the names together; nothing where nobody asked, or where the board's row
    /// says that it cannot be.
    pub(crate) fn row(&self, chipset: Chipset) -> Option<Row> {
        let row = |from: &str, to: &str| Row::kept("nic-names", "nic names", from, to);
        match self {
            Self::NotAsked => None,
            Self::NotByGuest => {
                let why = "only Linux names its cards by their slots";
                Some(row("", "not kept").because(format!("{FLAG} has no effect: {why}")))
            }
            Self::Cards(_) if !self.needs_q35() => {
                Some(row("", "not kept").because("no card has a name that can stay"))
            }
            Self::Cards(_) if chipset == Chipset::Pc => None,
            Self::Cards(_) => {
                let old: Vec<String> = self.slots().map(|slot| format!("ens{slot}")).collect();
                Some(row(&old.join(" "), "kept by a qemu: section").because(
                    "libvirt marks such a machine as tainted, and some tools refuse it; \
                     a .link file by MAC address in the guest does without: relift explain W0304",
                ))
            }
        }
    }

    fn slots(&self) -> impl Iterator<Item = u16> {
        let names = match self {
            Self::Cards(names) => names.as_slice(),
            Self::NotAsked | Self::NotByGuest => &[],
        };
        names.iter().filter_map(|name| match name {
            Name::Stays(slot) => Some(*slot),
            Name::Lost(_) => None,
        })
    }
}

/// Why a slot cannot be given once more.
fn free(slot: u16, names: &[Name]) -> Option<Name> {
    let other = names.iter().position(|name| *name == Name::Stays(slot))?;
    Some(Name::Lost(format!("nic {other} is ens{slot} already")))
}

/// A name stays unless the user chose a card that has no slot number to show.
fn stay(slot: u16, (id, card): (&str, &Nic), choices: &Choices, guest: &GuestOs) -> Name {
    let (model, _) = network::choose_model(choices, guest, id, card);
    if choices.model_of(id).is_some() && !model.is_express() {
        return Name::Lost(format!("{} is no PCI Express card", model.as_str()));
    }
    Name::Stays(slot)
}

/// The note of a card whose name changes: the machine's card `at`, where nobody asked to keep it.
pub(crate) fn changes(
    scene: &Scene<'_>,
    card: &Nic,
    layout: &PciLayout,
    at: usize,
) -> Option<Note> {
    let Scene { choices, guest, chipset, .. } = *scene;
    let old = format!("ens{}", shown_slot(card).filter(|_| names_by_slot(guest.kind))?);
    let address = layout.cards.get(at).copied().flatten();
    let new = address.map(|address| on_kvm(layout, chipset, address));
    if new.as_deref() == Some(&old) {
        return None;
    }
    let id = format!("nic{at}");
    let hint = match stay(0, (&id, card), choices, guest) {
        Name::Stays(_) => FLAG,
        Name::Lost(_) => LINK_FILE,
    };
    let linux = if guest.kind == Kind::Unknown { "if it is Linux, " } else { "" };
    let new = new.unwrap_or_else(|| "another name".to_owned());
    Some(Note::new(Code::W0304, format!("{linux}{old} becomes {new}")).hint(hint))
}

/// The note of a card whose name was to be kept and cannot.
pub(crate) fn lost(why: &str) -> Note {
    Note::new(Code::W0304, format!("its name is not kept: {why}")).hint(LINK_FILE)
}

/// What Linux calls a card at this address: the slot's number where ACPI hot-plug shows one, which is the
/// device's on i440fx and behind the first bridge to conventional PCI; else the place.
///
/// Behind a further bridge the kernel finds the numbers taken and gives the slots other names, which
/// are no numbers. Measured with QEMU 7.2, Linux 6.1 and systemd 252.
fn on_kvm(layout: &PciLayout, chipset: Chipset, address: PciAddress) -> String {
    let PciAddress { bus, device, .. } = address;
    let mut bridges = layout.bridges.iter();
    let first = bridges.find(|bridge| bridge.kind == PciBridgeKind::ToConventional);
    if chipset == Chipset::Pc || first.is_some_and(|bridge| bridge.bus == bus) {
        format!("ens{device}")
    } else {
        format!("enp{bus}s{device}")
    }
}

/// The slot number that VMware shows to the guest: its number holds device and bridge in the lower ten
/// bits, and above them the function of the bridge, which counts on from there (1184 is shown as 161).
fn shown_slot(card: &Nic) -> Option<u16> {
    let number = card.pci_slot.filter(|number| *number <= MAX_PCI_SLOT)?;
    let (function, device) = (number >> DEVICE_BITS, number & ((1 << DEVICE_BITS) - 1));
    u16::try_from(device.checked_add(function)?).ok().filter(|slot| *slot > 0)
}

/// Whether the guest may be a Linux that names cards by their slots.
const fn names_by_slot(kind: Kind) -> bool {
    matches!(kind, Kind::Linux | Kind::LinuxVirtio | Kind::Unknown)
}

#[cfg(test)]
mod tests {
    use vm::NicModel;

    use super::*;

    #[test]
    fn reads_the_slot_that_the_guest_saw() {
        for (number, want) in [
            (160, Some(160)),
            (192, Some(192)),
            (33, Some(33)),
            (1184, Some(161)),
            (2208, Some(162)),
            (8191, Some(1030)),
            (8192, None),
            (0, None),
            (u32::MAX, None),
        ] {
            let card = Nic { pci_slot: Some(number), ..Nic::default() };
            assert_eq!(shown_slot(&card), want, "{number}");
        }
        assert_eq!(shown_slot(&Nic::default()), None);
    }

    #[test]
    fn names_a_card_by_its_slot_or_its_place() {
        let nic = |model| vm::Nic {
            model,
            target: vm::NicTarget::User,
            mac: None,
            slot: None,
            link_up: true,
            boot_order: None,
        };
        let nics = [NicModel::E1000, NicModel::Vmxnet3, NicModel::E1000, NicModel::E1000].map(nic);
        for (chipset, want) in [
            (Chipset::Q35, ["ens1", "enp3s0", "enp5s1", "enp5s2"]),
            (Chipset::Pc, ["ens3", "ens4", "ens5", "ens6"]),
        ] {
            let layout = PciLayout::of(chipset, &nics);
            let cards = layout.cards.iter().flatten();
            let names: Vec<_> = cards.map(|card| on_kvm(&layout, chipset, *card)).collect();
            assert_eq!(names, want);
        }
    }
}
