//! What a machine has in common with one that is on the host already, and what it needs there.

use code::Code;
use convert::Note;
use vm::{Machine, NicTarget};

use super::{Choices, OnConflict, Restored, target::HostFacts};

/// What keeps the host from taking a machine as it is planned; `no_network` is the way out where a
/// network is missing.
pub(super) fn of(
    machine: &Machine,
    host: &HostFacts,
    (choices, no_network): (&Choices, &str),
) -> Vec<Note> {
    let mut notes = Vec::new();
    let replaced = host.standing.as_ref().filter(|_| choices.restored != Restored::AsNew);
    let replaced = replaced.map(|standing| standing.uuid);
    if host.machine(&machine.name).is_some_and(|known| Some(known.uuid) != replaced) {
        let text = format!("{} has a machine called {} already", host.uri, machine.name);
        let hint = match choices.on_conflict {
            OnConflict::Fail => "--name NAME, or --on-conflict rename",
            OnConflict::Rename => "--name NAME",
        };
        notes.push(Note::blocker(Code::E0503, text).hint(hint));
    }
    let others = || {
        let others = host.machines.iter().filter(|other| other.name != machine.name);
        others.filter(move |other| Some(other.uuid) != replaced)
    };
    if let Some(other) = others().find(|other| Some(other.uuid) == machine.uuid) {
        let text = format!("the machine {} has the UUID {}", other.name, other.uuid);
        notes.push(Note::blocker(Code::E0503, text).hint("leave --uuid keep out"));
    }
    for mac in machine.nics.iter().filter_map(|nic| nic.mac) {
        if let Some(other) = others().find(|other| other.macs.contains(&mac)) {
            let text = format!("a card of the machine {} has the address {mac}", other.name);
            notes.push(Note::blocker(Code::E0503, text).hint("leave --mac keep out"));
        }
    }
    notes.extend(networks(machine, host, (choices, no_network)));
    notes
}

fn networks(
    machine: &Machine,
    host: &HostFacts,
    (choices, no_network): (&Choices, &str),
) -> Vec<Note> {
    let mut asked: Vec<&str> = Vec::new();
    for nic in &machine.nics {
        if let NicTarget::Network(name) = &nic.target
            && !asked.contains(&name.as_str())
        {
            asked.push(name);
        }
    }
    let mut notes = Vec::new();
    for name in asked {
        match host.networks.iter().find(|network| network.name == name) {
            None => {
                let text = format!("{} has no network called {name}", host.uri);
                notes.push(Note::blocker(Code::E0504, text).hint(no_network));
            }
            Some(network) if choices.start && !network.is_active => {
                let text = format!("the network {name} is not started");
                let hint = format!("virsh net-start {name}, or leave --start out");
                notes.push(Note::blocker(Code::E0504, text).hint(hint));
            }
            Some(_) => {}
        }
    }
    notes
}
