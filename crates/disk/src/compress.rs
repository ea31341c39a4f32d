//! Compressed clusters and grains: how a worker makes one, and when it takes one as it is.

use std::{io, ops::Range};

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};
use libdeflater::{CompressionLvl, Compressor};

use crate::{Codec, Error, Result, Workbench, error::Kind, target::CLUSTER_LEN};

/// How the clusters of an image are compressed while it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// Deflate. Deflate streams of the source are taken as they are, after they were checked.
    Zlib,
    /// Deflate with a window of 4 KiB, for readers that inflate a cluster in several calls. Every
    /// cluster is compressed anew.
    ZlibCompat,
    /// zstd at this level, 1 to [`MAX_ZSTD_LEVEL`](Self::MAX_ZSTD_LEVEL). Needs QEMU 5.1 or later.
    Zstd(i32),
}

impl Compression {
    /// zstd at its own usual level.
    pub const ZSTD: Self = Self::Zstd(3);

    /// The highest level of zstd whose memory is bounded (zstd's own limit is 22: those above 19
    /// are its "ultra" levels).
    pub const MAX_ZSTD_LEVEL: i32 = 19;
}

/// The level of libdeflate: the file is within 1 % of what zlib makes at its usual level, in a fifth
/// of its time (measured, 3.3 GB of a Linux disk: level 1 is 4 % larger and takes 0.7 of the time,
/// level 5 is 2 % smaller and takes 1.25).
const ZLIB_LEVEL: i32 = 3;

/// The level of zlib-rs, for the compatible streams.
const COMPAT_LEVEL: u32 = 6;

/// The logarithm of the window of the compatible streams: 4 KiB.
const COMPAT_WINDOW_BITS: u8 = 12;

/// The bytes of a zlib stream before its deflate stream (RFC 1950).
const ZLIB_HEADER_BYTES: usize = 2;

/// The bytes of a zlib stream behind its deflate stream: the adler32 (RFC 1950).
const ZLIB_TRAILER_BYTES: usize = 4;

/// The bytes before the deflate streams that are put into a zlib stream: a window of 32 KiB, the usual
/// level (RFC 1950).
const ZLIB_HEADER: [u8; ZLIB_HEADER_BYTES] = [0x78, 0x9c];

/// The longest stream that is taken as it is for a grain: a header and a checksum may be added.
const MAX_ADOPTED_GRAIN_BYTES: usize =
    Encoder::MAX_GRAIN_STREAM_BYTES - ZLIB_HEADER_BYTES - ZLIB_TRAILER_BYTES;

/// The compressors of one worker, used again for each cluster or grain.
pub struct Encoder {
    method: Method,
    /// Finds out where a deflate stream ends, which libdeflate does not tell.
    measure: Option<Box<Decompress>>,
}

enum Method {
    None,
    Zlib(Compressor),
    Compat(Box<Compress>),
    Zstd(zstd::bulk::Compressor<'static>),
    Grains(Compressor),
}

#[derive(Debug, thiserror::Error)]
#[error("a deflate level of {0} is not in 1..={max}", max = Encoder::MAX_DEFLATE_LEVEL)]
struct DeflateLevel(i32);

#[derive(Debug, thiserror::Error)]
#[error("a zstd level of {0} is not in 1..={max}", max = Compression::MAX_ZSTD_LEVEL)]
struct ZstdLevel(i32);

impl Encoder {
    /// The length at which a stream is not worth storing: reading a plain cluster is faster, and a
    /// sector is the least that can be saved.
    pub const MAX_STREAM_BYTES: usize = CLUSTER_LEN - 512;

    /// The longest stream of a VMDK grain of 64 KiB (ours): one that does not compress needs 5 bytes for
    /// each 5000 at most. A grain has no other form, so it is stored as a stream even then.
    pub const MAX_GRAIN_STREAM_BYTES: usize = CLUSTER_LEN + 1024;

    /// The highest level of libdeflate.
    pub const MAX_DEFLATE_LEVEL: i32 = 12;

