//! A disk that is gzip'd as a whole: a package may hold its files so (DSP0243 7.1).

use std::io::{self, BufRead as _, BufReader, Read};

use flate2::bufread::GzDecoder;

use crate::{Declared, Error, Length, Result, Sequential, error::Kind, open_stream};

/// Opens an image that `reader` has gzip'd, in one member or several.
///
/// It passes once, so what [`open_stream`] cannot read has to be unpacked first. `length` is that of
/// the image, where something says it; a raw image has nothing that says it but its descriptor.
///
/// # Errors
///
/// As [`open_stream`]; of kind [`Malformed`](Kind::Malformed) when the gzip stream is damaged.
pub fn open_gzip<'a>(
    reader: Box<dyn Read + Send + 'a>,
    length: Length,
    declared: Declared,
) -> Result<Box<dyn Sequential + 'a>> {
    open_stream(Box::new(Unpacked::new(reader, length)), length, declared)
}

/// Unpacks what `reader` has gzip'd, only to know how long it is; `None` where that is more than
/// `most_bytes`, and no more than one byte beyond them is unpacked to know so.
///
/// # Errors
///
/// Of kind [`Malformed`](Kind::Malformed) when the gzip stream is damaged.
pub fn gzip_len_bytes(reader: Box<dyn Read + Send + '_>, most_bytes: u64) -> Result<Option<u64>> {
    let unpacked = Unpacked::new(reader, Length::Unknown);
    let len_bytes = io::copy(&mut unpacked.take(most_bytes.saturating_add(1)), &mut io::sink())?;
    Ok((len_bytes <= most_bytes).then_some(len_bytes))
}

/// What is unpacked; damage is told as damage.
struct Unpacked<'a> {
    /// The member that is read; `None` behind the last one.
    member: Option<GzDecoder<BufReader<Box<dyn Read + Send + 'a>>>>,
    /// How many bytes are still to come, and how many were announced.
    announced: Option<(u64, u64)>,
}

