//! An input that is only read forwards.

use std::io::{self, Read};

use crate::{Error, Result, fields::buffer_len, zero::is_zero};

/// How many bytes an input has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many, as the package or the file system says.
    Known(u64),
    /// Only its end will tell, as of what is unpacked on the way.
    Unknown,
}

/// The part of an input of unknown length that is read ahead, so that its end is seen before a record
/// that reaches behind it is asked for: more than the longest record of any format that is streamed.
const AHEAD_BYTES: u64 = 4 << 20;

/// What stands for the length until the end is seen.
const ENDLESS_BYTES: u64 = i64::MAX as u64;

/// What may follow an image in an input of unknown length (ours): what was unpacked costs nothing to
/// store, so a small file could go on for hours.
const MAX_TAIL_BYTES: u64 = 256 << 20;

/// An input that is only read forwards.
pub(crate) struct Forward<'a> {
    reader: Box<dyn Read + Send + 'a>,
    at: u64,
    /// The number of bytes, or [`ENDLESS_BYTES`] until the end is seen.
    len_bytes: u64,
    /// What was read ahead, and how much of it is used up.
    ahead: Vec<u8>,
    used: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("the image has {found} bytes, {wanted} were announced")]
struct EndsEarly {
    found: u64,
    wanted: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("more than {MAX_TAIL_BYTES} bytes follow the image")]
struct LongTail;

impl<'a> Forward<'a> {
    pub(crate) fn new(reader: Box<dyn Read + Send + 'a>, length: Length) -> Self {
        let len_bytes = match length {
            Length::Known(bytes) => bytes,
            Length::Unknown => ENDLESS_BYTES,
        };
        Self { reader, at: 0, len_bytes, ahead: Vec::new(), used: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// How many bytes there are; more than any image has, as long as that is not known.
    pub(crate) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// How many bytes are left; exact where they are fewer than a record.
    pub(crate) fn rest(&mut self) -> Result<u64> {
        if self.len_bytes == ENDLESS_BYTES {
            self.look_ahead()?;
        }
        Ok(self.len_bytes.saturating_sub(self.at))
    }

    pub(crate) fn read_exact(&mut self, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read(rest)? {
                0 => return Err(self.ends_early()),
                read => done = done.saturating_add(read),
            }
        }
        Ok(())
    }

    /// Appends `len_bytes` bytes to `buf`. The length is bounded by the caller.
    pub(crate) fn append(&mut self, buf: &mut Vec<u8>, len_bytes: u64) -> Result<()> {
        let start = buf.len();
        buf.resize(start.saturating_add(buffer_len(len_bytes)), 0);
        self.read_exact(buf.get_mut(start..).unwrap_or_default())
    }

    pub(crate) fn skip(&mut self, len_bytes: u64) -> Result<()> {
        let mut left = len_bytes;
        let mut buf = vec![0; WINDOW_BYTES];
        while left > 0 {
            let part = buf.get_mut(..buffer_len(left).min(WINDOW_BYTES)).unwrap_or_default();
            let read = self.read(part)?;
            if read == 0 {
                return Err(self.ends_early());
            }
            left = left.saturating_sub(read as u64);
        }
        Ok(())
    }

    /// Reads to the end; how many bytes that were, and whether all of them are zeros. What has no
    /// known end must come to it within [`MAX_TAIL_BYTES`].
    pub(crate) fn drain(&mut self) -> Result<(u64, bool)> {
        let start = self.at;
        let mut zeros = true;
        let mut buf = vec![0; WINDOW_BYTES];
        loop {
            let rest = buffer_len(self.rest()?).min(WINDOW_BYTES);
            let part = buf.get_mut(..rest).unwrap_or_default();
            if part.is_empty() {
                return Ok((self.at.saturating_sub(start), zeros));
            }
            self.read_exact(part)?;
            zeros &= is_zero(part);
            let tail_bytes = self.at.saturating_sub(start);
            if self.len_bytes == ENDLESS_BYTES && tail_bytes > MAX_TAIL_BYTES {
                return Err(Error::malformed(LongTail).at(start));
            }
        }
    }

    /// Reads what there is, from what was read ahead first; 0 at the end.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize> {
        let there = self.ahead.get(self.used..).unwrap_or_default();
        let read = if there.is_empty() {
            self.pull(buf)?
        } else {
            let len = there.len().min(buf.len());
            let (part, there) = (buf.get_mut(..len), there.get(..len));
            if let (Some(part), Some(there)) = (part, there) {
                part.copy_from_slice(there);
            }
            self.used = self.used.saturating_add(len);
            len
        };
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }

