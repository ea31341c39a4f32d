//! The tar blocks that the crate writes and recognises.

use ::tar::{EntryType, Header};
use ovf::EntryName;

use crate::{Error, Result};

/// The length of a block in bytes.
pub(crate) const BLOCK: u64 = 512;
/// The same, as the length of a buffer.
pub(crate) const BLOCK_LEN: usize = 512;
/// The end of an archive: two blocks of zeros.
pub(crate) const END: [u8; 1024] = [0; 1024];
/// The same length, for offsets.
pub(crate) const END_BYTES: u64 = 1024;
/// The name of the member that hides old end blocks.
pub(crate) const PAD_NAME: &str = ".pad";
/// The longest name that a header holds without an extension.
pub(crate) const MAX_NAME_BYTES: usize = 100;

/// Makes the header of a regular file: ustar, owner 0, mode 0644; base-256 for 8 GiB and more.
pub(crate) fn header(
    name: &EntryName,
    length_bytes: u64,
    unix_seconds: u64,
) -> Result<[u8; BLOCK_LEN]> {
    let mut header = Header::new_ustar();
    header.set_path(name.as_str()).map_err(|error| {
        Error::limit("the name is too long for a tar header")
            .in_member(name.as_str())
            .caused_by(error)
    })?;
    Ok(filled(header, length_bytes, unix_seconds))
}

/// The header that publishes an append: always the same bytes.
pub(crate) fn pad_header() -> [u8; BLOCK_LEN] {
    let mut header = Header::new_ustar();
    let name = header.as_old_mut().name.iter_mut().zip(PAD_NAME.bytes());
    name.for_each(|(to, from)| *to = from);
    filled(header, BLOCK, 0)
}

/// The name and the length in a header that is byte for byte as [`header`] makes it.
pub(crate) fn own_header(block: &[u8; BLOCK_LEN]) -> Option<(EntryName, u64)> {
    let found = Header::from_byte_slice(block);
    let name = EntryName::parse(std::str::from_utf8(&found.path_bytes()).ok()?).ok()?;
    let (length_bytes, unix_seconds) = (found.entry_size().ok()?, found.mtime().ok()?);
    let own = header(&name, length_bytes, unix_seconds).ok()?;
    (own == *block).then_some((name, length_bytes))
}

fn filled(mut header: Header, length_bytes: u64, unix_seconds: u64) -> [u8; BLOCK_LEN] {
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(unix_seconds);
    header.set_size(length_bytes);
    header.set_cksum();
    *header.as_bytes()
}

/// Tells a block in which only a part of [`pad_header`] arrived: the archive ends there.
pub(crate) fn is_torn_pad(block: &[u8; BLOCK_LEN]) -> bool {
    let pad = pad_header();
    *block != pad && block.iter().zip(pad).all(|(found, due)| *found == 0 || *found == due)
}

/// The bytes that fill a member up to its last block.
pub(crate) fn padding_len(length_bytes: u64) -> usize {
    let filled = length_bytes.checked_rem(BLOCK).filter(|filled| *filled > 0);
    let due = filled.map_or(0, |filled| BLOCK.saturating_sub(filled));
    usize::try_from(due).unwrap_or(0)
}

/// The length of a member with its header and its padding; `None` when that has no number.
pub(crate) fn blocks_bytes(length_bytes: u64) -> Option<u64> {
    length_bytes.checked_next_multiple_of(BLOCK)?.checked_add(BLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_pad_is_a_part_of_the_pad_and_nothing_else() {
        let pad = pad_header();
        assert!(!is_torn_pad(&pad));
        assert!(is_torn_pad(&[0; 512]));
        for cut in 1..=512 {
            let mut torn = [0; 512];
            torn[..cut].copy_from_slice(&pad[..cut]);
            assert_eq!(is_torn_pad(&torn), torn != pad, "{cut}");
        }
        let mut other = pad;
        other[0] = b'x';
        assert!(!is_torn_pad(&other));
    }

    #[test]
    fn a_header_of_ours_is_told_from_all_others() {
        let name = EntryName::parse("web-disk0.qcow2").unwrap();
        for length_bytes in [0, 700, 9 << 30] {
            let own = header(&name, length_bytes, 1_700_000_000).unwrap();
            assert_eq!(own_header(&own), Some((name.clone(), length_bytes)));
            for at in 0..own.len() {
                let mut other = own;
                other[at] ^= 1;
                assert_eq!(own_header(&other), None, "{at}");
            }
        }
        assert_eq!(own_header(&pad_header()).unwrap().0.as_str(), PAD_NAME);
        assert_eq!(own_header(&[0; BLOCK_LEN]), None);
    }

    #[test]
    fn members_are_filled_to_blocks() {
        for (length, padding, blocks) in [(0, 0, 512), (1, 511, 1024), (512, 0, 1024)] {
            assert_eq!((padding_len(length), blocks_bytes(length)), (padding, Some(blocks)));
        }
        assert_eq!(blocks_bytes(u64::MAX), None);
    }
}
