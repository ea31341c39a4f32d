//! Numbers and texts as ECMA-119 stores them.

use super::SECTOR_BYTES;

/// A number that is stored twice: little endian, then big endian (ECMA-119 7.2.3, 7.3.3).
#[derive(Debug, Clone, Copy)]
pub(super) enum Both {
    U16(u16),
    U32(u32),
}

/// A sector that is being filled.
#[derive(Debug)]
pub(super) struct Sector(Vec<u8>);

impl Sector {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub(super) fn both(self, number: Both) -> Self {
        match number {
            Both::U16(number) => self.bytes(&number.to_le_bytes()).bytes(&number.to_be_bytes()),
            Both::U32(number) => self.bytes(&number.to_le_bytes()).bytes(&number.to_be_bytes()),
        }
    }

    /// What has been filled in.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The whole sector; what is left is zeros.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.resize(SECTOR_BYTES, 0);
        self.0
    }
}

/// A text filled up with blanks.
pub(super) fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, b' ');
    bytes
}

/// A text in UCS-2, big endian.
pub(super) fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// The same filled up with blanks; an odd length ends with a zero.
pub(super) fn ucs2_padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = ucs2(text);
    while bytes.len().saturating_add(2) <= length {
        bytes.extend(*b"\0 ");
    }
    bytes.resize(length, 0);
    bytes
}
