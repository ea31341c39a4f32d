//! Numbers in bytes that somebody else wrote.

/// The little-endian u16 at `at`, if the bytes reach so far.
pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|raw| u16::from_le_bytes(*raw))
}

/// The little-endian u32 at `at`, if the bytes reach so far.
pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|raw| u32::from_le_bytes(*raw))
}

/// The little-endian u64 at `at`, if the bytes reach so far.
pub(crate) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|raw| u64::from_le_bytes(*raw))
}

/// The big-endian u16 at `at`, if the bytes reach so far.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|raw| u16::from_be_bytes(*raw))
}

/// The big-endian u32 at `at`, if the bytes reach so far.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|raw| u32::from_be_bytes(*raw))
}

/// The big-endian u64 at `at`, if the bytes reach so far.
pub(crate) fn be64(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|raw| u64::from_be_bytes(*raw))
}

/// A length as the size of a buffer.
///
/// Every length that comes here is bounded by a named limit before, so it fits.
pub(crate) fn buffer_len(len_bytes: u64) -> usize {
    usize::try_from(len_bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_at_any_place_and_never_behind_the_end() {
        let bytes = [0, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(le16(&bytes, 1), Some(0x0201));
        assert_eq!(le32(&bytes, 5), Some(0x0807_0605));
        assert_eq!(be16(&bytes, 1), Some(0x0102));
        assert_eq!(be32(&bytes, 5), Some(0x0506_0708));
        assert_eq!(le64(&bytes, 1), Some(0x0807_0605_0403_0201));
        assert_eq!(be64(&bytes, 1), Some(0x0102_0304_0506_0708));
        assert_eq!(le64(&bytes, 2), None);
        assert_eq!(le32(&bytes, usize::MAX), None);
    }
}
