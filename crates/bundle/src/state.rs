//! Which state of an image something stands on.

use blake3::Hasher;
use disk::{ReadAt, qcow2};
use serde::{Deserialize, Serialize};

use crate::Result;

/// How much is read at once.
const STEP_BYTES: u64 = 64 << 10;

/// What tells one state of a qcow2 image from another without reading the disk.
///
/// A cluster that is given out, taken back or moved changes the L1 table or the length of the file
/// sooner or later; bytes that are written over in place do not show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageState {
    /// The size of the guest's disk.
    pub capacity_bytes: u64,
    /// The length of the file.
    pub length_bytes: u64,
    /// BLAKE3 over the first cluster and the L1 table, in hexadecimal.
    pub fingerprint: String,
}

impl ImageState {
    /// Takes the state of an image.
    ///
    /// # Errors
    /// It is no sound qcow2, or cannot be read.
    pub fn of(bytes: &dyn ReadAt) -> Result<Self> {
        let roots = qcow2::roots(bytes)?;
        let mut hasher = Hasher::new();
        for range in [roots.head, roots.l1] {
            let mut at = range.start;
            while at < range.end {
                let length = range.end.saturating_sub(at).min(STEP_BYTES);
                let mut part = vec![0; usize::try_from(length).unwrap_or(0)];
                bytes.read_exact_at(&mut part, at)?;
                hasher.update(&part);
                at = at.saturating_add(length);
            }
        }
        Ok(Self {
            capacity_bytes: roots.capacity_bytes,
            length_bytes: bytes.len_bytes(),
            fingerprint: hasher.finalize().to_hex().to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Qcow2, Qcow2Cluster};

    #[test]
    fn another_name_in_the_header_or_another_table_is_another_state() {
        let image = || Qcow2::new(1 << 20).cluster(0, Qcow2Cluster::Data(vec![1; 65536]));
        let first = ImageState::of(&image().build().bytes).unwrap();
        assert_eq!(ImageState::of(&image().build().bytes).unwrap(), first);
        assert_eq!(first.capacity_bytes, 1 << 20);
        let renamed = image().backing("x", Some("qcow2")).build().bytes;
        assert_ne!(ImageState::of(&renamed).unwrap().fingerprint, first.fingerprint);
        let mut moved = image().build().bytes;
        let l1 = usize::try_from(u64::from_be_bytes(moved[40..48].try_into().unwrap())).unwrap();
        moved[l1 + 7] ^= 1;
        assert_ne!(ImageState::of(&moved).unwrap().fingerprint, first.fingerprint);
        assert!(ImageState::of(&b"no image".to_vec()).is_err());
    }
}
