//! The file layer: all that the crate does to the file that it writes.

use std::{fs::File, io};

use disk::WriteAt;

/// A file that a bundle is written to.
///
/// Everything that must survive a crash goes through these few acts, so that a test can let each of
/// them be the last one.
pub trait Medium: WriteAt {
    /// The length of the file in bytes.
    ///
    /// # Errors
    /// What the system reports.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Makes durable what was written. An error is final: what was written before may be lost.
    ///
    /// # Errors
    /// What the system reports.
    fn sync(&self) -> io::Result<()>;
}

impl Medium for File {
    fn len_bytes(&self) -> io::Result<u64> {
        self.metadata().map(|data| data.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}