    /// Sets up the compressor.
    ///
    /// # Errors
    ///
    /// When the level of zstd is none, or there is no memory for it.
    pub fn new(compression: Compression) -> Result<Self> {
        let method = match compression {
            Compression::None => Method::None,
            Compression::Zlib => {
                let level = CompressionLvl::new(ZLIB_LEVEL).unwrap_or_default();
                Method::Zlib(Compressor::new(level))
            }
            Compression::ZlibCompat => {
                let level = flate2::Compression::new(COMPAT_LEVEL);
                let compress = Compress::new_with_window_bits(level, false, COMPAT_WINDOW_BITS);
                Method::Compat(Box::new(compress))
            }
            Compression::Zstd(level) => {
                if !(1..=Compression::MAX_ZSTD_LEVEL).contains(&level) {
                    return Err(Error::new(Kind::Limit, ZstdLevel(level)));
                }
                Method::Zstd(zstd::bulk::Compressor::new(level)?)
            }
        };
        Ok(Self { method, measure: None })
    }

    /// Sets up the compressor for the grains of a streamOptimized VMDK: zlib streams, one for each
    /// 64 KiB.
    ///
    /// # Errors
    ///
    /// When the level is not in 1..=[`MAX_DEFLATE_LEVEL`](Self::MAX_DEFLATE_LEVEL).
    pub fn for_grains(level: i32) -> Result<Self> {
        let compressor = CompressionLvl::new(level)
            .ok()
            .filter(|_| level > 0)
            .map(Compressor::new)
            .ok_or_else(|| Error::new(Kind::Limit, DeflateLevel(level)))?;
        Ok(Self { method: Method::Grains(compressor), measure: None })
    }

    /// Whether streams of this kind can be taken as they are.
    #[must_use]
    pub fn adopts(&self, codec: Codec) -> bool {
        let deflates = matches!(self.method, Method::Zlib(_) | Method::Grains(_));
        deflates && matches!(codec, Codec::Zlib | Codec::Deflate)
    }

    /// Inflates the stream of a whole cluster into `cluster`, with all checks its format has, and says
    /// which of its bytes are to be [`append_adopted`](Self::append_adopted).
    ///
    /// `None` when it is of another kind, does not fill the cluster exactly, or is damaged: decoding it
    /// tells how.
    pub fn adopt(
        &mut self,
        codec: Codec,
        stream: &[u8],
        bench: &mut Workbench,
        cluster: &mut [u8],
    ) -> Option<Range<usize>> {
        if !self.adopts(codec) || cluster.len() != CLUSTER_LEN {
            return None;
        }
        let for_grains = matches!(self.method, Method::Grains(_));
        let range = match codec {
            Codec::Zlib if for_grains => {
                let found = bench.inflater.zlib(stream, cluster).ok()?;
                (found == CLUSTER_LEN).then_some(0..stream.len())
            }
            Codec::Zlib => deflate_in_zlib(stream, bench, cluster),
            _ => self.deflate_in_record(stream, cluster),
        };
        range.filter(|range| !for_grains || range.len() <= MAX_ADOPTED_GRAIN_BYTES)
    }

    /// Appends an adopted stream, which holds `cluster`, to `out` as the image to be written has it, and
    /// gives the length; `None`, and `out` as it was, when it saves nothing.
    ///
    /// A zlib stream is a grain as it is; a deflate stream gets the header and the adler32 that make it
    /// one.
    pub fn append_adopted(
        &self,
        codec: Codec,
        stream: &[u8],
        cluster: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let start = out.len();
        match (&self.method, codec) {
            (Method::Grains(_), Codec::Deflate) => {
                out.extend_from_slice(&ZLIB_HEADER);
                out.extend_from_slice(stream);
                out.extend_from_slice(&libdeflater::adler32(cluster).to_be_bytes());
            }
            (Method::Grains(_), _) => out.extend_from_slice(stream),
            _ if stream.len() >= Self::MAX_STREAM_BYTES => return None,
            _ => out.extend_from_slice(stream),
        }
        Some(out.len().saturating_sub(start))
    }

