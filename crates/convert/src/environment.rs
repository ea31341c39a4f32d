//! What a guest is told in its OVF environment.

use ovf::{
    environment::{Card, Entity, Environment},
    selection::SelectedProperty,
};
use vm::Machine;

use crate::source::System;

/// VMware counts the cards of a machine from 7.
const FIRST_CARD_UNIT: u32 = 7;

/// The transport of VMware's own back door.
const GUEST_INFO: &str = "com.vmware.guestInfo";

/// The name under which the guest finds the document in QEMU's firmware configuration.
pub const FW_CFG_NAME: &str = "opt/com.vmware/guestinfo.ovfEnv";

/// Whether the package wants the guest to read the document through VMware's back door.
#[must_use]
pub fn wants_guest_info(system: &System) -> bool {
    system.remarks.transports.iter().any(|word| word.eq_ignore_ascii_case(GUEST_INFO))
}

/// The environment of a machine, beside the others of its package.
#[must_use]
pub fn environment(system: &System, machine: &Machine, others: &[&System]) -> Environment {
    let cards = machine.nics.iter().zip(&system.nics).zip(FIRST_CARD_UNIT..);
    let card = |((nic, source), unit): ((&vm::Nic, &crate::source::Nic), u32)| {
        let mac = nic.mac?.to_string();
        Some(Card { mac, network: source.network.clone().unwrap_or_default(), unit })
    };
    let is_sibling =
        |other: &&&System| other.handle != system.handle && other.collections == system.collections;
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        own: entity(system),
        cards: cards.filter_map(card).collect(),
        siblings: others.iter().filter(is_sibling).map(|other| entity(other)).collect(),
    }
}

fn entity(system: &System) -> Entity {
    let properties = system.remarks.properties.iter();
    Entity {
        id: system.id.clone().unwrap_or_else(|| system.handle.clone()),
        properties: properties.map(|one| (one.key.clone(), value(one))).collect(),
    }
}

/// The value as guests expect it: truth values begin with a capital.
fn value(property: &SelectedProperty) -> String {
    let value = property.value.clone().unwrap_or_default();
    match (property.kind.as_str(), value.to_ascii_lowercase().as_str()) {
        ("boolean", "true" | "1" | "yes") => "True".to_owned(),
        ("boolean", "false" | "0" | "no") => "False".to_owned(),
        _ => value,
    }
}
