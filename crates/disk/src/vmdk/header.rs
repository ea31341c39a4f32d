//! The header of a hosted sparse extent.

use crate::{
    Error, Warning,
    error::{Kind, MAX_CAPACITY_BYTES},
    fields::{le16, le32, le64},
};

/// The unit of every offset and size in a VMDK.
pub(super) const SECTOR_BYTES: u64 = 512;

/// The entries of a grain table; the format allows no other number.
pub(super) const TABLE_ENTRIES: u64 = 512;

/// The bytes of a grain table.
pub(super) const TABLE_BYTES: u64 = 2048;

/// [`TABLE_ENTRIES`] as the length of an array.
pub(super) const TABLE_LEN: usize = 512;

/// [`SECTOR_BYTES`] as the length of an array.
pub(super) const SECTOR_LEN: usize = 512;

/// The sectors of a grain table.
pub(super) const TABLE_SECTORS: u64 = TABLE_BYTES / SECTOR_BYTES;

/// The first four bytes.
pub(super) const MAGIC: &[u8; 4] = b"KDMV";

/// A grain directory whose place was not known when the header was written.
pub(super) const DIRECTORY_AT_END: u64 = u64::MAX;

/// Set when the bytes from 73 on show whether the file went through a text-mode transfer.
pub(super) const FLAG_NEWLINE_TEST: u32 = 1;
/// Set when there is a second grain directory.
pub(super) const FLAG_REDUNDANT: u32 = 1 << 1;
/// Set when a table entry of 1 is a grain of zeros.
pub(super) const FLAG_ZERO_GRAINS: u32 = 1 << 2;
/// Set when grains are compressed.
pub(super) const FLAG_COMPRESSED: u32 = 1 << 16;
/// Set when grains carry their number, and tables a marker.
pub(super) const FLAG_MARKERS: u32 = 1 << 17;

/// The bytes from 73 on, which a text-mode transfer would change.
pub(super) const NEWLINE_TEST: [u8; 4] = *b"\n \r\n";

/// The largest grain: 1 MiB, the limit of this product; writers use 8, 16, 128 and 256 sectors.
pub(super) const MAX_GRAIN_SECTORS: u64 = 2048;

/// The least grain of the specification, which says "greater than 8"; smaller ones are read, with a
/// warning.
const MIN_USUAL_GRAIN_SECTORS: u64 = 16;

/// The largest grain directory: 128 MiB of entries, the limit of this product.
const MAX_DIRECTORY_ENTRIES: u64 = 32 << 20;

/// The largest embedded descriptor: 1 MiB, the limit of this product; writers reserve 10 KiB.
const MAX_DESCRIPTOR_SECTORS: u64 = 2048;

/// A validated header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    flags: u32,
    capacity_sectors: u64,
    grain_sectors: u64,
    descriptor_sector: u64,
    descriptor_sectors: u64,
    redundant_sector: u64,
    directory_sector: u64,
    overhead_sectors: u64,
}

/// What is wrong with a header.
#[derive(Debug, thiserror::Error)]
enum HeaderError {
    #[error("a header of {0} bytes is cut, it has 512")]
    Short(usize),
    #[error("the magic number is not KDMV")]
    Magic,
    #[error("version {0} of a hosted sparse extent is none of 1..=3")]
    Version(u32),
    #[error("the newline test bytes are {0:02x?}: the file was damaged by a transfer in text mode")]
    NewlineTest([u8; 4]),
    #[error("a capacity of 0 sectors: the disk lies in other files")]
    Empty,
    #[error("a capacity of {0} sectors is over the limit of {max}", max = MAX_CAPACITY_BYTES / SECTOR_BYTES)]
    Capacity(u64),
    #[error("grain size of {0} sectors is not a power of two in 1..={MAX_GRAIN_SECTORS}")]
    GrainSize(u64),
    #[error("grain tables of {0} entries, {TABLE_ENTRIES} are allowed")]
    TableEntries(u32),
    #[error("a grain directory of {0} entries is over the limit of {MAX_DIRECTORY_ENTRIES}")]
    DirectoryEntries(u64),
    #[error("a descriptor of {0} sectors is over the limit of {MAX_DESCRIPTOR_SECTORS}")]
    DescriptorSize(u64),
    #[error("compression algorithm {0} is none of 0 (none) and 1 (deflate)")]
    Algorithm(u16),
    #[error("flags {flags:#x} and compression algorithm {algorithm} contradict each other")]
    Compression { flags: u32, algorithm: u16 },
    #[error("flags {0:#x}: compressed grains without grain headers are not read")]
    NoMarkers(u32),
    #[error("flags {0:#x}: grain headers without compression are not read")]
    OnlyMarkers(u32),
}

