//! What the frames hold, read at any place.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, BufReader, Read},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use disk::ReadAt;
use rayon::prelude::*;

use super::{FRAME_BYTES, Frame, Frames, is_end_frame};
use crate::{Error, Result};

/// The content of a frame that is unpacked into memory as a whole (ours: twice what we write).
pub(crate) const MAX_BUFFERED_BYTES: u64 = 2 * FRAME_BYTES as u64;
/// How many unpacked frames are kept for the next read.
const KEPT_FRAMES: usize = 8;
/// The largest window of a foreign frame (ours), as a power of two.
const MAX_WINDOW_LOG: u32 = 27;
/// What is unpacked at once where a frame is passed over.
const STEP_BYTES: usize = 128 << 10;

/// The unpacked bytes of a file of frames.
///
/// A frame of at most 8 MiB is unpacked as a whole, on any thread, and the last few are kept. A greater
/// one, of another writer, is unpacked as a stream: reading forwards costs what it should, going back
/// begins it again.
pub(crate) struct Unpacked {
    packed: Arc<dyn ReadAt>,
    frames: Frames,
    kept: Mutex<VecDeque<(usize, Arc<Vec<u8>>)>>,
    stream: Mutex<Option<Stream>>,
}

/// A great frame that is being unpacked.
struct Stream {
    index: usize,
    frame: Frame,
    /// How many bytes of the frame were unpacked.
    position: u64,
    decoder: Decoder<Arc<dyn ReadAt>>,
}

/// A decoder of one frame.
type Decoder<B> = zstd::stream::read::Decoder<'static, BufReader<Part<B>>>;

/// A part of a read that lies in one frame.
struct Piece<'a> {
    index: usize,
    frame: Frame,
    /// From which byte of the frame's content on.
    from: u64,
    out: &'a mut [u8],
}

impl Unpacked {
    pub(crate) fn new(packed: Arc<dyn ReadAt>, frames: Frames) -> Self {
        Self { packed, frames, kept: Mutex::default(), stream: Mutex::default() }
    }

    pub(crate) fn frames(&self) -> &Frames {
        &self.frames
    }

    /// Divides a read among the frames.
    fn pieces<'a>(&self, mut out: &'a mut [u8], mut offset: u64) -> io::Result<Vec<Piece<'a>>> {
        let mut pieces = Vec::new();
        while !out.is_empty() {
            let (index, frame) = self.frames.at(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
            let from = offset.saturating_sub(frame.plain_start);
            let there = frame.plain_len.saturating_sub(from);
            let count = usize::try_from(there).unwrap_or(usize::MAX).min(out.len());
            let (head, rest) = out.split_at_mut(count);
            pieces.push(Piece { index, frame, from, out: head });
            out = rest;
            offset = offset.saturating_add(count as u64);
        }
        Ok(pieces)
    }

    fn fill(&self, piece: Piece<'_>) -> Result<()> {
        let Piece { index, frame, from, out } = piece;
        let start = frame.plain_start;
        let is_small =
            frame.plain_len <= MAX_BUFFERED_BYTES && frame.packed_len <= 2 * MAX_BUFFERED_BYTES;
        if !is_small {
            return self.stream(index, frame, from, out).map_err(|error| error.at(start));
        }
        if from == 0 && out.len() as u64 == frame.plain_len {
            return self.unpack(frame, out).map_err(|error| error.at(start));
        }
        let content = self.kept(index, frame).map_err(|error| error.at(start))?;
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let there = from.checked_add(out.len()).and_then(|end| content.get(from..end));
        out.copy_from_slice(there.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    /// The content of a frame, unpacked now or a short while ago.
    fn kept(&self, index: usize, frame: Frame) -> Result<Arc<Vec<u8>>> {
        if let Some((_, content)) = lock(&self.kept).iter().find(|(kept, _)| *kept == index) {
            return Ok(Arc::clone(content));
        }
        let mut content = vec![0; usize::try_from(frame.plain_len).unwrap_or(0)];
        self.unpack(frame, &mut content)?;
        let content = Arc::new(content);
        let mut kept = lock(&self.kept);
        if kept.len() >= KEPT_FRAMES {
            kept.pop_front();
        }
        kept.push_back((index, Arc::clone(&content)));
        Ok(content)
    }

    /// Unpacks a small frame as a whole; it has a checksum of its own where the writer made one.
    fn unpack(&self, frame: Frame, out: &mut [u8]) -> Result<()> {
        let mut packed = vec![0; usize::try_from(frame.packed_len).unwrap_or(0)];
        self.packed.read_exact_at(&mut packed, frame.packed_start)?;
        if packed
            .first_chunk()
            .is_some_and(|first| packed.len() == first.len() && is_end_frame(first))
        {
            // Also where only a part of the write arrived that passes over it.
            out.fill(0);
            return Ok(());
        }
        let mut decoder = zstd::bulk::Decompressor::new()?;
        decoder.window_log_max(MAX_WINDOW_LOG)?;
        let count = decoder
            .decompress_to_buffer(&packed, out)
            .map_err(|error| does_not_unpack(frame).caused_by(error))?;
        if count as u64 != frame.plain_len {
            return Err(Error::damaged(format!(
                "the compressed frame at byte {} of the file unpacks to {count} bytes, {} are due",
                frame.packed_start, frame.plain_len
            )));
        }
        Ok(())
    }

    /// Unpacks a great frame up to where the bytes are.
    fn stream(&self, index: usize, frame: Frame, from: u64, out: &mut [u8]) -> Result<()> {
        let mut slot = lock(&self.stream);
        let usable = slot.take().filter(|at| at.index == index && at.position <= from);
        let mut stream = match usable {
            Some(stream) => stream,
            None => {
                let decoder = frame_decoder(Arc::clone(&self.packed), frame)?;
                Stream { index, frame, position: 0, decoder }
            }
        };
        let mut passed = vec![0; STEP_BYTES];
        while stream.position < from {
            let rest = usize::try_from(from.saturating_sub(stream.position)).unwrap_or(usize::MAX);
            let step = passed.get_mut(..rest.min(STEP_BYTES)).unwrap_or_default();
            stream.read(step)?;
        }
        stream.read(out)?;
        *slot = Some(stream);
        Ok(())
    }
}

impl Stream {
    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        let damaged = |error| does_not_unpack(self.frame).caused_by(error);
        self.decoder.read_exact(out).map_err(damaged)?;
        self.position = self.position.saturating_add(out.len() as u64);
        Ok(())
    }
}

