//! What was written is read again.

use proptest::prelude::*;
use vm::{Accelerator, GuestFamily, Machine, NicTarget, VideoModel};

use crate::{any_machine, machines};

/// Reads what the writer makes of a machine, and asserts that nothing in it is strange to the reader.
fn written_and_read(machine: &Machine) -> Machine {
    let text = domain::write(machine).expect("the machine is sound");
    let read = domain::read(text.as_bytes()).expect("the text is ours");
    assert_eq!(read.findings, [], "{text}");
    read.machine
}

/// Asserts that a host can take all that the writer makes of a machine, less the files that it hands to
/// the firmware.
fn assert_harmless(machine: &Machine) {
    let sound = Machine { fw_cfg: Vec::new(), ..machine.clone() };
    let text = domain::write(&sound).expect("the machine is sound");
    let scrubbed = domain::scrub(text.as_bytes()).expect("the text is ours");
    assert_eq!((scrubbed.text, scrubbed.findings), (text, Vec::new()));
    let text = domain::write(machine).expect("the machine is sound");
    let scrubbed = domain::scrub(text.as_bytes()).expect("the text is ours");
    assert_eq!(scrubbed.findings.len(), machine.fw_cfg.len(), "{:?}", scrubbed.findings);
}

/// The machine less what domain XML has no place for.
fn sayable(mut machine: Machine) -> Machine {
    for disk in &mut machine.disks {
        disk.capacity_bytes = 0;
    }
    for nic in &mut machine.nics {
        if nic.target == NicTarget::User && !nic.link_up {
            nic.target = NicTarget::None;
        }
        nic.link_up &= nic.target != NicTarget::None;
    }
    if let Some(video) = &mut machine.video
        && video.model == VideoModel::Virtio
    {
        video.memory_bytes = None;
    }
    let is_own_model = machine.accelerator == Accelerator::Kvm
        && machine.cpus.model.as_deref() == Some("host-model");
    if is_own_model {
        machine.cpus.model = None;
    }
    let count = machine.cpus.count;
    machine.cpus.max_count = machine.cpus.max_count.filter(|most| *most > count);
    if machine.guest.osinfo.is_none() {
        let is_told =
            machine.guest.family == GuestFamily::Windows && machine.accelerator == Accelerator::Kvm;
        machine.guest.family = if is_told { GuestFamily::Windows } else { GuestFamily::Unknown };
    }
    machine
}

#[test]
fn reads_every_machine_that_it_writes() {
    for machine in machines::all() {
        assert_eq!(written_and_read(&machine), sayable(machine));
    }
}

#[test]
fn writes_nothing_hostile() {
    for machine in machines::all() {
        assert_harmless(&machine);
    }
}

proptest! {
    #[test]
    fn writes_nothing_hostile_of_any_machine(machine in any_machine::machine()) {
        assert_harmless(&machine);
    }

    #[test]
    fn reads_any_machine_that_it_writes(machine in any_machine::machine()) {
        prop_assert_eq!(written_and_read(&machine), sayable(machine));
    }

    #[test]
    fn reads_or_refuses_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(domain::read(&bytes).is_err());
    }
}

/// Whatever byte of a sound document is spoilt, reading ends, and without a panic.
#[test]
fn reads_or_refuses_a_document_with_any_byte_spoilt() {
    let text = domain::write(&machines::everything_else()).expect("the machine is sound");
    for at in 0..text.len() {
        for spoilt in [b'<', b'"', b'/', b'9', b'&', 0] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = spoilt;
            let _either = domain::read(&bytes);
            let _drives = domain::drives(&bytes);
            if let Ok(scrubbed) = domain::scrub(&bytes) {
                let again = domain::scrub(scrubbed.text.as_bytes()).expect("the rest is sound");
                assert_eq!(again.findings, [], "{}", scrubbed.text);
            }
        }
    }
}
