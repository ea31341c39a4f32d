//! Guest bytes, read in every way that an image offers.

use disk::{Image, Result, Workbench};

/// Reads an image extent by extent, as a copy does.
///
/// # Errors
///
/// The first of the image.
///
/// # Panics
///
/// When the extents have a gap or an overlap, are empty, name a file that is none, or do not add up
/// to the capacity.
#[expect(clippy::panic_in_result_fn, reason = "an image may fail, its iterator may not lie")]
pub fn read_extents(image: &dyn Image) -> Result<Vec<u8>> {
    let (mut disk, mut bench) = (Vec::new(), Workbench::new());
    for extent in image.extents() {
        let extent = extent?;
        let start = disk.len();
        assert_eq!(extent.start_bytes, start as u64, "no gaps, no overlaps");
        assert!(extent.len_bytes > 0, "an extent of no bytes at byte {start}");
        assert!((extent.file as usize) < image.files().len(), "no file {}", extent.file);
        disk.resize(start + usize::try_from(extent.len_bytes).expect("a small disk"), 0xee);
        image.read_extent(&extent, &mut bench, &mut disk[start..])?;
    }
    assert_eq!(disk.len() as u64, image.capacity_bytes(), "the extents add up to the capacity");
    Ok(disk)
}

/// Reads an image in steps that fit no grain and no sector, as a guest might.
///
/// # Errors
///
/// The first of the image.
///
/// # Panics
///
/// When the image is too large for memory.
pub fn read_in_steps(image: &dyn Image) -> Result<Vec<u8>> {
    const STEP: usize = 100_003;
    let mut disk = vec![0xee; usize::try_from(image.capacity_bytes()).expect("a small disk")];
    for (at, part) in (0..).step_by(STEP).zip(disk.chunks_mut(STEP)) {
        image.read_at(part, at)?;
    }
    Ok(disk)
}