impl HeaderError {
    /// The kind of error, and the byte of the header that it is about.
    fn place(&self) -> (Kind, u64) {
        match self {
            Self::Short(_) | Self::Magic => (Kind::Malformed, 0),
            Self::Version(_) => (Kind::Unsupported, 4),
            Self::NoMarkers(_) | Self::OnlyMarkers(_) => (Kind::Unsupported, 8),
            Self::Compression { .. } => (Kind::Malformed, 8),
            Self::Empty => (Kind::Denied, 12),
            Self::Capacity(_) | Self::DirectoryEntries(_) => (Kind::Limit, 12),
            Self::GrainSize(_) => (Kind::Malformed, 20),
            Self::DescriptorSize(_) => (Kind::Limit, 36),
            Self::TableEntries(_) => (Kind::Malformed, 44),
            Self::NewlineTest(_) => (Kind::Malformed, 73),
            Self::Algorithm(_) => (Kind::Unsupported, 77),
        }
    }
}

impl Header {
    /// Decodes and validates the header that stands at byte `offset_bytes` of the file.
    pub(super) fn parse(bytes: &[u8], offset_bytes: u64) -> Result<Self, Error> {
        Self::decode(bytes).map_err(|leaf| {
            let (kind, at) = leaf.place();
            Error::new(kind, leaf).at(offset_bytes.saturating_add(at))
        })
    }

