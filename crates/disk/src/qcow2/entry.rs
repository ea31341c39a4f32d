//! L2 entries: where the bytes of a cluster are.

use std::ops::Range;

use crate::{
    ExtentKind,
    fields::{be64, buffer_len},
    qcow2::{
        header::{COPIED, Header, SUBCLUSTERS},
        l1::OFFSET_MASK,
    },
    workbench::InflateError,
};

/// The unit of the length of a compressed cluster.
const SECTOR_BYTES: u64 = 512;

/// An entry whose cluster is compressed.
const COMPRESSED: u64 = 1 << 62;

/// An entry whose cluster reads as zeros (version 3, without subclusters).
const ZERO: u64 = 1;

/// The bits of an entry of a plain cluster that must be zero; bit 0 is reserved in version 2, and
/// where there are subclusters.
const RESERVED: u64 = !(OFFSET_MASK | COPIED | COMPRESSED | ZERO);

/// An L2 entry as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where the cluster is.
    word: u64,
    /// Which subclusters are allocated (bits 0..=31) and which are zeros (bits 32..=63); 0 where
    /// there are none.
    bitmap: u64,
}

/// Where the bytes of a cluster are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cluster {
    /// In one place.
    Whole(ExtentKind),
    /// Each subcluster for itself.
    Parts(Subclusters),
}

/// The subclusters of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subclusters {
    /// Where the cluster is; it means nothing when no subcluster is allocated.
    offset_bytes: u64,
    bitmap: u64,
    subcluster_bytes: u64,
}

/// The lengths of the files that entries point into.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileLengths {
    /// Of the image.
    pub(super) image_bytes: u64,
    /// Of the file that has the guest's clusters: the image, or its data file.
    pub(super) data_bytes: u64,
}

/// What is wrong with an L2 entry or its cluster.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClusterError {
    #[error("cluster {0}: its L2 entry is {1:#018x}: reserved bits are set, or it is not aligned")]
    Entry(u64, u64),
    #[error("cluster {index}: it starts at byte {offset}, the file has {file_bytes}")]
    Outside { index: u64, offset: u64, file_bytes: u64 },
    #[error("cluster {index}: byte {offset} is part of a table or of another cluster")]
    Shared { index: u64, offset: u64 },
    #[error("cluster {0} and those behind it lie too far apart to note which are used twice")]
    Scattered(u64),
    #[error("cluster {0}: its bitmap is {1:#018x}: a subcluster is both allocated and zero")]
    Contradiction(u64, u64),
    #[error("cluster {0}: its bitmap is {1:#018x}: subclusters are allocated, the cluster is not")]
    Unplaced(u64, u64),
    #[error("cluster {0}: its bitmap is {1:#018x}, that of a compressed cluster must be 0")]
    CompressedBitmap(u64, u64),
    #[error("cluster {0} is compressed, which none can be in an image with a data file")]
    CompressedOutside(u64),
    #[error("cluster {0}: {1}")]
    Inflate(u64, InflateError),
}

impl Entry {
    /// Entry `slot` of a table.
    pub(super) fn read(table: &[u8], slot: u64, header: &Header) -> Self {
        let at = buffer_len(slot.saturating_mul(header.entry_bytes()));
        let raw = table.get(at..).unwrap_or_default();
        let bitmap = if header.has_subclusters() { be64(raw, 8) } else { None };
        Self { word: be64(raw, 0).unwrap_or_default(), bitmap: bitmap.unwrap_or_default() }
    }

    /// Decodes the entry of cluster `index`.
    ///
    /// Layout: "Cluster mapping", the standard, compressed and extended cluster descriptor.
    pub(super) fn decode(
        self,
        header: &Header,
        index: u64,
        files: FileLengths,
    ) -> Result<Cluster, ClusterError> {
        if self.word & COMPRESSED != 0 {
            return self.compressed(header, index, files.image_bytes);
        }
        let offset_bytes = self.word & OFFSET_MASK;
        let may_be_zero = header.version() > 2 && !header.has_subclusters();
        let zero = self.word & ZERO != 0;
        let aligned = offset_bytes.is_multiple_of(header.cluster_bytes());
        if self.word & RESERVED != 0 || !aligned || zero && !may_be_zero {
            return Err(ClusterError::Entry(index, self.word));
        }
        // In a data file the first cluster is a place like any other; COPIED tells it from none.
        let placed = offset_bytes != 0 || header.has_data_file() && self.word & COPIED != 0;
        let parts = Subclusters::new(offset_bytes, self.bitmap, header);
        if header.has_subclusters() {
            parts.check(placed, index)?;
        }
        let is_read = !zero && placed && (!header.has_subclusters() || parts.is_read());
        if is_read && offset_bytes >= files.data_bytes {
            let file_bytes = files.data_bytes;
            return Err(ClusterError::Outside { index, offset: offset_bytes, file_bytes });
        }
        Ok(match () {
            () if header.has_subclusters() => Cluster::Parts(parts),
            () if zero => Cluster::Whole(ExtentKind::Zero),
            () if placed => Cluster::Whole(ExtentKind::Data { offset_bytes }),
            () => Cluster::Whole(ExtentKind::Hole),
        })
    }

