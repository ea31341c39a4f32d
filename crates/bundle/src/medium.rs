//! The file layer: all that the crate does to the file that it writes.

use std::{
    fs::File,
    io,
    sync::atomic::{AtomicBool, Ordering},
};

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

/// A file whose first write is durable before the next one: so an append that does not end leaves nothing,
/// or something that begins as only an append does.
pub(crate) struct Anchored<'a> {
    medium: &'a dyn Medium,
    is_due: AtomicBool,
}

impl<'a> Anchored<'a> {
    pub(crate) fn first_is_durable(medium: &'a dyn Medium) -> Self {
        Self { medium, is_due: AtomicBool::new(true) }
    }

    pub(crate) fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        self.medium.write_all_at(buf, offset_bytes)?;
        if self.is_due.swap(false, Ordering::Relaxed) { self.medium.sync() } else { Ok(()) }
    }
}

/// A file of which nothing counts before all of it is there.
impl<'a> From<&'a dyn Medium> for Anchored<'a> {
    fn from(medium: &'a dyn Medium) -> Self {
        Self { medium, is_due: AtomicBool::new(false) }
    }
}
