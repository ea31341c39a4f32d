//! The metadata: what kind of disk the file holds.

use std::ops::Range;

use crate::{
    Error, ReadAt, Result,
    error::{Failure, Kind, MAX_CAPACITY_BYTES},
    fields::{buffer_len, le16, le32},
    vhdx::{MIB, guid::Guid, locator::Locator},
};

/// The bytes of the table that the region begins with ([MS-VHDX] 2.6.1).
const TABLE_BYTES: u64 = 64 << 10;

/// The bytes before the first entry, and those of an entry.
const TABLE_HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = 32;

/// The most entries that the table has room for ([MS-VHDX] 2.6.1.1).
const MAX_ITEMS: u16 = 2047;

/// The most bytes of an item ([MS-VHDX] 2.6.1.2).
const MAX_ITEM_BYTES: u64 = MIB;

/// The largest block ([MS-VHDX] 2.6.2.1).
const MAX_BLOCK_BYTES: u64 = 256 * MIB;

/// An item that a user put there: its GUID means nothing to us.
const USER: u32 = 1;
/// An item without which the disk cannot be read.
const REQUIRED: u32 = 1 << 2;

/// File parameter: no block is ever given back; what a tool calls a fixed disk.
const LEAVE_ALLOCATED: u32 = 1;
/// File parameter: the disk is a delta.
const HAS_PARENT: u32 = 1 << 1;

/// Block size and flags.
const FILE_PARAMETERS: Guid =
    Guid::new(0xcaa1_6737, 0xfa36, 0x4d43, [0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b]);
/// The capacity.
const DISK_SIZE: Guid =
    Guid::new(0x2fa5_4224, 0xcd1b, 0x4876, [0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8]);
/// Identifies the disk; not used here.
const DISK_ID: Guid =
    Guid::new(0xbeca_12ab, 0xb2e6, 0x4523, [0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46]);
/// The bytes that a bit of a sector bitmap stands for.
const LOGICAL_SECTOR: Guid =
    Guid::new(0x8141_bf1d, 0xa96f, 0x4709, [0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f]);
/// What the guest is told of the medium; not used here.
const PHYSICAL_SECTOR: Guid =
    Guid::new(0xcda3_48c7, 0x445d, 0x4471, [0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56]);
/// How the parent is found.
const PARENT_LOCATOR: Guid =
    Guid::new(0xa8d3_5f2d, 0xb30b, 0x454d, [0xab, 0xf7, 0xd3, 0xd8, 0x48, 0x34, 0xab, 0x0c]);

/// The items that are known.
const KNOWN: [Guid; 6] =
    [FILE_PARAMETERS, DISK_SIZE, DISK_ID, LOGICAL_SECTOR, PHYSICAL_SECTOR, PARENT_LOCATOR];

/// What the metadata say, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Metadata {
    /// The bytes of a block: a power of two, 1 to 256 MiB.
    pub(super) block_bytes: u64,
    /// The bytes of a logical sector: 512 or 4096.
    pub(super) sector_bytes: u64,
    /// The size of the guest's disk: a multiple of the logical sector.
    pub(super) capacity_bytes: u64,
    /// Whether blocks stay allocated for ever.
    pub(super) fixed: bool,
    /// How the parent is found; a disk without it stands alone.
    pub(super) parent: Option<Locator>,
}

