//! What disks hold, and disks that hold it.

use disk::vmdk::{StreamOptions, StreamWriter};

/// The size of a grain and of a cluster.
pub(crate) const GRAIN_BYTES: usize = 64 << 10;

/// Content that has every kind of grain: text, noise, zeros, and grains of which only a byte is set.
///
/// The same for the same capacity; the first grain is never zeros.
#[must_use]
pub fn content(capacity_bytes: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(capacity_bytes).expect("fits in memory")];
    for (number, grain) in bytes.chunks_mut(GRAIN_BYTES).enumerate() {
        match number % 5 {
            0 => text(number, grain),
            1 => noise(number, grain),
            2 => {}
            3 => grain[grain.len() - 1] = 1,
            _ => grain[0] = 2,
        }
    }
    bytes
}

/// Lines of text.
pub(crate) fn text(seed: usize, grain: &mut [u8]) {
    let line = format!("grain {seed} holds this line again and again\n");
    for (slot, byte) in grain.iter_mut().zip(line.bytes().cycle()) {
        *slot = byte;
    }
}

/// Bytes that do not compress (xorshift).
pub(crate) fn noise(seed: usize, grain: &mut [u8]) {
    let mut state = seed as u64 + 0x9e37_79b9_7f4a_7c15;
    for chunk in grain.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
}

/// A streamOptimized VMDK of these bytes.
#[must_use]
pub fn stream_optimized(bytes: &[u8], name: &str) -> Vec<u8> {
    let options = StreamOptions::new(bytes.len() as u64, name, 0x1234_5678);
    let mut writer = StreamWriter::create(Vec::new(), &options).expect("sound options");
    for (index, grain) in (0..).zip(bytes.chunks(GRAIN_BYTES)) {
        writer.write_grain(index, grain).expect("memory takes every write");
    }
    writer.finish().expect("memory takes every write")
}
