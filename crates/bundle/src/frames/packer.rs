//! Writing frames: one thread fills them, all cores pack them, and they are written in order.
//!
//! ```text
//! caller: read, hash, fill a chunk --+--> pool: pack --+--> caller: write, oldest first
//!                                    +--> pool: pack --+    when it fills the next one
//! ```
//!
//! Nothing waits while something can be done: the caller goes on filling until so many chunks are under
//! way that memory would be too much, and only then waits for the oldest.

use std::{
    collections::VecDeque,
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, TryRecvError, sync_channel},
    },
};

use disk::{Progress, ReadAt, is_zero};
use zstd::{bulk::Compressor, stream::raw::CParameter};

use super::{END_FRAME, FILLER, FRAME_BYTES, Frames, straddles};
use crate::{Error, Result, medium::Anchored, tar};

/// The most frames that are under way at once, whatever the number of cores (ours: 80 MiB of memory).
const MAX_UNDER_WAY: usize = 10;

/// Packs what is written to it into frames.
pub(crate) struct Packer<'a> {
    medium: Anchored<'a>,
    frames: Frames,
    /// The chunk that is being filled.
    chunk: Chunk,
    /// Those that are being packed, oldest first.
    under_way: VecDeque<Receiver<io::Result<Chunk>>>,
    /// Memory that was used and can be used again.
    spare: Vec<Chunk>,
    presses: Arc<Presses>,
    max_under_way: usize,
}

impl fmt::Debug for Packer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (level, written) = (self.presses.level, self.frames.packed_bytes());
        write!(f, "Packer(level {level}, {written} bytes written)")
    }
}

impl<'a> Packer<'a> {
    /// Writes behind `frames`, which are in the file already.
    pub(crate) fn new(medium: Anchored<'a>, frames: Frames, level: i32) -> Self {
        let max_under_way = rayon::current_num_threads().saturating_mul(2).clamp(2, MAX_UNDER_WAY);
        let presses = Arc::new(Presses { level, idle: Mutex::default() });
        let (under_way, spare) = (VecDeque::new(), Vec::new());
        let chunk = Chunk::default();
        Self { medium, frames, chunk, under_way, spare, presses, max_under_way }
    }

    /// Adds content.
    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let room = self.chunk.room();
            let (head, rest) = bytes.split_at(room.len().min(bytes.len()));
            room.get_mut(..head.len()).unwrap_or_default().copy_from_slice(head);
            self.filled(head.len())?;
            bytes = rest;
        }
        Ok(())
    }

    /// Adds a range of other bytes, and shows each step of it to `seen`; they are copied once.
    pub(crate) fn read(
        &mut self,
        bytes: &dyn ReadAt,
        range: std::ops::Range<u64>,
        progress: &dyn Progress,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            if progress.stopped() {
                return Err(Error::stopped());
            }
            let left = usize::try_from(range.end.saturating_sub(at)).unwrap_or(usize::MAX);
            let room = self.chunk.room();
            let count = room.len().min(left);
            let step = room.get_mut(..count).unwrap_or_default();
            bytes.read_exact_at(step, at)?;
            seen(step);
            self.filled(count)?;
            progress.advance(count as u64);
            at = at.saturating_add(count as u64);
        }
        Ok(())
    }

    fn filled(&mut self, count: usize) -> Result<()> {
        self.chunk.len = self.chunk.len.saturating_add(count);
        if self.chunk.len >= FRAME_BYTES { self.cut() } else { Ok(()) }
    }

    /// Ends the frame: what follows begins with another one.
    pub(crate) fn cut(&mut self) -> Result<()> {
        if self.chunk.len == 0 {
            return Ok(());
        }
        while let Some(packed) = self.next_packed(self.max_under_way)? {
            self.put_chunk(packed)?;
        }
        let next = self.spare.pop().unwrap_or_default();
        let mut chunk = std::mem::replace(&mut self.chunk, next);
        let (result, packed) = sync_channel(1);
        let presses = Arc::clone(&self.presses);
        rayon::spawn_fifo(move || {
            let done = presses.pack(&mut chunk).map(|()| chunk);
            // Nobody waits for it where writing has failed.
            drop(result.send(done));
        });
        self.under_way.push_back(packed);
        Ok(())
    }

    /// The oldest chunk, if it is packed; it is waited for when `most` are under way.
    fn next_packed(&mut self, most: usize) -> Result<Option<Chunk>> {
        let is_full = self.under_way.len() >= most;
        let Some(oldest) = self.under_way.front() else { return Ok(None) };
        let packed = match oldest.try_recv() {
            Ok(packed) => packed,
            Err(TryRecvError::Empty) if !is_full => return Ok(None),
            Err(_) => wait_for(oldest)?,
        };
        self.under_way.pop_front();
        Ok(Some(packed?))
    }

    fn put_chunk(&mut self, mut chunk: Chunk) -> Result<()> {
        self.put(&chunk.packed, chunk.len as u64)?;
        chunk.len = 0;
        self.spare.push(chunk);
        Ok(())
    }

    /// Writes what is there, and gives the byte at which frames may be written that are not packed here:
    /// [`adopt`](Self::adopt) adds them.
    pub(crate) fn pause(&mut self) -> Result<u64> {
        self.cut()?;
        while let Some(packed) = self.next_packed(1)? {
            self.put_chunk(packed)?;
        }
        Ok(self.frames.packed_bytes())
    }

    /// Adds frames that were written behind the last one: packed and plain bytes of each.
    pub(crate) fn adopt(&mut self, frames: &[(u64, u64)]) -> Result<()> {
        frames.iter().try_for_each(|(packed, plain)| self.frames.push(*packed, *plain))
    }

    /// The level of zstd.
    pub(crate) fn level(&self) -> i32 {
        self.presses.level
    }

    fn put(&mut self, bytes: &[u8], plain_len: u64) -> Result<()> {
        self.medium.write_all_at(bytes, self.frames.packed_bytes())?;
        self.frames.push(bytes.len() as u64, plain_len)
    }

    /// Writes the end frame and the table, and gives the length of the file in bytes.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.pause()?;
        if straddles(self.frames.packed_bytes()) {
            self.put(&FILLER, 0)?;
        }
        self.put(&END_FRAME, tar::END_BYTES)?;
        let (table, at) = (self.frames.table()?, self.frames.packed_bytes());
        self.medium.write_all_at(&table, at)?;
        Ok(at.saturating_add(table.len() as u64))
    }
}

