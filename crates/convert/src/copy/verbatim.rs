//! Bytes copied as they are: an image that stays what it is.

use disk::{Progress, ReadAt, WriteAt};
use rayon::prelude::*;

use super::Summary;
use crate::Error;

/// How much one worker reads at once: a frame of a packed backup.
const STEP_BYTES: u64 = 4 << 20;

/// How many steps are between two looks at whether somebody says stop.
const STEPS: u64 = 8;

/// Copies all bytes to the same places of an empty file; runs of zeros become holes.
///
/// Nothing is synced.
///
/// # Errors
/// The bytes cannot be read; the file takes no more; somebody said stop.
pub fn verbatim(
    bytes: &dyn ReadAt,
    file: &dyn WriteAt,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    let length = bytes.len_bytes();
    let steps = length.div_ceil(STEP_BYTES);
    let mut data_bytes = 0;
    for first in (0..steps).step_by(usize::try_from(STEPS).unwrap_or(1)) {
        if progress.stopped() {
            return Err(Error::stopped());
        }
        let last = first.saturating_add(STEPS).min(steps);
        let written: Vec<u64> = (first..last)
            .into_par_iter()
            .map(|step| copy_step(bytes, file, step * STEP_BYTES))
            .collect::<Result<_, _>>()?;
        data_bytes += written.iter().sum::<u64>();
        progress.advance((last * STEP_BYTES).min(length) - first * STEP_BYTES);
    }
    if length > 0 {
        // The end of a file must be there, even where it is a hole.
        let mut last = [0];
        bytes.read_exact_at(&mut last, length - 1).map_err(Error::reading)?;
        file.write_all_at(&last, length - 1).map_err(Error::writing)?;
    }
    bytes.check_unchanged().map_err(Error::reading)?;
    Ok(Summary { data_bytes, file_bytes: length })
}

/// Copies one step; says how many bytes of it were written.
fn copy_step(bytes: &dyn ReadAt, file: &dyn WriteAt, at: u64) -> Result<u64, Error> {
    let length = STEP_BYTES.min(bytes.len_bytes() - at);
    let mut buffer = vec![0; usize::try_from(length).unwrap_or(0)];
    bytes.read_exact_at(&mut buffer, at).map_err(Error::reading)?;
    if buffer.iter().all(|byte| *byte == 0) {
        return Ok(0);
    }
    file.write_all_at(&buffer, at).map_err(Error::writing)?;
    Ok(length)
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use disk::{FileBytes, Unheard};

    use super::*;

    #[test]
    fn every_byte_is_at_its_place_and_zeros_at_the_end_count() {
        let mut data = vec![0; 9 << 20];
        data[5 << 20] = 7;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&from, &data).unwrap();
        let bytes = Arc::new(FileBytes::new(fs::File::open(&from).unwrap()).unwrap());
        let file = fs::File::create_new(&to).unwrap();
        let done = verbatim(&*bytes, &file, &Unheard).unwrap();
        assert_eq!(done, Summary { data_bytes: 4 << 20, file_bytes: 9 << 20 });
        assert_eq!(fs::read(&to).unwrap(), data);
    }
}
