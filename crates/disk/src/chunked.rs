//! Bytes that are cut into several pieces.

use std::{io, ops::Range, sync::Arc};

use crate::ReadAt;

/// Several pieces one behind the other, as one: a file that its package holds in chunks.
pub struct Chunked {
    /// Each piece with the byte that it starts at.
    pieces: Vec<(u64, Arc<dyn ReadAt>)>,
    len_bytes: u64,
}

impl Chunked {
    /// Puts pieces together.
    ///
    /// # Errors
    ///
    /// `InvalidInput` when together they have more bytes than 64 bits can count.
    pub fn new(parts: Vec<Arc<dyn ReadAt>>) -> io::Result<Self> {
        let mut len_bytes = 0_u64;
        let mut pieces = Vec::with_capacity(parts.len());
        for part in parts {
            let start_bytes = len_bytes;
            len_bytes =
                len_bytes.checked_add(part.len_bytes()).ok_or(io::ErrorKind::InvalidInput)?;
            pieces.push((start_bytes, part));
        }
        Ok(Self { pieces, len_bytes })
    }

    /// The pieces from the one around `offset_bytes` on.
    fn from(&self, offset_bytes: u64) -> impl Iterator<Item = &(u64, Arc<dyn ReadAt>)> {
        let behind = self.pieces.partition_point(|(start, _)| *start <= offset_bytes);
        self.pieces.iter().skip(behind.saturating_sub(1))
    }
}

impl std::fmt::Debug for Chunked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunked({} pieces, {} bytes)", self.pieces.len(), self.len_bytes)
    }
}

impl ReadAt for Chunked {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let mut at = offset_bytes;
        let mut rest = buf;
        for (start, piece) in self.from(offset_bytes) {
            let skip = at.saturating_sub(*start);
            let there = piece.len_bytes().saturating_sub(skip);
            let len = usize::try_from(there).unwrap_or(usize::MAX).min(rest.len());
            let (part, behind) = rest.split_at_mut(len);
            piece.read_exact_at(part, skip)?;
            at = at.saturating_add(len as u64);
            rest = behind;
            if rest.is_empty() {
                return Ok(());
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn check_unchanged(&self) -> io::Result<()> {
        self.pieces.iter().try_for_each(|(_, piece)| piece.check_unchanged())
    }

    fn next_data(&self, offset_bytes: u64) -> io::Result<Option<Range<u64>>> {
        for (start, piece) in self.from(offset_bytes) {
            if let Some(data) = piece.next_data(offset_bytes.saturating_sub(*start))? {
                let there = |at: u64| start.saturating_add(at);
                return Ok(Some(there(data.start)..there(data.end)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_across_the_pieces() {
        let pieces: [&[u8]; 4] = [b"abc", b"", b"defg", b"h"];
        let parts = pieces.map(|piece| Arc::new(piece.to_vec()) as Arc<dyn ReadAt>);
        let whole = Chunked::new(parts.to_vec()).unwrap();
        assert_eq!(whole.len_bytes(), 8);
        for start in 0..=8_u8 {
            for len in 0..=8 - start {
                let mut buf = vec![0; usize::from(len)];
                whole.read_exact_at(&mut buf, start.into()).unwrap();
                assert_eq!(buf, (b'a' + start..b'a' + start + len).collect::<Vec<_>>());
            }
        }
        let error = whole.read_exact_at(&mut [0; 2], 7).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(whole.next_data(4).unwrap(), Some(4..7));
        assert_eq!(whole.next_data(8).unwrap(), None);
    }
}
