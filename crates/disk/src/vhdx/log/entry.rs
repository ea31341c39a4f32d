//! An entry of the log: its header, its descriptors and its data sectors.

use std::ops::Range;

use crate::{
    fields::{le32, le64},
    vhdx::{guid::Guid, pages::PAGE_BYTES},
};

/// The unit of the log: headers, descriptors and data come in sectors of their own.
pub(super) const SECTOR_LEN: usize = 4096;
pub(super) const SECTOR_BYTES: u64 = SECTOR_LEN as u64;

/// A sector of the log.
pub(super) type Sector = [u8; SECTOR_LEN];

/// The signature of an entry.
pub(super) const SIGNATURE: &[u8; 4] = b"loge";

/// The bytes of an entry's header, and those of a descriptor.
const HEADER_BYTES: u64 = 64;
const DESCRIPTOR_BYTES: u64 = 32;

/// The header of an entry ([MS-VHDX] 2.3.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The sector of the log that it starts in.
    pub(super) first_sector: u64,
    /// How many sectors it has, over the end of the log if need be.
    pub(super) sectors: u64,
    /// The byte of the log that the oldest entry starts at, if this one is the youngest.
    pub(super) tail_bytes: u64,
    /// One more than that of the entry before.
    pub(super) sequence: u64,
    /// How many bytes of the file were on disk for sure when the entry was written.
    pub(super) flushed_file_bytes: u64,
    /// The length of the file that everything in it fits into.
    pub(super) last_file_bytes: u64,
    descriptors: u64,
}

impl Entry {
    /// Parses a header; `None` when no entry of this log can begin so.
    ///
    /// Its checksum, its descriptors and its data sectors are not looked at.
    pub(super) fn parse(sector: &Sector, first_sector: u64, log: (u64, Guid)) -> Option<Self> {
        let (log_sectors, guid) = log;
        let len_bytes = u64::from(le32(sector, 8)?);
        let entry = Self {
            first_sector,
            sectors: len_bytes / SECTOR_BYTES,
            tail_bytes: u64::from(le32(sector, 12)?),
            sequence: le64(sector, 16)?,
            flushed_file_bytes: le64(sector, 48)?,
            last_file_bytes: le64(sector, 56)?,
            descriptors: u64::from(le32(sector, 24)?),
        };
        let whole = len_bytes.is_multiple_of(SECTOR_BYTES) && entry.sectors <= log_sectors;
        let fits = entry.descriptor_sectors() <= entry.sectors;
        let ours = sector.starts_with(SIGNATURE) && Guid::at(sector, 32) == Some(guid);
        (whole && fits && ours && entry.sequence > 0).then_some(entry)
    }

    /// The sectors that the header and the descriptors take; at least one.
    pub(super) fn descriptor_sectors(&self) -> u64 {
        let bytes = self.descriptors.saturating_mul(DESCRIPTOR_BYTES).saturating_add(HEADER_BYTES);
        bytes.div_ceil(SECTOR_BYTES)
    }

    /// The descriptors that lie in `sector`, which is number `number` of the entry.
    pub(super) fn descriptors<'a>(
        &self,
        sector: &'a Sector,
        number: u64,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let slots = SECTOR_BYTES / DESCRIPTOR_BYTES;
        let header_slots = HEADER_BYTES / DESCRIPTOR_BYTES;
        let done = number.saturating_mul(slots);
        let end = self.descriptors.saturating_add(header_slots).saturating_sub(done).min(slots);
        let skip = header_slots.saturating_sub(done);
        let slot = |number| usize::try_from(number).unwrap_or(usize::MAX);
        let all = sector.chunks_exact(slot(DESCRIPTOR_BYTES));
        all.take(slot(end)).skip(slot(skip))
    }
}

/// What an entry does to the file ([MS-VHDX] 2.3.1.2 and 2.3.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Descriptor {
    /// Fills a range with zeros.
    Zero(Range<u64>),
    /// Writes a page, of which the next data sector has all but the ends.
    Data {
        /// The page's range of the file.
        range: Range<u64>,
        /// Its first bytes.
        first: [u8; 8],
        /// Its last bytes.
        last: [u8; 4],
    },
}

impl Descriptor {
    /// Parses a descriptor; `None` when it is none of this entry.
    pub(super) fn parse(raw: &[u8], sequence: u64) -> Option<Self> {
        let start = le64(raw, 16)?;
        if le64(raw, 24)? != sequence || !start.is_multiple_of(PAGE_BYTES) {
            return None;
        }
        match raw.first_chunk()? {
            b"zero" => {
                let len_bytes = le64(raw, 8)?;
                let end = start.checked_add(len_bytes)?;
                len_bytes.is_multiple_of(PAGE_BYTES).then_some(Self::Zero(start..end))
            }
            b"desc" => {
                let range = start..start.checked_add(PAGE_BYTES)?;
                let first = *raw.get(8..)?.first_chunk()?;
                Some(Self::Data { range, first, last: *raw.get(4..)?.first_chunk()? })
            }
            _ => None,
        }
    }
}

/// Whether a sector is a data sector of the entry with this sequence number ([MS-VHDX] 2.3.1.4).
pub(super) fn is_data(sector: &Sector, sequence: u64) -> bool {
    let [.., l0, l1, l2, l3] = *sector;
    let low = u32::from_le_bytes([l0, l1, l2, l3]);
    let high = le32(sector, 4).unwrap_or_default();
    sector.starts_with(b"data") && (u64::from(high) << 32 | u64::from(low)) == sequence
}
