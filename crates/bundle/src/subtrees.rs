//! The BLAKE3 of a long text whose parts come in any order.
//!
//! ```text
//! | head | 64 K | 128 K | … | 2 M |  4 M  |  4 M  | …          each a subtree of BLAKE3's own tree
//!   last   \------- chunk 0 -------/ chunk 1 chunk 2
//! ```
//!
//! BLAKE3 is a tree: what is hashed of a part depends on where the part lies and on nothing else, so the
//! digest is that of the bytes in order. The head may be known last.

use blake3::{
    Hash, Hasher,
    hazmat::{
        ChainingValue, HasherExt as _, Mode, left_subtree_len, merge_subtrees_non_root,
        merge_subtrees_root,
    },
};

use crate::{Error, Result};

/// The bytes of the head.
pub(crate) const HEAD_LEN: usize = 64 << 10;
/// The same, for offsets.
pub(crate) const HEAD_BYTES: u64 = 64 << 10;
/// The bytes of a chunk; chunk 0 has as many less the head, the last one may be short.
pub(crate) const CHUNK_LEN: usize = 4 << 20;
/// The same, for offsets.
pub(crate) const CHUNK_BYTES: u64 = 4 << 20;

/// The bytes of a piece, 64 of which are a chunk.
pub(crate) const PIECE_LEN: usize = HEAD_LEN;
/// The same, for offsets.
pub(crate) const PIECE_BYTES: u64 = HEAD_BYTES;

/// The hashed subtrees of one chunk: one, or those of chunk 0.
pub(crate) type Hashed = Vec<ChainingValue>;

/// Where a chunk begins.
pub(crate) const fn start_of(chunk: u64) -> u64 {
    if chunk == 0 { HEAD_BYTES } else { chunk.saturating_mul(CHUNK_BYTES) }
}

/// Which chunk a byte behind the head is in.
pub(crate) const fn chunk_of(offset: u64) -> u64 {
    offset / CHUNK_BYTES
}

/// Hashes the bytes of a chunk.
pub(crate) fn hash_chunk(chunk: u64, mut bytes: &[u8]) -> Hashed {
    if chunk > 0 {
        return vec![hash_at(start_of(chunk), bytes)];
    }
    let mut hashed = Hashed::new();
    let mut len = HEAD_LEN;
    while !bytes.is_empty() {
        let (part, rest) = bytes.split_at(len.min(bytes.len()));
        hashed.push(hash_at(len as u64, part));
        (bytes, len) = (rest, len.saturating_mul(2));
    }
    hashed
}

/// Hashes a piece at its offset, a multiple of its length; one at 0 is no subtree of a chunk.
pub(crate) fn hash_piece(offset: u64, bytes: &[u8]) -> ChainingValue {
    hash_at(offset, bytes)
}

/// The subtree that pieces in a row make, as many as a power of two; `None` of none.
pub(crate) fn merge_pieces(pieces: &[ChainingValue]) -> Option<ChainingValue> {
    let mut level = pieces.to_vec();
    while level.len() > 1 {
        let merge = |pair: &[ChainingValue]| match pair {
            [left, right] => merge_subtrees_non_root(left, right, Mode::Hash),
            _ => pair.first().copied().unwrap_or_default(),
        };
        level = level.chunks(2).map(merge).collect();
    }
    level.first().copied()
}

fn hash_at(offset: u64, bytes: &[u8]) -> ChainingValue {
    Hasher::new().set_input_offset(offset).update(bytes).finalize_non_root()
}

/// The digest of a text of `length_bytes`, of its head and the chunks behind that, in order.
///
/// # Errors
/// When a chunk is missing.
pub(crate) fn digest(length_bytes: u64, head: &[u8], chunks: &[Hashed]) -> Result<Hash> {
    if length_bytes <= HEAD_BYTES {
        return Ok(blake3::hash(head));
    }
    let tree = Tree { head: hash_at(0, head), chunks };
    let left = left_subtree_len(length_bytes);
    let (first, second) =
        (tree.node(0, left)?, tree.node(left, length_bytes.saturating_sub(left))?);
    Ok(merge_subtrees_root(&first, &second, Mode::Hash))
}

struct Tree<'a> {
    head: ChainingValue,
    chunks: &'a [Hashed],
}

impl Tree<'_> {
    /// The subtree of a range, as BLAKE3 divides a text.
    fn node(&self, start: u64, length_bytes: u64) -> Result<ChainingValue> {
        if start == 0 && length_bytes <= HEAD_BYTES {
            return Ok(self.head);
        }
        let most = if start < CHUNK_BYTES { start } else { CHUNK_BYTES };
        if length_bytes <= most {
            return self
                .leaf(start)
                .ok_or_else(|| Error::limit(format!("the chunk at byte {start} was not hashed")));
        }
        let left = left_subtree_len(length_bytes);
        let (behind, rest) = (start.saturating_add(left), length_bytes.saturating_sub(left));
        Ok(merge_subtrees_non_root(&self.node(start, left)?, &self.node(behind, rest)?, Mode::Hash))
    }

    fn leaf(&self, start: u64) -> Option<ChainingValue> {
        let chunk = chunk_of(start);
        let part = if chunk == 0 { (start / HEAD_BYTES).checked_ilog2()? } else { 0 };
        let hashed = self.chunks.get(usize::try_from(chunk).ok()?)?;
        hashed.get(usize::try_from(part).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_bytes_in_order() {
        let text = testkit::content(13 << 20);
        let (c, h) = (CHUNK_LEN, HEAD_LEN);
        for len in [
            0,
            1,
            1024,
            h - 1,
            h,
            h + 1,
            2 * h,
            2 * h + 1,
            3 * h,
            4 * h + 5,
            c - 1,
            c,
            c + 1,
            c + h,
            2 * c,
            2 * c + 1,
            3 * c - 1,
            3 * c + 77,
        ] {
            let text = &text[..len];
            let (head, rest) = text.split_at(len.min(h));
            let mut chunks = Vec::new();
            if !rest.is_empty() {
                let (first, others) = rest.split_at(rest.len().min(c - h));
                chunks.push(hash_chunk(0, first));
                chunks.extend(others.chunks(c).zip(1..).map(|(part, n)| hash_chunk(n, part)));
            }
            let found = digest(len as u64, head, &chunks).unwrap();
            assert_eq!(found, blake3::hash(text), "{len} bytes");
        }
        let error = digest(2 * c as u64, &text[..h], &[]).unwrap_err();
        assert_eq!(error.to_string(), "the chunk at byte 65536 was not hashed");
    }
}