/// Waits for a chunk; a thread of the pool does other work of the pool meanwhile.
fn wait_for(packed: &Receiver<io::Result<Chunk>>) -> io::Result<io::Result<Chunk>> {
    while rayon::yield_now() == Some(rayon::Yield::Executed) {
        if let Ok(done) = packed.try_recv() {
            return Ok(done);
        }
    }
    packed.recv().map_err(|_| io::Error::other("a worker ended without its frame"))
}

/// The content of a frame, and the frame.
#[derive(Default)]
struct Chunk {
    /// Memory for a whole frame, made when it is first filled.
    plain: Vec<u8>,
    /// How much of it is filled.
    len: usize,
    packed: Vec<u8>,
}

impl Chunk {
    /// Where content goes next; never empty before the chunk is full.
    fn room(&mut self) -> &mut [u8] {
        if self.plain.is_empty() {
            self.plain = vec![0; FRAME_BYTES];
        }
        self.plain.get_mut(self.len..).unwrap_or_default()
    }
}

/// What packs, kept from one frame to the next: it is expensive to make.
struct Presses {
    level: i32,
    idle: Mutex<Vec<Press>>,
}

/// A compressor of one frame at a time.
struct Press {
    compressor: Compressor<'static>,
    /// The frame of a whole chunk of zeros, once there was one.
    zeros: Option<Vec<u8>>,
}

impl Presses {
    fn pack(&self, chunk: &mut Chunk) -> io::Result<()> {
        let idle = self.idle().pop();
        let mut press = match idle {
            Some(press) => press,
            None => Press::new(self.level)?,
        };
        press.pack(chunk)?;
        self.idle().push(press);
        Ok(())
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Press>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Press {
    fn new(level: i32) -> io::Result<Self> {
        Ok(Self { compressor: compressor(level)?, zeros: None })
    }

    fn pack(&mut self, chunk: &mut Chunk) -> io::Result<()> {
        let plain = chunk.plain.get(..chunk.len).unwrap_or_default();
        let is_hole = plain.len() == FRAME_BYTES && is_zero(plain);
        chunk.packed.clear();
        if let Some(zeros) = self.zeros.as_ref().filter(|_| is_hole) {
            chunk.packed.extend_from_slice(zeros);
            return Ok(());
        }
        chunk.packed.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        self.compressor.compress_to_buffer(plain, &mut chunk.packed)?;
        if is_hole {
            self.zeros = Some(chunk.packed.clone());
        }
        Ok(())
    }
}

/// A compressor of frames, each of which says how much it holds and has a checksum.
///
/// So none with content is ever the same bytes as an end frame, which has none.
pub(crate) fn compressor(level: i32) -> io::Result<Compressor<'static>> {
    let mut compressor = Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

#[cfg(test)]
mod tests {
    use disk::ReadAt as _;

    use super::{
        super::{Unpacked, find, walk},
        *,
    };
    use crate::fake::Memory;

    #[test]
    fn the_frames_are_in_order_on_any_pool_and_from_inside_one() {
        let mut content = testkit::content(90 << 20);
        content[13 << 20..55 << 20].fill(0);
        let pack = || {
            let medium = Memory::default();
            let mut packer =
                Packer::new((&medium as &dyn crate::Medium).into(), Frames::default(), 1);
            packer.write(&content[..1000]).unwrap();
            let mut seen = Vec::new();
            let rest = 1000..content.len() as u64;
            packer
                .read(&content, rest, &disk::Unheard, |step| seen.extend_from_slice(step))
                .unwrap();
            assert!(seen == content[1000..]);
            packer.finish().unwrap();
            medium.bytes()
        };
        let outside = pack();
        let whole = zstd::decode_all(outside.as_slice()).unwrap();
        assert!(whole[..content.len()] == content && whole.len() == content.len() + 1024);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert!(pool.install(pack) == outside, "{threads} threads");
        }
    }

    #[test]
    fn a_write_that_fails_ends_it() {
        let content = testkit::content(50 << 20);
        let medium = Memory::failing(Vec::new(), 2);
        let mut packer = Packer::new((&medium as &dyn crate::Medium).into(), Frames::default(), 1);
        let done = packer.write(&content).and_then(|()| packer.finish());
        assert_eq!(done.unwrap_err().kind(), crate::Kind::Io);
    }

    #[test]
    fn what_is_packed_is_found_by_the_table_and_without_it() {
        let content = testkit::content(9 << 20);
        let medium = Memory::default();
        let mut packer = Packer::new((&medium as &dyn crate::Medium).into(), Frames::default(), 1);
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
