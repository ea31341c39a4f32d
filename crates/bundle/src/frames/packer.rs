//! Writing frames, on all cores.

use std::fmt;

use rayon::prelude::*;
use zstd::{bulk::Compressor, stream::raw::CParameter};

use super::{END_FRAME, FILLER, FRAME_BYTES, Frames, straddles};
use crate::{Medium, Result, tar};

/// The most frames that are packed at once, whatever the number of cores (ours: 128 MiB of memory).
const MAX_BATCH: usize = 16;

/// Packs what is written to it into frames, a batch of them at a time.
pub(crate) struct Packer<'a> {
    medium: &'a dyn Medium,
    frames: Frames,
    level: i32,
    /// Frames that are full.
    batch: Vec<Chunk>,
    /// The frame that is being filled.
    chunk: Chunk,
    /// Memory that was used and can be used again.
    spare: Vec<Chunk>,
    batch_len: usize,
}

/// The content of a frame, and the frame.
#[derive(Default)]
struct Chunk {
    plain: Vec<u8>,
    packed: Vec<u8>,
}

impl Chunk {
    fn pack(&mut self, level: i32) -> Result<()> {
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(self.plain.len()));
        compressor(level)?.compress_to_buffer(&self.plain, &mut self.packed)?;
        Ok(())
    }
}

impl fmt::Debug for Packer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packer(level {}, {} bytes written)", self.level, self.frames.packed_bytes())
    }
}

impl<'a> Packer<'a> {
    /// Writes behind `frames`, which are in the file already.
    pub(crate) fn new(medium: &'a dyn Medium, frames: Frames, level: i32) -> Self {
        let batch_len = rayon::current_num_threads().saturating_mul(2).clamp(2, MAX_BATCH);
        let (batch, spare) = (Vec::new(), Vec::new());
        Self { medium, frames, level, batch, chunk: Chunk::default(), spare, batch_len }
    }

    /// Adds content.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = FRAME_BYTES.saturating_sub(self.chunk.plain.len());
            let (head, rest) = bytes.split_at(room.min(bytes.len()));
            self.chunk.plain.extend_from_slice(head);
            bytes = rest;
            if self.chunk.plain.len() == FRAME_BYTES {
                self.cut()?;
            }
        }
        Ok(())
    }

    /// Ends the frame: what follows begins with another one.
    pub(crate) fn cut(&mut self) -> Result<()> {
        if !self.chunk.plain.is_empty() {
            let next = self.spare.pop().unwrap_or_default();
            self.batch.push(std::mem::replace(&mut self.chunk, next));
        }
        if self.batch.len() >= self.batch_len {
            self.flush()?;
        }
        Ok(())
    }

    /// Packs and writes what is full.
    fn flush(&mut self) -> Result<()> {
        let (level, mut batch) = (self.level, std::mem::take(&mut self.batch));
        batch.par_iter_mut().try_for_each(|chunk| chunk.pack(level))?;
        for mut chunk in batch {
            self.put(&chunk.packed, chunk.plain.len() as u64)?;
            chunk.plain.clear();
            self.spare.push(chunk);
        }
        Ok(())
    }

    /// Writes what is there, and gives the byte at which frames may be written that are not packed here:
    /// [`adopt`](Self::adopt) adds them.
    pub(crate) fn pause(&mut self) -> Result<u64> {
        self.cut()?;
        self.flush()?;
        Ok(self.frames.packed_bytes())
    }

    /// Adds frames that were written behind the last one: packed and plain bytes of each.
    pub(crate) fn adopt(&mut self, frames: &[(u64, u64)]) -> Result<()> {
        frames.iter().try_for_each(|(packed, plain)| self.frames.push(*packed, *plain))
    }

    /// The level of zstd.
    pub(crate) const fn level(&self) -> i32 {
        self.level
    }

    fn put(&mut self, bytes: &[u8], plain_len: u64) -> Result<()> {
        self.medium.write_all_at(bytes, self.frames.packed_bytes())?;
        self.frames.push(bytes.len() as u64, plain_len)
    }

    /// Writes the end frame and the table, and gives the length of the file in bytes.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.cut()?;
        self.flush()?;
        if straddles(self.frames.packed_bytes()) {
            self.put(&FILLER, 0)?;
        }
        self.put(&END_FRAME, tar::END_BYTES)?;
        let (table, at) = (self.frames.table()?, self.frames.packed_bytes());
        self.medium.write_all_at(&table, at)?;
        Ok(at.saturating_add(table.len() as u64))
    }
}

/// A compressor of one frame, which says how much it holds and has a checksum.
///
/// So no frame of content is ever the same bytes as an end frame, which has none.
pub(crate) fn compressor(level: i32) -> std::io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use disk::ReadAt as _;

    use super::{
        super::{Unpacked, find, walk},
        *,
    };
    use crate::fake::Memory;

    #[test]
    fn what_is_packed_is_found_by_the_table_and_without_it() {
        let content = testkit::content(9 << 20);
        let medium = Memory::default();
        let mut packer = Packer::new(&medium, Frames::default(), 1);
        let (small, great) = content.split_at(100);
        packer.write(small).unwrap();
        packer.cut().unwrap();
        packer.write(great).unwrap();
        let length = packer.finish().unwrap();
        let bytes = medium.bytes();
        assert_eq!(length, bytes.len() as u64);
        let found = find(&bytes).unwrap();
        assert!(found.by_table);
        assert_eq!(found.frames, walk(&bytes).unwrap());
        let lengths: Vec<_> = found.frames.list().iter().map(|frame| frame.plain_len).collect();
        assert_eq!(lengths, [100, 4 << 20, 4 << 20, (1 << 20) - 100, 1024]);
        let whole = zstd::decode_all(bytes.as_slice()).unwrap();
        assert!(whole[..content.len()] == content && whole[content.len()..] == [0; 1024]);
        let unpacked = Unpacked::new(Arc::new(bytes), found.frames);
        let mut out = vec![0; content.len()];
        unpacked.read_exact_at(&mut out, 0).unwrap();
        assert!(out == content);
    }
}
