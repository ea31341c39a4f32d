//! Digests of the source's bytes, taken in the run that converts them.
//!
//! ```text
//! a file:  the copy reads grains at any place     one more thread reads the member in order, from the
//!                                                 same pages, and hashes
//! a pipe:  reader -> Tee -> the copy              the tee passes each block to the hashing thread
//! ```

use std::{
    io::{self, Read},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{Scope, ScopedJoinHandle},
};

use disk::{Progress, ReadAt};
use ovf::manifest::{Algorithm, Digest, Hasher};

/// Bytes that are hashed at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// Blocks that may wait for the hashing thread.
const WAITING_BLOCKS: usize = 4;

/// Hashes bytes in order with every algorithm.
///
/// # Errors
/// The bytes cannot be read, or somebody said stop (`Interrupted`).
pub fn digest(
    bytes: &dyn ReadAt,
    algorithms: &[Algorithm],
    progress: &dyn Progress,
) -> io::Result<Vec<Digest>> {
    let mut hashers = hashers(algorithms);
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = 0;
    while at < bytes.len_bytes() {
        if progress.stopped() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let rest = usize::try_from(bytes.len_bytes() - at).unwrap_or(BLOCK_BYTES);
        let block = &mut block[..rest.min(BLOCK_BYTES)];
        bytes.read_exact_at(block, at)?;
        hashers.iter_mut().for_each(|hasher| hasher.update(block));
        at += block.len() as u64;
    }
    Ok(hashers.into_iter().map(Hasher::finish).collect())
}

/// A reader whose bytes are hashed on another thread while they pass.
pub struct Tee<'scope, R> {
    inner: R,
    block: Arc<Vec<u8>>,
    at: usize,
    out: Option<SyncSender<Arc<Vec<u8>>>>,
    hashing: ScopedJoinHandle<'scope, Vec<Digest>>,
}

impl<'scope, R: Read> Tee<'scope, R> {
    /// Starts the hashing thread in `scope`.
    pub fn new<'env>(
        inner: R,
        algorithms: &[Algorithm],
        scope: &'scope Scope<'scope, 'env>,
    ) -> Self {
        let mut hashers = hashers(algorithms);
        let (out, blocks): (_, Receiver<Arc<Vec<u8>>>) = sync_channel(WAITING_BLOCKS);
        let hashing = scope.spawn(move || {
            for block in blocks {
                hashers.iter_mut().for_each(|hasher| hasher.update(&block));
            }
            hashers.into_iter().map(Hasher::finish).collect()
        });
        Self { inner, block: Arc::default(), at: 0, out: Some(out), hashing }
    }

    /// Reads what is left and gives the digests, in the order of the algorithms.
    ///
    /// # Errors
    /// The reader fails.
    pub fn finish(mut self) -> io::Result<Vec<Digest>> {
        while self.next_block()? {}
        self.out = None;
        self.hashing.join().map_err(|_| io::Error::other("the hashing thread failed"))
    }

    /// Reads the next block and passes it on; false at the end.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        self.inner.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block)?;
        self.block = Arc::new(block);
        self.at = 0;
        if self.block.is_empty() {
            return Ok(false);
        }
        if let Some(out) = &self.out {
            out.send(Arc::clone(&self.block)).map_err(io::Error::other)?;
        }
        Ok(true)
    }
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() && !self.next_block()? {
            return Ok(0);
        }
        let ready = &self.block[self.at..];
        let count = ready.len().min(out.len());
        out[..count].copy_from_slice(&ready[..count]);
        self.at += count;
        Ok(count)
    }
}

impl<R> std::fmt::Debug for Tee<'_, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tee").finish_non_exhaustive()
    }
}

fn hashers(algorithms: &[Algorithm]) -> Vec<Hasher> {
    algorithms.iter().copied().map(Hasher::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tee_and_a_file_give_the_same_digests() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let algorithms = [Algorithm::Sha256, Algorithm::Sha1];
        let want = digest(&bytes, &algorithms, &disk::Unheard).unwrap();
        let got = std::thread::scope(|scope| {
            let mut tee = Tee::new(bytes.as_slice(), &algorithms, scope);
            let mut some = vec![0; 1234];
            tee.read_exact(&mut some).unwrap();
            assert_eq!(some, bytes[..1234]);
            tee.finish().unwrap()
        });
        assert_eq!(got, want);
    }
}
