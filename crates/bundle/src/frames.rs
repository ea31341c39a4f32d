//! The compressed form: independent zstd frames, and a table that says where each of them lies.
//!
//! ```text
//! frame | frame | … | end frame | seek table          a member begins with a frame of its own
//!                     (zeros)     (skippable)
//!
//! after an append:
//! frame | … | end frame, now skippable | old table | frame | … | end frame | seek table
//! ```
//!
//! A frame holds at most [`FRAME_BYTES`]; the header of a member has one of its own, so that members are
//! found without unpacking content, and damaged content has a member's name. The *end frame* is always the same eleven bytes and unpacks
//! to the two zero blocks that end a tar archive; an append publishes itself by turning it into a
//! skippable frame of the same length, which is one write of eight bytes inside one sector. The seek
//! table is that of zstd's public seekable format (`zstd_seekable_compression_format.md`, version
//! 0.1.1); it is an index and never the truth: a table that lists a frame as empty which is not
//! skippable was not published, and without a good table the frames are walked.

mod packer;
mod piece;
mod reader;
mod stored;
mod table;
mod walk;

use disk::ReadAt;

use crate::{Error, Result, tar};

pub(crate) use packer::{Packer, compressor};
pub(crate) use piece::{Piece, block_at, piece};
pub(crate) use reader::{MAX_BUFFERED_BYTES, Unpacked};
pub(crate) use stored::{STORED_BYTES, stored};
pub(crate) use walk::walk;

/// The most content of a frame that is written, in bytes (ours; a small member is read by unpacking
/// no more than this).
pub(crate) const FRAME_BYTES: usize = 4 << 20;
/// The most frames that are read (ours: 16 TiB in frames of 4 MiB).
const MAX_FRAMES: usize = 4 << 20;
/// The most frames in a row that hold nothing (ours; an append leaves three): a flood of them is work
/// without an end in sight.
const MAX_EMPTY_FRAMES: usize = 16;
/// What a zstd frame begins with (RFC 8878, 3.1.1).
pub(crate) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What a seek table begins with: the last of the sixteen magic numbers of skippable frames.
const TABLE_MAGIC: u32 = 0x184d_2a5e;
/// The bytes of a skippable frame before its content (RFC 8878, 3.1.2).
const SKIPPABLE_HEADER_BYTES: u64 = 8;

/// A frame that unpacks to 1024 zeros: single segment, content size 1024 in two bytes, one RLE block.
pub(crate) const END_FRAME: [u8; 11] =
    [0x28, 0xb5, 0x2f, 0xfd, 0x60, 0x00, 0x03, 0x03, 0x20, 0x00, 0x00];
/// The same length as a skippable frame: the magic number, a length of 3, what was there.
pub(crate) const PASSED_END_FRAME: [u8; 11] =
    [0x50, 0x2a, 0x4d, 0x18, 0x03, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00];
/// How much of an end frame is written to pass over it.
pub(crate) const PUBLISHED_LEN: usize = 8;
/// The smallest unit that a device writes as a whole.
const SECTOR: u64 = 512;

/// One frame of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Where it begins in the file.
    pub(crate) packed_start: u64,
    /// How many bytes of the file it has.
    pub(crate) packed_len: u64,
    /// Where its content begins in what is unpacked.
    pub(crate) plain_start: u64,
    /// How many bytes it unpacks to; 0 for what is skipped.
    pub(crate) plain_len: u64,
}

/// All frames of the current state of a file, in order and without gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Frames {
    list: Vec<Frame>,
}

impl Frames {
    /// Adds the next frame.
    pub(crate) fn push(&mut self, packed_len: u64, plain_len: u64) -> Result<()> {
        if self.list.len() >= MAX_FRAMES {
            return Err(Error::limit(format!("more than {MAX_FRAMES} compressed frames")));
        }
        let (packed_start, plain_start) = (self.packed_bytes(), self.plain_bytes());
        let empty_before = self.list.iter().rev().take_while(|frame| frame.plain_len == 0);
        if plain_len == 0 && empty_before.take(MAX_EMPTY_FRAMES).count() == MAX_EMPTY_FRAMES {
            let message = format!("more than {MAX_EMPTY_FRAMES} empty frames in a row");
            return Err(Error::limit(message).at(packed_start));
        }
        let frame = Frame { packed_start, packed_len, plain_start, plain_len };
        let fits = packed_start.checked_add(packed_len).is_some();
        if !fits || plain_start.checked_add(plain_len).is_none() {
            return Err(Error::limit("compressed frames of more than 2^64 bytes"));
        }
        self.list.push(frame);
        Ok(())
    }

