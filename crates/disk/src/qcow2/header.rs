//! The header.

use std::ops::Range;

use crate::{
    Codec, Error, FileName, Warning,
    error::Kind,
    fields::{be32, be64, buffer_len},
    qcow2::state::{State, StateError},
};

/// The first four bytes.
pub(super) const MAGIC: &[u8; 4] = b"QFI\xfb";

/// An entry that has the only reference to its cluster.
pub(super) const COPIED: u64 = 1 << 63;

/// The number of snapshots that QEMU allows.
const MAX_SNAPSHOTS: u32 = 65536;

/// The largest refcount table: 8 MiB, QEMU's limit.
const MAX_REFCOUNT_TABLE_BYTES: u64 = 8 << 20;

/// The longest name of a backing file: QEMU's limit.
pub(super) const MAX_BACKING_BYTES: u32 = 1023;

/// The bytes of a header of version 2.
const V2_HEADER_BYTES: u32 = 72;

/// The least bytes of a header of version 3.
const V3_HEADER_BYTES: u32 = 104;

/// The refcount order of version 2: 16 bits.
const V2_REFCOUNT_ORDER: u32 = 4;

/// Incompatible feature: refcounts may be wrong.
const DIRTY: u64 = 1;
/// Incompatible feature: the image was found damaged.
const CORRUPT: u64 = 1 << 1;
/// Incompatible feature: the clusters lie in another file.
const DATA_FILE: u64 = 1 << 2;
/// Incompatible feature: clusters may be compressed otherwise than with zlib.
const COMPRESSION: u64 = 1 << 3;
/// Incompatible feature: L2 entries of 16 bytes.
const EXTENDED_L2: u64 = 1 << 4;

/// Autoclear feature: the bitmaps agree with the content.
const BITMAPS: u64 = 1;

/// The subclusters of a cluster with extended L2 entries.
pub(super) const SUBCLUSTERS: u64 = 32;

/// A validated header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    version: u32,
    cluster_bits: u32,
    active: State,
    backing: Option<Backing>,
    refcount_offset_bytes: u64,
    refcount_clusters: u32,
    refcount_order: u32,
    snapshots: u32,
    snapshots_offset_bytes: u64,
    incompatible: u64,
    autoclear: u64,
    codec: Codec,
    header_bytes: u32,
}

/// The name of the backing file, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Backing {
    name: FileName,
    range: Range<u64>,
}

/// What is wrong with a header, or what it asks for that is not read.
#[derive(Debug, thiserror::Error)]
enum HeaderError {
    #[error("a header of {0} bytes is cut")]
    Short(usize),
    #[error("the magic number is not QFI\\xfb")]
    Magic,
    #[error("qcow2 version {0} is none of 2 and 3")]
    Version(u32),
    #[error("a backing file name of {len} bytes at byte {offset} is not inside cluster 0")]
    BackingOutside { offset: u64, len: u32 },
    #[error("a backing file name of {0} bytes is over the limit of {MAX_BACKING_BYTES}")]
    BackingLength(u32),
    #[error("cluster_bits {0} is not in 9..=21")]
    ClusterBits(u32),
    #[error("cluster_bits {0} is not in 14..=21, as extended L2 entries need")]
    SubclusterBits(u32),
    #[error(transparent)]
    State(StateError),
    #[error("the image is encrypted (method {0})")]
    Encrypted(u32),
    #[error("the {name} offset {offset} is no multiple of the cluster size of {cluster_bytes}")]
    Unaligned { name: &'static str, offset: u64, cluster_bytes: u64 },
    #[error("a refcount table of {0} bytes is over the limit of {MAX_REFCOUNT_TABLE_BYTES}")]
    RefcountTable(u64),
    #[error("{0} snapshots are over the limit of {MAX_SNAPSHOTS}")]
    Snapshots(u32),
    #[error("incompatible feature bit {0} is not known")]
    Feature(u32),
    #[error(
        "a header length of {0} bytes is none of 104 and more, in steps of 8, inside cluster 0"
    )]
    HeaderLength(u32),
    #[error("refcount order {0} is over 6")]
    RefcountOrder(u32),
    #[error("compression type {0} contradicts incompatible feature bit 3")]
    Compression(u8),
    #[error("compression type {0} is none of 0 (zlib) and 1 (zstd)")]
    CompressionType(u8),
}

