//! An image as a streamOptimized VMDK: the way out to VMware.

use std::io::Write;

use disk::{
    Image, Progress,
    vmdk::{StreamOptions, StreamWriter},
};

use super::{
    Run, Settings,
    batch::{Batch, Content},
    control::Control,
    decode::{Decoder, Mode},
    ordered::run_in_order,
    pipeline::Pipeline,
    tools::Encoding,
};
use crate::Error;

/// What was written: the numbers that an OVF descriptor says of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The size of the guest's disk (`ovf:capacity`).
    pub capacity_bytes: u64,
    /// Guest bytes that are not zeros, in grains of 64 KiB (`ovf:populatedSize`).
    pub data_bytes: u64,
    /// The length of the written file (`ovf:size`).
    pub file_bytes: u64,
}

/// Writes an image as a streamOptimized VMDK, front to end.
///
/// Grains that the image has as deflate streams of 64 KiB are checked and written as they are; others
/// are compressed by all workers. The same image and options give the same bytes, whatever the number of
/// workers and whatever `to` is. The capacity of `options` must be that of the image, or more.
///
/// # Errors
/// The image is damaged or cannot be read; the options do not fit; `to` takes no more (see
/// [`Error::is_broken_pipe`]); somebody said stop. What has been written then is no image.
pub fn write_stream_optimized(
    image: &dyn Image,
    to: &mut (dyn Write + Send),
    options: &StreamOptions,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Copied, Error> {
    let capacity_bytes = image.capacity_bytes();
    if options.capacity_bytes < capacity_bytes {
        return Err(Error::layout(format!(
            "the VMDK is to have {} bytes, the disk has {capacity_bytes}",
            options.capacity_bytes
        )));
    }
    let decoder = Decoder { image: Some(image), mode: Mode::Encoded, capacity_bytes };
    let encoding = Encoding::Grains(options.level);
    let (pipeline, control) = Pipeline::new(decoder, encoding, &Run { settings, progress })?;
    let writer = StreamWriter::create(to, options).map_err(Error::target_image)?;
    let mut grains = Grains { writer, control: &control, data_bytes: 0 };
    run_in_order(pipeline, image, &control, &mut |batch| grains.write(batch))?;
    if control.is_stopped() {
        return Err(Error::stopped());
    }
    let Grains { writer, data_bytes, .. } = grains;
    let capacity_bytes = writer.capacity_bytes();
    let file_bytes = writer.finish_len_bytes().map_err(Error::target_image)?;
    Ok(Copied { capacity_bytes, data_bytes, file_bytes })
}

/// Appends the grains of batches.
struct Grains<'a, W> {
    writer: StreamWriter<W>,
    control: &'a Control<'a>,
    data_bytes: u64,
}

impl<W: Write> Grains<'_, W> {
    fn write(&mut self, batch: &Batch) -> Result<(), Error> {
        for (cluster, content) in batch.clusters.iter().zip(&batch.contents) {
            let guest_bytes = self.control.guest_bytes_of(*cluster);
            let written = match *content {
                Content::Zero => continue,
                Content::Stream { at, len } => {
                    self.writer.write_stream(*cluster, &batch.buffer[at..][..len])
                }
                Content::Plain { at } => {
                    self.writer.write_grain(*cluster, &batch.buffer[at..][..guest_bytes as usize])
                }
                Content::Kept(_) => unreachable!("only a clone keeps what is in its file"),
            };
            written.map_err(Error::target_image)?;
            self.data_bytes += guest_bytes;
        }
        self.control.advance(batch.covered_bytes);
        Ok(())
    }
}
