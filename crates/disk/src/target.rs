//! Where a copy puts guest bytes.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use crate::{Compression, Error, Result};

/// The size of the units in which a target is filled: 64 KiB, the usual grain and cluster.
pub const CLUSTER_BYTES: u64 = 64 << 10;

/// [`CLUSTER_BYTES`] as the length of a buffer.
pub(crate) const CLUSTER_LEN: usize = 64 << 10;

/// A cluster that is in the file already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// As the guest sees it.
    Plain {
        /// The byte of the file that it starts at; a multiple of [`CLUSTER_BYTES`].
        offset_bytes: u64,
    },
    /// As a compressed stream that may be followed by other bytes.
    Stored {
        /// The byte of the file that the stream starts at.
        offset_bytes: u64,
        /// The length of the stream.
        len_bytes: u64,
    },
}

/// A target without compressed clusters was given one.
#[derive(Debug, thiserror::Error)]
#[error("cluster {0} is compressed or elsewhere, which the written image does not allow")]
struct NoStreams(u64);

/// Bytes that can be written, and read back, at any place, from many threads at once.
pub trait WriteAt: Send + Sync {
    /// Writes all of `buf` at `offset_bytes`.
    ///
    /// # Errors
    ///
    /// What the system reports, as when there is no room.
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()>;

    /// Reads back what was written.
    ///
    /// # Errors
    ///
    /// What the system reports; `UnexpectedEof` behind the end.
    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()>;

    /// Sets the length; what is added reads as zeros.
    ///
    /// # Errors
    ///
    /// What the system reports.
    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()>;

    /// The file behind it, where there is one: the kernel can then copy into it by itself.
    fn as_file(&self) -> Option<&File> {
        None
    }
}

impl WriteAt for File {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        FileExt::write_all_at(self, buf, offset_bytes)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset_bytes)
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.set_len(len_bytes)
    }

    fn as_file(&self) -> Option<&File> {
        Some(self)
    }
}

/// An image that is being written by a copy.
///
/// Placing is short, done under a lock and in commit order, and decides the layout; writing the
/// bytes at the place is done by any thread, through [`file`](Self::file). The same order of
/// placing gives the same bytes.
pub trait Target: Send {
    /// Says at which byte of the file the guest cluster `cluster` (of [`CLUSTER_BYTES`]) is to be
    /// written. The last cluster of a disk may be shorter than the others.
    ///
    /// A cluster of zeros is not placed. No cluster is placed twice.
    ///
    /// # Errors
    ///
    /// When the cluster is behind the capacity, or a table cannot be written.
    fn place(&mut self, cluster: u64) -> Result<u64>;

    /// How the workers are to encode clusters before they are placed.
    fn compression(&self) -> Compression {
        Compression::None
    }

    /// Says at which byte of the file the compressed stream of guest cluster `cluster` is to be
    /// written; it has `len_bytes` bytes, and fewer than [`Encoder::MAX_STREAM_BYTES`].
    ///
    /// Streams that are placed one after the other lie back to back as far as the format allows it.
    ///
    /// [`Encoder::MAX_STREAM_BYTES`]: crate::Encoder::MAX_STREAM_BYTES
    ///
    /// # Errors
    ///
    /// As [`place`](Self::place); of kind [`Unsupported`](crate::Kind::Unsupported) when the target
    /// has no compressed clusters.
    fn place_stored(&mut self, cluster: u64, _len_bytes: usize) -> Result<u64> {
        Err(Error::unsupported(NoStreams(cluster)))
    }

    /// Says that guest cluster `cluster` is what the file holds at a place already, as when it was
    /// copied there with others.
    ///
    /// # Errors
    ///
    /// As [`place_stored`](Self::place_stored).
    fn keep(&mut self, cluster: u64, _kept: Kept) -> Result<()> {
        Err(Error::unsupported(NoStreams(cluster)))
    }

    /// The file that the bytes are written to.
    fn file(&self) -> Arc<dyn WriteAt>;

    /// Writes what is left, the header last, and gives the length of the file in bytes.
    ///
    /// Nothing may be placed or written afterwards. The file is not synced.
    ///
    /// # Errors
    ///
    /// When something cannot be written.
    fn finish(&mut self) -> Result<u64>;
}
