//! The states of a disk: the active one, and one a snapshot.

use crate::{
    error::{Kind, MAX_CAPACITY_BYTES},
    qcow2::header::Header,
};

/// The largest L1 table: 32 MiB, QEMU's limit.
pub(super) const MAX_L1_ENTRIES: u64 = (32 << 20) / 8;

/// The size of a disk and its L1 table, at one time of its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// The virtual size, any number of bytes.
    pub(super) size_bytes: u64,
    /// The first byte of the L1 table.
    pub(super) l1_offset_bytes: u64,
    /// The entries of the L1 table. It may be longer than the size needs: behind it lies what a
    /// suspended machine had in memory.
    pub(super) l1_entries: u32,
}

/// What is wrong with a state.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error("a virtual size of {0} bytes is over the limit of {MAX_CAPACITY_BYTES} bytes")]
    Size(u64),
    #[error("an L1 table of {0} entries is over the limit of {MAX_L1_ENTRIES}")]
    L1Limit(u64),
    #[error("an L1 table of {found} entries, the virtual size needs {needed}")]
    L1Short { found: u32, needed: u64 },
    #[error("the L1 table offset {offset} is no multiple of the cluster size of {cluster_bytes}")]
    L1Unaligned { offset: u64, cluster_bytes: u64 },
}

impl StateError {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Size(_) | Self::L1Limit(_) => Kind::Limit,
            Self::L1Short { .. } | Self::L1Unaligned { .. } => Kind::Malformed,
        }
    }
}

impl State {
    /// Checks the numbers against each other, their limits, and the clusters of the image.
    pub(super) fn check(&self, header: &Header) -> Result<(), StateError> {
        if self.size_bytes > MAX_CAPACITY_BYTES {
            return Err(StateError::Size(self.size_bytes));
        }
        let found = self.l1_entries;
        let needed = self.needed_l1_entries(header);
        if u64::from(found).max(needed) > MAX_L1_ENTRIES {
            return Err(StateError::L1Limit(u64::from(found).max(needed)));
        }
        if u64::from(found) < needed {
            return Err(StateError::L1Short { found, needed });
        }
        let (offset, cluster_bytes) = (self.l1_offset_bytes, header.cluster_bytes());
        if !offset.is_multiple_of(cluster_bytes) {
            return Err(StateError::L1Unaligned { offset, cluster_bytes });
        }
        Ok(())
    }

    /// The L1 entries that the virtual size needs.
    pub(super) fn needed_l1_entries(&self, header: &Header) -> u64 {
        self.size_bytes.div_ceil(header.l2_span_bytes().max(1))
    }

    /// The length of the part of the L1 table that the virtual size needs.
    pub(super) fn needed_l1_bytes(&self, header: &Header) -> u64 {
        self.needed_l1_entries(header).saturating_mul(8)
    }
}
