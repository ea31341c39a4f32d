//! The header and its extensions.

use crate::{
    Error, Warning,
    error::{Failure, Kind, MAX_CAPACITY_BYTES, shown},
    fields::{be32, be64},
};

/// The first four bytes.
pub(super) const MAGIC: &[u8; 4] = b"QFI\xfb";

/// An entry that has the only reference to its cluster.
pub(super) const COPIED: u64 = 1 << 63;

/// The largest L1 table: 32 MiB, QEMU's limit.
const MAX_L1_ENTRIES: u64 = (32 << 20) / 8;

/// The number of snapshots that QEMU allows.
const MAX_SNAPSHOTS: u32 = 65536;

/// The bytes of a header of version 2.
const V2_HEADER_BYTES: u32 = 72;

/// The least bytes of a header of version 3.
const V3_HEADER_BYTES: u32 = 104;

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

/// The extension that holds the name of an external data file.
const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
/// The extension that says where persistent bitmaps are.
const EXTENSION_BITMAPS: u32 = 0x2385_2875;

/// A validated header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    version: u32,
    cluster_bits: u32,
    size_bytes: u64,
    l1_entries: u32,
    l1_offset_bytes: u64,
    refcount_offset_bytes: u64,
    refcount_clusters: u32,
    snapshots: u32,
    snapshots_offset_bytes: u64,
    incompatible: u64,
    header_bytes: u32,
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
    #[error("the image needs the backing file '{0}'")]
    Backing(String),
    #[error("cluster_bits {0} is not in 9..=21")]
    ClusterBits(u32),
    #[error("a virtual size of {0} bytes is over the limit of {MAX_CAPACITY_BYTES} bytes")]
    Size(u64),
    #[error("the image is encrypted (method {0})")]
    Encrypted(u32),
    #[error("an L1 table of {0} entries is over the limit of {MAX_L1_ENTRIES}")]
    L1Limit(u64),
    #[error("an L1 table of {found} entries, the virtual size needs {needed}")]
    L1Short { found: u32, needed: u64 },
    #[error("the {name} offset {offset} is no multiple of the cluster size of {cluster_bytes}")]
    Unaligned { name: &'static str, offset: u64, cluster_bytes: u64 },
    #[error("{0} snapshots are over the limit of {MAX_SNAPSHOTS}")]
    Snapshots(u32),
    #[error("the image keeps its clusters in an external data file")]
    DataFile,
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
    #[error("header extension {kind:#010x} of {len} bytes is not inside cluster 0")]
    Extension { kind: u32, len: u32 },
}

