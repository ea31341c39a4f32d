//! The walk over the frames of a file that has no table, or whose table does not count.

use std::io::{self, Read as _};

use disk::ReadAt;

use super::{
    END_FRAME, Frame, Frames, MAGIC, SKIPPABLE_HEADER_BYTES, TABLE_MAGIC, is_end_frame,
    is_skippable, le32, read, reader::frame_decoder,
};
use crate::{Error, Result};

/// The longest header of a frame (RFC 8878, 3.1.1.1): magic number, descriptor, window, dictionary,
/// content size.
const MAX_HEADER_BYTES: usize = 18;
/// What may be unpacked for each byte that was read, when a frame does not say how much it holds (ours)…
const MAX_RATIO: u64 = 1100;
/// … and what may be unpacked whatever was read.
const FREE_BYTES: u64 = 64 << 30;

/// Finds the frames one after the other, up to the end frame in force or the end of the file.
///
/// Nothing is unpacked but what a frame does not say the length of.
///
/// # Errors
/// `E0605` for bytes that are no frame and for a frame that ends behind the file, `E0106` for one that
/// unpacks to too much.
pub(crate) fn walk(bytes: &dyn ReadAt) -> Result<Frames> {
    let mut frames = Frames::default();
    loop {
        let start = frames.packed_bytes();
        if start >= bytes.len_bytes() {
            return Ok(frames);
        }
        if ends_here(bytes, start)? {
            frames.push(END_FRAME.len() as u64, crate::tar::END_BYTES)?;
            return Ok(frames);
        }
        let (packed_len, plain_len) = measure(bytes, start).map_err(|error| error.at(start))?;
        frames.push(packed_len, plain_len)?;
    }
}

/// Whether the end frame in force lies here: nothing but a table or an unfinished append follows it.
fn ends_here(bytes: &dyn ReadAt, start: u64) -> Result<bool> {
    let end = start.saturating_add(END_FRAME.len() as u64);
    if end > bytes.len_bytes() || !is_end_frame(&read(bytes, start)?) {
        return Ok(false);
    }
    if end.saturating_add(SKIPPABLE_HEADER_BYTES) > bytes.len_bytes() {
        return Ok(true);
    }
    let next: [u8; 4] = read(bytes, end)?;
    // A frame of somebody else that happens to hold 1024 zeros is followed by another frame.
    Ok(next != MAGIC || le32(&next, 0) == TABLE_MAGIC)
}

/// The two lengths of the frame at a place.
pub(super) fn measure(bytes: &dyn ReadAt, start: u64) -> Result<(u64, u64)> {
    let there = bytes.len_bytes().saturating_sub(start);
    let cut =
        || Error::damaged(format!("a compressed frame ends too early, {there} bytes are there"));
    let mut head = [0; MAX_HEADER_BYTES];
    let count = head.len().min(usize::try_from(there).unwrap_or(usize::MAX));
    let header = head.get_mut(..count).unwrap_or_default();
    bytes.read_exact_at(header, start)?;
    if count < 5 {
        return Err(cut());
    }
    if is_skippable(le32(&head, 0)) {
        let whole = u64::from(le32(&head, 4)).saturating_add(SKIPPABLE_HEADER_BYTES);
        return if count < 8 || whole > there { Err(cut()) } else { Ok((whole, 0)) };
    }
    if !head.starts_with(&MAGIC) {
        let found = le32(&head, 0);
        let message = format!(
            "{found:#010x} is no magic number of a zstd frame, 0xfd2fb528 or 0x184d2a50..=0x184d2a5f is"
        );
        return Err(Error::damaged(message));
    }
    let header = Header::parse(&head)?;
    let packed_len = blocks(bytes, start, &header).map_err(|error| {
        if error.kind() == crate::Kind::Io { cut().caused_by(error) } else { error }
    })?;
    if packed_len > there {
        return Err(cut());
    }
    let plain_len = match header.content_bytes {
        Some(content) => content,
        None => count_content(bytes, start, packed_len)?,
    };
    Ok((packed_len, plain_len))
}

/// What the header of a frame says (RFC 8878, 3.1.1.1).
struct Header {
    length: u64,
    content_bytes: Option<u64>,
    has_checksum: bool,
}

