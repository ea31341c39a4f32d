//! A member of a compressed archive, while it is written.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use disk::WriteAt;
use zstd::bulk::Compressor;

use super::Grown;
use crate::{
    Error, Result,
    frames::{STORED_BYTES, compressor, stored},
    subtrees::{self, HEAD_BYTES, HEAD_LEN, Hashed, chunk_of, hash_chunk, start_of},
    tar::{BLOCK, BLOCK_LEN},
};

/// Chunks of 4 MiB, each packed into a frame by the thread that writes its last byte.
///
/// Frames stand in the order of the chunks; one that is packed early waits in memory, so that there are
/// about as many as there are threads that write.
pub(super) struct Chunks {
    file: Arc<dyn WriteAt>,
    /// Where the frame of the header goes, and that of the head behind it.
    at: u64,
    level: i32,
    state: Mutex<State>,
    /// Compressors are expensive to make: as many as threads write.
    compressors: Mutex<Vec<Compressor<'static>>>,
}

struct State {
    head: Vec<u8>,
    head_filled: u64,
    open: BTreeMap<u64, Open>,
    packed: BTreeMap<u64, Packed>,
    /// Where the next frame goes.
    position: u64,
    /// The frames that have their places: packed and plain bytes.
    frames: Vec<(u64, u64)>,
    hashed: Vec<Hashed>,
    /// Memory that was used and can be used again.
    spare: Vec<Vec<u8>>,
}

/// A chunk that is being filled.
struct Open {
    bytes: Vec<u8>,
    filled: u64,
}

/// A chunk that is packed and waits for its place.
struct Packed {
    frame: Vec<u8>,
    plain_len: u64,
    hashed: Hashed,
}

impl Chunks {
    pub(super) fn new(file: Arc<dyn WriteAt>, at: u64, level: i32) -> Self {
        let fronts = STORED_BYTES.saturating_mul(2).saturating_add(BLOCK);
        let state = State {
            head: vec![0; HEAD_LEN],
            head_filled: 0,
            open: BTreeMap::new(),
            packed: BTreeMap::new(),
            position: at.saturating_add(fronts).saturating_add(HEAD_BYTES),
            frames: Vec::new(),
            hashed: Vec::new(),
            spare: Vec::new(),
        };
        Self { file, at, level, state: Mutex::new(state), compressors: Mutex::default() }
    }

    pub(super) fn write(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let ready = {
            let mut state = self.lock();
            state.fill(buf, offset);
            state.ready()
        };
        for (chunk, bytes) in ready {
            self.pack(chunk, bytes)?;
        }
        Ok(())
    }

    /// Packs what is left, then writes the frames in front.
    pub(super) fn finish(&self, length_bytes: u64, header: &[u8; BLOCK_LEN]) -> Result<Grown> {
        let open = std::mem::take(&mut self.lock().open);
        for (chunk, open) in open {
            let start = start_of(chunk);
            let end = start_of(chunk.saturating_add(1)).min(length_bytes);
            let due = end.saturating_sub(start);
            require_all(open.filled, due, start)?;
            let mut bytes = open.bytes;
            bytes.truncate(usize::try_from(due).unwrap_or(usize::MAX));
            if !bytes.is_empty() {
                self.pack(chunk, bytes)?;
            }
        }
        let mut state = self.lock();
        let due = length_bytes.min(HEAD_BYTES);
        require_all(state.head_filled, due, 0)?;
        state.head.truncate(usize::try_from(due).unwrap_or(HEAD_LEN));
        let plain: u64 = state.frames.iter().map(|(_, plain)| plain).sum();
        require_all(plain, length_bytes.saturating_sub(due), HEAD_BYTES)?;
        let mut fronts = stored(header)?;
        let mut frames = vec![(fronts.len() as u64, BLOCK)];
        if due > 0 {
            let head = stored(&state.head)?;
            frames.push((head.len() as u64, due));
            fronts.extend_from_slice(&head);
        }
        self.file.write_all_at(&fronts, self.at)?;
        frames.append(&mut state.frames);
        let blake3 =
            subtrees::digest(length_bytes, &state.head, &state.hashed)?.to_hex().to_string();
        Ok(Grown { blake3, frames })
    }

