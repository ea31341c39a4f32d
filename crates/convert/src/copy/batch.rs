//! Work for one worker: some clusters, and where their content comes from.

use std::ops::Range;

use disk::{CLUSTER_BYTES, Extent, ExtentKind, Kept, Piece};

use super::cluster_of;

/// Clusters of a batch that holds one run which cannot be cut: 2 MiB, the largest cluster of qcow2
/// (the QCOW2 specification, `cluster_bits`).
pub(super) const MAX_BATCH_CLUSTERS: usize = 32;

/// A cluster as a length in memory.
pub(super) const CLUSTER: usize = CLUSTER_BYTES as usize;

/// Some clusters of the disk and a buffer for them; used again and again.
pub(super) struct Batch {
    /// Its place in the order of batches.
    pub(super) number: u64,
    /// Which cluster of the disk each cluster of the batch is, rising.
    pub(super) clusters: Vec<u64>,
    /// What each of them is, once decoded.
    pub(super) contents: Vec<Content>,
    /// The bytes that are to be written.
    pub(super) buffer: Vec<u8>,
    /// Clusters behind those that are zeros, and have no content.
    pub(super) zeros_behind: Range<u64>,
    /// Guest bytes that the parts and the zeros behind them cover.
    pub(super) covered_bytes: u64,
    /// The largest grain that one of the parts is, or is a part of.
    pub(super) largest_unit_bytes: u64,
    parts: Vec<Part>,
    spare_pieces: Vec<Piece>,
    /// How many clusters it is filled with, where they can be cut.
    room: usize,
}

/// What a cluster of a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Zeros: they are told, not written.
    Zero,
    /// As the guest sees it, from this byte of the buffer on.
    Plain {
        /// The first byte.
        at: usize,
    },
    /// A compressed stream in the buffer.
    Stream {
        /// The first byte.
        at: usize,
        /// How many there are.
        len: usize,
    },
    /// In the file already.
    Kept(Kept),
}

/// Where a run of the batch comes from.
pub(super) struct Part {
    /// Where it starts, as if the clusters of the batch lay one behind the other.
    pub(super) at: usize,
    pub(super) source: PartSource,
}

pub(super) enum PartSource {
    Extent(Extent),
    Piece(Piece),
}

impl Part {
    /// The guest bytes of the run, which the size of a batch bounds.
    pub(super) fn len(&self) -> usize {
        match &self.source {
            PartSource::Extent(extent) => extent.len_bytes as usize,
            PartSource::Piece(piece) => piece.len_bytes as usize,
        }
    }

    pub(super) fn end(&self) -> usize {
        self.at + self.len()
    }
}

impl Batch {
    /// A batch that is good for `read_bytes` at once, as an image says, but within its limit.
    pub(super) fn new(read_bytes: u64) -> Self {
        let room = usize::try_from(read_bytes / CLUSTER_BYTES).unwrap_or(usize::MAX);
        let room = room.clamp(1, MAX_BATCH_CLUSTERS);
        Self {
            number: 0,
            clusters: Vec::with_capacity(room),
            contents: Vec::with_capacity(room),
            buffer: Vec::new(),
            zeros_behind: 0..0,
            covered_bytes: 0,
            largest_unit_bytes: 0,
            parts: Vec::new(),
            spare_pieces: Vec::new(),
            room,
        }
    }

    /// Empties the batch for its next use.
    pub(super) fn clear(&mut self) {
        self.clusters.clear();
        self.contents.clear();
        self.parts.clear();
        self.zeros_behind = 0..0;
        self.covered_bytes = 0;
        self.largest_unit_bytes = 0;
    }

    /// Adds an extent for which [`reserve`](Self::reserve) made room.
    pub(super) fn push_extent(&mut self, at: usize, extent: Extent) {
        let unit_bytes = match extent.kind {
            ExtentKind::Stored { .. } => extent.len_bytes,
            ExtentKind::StoredPart { whole_len_bytes, .. } => whole_len_bytes,
            ExtentKind::Data { .. } | ExtentKind::Zero | ExtentKind::Hole => 0,
        };
        self.largest_unit_bytes = self.largest_unit_bytes.max(unit_bytes);
        self.parts.push(Part { at, source: PartSource::Extent(extent) });
    }

