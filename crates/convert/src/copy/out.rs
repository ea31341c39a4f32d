//! Guest bytes front to end, for a pipe.

use std::io::Write;

use disk::{Extent, Image, Progress, Workbench};

use super::{Settings, Summary};
use crate::Error;

/// Guest bytes that are written at a time.
const CHUNK_BYTES: u64 = 1 << 20;

/// Writes every guest byte of an image in order, zeros too, decoded by all workers.
///
/// # Errors
/// The image is damaged or cannot be read; `out` takes no more (see [`Error::is_broken_pipe`]);
/// somebody said stop. What comes before the failure on the disk has been written.
pub fn copy_out(
    image: &dyn Image,
    out: &mut dyn Write,
    _settings: Settings,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    let mut done = Summary::default();
    let (mut bench, mut chunk) = (Workbench::new(), Vec::new());
    for extent in image.extents() {
        let mut rest: Option<Extent> = Some(extent.map_err(Error::source_image)?);
        while let Some(extent) = rest {
            if progress.stopped() {
                return Err(Error::stopped());
            }
            let (part, behind) = extent.split(CHUNK_BYTES);
            rest = behind;
            chunk.resize(usize::try_from(part.len_bytes).unwrap_or(usize::MAX), 0);
            image.read_extent(&part, &mut bench, &mut chunk).map_err(Error::source_image)?;
            out.write_all(&chunk).map_err(Error::writing)?;
            done.file_bytes += part.len_bytes;
            progress.advance(part.len_bytes);
        }
    }
    done.data_bytes = done.file_bytes;
    Ok(done)
}
