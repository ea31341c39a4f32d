//! Processors.

use code::Code;
use vm::{CpuFeature, Cpus, GuestFamily, Topology};

use super::Scene;
use crate::{
    Note, Row,
    guest::{GuestOs, Kind},
    source::Compute,
};

/// The greatest number of processors that is built, the limit of this product.
const MAX_CPUS: u32 = 4096;

/// Chooses the number of processors and how they are grouped.
pub(crate) fn cpus(scene: &Scene<'_>) -> (Cpus, Row) {
    let stated = scene.system.compute.vcpus;
    let (count, note) = match (scene.choices.vcpus, stated) {
        (Some(count), _) => (count, outside(scene, count)),
        (None, Some(count @ 1..=MAX_CPUS)) => (count, None),
        (None, Some(count)) => {
            let text = format!("{count} processors, 1 to {MAX_CPUS} are allowed");
            (1, Some(Note::blocker(Code::E0304, text).hint("--vcpus N")))
        }
        (None, None) => (
            1,
            Some(
                Note::new(Code::W0112, "the descriptor names no number; 1 taken").hint("--vcpus N"),
            ),
        ),
    };
    let from = stated.map_or_else(|| "not stated".to_owned(), |count| count.to_string());
    let reason = if scene.choices.vcpus.is_some() { "set by you" } else { "" };
    let (max_count, room_note) = room(scene, count);
    let (topology, topology_note) = topology(scene, max_count.unwrap_or(count));
    let to = match topology {
        Some(Topology { sockets, cores, threads }) if cores > 1 || threads > 1 => {
            format!("{count} ({sockets} × {cores} cores × {threads} threads)")
        }
        _ => count.to_string(),
    };
    let to = match max_count {
        Some(most) => format!("{to}, up to {most} while it runs"),
        None => to,
    };
    let nested = is_nested(scene);
    let cpus = Cpus {
        count,
        max_count,
        topology,
        model: scene.choices.cpu_model.clone(),
        features: if nested { vec![CpuFeature::Nested] } else { Vec::new() },
    };
    let nested_note = nested.then(|| {
        Note::new(Code::W0205, "virtual machines inside the guest work only where the host nests")
            .hint("cat /sys/module/kvm_*/parameters/nested")
    });
    let mut row = Row::kept("vcpu", "vCPU", from, to)
        .because(reason)
        .note_if(note)
        .note_if(topology_note)
        .note_if(room_note)
        .note_if(nested_note);
    if stated.is_some_and(|stated| stated != count) && !row.is_blocker() {
        row = row.changed();
    }
    (cpus, row)
}

/// Whether the guest runs machines of its own: it was let to, protects itself by one, or is ESXi.
fn is_nested(scene: &Scene<'_>) -> bool {
    let Scene { system, choices, guest, .. } = scene;
    let GuestOs { kind, .. } = guest;
    system.compute.nested || *kind == Kind::Esxi || system.wants_vbs(choices)
}

/// How many processors there may be, which takes a ceiling from the user.
fn room(scene: &Scene<'_>, count: u32) -> (Option<u32>, Option<Note>) {
    let Compute { cpu_hot_add, .. } = scene.system.compute;
    match scene.choices.max_vcpus {
        Some(most) if most > count => (Some(most), None),
        Some(most) if most < count => {
            let text = format!("at most {most} processors were asked for, and {count} are built");
            (None, Some(Note::blocker(Code::E0304, text).hint("--max-vcpus N")))
        }
        None if cpu_hot_add => {
            let text = "processors could be added on the old host; here the number is fixed";
            (None, Some(Note::new(Code::W0205, text).hint("--max-vcpus N for room to grow")))
        }
        Some(_) | None => (None, None),
    }
}

/// A note when the chosen number is outside the range that the package states.
fn outside(scene: &Scene<'_>, count: u32) -> Option<Note> {
    let (min, max) = scene.system.compute.vcpu_range;
    let count = u64::from(count);
    let text = match (min, max) {
        (Some(min), _) if count < min => {
            format!("{count} set by you, the package asks for {min} at least")
        }
        (_, Some(max)) if count > max => {
            format!("{count} set by you, the package allows {max} at most")
        }
        _ => return None,
    };
    Some(Note::new(Code::W0112, text))
}

/// Groups processors as the source does; libvirt refuses a product that is not the count.
fn topology(scene: &Scene<'_>, count: u32) -> (Option<Topology>, Option<Note>) {
    let threads = scene.system.compute.threads_per_core.unwrap_or(1).max(1);
    match scene.system.compute.cores_per_socket {
        Some(per_socket)
            if per_socket > 0
                && count.is_multiple_of(per_socket)
                && per_socket.is_multiple_of(threads) =>
        {
            let topology =
                Topology { sockets: count / per_socket, cores: per_socket / threads, threads };
            (Some(topology), None)
        }
        Some(per_socket) if per_socket > 1 => {
            let text = format!(
                "{per_socket} cores a socket do not divide {count} processors; left to the host"
            );
            (None, Some(Note::new(Code::W0107, text)))
        }
        _ if scene.guest.kind.family() == GuestFamily::Windows => {
            (Some(Topology { sockets: 1, cores: count, threads: 1 }), None)
        }
        _ => (None, None),
    }
}
