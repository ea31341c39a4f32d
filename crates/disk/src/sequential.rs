//! An image that is read once, front to end.

use crate::{
    Codec, Error, Format, Result, Warning, Workbench, error::Failure, vmdk::grain::GrainPlace,
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

#[cfg(test)]
mod tests {
    use super::*;

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