    /// Inflates a deflate stream that may have bytes behind its end; `None` when it has no end, or
    /// does not fill the cluster.
    fn deflate_in_record(&mut self, stream: &[u8], cluster: &mut [u8]) -> Option<Range<usize>> {
        let measure = self.measure.get_or_insert_with(|| Box::new(Decompress::new(false)));
        measure.reset(false);
        let done = measure.decompress(stream, cluster, FlushDecompress::Finish);
        let whole = matches!(done, Ok(Status::StreamEnd));
        let filled = measure.total_out() == CLUSTER_LEN as u64;
        let end = usize::try_from(measure.total_in()).ok()?;
        (whole && filled).then_some(0..end)
    }

    /// Compresses one cluster or grain onto the end of `out` and gives the length of its stream; `None`,
    /// and `out` as it was, when nothing is saved. A grain of 64 KiB always gives a stream.
    ///
    /// # Errors
    ///
    /// When the compressor has no memory.
    pub fn encode(&mut self, cluster: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>> {
        let start = out.len();
        let most = match self.method {
            Method::Grains(_) => Self::MAX_GRAIN_STREAM_BYTES,
            _ => Self::MAX_STREAM_BYTES.saturating_sub(1),
        };
        out.resize(start.saturating_add(most), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let len = match &mut self.method {
            Method::None => None,
            // It fails only when there is not enough room.
            Method::Zlib(compressor) => compressor.deflate_compress(cluster, room).ok(),
            Method::Compat(compress) => deflate_all(compress, cluster, room)?,
            Method::Zstd(compressor) => compressor.compress_to_buffer(cluster, room).ok(),
            Method::Grains(compressor) => compressor.zlib_compress(cluster, room).ok(),
        };
        out.truncate(start.saturating_add(len.unwrap_or_default()));
        Ok(len)
    }
}

/// Inflates a zlib stream, with its adler32; `None` when it is damaged or does not fill the cluster.
fn deflate_in_zlib(
    stream: &[u8],
    bench: &mut Workbench,
    cluster: &mut [u8],
) -> Option<Range<usize>> {
    let found = bench.inflater.zlib(stream, cluster).ok()?;
    let end = stream.len().checked_sub(ZLIB_TRAILER_BYTES)?;
    (found == CLUSTER_LEN).then_some(ZLIB_HEADER_BYTES..end)
}

/// Compresses in one call; `None` when there is not enough room.
fn deflate_all(compress: &mut Compress, data: &[u8], out: &mut [u8]) -> io::Result<Option<usize>> {
    compress.reset();
    let status = compress.compress(data, out, FlushCompress::Finish).map_err(io::Error::other)?;
    let len = usize::try_from(compress.total_out()).ok();
    Ok(len.filter(|_| status == Status::StreamEnd))
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Vec<u8> {
        b"one line like the other\n".iter().copied().cycle().take(CLUSTER_LEN).collect()
    }

    /// Bytes that do not compress (xorshift).
    fn noise() -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        (0..CLUSTER_LEN / 8).flat_map(|_| next()).collect()
    }

    fn encode(compression: Compression, cluster: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![7; 3];
        let len = Encoder::new(compression).unwrap().encode(cluster, &mut out).unwrap();
        assert_eq!(out[..3], [7; 3]);
        assert_eq!(out.len(), 3 + len.unwrap_or(0));
        len.map(|_| out.split_off(3))
    }

    /// Inflates in small steps with a window of 4 KiB only.
    fn inflate_in_steps(stream: &[u8]) -> Vec<u8> {
        let mut inflate = Decompress::new_with_window_bits(false, COMPAT_WINDOW_BITS);
        let mut out = Vec::new();
        let mut chunk = [0; 1000];
        loop {
            let (before, read) = (inflate.total_out(), inflate.total_in());
            let status = inflate
                .decompress(&stream[read as usize..], &mut chunk, FlushDecompress::None)
                .unwrap();
            out.extend_from_slice(&chunk[..(inflate.total_out() - before) as usize]);
            if status == Status::StreamEnd {
                return out;
            }
        }
    }

    #[test]
    fn every_stream_gives_the_cluster_again() {
        let cluster = text();
        for compression in [Compression::Zlib, Compression::ZlibCompat] {
            let stream = encode(compression, &cluster).unwrap();
            let mut out = vec![0; CLUSTER_LEN];
            Workbench::new().inflater.deflate_exact(&stream, &mut out).unwrap();
            assert!(out == cluster, "{compression:?}");
        }
        for level in [1, 3, Compression::MAX_ZSTD_LEVEL] {
            let stream = encode(Compression::Zstd(level), &cluster).unwrap();
            assert!(zstd::bulk::decompress(&stream, CLUSTER_LEN).unwrap() == cluster, "{level}");
        }
    }

    #[test]
    fn a_compatible_stream_needs_a_window_of_4_kib_only() {
        // What repeats is 20 KiB apart: a larger window would point back there.
        let mut cluster = noise();
        for at in 20 << 10..CLUSTER_LEN {
            cluster[at] = if at % 1024 < 900 { cluster[at - (20 << 10)] } else { b'x' };
        }
        cluster[40 << 10..].fill(b'y');
        let stream = encode(Compression::ZlibCompat, &cluster).unwrap();
        assert!(inflate_in_steps(&stream) == cluster);
    }

    #[test]
    fn what_does_not_shrink_by_a_sector_is_no_stream() {
        for compression in
            [Compression::None, Compression::Zlib, Compression::ZlibCompat, Compression::ZSTD]
        {
            assert_eq!(encode(compression, &noise()), None, "{compression:?}");
        }
    }

    #[test]
    fn refuses_a_level_that_zstd_has_not() {
        for level in [0, -1, 20, i32::MAX] {
            let error = Encoder::new(Compression::Zstd(level)).unwrap_err();
            assert_eq!(error.to_string(), format!("a zstd level of {level} is not in 1..=19"));
            assert_eq!(error.kind(), Kind::Limit);
        }
    }

    fn zlib(data: &[u8]) -> Vec<u8> {
        let mut compressor = Compressor::new(CompressionLvl::default());
        let mut out = vec![0; compressor.zlib_compress_bound(data.len())];
        let len = compressor.zlib_compress(data, &mut out).unwrap();
        out.truncate(len);
        out
    }

    fn adopt(compression: Compression, codec: Codec, stream: &[u8]) -> Option<Range<usize>> {
        let mut cluster = vec![0; CLUSTER_LEN];
        let mut encoder = Encoder::new(compression).unwrap();
        let found = encoder.adopt(codec, stream, &mut Workbench::new(), &mut cluster);
        assert!(found.is_none() || cluster == text());
        found
    }

    #[test]
    fn takes_the_deflate_stream_out_of_a_zlib_stream() {
        let stream = zlib(&text());
        let range = adopt(Compression::Zlib, Codec::Zlib, &stream).unwrap();
        assert_eq!(range, 2..stream.len() - 4);
        let mut out = vec![0; CLUSTER_LEN];
        Workbench::new().inflater.deflate_exact(&stream[range], &mut out).unwrap();
        assert!(out == text());
        for compression in [Compression::None, Compression::ZlibCompat, Compression::ZSTD] {
            assert_eq!(adopt(compression, Codec::Zlib, &stream), None);
        }
    }

    #[test]
    fn takes_no_stream_that_is_damaged_or_no_whole_cluster() {
        let good = zlib(&text());
        for at in [0, 1, 2, good.len() / 2, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x55;
            assert_eq!(adopt(Compression::Zlib, Codec::Zlib, &bad), None, "byte {at}");
        }
        for len in 0..good.len() {
            assert_eq!(adopt(Compression::Zlib, Codec::Zlib, &good[..len]), None, "{len} bytes");
        }
        for data in [&text()[1..], &[text(), vec![0]].concat()] {
            assert_eq!(adopt(Compression::Zlib, Codec::Zlib, &zlib(data)), None);
        }
    }

    #[test]
    fn finds_the_end_of_a_deflate_stream_in_its_sectors() {
        let stream = encode(Compression::Zlib, &text()).unwrap();
        let record = [stream.clone(), vec![0xaa; 300]].concat();
        let range = Some(0..stream.len());
        assert_eq!(adopt(Compression::Zlib, Codec::Deflate, &record), range);
        assert_eq!(adopt(Compression::Zlib, Codec::Deflate, &stream), range);
        for len in 0..stream.len() {
            assert_eq!(adopt(Compression::Zlib, Codec::Deflate, &stream[..len]), None, "{len}");
        }
    }

    /// A worker that makes grains, and what it makes of a stream that it can take as it is.
    fn adopt_grain(codec: Codec, stream: &[u8]) -> Option<Vec<u8>> {
        let mut cluster = vec![0; CLUSTER_LEN];
        let mut encoder = Encoder::for_grains(6).unwrap();
        let range = encoder.adopt(codec, stream, &mut Workbench::new(), &mut cluster)?;
        let mut out = vec![7; 3];
        let len = encoder.append_adopted(codec, &stream[range], &cluster, &mut out)?;
        assert_eq!((&out[..3], out.len()), (&[7; 3][..], 3 + len));
        Some(out.split_off(3))
    }

    /// Inflates the stream of a grain with every check that a reader makes.
    fn grain_of(stream: &[u8]) -> Vec<u8> {
        let mut out = vec![0; CLUSTER_LEN];
        assert_eq!(Workbench::new().inflater.zlib(stream, &mut out), Ok(CLUSTER_LEN));
        out
    }

    #[test]
    fn every_grain_gives_a_stream_also_one_that_does_not_compress() {
        for level in [1, 6, Encoder::MAX_DEFLATE_LEVEL] {
            let mut encoder = Encoder::for_grains(level).unwrap();
            for grain in [text(), noise(), vec![0; CLUSTER_LEN]] {
                let mut out = Vec::new();
                let len = encoder.encode(&grain, &mut out).unwrap();
                assert_eq!(len, Some(out.len()), "level {level}");
                assert!(out.len() <= Encoder::MAX_GRAIN_STREAM_BYTES, "{} bytes", out.len());
                assert!(grain_of(&out) == grain, "level {level}");
            }
        }
    }

    #[test]
    fn a_zlib_stream_is_a_grain_as_it_is_and_a_deflate_stream_gets_its_frame() {
        let mut stream = zlib(&text());
        assert_eq!(adopt_grain(Codec::Zlib, &stream), Some(stream.clone()));
        let deflate = encode(Compression::Zlib, &text()).unwrap();
        let record = [deflate.clone(), vec![0xaa; 300]].concat();
        let framed = adopt_grain(Codec::Deflate, &record).unwrap();
        assert_eq!(framed[2..framed.len() - 4], deflate);
        assert!(grain_of(&framed) == text());
        // A few bytes behind the checksum stay behind it.
        for more in 1..6 {
            stream.push(more);
            assert!(grain_of(&adopt_grain(Codec::Zlib, &stream).unwrap()) == text());
        }
        assert_eq!(adopt_grain(Codec::Zstd, &stream), None);
    }

    #[test]
    fn takes_no_stream_for_a_grain_that_is_longer_than_one_of_ours() {
        // Stored blocks without content in front make any stream long.
        let deflate = encode(Compression::Zlib, &text()).unwrap();
        for (blocks, taken) in [(100, true), (14_000, false)] {
            let long = [[0, 0, 0, 0xff, 0xff].repeat(blocks), deflate.clone()].concat();
            assert_eq!(adopt_grain(Codec::Deflate, &long).is_some(), taken, "{blocks} blocks");
            let sum = libdeflater::adler32(&text()).to_be_bytes();
            let framed = [&ZLIB_HEADER[..], &long, &sum].concat();
            assert_eq!(adopt_grain(Codec::Zlib, &framed).is_some(), taken, "{blocks} blocks");
        }
    }

    #[test]
    fn refuses_a_level_that_deflate_has_not() {
        for level in [0, -1, 13, i32::MAX] {
            let error = Encoder::for_grains(level).unwrap_err();
            assert_eq!(error.to_string(), format!("a deflate level of {level} is not in 1..=12"));
            assert_eq!(error.kind(), Kind::Limit);
        }
    }
}
