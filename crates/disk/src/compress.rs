//! Compressed clusters: how a worker makes one, and when it takes one as it is.

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

/// The level of libdeflate.
const ZLIB_LEVEL: i32 = 3;

/// The level of zlib-rs, for the compatible streams.
const COMPAT_LEVEL: u32 = 6;

/// The logarithm of the window of the compatible streams: 4 KiB.
const COMPAT_WINDOW_BITS: u8 = 12;

/// The bytes of a zlib stream before its deflate stream (RFC 1950).
const ZLIB_HEADER_BYTES: usize = 2;

/// The bytes of a zlib stream behind its deflate stream: the adler32 (RFC 1950).
const ZLIB_TRAILER_BYTES: usize = 4;

/// What [`Encoder::adopt`] made of a stored cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// These bytes of the stream are a compressed cluster as they are.
    Stream(Range<usize>),
    /// It is sound, but saves nothing: the cluster goes plain.
    Plain,
    /// It is of another kind, does not fill the cluster exactly, or is damaged (decoding it tells
    /// how): nothing is known of the cluster.
    Not,
}

/// The compressors of one worker, used again for each cluster.
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
}

#[derive(Debug, thiserror::Error)]
#[error("a zstd level of {0} is not in 1..={max}", max = Compression::MAX_ZSTD_LEVEL)]
struct ZstdLevel(i32);

impl Encoder {
    /// The length at which a stream is not worth storing: reading a plain cluster is faster, and a
    /// sector is the least that can be saved.
    pub const MAX_STREAM_BYTES: usize = CLUSTER_LEN - 512;

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

    /// Whether streams of this kind can be taken as they are.
    #[must_use]
    pub fn adopts(&self, codec: Codec) -> bool {
        matches!((&self.method, codec), (Method::Zlib(_), Codec::Zlib | Codec::Deflate))
    }

    /// Inflates the stream of a whole cluster into `cluster`, with all checks its format has, and says
    /// which part of it the image to be written can take as it is.
    pub fn adopt(
        &mut self,
        codec: Codec,
        stream: &[u8],
        bench: &mut Workbench,
        cluster: &mut [u8],
    ) -> Adopted {
        if !self.adopts(codec) || cluster.len() != CLUSTER_LEN {
            return Adopted::Not;
        }
        let found = match codec {
            Codec::Zlib => deflate_in_zlib(stream, bench, cluster),
            _ => self.deflate_in_record(stream, cluster),
        };
        match found {
            Some(range) if range.len() < Self::MAX_STREAM_BYTES => Adopted::Stream(range),
            Some(_) => Adopted::Plain,
            None => Adopted::Not,
        }
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

    /// Compresses one cluster onto the end of `out` and gives the length of its stream; `None`, and
    /// `out` as it was, when nothing is saved.
    ///
    /// # Errors
    ///
    /// When the compressor has no memory.
    pub fn encode(&mut self, cluster: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>> {
        let start = out.len();
        let most = Self::MAX_STREAM_BYTES.saturating_sub(1);
        out.resize(start.saturating_add(most), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let len = match &mut self.method {
            Method::None => None,
            // It fails only when there is not enough room.
            Method::Zlib(compressor) => compressor.deflate_compress(cluster, room).ok(),
            Method::Compat(compress) => deflate_all(compress, cluster, room)?,
            Method::Zstd(compressor) => compressor.compress_to_buffer(cluster, room).ok(),
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
