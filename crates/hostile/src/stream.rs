//! A disk image that arrives once, front to end.

use std::io::{self, Read};

use disk::{Piece, Result, Sequential, Workbench};

/// The largest disk that is kept: no seed is larger.
const MAX_KEPT_BYTES: u64 = 1 << 20;

/// The longest piece: a grain has 1 MiB at most, and what is not compressed comes in such pieces.
const MAX_PIECE_BYTES: u64 = 1 << 20;

/// How many bytes a pipe gives at once, in turn.
const STEPS: [usize; 7] = [1, 3, 511, 64, 4096, 513, 65_536];

/// Bytes that come in pieces of odd lengths, as from a pipe.
#[derive(Debug)]
pub(crate) struct Dribble<'a> {
    bytes: &'a [u8],
    reads: usize,
}

impl<'a> Dribble<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, reads: 0 }
    }
}

impl Read for Dribble<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = STEPS[self.reads % STEPS.len()].min(buf.len());
        self.reads += 1;
        self.bytes.read(&mut buf[..most])
    }
}

/// Reads a stream to its end and gives the disk; an empty one when it is too large to be kept.
///
/// # Errors
///
/// Those of the stream.
///
/// # Panics
///
/// When a piece does not lie inside the disk, or is longer than any may be.
#[expect(clippy::panic_in_result_fn, reason = "a stream may fail, its pieces may not lie")]
pub(crate) fn read(image: &mut dyn Sequential) -> Result<Vec<u8>> {
    let capacity = image.capacity_bytes();
    let kept = if capacity <= MAX_KEPT_BYTES { capacity } else { 0 };
    let mut disk = vec![0; usize::try_from(kept).expect("under the limit")];
    let (mut piece, mut bench, mut out) = (Piece::default(), Workbench::new(), Vec::new());
    while image.next(&mut piece)? {
        let (start, len) = (piece.start_bytes, piece.len_bytes);
        assert!((1..=MAX_PIECE_BYTES).contains(&len), "a piece of {len} bytes at byte {start}");
        assert!(capacity.checked_sub(start).is_some_and(|rest| len <= rest), "inside the disk");
        out.resize(usize::try_from(len).expect("under the limit"), 0xee);
        piece.decode(&mut bench, &mut out)?;
        if kept > 0 {
            let start = usize::try_from(start).expect("inside the disk");
            disk[start..start + out.len()].copy_from_slice(&out);
        }
    }
    Ok(disk)
}
