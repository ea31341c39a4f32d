//! The seek table: the lengths of all frames, in a skippable frame at the end of the file.

use disk::ReadAt;

use super::{
    END_FRAME, Frame, Frames, MAX_FRAMES, SKIPPABLE_HEADER_BYTES, TABLE_MAGIC, is_end_frame,
    is_skippable, le32, read,
};
use crate::{Error, Result};

/// What the table ends with.
const FOOTER_MAGIC: u32 = 0x8f92_eab1;
/// The number of frames, the descriptor, the magic number.
const FOOTER_BYTES: u64 = 9;
/// The two lengths of a frame.
const ENTRY_BYTES: u64 = 8;
/// The same, with a checksum.
const CHECKED_ENTRY_BYTES: u64 = 12;
/// The bits of the descriptor that have to be 0.
const RESERVED_BITS: u8 = 0x7c;
/// The bit of the descriptor that says that entries have checksums.
const CHECKSUM_BIT: u8 = 0x80;

/// Writes the table.
pub(super) fn encode(frames: &[Frame]) -> Result<Vec<u8>> {
    let too_long = || Error::limit(format!("a frame of {} bytes or more", 1_u64 << 32));
    let mut table = Vec::new();
    let count = u32::try_from(frames.len()).map_err(|_| too_long())?;
    let content = u64::from(count).saturating_mul(ENTRY_BYTES).saturating_add(FOOTER_BYTES);
    let content = u32::try_from(content).map_err(|_| too_long())?;
    table.extend(TABLE_MAGIC.to_le_bytes());
    table.extend(content.to_le_bytes());
    for frame in frames {
        for length in [frame.packed_len, frame.plain_len] {
            table.extend(u32::try_from(length).map_err(|_| too_long())?.to_le_bytes());
        }
    }
    table.extend(count.to_le_bytes());
    table.push(0);
    table.extend(FOOTER_MAGIC.to_le_bytes());
    Ok(table)
}

/// Reads the table at the end of a file; `None` when there is none that counts.
///
/// What it says of the frames is believed as far as their lengths fill the file and what it calls empty
/// is skippable; each frame is checked against it when it is unpacked.
///
/// # Errors
/// When reading fails.
pub(super) fn find(bytes: &dyn ReadAt) -> Result<Option<Frames>> {
    let Some((start, entries, entry_bytes)) = locate(bytes)? else { return Ok(None) };
    let mut frames = Frames::default();
    let width = usize::try_from(entry_bytes).unwrap_or(1);
    for entry in entries.chunks_exact(width) {
        if frames.push(u64::from(le32(entry, 0)), u64::from(le32(entry, 4))).is_err() {
            return Ok(None);
        }
    }
    if frames.packed_bytes() != start || !is_published(bytes, &frames)? {
        return Ok(None);
    }
    Ok(Some(frames))
}

/// Where the table begins, its entries, and the length of one.
fn locate(bytes: &dyn ReadAt) -> Result<Option<(u64, Vec<u8>, u64)>> {
    let Some(footer_at) = bytes.len_bytes().checked_sub(FOOTER_BYTES) else { return Ok(None) };
    let footer: [u8; 9] = read(bytes, footer_at)?;
    let [.., descriptor, _, _, _, _] = footer;
    let count = le32(&footer, 0);
    let is_table = le32(&footer, 5) == FOOTER_MAGIC && descriptor & RESERVED_BITS == 0;
    let few = usize::try_from(count).is_ok_and(|count| count <= MAX_FRAMES);
    if !is_table || !few {
        return Ok(None);
    }
    let entry = if descriptor & CHECKSUM_BIT == 0 { ENTRY_BYTES } else { CHECKED_ENTRY_BYTES };
    let length = u64::from(count).saturating_mul(entry);
    let entries_at = footer_at.checked_sub(length);
    let start = entries_at.and_then(|at| at.checked_sub(SKIPPABLE_HEADER_BYTES));
    let (Some(entries_at), Some(start)) = (entries_at, start) else { return Ok(None) };
    let header: [u8; 8] = read(bytes, start)?;
    let content = length.saturating_add(FOOTER_BYTES);
    if le32(&header, 0) != TABLE_MAGIC || u64::from(le32(&header, 4)) != content {
        return Ok(None);
    }
    let mut entries = vec![0; usize::try_from(length).unwrap_or(0)];
    bytes.read_exact_at(&mut entries, entries_at)?;
    Ok(Some((start, entries, entry)))
}

/// Whether all that is said to be empty is skippable: an append whose last write is missing lists an end
/// frame as empty that still ends the archive.
fn is_published(bytes: &dyn ReadAt, frames: &Frames) -> Result<bool> {
    for frame in frames.list().iter().filter(|frame| frame.plain_len == 0) {
        if frame.packed_len < SKIPPABLE_HEADER_BYTES {
            return Ok(false);
        }
        let header: [u8; 8] = read(bytes, frame.packed_start)?;
        let whole = u64::from(le32(&header, 4)).saturating_add(SKIPPABLE_HEADER_BYTES);
        if !is_skippable(le32(&header, 0)) || whole != frame.packed_len {
            return Ok(false);
        }
        if frame.packed_len == END_FRAME.len() as u64
            && is_end_frame(&read(bytes, frame.packed_start)?)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two frames, something skipped between them, and the table.
    fn file() -> (Vec<u8>, Frames) {
        let (mut bytes, mut frames) = (Vec::new(), Frames::default());
        for part in [&b"first"[..], b"", b"second"] {
            let packed = match part {
                b"" => super::super::FILLER.to_vec(),
                _ => zstd::encode_all(part, 1).unwrap(),
            };
            frames.push(packed.len() as u64, part.len() as u64).unwrap();
            bytes.extend(packed);
        }
        bytes.extend(encode(frames.list()).unwrap());
        (bytes, frames)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (bytes, frames) = file();
        assert_eq!(find(&bytes).unwrap(), Some(frames));
        assert_eq!(zstd::decode_all(bytes.as_slice()).unwrap(), b"firstsecond");
    }

    #[test]
    fn a_table_that_does_not_fit_does_not_count() {
        let (bytes, _) = file();
        for at in bytes.len() - 9 - 3 * 8 - 8..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 0x41;
            let found = find(&other).unwrap();
            let plain = found.as_ref().map(Frames::plain_bytes);
            // The plain length of a frame is judged when it is unpacked.
            assert!(found.is_none() || plain != Some(11), "{at}");
        }
        for length in 0..bytes.len() {
            assert_eq!(find(&bytes[..length].to_vec()).unwrap(), None, "{length}");
        }
    }

    #[test]
    fn a_table_that_passes_over_a_frame_in_force_does_not_count() {
        let (mut bytes, mut frames) = (END_FRAME.to_vec(), Frames::default());
        frames.push(11, 0).unwrap();
        bytes.extend(encode(frames.list()).unwrap());
        assert_eq!(find(&bytes).unwrap(), None);
        bytes[..8].copy_from_slice(&super::super::PASSED_END_FRAME[..8]);
        assert_eq!(find(&bytes).unwrap(), Some(frames));
    }
}
