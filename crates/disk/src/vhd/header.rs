//! The dynamic header.

use std::ops::Range;

use super::{footer, locator::Locator};
use crate::{
    Error, ReadAt, Result,
    error::Kind,
    fields::{be32, be64},
    uuid::Uuid,
};

/// The size of the header.
const HEADER_BYTES: usize = 1024;

/// The first bytes of the header.
const COOKIE: &[u8; 8] = b"cxsparse";

/// The only version that there is.
const VERSION: u32 = 0x0001_0000;

/// The smallest block that Microsoft's tools write.
const MIN_BLOCK_BYTES: u32 = 512 << 10;

/// The largest block that is read: that of VHDX, the limit of this product.
const MAX_BLOCK_BYTES: u32 = 256 << 20;

/// Where the parent's name is.
const PARENT_NAME: Range<usize> = 64..576;

/// The places of a parent: eight, of this size, from this byte on.
const LOCATORS: Range<usize> = 576..768;
const LOCATOR_BYTES: usize = 24;

/// A validated dynamic header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    offset_bytes: u64,
    bat_offset_bytes: u64,
    bat_entries: u32,
    block_bytes: u32,
    parent_uuid: Uuid,
    parent_name: Vec<u8>,
    locators: Vec<Locator>,
}

/// What is wrong with a header, or what it asks for that is not read.
#[derive(Debug, thiserror::Error)]
enum HeaderError {
    #[error(
        "a dynamic header of 1024 bytes at byte {0} is not between the two footers, which end at byte 512 and start at byte {1}"
    )]
    Outside(u64, u64),
    #[error("the dynamic header does not start with cxsparse")]
    Cookie,
    #[error(
        "the checksum of the dynamic header is {said:#010x}, that of its bytes is {found:#010x}"
    )]
    Checksum { said: u32, found: u32 },
    #[error("dynamic header version {0:#010x} is not {VERSION:#010x}")]
    Version(u32),
    #[error(
        "a block size of {0} bytes is not a power of two in {MIN_BLOCK_BYTES}..={MAX_BLOCK_BYTES}"
    )]
    BlockSize(u32),
    #[error("a BAT of {found} entries, the current size needs {needed}")]
    BatShort { found: u32, needed: u64 },
    #[error(
        "a BAT of {entries} entries at byte {offset} is not inside the {data_end} bytes before the footer, or overlaps a header"
    )]
    BatOutside { entries: u32, offset: u64, data_end: u64 },
}

impl HeaderError {
    /// The kind of error, and the field that it is about.
    fn place(&self) -> (Kind, u64) {
        match self {
            Self::Outside(..) | Self::Cookie => (Kind::Malformed, 0),
            Self::BatOutside { .. } => (Kind::Malformed, 16),
            Self::Version(_) => (Kind::Unsupported, 24),
            Self::BatShort { .. } => (Kind::Malformed, 28),
            Self::BlockSize(_) => (Kind::Unsupported, 32),
            Self::Checksum { .. } => (Kind::Malformed, 36),
        }
    }
}

impl Header {
    /// Reads and validates the header of a disk.
    pub(super) fn read(bytes: &dyn ReadAt, found: &footer::Found) -> Result<Self> {
        let at = found.footer.header_offset_bytes();
        let fail = |leaf: HeaderError| {
            let (kind, field) = leaf.place();
            Error::new(kind, leaf).at(at.saturating_add(field))
        };
        let end = at.checked_add(HEADER_BYTES as u64);
        if at < footer::FOOTER_BYTES || end.is_none_or(|end| end > found.data_end_bytes) {
            // The field that is wrong is the footer's.
            let leaf = HeaderError::Outside(at, found.data_end_bytes);
            return Err(Error::malformed(leaf).at(found.offset_bytes.saturating_add(16)));
        }
        let mut raw = [0; HEADER_BYTES];
        bytes.fill(&mut raw, at)?;
        let header = Self::parse(&raw, at).map_err(fail)?;
        header.check_bat(found).map_err(fail)?;
        Ok(header)
    }

    fn parse(
        raw: &[u8; HEADER_BYTES],
        offset_bytes: u64,
    ) -> std::result::Result<Self, HeaderError> {
        if !raw.starts_with(COOKIE) {
            return Err(HeaderError::Cookie);
        }
        let u32_at = |field| be32(raw, field).unwrap_or_default();
        let (said, found) = (u32_at(36), footer::checksum(raw, 36));
        if said != found {
            return Err(HeaderError::Checksum { said, found });
        }
        let version = u32_at(24);
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let block_bytes = u32_at(32);
        let in_bounds = (MIN_BLOCK_BYTES..=MAX_BLOCK_BYTES).contains(&block_bytes);
        if !in_bounds || !block_bytes.is_power_of_two() {
            return Err(HeaderError::BlockSize(block_bytes));
        }
        let locators = raw.get(LOCATORS).unwrap_or_default().chunks_exact(LOCATOR_BYTES);
        Ok(Self {
            offset_bytes,
            bat_offset_bytes: be64(raw, 16).unwrap_or_default(),
            bat_entries: u32_at(28),
            block_bytes,
            parent_uuid: Uuid::big_endian(
                *raw.get(40..).and_then(<[u8]>::first_chunk).unwrap_or(&[0; 16]),
            ),
            parent_name: raw.get(PARENT_NAME).unwrap_or_default().to_vec(),
            locators: (0..).zip(locators).filter_map(|(at, raw)| Locator::parse(at, raw)).collect(),
        })
    }

