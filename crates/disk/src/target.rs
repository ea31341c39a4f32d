//! Where a copy puts guest bytes.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt, sync::Arc};

use crate::{Compression, Error, ReadAt, Result, fields::buffer_len};

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

/// What the guest finds where nothing was placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unplaced {
    /// Zeros.
    Zeros,
    /// What another image has there, which this one stands on.
    Backing,
}

/// In which order a file is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// In any, and what was written can be read back.
    AnyPlace,
    /// Front to end: every byte once, none left out, none read back. What is written at the same time
    /// may overtake by some MiB, and the first cluster comes last.
    FrontToEnd,
}

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

    /// In which order it is to be written; who makes the layout keeps to it.
    fn order(&self) -> Order {
        Order::AnyPlace
    }

    /// Copies the front of a range of `source` to `offset_bytes` without reading it, and says how many
    /// bytes; 0 where that cannot be done, and the caller must read and write them.
    fn copy_from(&self, _source: &dyn ReadAt, _range: Range<u64>, _offset_bytes: u64) -> u64 {
        0
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

    /// The kernel copies from file to file; where the file system can, both then share the blocks.
    fn copy_from(&self, source: &dyn ReadAt, range: Range<u64>, offset_bytes: u64) -> u64 {
        let len = range.end.saturating_sub(range.start);
        let from = source.file_range().and_then(|(file, start)| {
            Some((file, start.checked_add(range.start)?)).filter(|_| len > 0)
        });
        let Some((file, mut from)) = from else { return 0 };
        let (mut to, len) = (offset_bytes, buffer_len(len));
        let copied = rustix::fs::copy_file_range(file, Some(&mut from), self, Some(&mut to), len);
        // Another file system, a sandbox that forbids the call, a signal, no room: reading and writing
        // do it, or tell what is wrong and on which side.
        copied.map_or(0, |copied| copied as u64)
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
    /// A cluster of zeros is not placed, it is told ([`place_zero`](Self::place_zero)). No cluster is placed
    /// twice.
    ///
    /// # Errors
    ///
    /// When the cluster is behind the capacity, or a table cannot be written.
    fn place(&mut self, cluster: u64) -> Result<u64>;

    /// Says that only the first `len_bytes` of the cluster that was placed at byte `offset_bytes` are to be
    /// written, since the disk that is copied ends there. In a file where no byte may be left out
    /// ([`Order::FrontToEnd`]) the target writes the others.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    fn pad(&mut self, _offset_bytes: u64, _len_bytes: u64) -> Result<()> {
        Ok(())
    }

    /// What a cluster is that is neither placed nor told to be zeros.
    fn unplaced(&self) -> Unplaced {
        Unplaced::Zeros
    }

    /// Says that guest cluster `cluster` is zeros. Where those are what is found anyway, nothing is written.
    ///
    /// # Errors
    ///
    /// As [`place`](Self::place).
    fn place_zero(&mut self, _cluster: u64) -> Result<()> {
        Ok(())
    }

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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::{FileBytes, Slice};

    #[test]
    fn copies_from_the_window_of_a_file_and_from_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let create = |name| {
            let options = File::options().read(true).write(true).create_new(true).clone();
            options.open(folder.path().join(name)).unwrap()
        };
        let mut source = create("source");
        source.write_all(b"0123456789").unwrap();
        let file: Arc<dyn ReadAt> = Arc::new(FileBytes::new(source).unwrap());
        let window = Slice::new(file, 2, 6).unwrap();
        let target = create("target");
        // A file system that cannot copy says so with 0.
        let copied = target.copy_from(&window, 1..4, 5);
        if copied > 0 {
            let mut found = [0; 3];
            WriteAt::read_exact_at(&target, &mut found[..copied as usize], 5).unwrap();
            assert_eq!(found[..copied as usize], b"345"[..copied as usize]);
        }
        assert_eq!(target.copy_from(&window, 4..4, 0), 0);
        assert_eq!(target.copy_from(&vec![1, 2, 3], 0..3, 0), 0);
        // The write that follows a failure tells what it is.
        let closed = File::open(folder.path().join("target")).unwrap();
        assert_eq!(closed.copy_from(&window, 1..4, 5), 0);
    }
}
