//! Any disk, built as an image by code that reads none, is what the reader of its format reads.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod alone;
mod chains;
mod extents;
mod flips;
mod qcow2;

use disk::{Image, Unheard, check};
use testkit::{read_extents, read_in_steps};

/// Reads an image in every way there is and compares it with the disk that it was made of.
#[track_caller]
fn assert_reads_as(image: &dyn Image, disk: &[u8], what: &str) {
    assert_eq!(image.capacity_bytes(), disk.len() as u64, "{what}: the capacity");
    assert_eq!(image.warnings(), [], "{what}");
    assert!(read_extents(image).unwrap() == disk, "{what}: another disk, read by extents");
    assert!(read_in_steps(image).unwrap() == disk, "{what}: another disk, read in steps");
    let report = check(image, &Unheard).unwrap();
    assert_eq!(report.faults, [], "{what}");
}
