//! An image that is read once, front to end.

use std::io::{self, Read};

use crate::{
    Codec, Error, Format, Result, Warning, Workbench, error::Failure, fields::buffer_len,
    vmdk::grain::GrainPlace, zero::is_zero,
};

/// An image that comes from a pipe: pieces in the order in which they arrive.
///
/// What no piece covers is zeros.
pub trait Sequential: Send {
    /// The format.
    fn format(&self) -> Format;

    /// The sub-format, as its own world calls it.
    fn variant(&self) -> &str;

    /// The size of the guest's disk, known before the first piece; a multiple of 512.
    fn capacity_bytes(&self) -> u64;

    /// Reads the next piece into `piece`, whose buffers are used again; `false` at the end.
    ///
    /// The end is also where the whole is verified, and then the input has been read to its last
    /// byte.
    ///
    /// # Errors
    ///
    /// When the image is damaged, ends inside a piece, or cannot be read.
    fn next(&mut self, piece: &mut Piece) -> Result<bool>;

    /// What was tolerated so far; complete once [`next`](Self::next) has returned `false`.
    fn warnings(&self) -> &[Warning];
}

/// A run of guest bytes as it arrived, to be decoded by any thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where the run starts in the guest's disk.
    pub start_bytes: u64,
    /// How many guest bytes it has; never 0.
    pub len_bytes: u64,
    pub(crate) coding: Coding,
    pub(crate) bytes: Vec<u8>,
}

/// How the bytes of a piece are coded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As the guest sees them; the piece has all of them.
    #[default]
    Plain,
    /// A zlib stream that inflates to one grain.
    Grain(GrainPlace),
}

impl Piece {
    /// The guest bytes themselves, when the piece is not compressed.
    #[must_use]
    pub fn plain(&self) -> Option<&[u8]> {
        (self.coding == Coding::Plain).then_some(&self.bytes)
    }

    /// How the piece is compressed, and its stream; `None` when it is not compressed.
    #[must_use]
    pub fn stored(&self) -> Option<(Codec, &[u8])> {
        matches!(self.coding, Coding::Grain(_)).then_some((Codec::Zlib, &self.bytes))
    }

    /// Decodes the piece into `out`, which has its length.
    ///
    /// # Errors
    ///
    /// When the compressed bytes are damaged, with grain and byte.
    pub fn decode(&self, bench: &mut Workbench, out: &mut [u8]) -> Result<()> {
        let plain = self.coding == Coding::Plain;
        if out.len() as u64 != self.len_bytes || plain && out.len() != self.bytes.len() {
            return Err(Error::malformed(Failure::Buffer(out.len(), self.len_bytes)));
        }
        let Workbench { inflater, grain, .. } = bench;
        match self.coding {
            Coding::Plain => out.copy_from_slice(&self.bytes),
            Coding::Grain(place) => place.inflate(&self.bytes, inflater, grain, out)?,
        }
        Ok(())
    }
}

/// An input of known length that is only read forwards.
pub(crate) struct Forward<'a> {
    reader: Box<dyn Read + Send + 'a>,
    at: u64,
    len_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the image has {found} bytes, {wanted} were announced")]
struct EndsEarly {
    found: u64,
    wanted: u64,
}

impl<'a> Forward<'a> {
    pub(crate) fn new(reader: Box<dyn Read + Send + 'a>, len_bytes: u64) -> Self {
        Self { reader, at: 0, len_bytes }
    }

    /// The number of bytes that were read.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    pub(crate) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// The number of bytes that are still to come.
    pub(crate) fn rest(&self) -> u64 {
        self.len_bytes.saturating_sub(self.at)
    }

    pub(crate) fn read_exact(&mut self, buf: &mut [u8]) -> Result<()> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => return Err(self.ends_early()),
                Ok(read) => {
                    done = done.saturating_add(read);
                    self.at = self.at.saturating_add(read as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::from(error).at(self.at)),
            }
        }
        Ok(())
    }

    /// Appends `len_bytes` bytes, which a named limit bounds, to `buf`.
    pub(crate) fn append(&mut self, buf: &mut Vec<u8>, len_bytes: u64) -> Result<()> {
        let start = buf.len();
        buf.resize(start.saturating_add(buffer_len(len_bytes)), 0);
        self.read_exact(buf.get_mut(start..).unwrap_or_default())
    }

    /// Passes over `len_bytes` bytes.
    pub(crate) fn skip(&mut self, len_bytes: u64) -> Result<()> {
        let skipped = io::copy(&mut (&mut self.reader).take(len_bytes), &mut io::sink())?;
        self.at = self.at.saturating_add(skipped);
        if skipped == len_bytes { Ok(()) } else { Err(self.ends_early()) }
    }

    /// Reads to the last byte and says whether only zeros were left.
    pub(crate) fn drain(&mut self) -> Result<bool> {
        let mut zeros = true;
        let mut buf = vec![0; 64 << 10];
        while self.rest() > 0 {
            let len = buffer_len(self.rest()).min(buf.len());
            let part = buf.get_mut(..len).unwrap_or_default();
            self.read_exact(part)?;
            zeros &= is_zero(part);
        }
        Ok(zeros)
    }

    fn ends_early(&self) -> Error {
        Error::malformed(EndsEarly { found: self.at, wanted: self.len_bytes }).at(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_much_is_missing() {
        let mut forward = Forward::new(Box::new(io::Cursor::new(vec![1; 10])), 100);
        forward.skip(4).unwrap();
        let mut buf = Vec::new();
        let error = forward.append(&mut buf, 7).unwrap_err();
        assert_eq!(error.to_string(), "the image has 10 bytes, 100 were announced, at byte 10");
        assert!(forward.skip(1).is_err());
    }

    #[test]
    fn a_plain_piece_is_there_without_decoding() {
        let piece =
            Piece { start_bytes: 0, len_bytes: 3, bytes: vec![1, 2, 3], ..Piece::default() };
        assert_eq!(piece.plain(), Some(&[1, 2, 3][..]));
        let mut out = [0; 3];
        piece.decode(&mut Workbench::new(), &mut out).unwrap();
        assert_eq!(out, [1, 2, 3]);
        let error = piece.decode(&mut Workbench::new(), &mut [0; 4]).unwrap_err();
        assert_eq!(error.to_string(), "the buffer has 4 bytes, the extent 3");
    }
}
