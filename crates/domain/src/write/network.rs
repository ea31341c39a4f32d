//! Network cards.

use vm::{Nic, NicTarget, PciAddress};

use super::{pci, storage::boot};
use xml::Element;

/// A card, with its cable pulled where the machine has it so.
///
/// A card that is plugged into nothing becomes one on libvirt's user network with the link down:
/// libvirt's `null` interface is newer than 9.0's QEMU driver, and every other kind needs something
/// of the host that may not be there. A VLAN tag on a plain Linux bridge needs libvirt 11.0; older
/// ones take it for Open vSwitch only.
pub(super) fn interface(nic: &Nic, address: Option<PciAddress>) -> Element<'_> {
    let (kind, source, vlan) = match &nic.target {
        NicTarget::Network(name) => ("network", Some(source("network", name)), None),
        NicTarget::Bridge { name, vlan } => ("bridge", Some(source("bridge", name)), *vlan),
        NicTarget::User | NicTarget::None => ("user", None, None),
    };
    let is_down = !nic.link_up || nic.target == NicTarget::None;
    Element::new("interface")
        .with("type", kind)
        .holding(nic.mac.map(|mac| Element::new("mac").with("address", mac.to_string())))
        .holding(source)
        .holding(vlan.map(tagged))
        .holding([Element::new("model").with("type", nic.model.as_str())])
        .holding(is_down.then(|| Element::new("link").with("state", "down")))
        .holding(nic.boot_order.map(boot))
        .holding(address.map(pci::address))
}

fn source<'a>(kind: &'static str, name: &'a str) -> Element<'a> {
    Element::new("source").with(kind, name)
}

fn tagged(id: u16) -> Element<'static> {
    Element::new("vlan").holding([Element::new("tag").with_number("id", id)])
}