    fn compressed(
        self,
        header: &Header,
        index: u64,
        file_bytes: u64,
    ) -> Result<Cluster, ClusterError> {
        if header.has_data_file() {
            return Err(ClusterError::CompressedOutside(index));
        }
        if self.bitmap != 0 {
            return Err(ClusterError::CompressedBitmap(index, self.bitmap));
        }
        let Range { start, end } = self.stored_bytes(header);
        let len_bytes = end.min(file_bytes).saturating_sub(start);
        if len_bytes == 0 {
            return Err(ClusterError::Outside { index, offset: start, file_bytes });
        }
        let (codec, offset_bytes) = (header.codec(), start);
        Ok(Cluster::Whole(ExtentKind::Stored { codec, offset_bytes, len_bytes }))
    }

    /// The bytes of the image that a compressed cluster may take.
    fn stored_bytes(self, header: &Header) -> Range<u64> {
        let bits = 70_u32.saturating_sub(header.cluster_bits());
        let start = self.word & low_bits(bits);
        let sectors = (self.word & low_bits(62)) >> bits;
        let first = start.saturating_sub(start % SECTOR_BYTES);
        start..first.saturating_add(sectors.saturating_add(1).saturating_mul(SECTOR_BYTES))
    }

    /// Whether the entry says that no other reference to its cluster exists.
    pub(super) fn is_copied(self) -> bool {
        self.word & (COPIED | COMPRESSED) == COPIED
    }

    /// The bytes of the image that the entry refers to, sound or not.
    ///
    /// Zeros can have a place, too: it is kept for what will be written there.
    pub(super) fn image_bytes(self, header: &Header) -> Option<Range<u64>> {
        if self.word & COMPRESSED != 0 {
            return Some(self.stored_bytes(header));
        }
        let start = self.word & OFFSET_MASK;
        let inside = start != 0 && !header.has_data_file();
        inside.then(|| start..start.saturating_add(header.cluster_bytes()))
    }
}

impl Subclusters {
    fn new(offset_bytes: u64, bitmap: u64, header: &Header) -> Self {
        let subcluster_bytes = header.cluster_bytes() / SUBCLUSTERS;
        Self { offset_bytes, bitmap, subcluster_bytes }
    }

    fn check(self, placed: bool, index: u64) -> Result<(), ClusterError> {
        if (self.bitmap >> 32) & self.bitmap & low_bits(32) != 0 {
            return Err(ClusterError::Contradiction(index, self.bitmap));
        }
        if self.is_read() && !placed {
            return Err(ClusterError::Unplaced(index, self.bitmap));
        }
        Ok(())
    }

    /// Whether any subcluster is allocated.
    fn is_read(self) -> bool {
        self.bitmap & low_bits(32) != 0
    }

    /// The place of the cluster, if any of its bytes are read from there.
    pub(super) fn place(self) -> Option<u64> {
        self.is_read().then_some(self.offset_bytes)
    }

    /// Runs of bytes of the cluster with one kind of content each.
    pub(super) fn runs(self) -> impl Iterator<Item = (Range<u64>, ExtentKind)> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let first = (next < SUBCLUSTERS).then_some(next)?;
            let kind = self.kind_of(first);
            while next < SUBCLUSTERS && self.kind_of(next) == kind {
                next = next.saturating_add(1);
            }
            let byte = |number: u64| number.saturating_mul(self.subcluster_bytes);
            let kind = match kind {
                Subcluster::Allocated => {
                    let offset_bytes = self.offset_bytes.saturating_add(byte(first));
                    ExtentKind::Data { offset_bytes }
                }
                Subcluster::Zero => ExtentKind::Zero,
                Subcluster::Unallocated => ExtentKind::Hole,
            };
            Some((byte(first)..byte(next), kind))
        })
    }

    fn kind_of(self, number: u64) -> Subcluster {
        let bit = |number: u64| (self.bitmap >> (number & 63)) & 1 != 0;
        match (bit(number), bit(number.saturating_add(SUBCLUSTERS))) {
            (true, _) => Subcluster::Allocated,
            (false, true) => Subcluster::Zero,
            (false, false) => Subcluster::Unallocated,
        }
    }
}