    /// Hashes and packs a chunk, and writes every frame whose turn it is.
    fn pack(&self, chunk: u64, bytes: Vec<u8>) -> io::Result<()> {
        let hashed = hash_chunk(chunk, &bytes);
        let mut frame = self.lock().spare.pop().unwrap_or_default();
        frame.clear();
        frame.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        let spare = self.lock_compressors().pop();
        let mut compressor = match spare {
            Some(compressor) => compressor,
            None => compressor(self.level)?,
        };
        compressor.compress_to_buffer(&bytes, &mut frame)?;
        self.lock_compressors().push(compressor);
        let packed = Packed { frame, plain_len: bytes.len() as u64, hashed };
        let placed = self.lock().place(chunk, packed, bytes);
        for (at, frame) in placed {
            self.file.write_all_at(&frame, at)?;
            self.lock().spare.push(frame);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_compressors(&self) -> MutexGuard<'_, Vec<Compressor<'static>>> {
        self.compressors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Copies bytes to the head and the chunks that they belong to.
    fn fill(&mut self, mut bytes: &[u8], mut offset: u64) {
        while !bytes.is_empty() {
            let chunk = chunk_of(offset);
            let (start, end) = if offset < HEAD_BYTES {
                (0, HEAD_BYTES)
            } else {
                (start_of(chunk), start_of(chunk.saturating_add(1)))
            };
            let room = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
            let (part, rest) = bytes.split_at(room.min(bytes.len()));
            let len = part.len() as u64;
            let at = usize::try_from(offset.saturating_sub(start)).unwrap_or(usize::MAX);
            if offset < HEAD_BYTES {
                put(&mut self.head, part, at);
                self.head_filled = self.head_filled.saturating_add(len);
            } else {
                let open = self.open.entry(chunk).or_insert_with(|| {
                    let mut bytes = self.spare.pop().unwrap_or_default();
                    bytes.clear();
                    Open { bytes, filled: 0 }
                });
                put(&mut open.bytes, part, at);
                open.filled = open.filled.saturating_add(len);
            }
            (bytes, offset) = (rest, offset.saturating_add(len));
        }
    }

    /// Takes the chunks that are full; the last one waits, since the end may still be cut off.
    fn ready(&mut self) -> Vec<(u64, Vec<u8>)> {
        let Some(last) = self.open.last_key_value().map(|(chunk, _)| *chunk) else {
            return Vec::new();
        };
        let is_full = |(chunk, open): &(&u64, &Open)| {
            let due = start_of(chunk.saturating_add(1)).saturating_sub(start_of(**chunk));
            **chunk < last && open.filled >= due
        };
        let full: Vec<u64> = self.open.iter().filter(is_full).map(|(chunk, _)| *chunk).collect();
        full.into_iter()
            .filter_map(|chunk| Some((chunk, self.open.remove(&chunk)?.bytes)))
            .collect()
    }

    /// Gives a frame its place when all before it have theirs, and those that waited for it.
    fn place(&mut self, chunk: u64, packed: Packed, plain: Vec<u8>) -> Vec<(u64, Vec<u8>)> {
        self.spare.push(plain);
        self.packed.insert(chunk, packed);
        let mut placed = Vec::new();
        while let Some(next) = self.packed.remove(&(self.frames.len() as u64)) {
            let len = next.frame.len() as u64;
            placed.push((self.position, next.frame));
            self.position = self.position.saturating_add(len);
            self.frames.push((len, next.plain_len));
            self.hashed.push(next.hashed);
        }
        placed
    }
}

/// Copies bytes to a place of a buffer, which grows up to it.
fn put(buffer: &mut Vec<u8>, bytes: &[u8], at: usize) {
    if at == buffer.len() {
        buffer.extend_from_slice(bytes);
        return;
    }
    let end = at.saturating_add(bytes.len());
    if buffer.len() < end {
        buffer.resize(end, 0);
    }
    if let Some(place) = buffer.get_mut(at..end) {
        place.copy_from_slice(bytes);
    }
}

/// Refuses a part of which bytes are missing.
fn require_all(filled: u64, due: u64, start: u64) -> Result<()> {
    if filled >= due {
        return Ok(());
    }
    let missing = due.saturating_sub(filled);
    Err(Error::limit(format!("{missing} of {due} bytes at byte {start} were not written")))
}
