//! What lies at a place of a file of frames, told without believing any of it.

use std::io::Read as _;

use disk::ReadAt;

use super::{
    END_FRAME, FILLER, Frame, MAGIC, PASSED_END_FRAME, read, reader::frame_decoder, walk::measure,
};
use crate::{Kind, Result, tar};

/// A piece of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A frame with content.
    Content,
    /// The frame that ends an archive.
    End,
    /// What keeps an end frame inside its sector.
    Filler,
    /// Anything else that is skipped: an end frame that an append passed over, a table.
    Skipped,
    /// No frame, or one that is cut.
    Unknown,
}

/// What lies at a place, and how many bytes it has; 0 for what is unknown.
///
/// # Errors
/// When reading fails.
pub(crate) fn piece(bytes: &dyn ReadAt, at: u64) -> Result<(Piece, u64)> {
    let (packed_len, _) = match measure(bytes, at) {
        Ok(lengths) => lengths,
        Err(error) if error.kind() == Kind::Io => return Err(error),
        Err(_) => return Ok((Piece::Unknown, 0)),
    };
    let is = |due: &[u8; 11]| -> Result<bool> {
        Ok(packed_len == due.len() as u64 && read::<11>(bytes, at)? == *due)
    };
    let piece = if is(&END_FRAME)? {
        Piece::End
    } else if is(&PASSED_END_FRAME)? {
        Piece::Skipped
    } else if packed_len == FILLER.len() as u64 && read::<8>(bytes, at)? == FILLER {
        Piece::Filler
    } else if read::<4>(bytes, at)? == MAGIC {
        Piece::Content
    } else {
        Piece::Skipped
    };
    Ok((piece, packed_len))
}

/// The one block that the frame at a place holds; `None` when it holds anything else.
///
/// # Errors
/// When reading fails.
pub(crate) fn block_at(bytes: &dyn ReadAt, at: u64) -> Result<Option<[u8; tar::BLOCK_LEN]>> {
    let Ok((packed_len, tar::BLOCK)) = measure(bytes, at) else { return Ok(None) };
    let frame = Frame { packed_start: at, packed_len, plain_start: 0, plain_len: tar::BLOCK };
    let mut decoder = frame_decoder(bytes, frame)?;
    let mut block = [0; tar::BLOCK_LEN];
    Ok(decoder.read_exact(&mut block).is_ok().then_some(block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_piece_is_told() {
        let content = zstd::bulk::compress(&[7; 512], 1).unwrap();
        let table = super::super::Frames::default().table().unwrap();
        for (bytes, want) in [
            (content.clone(), Piece::Content),
            (END_FRAME.to_vec(), Piece::End),
            (FILLER.to_vec(), Piece::Filler),
            (PASSED_END_FRAME.to_vec(), Piece::Skipped),
            (table, Piece::Skipped),
        ] {
            assert_eq!(piece(&bytes, 0).unwrap(), (want, bytes.len() as u64));
            let cut = bytes[..bytes.len() - 1].to_vec();
            assert_eq!(piece(&cut, 0).unwrap(), (Piece::Unknown, 0), "{want:?}");
        }
        assert_eq!(piece(&vec![0; 100], 0).unwrap(), (Piece::Unknown, 0));
        assert_eq!(block_at(&content, 0).unwrap(), Some([7; 512]));
        let longer = zstd::bulk::compress(&[7; 513], 1).unwrap();
        assert_eq!(block_at(&longer, 0).unwrap(), None);
    }
}