    /// The frames.
    pub(crate) fn list(&self) -> &[Frame] {
        &self.list
    }

    /// The byte of the file behind the last frame.
    pub(crate) fn packed_bytes(&self) -> u64 {
        self.list.last().map_or(0, |last| last.packed_start.saturating_add(last.packed_len))
    }

    /// The length of what is unpacked.
    pub(crate) fn plain_bytes(&self) -> u64 {
        self.list.last().map_or(0, |last| last.plain_start.saturating_add(last.plain_len))
    }

    /// The frame that has a byte of what is unpacked: its index, and the frame.
    fn at(&self, plain_offset: u64) -> Option<(usize, Frame)> {
        let behind = self.list.partition_point(|frame| frame.plain_start <= plain_offset);
        let index = behind.checked_sub(1)?;
        let frame = *self.list.get(index)?;
        let end = frame.plain_start.saturating_add(frame.plain_len);
        (plain_offset < end).then_some((index, frame))
    }

    #[cfg(test)]
    /// The range of the file in which the content of `plain` is packed.
    pub(crate) fn packed_range(&self, plain: std::ops::Range<u64>) -> std::ops::Range<u64> {
        let first = self.at(plain.start).map_or(0, |(_, frame)| frame.packed_start);
        let last = self.at(plain.end.saturating_sub(1));
        let end =
            last.map_or(first, |(_, frame)| frame.packed_start.saturating_add(frame.packed_len));
        first..end.max(first)
    }

    /// Where the end frame lies, if the last frame is one.
    pub(crate) fn end_frame(&self) -> Option<u64> {
        let last = self.list.last()?;
        let is_end = last.plain_len == tar::END_BYTES && last.packed_len == END_FRAME.len() as u64;
        is_end.then_some(last.packed_start)
    }

    /// The same, with the end frame passed over and what follows it up to `packed_end` skipped.
    pub(crate) fn passed(mut self, packed_end: u64) -> Result<Self> {
        if let Some(last) = self.list.last_mut() {
            last.plain_len = 0;
        }
        let table = packed_end.saturating_sub(self.packed_bytes());
        if table > 0 {
            self.push(table, 0)?;
        }
        Ok(self)
    }

    /// The table of these frames, as a skippable frame.
    pub(crate) fn table(&self) -> Result<Vec<u8>> {
        table::encode(&self.list)
    }
}

/// The frames of a file, and how they were found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) frames: Frames,
    /// Whether a seek table said it; else every frame was looked at.
    pub(crate) by_table: bool,
}

/// Finds the frames of the current state of a file.
///
/// # Errors
/// `E0605` when there is no table and a frame is damaged, `E0106` over a limit.
pub(crate) fn find(bytes: &dyn ReadAt) -> Result<Found> {
    if let Some(frames) = table::find(bytes)? {
        return Ok(Found { frames, by_table: true });
    }
    Ok(Found { frames: walk(bytes)?, by_table: false })
}

/// The bytes of the seek table that follows the frames, 0 when there is none.
pub(crate) fn table_bytes(bytes: &dyn ReadAt, offset: u64) -> Result<u64> {
    let there = bytes.len_bytes().saturating_sub(offset);
    if there < SKIPPABLE_HEADER_BYTES {
        return Ok(0);
    }
    let header = read::<8>(bytes, offset)?;
    let (magic, length) = (le32(&header, 0), le32(&header, 4));
    let whole = u64::from(length).saturating_add(SKIPPABLE_HEADER_BYTES);
    Ok(if magic == TABLE_MAGIC && whole <= there { whole } else { 0 })
}

