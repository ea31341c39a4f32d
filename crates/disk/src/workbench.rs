//! What a worker keeps between grains, and how a grain is inflated.

use libdeflater::{DecompressionError, Decompressor};

/// The decompressor and the buffers of one worker, used again for each grain of one image.
pub struct Workbench {
    pub(crate) inflater: Inflater,
    /// The compressed record of a grain.
    pub(crate) record: Vec<u8>,
    /// A whole grain, where only its front is wanted.
    pub(crate) grain: Vec<u8>,
    /// The last grain of which only a part was wanted, decoded.
    pub(crate) whole: Vec<u8>,
    /// Which one it is: its file, and where it starts in the disk.
    pub(crate) whole_key: Option<(u32, u64)>,
}

impl Workbench {
    /// Sets up a workbench; its buffers grow to the size of one grain when they are first used.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inflater: Inflater::new(),
            record: Vec::new(),
            grain: Vec::new(),
            whole: Vec::new(),
            whole_key: None,
        }
    }
}

impl Default for Workbench {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Workbench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workbench").finish_non_exhaustive()
    }
}

/// Inflates one grain or cluster at a time, never into more room than it is given.
pub(crate) struct Inflater {
    deflate: Decompressor,
    /// Made when the first zstd frame comes.
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

/// Why a compressed grain cannot be inflated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InflateError {
    #[error("the zlib header is {0:#06x}, which is no deflate stream without a dictionary")]
    Header(u16),
    #[error("a compressed stream of {0} bytes is too short")]
    Short(usize),
    #[error("the adler32 is {said:#010x}, that of the data is {found:#010x}")]
    Checksum { said: u32, found: u32 },
    #[error("the deflate stream is damaged")]
    Damaged,
    #[error("it is no whole zstd frame")]
    Frame,
    #[error("the zstd frame is damaged, or inflates to more than {0} bytes")]
    FrameDamaged(usize),
    #[error("it inflates to more than {0} bytes")]
    Over(usize),
    #[error("it inflates to {found} bytes, not to {wanted}")]
    Length { found: usize, wanted: usize },
}

/// The bytes of a zlib stream before its deflate stream (RFC 1950).
const ZLIB_HEADER_BYTES: usize = 2;

/// The bytes of a zlib stream behind its deflate stream: the adler32 (RFC 1950).
const ZLIB_TRAILER_BYTES: usize = 4;

impl Inflater {
    fn new() -> Self {
        Self { deflate: Decompressor::new(), zstd: None }
    }

    /// Inflates a zlib stream into the front of `out` and says how many bytes came out.
    pub(crate) fn zlib(&mut self, stream: &[u8], out: &mut [u8]) -> Result<usize, InflateError> {
        let header = stream.first_chunk().ok_or(InflateError::Short(stream.len()))?;
        let header = u16::from_be_bytes(*header);
        let deflate = header & 0x0f00 == 0x0800;
        let dictionary = header & 0x0020 != 0;
        if !deflate || dictionary || !header.is_multiple_of(31) {
            return Err(InflateError::Header(header));
        }
        match self.deflate.zlib_decompress(stream, out) {
            Ok(found) => Ok(found),
            Err(DecompressionError::InsufficientSpace) => Err(InflateError::Over(out.len())),
            Err(DecompressionError::BadData) => Err(self.diagnose(stream, out)),
        }
    }

    /// Inflates a bare deflate stream into the front of `out` and says how many bytes came out.
    pub(crate) fn deflate(&mut self, stream: &[u8], out: &mut [u8]) -> Result<usize, InflateError> {
        self.deflate.deflate_decompress(stream, out).map_err(|error| match error {
            DecompressionError::InsufficientSpace => InflateError::Over(out.len()),
            DecompressionError::BadData => InflateError::Damaged,
        })
    }

