//! An archive that somebody packed as a whole: unpacked as it passes, never stored.

mod frames;

use std::{
    fmt,
    io::{self, BufReader, Cursor, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use code::Code;
use flate2::read::MultiGzDecoder;
use liblzma::{
    read::XzDecoder,
    stream::{CONCATENATED, Stream},
};

use self::frames::Frames;
use crate::{Error, Kind};

/// The first bytes that tell how an archive is packed.
const HEAD_BYTES: u64 = 6;

/// The memory that unpacking xz may take (ours): `xz -9` asks for 65 MiB.
const MAX_XZ_BYTES: u64 = 96 << 20;

/// What may be unpacked for each byte that was read (ours): more than deflate can hold (1032)…
const MAX_RATIO: u64 = 1100;

/// … and what may be unpacked whatever was read, for disks that are almost empty.
const FREE_BYTES: u64 = 64 << 30;

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// gzip.
    Gzip,
    /// xz.
    Xz,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// Tells by the first bytes.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        let known: [(&[u8], Self); 3] = [
            (b"\x1f\x8b", Self::Gzip),
            (b"\xfd7zXZ\0", Self::Xz),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
        ];
        known.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, packed)| *packed)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// A stream that was packed, or was not.
pub type Unpacked<'a> = (Box<dyn Read + Send + 'a>, Option<Compression>);

/// Looks at the first bytes of a stream and unpacks it as it passes, if it is packed.
///
/// What is damaged or would unpack to too much is an error of reading, whose source is an [`Error`]:
/// `E0102`, `E0106`.
///
/// # Errors
/// What reading gives.
pub fn unpack<'a>(mut reader: Box<dyn Read + Send + 'a>) -> io::Result<Unpacked<'a>> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    let packed = Compression::of(&head);
    let whole: Box<dyn Read + Send + 'a> = Box::new(Cursor::new(head).chain(reader));
    let Some(compression) = packed else { return Ok((whole, None)) };
    let read = Arc::new(AtomicU64::new(0));
    let inner = Counted { inner: whole, read: Arc::clone(&read) };
    let decoder: Box<dyn Read + Send + 'a> = match compression {
        Compression::Gzip => Box::new(MultiGzDecoder::new(inner)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(MAX_XZ_BYTES, CONCATENATED)?;
            Box::new(XzDecoder::new_stream(inner, stream))
        }
        Compression::Zstd => Box::new(Frames::new(BufReader::new(inner))),
    };
    let bounded = Bounded { decoder, compression, read, unpacked: 0, free_bytes: FREE_BYTES };
    Ok((Box::new(bounded), packed))
}

/// Counts what is read; tells errors of the reader from those of the decoder.
struct Counted<'a> {
    inner: Box<dyn Read + Send + 'a>,
    read: Arc<AtomicU64>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            _ => io::Error::other(Outside(error)),
        })?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// An error that the decoder did not make.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Outside(io::Error);

/// What is unpacked, as far as it is in proportion to what was read.
struct Bounded<'a> {
    decoder: Box<dyn Read + Send + 'a>,
    compression: Compression,
    read: Arc<AtomicU64>,
    unpacked: u64,
    free_bytes: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(buffer).map_err(|error| self.told(error))?;
        self.unpacked = self.unpacked.saturating_add(count as u64);
        let read = self.read.load(Ordering::Relaxed);
        let most = self.free_bytes.saturating_add(read.saturating_mul(MAX_RATIO));
        if self.unpacked > most {
            let message = format!(
                "{read} bytes of {} unpack to more than the {most} bytes that are allowed",
                self.compression
            );
            return Err(io::Error::other(Error::limit(Code::E0106, message)));
        }
        Ok(count)
    }
}

impl Bounded<'_> {
    fn told(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::Interrupted {
            return error;
        }
        if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
            return error;
        }
        if error.get_ref().is_some_and(|inner| inner.is::<Outside>()) {
            return match error.into_inner().map(|inner| inner.downcast::<Outside>()) {
                Some(Ok(outside)) => outside.0,
                _ => io::Error::other("the source of a packed archive cannot be read"),
            };
        }
        let message =
            format!("the {} stream around the archive is damaged or cut", self.compression);
        io::Error::other(Error::new(Code::E0102, Kind::Malformed, message).caused_by(error))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut to = liblzma::write::XzEncoder::new(Vec::new(), 1);
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    fn packed(bytes: &[u8]) -> [(Vec<u8>, Compression); 3] {
        let zstd = zstd::stream::encode_all(bytes, 1).unwrap();
        [(gzip(bytes), Compression::Gzip), (xz(bytes), Compression::Xz), (zstd, Compression::Zstd)]
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        unpack(Box::new(bytes))?.0.read_to_end(&mut out)?;
        Ok(out)
    }

    fn error_of(error: &io::Error) -> &Error {
        error.get_ref().unwrap().downcast_ref().unwrap()
    }

    #[test]
    fn unpacks_what_is_packed_and_passes_on_what_is_not() {
        let text = b"some bytes ".repeat(5000);
        for (bytes, want) in packed(&text) {
            assert_eq!(read(&bytes).unwrap(), text);
            assert_eq!(unpack(Box::new(&bytes[..])).unwrap().1, Some(want));
            // Two in a row are one, as their own programs see it.
            assert_eq!(read(&[bytes.as_slice(), &bytes].concat()).unwrap(), text.repeat(2));
        }
        for plain in [&b""[..], b"abc", b"\x1f", b"PK\x03\x04 and more"] {
            assert_eq!(read(plain).unwrap(), plain);
            assert_eq!(unpack(Box::new(plain)).unwrap().1, None);
        }
    }

    #[test]
    fn what_is_cut_or_damaged_is_no_archive() {
        for (bytes, compression) in packed(&b"some bytes ".repeat(5000)) {
            for length in [HEAD_BYTES as usize, bytes.len() / 2, bytes.len() - 1] {
                let error = read(&bytes[..length]).unwrap_err();
                let found = error_of(&error);
                assert_eq!(found.code(), Code::E0102, "{compression} {length}");
                assert_eq!(
                    found.message(),
                    format!("the {compression} stream around the archive is damaged or cut")
                );
            }
        }
    }

    #[test]
    fn an_error_of_the_source_is_told_as_it_is() {
        struct Failing(usize);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let head = gzip(b"x");
                let count = buffer.len().min(head.len() - self.0).min(1);
                buffer[..count].copy_from_slice(&head[self.0..self.0 + count]);
                self.0 += count;
                if self.0 == 12 { Err(io::Error::other("unplugged")) } else { Ok(count) }
            }
        }
        let mut reader = unpack(Box::new(Failing(0))).unwrap().0;
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "unplugged");
    }

    #[test]
    fn what_unpacks_to_too_much_is_stopped() {
        let bytes = zstd::stream::encode_all(&vec![0_u8; 8 << 20][..], 1).unwrap();
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: Box::new(&bytes[..]), read: Arc::clone(&read) };
        let mut bounded = Bounded {
            decoder: Box::new(Frames::new(BufReader::new(counted))),
            compression: Compression::Zstd,
            read,
            unpacked: 0,
            free_bytes: 1 << 20,
        };
        let mut out = Vec::new();
        let error = bounded.read_to_end(&mut out).unwrap_err();
        assert_eq!(error_of(&error).code(), Code::E0106);
        assert!(out.len() < 4 << 20, "{}", out.len());
    }
}
