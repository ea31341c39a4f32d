//! Images of a backup become a file: one with its clusters as they are and another parent's name in its head,
//! or several as one, above what the lowest of them stands on.

use std::sync::Arc;

use convert::copy::{Settings, Summary, copy_image, verbatim};
use disk::{Compression, Format, Image, Progress, ReadAt, WriteAt, qcow2};

use crate::{Error, plan::NodeFile};

/// How much is compared at once.
const COMPARE_LEN: usize = 4 << 20;

/// The bytes that tell how long a head is.
const START_BYTES: u64 = 512;

/// Copies an image.
///
/// # Errors
/// The image cannot be read, its head cannot take the name, or the target takes no more.
pub(super) fn copy(
    bytes: &dyn ReadAt,
    node: &NodeFile,
    file: &dyn WriteAt,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    let unreadable = |source| Error::io("cannot read the image", source);
    let mut start = vec![0; usize::try_from(START_BYTES.min(bytes.len_bytes())).unwrap_or(0)];
    bytes.read_exact_at(&mut start, 0).map_err(unreadable)?;
    let mut head = vec![0; qcow2::head_len_bytes(&start)?];
    bytes.read_exact_at(&mut head, 0).map_err(unreadable)?;
    let backing = node.backing.as_deref().map(|name| (name, Format::Qcow2));
    let head = qcow2::rename_backing(&head, backing)?;
    let done = verbatim(bytes, file, progress)?;
    file.write_all_at(&head, 0).map_err(|source| Error::writing("the image's head", source))?;
    Ok(done)
}

/// Writes the upper images of a chain as one: what none of them has is not in it either, and zeros of theirs
/// hide what it stands on.
///
/// # Errors
/// As [`copy_image`], and for a name that the format has no room for.
pub(super) fn merge(
    image: &dyn Image,
    (node, file): (&NodeFile, Arc<dyn WriteAt>),
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Summary, convert::Error> {
    let backing = node.backing.clone().map(|name| qcow2::Backing { name, format: Format::Qcow2 });
    let options = qcow2::Options { compression: Compression::None, backing };
    let mut target = qcow2::Writer::create_with(file, image.capacity_bytes(), options)
        .map_err(convert::Error::target_image)?;
    copy_image(image, &mut target, settings, progress)
}

/// The first byte in which a copy is not what it was made from, behind its head.
///
/// # Errors
/// One of them cannot be read, or somebody said stop.
pub(super) fn first_difference(
    bytes: &dyn ReadAt,
    copy: &dyn ReadAt,
    progress: &dyn Progress,
) -> Result<Option<u64>, Error> {
    let unreadable = |source| Error::io("cannot read the image again", source);
    let mut start = vec![0; usize::try_from(START_BYTES.min(bytes.len_bytes())).unwrap_or(0)];
    bytes.read_exact_at(&mut start, 0).map_err(unreadable)?;
    let mut at = qcow2::head_len_bytes(&start)? as u64;
    let (mut want, mut found) = (vec![0; COMPARE_LEN], vec![0; COMPARE_LEN]);
    while at < bytes.len_bytes() {
        if progress.stopped() {
            return Err(Error::stopped());
        }
        let len = usize::try_from(bytes.len_bytes() - at).unwrap_or(COMPARE_LEN).min(COMPARE_LEN);
        bytes.read_exact_at(&mut want[..len], at).map_err(unreadable)?;
        copy.read_exact_at(&mut found[..len], at).map_err(unreadable)?;
        if let Some(first) = want[..len].iter().zip(&found[..len]).position(|(a, b)| a != b) {
            return Ok(Some(at + first as u64));
        }
        at += len as u64;
    }
    Ok(None)
}
