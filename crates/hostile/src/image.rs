//! A disk image, read as a copy and as a check read it.

use std::sync::Arc;

use disk::{Declared, Error, ExtentKind, Image, Unheard, Workbench};

/// The most guest bytes that are decoded: enough for every path through a decoder, and little enough
/// for a mutation to take less than a millisecond.
const MAX_DECODED_BYTES: u64 = 1 << 20;

/// The most extents that are looked at.
const MAX_EXTENTS: usize = 4096;

/// Opens an image, decodes some of it, and checks it whole.
pub(crate) fn read(bytes: &[u8], declared: Declared) {
    let bytes = Arc::new(bytes.to_vec());
    let Ok(image) = disk::open(bytes, declared) else { return };
    // A damaged image is a right answer, and so is a sound one.
    drop(extents(&*image));
}

/// Walks the image as a copy does.
///
/// # Panics
///
/// When the extents have a gap, name a file that is none, or end beyond the capacity: an image may be
/// refused, what it says of itself has to hold together.
#[expect(clippy::panic_in_result_fn, reason = "an image may fail, its iterator may not lie")]
fn extents(image: &dyn Image) -> Result<(), Error> {
    let (mut end, mut decoded, mut bench, mut out) = (0, 0, Workbench::new(), Vec::new());
    for extent in image.extents().take(MAX_EXTENTS) {
        let extent = extent?;
        assert_eq!(extent.start_bytes, end, "no gap, no overlap");
        assert!(extent.len_bytes > 0, "an extent of no bytes at byte {end}");
        assert!((extent.file as usize) < image.files().len(), "no file {}", extent.file);
        end += extent.len_bytes;
        assert!(end <= image.capacity_bytes(), "extents that end within the capacity");
        if matches!(
            extent.kind,
            ExtentKind::Data { .. } | ExtentKind::Stored { .. } | ExtentKind::StoredPart { .. }
        ) && decoded + extent.len_bytes <= MAX_DECODED_BYTES
        {
            decoded += extent.len_bytes;
            out.resize(usize::try_from(extent.len_bytes).unwrap_or_default(), 0);
            image.read_extent(&extent, &mut bench, &mut out)?;
        }
    }
    disk::check(image, &Unheard).map(drop)
}
