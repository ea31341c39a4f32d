//! The signature and the CRC-32C that headers, region tables and log entries begin with.

use crate::fields::le32;

/// What is wrong with a structure that begins with a signature and a checksum.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsound {
    #[error("its signature is not {0}")]
    Signature(&'static str),
    #[error("its CRC-32C is {said:#010x}, that of its bytes is {found:#010x}")]
    Checksum { said: u32, found: u32 },
}

/// Where the checksum is, and what is behind it.
const CHECKSUM_AT: usize = 4;
const BEHIND_CHECKSUM: usize = 8;

/// Checks the signature at byte 0 and the checksum at byte 4, which is that of all `bytes`.
pub(super) fn verify(bytes: &[u8], signature: &'static str) -> Result<(), Unsound> {
    if !bytes.starts_with(signature.as_bytes()) {
        return Err(Unsound::Signature(signature));
    }
    let said = said(bytes).ok_or(Unsound::Signature(signature))?;
    let found = without_field(bytes);
    if said == found { Ok(()) } else { Err(Unsound::Checksum { said, found }) }
}

/// The checksum that the bytes say they have.
pub(super) fn said(bytes: &[u8]) -> Option<u32> {
    le32(bytes, CHECKSUM_AT)
}

/// The CRC-32C of the bytes, with zeros in the place of the checksum itself.
pub(super) fn without_field(bytes: &[u8]) -> u32 {
    let (front, _) = bytes.split_at_checked(CHECKSUM_AT).unwrap_or((bytes, &[]));
    let body = bytes.get(BEHIND_CHECKSUM..).unwrap_or_default();
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(front), &[0; 4]), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_changed_byte() {
        let mut good = *b"head\0\0\0\0and whatever else there is";
        let sum = crc32c::crc32c(&good);
        good[4..8].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(verify(&good, "head"), Ok(()));
        assert_eq!(without_field(&good), sum);
        assert_eq!(verify(&good, "regi").unwrap_err().to_string(), "its signature is not regi");
        for at in 0..good.len() {
            let mut bad = good;
            bad[at] ^= 1;
            assert!(verify(&bad, "head").is_err(), "{at}");
        }
        for len in 0..good.len() {
            assert!(verify(&good[..len], "head").is_err(), "{len}");
        }
        let mut bad = good;
        bad[8] = b'o';
        let found = without_field(&bad);
        let want = format!("its CRC-32C is {sum:#010x}, that of its bytes is {found:#010x}");
        assert_eq!(verify(&bad, "head").unwrap_err().to_string(), want);
    }
}
