//! The log: what was written to the file's tables and may not have got there.
//!
//! A disk that was not closed has a log that must be replayed before anything else is read. That is
//! done in memory, above the file.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use crate::{
    Error, ReadAt, Result, Warning,
    error::Kind,
    vhdx::{
        checksum,
        guid::Guid,
        header::Header,
        pages::{Content, Page, Patched},
    },
};

mod entry;
use entry::{Descriptor, Entry, SECTOR_BYTES, SECTOR_LEN, SIGNATURE, Sector};

/// The largest log that is replayed: the limit of this product. Logs in use have 1 MiB.
const MAX_LOG_BYTES: u64 = 256 << 20;

#[derive(Debug, thiserror::Error)]
enum LogError {
    #[error("a log of {0} bytes is not empty and over the limit of {MAX_LOG_BYTES}")]
    Long(u64),
    #[error("the log in bytes {start}..{end} is not inside the file of {file_bytes}")]
    Outside { start: u64, end: u64, file_bytes: u64 },
    #[error("the log is not empty, and no valid sequence of entries is found in it")]
    NoSequence,
    #[error("the file has {found} bytes, its log says that it had {wanted}")]
    Truncated { found: u64, wanted: u64 },
}

/// The file as it is once its log is applied; the file itself when the log is empty.
///
/// # Errors
///
/// When the log holds no valid sequence of entries, or is over a limit, or the file is cut.
pub(super) fn replay(
    file: Arc<dyn ReadAt>,
    header: &Header,
) -> Result<(Arc<dyn ReadAt>, Option<Warning>)> {
    let Some(guid) = header.log_guid() else { return Ok((file, None)) };
    let log = Log::new(&*file, header.log(), guid)?;
    let entries = log.entries()?;
    let sequence = active(&entries, log.sectors);
    let fail = |leaf| Error::malformed(leaf).at(log.at);
    if sequence.is_empty() {
        return Err(fail(LogError::NoSequence));
    }
    let flushed = sequence.iter().map(|entry| entry.flushed_file_bytes).max().unwrap_or_default();
    if flushed > file.len_bytes() {
        return Err(fail(LogError::Truncated { found: file.len_bytes(), wanted: flushed }));
    }
    let last = sequence.iter().map(|entry| entry.last_file_bytes).max().unwrap_or_default();
    let mut patched = Patched::new(Arc::clone(&file), last);
    for entry in &sequence {
        if !log.walk(entry, &mut |range, content| patched.put(range, content))? {
            // It was sound before: the file is being written.
            return Err(fail(LogError::NoSequence));
        }
    }
    let told = format!(
        "the disk was not closed: its log was replayed in memory, entries: {}",
        sequence.len()
    );
    Ok((Arc::new(patched), Some(Warning::defect(log.at, told))))
}

/// A log: a ring of sectors.
struct Log<'a> {
    file: &'a dyn ReadAt,
    at: u64,
    sectors: u64,
    guid: Guid,
}

impl<'a> Log<'a> {
    fn new(file: &'a dyn ReadAt, range: Range<u64>, guid: Guid) -> Result<Self> {
        let Range { start, end } = range;
        let (len_bytes, file_bytes) = (end.saturating_sub(start), file.len_bytes());
        if len_bytes > MAX_LOG_BYTES {
            return Err(Error::new(Kind::Limit, LogError::Long(len_bytes)).at(start));
        }
        if end > file_bytes {
            return Err(Error::malformed(LogError::Outside { start, end, file_bytes }).at(start));
        }
        Ok(Self { file, at: start, sectors: len_bytes / SECTOR_BYTES, guid })
    }

    /// Where a sector is in the file; behind the last one comes the first.
    fn sector_at(&self, number: u64) -> u64 {
        let number = number.checked_rem(self.sectors).unwrap_or_default();
        self.at.saturating_add(number.saturating_mul(SECTOR_BYTES))
    }

    fn read(&self, number: u64, sector: &mut Sector) -> Result<u64> {
        let at = self.sector_at(number);
        self.file.fill(sector, at)?;
        Ok(at)
    }

