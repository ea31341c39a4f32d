//! The header.

use std::ops::Range;

use crate::{
    Error, Warning,
    entry_table::EntryTable,
    error::{Failure, Kind, MAX_CAPACITY_BYTES},
    fields::{le32, le64},
    uuid::Uuid,
};

/// The bytes that every field lies in.
pub(super) const HEADER_BYTES: u64 = 512;

/// The signature at byte 64.
const SIGNATURE: u32 = 0xbeda_107f;

/// Version 1.1, the only one since 2007.
const VERSION: u32 = 0x0001_0001;

/// Where the sizes begin that `header size` counts from.
const HEADER_START: u64 = 72;

/// The least header size of version 1.1: that without the second geometry.
const MIN_HEADER_SIZE: u32 = 384;

/// The unit of every disk.
const SECTOR_BYTES: u32 = 512;

/// The smallest block that is read, the limit of this product; VirtualBox writes 1 MiB.
const MIN_BLOCK_BYTES: u32 = 4096;

/// The most blocks, the limit of this product: 64 TiB of blocks of 256 KiB. Finding a block that is
/// used twice takes a bit for each.
const MAX_BLOCKS: u32 = 1 << 28;

/// Whether all blocks were there from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageType {
    /// Blocks come as they are written.
    Dynamic,
    /// All blocks are there.
    Static,
}

impl ImageType {
    /// The word of VirtualBox.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Static => "static",
        }
    }
}

/// A validated header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    image_type: ImageType,
    header_end_bytes: u64,
    map_offset_bytes: u32,
    data_offset_bytes: u32,
    disk_bytes: u64,
    block_bytes: u32,
    block_extra_bytes: u32,
    blocks: u32,
}

/// What is wrong with a header, or what it asks for that is not read.
#[derive(Debug, thiserror::Error)]
enum HeaderError {
    #[error("a header of {0} bytes is cut, it has {HEADER_BYTES}")]
    Short(usize),
    #[error("the signature is {0:#010x}, not {SIGNATURE:#010x}")]
    Signature(u32),
    #[error("VDI version {0}.{1} is not 1.1")]
    Version(u32, u32),
    #[error("a header size of {0} bytes is under {MIN_HEADER_SIZE}")]
    HeaderSize(u32),
    #[error("the disk is an undo image (type 3)")]
    Undo,
    #[error("image type {0} is none of 1 (dynamic) and 2 (static)")]
    ImageType(u32),
    #[error("the disk has only what differs from its parent with UUID {0}, and has no name of it")]
    Parent(Uuid),
    #[error("a sector size of {0} bytes is not {SECTOR_BYTES}")]
    SectorSize(u32),
    #[error("a block size of {0} bytes is not a power of two from {MIN_BLOCK_BYTES} on")]
    BlockSize(u32),
    #[error("{0} blocks are over the limit of {MAX_BLOCKS}")]
    BlocksLimit(u32),
    #[error("{blocks} blocks of {block_bytes} bytes are less than the disk size of {disk_bytes}")]
    BlocksShort { blocks: u32, block_bytes: u32, disk_bytes: u64 },
    #[error(
        "a block map of {blocks} entries at byte {offset} overlaps the header, which ends at byte {header_end}"
    )]
    MapInHeader { blocks: u32, offset: u32, header_end: u64 },
    #[error(
        "a block map of {blocks} entries at byte {offset} is not inside the file of {file_bytes} bytes"
    )]
    MapOutside { blocks: u32, offset: u32, file_bytes: u64 },
    #[error("the blocks start at byte {offset}, the block map ends at byte {map_end}")]
    DataInMap { offset: u32, map_end: u64 },
}

impl HeaderError {
    /// The kind of error, and the byte that it is about.
    fn place(&self) -> (Kind, u64) {
        match self {
            Self::Short(_) => (Kind::Malformed, 0),
            Self::Signature(_) => (Kind::Malformed, 64),
            Self::Version(..) => (Kind::Unsupported, 68),
            Self::HeaderSize(_) => (Kind::Malformed, 72),
            Self::Undo | Self::ImageType(_) => (Kind::Unsupported, 76),
            Self::MapInHeader { .. } | Self::MapOutside { .. } => (Kind::Malformed, 340),
            Self::DataInMap { .. } => (Kind::Malformed, 344),
            Self::SectorSize(_) => (Kind::Unsupported, 360),
            Self::BlockSize(_) => (Kind::Malformed, 376),
            Self::BlocksLimit(_) => (Kind::Limit, 384),
            Self::BlocksShort { .. } => (Kind::Malformed, 384),
            Self::Parent(_) => (Kind::Denied, 424),
        }
    }
}

impl From<HeaderError> for Error {
    fn from(leaf: HeaderError) -> Self {
        let (kind, at) = leaf.place();
        Self::new(kind, leaf).at(at)
    }
}

