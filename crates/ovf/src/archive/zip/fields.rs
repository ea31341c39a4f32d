//! Numbers of a ZIP archive: little-endian, at a place.

/// Reads numbers out of bytes; `None` where there are too few.
pub(super) trait Fields {
    /// 16 bits.
    fn le16(&self, at: usize) -> Option<u16>;
    /// 32 bits.
    fn le32(&self, at: usize) -> Option<u32>;
    /// 64 bits.
    fn le64(&self, at: usize) -> Option<u64>;
}

impl Fields for [u8] {
    fn le16(&self, at: usize) -> Option<u16> {
        self.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
    }

    fn le32(&self, at: usize) -> Option<u32> {
        self.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn le64(&self, at: usize) -> Option<u64> {
        self.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}