    /// The sound entries, by their first sector. What else is in the log is old, or was never
    /// finished.
    fn entries(&self) -> Result<BTreeMap<u64, Entry>> {
        let mut entries = BTreeMap::new();
        let mut sector = [0; SECTOR_LEN];
        for number in 0..self.sectors {
            self.read(number, &mut sector)?;
            let Some(entry) = Entry::parse(&sector, number, (self.sectors, self.guid)) else {
                continue;
            };
            if self.is_whole(&entry, &mut sector)? && self.walk(&entry, &mut |_, _| Ok(()))? {
                entries.insert(number, entry);
            }
        }
        Ok(entries)
    }

    /// Whether the checksum of an entry is that of its bytes; `sector` is its first sector.
    ///
    /// No sector but the first may look like the start of an entry. So two entries never overlap, and
    /// each sector of the log is part of one sum, whatever lengths the headers claim.
    fn is_whole(&self, entry: &Entry, sector: &mut Sector) -> Result<bool> {
        let said = checksum::said(sector);
        let mut sum = checksum::without_field(sector);
        for number in 1..entry.sectors {
            self.read(entry.first_sector.saturating_add(number), sector)?;
            if sector.starts_with(SIGNATURE) {
                return Ok(false);
            }
            sum = crc32c::crc32c_append(sum, sector);
        }
        Ok(said == Some(sum))
    }

    /// Gives what an entry does to `visit`, in order; `false` at the first thing in it that is wrong.
    fn walk(
        &self,
        entry: &Entry,
        visit: &mut dyn FnMut(Range<u64>, Content) -> Result<()>,
    ) -> Result<bool> {
        let [mut sector, mut data] = [[0; SECTOR_LEN]; 2];
        let mut next_data = entry.descriptor_sectors();
        for number in 0..entry.descriptor_sectors() {
            self.read(entry.first_sector.saturating_add(number), &mut sector)?;
            for raw in entry.descriptors(&sector, number) {
                match Descriptor::parse(raw, entry.sequence) {
                    None => return Ok(false),
                    Some(Descriptor::Zero(range)) => visit(range, Content::Zero)?,
                    Some(Descriptor::Data { range, first, last }) => {
                        let wanted = entry.first_sector.saturating_add(next_data);
                        let sector_at = self.read(wanted, &mut data)?;
                        if next_data >= entry.sectors || !entry::is_data(&data, entry.sequence) {
                            return Ok(false);
                        }
                        next_data = next_data.saturating_add(1);
                        visit(range, Content::Page(Page { first, sector_at, last }))?;
                    }
                }
            }
        }
        Ok(true)
    }
}