impl HeaderError {
    /// The kind of error, and the byte that it is about.
    fn place(&self) -> (Kind, u64) {
        match self {
            Self::Short(_) | Self::Magic | Self::Extension { .. } => (Kind::Malformed, 0),
            Self::Version(_) => (Kind::Unsupported, 4),
            Self::Backing(_) => (Kind::Denied, 8),
            Self::ClusterBits(_) => (Kind::Malformed, 20),
            Self::Size(_) => (Kind::Limit, 24),
            Self::Encrypted(_) => (Kind::Denied, 32),
            Self::L1Limit(_) => (Kind::Limit, 36),
            Self::L1Short { .. } => (Kind::Malformed, 36),
            Self::Unaligned { .. } => (Kind::Malformed, 40),
            Self::Snapshots(_) => (Kind::Limit, 60),
            Self::DataFile => (Kind::Denied, 72),
            Self::Feature(_) => (Kind::Unsupported, 72),
            Self::RefcountOrder(_) => (Kind::Malformed, 96),
            Self::HeaderLength(_) => (Kind::Malformed, 100),
            Self::Compression(_) => (Kind::Malformed, 104),
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
    /// Decodes and validates the header; `bytes` are the first bytes of the file, at most a cluster
    /// of the largest size.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let short = || HeaderError::Short(bytes.len());
        let u32_at = |at| be32(bytes, at).ok_or_else(short);
        let u64_at = |at| be64(bytes, at).ok_or_else(short);
        if !bytes.starts_with(MAGIC) {
            return Err(HeaderError::Magic.into());
        }
        let version = u32_at(4)?;
        let modern = match version {
            2 => false,
            3 => true,
            _ => return Err(HeaderError::Version(version).into()),
        };
        let header = Self {
            version,
            cluster_bits: u32_at(20)?,
            size_bytes: u64_at(24)?,
            l1_entries: u32_at(36)?,
            l1_offset_bytes: u64_at(40)?,
            refcount_offset_bytes: u64_at(48)?,
            refcount_clusters: u32_at(56)?,
            snapshots: u32_at(60)?,
            snapshots_offset_bytes: u64_at(64)?,
            incompatible: if modern { u64_at(72)? } else { 0 },
            header_bytes: if modern { u32_at(100)? } else { V2_HEADER_BYTES },
        };
        if !(9..=21).contains(&header.cluster_bits) {
            return Err(HeaderError::ClusterBits(header.cluster_bits).into());
        }
        let (backing_offset, backing_bytes, crypt) = (u64_at(8)?, u32_at(16)?, u32_at(32)?);
        if backing_offset != 0 || backing_bytes != 0 {
            let name = usize::try_from(backing_offset).ok().and_then(|at| bytes.get(at..));
            let name = name.and_then(|name| name.get(..to_len(backing_bytes)));
            let name = String::from_utf8_lossy(name.unwrap_or_default());
            return Err(HeaderError::Backing(shown(&name)).into());
        }
        if crypt != 0 {
            return Err(HeaderError::Encrypted(crypt).into());
        }
        if modern {
            let order = u32_at(96)?;
            if order > 6 {
                return Err(HeaderError::RefcountOrder(order).into());
            }
            header.check_features(bytes)?;
        }
        header.check_sizes()?;
        Ok(header)
    }

    fn check_features(&self, bytes: &[u8]) -> Result<(), Error> {
        let unknown =
            self.incompatible & !(DIRTY | CORRUPT | DATA_FILE | COMPRESSION | EXTENDED_L2);
        if unknown != 0 {
            return Err(HeaderError::Feature(unknown.trailing_zeros()).into());
        }
        if self.incompatible & DATA_FILE != 0 {
            return Err(HeaderError::DataFile.into());
        }
        let length = self.header_bytes;
        let inside = u64::from(length) <= self.cluster_bytes();
        if length < V3_HEADER_BYTES || !length.is_multiple_of(8) || !inside {
            return Err(HeaderError::HeaderLength(length).into());
        }
        let compression =
            if length > V3_HEADER_BYTES { bytes.get(104).copied().unwrap_or(0) } else { 0 };
        if (compression != 0) != (self.incompatible & COMPRESSION != 0) {
            return Err(HeaderError::Compression(compression).into());
        }
        if compression != 0 {
            return Err(not_yet("a qcow2 image with zstd clusters", 104));
        }
        if self.incompatible & EXTENDED_L2 != 0 {
            return Err(not_yet("a qcow2 image with extended L2 entries", 72));
        }
        Ok(())
    }

    fn check_sizes(&self) -> Result<(), HeaderError> {
        if self.size_bytes > MAX_CAPACITY_BYTES {
            return Err(HeaderError::Size(self.size_bytes));
        }
        let found = self.l1_entries;
        let needed = self.needed_l1_entries();
        // An L1 may be longer than the disk needs: the state of a suspended machine lies behind it.
        if u64::from(found).max(needed) > MAX_L1_ENTRIES {
            return Err(HeaderError::L1Limit(u64::from(found).max(needed)));
        }
        if u64::from(found) < needed {
            return Err(HeaderError::L1Short { found, needed });
        }
        if self.snapshots > MAX_SNAPSHOTS {
            return Err(HeaderError::Snapshots(self.snapshots));
        }
        let cluster_bytes = self.cluster_bytes();
        for (name, offset) in
            [("L1 table", self.l1_offset_bytes), ("refcount table", self.refcount_offset_bytes)]
        {
            if !offset.is_multiple_of(cluster_bytes) {
                return Err(HeaderError::Unaligned { name, offset, cluster_bytes });
            }
        }
        Ok(())
    }

    /// Reads the header extensions and refuses the name of an external data file; says whether there
    /// are persistent bitmaps.
    pub(super) fn read_extensions(&self, cluster: &[u8]) -> Result<bool, Error> {
        let mut bitmaps = false;
        let mut rest = cluster.get(to_len(self.header_bytes)..).unwrap_or_default();
        while let (Some(kind), Some(len)) = (be32(rest, 0), be32(rest, 4)) {
            if kind == 0 {
                break;
            }
            let span = to_len(len).checked_next_multiple_of(8).and_then(|len| len.checked_add(8));
            let Some(behind) = span.and_then(|span| rest.get(span..)) else {
                return Err(HeaderError::Extension { kind, len }.into());
            };
            match kind {
                EXTENSION_DATA_FILE => return Err(HeaderError::DataFile.into()),
                EXTENSION_BITMAPS => bitmaps = true,
                _ => {}
            }
            rest = behind;
        }
        Ok(bitmaps)
    }

    pub(super) fn version(&self) -> u32 {
        self.version
    }

    /// A power of two in 512 bytes ..= 2 MiB.
    pub(super) fn cluster_bytes(&self) -> u64 {
        1 << (self.cluster_bits & 63)
    }

    pub(super) fn cluster_bits(&self) -> u32 {
        self.cluster_bits
    }

    /// The virtual size as the header says it, any number of bytes.
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The entries of an L2 table.
    pub(super) fn l2_entries(&self) -> u64 {
        self.cluster_bytes() / 8
    }

    /// The guest bytes that one L2 table describes.
    pub(super) fn l2_span_bytes(&self) -> u64 {
        self.cluster_bytes().saturating_mul(self.l2_entries())
    }

    /// The L1 entries that the virtual size needs.
    pub(super) fn needed_l1_entries(&self) -> u64 {
        self.size_bytes.div_ceil(self.l2_span_bytes().max(1))
    }

    pub(super) fn l1_offset_bytes(&self) -> u64 {
        self.l1_offset_bytes
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

fn not_yet(what: &'static str, at: u64) -> Error {
    Error::unsupported(Failure::NotYet(what)).at(at)
}

fn to_len(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
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
        assert_eq!((header.needed_l1_entries(), header.l2_entries()), (2, 8192));
        assert_eq!(header.refcount_table(), (0x10000, 65536));
        assert_eq!(header.warnings(), []);
        assert_eq!(header.read_extensions(&good()).map_err(|error| error.to_string()), Ok(false));
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        for (at, value, want) in [
            (0, 0, "the magic number is not QFI\\xfb, at byte 0"),
            (4, 1, "qcow2 version 1 is none of 2 and 3, at byte 4"),
            (16, 4, "the image needs the backing file 'QFI\u{fffd}', at byte 8"),
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
                "the refcount table offset 1 is no multiple of the cluster size of 65536, at byte 40",
            ),
            (60, 65537, "65537 snapshots are over the limit of 65536, at byte 60"),
            (72, 1 << 28, "incompatible feature bit 60 is not known, at byte 72"),
            (76, 4, "the image keeps its clusters in an external data file, at byte 72"),
            (76, 8, "compression type 0 contradicts incompatible feature bit 3, at byte 104"),
            (76, 16, "a qcow2 image with extended L2 entries is not read yet, at byte 72"),
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
        let mut b = good();
        put32(&mut b, 76, 8);
        b[104] = 1;
        let want = "a qcow2 image with zstd clusters is not read yet, at byte 104";
        assert_eq!(Header::parse(&b).unwrap_err().to_string(), want);
    }

    #[test]
    fn refuses_a_header_cut_at_any_length() {
        for len in 0..104 {
            assert!(Header::parse(&good()[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn walks_the_extensions_and_finds_a_data_file() {
        let mut b = good();
        put32(&mut b, 112, 0x6803_f857);
        put32(&mut b, 116, 3);
        put32(&mut b, 128, EXTENSION_BITMAPS);
        put32(&mut b, 132, 24);
        let header = Header::parse(&b).unwrap();
        assert!(header.read_extensions(&b).unwrap());
        put32(&mut b, 160, EXTENSION_DATA_FILE);
        put32(&mut b, 164, 1);
        let want = "the image keeps its clusters in an external data file, at byte 72";
        assert_eq!(header.read_extensions(&b).unwrap_err().to_string(), want);
        put32(&mut b, 132, u32::MAX);
        let want =
            "header extension 0x23852875 of 4294967295 bytes is not inside cluster 0, at byte 0";
        assert_eq!(header.read_extensions(&b).unwrap_err().to_string(), want);
    }

    #[test]
    fn warns_of_an_image_that_was_not_closed_or_is_damaged() {
        let mut b = good();
        put32(&mut b, 76, 3);
        assert_eq!(Header::parse(&b).unwrap().warnings().len(), 2);
    }
}
