//! Guest bytes front to end, for a pipe: batches in order, zeros between.

use std::io::Write;

use disk::{CLUSTER_BYTES, Compression, Image, Progress};

use super::{
    Run, Settings, Summary,
    batch::{Batch, CLUSTER, Content},
    control::Control,
    decode::{Decoder, Mode},
    ordered::run_in_order,
    pipeline::Pipeline,
    still_the_same,
    tools::Encoding,
};
use crate::Error;

/// Zeros, as many as are written at a time.
const ZEROS: &[u8] = &[0; CLUSTER];

/// Writes every guest byte of an image in order, zeros too, decoded by all workers.
///
/// # Errors
/// The image is damaged or cannot be read; `out` takes no more (see [`Error::is_broken_pipe`]);
/// somebody said stop. What comes before the failure on the disk has been written.
pub fn copy_out(
    image: &dyn Image,
    out: &mut dyn Write,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    let capacity_bytes = image.capacity_bytes();
    let decoder = Decoder { image: Some(image), mode: Mode::Plain, capacity_bytes };
    let encoding = Encoding::Clusters(Compression::None);
    let (pipeline, control) = Pipeline::new(decoder, encoding, &Run { settings, progress })?;
    let mut writer = Writer { out, control: &control, done: Summary::default() };
    run_in_order(pipeline, image, &control, &mut |batch| writer.write(batch))?;
    writer.zeros_to(capacity_bytes)?;
    if control.is_stopped() {
        return Err(Error::stopped());
    }
    still_the_same(image)?;
    Ok(writer.done)
}

/// Writes the guest's bytes of batches, and the zeros between them.
struct Writer<'a> {
    out: &'a mut dyn Write,
    control: &'a Control<'a>,
    /// `file_bytes` is also the guest byte that is written next.
    done: Summary,
}

impl Writer<'_> {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        let mut at = 0;
        while let Some(first) = batch.clusters.get(at).copied() {
            let neighbours = batch.clusters[at..].iter().zip(first..);
            let run = neighbours.take_while(|(cluster, wanted)| **cluster == *wanted).count();
            self.zeros_to(first * CLUSTER_BYTES)?;
            let last_bytes = self.control.guest_bytes_of(first + run as u64 - 1);
            let len = (run - 1) * CLUSTER + last_bytes as usize;
            self.put(&batch.buffer[at * CLUSTER..][..len])?;
            at += run;
        }
        for (cluster, content) in batch.clusters.iter().zip(&batch.contents) {
            if *content != Content::Zero {
                self.done.data_bytes += self.control.guest_bytes_of(*cluster);
            }
        }
        self.control.advance(batch.covered_bytes);
        Ok(())
    }

    /// Writes zeros up to a guest byte.
    fn zeros_to(&mut self, end_bytes: u64) -> Result<(), Error> {
        while self.done.file_bytes < end_bytes {
            if self.control.is_stopped() {
                return Err(Error::stopped());
            }
            let rest_bytes = end_bytes - self.done.file_bytes;
            let len = usize::try_from(rest_bytes).map_or(CLUSTER, |rest| rest.min(CLUSTER));
            self.put(&ZEROS[..len])?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.out.write_all(bytes).map_err(Error::writing)?;
        self.done.file_bytes += bytes.len() as u64;
        Ok(())
    }
}
