//! GUIDs, as Microsoft stores them: the first three fields are little-endian.

use std::fmt;

/// A GUID, in the order of the file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Guid([u8; 16]);

/// The digits of each group of a GUID's text.
const GROUP_DIGITS: [usize; 5] = [8, 4, 4, 4, 12];

impl Guid {
    /// The GUID that stands for none.
    pub(super) const NIL: Self = Self([0; 16]);

    /// A GUID from its fields, as they stand in its text; the last two groups are `tail`.
    pub(super) const fn new(first: u32, second: u16, third: u16, tail: [u8; 8]) -> Self {
        let [a0, a1, a2, a3] = first.to_le_bytes();
        let ([b0, b1], [c0, c1]) = (second.to_le_bytes(), third.to_le_bytes());
        let [d0, d1, d2, d3, d4, d5, d6, d7] = tail;
        Self([a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7])
    }

    /// The GUID at `at`, if the bytes reach so far.
    pub(super) fn at(bytes: &[u8], at: usize) -> Option<Self> {
        bytes.get(at..)?.first_chunk().copied().map(Self)
    }

    /// The bytes, as the file has them.
    #[cfg(test)]
    pub(super) fn bytes(self) -> [u8; 16] {
        self.0
    }

    /// Reads the text of a GUID, with or without braces, in either case.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let groups: Vec<_> = bare.split('-').collect();
        let lengths = groups.iter().map(|group| group.len());
        let digits = bare.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        if !digits || !lengths.eq(GROUP_DIGITS) {
            return None;
        }
        let number = u128::from_str_radix(&groups.concat(), 16).ok()?;
        let [a0, a1, a2, a3, b0, b1, c0, c1, tail @ ..] = number.to_be_bytes();
        let first = u32::from_be_bytes([a0, a1, a2, a3]);
        Some(Self::new(first, u16::from_be_bytes([b0, b1]), u16::from_be_bytes([c0, c1]), tail))
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, node @ ..] = self.0;
        let first = u32::from_le_bytes([a0, a1, a2, a3]);
        let (second, third) = (u16::from_le_bytes([b0, b1]), u16::from_le_bytes([c0, c1]));
        write!(f, "{first:08x}-{second:04x}-{third:04x}-{d0:02x}{d1:02x}-")?;
        node.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "2dc27766-f623-4200-9d64-115e9bfd4a08";

    #[test]
    fn reads_its_text_and_writes_it_again() {
        let tail = [0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08];
        let guid = Guid::new(0x2dc2_7766, 0xf623, 0x4200, tail);
        assert_eq!(guid.to_string(), TEXT);
        let stored = b"..\x66\x77\xc2\x2d\x23\xf6\x00\x42\x9d\x64\x11\x5e\x9b\xfd\x4a\x08";
        assert_eq!(Guid::at(stored, 2), Some(guid));
        assert_eq!(Guid::at(stored, 3), None);
        for text in [TEXT.to_owned(), format!("{{{}}}", TEXT.to_uppercase())] {
            assert_eq!(Guid::parse(&text), Some(guid), "{text}");
        }
    }

    #[test]
    fn refuses_any_other_text() {
        for len in 0..TEXT.len() {
            assert_eq!(Guid::parse(&TEXT[..len]), None, "{len}");
        }
        for text in [
            "2dc27766f62342009d64115e9bfd4a08",
            "+dc27766-f623-4200-9d64-115e9bfd4a08",
            "2dc2776-6f623-4200-9d64-115e9bfd4a08",
            "{2dc27766-f623-4200-9d64-115e9bfd4a08",
            "2dc27766-f623-4200-9d64-115e9bfd4a08-",
            "2dc27766-f623-4200-9d64-115e9bfd4aé",
        ] {
            assert_eq!(Guid::parse(text), None, "{text}");
        }
    }
}
