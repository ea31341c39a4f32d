//! Memory.

use code::Code;
use vm::ByteSize;

use super::Scene;
use crate::{Note, Row};

/// The smallest memory that is built: 1 MiB, the limit of this product.
const MIN_MEMORY_BYTES: u64 = 1 << 20;

/// The greatest memory that is built: 64 TiB, the limit of this product.
const MAX_MEMORY_BYTES: u64 = 64 << 40;

/// The memory of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) bytes: u64,
    /// What it may grow to, more than `bytes`.
    pub(crate) max_bytes: Option<u64>,
}

/// Chooses the memory.
pub(crate) fn memory(scene: &Scene<'_>) -> (Memory, Row) {
    let stated = scene.system.compute.memory_bytes;
    let from = stated.map_or_else(|| "not stated".to_owned(), size_text);
    let wanted = scene.choices.memory_bytes.or(stated);
    let row = |bytes| Row::kept("memory", "memory", from.clone(), bytes);
    match wanted {
        None => {
            let note =
                Note::blocker(Code::E0304, "the descriptor names no memory that can be read")
                    .hint("--memory SIZE");
            (Memory { bytes: MIN_MEMORY_BYTES, max_bytes: None }, row(String::new()).note(note))
        }
        Some(bytes) if !(MIN_MEMORY_BYTES..=MAX_MEMORY_BYTES).contains(&bytes) => {
            let text = format!(
                "{bytes} bytes of memory, {MIN_MEMORY_BYTES} to {MAX_MEMORY_BYTES} are allowed"
            );
            let note = Note::blocker(Code::E0304, text).hint("--memory SIZE");
            (Memory { bytes: MIN_MEMORY_BYTES, max_bytes: None }, row(String::new()).note(note))
        }
        Some(bytes) => {
            let rounded = bytes.next_multiple_of(1024);
            let (max_bytes, room_note) = room(scene, rounded);
            let to = match max_bytes {
                Some(most) => {
                    format!("{}, up to {} while it runs", size_text(rounded), size_text(most))
                }
                None => size_text(rounded),
            };
            let mut row = row(to).note_if(room_note);
            if scene.choices.memory_bytes.is_some() {
                row = row.because("set by you").note_if(outside_memory(scene, bytes));
                if stated.is_some_and(|stated| stated != rounded) {
                    row = row.changed();
                }
            }
            (Memory { bytes: rounded, max_bytes }, row)
        }
    }
}

/// What the memory may grow to, which takes a ceiling from the user.
fn room(scene: &Scene<'_>, bytes: u64) -> (Option<u64>, Option<Note>) {
    let refuse =
        |text: String| (None, Some(Note::blocker(Code::E0304, text).hint("--max-memory SIZE")));
    match scene.choices.max_memory_bytes.map(|most| most.next_multiple_of(1024)) {
        Some(most) if most > MAX_MEMORY_BYTES => {
            refuse(format!("{most} bytes at most, {MAX_MEMORY_BYTES} are allowed"))
        }
        Some(most) if most > bytes => (Some(most), None),
        Some(most) if most < bytes => refuse(format!(
            "at most {} was asked for, and {} is built",
            size_text(most),
            size_text(bytes)
        )),
        None if scene.system.compute.memory_hot_add => {
            let text = "memory could be added on the old host; here its size is fixed";
            (None, Some(Note::new(Code::W0205, text).hint("--max-memory SIZE for room to grow")))
        }
        Some(_) | None => (None, None),
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
