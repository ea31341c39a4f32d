//! Network cards.

use code::Code;
use ovf::{
    descriptor::resource,
    writer::{Item, Setting},
};
use vm::{Nic, NicModel, NicTarget};

use super::{Draft, Reader};
use crate::{Note, Row};

/// Writes the cards in their order; gives the names of their networks, each once.
pub(super) fn cards(draft: &mut Draft<'_>) -> Vec<String> {
    let mut networks: Vec<String> = Vec::new();
    for (at, nic) in draft.machine.nics.iter().enumerate() {
        let network = network(&nic.target);
        card(draft, at, nic, network.as_deref());
        networks.extend(network.filter(|name| !networks.contains(name)));
    }
    networks
}

fn card(draft: &mut Draft<'_>, at: usize, nic: &Nic, network: Option<&str>) {
    let (subtype, why) = name(nic.model, draft.reader);
    let slot = nic.slot.map(|slot| Setting::new("slotInfo.pciSlotNumber", slot.to_string()));
    let item = Item {
        settings: slot.into_iter().collect(),
        address: nic.mac.map(|mac| mac.to_string()),
        connection: network.map(str::to_owned),
        connected: Some(nic.link_up),
        subtype: Some(subtype.to_owned()),
        ..Item::new(0, resource::ETHERNET, format!("Network adapter {}", at + 1))
    };
    draft.add(item, nic.boot_order);
    let to = format!("{subtype} → {}", network.unwrap_or("no network"));
    let row = Row::kept(&format!("nic{at}"), &format!("nic {at}"), nic.model.as_str(), to);
    draft.say(match why {
        Some(why) => row.changed().note(Note::new(Code::W0102, why)),
        None => row,
    });
}

/// The name of what a card is plugged into.
fn network(target: &NicTarget) -> Option<String> {
    match target {
        NicTarget::Network(name) | NicTarget::Bridge { name, vlan: None } => Some(name.clone()),
        NicTarget::Bridge { name, vlan: Some(tag) } => Some(format!("{name}-vlan{tag}")),
        NicTarget::User => Some("NAT".to_owned()),
        NicTarget::None => None,
    }
}

/// The table of models, and why a card becomes another one.
const fn name(model: NicModel, reader: Reader) -> (&'static str, Option<&'static str>) {
    const VIRTIO: &str = "the reader has no virtio cards; every Linux of today drives this one";
    const RTL: &str = "the reader has no RTL8139";
    const VBOX: &str = "VirtualBox has no such card";
    match (model, reader) {
        (NicModel::Virtio, Reader::Generic | Reader::VirtualBox) => ("virtio", None),
        (NicModel::Virtio, Reader::Vmware) => ("VmxNet3", Some(VIRTIO)),
        (NicModel::Rtl8139, Reader::Generic) => ("rtl8139", None),
        (NicModel::Rtl8139, _) => ("E1000", Some(RTL)),
        (NicModel::Vmxnet3 | NicModel::E1000e, Reader::VirtualBox) => ("E1000", Some(VBOX)),
        (NicModel::Vmxnet3, _) => ("VmxNet3", None),
        (NicModel::E1000e, _) => ("E1000e", None),
        (NicModel::E1000, _) => ("E1000", None),
        (NicModel::Pcnet, _) => ("PCNet32", None),
    }
}