#[derive(Debug, thiserror::Error)]
enum MetadataError {
    #[error("the signature of the metadata table is not metadata")]
    Signature,
    #[error("a metadata table of {0} entries is over the limit of {MAX_ITEMS}")]
    Count(u16),
    #[error(
        "item {guid}: {len} bytes at byte {at} of a metadata region of {region_bytes}, whose items start at {TABLE_BYTES}"
    )]
    Place { guid: Guid, at: u32, len: u32, region_bytes: u64 },
    #[error("item {guid}: {len} bytes are over the limit of {MAX_ITEM_BYTES}")]
    Long { guid: Guid, len: u32 },
    #[error("item {guid}: {len} bytes, not {wanted}")]
    Length { guid: Guid, len: u64, wanted: u64 },
    #[error("item {0} is there twice")]
    Twice(Guid),
    #[error("item {0} is required, and it is not known")]
    Unknown(Guid),
    #[error("the metadata have no item {0}")]
    Missing(Guid),
    #[error("a block of {0} bytes is no power of two in {MIB}..={MAX_BLOCK_BYTES}")]
    Block(u32),
    #[error("a {name} sector of {found} bytes, neither 512 nor 4096")]
    Sector { name: &'static str, found: u32 },
    #[error("a virtual size of {0} bytes is no multiple of the logical sector of {1}")]
    Capacity(u64, u64),
}

/// A known item, and where it lies in the file.
struct Item {
    guid: Guid,
    range: Range<u64>,
}

impl Item {
    /// The bytes of an item that has `N` of them.
    fn read<const N: usize>(&self, bytes: &dyn ReadAt) -> Result<[u8; N]> {
        let (len, wanted) = (self.len_bytes(), N as u64);
        if len != wanted {
            let leaf = MetadataError::Length { guid: self.guid, len, wanted };
            return Err(Error::malformed(leaf).at(self.range.start));
        }
        let mut value = [0; N];
        bytes.fill(&mut value, self.range.start)?;
        Ok(value)
    }

    fn len_bytes(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }
}

/// The known items of the region.
struct Items {
    region: Range<u64>,
    items: Vec<Item>,
}

impl Metadata {
    /// Reads the items of `region`, which lies inside the file.
    pub(super) fn read(bytes: &dyn ReadAt, region: &Range<u64>) -> Result<Self> {
        let items = Items::read(bytes, region)?;
        let parameters = items.required(FILE_PARAMETERS)?;
        let (block_bytes, flags) = block_and_flags(bytes, parameters)?;
        let sector_bytes = sector(bytes, items.required(LOGICAL_SECTOR)?, "logical")?;
        if let Some(item) = items.find(PHYSICAL_SECTOR) {
            sector(bytes, item, "physical")?;
        }
        let size = items.required(DISK_SIZE)?;
        let capacity_bytes = u64::from_le_bytes(size.read(bytes)?);
        if capacity_bytes > MAX_CAPACITY_BYTES {
            let leaf = Failure::Capacity(capacity_bytes);
            return Err(Error::new(Kind::Limit, leaf).at(size.range.start));
        }
        if !capacity_bytes.is_multiple_of(sector_bytes) {
            let leaf = MetadataError::Capacity(capacity_bytes, sector_bytes);
            return Err(Error::malformed(leaf).at(size.range.start));
        }
        let parent = if flags & HAS_PARENT == 0 {
            None
        } else {
            let item = items.required(PARENT_LOCATOR)?;
            let mut value = vec![0; buffer_len(item.len_bytes())];
            bytes.fill(&mut value, item.range.start)?;
            Some(Locator::parse(&value, item.range.start)?)
        };
        let fixed = flags & LEAVE_ALLOCATED != 0;
        Ok(Self { block_bytes, sector_bytes, capacity_bytes, fixed, parent })
    }
}

/// Layout: [MS-VHDX] 2.6.2.1, "File Parameters".
fn block_and_flags(bytes: &dyn ReadAt, item: &Item) -> Result<(u64, u32)> {
    let value: [u8; 8] = item.read(bytes)?;
    let block = le32(&value, 0).unwrap_or_default();
    let block_bytes = u64::from(block);
    if !block.is_power_of_two() || !(MIB..=MAX_BLOCK_BYTES).contains(&block_bytes) {
        return Err(Error::malformed(MetadataError::Block(block)).at(item.range.start));
    }
    Ok((block_bytes, le32(&value, 4).unwrap_or_default()))
}

fn sector(bytes: &dyn ReadAt, item: &Item, name: &'static str) -> Result<u64> {
    match u32::from_le_bytes(item.read(bytes)?) {
        found @ (512 | 4096) => Ok(u64::from(found)),
        found => Err(Error::malformed(MetadataError::Sector { name, found }).at(item.range.start)),
    }
}