    /// Adds a piece for which [`reserve`](Self::reserve) made room, and gives another one to be filled.
    pub(super) fn push_piece(&mut self, at: usize, piece: Piece) -> Piece {
        if piece.stored().is_some() {
            self.largest_unit_bytes = self.largest_unit_bytes.max(piece.len_bytes);
        }
        self.parts.push(Part { at, source: PartSource::Piece(piece) });
        self.spare_pieces.pop().unwrap_or_default()
    }

    pub(super) fn take_parts(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.parts)
    }

    /// Keeps the buffers of parts that are decoded.
    pub(super) fn give_back_parts(&mut self, mut parts: Vec<Part>) {
        self.spare_pieces.extend(parts.drain(..).filter_map(|part| match part.source {
            PartSource::Piece(piece) => Some(piece),
            PartSource::Extent(_) => None,
        }));
        self.parts = parts;
    }

    /// Makes room for a run of the disk; `None` when the batch is too full for it.
    ///
    /// A run that starts in the batch's last cluster, or in an empty batch, may make it longer than
    /// others: it must not be cut, and no cluster may be written by two batches.
    pub(super) fn reserve(&mut self, start_bytes: u64, len_bytes: u64) -> Option<usize> {
        let first = cluster_of(start_bytes);
        let last = cluster_of(start_bytes + len_bytes - 1);
        let shared = self.ends_in_cluster_of(start_bytes);
        let slot = self.clusters.len() - usize::from(shared);
        let wanted = usize::try_from(last - first + 1).ok()?;
        let most = if shared || slot == 0 { MAX_BATCH_CLUSTERS } else { self.room };
        if wanted > most.saturating_sub(slot) {
            return None;
        }
        self.clusters.extend(first + u64::from(shared)..=last);
        self.covered_bytes += len_bytes;
        Some(slot * CLUSTER + (start_bytes % CLUSTER_BYTES) as usize)
    }

    /// How much of a run fits behind what is there.
    pub(super) fn room_bytes(&self, start_bytes: u64) -> u64 {
        let shared = self.ends_in_cluster_of(start_bytes);
        let free = self.room.saturating_sub(self.clusters.len()) + usize::from(shared);
        (free as u64 * CLUSTER_BYTES).saturating_sub(start_bytes % CLUSTER_BYTES)
    }

    /// Whether a stored grain starts in the last cluster and does not end in the batch's room: were it
    /// taken whole, and the next one as well, the batch would never end.
    pub(super) fn is_outgrown_by(&self, extent: &Extent) -> bool {
        matches!(extent.kind, ExtentKind::Stored { .. })
            && self.ends_in_cluster_of(extent.start_bytes)
            && extent.len_bytes > self.room_bytes(extent.start_bytes)
    }

    /// Whether there is nothing in it to be done.
    pub(super) fn is_empty(&self) -> bool {
        self.clusters.is_empty() && self.zeros_behind.is_empty()
    }

    /// Whether the last cluster is the one that the byte is in.
    pub(super) fn ends_in_cluster_of(&self, byte: u64) -> bool {
        self.clusters.last() == Some(&cluster_of(byte))
    }

    /// Whether it may grow for a run that starts at the byte.
    pub(super) fn may_grow_for(&self, byte: u64) -> bool {
        self.clusters.is_empty() || self.ends_in_cluster_of(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_room_for_what_its_image_is_read_at_once_but_within_a_limit() {
        for (read_bytes, room_bytes) in
            [(512 << 10, 512 << 10), (2 << 20, 2 << 20), (u64::MAX, 2 << 20), (0, CLUSTER_BYTES)]
        {
            assert_eq!(Batch::new(read_bytes).room_bytes(0), room_bytes);
        }
    }
}
