//! Disks of any size and content, for tests of properties.

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{RngSeed, TestRunner},
};

use crate::{
    MIB,
    content::{GRAIN_BYTES, noise, text},
};

/// The unit of every capacity.
const SECTOR_BYTES: u64 = 512;

/// What every choice starts from, so that a test is the same test each time.
const SEED: RngSeed = RngSeed::Fixed(0x0d15_c0b5);

/// A guest's disk, said in few words, so that a failure can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestDisk {
    /// The size of the disk: whole sectors, often no whole grains.
    pub capacity_bytes: u64,
    /// What is on it, one behind the other. What is too much is cut off; behind them are zeros.
    pub runs: Vec<Run>,
}

/// A run of bytes; it starts and ends anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// What it holds.
    pub fill: Fill,
    /// How long it is.
    pub len_bytes: u64,
}

/// The content of a run. The number tells one run from another of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Zeros.
    Zeros,
    /// Bytes that do not compress.
    Noise(u8),
    /// Lines of text.
    Text(u8),
    /// One byte again and again.
    Repeat(u8),
    /// Noise and zeros by turns, each half a grain long.
    Halves(u8),
    /// Zeros, but for the last byte of each 64 KiB.
    LastByte(u8),
}

impl GuestDisk {
    /// The bytes of the disk.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; len(self.capacity_bytes)];
        let mut rest = &mut bytes[..];
        for run in &self.runs {
            let (here, behind) = rest.split_at_mut(len(run.len_bytes).min(rest.len()));
            run.fill.write(here);
            rest = behind;
        }
        bytes
    }
}

impl Fill {
    fn write(self, run: &mut [u8]) {
        match self {
            Self::Zeros => {}
            Self::Noise(seed) => noise(seed.into(), run),
            Self::Text(seed) => text(seed.into(), run),
            Self::Repeat(byte) => run.fill(byte),
            Self::Halves(seed) => {
                for (number, half) in run.chunks_mut(GRAIN_BYTES / 2).enumerate().step_by(2) {
                    noise(number + usize::from(seed), half);
                }
            }
            Self::LastByte(byte) => {
                run.chunks_exact_mut(GRAIN_BYTES).for_each(|grain| grain[GRAIN_BYTES - 1] = byte);
            }
        }
    }
}

/// Any disk of at most this many mebibytes.
pub fn guest_disks(max_mebibytes: u64) -> impl Strategy<Value = GuestDisk> {
    let max_sectors = max_mebibytes * MIB / SECTOR_BYTES;
    let grain_sectors = GRAIN_BYTES as u64 / SECTOR_BYTES;
    let sectors = prop_oneof![
        4 => 1..=max_sectors,
        1 => (1..=max_sectors / grain_sectors).prop_map(move |grains| grains * grain_sectors),
    ];
    (sectors, vec(runs(), 0..12))
        .prop_map(|(sectors, runs)| GuestDisk { capacity_bytes: sectors * SECTOR_BYTES, runs })
}

fn runs() -> impl Strategy<Value = Run> {
    let fill = prop_oneof![
        Just(Fill::Zeros),
        any::<u8>().prop_map(Fill::Noise),
        any::<u8>().prop_map(Fill::Text),
        any::<u8>().prop_map(Fill::Repeat),
        any::<u8>().prop_map(Fill::Halves),
        any::<u8>().prop_map(Fill::LastByte),
    ];
    let len_bytes = prop_oneof![
        3 => (1_u64..8).prop_map(|grains| grains * GRAIN_BYTES as u64),
        2 => 1_u64..200_000,
        1 => 1_u64..2 * SECTOR_BYTES,
    ];
    // What lies behind a gap is in another table than what is before it.
    let gap = (MIB..32 * MIB).prop_map(|len_bytes| Run { fill: Fill::Zeros, len_bytes });
    prop_oneof![
        12 => (fill, len_bytes).prop_map(|(fill, len_bytes)| Run { fill, len_bytes }),
        1 => gap,
    ]
}

/// Any disks, but the same each time: for a judge that is asked once for all of them.
#[must_use]
pub fn some_guest_disks(max_mebibytes: u64, count: usize) -> Vec<GuestDisk> {
    let mut runner = TestRunner::new(cases(0));
    let strategy = guest_disks(max_mebibytes);
    let mut pick = || strategy.new_tree(&mut runner).expect("no choice is refused").current();
    (0..count).map(|_| pick()).collect()
}

/// How a property is tested: with so many cases, the same each time, and nothing left behind.
#[must_use]
pub fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, rng_seed: SEED, ..Default::default() }
}

fn len(bytes: u64) -> usize {
    usize::try_from(bytes).expect("fits in memory")
}