    /// Inflates a bare deflate stream that fills `out` exactly.
    ///
    /// QEMU also reads a stream that fills the cluster and then lacks its end code; libdeflate does
    /// not, so such a stream is inflated a second time, by zlib-rs.
    pub(crate) fn deflate_exact(
        &mut self,
        stream: &[u8],
        out: &mut [u8],
    ) -> Result<(), InflateError> {
        let wanted = out.len();
        match self.deflate(stream, out) {
            Ok(found) if found == wanted => Ok(()),
            Ok(found) => Err(InflateError::Length { found, wanted }),
            Err(error) => {
                let mut tolerant = flate2::Decompress::new(false);
                let done = tolerant.decompress(stream, out, flate2::FlushDecompress::Sync);
                let filled = done.is_ok() && tolerant.total_out() == wanted as u64;
                if filled { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Inflates the zstd frame at the front of `stream`, which fills `out` exactly.
    ///
    /// What lies behind the frame is not looked at. The output is the only window: a frame that asks
    /// for a larger one gets no memory for it.
    pub(crate) fn zstd_exact(&mut self, stream: &[u8], out: &mut [u8]) -> Result<(), InflateError> {
        let wanted = out.len();
        let frame = zstd::zstd_safe::find_frame_compressed_size(stream).ok();
        let frame = frame.and_then(|len| stream.get(..len)).ok_or(InflateError::Frame)?;
        let zstd = self.zstd.get_or_insert_with(zstd::bulk::Decompressor::default);
        match zstd.decompress_to_buffer(frame, out) {
            Ok(found) if found == wanted => Ok(()),
            Ok(found) => Err(InflateError::Length { found, wanted }),
            Err(_) => Err(InflateError::FrameDamaged(wanted)),
        }
    }

    /// Tells a wrong checksum from a damaged stream, which the decompressor does not.
    fn diagnose(&mut self, stream: &[u8], out: &mut [u8]) -> InflateError {
        let Some((body, said)) = stream
            .get(ZLIB_HEADER_BYTES..)
            .and_then(<[u8]>::split_last_chunk::<ZLIB_TRAILER_BYTES>)
        else {
            return InflateError::Short(stream.len());
        };
        match self.deflate(body, out) {
            Ok(len) => {
                let found = libdeflater::adler32(out.get(..len).unwrap_or_default());
                InflateError::Checksum { said: u32::from_be_bytes(*said), found }
            }
            Err(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use libdeflater::{CompressionLvl, Compressor};

    use super::*;

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::default());
        let mut out = vec![0; compressor.zlib_compress_bound(data.len())];
        let len = compressor.zlib_compress(data, &mut out).unwrap();
        out.truncate(len);
        out
    }

    #[test]
    fn says_what_is_wrong_with_a_stream() {
        let good = zlib(&[7; 1000]);
        let mut inflater = Workbench::new().inflater;
        let mut out = [0; 1000];
        assert_eq!(inflater.zlib(&good, &mut out), Ok(1000));
        assert_eq!(out, [7; 1000]);
        let spoil = |at: usize, bits: u8| {
            let mut bad = good.clone();
            bad[at] ^= bits;
            bad
        };
        let last = good.len() - 1;
        let sum = libdeflater::adler32(&[7; 1000]);
        for (stream, want) in [
            (
                spoil(last, 1),
                format!("the adler32 is {:#010x}, that of the data is {sum:#010x}", sum ^ 1),
            ),
            (
                spoil(0, 1),
                "the zlib header is 0x799c, which is no deflate stream without a dictionary"
                    .to_owned(),
            ),
            (spoil(2, 6), "the deflate stream is damaged".to_owned()),
            (zlib(&[7; 1001]), "it inflates to more than 1000 bytes".to_owned()),
            (vec![0x78], "a compressed stream of 1 bytes is too short".to_owned()),
        ] {
            assert_eq!(inflater.zlib(&stream, &mut out).unwrap_err().to_string(), want);
        }
        assert_eq!(inflater.zlib(&zlib(&[7; 10]), &mut out), Ok(10));
    }

    #[test]
    fn reads_one_zstd_frame_that_fills_the_cluster() {
        let mut inflater = Workbench::new().inflater;
        let mut out = [0; 1000];
        let frame = |len: usize| zstd::bulk::compress(&vec![7; len], 3).unwrap();
        let mut good = frame(1000);
        let len = good.len();
        // Neighbours lie behind it, or what the sector held before.
        good.extend_from_slice(b"not zstd");
        assert_eq!(inflater.zstd_exact(&good, &mut out), Ok(()));
        assert_eq!(out, [7; 1000]);
        let two = [frame(500), frame(500)].concat();
        let over = InflateError::FrameDamaged(1000);
        for (stream, want) in [
            (two, InflateError::Length { found: 500, wanted: 1000 }),
            (frame(999), InflateError::Length { found: 999, wanted: 1000 }),
            (frame(1001), over),
            (
                b"\x50\x2a\x4d\x18\x04\0\0\0skip".to_vec(),
                InflateError::Length { found: 0, wanted: 1000 },
            ),
            (b"no frame at all".to_vec(), InflateError::Frame),
        ] {
            assert_eq!(inflater.zstd_exact(&stream, &mut out), Err(want));
        }
        for cut in 0..len {
            assert_eq!(inflater.zstd_exact(&good[..cut], &mut out), Err(InflateError::Frame));
        }
    }

    #[test]
    fn refuses_a_stream_that_is_cut_anywhere() {
        let good = zlib(b"grain after grain after grain, and a few bytes more");
        let mut inflater = Workbench::new().inflater;
        for len in 0..good.len() {
            assert!(inflater.zlib(&good[..len], &mut [0; 100]).is_err(), "{len}");
        }
    }
}