    fn check_bat(&self, found: &footer::Found) -> std::result::Result<(), HeaderError> {
        let needed = found.footer.capacity_bytes().div_ceil(self.block_bytes().max(1));
        if u64::from(self.bat_entries) < needed {
            return Err(HeaderError::BatShort { found: self.bat_entries, needed });
        }
        let bat = self.bat_range();
        let (offset, data_end) = (bat.start, found.data_end_bytes);
        let own = self.range();
        let is_free = bat.end <= own.start || bat.start >= own.end;
        if offset < footer::FOOTER_BYTES || bat.end > data_end || !is_free {
            return Err(HeaderError::BatOutside { entries: self.bat_entries, offset, data_end });
        }
        Ok(())
    }

    /// The bytes of the header itself.
    pub(super) fn range(&self) -> Range<u64> {
        self.offset_bytes..self.offset_bytes.saturating_add(HEADER_BYTES as u64)
    }

    /// The bytes of the BAT.
    pub(super) fn bat_range(&self) -> Range<u64> {
        let len_bytes = self.bat_entries().saturating_mul(4);
        self.bat_offset_bytes..self.bat_offset_bytes.saturating_add(len_bytes)
    }

    /// At least as many as the capacity needs.
    pub(super) fn bat_entries(&self) -> u64 {
        self.bat_entries.into()
    }

    /// A power of two in 512 KiB ..= 256 MiB.
    pub(super) fn block_bytes(&self) -> u64 {
        self.block_bytes.into()
    }

    /// The identity that the footer of the parent must have.
    pub(super) fn parent_uuid(&self) -> Uuid {
        self.parent_uuid
    }

    /// The parent's name, as UTF-16BE with zeros behind it.
    pub(super) fn parent_name(&self) -> &[u8] {
        &self.parent_name
    }

    /// The places that the parent was found at.
    pub(super) fn locators(&self) -> &[Locator] {
        &self.locators
    }
}

#[cfg(test)]
mod tests {
    use testkit::{vhd_dynamic, vhd_seal};

    use super::*;

    /// A dynamic disk of two blocks, its header at byte 512 and its BAT at byte 1536, with this field
    /// of the header changed and the checksum right again.
    fn disk(field: usize, value: &[u8]) -> Vec<u8> {
        let mut file = vhd_dynamic(&[7; 1 << 20]);
        file[512 + field..512 + field + value.len()].copy_from_slice(value);
        vhd_seal(&mut file[512..1536], 36);
        file
    }

    fn read(file: &Vec<u8>) -> Result<Header> {
        Header::read(file, &footer::Found::search(file)?)
    }

    #[test]
    fn reads_every_field() {
        let header = read(&disk(40, &[0xab; 16])).unwrap();
        assert_eq!((header.range(), header.bat_range()), (512..1536, 1536..1544));
        assert_eq!((header.bat_entries(), header.block_bytes()), (2, 512 << 10));
        assert_eq!(header.parent_uuid(), Uuid::big_endian([0xab; 16]));
        assert_eq!(header.locators(), []);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        use Kind::{Malformed, Unsupported};
        let end = vhd_dynamic(&[7; 1 << 20]).len() - 512;
        let bat = |entries, offset| {
            format!(
                "a BAT of {entries} entries at byte {offset} is not inside the {end} bytes before the footer, or overlaps a header, at byte 528"
            )
        };
        let version = "dynamic header version 0x00010001 is not 0x00010000, at byte 536";
        let short = "a BAT of 1 entries, the current size needs 2, at byte 540";
        for (field, value, kind, want) in [
            (
                0,
                &[0][..],
                Malformed,
                "the dynamic header does not start with cxsparse, at byte 512".to_owned(),
            ),
            (27, &[1], Unsupported, version.to_owned()),
            (31, &[1], Malformed, short.to_owned()),
            (28, &[0xff; 4], Malformed, bat(u32::MAX, 1536)),
            (16, &[0, 0, 0, 0, 0, 0, 1, 0xfc], Malformed, bat(2, 508)),
            (16, &[0, 0, 0, 0, 0, 0, 5, 0xfc], Malformed, bat(2, 1532)),
            (16, &[0xff; 8], Malformed, bat(2, u64::MAX)),
        ] {
            let error = read(&disk(field, value)).unwrap_err();
            assert_eq!((error.to_string(), error.kind()), (want, kind));
        }
        for block_bytes in [0, 1, 256 << 10, 3 << 20, 512 << 20, u32::MAX] {
            let error = read(&disk(32, &block_bytes.to_be_bytes())).unwrap_err();
            let want = format!(
                "a block size of {block_bytes} bytes is not a power of two in 524288..=268435456, at byte 544"
            );
            assert_eq!(error.to_string(), want);
        }
        let mut file = disk(0, b"c");
        file[1535] ^= 1;
        let error = read(&file).unwrap_err().to_string();
        assert!(error.starts_with("the checksum of the dynamic header is 0x"), "{error}");
        assert!(error.ends_with("at byte 548"), "{error}");
    }

    #[test]
    fn refuses_a_header_that_is_not_between_the_footers() {
        let good = vhd_dynamic(&[7; 1 << 20]);
        let end = good.len() - 512;
        for offset in [0, 511, end as u64 - 1023, u64::MAX - 5, u64::MAX] {
            let mut file = good.clone();
            file[end + 16..end + 24].copy_from_slice(&offset.to_be_bytes());
            vhd_seal(&mut file[end..], 64);
            let want = format!(
                "a dynamic header of 1024 bytes at byte {offset} is not between the two footers, which end at byte 512 and start at byte {end}, at byte {}",
                end + 16
            );
            assert_eq!(read(&file).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn a_locator_of_no_platform_that_is_read_is_left_out() {
        let mut entries = vec![0; 72];
        entries[..4].copy_from_slice(b"Wi2r");
        entries[48..52].copy_from_slice(b"W2ku");
        assert_eq!(read(&disk(576, &entries)).unwrap().locators().len(), 1);
    }
}
