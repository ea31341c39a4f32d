//! Where an image says what it holds.

use std::ops::Range;

use crate::{
    Error, ReadAt, Result,
    qcow2::{header::Header, open::front},
};

/// The parts of a file from which everything else in it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    /// The size of the guest's disk.
    pub capacity_bytes: u64,
    /// The first cluster: header, extensions, the name of the backing file.
    pub head: Range<u64>,
    /// The L1 table of the active state, at most 32 MiB.
    pub l1: Range<u64>,
}

#[derive(Debug, thiserror::Error)]
enum RootsError {
    #[error("{what} ends at byte {end}, the file has {file_bytes}")]
    Outside { what: &'static str, end: u64, file_bytes: u64 },
}

/// Finds the first cluster and the L1 table of an image; no other byte of it is read.
///
/// # Errors
///
/// The header is none, or one of the two is not inside the file.
pub fn roots(bytes: &dyn ReadAt) -> Result<Roots> {
    let (header, _) = front(bytes)?;
    let state = header.active();
    let l1 = state.l1_offset_bytes..end(state.l1_offset_bytes, state.needed_l1_bytes(&header));
    let roots = Roots { capacity_bytes: state.size_bytes, head: head(&header), l1 };
    let file_bytes = bytes.len_bytes();
    for (what, range) in [("the first cluster", &roots.head), ("the L1 table", &roots.l1)] {
        if range.end > file_bytes {
            let leaf = RootsError::Outside { what, end: range.end, file_bytes };
            return Err(Error::malformed(leaf).at(range.start));
        }
    }
    Ok(roots)
}

fn head(header: &Header) -> Range<u64> {
    0..header.cluster_bytes()
}

const fn end(start: u64, length_bytes: u64) -> u64 {
    start.saturating_add(length_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use testkit::{Qcow2, Qcow2Cluster};

    fn image() -> Vec<u8> {
        Qcow2::new(1 << 20).cluster(3, Qcow2Cluster::Data(vec![7; 65536])).build().bytes
    }

    #[test]
    fn tells_the_first_cluster_and_the_table_that_the_header_names() {
        let bytes = image();
        let found = roots(&bytes).unwrap();
        let l1 = u64::from_be_bytes(bytes[40..48].try_into().unwrap());
        assert_eq!(found, Roots { capacity_bytes: 1 << 20, head: 0..65536, l1: l1..l1 + 8 });
    }

    #[test]
    fn a_table_behind_the_end_of_the_file_is_refused() {
        let mut bytes = image();
        let length = bytes.len() as u64;
        let behind = length.next_multiple_of(65536);
        bytes[40..48].copy_from_slice(&behind.to_be_bytes());
        let want = format!(
            "the L1 table ends at byte {}, the file has {length}, at byte {behind}",
            behind + 8
        );
        assert_eq!(roots(&bytes).unwrap_err().to_string(), want);
        assert!(roots(&image()[..65535].to_vec()).is_err());
    }
}
