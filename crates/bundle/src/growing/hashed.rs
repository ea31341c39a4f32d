//! Which parts of a member are hashed, while it is written in any order.
//!
//! ```text
//! write: | piece | piece | ... 64 of 64 KiB each --> one subtree a chunk of 4 MiB
//!           \ a part of a piece, or one that is hashed already: unknown, read back at the end
//! ```
//!
//! What is written once in whole pieces, as the clusters of an image are, is hashed while it is in the
//! processor's cache, and not read again.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use blake3::hazmat::ChainingValue;

use crate::subtrees::{CHUNK_BYTES, PIECE_BYTES, PIECE_LEN, chunk_of, hash_piece, merge_pieces};

/// The pieces of a chunk.
const PIECES: usize = 64;

/// The subtrees that are known.
#[derive(Default)]
pub(super) struct KnownChunks {
    chunks: Mutex<HashMap<u64, Chunk>>,
}

/// What is known of a chunk.
enum Chunk {
    /// Some of its pieces.
    Open { pieces: Box<[Option<ChainingValue>; PIECES]>, known: usize },
    /// All of it, as one subtree.
    Whole(ChainingValue),
    /// Something of it was written in parts, or twice: it is read back.
    Unknown,
}

impl KnownChunks {
    /// Hashes what was written at an offset of the member.
    pub(super) fn written(&self, bytes: &[u8], offset: u64) {
        let misfit = usize::try_from(offset.next_multiple_of(PIECE_BYTES).saturating_sub(offset));
        let (front, rest) = bytes.split_at(misfit.unwrap_or(usize::MAX).min(bytes.len()));
        self.forget(offset, front.len() as u64);
        let mut at = offset.saturating_add(front.len() as u64);
        let pieces = rest.chunks_exact(PIECE_LEN);
        let tail = pieces.remainder().len() as u64;
        let hashed: Vec<_> = pieces
            .map(|piece| {
                let here = (at, hash_piece(at, piece));
                at = at.saturating_add(PIECE_BYTES);
                here
            })
            .collect();
        let mut chunks = self.lock();
        for (at, value) in hashed {
            chunks.entry(chunk_of(at)).or_insert_with(Chunk::open).learn(at, value);
        }
        drop(chunks);
        self.forget(at, tail);
    }

    /// What lies at an offset is not known any more.
    pub(super) fn forget(&self, offset: u64, len_bytes: u64) {
        let Some(last) = len_bytes.checked_sub(1) else { return };
        let mut chunks = self.lock();
        for chunk in chunk_of(offset)..=chunk_of(offset.saturating_add(last)) {
            chunks.insert(chunk, Chunk::Unknown);
        }
    }

    /// The subtree of a whole chunk, if it is known.
    pub(super) fn of(&self, chunk: u64) -> Option<ChainingValue> {
        match self.lock().get(&chunk) {
            Some(Chunk::Whole(value)) => Some(*value),
            _ => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Chunk>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chunk {
    fn open() -> Self {
        Self::Open { pieces: Box::new([None; PIECES]), known: 0 }
    }

    /// Notes a piece; the last one makes the chunk whole.
    fn learn(&mut self, at: u64, value: ChainingValue) {
        let number = usize::try_from(at % CHUNK_BYTES / PIECE_BYTES).unwrap_or(usize::MAX);
        let Self::Open { pieces, known } = self else {
            *self = Self::Unknown;
            return;
        };
        match pieces.get_mut(number) {
            Some(piece @ None) => *piece = Some(value),
            _ => {
                *self = Self::Unknown;
                return;
            }
        }
        *known = known.saturating_add(1);
        if *known == PIECES {
            let all: Vec<_> = pieces.iter().flatten().copied().collect();
            *self = merge_pieces(&all).map_or(Self::Unknown, Self::Whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subtrees::{CHUNK_LEN, hash_chunk};

    #[test]
    fn pieces_in_any_order_make_the_subtree_of_their_chunk() {
        let text = testkit::content(3 * CHUNK_BYTES);
        let known = KnownChunks::default();
        let mut at: Vec<usize> = (CHUNK_LEN..3 * CHUNK_LEN).step_by(2 * PIECE_LEN).collect();
        at.reverse();
        for at in at {
            assert_eq!(known.of(1), None);
            known.written(&text[at..at + 2 * PIECE_LEN], at as u64);
        }
        for chunk in [1, 2] {
            let bytes = &text[chunk * CHUNK_LEN..(chunk + 1) * CHUNK_LEN];
            let chunk = chunk as u64;
            assert_eq!(known.of(chunk).map(|it| vec![it]), Some(hash_chunk(chunk, bytes)));
        }
    }

    #[test]
    fn what_is_written_in_parts_or_twice_is_not_known() {
        let chunk = vec![3; CHUNK_LEN];
        let at = CHUNK_LEN as u64;
        for (offset, len) in [(at, 1), (2 * at - 1, 2), (at + 7, PIECE_LEN), (at, PIECE_LEN)] {
            let known = KnownChunks::default();
            known.written(&chunk, at);
            assert!(known.of(1).is_some());
            known.written(&vec![4; len], offset);
            assert_eq!(known.of(1), None, "{len} bytes at {offset}");
            known.written(&chunk, at);
            assert_eq!(known.of(1), None, "it stays unknown");
        }
        let known = KnownChunks::default();
        known.written(&chunk, at);
        known.forget(at + 5, 1);
        known.forget(at + 5, 0);
        assert_eq!(known.of(1), None);
    }
}
