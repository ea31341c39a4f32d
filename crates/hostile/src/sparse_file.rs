//! A file of which only the parts that are not zeros are given.

use std::{io, ops::Range};

use disk::ReadAt;

/// A part of the file: where it starts, and how many bytes of it are given.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) at: usize,
    pub(crate) len: usize,
}

/// Bytes that are the parts of a longer file, one behind the other. Between them are zeros.
///
/// A format that puts each part at a mebibyte of its own would else have inputs of which hardly a byte
/// means something. The file ends where the bytes end; the last part takes what is left.
#[derive(Debug)]
pub(crate) struct SparseFile {
    bytes: Vec<u8>,
    parts: &'static [Part],
}

impl SparseFile {
    pub(crate) fn new(bytes: &[u8], parts: &'static [Part]) -> Self {
        Self { bytes: bytes.to_vec(), parts }
    }

    /// Takes the parts of a whole file.
    pub(crate) fn pick(file: &[u8], parts: &[Part]) -> Vec<u8> {
        let picked = parts.iter().flat_map(|part| {
            let end = (part.at + part.len).min(file.len());
            &file[part.at.min(end)..end]
        });
        picked.copied().collect()
    }

    /// Each part that has bytes, by its place in the file.
    fn parts(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let ranges = ranges(self.bytes.len(), self.parts);
        ranges.zip(self.parts).map(|(range, part)| (part.at, &self.bytes[range]))
    }
}

/// Where each part lies among `len` bytes that are given; parts without bytes are left out.
pub(crate) fn ranges(len: usize, parts: &[Part]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    parts.iter().enumerate().map_while(move |(number, part)| {
        let is_last = number + 1 == parts.len();
        let end = if is_last { len } else { len.min(start + part.len) };
        let range = start..end;
        start = end;
        (!range.is_empty()).then_some(range)
    })
}

impl ReadAt for SparseFile {
    fn len_bytes(&self) -> u64 {
        self.parts().last().map_or(0, |(at, part)| (at + part.len()) as u64)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        let end = offset_bytes.checked_add(buf.len() as u64);
        if end.is_none_or(|end| end > self.len_bytes()) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let wanted = usize::try_from(offset_bytes).expect("inside the file");
        buf.fill(0);
        for (at, part) in self.parts() {
            let start = at.max(wanted);
            let end = (at + part.len()).min(wanted + buf.len());
            if start < end {
                buf[start - wanted..end - wanted].copy_from_slice(&part[start - at..end - at]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: &[Part] =
        &[Part { at: 0, len: 2 }, Part { at: 5, len: 2 }, Part { at: 10, len: 1 }];

    #[test]
    fn shows_zeros_between_the_parts() {
        let file = SparseFile::new(b"abcdef", PARTS);
        let whole = b"ab\0\0\0cd\0\0\0ef";
        for start in 0..=whole.len() {
            for end in start..=whole.len() {
                let mut buf = vec![0xee; end - start];
                file.read_exact_at(&mut buf, start as u64).unwrap();
                assert_eq!(buf, whole[start..end]);
            }
        }
        assert_eq!(file.len_bytes(), 12);
        assert!(file.read_exact_at(&mut [0], 12).is_err());
        assert_eq!(SparseFile::pick(&whole[..11], PARTS), b"abcde");
    }

    #[test]
    fn ends_where_the_bytes_end() {
        for (bytes, len) in [("", 0), ("a", 1), ("abc", 6), ("abcd", 7), ("abcde", 11)] {
            assert_eq!(SparseFile::new(bytes.as_bytes(), PARTS).len_bytes(), len, "{bytes}");
        }
    }
}
