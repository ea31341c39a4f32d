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

/// What stands around values in texts.
const MARKS: &[u8] = b"\"'<>=\n";

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
        match self.random.below(14) {
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
            9..=10 => self.digits(bytes, at),
            11..=12 => self.value(bytes, at),
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

    /// Writes another number in the place of the next one that is written in digits.
    fn digits(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let is_digit = |byte: &u8| byte.is_ascii_digit();
        let Some(from) = bytes.iter().skip(at).position(is_digit).map(|found| at + found) else {
            return;
        };
        let count = bytes[from..].iter().take_while(|byte| is_digit(byte)).count();
        let number = self.random.one_of(NUMBERS).to_string();
        bytes.splice(from..from + count, number.into_bytes());
    }

    /// Puts a value of a seed in the place of another one: what stands between two marks of a text.
    fn value(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let mut random = self.random.clone();
        let other = random.one_of(&self.seeds);
        let from = random.below(other.len());
        let place = value_from(bytes, at);
        bytes.splice(place, other[value_from(other, from)].iter().copied());
        self.random = random;
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

/// Where the next value of a text is, which may be empty.
fn value_from(bytes: &[u8], at: usize) -> std::ops::Range<usize> {
    let is_mark = |byte: &u8| MARKS.contains(byte);
    let next = |at: usize| bytes.iter().skip(at).position(is_mark).map(|found| at + found);
    let Some(from) = next(at).map(|mark| mark + 1) else { return at..at };
    from..next(from).unwrap_or(bytes.len())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mutator(seed: &[u8]) -> Mutator {
        Mutator { seeds: vec![seed.to_vec()], words: &[], random: Random::new(1) }
    }

    #[test]
    fn a_number_in_digits_becomes_another_one_in_digits() {
        let mut bytes = b"units='512' x".to_vec();
        mutator(b"").digits(&mut bytes, 3);
        let text = String::from_utf8(bytes).unwrap();
        let number = text.strip_prefix("units='").unwrap().strip_suffix("' x").unwrap();
        assert!(NUMBERS.contains(&number.parse().unwrap()), "{text}");
    }

    #[test]
    fn a_value_takes_the_place_of_another_one() {
        let mut bytes = b"<a b='old'/>".to_vec();
        mutator(b"'new'").value(&mut bytes, 5);
        let text = String::from_utf8(bytes).unwrap();
        assert!(["<a b='new'/>", "<a b=''/>"].contains(&text.as_str()), "{text}");
        assert_eq!(value_from(b"no mark", 3), 3..3);
        assert_eq!(value_from(b"a=b", 0), 2..3);
    }

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let feed = Feed::named("vmx");
        let inputs = |seed| {
            let mut mutator = Mutator::new(feed, seed);
            std::iter::repeat_with(|| mutator.next_input()).take(100).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
    }
}
