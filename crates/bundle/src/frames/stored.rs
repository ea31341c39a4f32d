//! A frame whose content is not compressed, so that its length is known before the content is.

use super::{MAGIC, packer::compressor};
use crate::Result;

/// What a stored frame has beside its content: magic number, descriptor, content size in four bytes, block
/// header, checksum.
pub(crate) const STORED_BYTES: u64 = 16;

/// Single segment, content size in four bytes, checksum (RFC 8878, 3.1.1.1.1).
const DESCRIPTOR: u8 = 0b1010_0100;

/// The most content: that of one block (RFC 8878, 3.1.1.2.4).
const MAX_CONTENT_BYTES: usize = 128 << 10;

/// Makes a frame of one raw block; it has [`STORED_BYTES`] more than the content, which has 1 to
/// 128 KiB.
///
/// # Errors
/// When the content is too long, or there is no memory for a compressor.
pub(crate) fn stored(content: &[u8]) -> Result<Vec<u8>> {
    let size = u32::try_from(content.len()).ok().filter(|_| content.len() <= MAX_CONTENT_BYTES);
    let Some(size) = size else {
        let message = format!(
            "a stored frame of {} bytes, at most {MAX_CONTENT_BYTES} are allowed",
            content.len()
        );
        return Err(crate::Error::limit(message));
    };
    let [a, b, c, _] = (size.wrapping_shl(3) | 1).to_le_bytes();
    let mut frame = Vec::from(MAGIC);
    frame.push(DESCRIPTOR);
    frame.extend_from_slice(&size.to_le_bytes());
    frame.extend_from_slice(&[a, b, c]);
    frame.extend_from_slice(content);
    frame.extend_from_slice(&checksum(content)?);
    Ok(frame)
}

/// The checksum of a frame, as zstd writes it behind one of the same content.
fn checksum(content: &[u8]) -> Result<[u8; 4]> {
    let packed = compressor(1)?.compress(content)?;
    Ok(packed.last_chunk().copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zstd_unpacks_it_and_sees_a_changed_bit() {
        for len in [1, 255, 256, 512, 65536, 65792, 131_072] {
            let content = testkit::content(len);
            let mut frame = stored(&content).unwrap();
            assert_eq!(frame.len() as u64, len + STORED_BYTES);
            assert!(zstd::decode_all(frame.as_slice()).unwrap() == content, "{len}");
            frame[12] ^= 1;
            assert!(zstd::decode_all(frame.as_slice()).is_err(), "{len}");
        }
        let error = stored(&vec![0; 131_073]).unwrap_err();
        assert_eq!(error.to_string(), "a stored frame of 131073 bytes, at most 131072 are allowed");
    }
}