impl HeaderError {
    /// The kind of error, and the byte that it is about.
    fn place(&self) -> (Kind, u64) {
        match self {
            Self::Short(_) | Self::Magic => (Kind::Malformed, 0),
            Self::Version(_) => (Kind::Unsupported, 4),
            Self::BackingOutside { .. } => (Kind::Malformed, 8),
            Self::BackingLength(_) => (Kind::Limit, 16),
            Self::ClusterBits(_) | Self::SubclusterBits(_) => (Kind::Malformed, 20),
            Self::State(leaf) => (leaf.kind(), state_field(leaf)),
            Self::Encrypted(_) => (Kind::Denied, 32),
            Self::Unaligned { name: "snapshot table", .. } => (Kind::Malformed, 64),
            Self::Unaligned { .. } => (Kind::Malformed, 48),
            Self::RefcountTable(_) => (Kind::Limit, 56),
            Self::Snapshots(_) => (Kind::Limit, 60),
            Self::Feature(_) => (Kind::Unsupported, 72),
            Self::RefcountOrder(_) => (Kind::Malformed, 96),
            Self::HeaderLength(_) => (Kind::Malformed, 100),
            Self::Compression(_) => (Kind::Malformed, 104),
            Self::CompressionType(_) => (Kind::Unsupported, 104),
        }
    }
}

/// The byte of the header that a number of the active state stands at.
fn state_field(leaf: &StateError) -> u64 {
    match leaf {
        StateError::Size(_) => 24,
        StateError::L1Limit(_) | StateError::L1Short { .. } => 36,
        StateError::L1Unaligned { .. } => 40,
    }
}

impl From<HeaderError> for Error {
    fn from(leaf: HeaderError) -> Self {
        let (kind, at) = leaf.place();
        Self::new(kind, leaf).at(at)
    }
}