/// A frame whose bytes are not those that were written.
fn does_not_unpack(frame: Frame) -> Error {
    let start = frame.packed_start;
    Error::damaged(format!("the compressed frame at byte {start} of the file does not unpack"))
}

impl ReadAt for Unpacked {
    fn len_bytes(&self) -> u64 {
        self.frames.plain_bytes()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let pieces = self.pieces(buf, offset_bytes)?;
        if pieces.len() > 1 {
            return Ok(pieces.into_par_iter().try_for_each(|piece| self.fill(piece))?);
        }
        Ok(pieces.into_iter().try_for_each(|piece| self.fill(piece))?)
    }

    fn check_unchanged(&self) -> io::Result<()> {
        self.packed.check_unchanged()
    }
}

impl fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unpacked({} bytes)", self.len_bytes())
    }
}

/// Begins to unpack one frame as a stream.
pub(super) fn frame_decoder<B: AsBytes>(bytes: B, frame: Frame) -> Result<Decoder<B>> {
    let part = Part { bytes, position: frame.packed_start, left: frame.packed_len };
    let mut decoder = zstd::stream::read::Decoder::new(part)?.single_frame();
    decoder.window_log_max(MAX_WINDOW_LOG)?;
    Ok(decoder)
}

/// Bytes that are lent or shared.
pub(super) trait AsBytes {
    fn as_bytes(&self) -> &dyn ReadAt;
}

impl AsBytes for Arc<dyn ReadAt> {
    fn as_bytes(&self) -> &dyn ReadAt {
        &**self
    }
}

impl AsBytes for &dyn ReadAt {
    fn as_bytes(&self) -> &dyn ReadAt {
        *self
    }
}

/// A range of bytes, read front to end.
pub(super) struct Part<B> {
    bytes: B,
    position: u64,
    left: u64,
}

impl<B: AsBytes> Read for Part<B> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let Some(out) = out.get_mut(..count) else { return Ok(0) };
        self.bytes.as_bytes().read_exact_at(out, self.position)?;
        self.position = self.position.saturating_add(count as u64);
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{super::walk, *};

    fn unpacked(bytes: Vec<u8>) -> Unpacked {
        let frames = walk(&bytes).unwrap();
        Unpacked::new(Arc::new(bytes), frames)
    }

    fn check(unpacked: &Unpacked, content: &[u8]) {
        assert_eq!(unpacked.len_bytes(), content.len() as u64);
        for (from, count) in
            [(0, content.len()), (5, 10), (content.len() - 3, 3), (1, content.len() / 2)]
        {
            let mut out = vec![0; count];
            unpacked.read_exact_at(&mut out, from as u64).unwrap();
            assert!(out == content[from..from + count], "{count} bytes from {from}");
        }
        let error = unpacked.read_exact_at(&mut [0; 4], content.len() as u64 - 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn reads_across_frames_and_inside_one() {
        let content = testkit::content(300_000);
        let parts = content.chunks(70_000).map(|part| zstd::bulk::compress(part, 1).unwrap());
        check(&unpacked(parts.collect::<Vec<_>>().concat()), &content);
    }

    #[test]
    fn reads_one_great_frame_of_another_writer() {
        let content = testkit::content(9 << 20);
        check(&unpacked(zstd::encode_all(content.as_slice(), 1).unwrap()), &content);
    }

    #[test]
    fn a_frame_that_is_damaged_or_of_another_length_is_named_with_its_byte() {
        let parts = [&[1; 500][..], &[2; 500]].map(|part| zstd::bulk::compress(part, 1).unwrap());
        let mut frames = Frames::default();
        frames.push(parts[0].len() as u64, 500).unwrap();
        frames.push(parts[1].len() as u64, 501).unwrap();
        let at = parts[0].len();
        let unpacked = Unpacked::new(Arc::new(parts.concat()), frames);
        let read = |offset| Error::from(unpacked.read_exact_at(&mut [0; 8], offset).unwrap_err());
        assert_eq!(
            read(600).to_string(),
            format!(
                "the compressed frame at byte {at} of the file unpacks to 500 bytes, 501 are due, at byte 500"
            )
        );
        let mut bytes = parts.concat();
        bytes[10] ^= 0xff;
        let frames = walk(&parts.concat()).unwrap();
        let unpacked = Unpacked::new(Arc::new(bytes), frames);
        let error = Error::from(unpacked.read_exact_at(&mut [0; 8], 0).unwrap_err());
        let want = "the compressed frame at byte 0 of the file does not unpack, at byte 0";
        assert_eq!(error.to_string(), want);
    }
}
