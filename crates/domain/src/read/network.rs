//! Network cards.

use code::Code;
use vm::{MacAddress, Nic, NicModel, NicTarget};

use super::devices;
use crate::{
    Error,
    document::{Element, Shown},
    notes::Notes,
    write::PORT_ALIAS,
};

/// Every model, to find one by its name.
const MODELS: [NicModel; 6] = [
    NicModel::Virtio,
    NicModel::Vmxnet3,
    NicModel::E1000,
    NicModel::E1000e,
    NicModel::Pcnet,
    NicModel::Rtl8139,
];

pub(super) fn cards(root: &Element<'_>, notes: &mut Notes<'_>) -> Result<Vec<Nic>, Error> {
    devices(root, "interface")
        .map(|interface| {
            let slot = port(root, interface).and_then(slot);
            Ok(Nic { slot, ..card(interface, notes)? })
        })
        .collect()
}

/// The PCI controller that a card sits behind.
fn port<'a, 't>(root: &'a Element<'t>, interface: &Element<'_>) -> Option<&'a Element<'t>> {
    let bus = interface.child_value("address", "bus")?;
    let bus = u16::from_str_radix(bus.trim_start_matches("0x"), 16).ok()?;
    devices(root, "controller").find(|controller| {
        let index = controller.value("index").and_then(|index| index.parse::<u16>().ok());
        controller.value("type") == Some("pci") && index == Some(bus)
    })
}

/// The slot number that a port shows, by the alias that the writer gives such a port.
fn slot(port: &Element<'_>) -> Option<u16> {
    port.child_value("alias", "name")?.strip_prefix(PORT_ALIAS)?.parse().ok()
}

fn card(interface: &Element<'_>, notes: &mut Notes<'_>) -> Result<Nic, Error> {
    let is_up = interface.child_value("link", "state") != Some("down");
    let target = match target(interface, notes)? {
        // How the writer puts a card that is plugged into nothing.
        NicTarget::User if !is_up => NicTarget::None,
        target => target,
    };
    let link_up = is_up && target != NicTarget::None;
    let boot = interface.first("boot").map(|boot| notes.short(boot, "order"));
    Ok(Nic {
        model: model(interface, notes),
        target,
        mac: mac(interface, notes)?,
        link_up,
        slot: None,
        boot_order: boot.transpose()?.flatten(),
    })
}

/// A document without a model means the card that libvirt takes for x86, and so writes.
fn model(interface: &Element<'_>, notes: &mut Notes<'_>) -> NicModel {
    let Some(name) = interface.child_value("model", "type") else { return NicModel::Rtl8139 };
    if let Some(model) = MODELS.into_iter().find(|model| model.as_str() == name) {
        return model;
    }
    let taken = if name.starts_with("virtio-") { NicModel::Virtio } else { NicModel::E1000 };
    let message = format!("the card {} is read as {}", Shown(name), taken.as_str());
    notes.note(interface, Code::W0102, message);
    taken
}

fn mac(interface: &Element<'_>, notes: &Notes<'_>) -> Result<Option<MacAddress>, Error> {
    let Some(text) = interface.child_value("mac", "address") else { return Ok(None) };
    let malformed = || {
        let message = format!("{} is no Ethernet address", Shown(text));
        notes.contradiction(interface, &message)
    };
    text.parse().map(Some).map_err(|_| malformed())
}

fn target(interface: &Element<'_>, notes: &mut Notes<'_>) -> Result<NicTarget, Error> {
    let kind = interface.value("type").unwrap_or_default();
    let source = |name| interface.child_value("source", name).map(str::to_owned);
    let missing = |what| {
        let message = format!("the card is on no {what}");
        notes.contradiction(interface, &message)
    };
    match kind {
        "network" => {
            let name = source("network").ok_or_else(|| missing("network"))?;
            note_tags(interface, notes);
            Ok(NicTarget::Network(name))
        }
        "bridge" => {
            let name = source("bridge").ok_or_else(|| missing("bridge"))?;
            Ok(NicTarget::Bridge { name, vlan: vlan(interface, notes)? })
        }
        "user" => Ok(NicTarget::User),
        "null" => Ok(NicTarget::None),
        _ => {
            let message = format!("a network of type {} is not read: no network", Shown(kind));
            notes.note(interface, Code::W0301, message);
            Ok(NicTarget::None)
        }
    }
}