impl Header {
    /// Decodes and validates the header; `bytes` are the first bytes of the file, at most a cluster
    /// of the largest size.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        Ok(Self::decode(bytes).and_then(|header| header.checked(bytes))?)
    }

    /// The cluster size in bytes, of which the first 24 bytes of a file tell already.
    pub(super) fn cluster_bytes_at(start: &[u8]) -> Result<u64, Error> {
        if !start.starts_with(MAGIC) {
            return Err(HeaderError::Magic.into());
        }
        let bits = be32(start, 20).ok_or(HeaderError::Short(start.len()))?;
        check_cluster_bits(bits)?;
        Ok(1 << (bits & 63))
    }

    /// Layout: "Header".
    fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let short = || HeaderError::Short(bytes.len());
        let u32_at = |at| be32(bytes, at).ok_or_else(short);
        let u64_at = |at| be64(bytes, at).ok_or_else(short);
        if !bytes.starts_with(MAGIC) {
            return Err(HeaderError::Magic);
        }
        let version = u32_at(4)?;
        let modern = match version {
            2 => false,
            3 => true,
            _ => return Err(HeaderError::Version(version)),
        };
        let crypt = u32_at(32)?;
        if crypt != 0 {
            return Err(HeaderError::Encrypted(crypt));
        }
        let active = State {
            size_bytes: u64_at(24)?,
            l1_offset_bytes: u64_at(40)?,
            l1_entries: u32_at(36)?,
        };
        Ok(Self {
            version,
            cluster_bits: u32_at(20)?,
            active,
            backing: None,
            refcount_offset_bytes: u64_at(48)?,
            refcount_clusters: u32_at(56)?,
            refcount_order: if modern { u32_at(96)? } else { V2_REFCOUNT_ORDER },
            snapshots: u32_at(60)?,
            snapshots_offset_bytes: u64_at(64)?,
            incompatible: if modern { u64_at(72)? } else { 0 },
            autoclear: if modern { u64_at(88)? } else { 0 },
            codec: Codec::Deflate,
            header_bytes: if modern { u32_at(100)? } else { V2_HEADER_BYTES },
        })
    }

    /// Checks every field, and reads those whose place depends on others.
    fn checked(mut self, bytes: &[u8]) -> Result<Self, HeaderError> {
        check_cluster_bits(self.cluster_bits)?;
        if self.refcount_order > 6 {
            return Err(HeaderError::RefcountOrder(self.refcount_order));
        }
        if self.version == 3 {
            self.check_features()?;
            self.codec = self.compression(bytes)?;
        }
        self.active.check(&self).map_err(HeaderError::State)?;
        self.check_tables()?;
        self.backing = self.read_backing(bytes)?;
        Ok(self)
    }

    fn check_features(&self) -> Result<(), HeaderError> {
        let unknown =
            self.incompatible & !(DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2);
        if unknown != 0 {
            return Err(HeaderError::Feature(unknown.trailing_zeros()));
        }
        let length = self.header_bytes;
        let inside = u64::from(length) <= self.cluster_bytes();
        if length < V3_HEADER_BYTES || !length.is_multiple_of(8) || !inside {
            return Err(HeaderError::HeaderLength(length));
        }
        if self.has_subclusters() && self.cluster_bits < 14 {
            return Err(HeaderError::SubclusterBits(self.cluster_bits));
        }
        Ok(())
    }

    fn compression(&self, bytes: &[u8]) -> Result<Codec, HeaderError> {
        let is_there = self.header_bytes > V3_HEADER_BYTES;
        let kind = if is_there { bytes.get(104).copied().unwrap_or(0) } else { 0 };
        if (kind != 0) != (self.incompatible & COMPRESSION != 0) {
            return Err(HeaderError::Compression(kind));
        }
        match kind {
            0 => Ok(Codec::Deflate),
            1 => Ok(Codec::Zstd),
            _ => Err(HeaderError::CompressionType(kind)),
        }
    }

    fn check_tables(&self) -> Result<(), HeaderError> {
        if self.snapshots > MAX_SNAPSHOTS {
            return Err(HeaderError::Snapshots(self.snapshots));
        }
        let (refcounts, refcount_bytes) = self.refcount_table();
        if refcount_bytes > MAX_REFCOUNT_TABLE_BYTES {
            return Err(HeaderError::RefcountTable(refcount_bytes));
        }
        let cluster_bytes = self.cluster_bytes();
        let snapshots = if self.snapshots == 0 { 0 } else { self.snapshots_offset_bytes };
        for (name, offset) in [("refcount table", refcounts), ("snapshot table", snapshots)] {
            if !offset.is_multiple_of(cluster_bytes) {
                return Err(HeaderError::Unaligned { name, offset, cluster_bytes });
            }
        }
        Ok(())
    }

    /// A name without a place, or without a length, is none: so QEMU reads it.
    fn read_backing(&self, bytes: &[u8]) -> Result<Option<Backing>, HeaderError> {
        let offset = be64(bytes, 8).unwrap_or_default();
        let len = be32(bytes, 16).unwrap_or_default();
        if offset == 0 || len == 0 {
            return Ok(None);
        }
        if len > MAX_BACKING_BYTES {
            return Err(HeaderError::BackingLength(len));
        }
        let outside = || HeaderError::BackingOutside { offset, len };
        let end = offset.checked_add(u64::from(len)).filter(|end| *end <= self.cluster_bytes());
        let range = offset..end.ok_or_else(outside)?;
        let name = bytes.get(buffer_len(range.start)..buffer_len(range.end));
        let name = name.ok_or_else(outside)?;
        let name = FileName::decoded(&String::from_utf8_lossy(name), name);
        Ok(Some(Backing { name, range }))
    }

    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// The state that the guest would see.
    pub(super) fn active(&self) -> &State {
        &self.active
    }

    /// The name of the backing file, as it is written there.
    pub(super) fn backing(&self) -> Option<&FileName> {
        self.backing.as_ref().map(|backing| &backing.name)
    }

    /// Where the name of the backing file stands, in bytes of the file.
    pub(super) fn backing_range(&self) -> Option<Range<u64>> {
        self.backing.as_ref().map(|backing| backing.range.clone())
    }

    /// The autoclear feature bits.
    pub(super) fn autoclear(&self) -> u64 {
        self.autoclear
    }

    /// A power of two in 512 bytes ..= 2 MiB.
    pub(super) fn cluster_bytes(&self) -> u64 {
        1 << (self.cluster_bits & 63)
    }

    pub(super) fn cluster_bits(&self) -> u32 {
        self.cluster_bits
    }

    /// How clusters are compressed, where they are.
    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether the guest's clusters lie in another file.
    pub(super) fn has_data_file(&self) -> bool {
        self.incompatible & DATA_FILE != 0
    }

    /// Whether L2 entries are extended: a cluster then has 32 subclusters.
    pub(super) fn has_subclusters(&self) -> bool {
        self.incompatible & EXTENDED_L2 != 0
    }

    /// Whether the image was not closed, so that its reference counts may be wrong.
    pub(super) fn is_dirty(&self) -> bool {
        self.incompatible & DIRTY != 0
    }

    /// Whether the bitmaps that an extension names are in use.
    pub(super) fn has_bitmaps(&self) -> bool {
        self.autoclear & BITMAPS != 0
    }

    /// The bytes of an L2 entry: 8, or 16 with subclusters.
    pub(super) fn entry_bytes(&self) -> u64 {
        if self.has_subclusters() { 16 } else { 8 }
    }

    /// The entries of an L2 table.
    pub(super) fn l2_entries(&self) -> u64 {
        self.cluster_bytes().checked_div(self.entry_bytes()).unwrap_or_default()
    }

    /// The guest bytes that one L2 table describes.
    pub(super) fn l2_span_bytes(&self) -> u64 {
        self.cluster_bytes().saturating_mul(self.l2_entries())
    }

    /// The number of snapshots and where their table is.
    pub(super) fn snapshots(&self) -> (u32, u64) {
        (self.snapshots, self.snapshots_offset_bytes)
    }

    /// The first byte of the refcount table and its length.
    pub(super) fn refcount_table(&self) -> (u64, u64) {
        let len_bytes = u64::from(self.refcount_clusters).saturating_mul(self.cluster_bytes());
        (self.refcount_offset_bytes, len_bytes)
    }

    /// The base-2 logarithm of the bits of a reference count: 0..=6.
    pub(super) fn refcount_order(&self) -> u32 {
        self.refcount_order
    }

    /// Where the header extensions begin.
    pub(super) fn header_bytes(&self) -> u64 {
        u64::from(self.header_bytes)
    }

    /// Where the header extensions end at the latest.
    pub(super) fn extensions_end_bytes(&self) -> u64 {
        self.backing.as_ref().map_or(self.cluster_bytes(), |backing| backing.range.start)
    }

    /// The warnings that the feature bits ask for.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        [
            (DIRTY, "the image was not closed: its reference counts may be wrong"),
            (CORRUPT, "the image is marked as damaged; every table entry is checked"),
        ]
        .into_iter()
        .filter(|(bit, _)| self.incompatible & bit != 0)
        .map(|(_, message)| Warning::defect(72, message))
        .collect()
    }
}

