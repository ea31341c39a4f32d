//! Guest content as disks have it.

use testkit::{Fill, GuestDisk, MIB, Run};

/// A cluster, and a grain, as a length in memory.
pub(crate) const CLUSTER: usize = disk::CLUSTER_BYTES as usize;

/// How much a benchmark goes through at a time: more than the second cache, less than a test disk.
const SAMPLE_BYTES: u64 = 4 * MIB;

/// A kind of content, and whole clusters of it.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
}

/// Content that compresses well, somewhat, and not at all.
pub(crate) fn samples() -> [Sample; 3] {
    [
        Sample { name: "text", bytes: text() },
        Sample { name: "mixed", bytes: mixed() },
        Sample { name: "noise", bytes: filled(Fill::Noise(1), SAMPLE_BYTES) },
    ]
}

/// Words in an order that does not repeat.
fn text() -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "disk ", "guest ", "block ", "table ", "grain ", "cluster ", "header ", "network ",
        "volume ", "system ", "the ", "of ", "and ", "to ", "in ", "is\n",
    ];
    let order = filled(Fill::Noise(2), SAMPLE_BYTES / 4);
    let words = order.iter().flat_map(|pick| WORDS[usize::from(pick % 16)].bytes());
    let mut text: Vec<u8> = words.take(SAMPLE_BYTES as usize).collect();
    text.resize(SAMPLE_BYTES as usize, b' ');
    text
}

/// By turns 1000 bytes of noise and 2000 of text.
fn mixed() -> Vec<u8> {
    let mut mixed = text();
    let noise = filled(Fill::Noise(3), SAMPLE_BYTES);
    for (to, from) in mixed.chunks_mut(3000).zip(noise.chunks(3000)) {
        let len = to.len().min(1000);
        to[..len].copy_from_slice(&from[..len]);
    }
    mixed
}

fn filled(fill: Fill, len_bytes: u64) -> Vec<u8> {
    GuestDisk { capacity_bytes: len_bytes, runs: vec![Run { fill, len_bytes }] }.bytes()
}
