//! Sound inputs made bad, the same in every run.

use crate::{Feed, Random};

/// The most faults that are put into one input.
const MAX_FAULTS: usize = 4;

/// The most bytes that are moved, doubled or taken out at once.
const MAX_RUN: usize = 4096;

/// The largest input that is made: a mutation doubles, but does not grow without end.
const MAX_BYTES: usize = 4 << 20;

/// What a byte is often compared with.
const BYTES: &[u8] = &[0x00, 0x01, 0x7f, 0x80, 0xff, b' ', b'\n', b'"', b'<', b'/'];

/// Where numbers turn over: in sectors, in bytes, in signs.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    511,
    512,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fffe,
    0xffff_ffff,
    1 << 32,
    1 << 46,
    1 << 55,
    0x7fff_ffff_ffff_fe00,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_fe00,
    u64::MAX,
];

/// Makes bad inputs out of the seeds of a feed.
#[derive(Debug)]
pub struct Mutator {
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static [u8]],
    random: Random,
}

impl Mutator {
    /// Begins a sequence of inputs.
    #[must_use]
    pub fn new(feed: &Feed, seed: u64) -> Self {
        Self { seeds: (feed.seeds)(), words: feed.words, random: Random::new(seed) }
    }

    /// The next input: a seed with one to four faults.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut bytes = self.random.one_of(&self.seeds).clone();
        for _ in 0..=self.random.below(MAX_FAULTS) {
            self.spoil(&mut bytes);
            bytes.truncate(MAX_BYTES);
        }
        bytes
    }

    fn spoil(&mut self, bytes: &mut Vec<u8>) {
        let at = self.place(bytes.len());
        match self.random.below(10) {
            0 => flip(bytes, at, self.random.below(8)),
            1 => put(bytes, at, &[*self.random.one_of(BYTES)]),
            2..=4 => self.number(bytes, at),
            5 if !self.words.is_empty() => {
                let word = *self.random.one_of(self.words);
                put(bytes, at, word);
            }
            6 if !self.words.is_empty() => {
                let word = *self.random.one_of(self.words);
                bytes.splice(at..at, word.iter().copied());
            }
            7 => bytes.truncate(at),
            8 => self.splice(bytes, at),
            _ => {
                let end = (at + self.random.below(MAX_RUN)).min(bytes.len());
                bytes.drain(at..end);
            }
        }
    }

    /// A place in the input: the head of a file is where its numbers are, so half of them lie there.
    fn place(&mut self, len: usize) -> usize {
        if self.random.below(2) == 0 {
            self.random.below(len.min(1024))
        } else {
            self.random.below(len)
        }
    }

    /// Writes a number of two, four or eight bytes in either order, mostly where numbers begin.
    fn number(&mut self, bytes: &mut [u8], at: usize) {
        let number = *self.random.one_of(NUMBERS);
        let width = *self.random.one_of(&[2, 4, 8]);
        let at = if self.random.below(4) == 0 { at } else { at - at % width };
        let [little, big] = [number.to_le_bytes(), number.to_be_bytes()];
        let word = if self.random.below(2) == 0 { &little[..width] } else { &big[8 - width..] };
        put(bytes, at, word);
    }

    /// Puts a piece of this or another seed in.
    fn splice(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let other = self.random.one_of(&self.seeds);
        let mut random = self.random.clone();
        let from = random.below(other.len());
        let to = (from + random.below(MAX_RUN)).min(other.len());
        bytes.splice(at..at, other[from..to].iter().copied());
        self.random = random;
    }
}

fn flip(bytes: &mut [u8], at: usize, bit: usize) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << bit;
    }
}

/// Writes over what is there, as far as there is something.
fn put(bytes: &mut [u8], at: usize, word: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(word) {
        *byte = *new;
    }
}
