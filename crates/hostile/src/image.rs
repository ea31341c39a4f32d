//! A disk image, read as a copy and as a check read it.

use std::sync::Arc;

use disk::{Declared, Extent, ExtentKind, Format, Image, Result, Unheard, Workbench};

/// The most guest bytes that are decoded: enough for every path through a decoder, and little enough
/// for a mutation to take less than a millisecond.
const MAX_DECODED_BYTES: u64 = 1 << 20;

/// The most extents that are looked at.
const MAX_EXTENTS: usize = 4096;

/// The most guest bytes that are read once more, as a guest reads them.
const MAX_COMPARED_BYTES: u64 = 64 << 10;

/// How a guest reads here: in steps that fit no sector and no grain.
const STEP: usize = 10_007;

/// The most that is read of zeros, once more.
const MAX_ZEROS_BYTES: u64 = 700;

/// Opens an image of a stated format that stands alone.
///
/// # Errors
///
/// Those of the image.
pub(crate) fn open(bytes: &[u8], format: Format) -> Result<Box<dyn Image>> {
    disk::open(Arc::new(bytes.to_vec()), Declared::Stated(format))
}

/// Decodes some of an image, if it was opened, and checks it whole.
///
/// # Panics
///
/// When what the image says of itself does not hold together, or a check calls it sound though it
/// cannot be read. To refuse it is a right answer, and so is to read it.
pub(crate) fn judge(opened: Result<Box<dyn Image>>) {
    let Ok(image) = opened else { return };
    let read = extents(&*image);
    let checked = disk::check(&*image, &Unheard);
    if let (Err(error), Ok(report)) = (read, checked) {
        assert!(!report.faults.is_empty(), "a check finds nothing, and yet: {error}");
    }
}

/// Walks the image as a copy does.
///
/// # Panics
///
/// When the extents have a gap, name a file that is none, or do not end with the capacity; and when
/// another way to read has other bytes.
#[expect(clippy::panic_in_result_fn, reason = "an image may fail, its iterator may not lie")]
fn extents(image: &dyn Image) -> Result<()> {
    let (mut end, mut decoded, mut compared) = (0, 0, 0);
    let (mut bench, mut out) = (Workbench::new(), Vec::new());
    let mut count = 0;
    for extent in image.extents().take(MAX_EXTENTS) {
        let extent = extent?;
        assert_eq!(extent.start_bytes, end, "no gap, no overlap");
        assert!(extent.len_bytes > 0, "an extent of no bytes at byte {end}");
        assert!((extent.file as usize) < image.files().len(), "no file {}", extent.file);
        end += extent.len_bytes;
        count += 1;
        assert!(end <= image.capacity_bytes(), "extents that end within the capacity");
        let shown = shown(&extent);
        if decoded + shown.len_bytes > MAX_DECODED_BYTES {
            continue;
        }
        decoded += shown.len_bytes;
        out.resize(usize::try_from(shown.len_bytes).expect("under the limit"), 0xee);
        image.read_extent(&shown, &mut bench, &mut out)?;
        if compared < MAX_COMPARED_BYTES {
            compared += shown.len_bytes;
            assert_reads_as(image, &out, extent.start_bytes);
        }
    }
    assert!(count == MAX_EXTENTS || end == image.capacity_bytes(), "extents end at byte {end}");
    Ok(())
}

/// What is read of an extent: all that can only be decoded whole, and a little of zeros.
fn shown(extent: &Extent) -> Extent {
    match extent.kind {
        ExtentKind::Zero | ExtentKind::Hole => extent.split(MAX_ZEROS_BYTES).0,
        _ => *extent,
    }
}

/// Reads as a guest does what was decoded from byte `start` on.
fn assert_reads_as(image: &dyn Image, decoded: &[u8], start: u64) {
    let mut step = [0xee; STEP];
    let compared = usize::try_from(MAX_COMPARED_BYTES).expect("under the limit");
    for (at, part) in
        (start..).step_by(STEP).zip(decoded[..decoded.len().min(compared)].chunks(STEP))
    {
        let step = &mut step[..part.len()];
        image.read_at(step, at).unwrap_or_else(|error| panic!("decoded, but not read: {error}"));
        assert!(*step == *part, "byte {at}: other bytes are read than were decoded");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Feed, chain, cowd, qcow2, sesparse, vdi, vhd, vhdx, vmdk_descriptor, vmdk_sparse,
        vmdk_stream,
    };

    type Open = fn(&[u8]) -> Result<Box<dyn Image>>;

    const FEEDS: &[(Feed, Open)] = &[
        (vmdk_descriptor::VMDK_DESCRIPTOR, vmdk_descriptor::open),
        (vmdk_sparse::VMDK_SPARSE, vmdk_sparse::open),
        (vmdk_stream::VMDK_STREAM, vmdk_stream::open),
        (cowd::COWD, cowd::open),
        (sesparse::SESPARSE, sesparse::open),
        (vhd::VHD, vhd::open),
        (vhdx::VHDX, vhdx::open),
        (vdi::VDI, vdi::open),
        (qcow2::QCOW2, qcow2::open),
        (chain::CHAIN, chain::open),
    ];

    #[test]
    fn every_seed_is_a_sound_image() {
        for (feed, open) in FEEDS {
            for (number, seed) in (feed.seeds)().iter().enumerate() {
                let image = open(seed).unwrap_or_else(|error| panic!("{}: {error}", feed.name));
                extents(&*image).unwrap();
                let report = disk::check(&*image, &Unheard).unwrap();
                assert_eq!(report.faults, [], "{} {number}", feed.name);
                assert!(report.data_bytes > 0, "{} {number}", feed.name);
            }
        }
    }

    #[test]
    fn right_checksums_stay_right() {
        for (feed, _) in FEEDS {
            let Some(seal) = feed.seal else { continue };
            for seed in (feed.seeds)() {
                let mut sealed = seed.clone();
                seal(&mut sealed);
                assert!(sealed == seed, "{}: a seed has other sums", feed.name);
            }
        }
    }
}