    /// Reads from the input itself.
    fn pull(&mut self, buf: &mut [u8]) -> Result<usize> {
        loop {
            match self.reader.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(|error| Error::from(error).at(self.at)),
            }
        }
    }

    /// Reads ahead until there is enough, or until the end, which makes the length known.
    fn look_ahead(&mut self) -> Result<()> {
        let left = self.ahead.len().saturating_sub(self.used);
        if left as u64 >= AHEAD_BYTES / 2 {
            return Ok(());
        }
        self.ahead.drain(..self.used);
        self.used = 0;
        let mut filled = self.ahead.len();
        self.ahead.resize(buffer_len(AHEAD_BYTES), 0);
        let mut buf = std::mem::take(&mut self.ahead);
        while let Some(room) = buf.get_mut(filled..).filter(|room| !room.is_empty()) {
            let read = self.pull(room)?;
            if read == 0 {
                self.len_bytes = self.at.saturating_add(filled as u64);
                break;
            }
            filled = filled.saturating_add(read);
        }
        buf.truncate(filled);
        self.ahead = buf;
        Ok(())
    }

    fn ends_early(&self) -> Error {
        Error::malformed(EndsEarly { found: self.at, wanted: self.len_bytes }).at(self.at)
    }
}

/// The part that is read at once where the bytes are not wanted.
const WINDOW_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn input(len: usize, length: Length) -> Forward<'static> {
        let bytes: Vec<u8> = (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect();
        Forward::new(Box::new(io::Cursor::new(bytes)), length)
    }

    #[test]
    fn says_how_much_is_missing() {
        let mut forward = input(10, Length::Known(100));
        forward.skip(4).unwrap();
        let mut buf = Vec::new();
        let error = forward.append(&mut buf, 7).unwrap_err();
        assert_eq!(error.to_string(), "the image has 10 bytes, 100 were announced, at byte 10");
        assert!(forward.skip(1).is_err());
    }

    #[test]
    fn what_has_no_known_end_must_come_to_it() {
        let mut forward = Forward::new(Box::new(io::repeat(0)), Length::Unknown);
        forward.skip(9).unwrap();
        let error = forward.drain().unwrap_err();
        assert_eq!(error.to_string(), "more than 268435456 bytes follow the image, at byte 9");
        assert_eq!(error.kind(), crate::error::Kind::Malformed);
    }

    #[test]
    fn an_unknown_length_is_known_before_the_end() {
        let len = 9_000_000;
        let mut forward = input(len, Length::Unknown);
        assert_eq!(forward.rest().unwrap(), ENDLESS_BYTES);
        let mut buf = Vec::new();
        forward.append(&mut buf, 5_000_000).unwrap();
        forward.skip(2_999_999).unwrap();
        assert_eq!(forward.rest().unwrap(), 1_000_001);
        forward.append(&mut buf, 1).unwrap();
        assert_eq!(buf.last(), Some(&u8::try_from(7_999_999 % 251).unwrap()));
        assert_eq!(forward.drain().unwrap(), (1_000_000, false));
        assert_eq!((forward.rest().unwrap(), forward.at()), (0, 9_000_000));
    }
}