/// The one tag of a card; a trunk of several has no place in a machine.
fn vlan(interface: &Element<'_>, notes: &mut Notes<'_>) -> Result<Option<u16>, Error> {
    let Some(vlan) = interface.first("vlan") else { return Ok(None) };
    let mut tags = vlan.all("tag");
    match (tags.next(), tags.next()) {
        (Some(tag), None) if vlan.value("trunk").is_none() => notes.short(tag, "id"),
        _ => {
            notes.leave_out(vlan, Code::W0204, "a trunk of VLANs is not carried over");
            Ok(None)
        }
    }
}

fn note_tags(interface: &Element<'_>, notes: &mut Notes<'_>) {
    if let Some(vlan) = interface.first("vlan") {
        notes.leave_out(vlan, Code::W0204, "a VLAN on a libvirt network is not carried over");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::{document, read_devices, refusal};

    fn read_card(card: &str) -> (Nic, Vec<String>) {
        let (mut machine, findings) = read_devices(card);
        (machine.nics.remove(0), findings)
    }

    #[test]
    fn reads_a_card_of_a_running_machine() {
        let (nic, findings) = read_card(
            "<interface type='bridge'><mac address='52:54:00:AA:bb:01'/>\
             <source network='lan' portid='7ad0' bridge='br0'/><vlan><tag id='42'/></vlan>\
             <target dev='vnet3'/><model type='e1000e'/><link state='up'/>\
             <boot order='2'/><alias name='net0'/><address type='pci' slot='0x03'/></interface>",
        );
        assert_eq!(findings, [""; 0]);
        assert_eq!(
            nic,
            Nic {
                model: NicModel::E1000e,
                target: NicTarget::Bridge { name: "br0".into(), vlan: Some(42) },
                mac: Some(MacAddress([0x52, 0x54, 0, 0xaa, 0xbb, 1])),
                link_up: true,
                slot: None,
                boot_order: Some(2),
            }
        );
    }

    #[test]
    fn says_what_a_card_becomes_whose_model_or_network_is_not_known() {
        let (nic, findings) =
            read_card("<interface type='direct'><model type='ne2k_pci'/></interface>");
        assert_eq!((nic.model, nic.target, nic.link_up), (NicModel::E1000, NicTarget::None, false));
        let path = "/domain/devices/interface";
        assert_eq!(
            findings,
            [
                format!(r#"W0301 {path}: a network of type "direct" is not read: no network"#),
                format!(r#"W0102 {path}: the card "ne2k_pci" is read as e1000"#),
            ]
        );
    }

    #[test]
    fn leaves_out_a_trunk_and_the_tag_of_a_network() {
        for (start, vlan, want) in [
            (
                "bridge'><source bridge='b'/>",
                "<vlan trunk='yes'><tag id='1'/><tag id='2'/></vlan>",
                "a trunk of VLANs is not carried over",
            ),
            (
                "network'><source network='n'/>",
                "<vlan><tag id='1'/></vlan>",
                "a VLAN on a libvirt network is not carried over",
            ),
        ] {
            let (_, findings) = read_card(&format!("<interface type='{start}{vlan}</interface>"));
            assert_eq!(findings, [format!("W0204 /domain/devices/interface/vlan: {want}")]);
        }
    }

    #[test]
    fn refuses_what_libvirt_refuses() {
        for (card, want) in [
            ("<interface type='network'/>", "the card is on no network"),
            ("<interface type='bridge'/>", "the card is on no bridge"),
            (
                "<interface type='user'><mac address='1:2'/></interface>",
                r#""1:2" is no Ethernet address"#,
            ),
        ] {
            let want = format!("{want} (/domain/devices/interface, line 1)");
            assert_eq!(refusal(&document("", card)), want);
        }
    }
}
