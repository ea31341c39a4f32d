//! The identity of a disk.

use std::fmt;

/// A UUID, its bytes in the order of its text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Uuid([u8; 16]);

impl Uuid {
    /// Takes the bytes of VHD: RFC 9562, all fields big-endian.
    pub(crate) fn big_endian(raw: [u8; 16]) -> Self {
        Self(raw)
    }

    /// Takes the bytes of VirtualBox and Microsoft's GUID: the first three fields are little-endian.
    pub(crate) fn mixed_endian(raw: [u8; 16]) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = raw;
        let [i, j, k, l, m, n, o, p] = rest;
        Self([d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p])
    }

    /// Whether it is all zeros, which stands for no disk at all.
    pub(crate) fn is_nil(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Uuid({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_as_text_whichever_end_its_fields_began_with() {
        let raw = std::array::from_fn(|at| at as u8);
        let text = "00010203-0405-0607-0809-0a0b0c0d0e0f";
        assert_eq!(Uuid::big_endian(raw).to_string(), text);
        let text = "03020100-0504-0706-0809-0a0b0c0d0e0f";
        assert_eq!(Uuid::mixed_endian(raw).to_string(), text);
        assert!(Uuid::big_endian([0; 16]).is_nil() && !Uuid::big_endian(raw).is_nil());
    }
}