impl Header {
    fn parse(head: &[u8; MAX_HEADER_BYTES]) -> Result<Self> {
        let [_, _, _, _, descriptor, ..] = *head;
        let is_single = descriptor & 0x20 != 0;
        let dictionary_len = [0, 1, 2, 4].get(usize::from(descriptor & 3)).copied().unwrap_or(0);
        let size_len: usize = match descriptor >> 6 {
            0 if is_single => 1,
            0 => 0,
            1 => 2,
            2 => 4,
            _ => 8,
        };
        let at = 5_usize.saturating_add(usize::from(!is_single));
        if dictionary_len > 0 && le32(head, at) != 0 {
            return Err(Error::damaged(
                "a compressed frame needs a dictionary, which is not there",
            ));
        }
        let at = at.saturating_add(dictionary_len);
        let mut size = [0; 8];
        let there = head.get(at..at.saturating_add(size_len)).unwrap_or_default();
        size.iter_mut().zip(there).for_each(|(to, from)| *to = *from);
        let size = u64::from_le_bytes(size);
        let content_bytes = match size_len {
            0 => None,
            // A size of two bytes counts from 256 on.
            2 => Some(size.saturating_add(256)),
            _ => Some(size),
        };
        let length = u64::try_from(at.saturating_add(size_len)).unwrap_or(0);
        Ok(Self { length, content_bytes, has_checksum: descriptor & 4 != 0 })
    }
}

/// Passes over the blocks of a frame and gives the length of the whole frame.
fn blocks(bytes: &dyn ReadAt, start: u64, header: &Header) -> Result<u64> {
    let mut length = header.length;
    loop {
        let [a, b, c]: [u8; 3] = read(bytes, start.saturating_add(length))?;
        let block = u32::from_le_bytes([a, b, c, 0]);
        let size = match (block >> 1) & 3 {
            // One byte, repeated.
            1 => 1,
            3 => return Err(Error::damaged("a compressed block of the reserved type 3")),
            _ => u64::from(block >> 3),
        };
        length = length.saturating_add(3).saturating_add(size);
        if block & 1 == 1 {
            return Ok(length.saturating_add(if header.has_checksum { 4 } else { 0 }));
        }
    }
}

/// Unpacks a frame that does not say how much it holds, and counts.
fn count_content(bytes: &dyn ReadAt, start: u64, packed_len: u64) -> Result<u64> {
    let most = FREE_BYTES.saturating_add(packed_len.saturating_mul(MAX_RATIO));
    let frame = Frame { packed_start: start, packed_len, plain_start: 0, plain_len: 0 };
    let mut decoder = frame_decoder(bytes, frame)?.take(most.saturating_add(1));
    let damaged = |error| Error::damaged("a compressed frame does not unpack").caused_by(error);
    let content = io::copy(&mut decoder, &mut io::sink()).map_err(damaged)?;
    if content > most {
        return Err(Error::limit(format!(
            "{packed_len} bytes of zstd unpack to more than the {most} bytes that are allowed"
        )));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{super::FILLER, *};

    fn unsized_frame(content: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn sized_frame(content: &[u8], checksum: bool) -> Vec<u8> {
        let mut packer = zstd::bulk::Compressor::new(1).unwrap();
        packer.set_parameter(zstd::stream::raw::CParameter::ChecksumFlag(checksum)).unwrap();
        packer.compress(content).unwrap()
    }

    #[test]
    fn finds_the_frames_of_any_writer() {
        let noise: Vec<u8> =
            (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for content in [&[][..], b"x", &[7; 300], &[0; 70_000], &noise] {
            let parts = [
                unsized_frame(content),
                FILLER.to_vec(),
                sized_frame(content, true),
                sized_frame(content, false),
            ];
            let frames = walk(&parts.concat()).unwrap();
            let found: Vec<_> =
                frames.list().iter().map(|frame| (frame.packed_len, frame.plain_len)).collect();
            let content = content.len() as u64;
            let want: Vec<_> = parts
                .iter()
                .map(|part| part.len() as u64)
                .zip([content, 0, content, content])
                .collect();
            assert_eq!(found, want);
        }
    }

    #[test]
    fn the_end_frame_in_force_is_the_end() {
        let mut bytes = sized_frame(b"content", true);
        let end = bytes.len() as u64 + 11;
        bytes.extend(END_FRAME);
        assert_eq!(walk(&bytes).unwrap().packed_bytes(), end);
        bytes.extend([0x5e, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
        bytes.extend(b"half an append");
        assert_eq!(walk(&bytes).unwrap().packed_bytes(), end);
    }

    #[test]
    fn refuses_what_is_no_frame_and_what_is_cut() {
        let bytes = sized_frame(b"content", true);
        for length in 1..bytes.len() {
            let error = walk(&bytes[..length].to_vec()).unwrap_err();
            let want =
                format!("a compressed frame ends too early, {length} bytes are there, at byte 0");
            assert_eq!(error.to_string(), want);
        }
        let error = walk(&[bytes, b"garbage".to_vec()].concat()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "0x62726167 is no magic number of a zstd frame, 0xfd2fb528 or 0x184d2a50..=0x184d2a5f is, at byte 20"
        );
        let error = walk(&[0x28, 0xb5, 0x2f, 0xfd, 0x21, 1, 1, 7, 0, 0].to_vec()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a compressed frame needs a dictionary, which is not there, at byte 0"
        );
    }
}
