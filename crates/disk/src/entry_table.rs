//! A table of 32-bit entries inside an image, read a window at a time.

use std::{
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{ReadAt, Result, fields::buffer_len};

/// The size of an entry.
const ENTRY_BYTES: u64 = 4;

/// The entries that are read at once: 64 KiB of them.
const WINDOW_ENTRIES: u64 = 16 << 10;

/// Where a table lies and how many entries it has; the entries themselves stay in the image.
///
/// Whoever builds one has checked that it lies inside the image. An entry comes as its four bytes,
/// since a BAT of VHD is big-endian and a block map of VDI is little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryTable {
    offset_bytes: u64,
    entries: u64,
}

/// The window that was used last, for reads in any order.
#[derive(Debug, Default)]
pub(crate) struct LastWindow(Mutex<Option<Arc<Window>>>);

/// A part of a table in memory.
#[derive(Debug)]
struct Window {
    entries: Range<u64>,
    bytes: Vec<u8>,
}

impl EntryTable {
    /// A table of `entries` entries at byte `offset_bytes` of its image.
    pub(crate) fn new(offset_bytes: u64, entries: u64) -> Self {
        Self { offset_bytes, entries }
    }

    /// The bytes of the image that the table takes.
    pub(crate) fn range(&self) -> Range<u64> {
        self.offset_bytes..self.entry_at(self.entries)
    }

    /// The byte of the image that an entry starts at.
    pub(crate) fn entry_at(&self, index: u64) -> u64 {
        self.offset_bytes.saturating_add(index.saturating_mul(ENTRY_BYTES))
    }

    /// The first `count` entries in order; one window is in memory at a time.
    ///
    /// A window that cannot be read is one error, and the next window follows.
    pub(crate) fn entries<'a>(&self, bytes: &'a dyn ReadAt, count: u64) -> Entries<'a> {
        Entries {
            table: Self { entries: self.entries.min(count), ..*self },
            bytes,
            next: 0,
            window: None,
        }
    }

    /// One entry; its window stays in `last`.
    ///
    /// # Errors
    ///
    /// When its window cannot be read, or the table has no such entry.
    pub(crate) fn entry(
        &self,
        bytes: &dyn ReadAt,
        index: u64,
        last: &LastWindow,
    ) -> Result<[u8; 4]> {
        let lock = || last.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = lock().clone().filter(|window| window.entries.contains(&index));
        let window = if let Some(window) = cached {
            window
        } else {
            let window = Arc::new(self.window(bytes, index)?);
            *lock() = Some(Arc::clone(&window));
            window
        };
        let entry = window.entry(index);
        entry.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof).into())
    }

    /// Reads the window that the entry `index` is in; windows do not overlap.
    fn window(&self, bytes: &dyn ReadAt, index: u64) -> Result<Window> {
        let first = index.saturating_sub(index % WINDOW_ENTRIES);
        let end = first.saturating_add(WINDOW_ENTRIES).min(self.entries);
        let entries = first..end.max(first);
        let len_bytes = self.entry_at(entries.end).saturating_sub(self.entry_at(first));
        let mut window = vec![0; buffer_len(len_bytes)];
        bytes.fill(&mut window, self.entry_at(first))?;
        Ok(Window { entries, bytes: window })
    }
}

impl Window {
    fn entry(&self, index: u64) -> Option<[u8; 4]> {
        let at = index.checked_sub(self.entries.start)?.checked_mul(ENTRY_BYTES)?;
        self.bytes.get(buffer_len(at)..)?.first_chunk().copied()
    }
}

/// The entries of a table in order, each with its index.
pub(crate) struct Entries<'a> {
    table: EntryTable,
    bytes: &'a dyn ReadAt,
    next: u64,
    window: Option<Window>,
}

impl Iterator for Entries<'_> {
    type Item = Result<(u64, [u8; 4])>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        if index >= self.table.entries {
            return None;
        }
        if let Some(entry) = self.window.as_ref().and_then(|window| window.entry(index)) {
            self.next = index.saturating_add(1);
            return Some(Ok((index, entry)));
        }
        match self.table.window(self.bytes, index) {
            Ok(window) => {
                let entry = window.entry(index)?;
                self.window = Some(window);
                self.next = index.saturating_add(1);
                Some(Ok((index, entry)))
            }
            Err(error) => {
                self.next = index.saturating_add(WINDOW_ENTRIES);
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of 40 000 entries at byte 100, each of which is its own index.
    fn image() -> (Vec<u8>, EntryTable) {
        let mut bytes = vec![0xff; 100];
        bytes.extend((0..40_000_u32).flat_map(u32::to_le_bytes));
        (bytes, EntryTable::new(100, 40_000))
    }

    #[test]
    fn gives_every_entry_in_order_and_in_any_order() {
        let (bytes, table) = image();
        assert_eq!(table.range(), 100..160_100);
        let read: Vec<_> = table.entries(&bytes, u64::MAX).map(Result::unwrap).collect();
        assert_eq!(read.len(), 40_000);
        assert!(read.iter().all(|(index, raw)| u64::from(u32::from_le_bytes(*raw)) == *index));
        assert_eq!(table.entries(&bytes, 3).count(), 3);
        let last = LastWindow::default();
        for index in [0, 39_999, 16_384, 16_383, 16_385] {
            let raw = table.entry(&bytes, index, &last).unwrap();
            assert_eq!(u64::from(u32::from_le_bytes(raw)), index);
        }
        assert!(table.entry(&bytes, 40_000, &last).is_err());
    }

    #[test]
    fn goes_on_behind_a_window_that_cannot_be_read() {
        let (mut bytes, table) = image();
        bytes.truncate(100 + 4 * 20_000);
        let read: Vec<_> = table.entries(&bytes, u64::MAX).collect();
        // The second window and the third.
        assert_eq!(read.len(), 16_384 + 2);
        let error = read[16_384].as_ref().unwrap_err();
        assert_eq!(error.to_string(), "cannot read or write the image, at byte 65636");
    }
}
