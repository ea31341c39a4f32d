//! PCI bridges of network cards, and the slot numbers that they show.
//!
//! Linux names a card by the number of its hot-plug slot where the kernel shows one. A root port has
//! such a number, but ACPI hot-plug, which q35 has by default, answers for the port and shows none:
//! it is switched off for bridges, and the port's own hot-plug takes over. Measured with QEMU 7.2,
//! libvirt 9.0 and Linux 6.1.

use vm::{PciAddress, PciBridge, PciBridgeKind, PciLayout};
use xml::Element;

/// libvirt's namespace for what it hands to QEMU unread.
const QEMU: &str = "http://libvirt.org/schemas/domain/qemu/1.0";
/// Leaves hot-plug behind bridges to the ports themselves.
pub(crate) const SLOTS_SHOWN: [&str; 2] =
    ["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"];
/// How the alias of a port begins that shows the slot number behind it; libvirt keeps aliases that begin
/// with `ua-`.
pub(crate) const PORT_ALIAS: &str = "ua-nic";

/// The bridges that cards sit behind.
pub(super) fn controllers(layout: &PciLayout) -> impl Iterator<Item = Element<'static>> {
    layout.bridges.iter().map(controller)
}

fn controller(bridge: &PciBridge) -> Element<'static> {
    let (model, slot) = match bridge.kind {
        PciBridgeKind::RootPort { slot } => ("pcie-root-port", slot),
        PciBridgeKind::ToConventional => ("pcie-to-pci-bridge", None),
    };
    // Further functions of a device are only found if its first one says that there are some.
    let address = match (bridge.kind, bridge.address.function) {
        (PciBridgeKind::RootPort { .. }, 0) => address(bridge.address).with("multifunction", "on"),
        _ => address(bridge.address),
    };
    Element::new("controller")
        .with("type", "pci")
        .with_number("index", bridge.bus)
        .with("model", model)
        .holding(slot.map(|slot| Element::new("alias").with("name", alias(slot))))
        .holding([address])
}

/// The name of a port, by which its properties are set.
fn alias(slot: u16) -> String {
    format!("{PORT_ALIAS}{slot}")
}

pub(super) fn address(address: PciAddress) -> Element<'static> {
    let hex = |number: u8| format!("0x{number:02x}");
    Element::new("address")
        .with("type", "pci")
        .with("domain", "0x0000")
        .with("bus", hex(address.bus))
        .with("slot", hex(address.device))
        .with("function", format!("0x{:x}", address.function))
}

/// Adds what makes the ports show their slot numbers, where one is to.
pub(super) fn show_slots<'a>(domain: Element<'a>, layout: &PciLayout) -> Element<'a> {
    let slots: Vec<u16> = layout.bridges.iter().filter_map(shown).collect();
    if slots.is_empty() {
        return domain;
    }
    let arguments = SLOTS_SHOWN.map(|text| Element::new("qemu:arg").with("value", text));
    domain.with("xmlns:qemu", QEMU).holding([
        Element::new("qemu:commandline").holding(arguments),
        Element::new("qemu:override").holding(slots.into_iter().map(port)),
    ])
}

const fn shown(bridge: &PciBridge) -> Option<u16> {
    match bridge.kind {
        PciBridgeKind::RootPort { slot } => slot,
        PciBridgeKind::ToConventional => None,
    }
}

fn port(slot: u16) -> Element<'static> {
    let property = Element::new("qemu:property")
        .with("name", "slot")
        .with("type", "unsigned")
        .with_number("value", slot);
    Element::new("qemu:device")
        .with("alias", alias(slot))
        .holding([Element::new("qemu:frontend").holding([property])])
}
