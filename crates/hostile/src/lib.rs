//! Every parser as one function from bytes to nothing, for those who feed it bad bytes.
//!
//! ```text
//!             FEEDS: name, read(bytes), seeds, words, seal
//!              |                                    |
//!  tests/it: mutate(seed) 10,000 times each     fuzz/: libFuzzer, one target each
//!            panics, time and memory are faults          the same faults
//! ```
//!
//! A feed reads as the product reads: whatever it is given, it has to come back, soon and with little
//! memory. What a reader says of the bytes is not judged here, only that what it hands out holds
//! together.

mod descriptor;
mod image;
mod mutate;
mod random;
mod vhd;

pub use mutate::Mutator;
pub use random::Random;

/// A parser and what to feed it with.
#[derive(Debug, Clone, Copy)]
pub struct Feed {
    /// The name of the test and of the fuzz target.
    pub name: &'static str,
    /// Reads the bytes as the product does.
    pub read: fn(&[u8]),
    /// Sound inputs, small ones, that between them use every part of the format.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Texts and numbers that mean something in the format.
    pub words: &'static [&'static [u8]],
    /// Makes checksums right again, so that what lies behind them is reached too.
    pub seal: Option<fn(&mut [u8])>,
}

/// Every feed, by name.
pub const FEEDS: &[Feed] = &[descriptor::OVF, vhd::VHD];

impl Feed {
    /// The feed of this name.
    ///
    /// # Panics
    ///
    /// When there is none: the caller is wrong.
    #[must_use]
    pub fn named(name: &str) -> &'static Self {
        FEEDS.iter().find(|feed| feed.name == name).expect("a feed of that name")
    }

    /// Reads the bytes as they are and, where the format has checksums, once more with right ones.
    pub fn run(&self, bytes: &[u8]) {
        (self.read)(bytes);
        if let Some(seal) = self.seal {
            let mut sealed = bytes.to_vec();
            seal(&mut sealed);
            (self.read)(&sealed);
        }
    }
}