impl Items {
    /// Layout: [MS-VHDX] 2.6.1, "Metadata Table".
    fn read(bytes: &dyn ReadAt, region: &Range<u64>) -> Result<Self> {
        // The region is a multiple of 1 MiB, so the table is inside it.
        let mut table = vec![0; buffer_len(TABLE_BYTES)];
        bytes.fill(&mut table, region.start)?;
        let at = |at: usize| region.start.saturating_add(at as u64);
        if !table.starts_with(b"metadata") {
            return Err(Error::malformed(MetadataError::Signature).at(at(0)));
        }
        let count = le16(&table, 10).unwrap_or_default();
        if count > MAX_ITEMS {
            return Err(Error::malformed(MetadataError::Count(count)).at(at(10)));
        }
        let mut found = Self { region: region.clone(), items: Vec::new() };
        let entries = table.get(TABLE_HEADER_BYTES..).unwrap_or_default();
        let entries = entries.chunks_exact(ENTRY_BYTES).take(usize::from(count));
        for (entry, entry_at) in entries.zip((TABLE_HEADER_BYTES..).step_by(ENTRY_BYTES)) {
            found.take(entry).map_err(|error| error.at(at(entry_at)))?;
        }
        Ok(found)
    }

    /// Takes one entry of the table, if it is known or need not be.
    fn take(&mut self, entry: &[u8]) -> Result<()> {
        let guid = Guid::at(entry, 0).unwrap_or(Guid::NIL);
        let field = |at| le32(entry, at).unwrap_or_default();
        let (at, len, flags) = (field(16), field(20), field(24));
        if flags & USER != 0 || !KNOWN.contains(&guid) {
            return match flags & REQUIRED {
                0 => Ok(()),
                _ => Err(Error::unsupported(MetadataError::Unknown(guid))),
            };
        }
        if u64::from(len) > MAX_ITEM_BYTES {
            return Err(Error::new(Kind::Limit, MetadataError::Long { guid, len }));
        }
        let start = self.region.start.saturating_add(u64::from(at));
        let end = start.saturating_add(u64::from(len));
        if u64::from(at) < TABLE_BYTES || end > self.region.end {
            let region_bytes = self.region.end.saturating_sub(self.region.start);
            return Err(Error::malformed(MetadataError::Place { guid, at, len, region_bytes }));
        }
        if self.find(guid).is_some() {
            return Err(Error::malformed(MetadataError::Twice(guid)));
        }
        self.items.push(Item { guid, range: start..end });
        Ok(())
    }

    fn find(&self, guid: Guid) -> Option<&Item> {
        self.items.iter().find(|item| item.guid == guid)
    }

    fn required(&self, guid: Guid) -> Result<&Item> {
        self.find(guid)
            .ok_or_else(|| Error::malformed(MetadataError::Missing(guid)).at(self.region.start))
    }
}

#[cfg(test)]
mod tests {
    use testkit::Vhdx;

    use super::*;

    const REGION: Range<u64> = 2 << 20..3 << 20;
    const TABLE: usize = 2 << 20;
    const ITEMS: usize = TABLE + (64 << 10);
    /// The entry of the file parameters, the first of the table.
    const ENTRY: usize = TABLE + 32;

    fn good() -> Vec<u8> {
        Vhdx::new(&[7; 3 * 4096]).sector_bytes(4096).block_mib(2).build()
    }

    fn spoilt(at: usize, value: &[u8]) -> Error {
        let mut file = good();
        file[at..at + value.len()].copy_from_slice(value);
        Metadata::read(&file, &REGION).unwrap_err()
    }

    #[test]
    fn reads_what_kind_of_disk_it_is() {
        let want = Metadata {
            block_bytes: 2 << 20,
            sector_bytes: 4096,
            capacity_bytes: 3 * 4096,
            fixed: false,
            parent: None,
        };
        assert_eq!(Metadata::read(&good(), &REGION).unwrap(), want);
        let mut fixed = good();
        fixed[ITEMS + 4] = 1;
        assert!(Metadata::read(&fixed, &REGION).unwrap().fixed);
    }

