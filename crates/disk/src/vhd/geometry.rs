//! The geometry that a footer states beside the size.

use std::fmt;

/// The unit of every disk.
const SECTOR_BYTES: u64 = 512;

/// The most cylinders of a VHD and of an ATA disk: a geometry that ends there says nothing. It stands
/// for "large", and in files of Disk2vhd and QEMU for "look at the size".
const CAPPED_CYLINDERS: [u16; 2] = [u16::MAX, 16_383];

/// Cylinders, heads, and sectors of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    cylinders: u16,
    heads: u8,
    sectors: u8,
}

impl Geometry {
    /// Takes bytes 56..60 of a footer.
    pub(super) fn new([high, low, heads, sectors]: [u8; 4]) -> Self {
        Self { cylinders: u16::from_be_bytes([high, low]), heads, sectors }
    }

    /// The size that the geometry has, where that is another size than `capacity_bytes`.
    ///
    /// A geometry is whole cylinders, so it differs from nearly every size by less than one; that
    /// says nothing, nor does one that is not filled in or that is at its maximum.
    pub(super) fn other_size(&self, capacity_bytes: u64) -> Option<u64> {
        let cylinder_bytes = u64::from(self.heads)
            .saturating_mul(u64::from(self.sectors))
            .saturating_mul(SECTOR_BYTES);
        let size_bytes = cylinder_bytes.saturating_mul(u64::from(self.cylinders));
        let capped = CAPPED_CYLINDERS.contains(&self.cylinders);
        let rounded = size_bytes.abs_diff(capacity_bytes) < cylinder_bytes;
        (size_bytes > 0 && !capped && !rounded).then_some(size_bytes)
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.cylinders, self.heads, self.sectors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_something_only_when_it_is_off_by_a_cylinder() {
        for (cylinders, heads, sectors, capacity_bytes, want) in [
            // The size of the specification's own calculation for 2 MiB, and one that is too small.
            (60, 4, 17, 2 << 20, None),
            (16, 4, 17, 2 << 20, Some(557_056)),
            (65_278, 16, 255, 136_365_211_648, None),
            // Rounded up, far too large, the two maxima, and nothing at all.
            (61, 4, 17, 2 << 20, None),
            (1024, 16, 63, 2 << 20, Some(528_482_304)),
            (65_535, 16, 255, 2 << 20, None),
            (65_535, 16, 255, 1 << 40, None),
            (16_383, 16, 63, 1 << 40, None),
            (0, 0, 0, 2 << 20, None),
        ] {
            let geometry = Geometry { cylinders, heads, sectors };
            assert_eq!(geometry.other_size(capacity_bytes), want, "{geometry}");
        }
    }
}
