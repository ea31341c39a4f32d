//! A file that is written in memory.

use std::{io, sync::Mutex};

use disk::{ReadAt as _, WriteAt};

/// A file in memory, which any number of threads write.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Vec<u8>>);

impl Memory {
    /// What was written.
    ///
    /// # Panics
    ///
    /// When a thread panicked while it wrote.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no writer panicked").clone()
    }
}

impl WriteAt for Memory {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        let start = usize::try_from(offset_bytes).expect("a small file");
        let mut bytes = self.0.lock().expect("no writer panicked");
        let end = bytes.len().max(start + buf.len());
        bytes.resize(end, 0);
        bytes[start..start + buf.len()].copy_from_slice(buf);
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.0.lock().expect("no writer panicked").read_exact_at(buf, offset_bytes)
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        let len = usize::try_from(len_bytes).expect("a small file");
        self.0.lock().expect("no writer panicked").resize(len, 0);
        Ok(())
    }
}