#[derive(Debug, thiserror::Error)]
#[error("the gzip stream around the image is damaged or cut")]
struct Damaged(#[source] io::Error);

#[derive(Debug, thiserror::Error)]
#[error("the gzip stream around the image holds more than the {0} bytes that were announced")]
struct Longer(u64);

impl<'a> Unpacked<'a> {
    fn new(reader: Box<dyn Read + Send + 'a>, length: Length) -> Self {
        let announced = match length {
            Length::Known(bytes) => Some((bytes, bytes)),
            Length::Unknown => None,
        };
        Self { member: Some(GzDecoder::new(BufReader::new(reader))), announced }
    }

    /// Reads the end of the stream together with its last byte: whoever knows how many bytes there
    /// are asks for no more, and the checksum stands behind them.
    fn read_to_end(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = self.read_member(buf)?;
        if let Some((left, announced)) = &mut self.announced {
            let announced = *announced;
            *left = left.saturating_sub(count as u64);
            if *left == 0 && self.read_member(&mut [0])? > 0 {
                return Err(io::Error::other(Error::new(Kind::Malformed, Longer(announced))));
            }
        }
        Ok(count)
    }

    fn read_member(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buf)?;
            if count > 0 || buf.is_empty() {
                return Ok(count);
            }
            self.next_member()?;
        }
        Ok(0)
    }

    /// Goes on behind a member. Zeros there are what a tape or a block device was filled up with.
    fn next_member(&mut self) -> io::Result<()> {
        let Some(member) = self.member.take() else { return Ok(()) };
        let mut reader = member.into_inner();
        loop {
            let buffer = reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
            let is_over = zeros == buffer.len();
            reader.consume(zeros);
            if !is_over {
                self.member = Some(GzDecoder::new(reader));
                return Ok(());
            }
        }
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_to_end(buf).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof => {
                io::Error::other(Error::new(Kind::Malformed, Damaged(error)))
            }
            _ => error,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::{Format, Piece, Workbench};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(packed: &[u8], length: Length, declared: Declared) -> Result<Vec<u8>> {
        let mut image = open_gzip(Box::new(packed), length, declared)?;
        let mut out = vec![0; usize::try_from(image.capacity_bytes()).unwrap()];
        let (mut piece, mut bench) = (Piece::default(), Workbench::new());
        while image.next(&mut piece)? {
            let start = usize::try_from(piece.start_bytes).unwrap();
            let len = usize::try_from(piece.len_bytes).unwrap();
            piece.decode(&mut bench, &mut out[start..start + len])?;
        }
        Ok(out)
    }

    #[test]
    fn reads_a_vmdk_whose_length_nobody_said() {
        let content = testkit::content(3 << 20);
        let vmdk = testkit::stream_optimized(&content, "a.vmdk");
        let declared = Declared::Claimed(Format::Vmdk);
        assert_eq!(read(&gzip(&vmdk), Length::Unknown, declared).unwrap(), content);
        let (front, back) = vmdk.split_at(100_000);
        let members = [gzip(front), gzip(back)].concat();
        assert_eq!(read(&members, Length::Unknown, declared).unwrap(), content);
    }

    #[test]
    fn zeros_behind_the_last_member_are_nothing_and_other_bytes_are_damage() {
        let content = testkit::content(1 << 20);
        let declared = Declared::Claimed(Format::Vmdk);
        let packed = gzip(&testkit::stream_optimized(&content, "a.vmdk"));
        for zeros in [1, 511, 100_000] {
            let padded = [packed.as_slice(), &vec![0; zeros]].concat();
            assert_eq!(read(&padded, Length::Unknown, declared).unwrap(), content);
        }
        let followed = [packed.as_slice(), &[0; 9], b"more"].concat();
        let error = read(&followed, Length::Unknown, declared).unwrap_err();
        assert_eq!(error.kind(), Kind::Malformed, "{error}");
    }

    #[test]
    fn a_cut_or_damaged_stream_is_damage() {
        let packed = gzip(&testkit::stream_optimized(&testkit::content(1 << 20), "a.vmdk"));
        let declared = Declared::Claimed(Format::Vmdk);
        for len in [1, 9, 20, packed.len() / 2, packed.len() - 1] {
            let error = read(&packed[..len], Length::Unknown, declared).unwrap_err();
            assert_eq!(error.kind(), Kind::Malformed, "{len}: {error}");
        }
        let mut spoiled = packed.clone();
        let middle = spoiled.len() - 6;
        spoiled[middle] ^= 1;
        let error = read(&spoiled, Length::Unknown, declared).unwrap_err();
        assert!(error.to_string().starts_with("the gzip stream around the image"), "{error}");
    }

    #[test]
    fn a_raw_image_needs_a_length() {
        let content = testkit::content(1 << 20);
        let declared = Declared::Claimed(Format::Raw);
        let known = Length::Known(1 << 20);
        assert_eq!(read(&gzip(&content), known, declared).unwrap(), content);
        let error = read(&gzip(&content), Length::Unknown, declared).unwrap_err();
        assert!(error.to_string().contains("length"), "{error}");
    }

    #[test]
    fn no_more_is_unpacked_than_it_takes_to_know_that_it_is_too_much() {
        let mut packed = gzip(&testkit::content(1 << 20));
        let len = |packed: &[u8], most_bytes| gzip_len_bytes(Box::new(packed), most_bytes);
        assert_eq!(len(&packed, 1 << 20).unwrap(), Some(1 << 20));
        assert_eq!(len(&packed, u64::MAX).unwrap(), Some(1 << 20));
        assert_eq!(len(&packed, (1 << 20) - 1).unwrap(), None);
        // Damage at the end is met only by who comes there.
        let sum = packed.len() - 8;
        packed[sum] ^= 1;
        assert_eq!(len(&packed, 1 << 10).unwrap(), None);
        assert_eq!(len(&packed, 1 << 20).unwrap_err().kind(), Kind::Malformed);
    }

    #[test]
    fn damage_behind_the_last_byte_of_a_raw_image_is_found() {
        let content = testkit::content(1 << 20);
        let declared = Declared::Claimed(Format::Raw);
        let mut packed = gzip(&content);
        let error = read(&packed, Length::Known((1 << 20) - 512), declared).unwrap_err();
        let want = "the gzip stream around the image holds more than the 1048064 bytes that were announced";
        assert_eq!(error.kind(), Kind::Malformed);
        assert!(error.to_string().starts_with(want), "{error}");
        let sum = packed.len() - 8;
        packed[sum] ^= 1;
        let error = read(&packed, Length::Known(1 << 20), declared).unwrap_err();
        let want = "the gzip stream around the image is damaged or cut";
        assert_eq!(error.kind(), Kind::Malformed);
        assert!(error.to_string().starts_with(want), "{error}");
    }
}
