//! The only loop that moves disk bytes: one pass, all processors, bounded memory.
//!
//! ```text
//! extents or pieces --Filler--> batches of 8 clusters --rayon--> decode, check,  --Sink--> place in
//!   (one thread, in order)       (a fixed number of               zero test,               batch order,
//!                                 batches, reused)                encode                   then write
//! ```
//!
//! Workers decode out of order; clusters are placed in the order of the batches, so the same source
//! gives the same bytes whatever the number of workers. A batch that is early is parked, never waited
//! for; since there is a fixed number of batches, the number of parked ones is bounded.
//! Zeros are never placed; an increment is told of them, so that they hide what it stands on. A pipe gets the guest's bytes in order, zeros too, or a streamOptimized VMDK,
//! which is appended to and never gone back in.

mod batch;
mod clone;
mod commit;
mod control;
mod decode;
mod filler;
mod measure;
mod options;
mod ordered;
mod out;
mod pipeline;
mod stream_optimized;
mod tools;
mod verbatim;

use disk::{CLUSTER_BYTES, Compression, Image, Piece, Progress, Sequential, Target, Unplaced};

use crate::Error;
pub use clone::clone_image;
pub use measure::{Measured, measure};
pub use options::{CloneFormat, Output, TargetOptions, write_image};
pub use out::copy_out;
pub use stream_optimized::{Copied, content_id, measure_stream_optimized, write_stream_optimized};
pub use verbatim::verbatim;

use commit::Committer;
use decode::{Decoder, Mode};
use pipeline::{Pipeline, fill_from};
use tools::Encoding;

/// How a copy is run.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Worker threads; taken as 1..=16, so that memory does not grow with the host.
    pub workers: usize,
}

/// What a copy did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// Guest bytes that were written; the rest is zeros.
    pub data_bytes: u64,
    /// Length of the written file.
    pub file_bytes: u64,
}

/// Copies an image that can be read at any place.
///
/// The target says how its clusters are compressed; it must be as large as the image, or larger.
/// Nothing is synced. Into a target that stands on another image ([`Unplaced::Backing`]) go the data and
/// the zeros of the image, and none of its holes: it is an increment, and `image` says with holes what
/// did not change.
///
/// # Errors
/// The image is damaged, cannot be read or changed meanwhile; the target takes no more; somebody said
/// stop. Of several
/// failures, the one that is first in the order of the disk.
pub fn copy_image(
    image: &dyn Image,
    target: &mut dyn Target,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    let mode = mode_of(target);
    let data_bytes = run_image(image, target, mode, &Run { settings, progress })?;
    still_the_same(image)?;
    finish(target, data_bytes)
}

/// Refuses the copy of an image that somebody has written to meanwhile: it would be neither the old
/// disk nor the new one.
fn still_the_same(image: &dyn Image) -> Result<(), Error> {
    image.check_unchanged().map_err(Error::source_image)
}

/// Copies an image that arrives once, front to end.
///
/// # Errors
/// As [`copy_image`]; also when grains smaller than a cluster do not come in the order of the disk.
pub fn copy_stream(
    source: &mut dyn Sequential,
    target: &mut dyn Target,
    settings: Settings,
    progress: &dyn Progress,
) -> Result<Summary, Error> {
    if target.unplaced() == Unplaced::Backing {
        let text = "a pipe does not tell what changed from what is zeros";
        return Err(Error::cannot_stream(text.to_owned()));
    }
    let capacity_bytes = source.capacity_bytes();
    let decoder = Decoder { image: None, mode: mode_of(target), capacity_bytes };
    let encoding = Encoding::Clusters(target.compression());
    let (pipeline, control) = Pipeline::new(decoder, encoding, &Run { settings, progress })?;
    let committer = Committer::new(target, &control);
    let produced = pipeline.run(&control, &committer, |filler| {
        let mut piece = Piece::default();
        while source.next(&mut piece).map_err(Error::source_image)? {
            match filler.fill_piece(piece)? {
                Flow::Go(next) => piece = next,
                Flow::Stop => return Ok(()),
            }
        }
        filler.rest_is_zero();
        Ok(())
    });
    let data_bytes = committer.finish(produced)?;
    finish(target, data_bytes)
}

/// Whether the producer goes on.
#[derive(Debug, PartialEq, Eq)]
enum Flow<T = ()> {
    Go(T),
    Stop,
}

/// What all kinds of copies are run with.
struct Run<'a> {
    settings: Settings,
    progress: &'a dyn Progress,
}

/// Copies an image but does not finish the target, and says how many guest bytes are not zeros.
fn run_image(
    image: &dyn Image,
    target: &mut dyn Target,
    mode: Mode,
    with: &Run<'_>,
) -> Result<u64, Error> {
    let compression = match mode {
        // What is kept is deflated, and is checked as if it were to be stored.
        Mode::Kept { .. } => Compression::Zlib,
        Mode::Plain | Mode::Encoded => target.compression(),
    };
    let decoder = Decoder { image: Some(image), mode, capacity_bytes: image.capacity_bytes() };
    let (pipeline, control) = Pipeline::new(decoder, Encoding::Clusters(compression), with)?;
    let unplaced = target.unplaced();
    let committer = Committer::new(target, &control);
    let produced = pipeline.run(&control, &committer, |filler| {
        filler.set_unplaced(unplaced);
        fill_from(image, filler)
    });
    committer.finish(produced)
}

fn mode_of(target: &dyn Target) -> Mode {
    if target.compression() == Compression::None { Mode::Plain } else { Mode::Encoded }
}

fn finish(target: &mut dyn Target, data_bytes: u64) -> Result<Summary, Error> {
    let file_bytes = target.finish().map_err(Error::target_image)?;
    Ok(Summary { data_bytes, file_bytes })
}

/// Which cluster a guest byte is in.
const fn cluster_of(guest_bytes: u64) -> u64 {
    guest_bytes / CLUSTER_BYTES
}