impl Header {
    /// Decodes and validates the header; `bytes` are the first 512 of a file of `file_bytes`.
    pub(super) fn parse(bytes: &[u8], file_bytes: u64) -> Result<Self, Error> {
        let short = || HeaderError::Short(bytes.len());
        let u32_at = |at| le32(bytes, at).ok_or_else(short);
        let signature = u32_at(64)?;
        if signature != SIGNATURE {
            return Err(HeaderError::Signature(signature).into());
        }
        let version = u32_at(68)?;
        if version != VERSION {
            return Err(HeaderError::Version(version >> 16, version & 0xffff).into());
        }
        let header_size = u32_at(72)?;
        if header_size < MIN_HEADER_SIZE {
            return Err(HeaderError::HeaderSize(header_size).into());
        }
        let link = bytes.get(424..).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
        let header = Self {
            image_type: image_type(u32_at(76)?, Uuid::mixed_endian(*link))?,
            header_end_bytes: HEADER_START.saturating_add(header_size.into()),
            map_offset_bytes: u32_at(340)?,
            data_offset_bytes: u32_at(344)?,
            disk_bytes: le64(bytes, 368).ok_or_else(short)?,
            block_bytes: u32_at(376)?,
            block_extra_bytes: u32_at(380)?,
            blocks: u32_at(384)?,
        };
        let sector_bytes = u32_at(360)?;
        if sector_bytes != SECTOR_BYTES {
            return Err(HeaderError::SectorSize(sector_bytes).into());
        }
        if header.disk_bytes > MAX_CAPACITY_BYTES {
            let leaf = Failure::Capacity(header.disk_bytes);
            return Err(Error::new(Kind::Limit, leaf).at(368));
        }
        header.check_blocks()?;
        header.check_places(file_bytes)?;
        Ok(header)
    }

    fn check_blocks(&self) -> Result<(), HeaderError> {
        let Self { block_bytes, blocks, disk_bytes, .. } = *self;
        if block_bytes < MIN_BLOCK_BYTES || !block_bytes.is_power_of_two() {
            return Err(HeaderError::BlockSize(block_bytes));
        }
        if blocks > MAX_BLOCKS {
            return Err(HeaderError::BlocksLimit(blocks));
        }
        if u64::from(blocks).saturating_mul(block_bytes.into()) < disk_bytes {
            return Err(HeaderError::BlocksShort { blocks, block_bytes, disk_bytes });
        }
        Ok(())
    }

    fn check_places(&self, file_bytes: u64) -> Result<(), HeaderError> {
        let (blocks, offset, header_end) =
            (self.blocks, self.map_offset_bytes, self.header_end_bytes);
        if u64::from(offset) < header_end {
            return Err(HeaderError::MapInHeader { blocks, offset, header_end });
        }
        let map_end = self.map().range().end;
        if map_end > file_bytes {
            return Err(HeaderError::MapOutside { blocks, offset, file_bytes });
        }
        let offset = self.data_offset_bytes;
        if u64::from(offset) < map_end {
            return Err(HeaderError::DataInMap { offset, map_end });
        }
        Ok(())
    }

    pub(super) fn image_type(&self) -> ImageType {
        self.image_type
    }

    /// The bytes of the header itself.
    pub(super) fn range(&self) -> Range<u64> {
        0..self.header_end_bytes
    }

    /// The block map, which lies inside the file.
    pub(super) fn map(&self) -> EntryTable {
        EntryTable::new(self.map_offset_bytes.into(), self.blocks.into())
    }

    /// The size of the disk, rounded up to sectors: VirtualBox can make images of any size.
    pub(super) fn capacity_bytes(&self) -> u64 {
        self.disk_bytes.next_multiple_of(SECTOR_BYTES.into())
    }

    /// A power of two, 4096 and more.
    pub(super) fn block_bytes(&self) -> u64 {
        self.block_bytes.into()
    }

    /// The blocks that the file can have; at least as many as the capacity needs.
    pub(super) fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Where the guest's bytes of a block of the file start.
    pub(super) fn block_at(&self, number: u32) -> u64 {
        let stride_bytes = self.block_bytes().saturating_add(self.block_extra_bytes.into());
        u64::from(number)
            .saturating_mul(stride_bytes)
            .saturating_add(self.data_offset_bytes.into())
            .saturating_add(self.block_extra_bytes.into())
    }

    /// What is odd and tolerated.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let (disk_bytes, capacity_bytes) = (self.disk_bytes, self.capacity_bytes());
        let rounded = (disk_bytes != capacity_bytes).then(|| {
            let message =
                format!("a disk size of {disk_bytes} bytes is rounded up to {capacity_bytes}");
            Warning::interpreted(message)
        });
        rounded.into_iter().collect()
    }
}

