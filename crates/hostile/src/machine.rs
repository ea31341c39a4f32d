//! What a source says, on its way to a domain XML.

use std::path::PathBuf;

use convert::{Choices, Converted, Identity, Profile, domain_name, map_hardware, source::System};
use vm::Machine;

/// Builds the machines of a source twice, as much like it as can be and with virtio.
pub(crate) fn build(systems: &[System]) {
    for profile in [Profile::Compat, Profile::Virtio] {
        let choices = Choices { profile, ..Choices::default() };
        for system in systems {
            one(system, &choices, systems);
        }
    }
}

/// The text for libvirt of the machine that a source becomes, if there is one.
pub(crate) fn definition(system: &System) -> Option<String> {
    domain::write(&built(system, &Choices::default())).ok()
}

/// Builds one machine, and tells the guest and another importer of it.
///
/// # Panics
///
/// When what was written for libvirt is not read again as the same.
fn one(system: &System, choices: &Choices, all: &[System]) {
    let machine = built(system, choices);
    drop(convert::environment(system, choices, &machine, all).write());
    drop(convert::to_ovf(&machine, convert::Reader::default()));
    // A machine that cannot be written is refused, and each item has said why.
    let Ok(text) = domain::write(&machine) else { return };
    let read = domain::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert_eq!(read.findings, [], "{text}");
    assert_eq!(domain::write(&read.machine).ok(), Some(text), "what was read is what was written");
}

/// The machine of a source, with an image for each disk and drive.
fn built(system: &System, choices: &Choices) -> Machine {
    let name = domain_name(system.name.as_deref().unwrap_or(&system.handle));
    let identity = Identity::new(b"source", &system.handle, &name);
    let Converted { mut machine, media, .. } = map_hardware(system, choices, &name, &identity);
    for disk in &mut machine.disks {
        disk.image = PathBuf::from(format!("/images/{}.qcow2", disk.id.0));
    }
    for medium in &media {
        machine.removables[medium.removable].image = Some("/images/medium.iso".into());
    }
    machine
}
