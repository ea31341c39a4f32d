//! The directory at the end of a ZIP archive.

use std::io::{Read, Seek, SeekFrom};

use code::Code;

use super::fields::Fields as _;
use crate::{Error, Place};

/// The most entries that are read (ours): folders count as well, files have a limit of their own.
const MAX_ENTRIES: u64 = 4096;
/// The longest directory that is read (ours): 4096 entries of 1 KiB.
const MAX_DIRECTORY_BYTES: u64 = 4 << 20;
/// The length of the end record without its comment, which has up to 65 535 bytes.
const END_BYTES: usize = 22;
const MAX_TAIL_BYTES: u64 = 22 + 65_535;
/// The length of what points to the end record of large archives.
const LOCATOR_BYTES: usize = 20;
/// The length of the end record of large archives that is read.
const LARGE_END_BYTES: u64 = 56;
/// The length of an entry without name, extra fields and comment.
const ENTRY_BYTES: usize = 46;

/// Where the directory lies.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) start: u64,
    pub(super) file_bytes: u64,
    length_bytes: u64,
    entries: u64,
}

/// One entry of the directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) packed_bytes: u64,
    pub(super) unpacked_bytes: u64,
    pub(super) header_offset: u64,
    flags: u16,
    /// The type bits of a Unix mode; 0 where another system made the archive.
    file_type: u32,
}

impl Directory {
    /// Finds the directory by the end record.
    pub(super) fn find(file: &mut (impl Read + Seek)) -> Result<Self, Error> {
        let file_bytes = file.seek(SeekFrom::End(0))?;
        let tail_start = file_bytes.saturating_sub(MAX_TAIL_BYTES);
        let tail = read_at(file, tail_start, MAX_TAIL_BYTES)?;
        let Some((at, record)) = end_record(&tail) else {
            let message = "the ZIP archive has no end record: it ends too early";
            return Err(Error::malformed(Code::E0102, message));
        };
        let end_offset = tail_start.saturating_add(at as u64);
        let short = (record.le16(10), record.le32(12), record.le32(16));
        let (Some(entries), Some(length), Some(start)) = short else {
            return Err(damaged(end_offset));
        };
        let mut found = Self {
            start: u64::from(start),
            file_bytes,
            length_bytes: u64::from(length),
            entries: u64::from(entries),
        };
        let locator = at.checked_sub(LOCATOR_BYTES).and_then(|start| tail.get(start..at));
        if let Some(locator) = locator.filter(|locator| locator.starts_with(b"PK\x06\x07")) {
            let offset = locator.le64(8).ok_or_else(|| damaged(end_offset))?;
            found.take_large(&read_at(file, offset, LARGE_END_BYTES)?, offset)?;
        }
        found.check(end_offset)?;
        Ok(found)
    }

    fn take_large(&mut self, record: &[u8], offset: u64) -> Result<(), Error> {
        let fields = (record.le64(32), record.le64(40), record.le64(48));
        let (true, (Some(entries), Some(length), Some(start))) =
            (record.starts_with(b"PK\x06\x06"), fields)
        else {
            return Err(damaged(offset));
        };
        (self.entries, self.length_bytes, self.start) = (entries, length, start);
        Ok(())
    }

    fn check(&self, end_offset: u64) -> Result<(), Error> {
        if self.entries > MAX_ENTRIES || self.length_bytes > MAX_DIRECTORY_BYTES {
            let message = format!(
                "a directory of {} entries in {} bytes, at most {MAX_ENTRIES} in {MAX_DIRECTORY_BYTES} are allowed",
                self.entries, self.length_bytes
            );
            return Err(Error::limit(Code::E0106, message).at(Place::Offset(end_offset)));
        }
        match self.start.checked_add(self.length_bytes) {
            Some(end) if end <= end_offset => Ok(()),
            _ => Err(damaged(end_offset)),
        }
    }

    /// Reads the entries.
    pub(super) fn entries(&self, file: &mut (impl Read + Seek)) -> Result<Vec<Entry>, Error> {
        let bytes = read_at(file, self.start, self.length_bytes)?;
        let mut rest = bytes.as_slice();
        let mut entries = Vec::new();
        for _ in 0..self.entries {
            let (entry, behind) = Entry::parse(rest).ok_or_else(|| {
                let used = bytes.len().saturating_sub(rest.len());
                damaged(self.start.saturating_add(used as u64))
            })?;
            entries.push(entry);
            rest = behind;
        }
        Ok(entries)
    }
}

impl Entry {
    /// Reads an entry; `None` when it is none. Gives what is behind it as well.
    fn parse(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let head = bytes.get(..ENTRY_BYTES).filter(|head| head.starts_with(b"PK\x01\x02"))?;
        let length = |at: usize| head.le16(at).map(usize::from);
        let (name, rest) = bytes.get(ENTRY_BYTES..)?.split_at_checked(length(28)?)?;
        let (extra, rest) = rest.split_at_checked(length(30)?)?;
        let (_, rest) = rest.split_at_checked(length(32)?)?;
        let is_unix = head.get(5) == Some(&3);
        let mut entry = Self {
            name: name.to_vec(),
            method: head.le16(10)?,
            crc: head.le32(16)?,
            packed_bytes: u64::from(head.le32(20)?),
            unpacked_bytes: u64::from(head.le32(24)?),
            header_offset: u64::from(head.le32(42)?),
            flags: head.le16(8)?,
            file_type: if is_unix { head.le32(38)? >> 28 } else { 0 },
        };
        entry.take_large(extra)?;
        Some((entry, rest))
    }

    /// Numbers that have no room in an entry stand in an extra field, those that are needed only.
    fn take_large(&mut self, mut extra: &[u8]) -> Option<()> {
        const FULL: u64 = u32::MAX as u64;
        let numbers = [&mut self.unpacked_bytes, &mut self.packed_bytes, &mut self.header_offset];
        let mut wanted: Vec<&mut u64> = numbers.into_iter().filter(|one| **one == FULL).collect();
        while !wanted.is_empty() {
            let (kind, length) = (extra.le16(0)?, usize::from(extra.le16(2)?));
            let (field, rest) = extra.get(4..)?.split_at_checked(length)?;
            if kind == 1 {
                for (number, at) in wanted.drain(..).zip((0..).step_by(8)) {
                    *number = field.le64(at)?;
                }
            }
            extra = rest;
        }
        Some(())
    }

    pub(super) fn is_folder(&self) -> bool {
        self.name.ends_with(b"/")
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Whether it is neither a regular file nor of a system that has nothing else.
    pub(super) fn is_special(&self) -> bool {
        !matches!(self.file_type, 0 | 8)
    }
}

/// The end record: the last one whose comment ends with the file.
fn end_record(tail: &[u8]) -> Option<(usize, &[u8])> {
    (0..tail.len()).rev().find_map(|at| {
        let record = tail.get(at..)?;
        let comment = record.starts_with(b"PK\x05\x06").then(|| record.le16(20))??;
        (END_BYTES.saturating_add(usize::from(comment)) == record.len()).then_some((at, record))
    })
}

fn read_at(file: &mut (impl Read + Seek), offset: u64, most: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(offset))?;
    file.by_ref().take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn damaged(offset: u64) -> Error {
    let message = "the directory of the ZIP archive is damaged";
    Error::malformed(Code::E0101, message).at(Place::Offset(offset))
}
