//! An image as a streamOptimized VMDK: the way out to VMware.

use std::io::{self, BufWriter, Write};

use disk::{
    CLUSTER_BYTES, Image, Progress,
    vmdk::{self, StreamOptions, StreamWriter},
};
use sha2::{Digest as _, Sha256};

use super::{
    Measured, Run, Settings,
    batch::{Batch, Content},
    control::Control,
    decode::{Decoder, Mode},
    ordered::run_in_order,
    pipeline::Pipeline,
    still_the_same,
    tools::Encoding,
};
use crate::Error;

/// How much is written at a time: the records of grains are far smaller.
const WRITE_BYTES: usize = 512 << 10;

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
    to: &mut dyn Write,
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
    let to = BufWriter::with_capacity(WRITE_BYTES, to);
    let writer = StreamWriter::create(to, options).map_err(Error::target_image)?;
    let mut grains = Grains { writer, control: &control, data_bytes: 0 };
    run_in_order(pipeline, image, &control, &mut |batch| grains.write(batch))?;
    if control.is_stopped() {
        return Err(Error::stopped());
    }
    still_the_same(image)?;
    let Grains { writer, data_bytes, .. } = grains;
    let capacity_bytes = writer.capacity_bytes();
    let file_bytes = writer.finish_len_bytes().map_err(Error::target_image)?;
    Ok(Copied { capacity_bytes, data_bytes, file_bytes })
}

/// Finds out how long the file would be that [`write_stream_optimized`] makes of an image, by doing
/// everything but writing it.
///
/// # Errors
/// Those of [`write_stream_optimized`], except that there is always room.
pub fn measure_stream_optimized(
    image: &dyn Image,
    options: &StreamOptions,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Measured, Error> {
    let done = write_stream_optimized(image, &mut io::sink(), options, settings, progress)?;
    let fully_allocated_bytes = vmdk::allocated_bytes(done.capacity_bytes);
    Ok(Measured { required_bytes: done.file_bytes, fully_allocated_bytes })
}

/// A content id for the descriptor of a VMDK, made from the capacity and the first 64 KiB of the disk,
/// where partition tables have their own ids. A header stands before the content, so it cannot depend on
/// all of that; the same disk has the same id in every format.
///
/// # Errors
/// The first grain is damaged or cannot be read.
pub fn content_id(image: &dyn Image) -> Result<u32, Error> {
    let capacity_bytes = image.capacity_bytes();
    let mut front = vec![0; capacity_bytes.min(CLUSTER_BYTES) as usize];
    image.read_at(&mut front, 0).map_err(Error::source_image)?;
    let digest = Sha256::new().chain_update(capacity_bytes.to_be_bytes()).chain_update(&front);
    let [a, b, c, d, ..]: [u8; 32] = digest.finalize().into();
    // The two highest ids mean "none" and "not set".
    Ok(u32::from_be_bytes([a, b, c, d]).min(u32::MAX - 2))
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
