//! The grain directory of a COWD or seSparse extent.

use std::ops::Range;

use super::{Layout, TABLE_ENTRIES, entries};
use crate::{Error, ReadAt, Result, fields::buffer_len, usage::Usage, vmdk::header::SECTOR_BYTES};

/// The part of a directory that is read at once.
const WINDOW_BYTES: u64 = 64 << 10;

/// An entry of the directory that is not empty.
#[derive(Debug, Clone, Copy)]
pub(super) struct TablePlace {
    pub(super) number: u32,
    /// The sector that the table starts at.
    pub(super) sector: u32,
}

/// What is wrong with a directory.
#[derive(Debug, thiserror::Error)]
enum DirectoryError {
    #[error("a grain directory of {len_bytes} bytes is not inside the file of {file_bytes}")]
    Outside { len_bytes: u64, file_bytes: u64 },
    #[error("grain directory entry {number}: {entry:#x} names no table")]
    Entry { number: u64, entry: u64 },
    #[error(
        "grain directory entry {number}: table at byte {start} is not inside the file of {file_bytes} bytes"
    )]
    TableOutside { number: u64, start: u64, file_bytes: u64 },
    #[error(
        "grain directory entry {number}: table at byte {start} overlaps the header, the directory or another table"
    )]
    TableShared { number: u64, start: u64 },
}

/// Reads the directory a window at a time.
pub(super) fn read_directory<L: Layout>(bytes: &dyn ReadAt, layout: &L) -> Result<Vec<TablePlace>> {
    let file_bytes = bytes.len_bytes();
    let Range { start, end } = layout.directory();
    if end > file_bytes {
        let leaf = DirectoryError::Outside { len_bytes: end.saturating_sub(start), file_bytes };
        return Err(Error::malformed(leaf).at(start));
    }
    let mut directory =
        Directory { layout, places: Vec::new(), used: Usage::default(), file_bytes };
    for range in layout.front() {
        directory.claim(range);
    }
    let (mut window, mut at, mut number) = (Vec::new(), start, 0);
    while at < end {
        let part = end.saturating_sub(at).min(WINDOW_BYTES);
        window.resize(buffer_len(part), 0);
        bytes.fill(&mut window, at)?;
        for (entry, at) in entries::<L>(&window).zip((at..).step_by(buffer_len(L::ENTRY_BYTES))) {
            directory.take(number, entry).map_err(|leaf| Error::malformed(leaf).at(at))?;
            number = number.saturating_add(1);
        }
        at = at.saturating_add(part);
    }
    Ok(directory.places)
}

/// A directory that is being read.
struct Directory<'a, L> {
    layout: &'a L,
    places: Vec<TablePlace>,
    /// The sectors that headers and tables take.
    used: Usage,
    file_bytes: u64,
}

impl<L: Layout> Directory<'_, L> {
    fn take(&mut self, number: u64, entry: u64) -> std::result::Result<(), DirectoryError> {
        if entry == 0 {
            return Ok(());
        }
        let wrong = DirectoryError::Entry { number, entry };
        let start = self.layout.table_bytes(entry).ok_or(wrong)?;
        let end = start.saturating_add(L::ENTRY_BYTES.saturating_mul(TABLE_ENTRIES));
        let file_bytes = self.file_bytes;
        let outside = DirectoryError::TableOutside { number, start, file_bytes };
        let place = (u32::try_from(number), u32::try_from(start / SECTOR_BYTES));
        match place {
            _ if end > file_bytes => return Err(outside),
            (Ok(_), Ok(_)) if self.claim(start..end) => {
                return Err(DirectoryError::TableShared { number, start });
            }
            (Ok(number), Ok(sector)) => self.places.push(TablePlace { number, sector }),
            // Behind 2 TiB of one file, where no table of these formats lies.
            _ => return Err(outside),
        }
        Ok(())
    }

    /// Takes the sectors of a range; whether one of them was taken before.
    fn claim(&mut self, range: Range<u64>) -> bool {
        let sectors = range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES);
        self.used.claim_all(sectors).is_some()
    }
}