/// What the bitmap says of a subcluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subcluster {
    Allocated,
    Zero,
    Unallocated,
}

/// A mask of the `bits` lowest bits.
fn low_bits(bits: u32) -> u64 {
    1_u64.checked_shl(bits).map_or(u64::MAX, |bit| bit.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Codec,
        qcow2::header::tests::{good, put32},
    };

    const FILES: FileLengths = FileLengths { image_bytes: 0x50_0000, data_bytes: 0x50_0000 };

    /// A header with incompatible features.
    fn header(features: u32) -> Header {
        let mut bytes = good();
        put32(&mut bytes, 36, 4);
        put32(&mut bytes, 76, features);
        Header::parse(&bytes).unwrap()
    }

    fn decode(word: u64, bitmap: u64, features: u32) -> Result<Cluster, String> {
        let decoded = Entry { word, bitmap }.decode(&header(features), 5, FILES);
        decoded.map_err(|leaf| leaf.to_string())
    }

    #[test]
    fn tells_where_a_cluster_is() {
        let stored = |offset_bytes, len_bytes| ExtentKind::Stored {
            codec: Codec::Deflate,
            offset_bytes,
            len_bytes,
        };
        for (word, features, want) in [
            (0, 0, ExtentKind::Hole),
            (1, 0, ExtentKind::Zero),
            (COPIED | 0x3_0001, 0, ExtentKind::Zero),
            (COPIED | 0x3_0000, 0, ExtentKind::Data { offset_bytes: 0x3_0000 }),
            (0x3_0000, 0, ExtentKind::Data { offset_bytes: 0x3_0000 }),
            (COMPRESSED | 0x3_0100, 0, stored(0x3_0100, 256)),
            (COMPRESSED | 1 << 54 | 0x3_0100, 0, stored(0x3_0100, 768)),
            // No more than the file has.
            (COMPRESSED | 9 << 54 | 0x4f_ff00, 0, stored(0x4f_ff00, 256)),
            // In a data file byte 0 is a place.
            (0, 4, ExtentKind::Hole),
            (COPIED, 4, ExtentKind::Data { offset_bytes: 0 }),
        ] {
            assert_eq!(decode(word, 0, features), Ok(Cluster::Whole(want)), "{word:#x}");
        }
    }

    #[test]
    fn runs_of_subclusters_cover_the_cluster() {
        for bitmap in [0, 0xffff_ffff, 0xffff_ffff << 32, 0x0000_5555_aaaa_0000, 1, 1 << 63] {
            let Ok(Cluster::Parts(parts)) = decode(COPIED | 0x3_0000, bitmap, 16) else {
                panic!("{bitmap:#x}")
            };
            let mut end = 0;
            for (range, kind) in parts.runs() {
                assert_eq!(range.start, end);
                end = range.end;
                if let ExtentKind::Data { offset_bytes } = kind {
                    assert_eq!(offset_bytes, 0x3_0000 + range.start);
                }
            }
            assert_eq!(end, 65536, "{bitmap:#x}");
        }
    }

    #[test]
    fn names_what_no_entry_can_be() {
        for (word, bitmap, features, want) in [
            (1 << 58, 0, 0, "its L2 entry is 0x0400000000000000"),
            (COPIED | 0x3_0200, 0, 0, "its L2 entry is 0x8000000000030200"),
            (COPIED | 0x3_0001, 0, 16, "its L2 entry is 0x8000000000030001"),
            (COPIED | 0x50_0000, 0, 0, "it starts at byte 5242880, the file has 5242880"),
            (COPIED | 0x50_0000, 1, 16, "it starts at byte 5242880, the file has 5242880"),
            (COMPRESSED | 0x50_0000, 0, 0, "it starts at byte 5242880, the file has 5242880"),
            (COPIED | 0x3_0000, 1 << 32 | 1, 16, "its bitmap is 0x0000000100000001: a subcluster"),
            (0, 1, 16, "its bitmap is 0x0000000000000001: subclusters are allocated"),
            (COMPRESSED | 0x3_0000, 1, 16, "its bitmap is 0x0000000000000001, that of a"),
        ] {
            let error = decode(word, bitmap, features).unwrap_err();
            assert!(error.starts_with(&format!("cluster 5: {want}")), "{error}");
        }
        let error = decode(COMPRESSED | 0x3_0000, 0, 4).unwrap_err();
        assert_eq!(
            error,
            "cluster 5 is compressed, which none can be in an image with a data file"
        );
    }
}