/// The type of an image that needs no other one; `link` is the UUID of the one that it needs.
fn image_type(number: u32, link: Uuid) -> Result<ImageType, HeaderError> {
    let image_type = match number {
        1 => ImageType::Dynamic,
        2 => ImageType::Static,
        3 => return Err(HeaderError::Undo),
        4 => return Err(HeaderError::Parent(link)),
        other => return Err(HeaderError::ImageType(other)),
    };
    // Whatever the type says: blocks that are free may be the parent's.
    if link.is_nil() { Ok(image_type) } else { Err(HeaderError::Parent(link)) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The file that the header is of.
    const FILE_BYTES: u64 = 4096 + (3 << 20);

    /// The header of a dynamic image of 3 blocks, whose map is at byte 512 and data at byte 4096.
    fn good() -> Vec<u8> {
        let mut b = vec![0; 512];
        b[..16].copy_from_slice(b"<<< some tool >>");
        for (at, value) in [
            (64, SIGNATURE),
            (68, VERSION),
            (72, 400),
            (76, 1),
            (340, 512),
            (344, 4096),
            (360, 512),
            (368, (3 << 20) - 512),
            (376, 1 << 20),
            (384, 3),
        ] {
            put32(&mut b, at, value);
        }
        b
    }

    fn put32(bytes: &mut [u8], at: usize, value: u32) {
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    #[test]
    fn reads_every_field() {
        let header = Header::parse(&good(), FILE_BYTES).unwrap();
        assert_eq!((header.image_type(), header.range()), (ImageType::Dynamic, 0..472));
        assert_eq!((header.capacity_bytes(), header.blocks()), ((3 << 20) - 512, 3));
        assert_eq!(header.map(), EntryTable::new(512, 3));
        assert_eq!((header.block_bytes(), header.block_at(2)), (1 << 20, 4096 + (2 << 20)));
        assert_eq!(header.warnings(), []);
        let mut b = good();
        put32(&mut b, 380, 512);
        assert_eq!(Header::parse(&b, FILE_BYTES).unwrap().block_at(2), 5632 + (2 << 20));
    }

    #[test]
    fn rounds_a_size_up_to_sectors_and_says_so() {
        let mut b = good();
        put32(&mut b, 368, 1000);
        let header = Header::parse(&b, FILE_BYTES).unwrap();
        assert_eq!(header.capacity_bytes(), 1024);
        let want = "a disk size of 1000 bytes is rounded up to 1024";
        assert_eq!(header.warnings()[0].to_string(), want);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        use Kind::{Denied, Limit, Malformed, Unsupported};
        for (at, value, kind, want) in [
            (64, 1, Malformed, "the signature is 0x00000001, not 0xbeda107f, at byte 64"),
            (68, 0x0000_0002, Unsupported, "VDI version 0.2 is not 1.1, at byte 68"),
            (68, 0x0002_0000, Unsupported, "VDI version 2.0 is not 1.1, at byte 68"),
            (72, 383, Malformed, "a header size of 383 bytes is under 384, at byte 72"),
            (
                72,
                1000,
                Malformed,
                "a block map of 3 entries at byte 512 overlaps the header, which ends at byte 1072, at byte 340",
            ),
            (76, 3, Unsupported, "the disk is an undo image (type 3), at byte 76"),
            (76, 5, Unsupported, "image type 5 is none of 1 (dynamic) and 2 (static), at byte 76"),
            (
                424,
                0x1234_5678,
                Denied,
                "the disk has only what differs from its parent with UUID 12345678-0000-0000-0000-000000000000, and has no name of it, at byte 424",
            ),
            (
                340,
                471,
                Malformed,
                "a block map of 3 entries at byte 471 overlaps the header, which ends at byte 472, at byte 340",
            ),
            (
                340,
                u32::MAX,
                Malformed,
                "a block map of 3 entries at byte 4294967295 is not inside the file of 3149824 bytes, at byte 340",
            ),
            (
                344,
                523,
                Malformed,
                "the blocks start at byte 523, the block map ends at byte 524, at byte 344",
            ),
            (360, 4096, Unsupported, "a sector size of 4096 bytes is not 512, at byte 360"),
            (
                372,
                1 << 20,
                Limit,
                "a virtual size of 4503599630515712 bytes is over the limit of 70368744177664 bytes, at byte 368",
            ),
            (
                376,
                0,
                Malformed,
                "a block size of 0 bytes is not a power of two from 4096 on, at byte 376",
            ),
            (
                376,
                3 << 19,
                Malformed,
                "a block size of 1572864 bytes is not a power of two from 4096 on, at byte 376",
            ),
            (
                384,
                2,
                Malformed,
                "2 blocks of 1048576 bytes are less than the disk size of 3145216, at byte 384",
            ),
            (
                384,
                u32::MAX,
                Limit,
                "4294967295 blocks are over the limit of 268435456, at byte 384",
            ),
        ] {
            let mut b = good();
            put32(&mut b, at, value);
            let error = Header::parse(&b, FILE_BYTES).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.kind()), (want, kind));
        }
    }

    #[test]
    fn refuses_a_differencing_image_and_names_its_parent() {
        let mut b = good();
        put32(&mut b, 76, 4);
        for at in 0..16 {
            b[424 + at] = at as u8;
        }
        let error = Header::parse(&b, FILE_BYTES).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the disk has only what differs from its parent with UUID 03020100-0504-0706-0809-0a0b0c0d0e0f, and has no name of it, at byte 424"
        );
        assert_eq!((error.kind(), error.code()), (Kind::Denied, code::Code::E0402));
    }

    #[test]
    fn refuses_a_header_cut_at_any_length() {
        for len in 0..440 {
            assert!(Header::parse(&good()[..len], FILE_BYTES).is_err(), "{len}");
        }
    }
}
