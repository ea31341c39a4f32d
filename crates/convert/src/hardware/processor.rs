//! Processors and memory.

use code::Code;
use vm::{ByteSize, CpuFeature, Cpus, GuestFamily, Topology};

use super::Scene;
use crate::{Note, Row};

/// The smallest memory that is built: 1 MiB, the limit of this product.
const MIN_MEMORY_BYTES: u64 = 1 << 20;

/// The greatest memory that is built: 64 TiB, the limit of this product.
const MAX_MEMORY_BYTES: u64 = 64 << 40;

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
    let (topology, topology_note) = topology(scene, count);
    let to = match topology {
        Some(Topology { sockets, cores, threads }) if cores > 1 || threads > 1 => {
            format!("{count} ({sockets} × {cores} cores × {threads} threads)")
        }
        _ => count.to_string(),
    };
    let cpus = Cpus {
        count,
        topology,
        model: scene.choices.cpu_model.clone(),
        features: if scene.system.compute.nested { vec![CpuFeature::Nested] } else { Vec::new() },
    };
    let mut row =
        Row::kept("vcpu", "vCPU", from, to).because(reason).note_if(note).note_if(topology_note);
    if stated.is_some_and(|stated| stated != count) && !row.is_blocker() {
        row = row.changed();
    }
    (cpus, row)
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

/// Chooses the memory.
pub(crate) fn memory(scene: &Scene<'_>) -> (u64, Row) {
    let stated = scene.system.compute.memory_bytes;
    let from = stated.map_or_else(|| "not stated".to_owned(), size_text);
    let wanted = scene.choices.memory_bytes.or(stated);
    let row = |bytes| Row::kept("memory", "memory", from.clone(), bytes);
    match wanted {
        None => {
            let note =
                Note::blocker(Code::E0304, "the descriptor names no memory that can be read")
                    .hint("--memory SIZE");
            (MIN_MEMORY_BYTES, row(String::new()).note(note))
        }
        Some(bytes) if !(MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES).contains(&bytes) => {
            let text = format!(
                "{bytes} bytes of memory, {MIN_MEMORY_BYTES} to {MAX_MEMORY_BYTES} are allowed"
            );
            let note = Note::blocker(Code::E0304, text).hint("--memory SIZE");
            (MIN_MEMORY_BYTES, row(String::new()).note(note))
        }
        Some(bytes) => {
            let rounded = bytes.next_multiple_of(1024);
            let mut row = row(size_text(rounded));
            if scene.choices.memory_bytes.is_some() {
                row = row.because("set by you").note_if(outside_memory(scene, bytes));
                if stated.is_some_and(|stated| stated != rounded) {
                    row = row.changed();
                }
            }
            (rounded, row)
        }
    }
}

fn outside_memory(scene: &Scene<'_>, bytes: u64) -> Option<Note> {
    let (min, max) = scene.system.compute.memory_range_bytes;
    let text = match (min, max) {
        (Some(min), _) if bytes < min => {
            format!(
                "{} set by you, the package asks for {} at least",
                ByteSize(bytes),
                ByteSize(min)
            )
        }
        (_, Some(max)) if bytes > max => {
            format!("{} set by you, the package allows {} at most", ByteSize(bytes), ByteSize(max))
        }
        _ => return None,
    };
    Some(Note::new(Code::W0112, text))
}

fn size_text(bytes: u64) -> String {
    ByteSize(bytes).to_string()
}