/// Whether an end frame at this place would have its header in two sectors.
pub(crate) fn straddles(offset: u64) -> bool {
    offset.checked_rem(SECTOR).unwrap_or(0) > SECTOR.saturating_sub(PUBLISHED_LEN as u64)
}

/// An empty skippable frame: it moves what follows it to the next sector.
pub(crate) const FILLER: [u8; 8] = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0];

/// Tells an end frame that is in force: whole, or with only a part of the write that passes over it.
fn is_end_frame(bytes: &[u8; 11]) -> bool {
    let either = bytes.iter().zip(END_FRAME.iter().zip(PASSED_END_FRAME));
    *bytes != PASSED_END_FRAME
        && either.into_iter().all(|(found, (end, passed))| found == end || *found == passed)
}

/// Reads a few bytes.
fn read<const N: usize>(bytes: &dyn ReadAt, offset: u64) -> Result<[u8; N]> {
    let mut buffer = [0; N];
    bytes.read_exact_at(&mut buffer, offset)?;
    Ok(buffer)
}

/// A number of four bytes, the lowest first; 0 where they are not there.
fn le32(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    found.map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

/// Whether a magic number is that of a skippable frame.
fn is_skippable(magic: u32) -> bool {
    magic & 0xffff_fff0 == 0x184d_2a50
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_frame_is_two_zero_blocks_and_its_other_form_nothing() {
        assert_eq!(zstd::decode_all(&END_FRAME[..]).unwrap(), [0; 1024]);
        assert!(zstd::decode_all(&PASSED_END_FRAME[..]).unwrap().is_empty());
        assert!(zstd::decode_all(&FILLER[..]).unwrap().is_empty());
    }

    #[test]
    fn an_end_frame_is_in_force_until_the_last_byte_says_otherwise() {
        assert!(is_end_frame(&END_FRAME));
        assert!(!is_end_frame(&PASSED_END_FRAME));
        for cut in 1..PUBLISHED_LEN {
            let mut torn = END_FRAME;
            torn[..cut].copy_from_slice(&PASSED_END_FRAME[..cut]);
            assert_eq!(is_end_frame(&torn), torn != PASSED_END_FRAME, "{cut}");
        }
    }

    #[test]
    fn a_byte_belongs_to_the_frame_that_has_content_there() {
        let mut frames = Frames::default();
        for (packed, plain) in [(10, 100), (11, 0), (30, 0), (20, 50), (11, 1024)] {
            frames.push(packed, plain).unwrap();
        }
        for (plain, packed) in [(0, Some(0)), (99, Some(0)), (100, Some(51)), (149, Some(51))] {
            assert_eq!(frames.at(plain).map(|(_, frame)| frame.packed_start), packed, "{plain}");
        }
        assert_eq!(frames.at(150 + 1024), None);
        assert_eq!(frames.packed_range(50..120), 0..71);
        assert_eq!((frames.packed_bytes(), frames.plain_bytes()), (82, 1174));
        assert_eq!(frames.end_frame(), Some(71));
    }

    #[test]
    fn a_flood_of_frames_that_hold_nothing_is_stopped() {
        let some = zstd::bulk::compress(b"x", 1).unwrap();
        let flood = |count: usize| [some.clone(), FILLER.repeat(count), some.clone()].concat();
        assert_eq!(walk(&flood(16)).unwrap().list().len(), 18);
        let error = walk(&flood(17)).unwrap_err();
        let want = format!("more than 16 empty frames in a row, at byte {}", some.len() + 16 * 8);
        assert_eq!((error.to_string(), error.kind()), (want, crate::Kind::Limit));
        // Not in a row: each append leaves some.
        walk(&flood(16).repeat(3)).unwrap();
    }

    #[test]
    fn a_header_of_eight_bytes_never_lies_in_two_sectors() {
        for (offset, want) in [(0, false), (504, false), (505, true), (511, true), (512, false)] {
            assert_eq!(straddles(offset), want, "{offset}");
            assert!(!straddles(if want { offset + FILLER.len() as u64 } else { offset }));
        }
    }
}
