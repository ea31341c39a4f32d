//! A raw image that comes from a pipe.

use crate::{
    Format, Piece, Result, Sequential, Warning, forward::Forward, raw::reader::padded,
    sequential::Coding,
};

/// The guest bytes of a piece.
const PIECE_BYTES: u64 = 1 << 20;

/// A raw image that is read front to end.
pub(crate) struct Stream<'a> {
    input: Forward<'a>,
    capacity_bytes: u64,
    warnings: Vec<Warning>,
}

impl<'a> Stream<'a> {
    pub(crate) fn open(input: Forward<'a>) -> Result<Self> {
        let (capacity_bytes, warnings) = padded(input.len_bytes())?;
        Ok(Self { input, capacity_bytes, warnings })
    }
}

impl Sequential for Stream<'_> {
    fn format(&self) -> Format {
        Format::Raw
    }

    fn variant(&self) -> &str {
        Format::Raw.as_str()
    }

    fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    fn next(&mut self, piece: &mut Piece) -> Result<bool> {
        let start_bytes = self.input.at();
        let here = self.input.rest()?.min(PIECE_BYTES);
        piece.bytes.clear();
        self.input.append(&mut piece.bytes, here)?;
        piece.bytes.resize(piece.bytes.len().next_multiple_of(512), 0);
        piece.start_bytes = start_bytes;
        piece.len_bytes = piece.bytes.len() as u64;
        piece.coding = Coding::Plain;
        Ok(here > 0)
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::Length;

    #[test]
    fn gives_pieces_and_pads_the_last_sector() {
        let data: Vec<u8> = (0..(1 << 20) + 700).map(|n| n as u8).collect();
        let input =
            Forward::new(Box::new(Cursor::new(data.clone())), Length::Known(data.len() as u64));
        let mut stream = Stream::open(input).unwrap();
        assert_eq!(stream.capacity_bytes(), (1 << 20) + 1024);
        let mut piece = Piece::default();
        let mut all = Vec::new();
        while stream.next(&mut piece).unwrap() {
            assert_eq!(piece.start_bytes, all.len() as u64);
            all.extend_from_slice(piece.plain().unwrap());
        }
        assert_eq!(all[..data.len()], data);
        assert_eq!(all.len(), (1 << 20) + 1024);
        assert_eq!(
            stream.warnings()[0].to_string(),
            "1049276 bytes are no multiple of 512, padded with zeros to 1049600"
        );
    }
}