    /// Layout: VMware Virtual Disk Format 5.0, "Hosted Sparse Extent Header".
    fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let short = || HeaderError::Short(bytes.len());
        let u32_at = |at| le32(bytes, at).ok_or_else(short);
        let u64_at = |at| le64(bytes, at).ok_or_else(short);
        if !bytes.starts_with(MAGIC) {
            return Err(HeaderError::Magic);
        }
        let version = u32_at(4)?;
        let header = Self {
            flags: u32_at(8)?,
            capacity_sectors: u64_at(12)?,
            grain_sectors: u64_at(20)?,
            descriptor_sector: u64_at(28)?,
            descriptor_sectors: u64_at(36)?,
            redundant_sector: u64_at(48)?,
            directory_sector: u64_at(56)?,
            overhead_sectors: u64_at(64)?,
        };
        let table_entries = u32_at(44)?;
        let newlines = bytes.get(73..).and_then(<[u8]>::first_chunk).ok_or_else(short)?;
        let algorithm = le16(bytes, 77).ok_or_else(short)?;
        if !(1..=3).contains(&version) {
            return Err(HeaderError::Version(version));
        }
        if header.has(FLAG_NEWLINE_TEST) && *newlines != NEWLINE_TEST {
            return Err(HeaderError::NewlineTest(*newlines));
        }
        if u64::from(table_entries) != TABLE_ENTRIES {
            return Err(HeaderError::TableEntries(table_entries));
        }
        header.check_sizes()?;
        header.check_compression(algorithm)?;
        Ok(header)
    }

    fn check_sizes(&self) -> Result<(), HeaderError> {
        if self.capacity_sectors == 0 {
            return Err(HeaderError::Empty);
        }
        if self.capacity_sectors > MAX_CAPACITY_BYTES / SECTOR_BYTES {
            return Err(HeaderError::Capacity(self.capacity_sectors));
        }
        let grain = self.grain_sectors;
        if !grain.is_power_of_two() || grain > MAX_GRAIN_SECTORS {
            return Err(HeaderError::GrainSize(grain));
        }
        if self.table_count() > MAX_DIRECTORY_ENTRIES {
            return Err(HeaderError::DirectoryEntries(self.table_count()));
        }
        if self.descriptor_sector != 0 && self.descriptor_sectors > MAX_DESCRIPTOR_SECTORS {
            return Err(HeaderError::DescriptorSize(self.descriptor_sectors));
        }
        Ok(())
    }

    fn check_compression(&self, algorithm: u16) -> Result<(), HeaderError> {
        if algorithm > 1 {
            return Err(HeaderError::Algorithm(algorithm));
        }
        let flags = self.flags;
        if self.has(FLAG_COMPRESSED) != (algorithm == 1) {
            return Err(HeaderError::Compression { flags, algorithm });
        }
        match (self.has(FLAG_COMPRESSED), self.has(FLAG_MARKERS)) {
            (true, false) => Err(HeaderError::NoMarkers(flags)),
            (false, true) => Err(HeaderError::OnlyMarkers(flags)),
            _ => Ok(()),
        }
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Whether grains are compressed and numbered: streamOptimized.
    pub(super) fn is_stream(&self) -> bool {
        self.has(FLAG_COMPRESSED)
    }

    /// Whether a table entry of 1 is a grain of zeros.
    pub(super) fn has_zero_grains(&self) -> bool {
        self.has(FLAG_ZERO_GRAINS)
    }

    pub(super) fn capacity_sectors(&self) -> u64 {
        self.capacity_sectors
    }

    pub(super) fn capacity_bytes(&self) -> u64 {
        self.capacity_sectors.saturating_mul(SECTOR_BYTES)
    }

    pub(super) fn grain_sectors(&self) -> u64 {
        self.grain_sectors
    }

    pub(super) fn grain_bytes(&self) -> u64 {
        self.grain_sectors.saturating_mul(SECTOR_BYTES)
    }

    /// The number of grains, the last of which may be short.
    pub(super) fn grain_count(&self) -> u64 {
        self.capacity_sectors.div_ceil(self.grain_sectors.max(1))
    }

    /// The number of grain tables, which is the number of entries of the directory.
    pub(super) fn table_count(&self) -> u64 {
        self.grain_count().div_ceil(TABLE_ENTRIES)
    }

    /// The sectors of the grain directory.
    pub(super) fn directory_sectors(&self) -> u64 {
        self.table_count().saturating_mul(4).div_ceil(SECTOR_BYTES)
    }

    /// The guest bytes that one grain table describes.
    pub(super) fn table_span_bytes(&self) -> u64 {
        self.grain_bytes().saturating_mul(TABLE_ENTRIES)
    }

    /// The sector of the grain directory; `None` when it is behind the grains.
    pub(super) fn directory_sector(&self) -> Option<u64> {
        (self.directory_sector != DIRECTORY_AT_END).then_some(self.directory_sector)
    }

    /// The sector of the second grain directory, if there is one.
    pub(super) fn redundant_sector(&self) -> Option<u64> {
        (self.has(FLAG_REDUNDANT) && self.redundant_sector != 0).then_some(self.redundant_sector)
    }

    /// The first sector of the embedded descriptor and its number of sectors, if there is one.
    pub(super) fn descriptor(&self) -> Option<(u64, u64)> {
        (self.descriptor_sector != 0 && self.descriptor_sectors != 0)
            .then_some((self.descriptor_sector, self.descriptor_sectors))
    }

    /// The first byte that a grain may have.
    pub(super) fn grains_start_bytes(&self) -> u64 {
        self.overhead_sectors.max(1).saturating_mul(SECTOR_BYTES)
    }

    /// The longest record that one compressed grain may have, without its own header.
    ///
    /// Stored blocks make a grain grow by 5 bytes in 65535; the rest is room for odd encoders.
    pub(super) fn max_stored_bytes(&self) -> u64 {
        self.grain_bytes().saturating_mul(2).saturating_add(1024)
    }

    /// Warns of grains that are smaller than the specification allows.
    pub(super) fn warning(&self) -> Option<Warning> {
        (self.grain_sectors < MIN_USUAL_GRAIN_SECTORS).then(|| {
            let message = format!(
                "grains of {} sectors are smaller than the least of {MIN_USUAL_GRAIN_SECTORS}",
                self.grain_sectors
            );
            Warning::defect(20, message)
        })
    }

    /// The field in which a footer differs from this header, with both numbers.
    pub(super) fn differs(&self, footer: &Self) -> Option<(&'static str, u64, u64)> {
        let coding = |header: &Self| u64::from(header.flags & (FLAG_COMPRESSED | FLAG_MARKERS));
        [
            ("capacity", self.capacity_sectors, footer.capacity_sectors),
            ("grain size", self.grain_sectors, footer.grain_sectors),
            ("flags", coding(self), coding(footer)),
        ]
        .into_iter()
        .find(|(_, front, back)| front != back)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A header of a streamOptimized disk of 1 MiB with a footer.
    pub(in crate::vmdk) fn good() -> Vec<u8> {
        let mut b = vec![0; 512];
        b[0..4].copy_from_slice(MAGIC);
        put32(&mut b, 4, 3);
        put32(&mut b, 8, 0x30001);
        put64(&mut b, 12, 2048);
        put64(&mut b, 20, 128);
        put64(&mut b, 28, 1);
        put64(&mut b, 36, 20);
        put32(&mut b, 44, 512);
        put64(&mut b, 56, DIRECTORY_AT_END);
        put64(&mut b, 64, 128);
        b[73..77].copy_from_slice(&NEWLINE_TEST);
        b[77] = 1;
        b
    }

    pub(in crate::vmdk) fn put32(bytes: &mut [u8], at: usize, value: u32) {
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    pub(in crate::vmdk) fn put64(bytes: &mut [u8], at: usize, value: u64) {
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    #[test]
    fn reads_every_field() {
        let header = Header::parse(&good(), 0).unwrap();
        assert!(header.is_stream() && !header.has_zero_grains());
        assert_eq!((header.capacity_bytes(), header.grain_bytes()), (1 << 20, 65536));
        assert_eq!((header.grain_count(), header.table_count()), (16, 1));
        assert_eq!(header.descriptor(), Some((1, 20)));
        assert_eq!((header.directory_sector(), header.redundant_sector()), (None, None));
        assert_eq!(header.grains_start_bytes(), 65536);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        for (at, value, want) in [
            (0, b"KDMW".to_vec(), "the magic number is not KDMV, at byte 0"),
            (4, vec![0], "version 0 of a hosted sparse extent is none of 1..=3, at byte 4"),
            (4, vec![99], "version 99 of a hosted sparse extent is none of 1..=3, at byte 4"),
            (12, vec![0, 0], "a capacity of 0 sectors: the disk lies in other files, at byte 12"),
            (
                16,
                vec![0, 0, 1],
                "a capacity of 281474976712704 sectors is over the limit of 137438953472, at byte 12",
            ),
            (20, vec![0], "grain size of 0 sectors is not a power of two in 1..=2048, at byte 20"),
            (
                20,
                vec![127],
                "grain size of 127 sectors is not a power of two in 1..=2048, at byte 20",
            ),
            (
                20,
                vec![0, 16],
                "grain size of 4096 sectors is not a power of two in 1..=2048, at byte 20",
            ),
            (36, vec![1, 8], "a descriptor of 2049 sectors is over the limit of 2048, at byte 36"),
            (44, vec![0, 1], "grain tables of 256 entries, 512 are allowed, at byte 44"),
            (
                75,
                b"\n".to_vec(),
                "the newline test bytes are [0a, 20, 0a, 0a]: the file was damaged by a transfer in text mode, at byte 73",
            ),
            (
                77,
                vec![7],
                "compression algorithm 7 is none of 0 (none) and 1 (deflate), at byte 77",
            ),
            (
                77,
                vec![0],
                "flags 0x30001 and compression algorithm 0 contradict each other, at byte 8",
            ),
            (
                8,
                vec![1, 0, 1],
                "flags 0x10001: compressed grains without grain headers are not read, at byte 8",
            ),
        ] {
            let mut b = good();
            b[at..at + value.len()].copy_from_slice(&value);
            assert_eq!(Header::parse(&b, 0).unwrap_err().to_string(), want);
        }
        let mut b = good();
        put32(&mut b, 8, 0x20001);
        b[77] = 0;
        let want = "flags 0x20001: grain headers without compression are not read, at byte 1032";
        assert_eq!(Header::parse(&b, 1024).unwrap_err().to_string(), want);
        let mut b = good();
        put64(&mut b, 12, 1 << 36);
        put64(&mut b, 20, 1);
        let want =
            "a grain directory of 134217728 entries is over the limit of 33554432, at byte 12";
        assert_eq!(Header::parse(&b, 0).unwrap_err().to_string(), want);
    }

    #[test]
    fn warns_of_grains_below_the_least() {
        let mut b = good();
        assert_eq!(Header::parse(&b, 0).unwrap().warning(), None);
        put64(&mut b, 20, 8);
        let warning = Header::parse(&b, 0).unwrap().warning().unwrap().to_string();
        assert_eq!(warning, "grains of 8 sectors are smaller than the least of 16, at byte 20");
    }

    #[test]
    fn refuses_a_header_cut_at_any_length() {
        for len in 0..79 {
            assert!(Header::parse(&good()[..len], 0).is_err(), "{len}");
        }
        assert!(Header::parse(&good()[..79], 0).is_ok());
    }
}
