//! The identity of a machine.

use std::{fmt, str::FromStr};

/// A UUID (RFC 9562), 16 bytes in the order in which they are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// Makes a version 8 UUID from the first 16 bytes of a digest, so that the same source always
    /// gets the same identity (RFC 9562, section 5.8).
    #[must_use]
    pub const fn from_digest(digest: &[u8; 32]) -> Self {
        let mut bytes = [0; 16];
        let (head, _) = digest.split_at(16);
        bytes.copy_from_slice(head);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The text is no UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoUuid;

impl fmt::Display for NoUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a UUID of 32 hexadecimal digits")
    }
}

impl std::error::Error for NoUuid {}

impl FromStr for Uuid {
    type Err = NoUuid;

    /// Reads 32 hexadecimal digits; hyphens, spaces and braces between them do not count, so that
    /// VMware's `56 4d … -… ` spelling is read as well.
    fn from_str(text: &str) -> Result<Self, NoUuid> {
        let mut digits = text.chars().filter(|c| !matches!(c, '-' | ' ' | '{' | '}'));
        let mut bytes = [0; 16];
        for byte in &mut bytes {
            let high = digits.next().and_then(|c| c.to_digit(16)).ok_or(NoUuid)?;
            let low = digits.next().and_then(|c| c.to_digit(16)).ok_or(NoUuid)?;
            *byte = u8::try_from(high * 16 + low).map_err(|_| NoUuid)?;
        }
        if digits.next().is_some() { Err(NoUuid) } else { Ok(Self(bytes)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_both_spellings() {
        let want = "564d1c2e-0000-4000-8000-0123456789ab";
        for text in [want, "56 4d 1c 2e 00 00 40 00-80 00 01 23 45 67 89 ab"] {
            assert_eq!(text.parse::<Uuid>().unwrap().to_string(), want);
        }
        assert_eq!("564d".parse::<Uuid>(), Err(NoUuid));
        assert_eq!(format!("{want}0").parse::<Uuid>(), Err(NoUuid));
    }

    #[test]
    fn marks_a_digest_as_version_8() {
        assert_eq!(
            Uuid::from_digest(&[0xff; 32]).to_string(),
            "ffffffff-ffff-8fff-bfff-ffffffffffff"
        );
    }
}