fn check_cluster_bits(bits: u32) -> Result<(), HeaderError> {
    if (9..=21).contains(&bits) { Ok(()) } else { Err(HeaderError::ClusterBits(bits)) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The header of an image of 1 GiB, version 3, whose L1 table is cluster 3.
    pub(in crate::qcow2) fn good() -> Vec<u8> {
        let mut b = vec![0; 65536];
        b[..4].copy_from_slice(MAGIC);
        put32(&mut b, 4, 3);
        put32(&mut b, 20, 16);
        put64(&mut b, 24, 1 << 30);
        put32(&mut b, 36, 2);
        put64(&mut b, 40, 0x30000);
        put64(&mut b, 48, 0x10000);
        put32(&mut b, 56, 1);
        put32(&mut b, 96, 4);
        put32(&mut b, 100, 112);
        b
    }

    pub(in crate::qcow2) fn put32(bytes: &mut [u8], at: usize, value: u32) {
        bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    pub(in crate::qcow2) fn put64(bytes: &mut [u8], at: usize, value: u64) {
        bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }

    #[test]
    fn reads_every_field() {
        let header = Header::parse(&good()).unwrap();
        assert_eq!((header.version(), header.cluster_bytes()), (3, 65536));
        assert_eq!((header.active().needed_l1_entries(&header), header.l2_entries()), (2, 8192));
        assert_eq!((header.codec(), header.backing()), (Codec::Deflate, None));
        assert_eq!(header.refcount_table(), (0x10000, 65536));
        assert_eq!(header.warnings(), []);
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        for (at, value, want) in [
            (0, 0, "the magic number is not QFI\\xfb, at byte 0"),
            (4, 1, "qcow2 version 1 is none of 2 and 3, at byte 4"),
            (20, 8, "cluster_bits 8 is not in 9..=21, at byte 20"),
            (20, 200, "cluster_bits 200 is not in 9..=21, at byte 20"),
            (
                24,
                1 << 24,
                "a virtual size of 72057595111669760 bytes is over the limit of 70368744177664 bytes, at byte 24",
            ),
            (32, 2, "the image is encrypted (method 2), at byte 32"),
            (
                36,
                0x7fff_ffff,
                "an L1 table of 2147483647 entries is over the limit of 4194304, at byte 36",
            ),
            (36, 1, "an L1 table of 1 entries, the virtual size needs 2, at byte 36"),
            (
                44,
                0x30200,
                "the L1 table offset 197120 is no multiple of the cluster size of 65536, at byte 40",
            ),
            (
                52,
                1,
                "the refcount table offset 1 is no multiple of the cluster size of 65536, at byte 48",
            ),
            (56, 129, "a refcount table of 8454144 bytes is over the limit of 8388608, at byte 56"),
            (60, 65537, "65537 snapshots are over the limit of 65536, at byte 60"),
            (72, 1 << 28, "incompatible feature bit 60 is not known, at byte 72"),
            (76, 8, "compression type 0 contradicts incompatible feature bit 3, at byte 104"),
            (96, 7, "refcount order 7 is over 6, at byte 96"),
            (
                100,
                108,
                "a header length of 108 bytes is none of 104 and more, in steps of 8, inside cluster 0, at byte 100",
            ),
            (
                104,
                1 << 24,
                "compression type 1 contradicts incompatible feature bit 3, at byte 104",
            ),
        ] {
            let mut b = good();
            put32(&mut b, at, value);
            assert_eq!(Header::parse(&b).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn knows_the_features_of_version_3() {
        let mut b = good();
        put32(&mut b, 36, 4);
        put32(&mut b, 76, 4 | 8 | 16);
        put64(&mut b, 88, 1);
        b[104] = 1;
        let header = Header::parse(&b).unwrap();
        assert_eq!((header.codec(), header.l2_entries()), (Codec::Zstd, 4096));
        assert!(header.has_data_file() && header.has_subclusters() && header.has_bitmaps());
        b[104] = 2;
        let want = "compression type 2 is none of 0 (zlib) and 1 (zstd), at byte 104";
        assert_eq!(Header::parse(&b).unwrap_err().to_string(), want);
        put32(&mut b, 20, 13);
        let want = "cluster_bits 13 is not in 14..=21, as extended L2 entries need, at byte 20";
        assert_eq!(Header::parse(&b).unwrap_err().to_string(), want);
    }

    #[test]
    fn reads_the_name_of_the_backing_file_or_says_why_not() {
        let mut b = good();
        put64(&mut b, 8, 65536 - 8);
        put32(&mut b, 16, 8);
        b[65536 - 8..].copy_from_slice(b"base.raw");
        let header = Header::parse(&b).unwrap();
        assert_eq!(header.backing().map(FileName::text), Some("base.raw"));
        assert_eq!(header.extensions_end_bytes(), 65536 - 8);
        for (at, value, want) in [
            (
                16,
                9,
                "a backing file name of 9 bytes at byte 65528 is not inside cluster 0, at byte 8",
            ),
            (16, 1024, "a backing file name of 1024 bytes is over the limit of 1023, at byte 16"),
            (
                8,
                1,
                "a backing file name of 8 bytes at byte 4295032824 is not inside cluster 0, at byte 8",
            ),
        ] {
            let mut b = b.clone();
            put32(&mut b, at, value);
            assert_eq!(Header::parse(&b).unwrap_err().to_string(), want);
        }
        put32(&mut b, 16, 0);
        assert_eq!(Header::parse(&b).unwrap().backing(), None);
    }

    #[test]
    fn refuses_a_header_cut_at_any_length() {
        for len in 0..104 {
            assert!(Header::parse(&good()[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn warns_of_an_image_that_was_not_closed_or_is_damaged() {
        let mut b = good();
        put32(&mut b, 76, 3);
        assert_eq!(Header::parse(&b).unwrap().warnings().len(), 2);
    }
}
