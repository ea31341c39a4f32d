//! A member of a plain archive, while it is written.

use std::{
    io,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use disk::{Progress, ReadAt, WriteAt};
use rayon::prelude::*;

use super::{Grown, hashed::KnownChunks};
use crate::{
    Error, Result,
    subtrees::{self, CHUNK_LEN, HEAD_LEN, Hashed, chunk_of, hash_chunk, start_of},
    tar::{BLOCK, BLOCK_LEN},
};

/// A part of the file, behind the room for a header.
pub(super) struct Window {
    file: Arc<dyn WriteAt>,
    /// Where the header goes.
    at: u64,
    /// The byte behind the last that was written, counted from the start of the member.
    written_to: AtomicU64,
    known: KnownChunks,
    /// Held by who writes: the kernel lets no two write to one file, and keeps the second one spinning.
    pen: Mutex<()>,
}

impl Window {
    pub(super) fn new(file: Arc<dyn WriteAt>, at: u64) -> Self {
        let (written_to, known) = (AtomicU64::new(0), KnownChunks::default());
        Self { file, at, written_to, known, pen: Mutex::new(()) }
    }

    pub(super) fn write(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        {
            let _pen = self.pen.lock().unwrap_or_else(PoisonError::into_inner);
            self.file.write_all_at(buf, self.of(offset))?;
        }
        self.known.written(buf, offset);
        self.written_to.fetch_max(offset.saturating_add(buf.len() as u64), Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buf, self.of(offset))
    }

    pub(super) fn copy_from(&self, source: &dyn ReadAt, range: Range<u64>, offset: u64) -> u64 {
        let copied = self.file.copy_from(source, range, self.of(offset));
        self.known.forget(offset, copied);
        self.written_to.fetch_max(offset.saturating_add(copied), Ordering::Relaxed);
        copied
    }

    /// Writes the header, and hashes what was not hashed when it was written: it is read back, from memory
    /// as far as it fits.
    pub(super) fn finish(
        &self,
        length_bytes: u64,
        header: &[u8; BLOCK_LEN],
        progress: &dyn Progress,
    ) -> Result<Grown> {
        if self.written_to.load(Ordering::Relaxed) < length_bytes {
            // What is not written are zeros.
            self.file.set_len_bytes(self.of(length_bytes))?;
        }
        self.file.write_all_at(header, self.at)?;
        let blake3 = self.hash(length_bytes, progress)?;
        Ok(Grown { blake3, frames: Vec::new() })
    }

    fn hash(&self, length_bytes: u64, progress: &dyn Progress) -> Result<String> {
        let mut head = vec![0; HEAD_LEN];
        head.truncate(usize::try_from(length_bytes).unwrap_or(HEAD_LEN));
        self.read(&mut head, 0)?;
        let chunks = match length_bytes.checked_sub(1) {
            Some(last) if length_bytes > HEAD_LEN as u64 => chunk_of(last).saturating_add(1),
            _ => 0,
        };
        let count = usize::try_from(chunks).unwrap_or(usize::MAX);
        let hashed: Result<Vec<Hashed>> = (0..count)
            .into_par_iter()
            .map_init(
                || vec![0; CHUNK_LEN],
                |buffer, number| {
                    if progress.stopped() {
                        return Err(Error::stopped());
                    }
                    let number = number as u64;
                    let start = start_of(number);
                    let end = start_of(number.saturating_add(1)).min(length_bytes);
                    let len = usize::try_from(end.saturating_sub(start)).unwrap_or(CHUNK_LEN);
                    // Chunk 0 is without the head, the last one may be short: both are read.
                    if let Some(known) = self.known.of(number).filter(|_| len == CHUNK_LEN) {
                        return Ok(vec![known]);
                    }
                    let bytes = buffer.get_mut(..len).unwrap_or_default();
                    self.read(bytes, start)?;
                    Ok(hash_chunk(number, bytes))
                },
            )
            .collect();
        Ok(subtrees::digest(length_bytes, &head, &hashed?)?.to_hex().to_string())
    }

    /// The byte of the file that a byte of the member is at.
    const fn of(&self, offset: u64) -> u64 {
        self.at.saturating_add(BLOCK).saturating_add(offset)
    }
}
