//! A stream that comes in odd pieces.

use std::io::{self, Read};

/// How many bytes each read gives at most, over and over.
const STEPS: [usize; 6] = [1, 511, 3, 513, 4096, 64];

/// The bytes as a pipe gives them: as much at a time as it likes.
pub(crate) struct Steps<'a> {
    bytes: &'a [u8],
    reads: usize,
}

impl<'a> Steps<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, reads: 0 }
    }
}

impl Read for Steps<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let step = STEPS[self.reads % STEPS.len()].min(buffer.len());
        self.reads += 1;
        self.bytes.read(&mut buffer[..step])
    }
}
