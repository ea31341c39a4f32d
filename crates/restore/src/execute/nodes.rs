//! An image of a backup becomes a file: its clusters as they are, its head with another parent's name.

use convert::copy::{Summary, verbatim};
use disk::{Format, Progress, ReadAt, WriteAt, qcow2};

use crate::{Error, plan::NodeFile};

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