/// The entries to replay, oldest first: the sequence with the highest number that is complete.
///
/// A sequence is complete when its last entry says that it begins with one of its own entries; it
/// then begins there. Empty when there is none. ([MS-VHDX] 2.3.2, "Log Sequence".)
fn active(entries: &BTreeMap<u64, Entry>, log_sectors: u64) -> Vec<&Entry> {
    let follower = |entry: &Entry| {
        let behind = entry.first_sector.saturating_add(entry.sectors).checked_rem(log_sectors)?;
        let next = entries.get(&behind)?;
        (entry.sequence.checked_add(1) == Some(next.sequence)).then_some(next)
    };
    let mut before = BTreeMap::new();
    let mut heads = Vec::new();
    for entry in entries.values() {
        match follower(entry) {
            Some(next) => {
                before.insert(next.first_sector, entry);
            }
            None => heads.push(entry),
        }
    }
    heads.sort_by_key(|head| std::cmp::Reverse(head.sequence));
    for head in heads {
        let back =
            std::iter::successors(Some(head), |entry| before.get(&entry.first_sector).copied());
        let is_tail =
            |entry: &Entry| entry.first_sector.checked_mul(SECTOR_BYTES) == Some(head.tail_bytes);
        let mut sequence = Vec::new();
        for entry in back {
            sequence.push(entry);
            if is_tail(entry) {
                sequence.reverse();
                return sequence;
            }
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use testkit::{LogEntry, LogWrite, VHDX_LOG_GUID, Vhdx};

    use super::*;

    const SECTOR: usize = SECTOR_LEN;
    const LOG_AT: usize = 1 << 20;
    const LOG_SECTORS: usize = 256;
    /// Where the entries of these tests write.
    const DATA_AT: u64 = 4 << 20;

    /// A disk of one block, with a log of 1 MiB that has these entries at these sectors.
    fn disk(entries: &[(usize, Vec<u8>)]) -> Vec<u8> {
        let mut file = Vhdx::new(&[1; 1 << 20]).with_pending_log().build();
        file[LOG_AT..LOG_AT + LOG_SECTORS * SECTOR].fill(0);
        for (sector, entry) in entries {
            for (number, bytes) in entry.chunks(SECTOR).enumerate() {
                let at = LOG_AT + (sector + number) % LOG_SECTORS * SECTOR;
                file[at..at + SECTOR].copy_from_slice(bytes);
            }
        }
        file
    }

    /// An entry that fills the pages from `page` on, one by one, with `fills`; 0 is a zero descriptor.
    fn entry(sequence: u64, tail_sector: u32, page: u64, fills: &[u8]) -> Vec<u8> {
        let at = |number: u64| DATA_AT + (page + number) * SECTOR_BYTES;
        let writes: Vec<_> = (0..)
            .zip(fills)
            .map(|(number, fill)| match fill {
                0 => LogWrite::Zeros { at: at(number), len_bytes: SECTOR_BYTES },
                fill => LogWrite::Page { at: at(number), bytes: vec![*fill; SECTOR] },
            })
            .collect();
        header(sequence, tail_sector, 5 << 20).build(&writes)
    }

    fn header(sequence: u64, tail_sector: u32, file_bytes: u64) -> LogEntry {
        LogEntry { guid: VHDX_LOG_GUID, sequence, tail_bytes: tail_sector * 4096, file_bytes }
    }

    fn replayed(file: &[u8]) -> Result<(Arc<dyn ReadAt>, Option<Warning>)> {
        let file: Arc<dyn ReadAt> = Arc::new(file.to_vec());
        let (header, _) = Header::read(&*file)?;
        replay(file, &header)
    }

    /// The byte that each of the first pages of the data is full of.
    fn pages<const N: usize>(file: &[u8]) -> [u8; N] {
        let (bytes, warning) = replayed(file).unwrap();
        assert!(warning.is_some());
        let mut number = 0;
        [(); N].map(|()| {
            let mut page = [0; SECTOR];
            bytes.read_exact_at(&mut page, DATA_AT + number * SECTOR_BYTES).unwrap();
            number += 1;
            assert!(page.iter().all(|byte| *byte == page[0]), "page {number}");
            page[0]
        })
    }

    const NONE: &str =
        "the log is not empty, and no valid sequence of entries is found in it, at byte 1048576";

    #[test]
    fn replays_entries_in_order_and_over_the_end_of_the_log() {
        let file = disk(&[
            (254, entry(u64::from(u32::MAX), 254, 0, &[2, 3, 4, 5])),
            (3, entry(1 << 32, 254, 1, &[0, 6])),
        ]);
        assert_eq!(pages(&file), [2, 0, 6, 5]);
        let warning = replayed(&file).unwrap().1.unwrap().to_string();
        let want =
            "the disk was not closed: its log was replayed in memory, entries: 2, at byte 1048576";
        assert_eq!(warning, want);
    }

    #[test]
    fn replays_only_from_the_tail_of_the_last_entry_on() {
        // The first two entries are in place already, and others wrote there since.
        let entries =
            [(0, entry(7, 0, 0, &[9])), (2, entry(8, 0, 1, &[9])), (4, entry(9, 4, 2, &[2]))];
        assert_eq!(pages(&disk(&entries)), [0xee, 0xee, 2]);
    }

    #[test]
    fn takes_the_sequence_with_the_highest_number() {
        let older = (10, entry(20, 10, 0, &[9]));
        let younger = (4, entry(31, 4, 0, &[3]));
        assert_eq!(pages(&disk(&[younger.clone(), older.clone()])), [3]);
        // One whose beginning was overwritten is no sequence: the next best is replayed.
        let headless = (4, entry(31, 2, 0, &[3]));
        assert_eq!(pages(&disk(&[headless.clone(), older.clone()])), [9]);
        assert_eq!(replayed(&disk(&[headless])).err().unwrap().to_string(), NONE);
        // A gap in the numbers ends a sequence.
        let gap = (12, entry(22, 10, 0, &[4]));
        assert_eq!(pages(&disk(&[older, gap])), [9]);
    }

    #[test]
    fn an_entry_with_more_descriptors_than_a_sector_holds_is_whole() {
        let fills: Vec<u8> = (0..=200).map(|number| number % 7).collect();
        let file = disk(&[(100, entry(1, 100, 0, &fills))]);
        assert_eq!(pages::<201>(&file)[..], fills[..]);
    }

    #[test]
    fn a_byte_that_is_wrong_makes_the_entry_none() {
        let good = entry(5, 0, 0, &[2, 0, 3]);
        let mut file = disk(&[(0, good.clone())]);
        for at in (0..160).chain((160..good.len()).step_by(389)) {
            file[LOG_AT + at] ^= 1;
            assert_eq!(replayed(&file).err().unwrap().to_string(), NONE, "{at}");
            file[LOG_AT + at] ^= 1;
        }
        for (at, value) in [
            (8, &[0, 0, 0, 0][..]),   // The length of the entry.
            (8, &[1, 0x30, 0, 0]),    // No multiple of sectors.
            (8, &[0, 0x10, 0, 0]),    // Too short for its data.
            (8, &[0, 0x10, 0x10, 0]), // Longer than the log.
            (16, &[0; 8]),            // The sequence number.
            (24, &[0xff; 4]),         // The number of descriptors.
            (24, &[4]),               // One more than there are.
            (32, &[9]),               // The GUID.
            (64, b"loge"),            // A descriptor's signature,
            (80, &[1]),               // its place,
            (88, &[6]),               // its sequence number.
            (96 + 8, &[1]),           // The length of zeros.
            (96 + 8, &[0, 0xf0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            (SECTOR, b"dada"),      // A data sector's signature,
            (SECTOR + 4, &[1]),     // the high half of its sequence number,
            (2 * SECTOR - 4, &[6]), // the low half.
        ] {
            let mut bad = good.clone();
            bad[at..at + value.len()].copy_from_slice(value);
            let sum = checksum::without_field(&bad);
            bad[4..8].copy_from_slice(&sum.to_le_bytes());
            let file = disk(&[(0, bad)]);
            assert_eq!(replayed(&file).err().unwrap().to_string(), NONE, "{at}: {value:?}");
        }
    }

    #[test]
    fn a_file_shorter_than_its_log_says_is_cut_and_one_that_was_to_grow_has_grown() {
        let short = header(5, 0, (5 << 20) + 1).build(&[]);
        let want = "the file has 5242880 bytes, its log says that it had 5242881, at byte 1048576";
        assert_eq!(replayed(&disk(&[(0, short)])).err().unwrap().to_string(), want);
        let page = LogWrite::Page { at: 6 << 20, bytes: vec![4; SECTOR] };
        let mut grown = header(5, 0, 5 << 20).build(std::slice::from_ref(&page));
        let want = "the log writes bytes 6291456..6295552 of a file that ends at byte 5242880, at byte 6291456";
        assert_eq!(replayed(&disk(&[(0, grown.clone())])).err().unwrap().to_string(), want);
        grown[56..64].copy_from_slice(&(7_u64 << 20).to_le_bytes());
        let sum = checksum::without_field(&grown);
        grown[4..8].copy_from_slice(&sum.to_le_bytes());
        let (bytes, _) = replayed(&disk(&[(0, grown)])).unwrap();
        let mut there = [9; 8];
        assert_eq!(bytes.len_bytes(), 7 << 20);
        bytes.read_exact_at(&mut there, (6 << 20) - 4).unwrap();
        assert_eq!(there, [0, 0, 0, 0, 4, 4, 4, 4]);
    }

    #[test]
    fn refuses_a_log_that_is_too_long_or_outside_the_file() {
        let guid = Guid::at(&VHDX_LOG_GUID, 0).unwrap();
        let file = vec![0; 2 << 20];
        let log = |range| Log::new(&file, range, guid).err().unwrap();
        let error = log(1 << 20..258 << 20);
        let want = "a log of 269484032 bytes is not empty and over the limit of 268435456, at byte 1048576";
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Limit, want));
        let want =
            "the log in bytes 1048576..3145728 is not inside the file of 2097152, at byte 1048576";
        assert_eq!(log(1 << 20..3 << 20).to_string(), want);
        // A log without a sector has no entry.
        assert_eq!(Log::new(&file, 0..0, guid).unwrap().entries().unwrap(), BTreeMap::new());
        assert_eq!(active(&BTreeMap::new(), 0), Vec::<&Entry>::new());
    }
}