    #[test]
    fn names_the_value_that_is_wrong() {
        for (at, value, want) in [
            (
                0,
                0_u32,
                "a block of 0 bytes is no power of two in 1048576..=268435456, at byte 2162688",
            ),
            (
                0,
                3 << 20,
                "a block of 3145728 bytes is no power of two in 1048576..=268435456, at byte 2162688",
            ),
            (
                0,
                1 << 19,
                "a block of 524288 bytes is no power of two in 1048576..=268435456, at byte 2162688",
            ),
            (
                0,
                1 << 29,
                "a block of 536870912 bytes is no power of two in 1048576..=268435456, at byte 2162688",
            ),
            (
                4,
                2,
                "the metadata have no item a8d35f2d-b30b-454d-abf7-d3d84834ab0c, at byte 2097152",
            ),
            (
                8,
                513,
                "a virtual size of 513 bytes is no multiple of the logical sector of 4096, at byte 2162696",
            ),
            (
                12,
                1 << 15,
                "a virtual size of 140737488367616 bytes is over the limit of 70368744177664 bytes, at byte 2162696",
            ),
            (32, 1024, "a logical sector of 1024 bytes, neither 512 nor 4096, at byte 2162720"),
            (40, 0, "a physical sector of 0 bytes, neither 512 nor 4096, at byte 2162728"),
        ] {
            assert_eq!(spoilt(ITEMS + at, &value.to_le_bytes()).to_string(), want);
        }
    }

    #[test]
    fn names_the_entry_that_is_wrong() {
        const PARAMETERS: &str = "item caa16737-fa36-4d43-b3b6-33f0aa44e76b";
        for (at, value, want) in [
            (TABLE, 0_u32, "the signature of the metadata table is not metadata, at byte 2097152"),
            (
                TABLE + 10,
                2048,
                "a metadata table of 2048 entries is over the limit of 2047, at byte 2097162",
            ),
            (
                TABLE + 10,
                0,
                "the metadata have no item caa16737-fa36-4d43-b3b6-33f0aa44e76b, at byte 2097152",
            ),
            (
                ENTRY + 16,
                65_535,
                &*format!(
                    "{PARAMETERS}: 8 bytes at byte 65535 of a metadata region of 1048576, whose items start at 65536, at byte 2097184"
                ),
            ),
            (
                ENTRY + 16,
                u32::MAX,
                &*format!(
                    "{PARAMETERS}: 8 bytes at byte 4294967295 of a metadata region of 1048576, whose items start at 65536, at byte 2097184"
                ),
            ),
            (ENTRY + 20, 9, &*format!("{PARAMETERS}: 9 bytes, not 8, at byte 2162688")),
            (
                ENTRY + 20,
                1 << 21,
                &*format!(
                    "{PARAMETERS}: 2097152 bytes are over the limit of 1048576, at byte 2097184"
                ),
            ),
            (
                ENTRY,
                5,
                "item 00000005-fa36-4d43-b3b6-33f0aa44e76b is required, and it is not known, at byte 2097184",
            ),
            (
                ENTRY + 24,
                5,
                &*format!("{PARAMETERS} is required, and it is not known, at byte 2097184"),
            ),
            (
                ENTRY + 24,
                1,
                "the metadata have no item caa16737-fa36-4d43-b3b6-33f0aa44e76b, at byte 2097152",
            ),
        ] {
            assert_eq!(spoilt(at, &value.to_le_bytes()).to_string(), want);
        }
        let mut twice = good();
        twice.copy_within(ENTRY..ENTRY + 32, ENTRY + 64);
        let want = format!("{PARAMETERS} is there twice, at byte 2097248");
        assert_eq!(Metadata::read(&twice, &REGION).unwrap_err().to_string(), want);
    }
}
