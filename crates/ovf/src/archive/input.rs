//! Where the bytes of an archive come from.

use std::io::{self, Read, Seek, SeekFrom};

/// A source of bytes that can pass over some of them.
pub trait Input: Read {
    /// Passes over `bytes` bytes and says how many were there: fewer means that the input ended.
    ///
    /// # Errors
    /// What reading or seeking gives.
    fn skip(&mut self, bytes: u64) -> io::Result<u64>;

    /// The length of the whole input in bytes, if it is known.
    fn length_bytes(&self) -> Option<u64>;
}

/// An input that seeks: passing over a payload costs nothing.
#[derive(Debug)]
pub struct SeekInput<R> {
    inner: R,
    position: u64,
    length_bytes: u64,
}

impl<R: Read + Seek> SeekInput<R> {
    /// Takes a file; the archive begins at its start.
    ///
    /// # Errors
    /// What seeking gives.
    pub fn new(mut inner: R) -> io::Result<Self> {
        let length_bytes = inner.seek(SeekFrom::End(0))?;
        inner.seek(SeekFrom::Start(0))?;
        Ok(Self { inner, position: 0, length_bytes })
    }

    /// Gives the file back.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: Read> Read for SeekInput<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.position = self.position.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        Ok(count)
    }
}

impl<R: Read + Seek> Input for SeekInput<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        let there = bytes.min(self.length_bytes.saturating_sub(self.position));
        let target = self.position.saturating_add(there);
        self.position = self.inner.seek(SeekFrom::Start(target))?;
        Ok(there)
    }

    fn length_bytes(&self) -> Option<u64> {
        Some(self.length_bytes)
    }
}

/// An input that only reads, such as a pipe: what is passed over is read and thrown away.
#[derive(Debug)]
pub struct StreamInput<R> {
    inner: R,
}

impl<R: Read> StreamInput<R> {
    /// Takes a stream; the archive begins at its next byte.
    pub const fn new(inner: R) -> Self {
        Self { inner }
    }

    /// Gives the stream back.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

impl<R: Read> Read for StreamInput<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer)
    }
}

impl<R: Read> Input for StreamInput<R> {
    fn skip(&mut self, bytes: u64) -> io::Result<u64> {
        io::copy(&mut self.inner.by_ref().take(bytes), &mut io::sink())
    }

    fn length_bytes(&self) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn passing_over_bytes_says_how_many_were_there() {
        let bytes = [7_u8; 10];
        let mut file = SeekInput::new(Cursor::new(bytes)).unwrap();
        let mut stream = StreamInput::new(&bytes[..]);
        file.read_exact(&mut [0; 3]).unwrap();
        stream.read_exact(&mut [0; 3]).unwrap();
        for (wanted, there) in [(4, 4), (9, 3), (1, 0)] {
            assert_eq!(file.skip(wanted).unwrap(), there);
            assert_eq!(stream.skip(wanted).unwrap(), there);
        }
        assert_eq!((file.length_bytes(), stream.length_bytes()), (Some(10), None));
    }
}
