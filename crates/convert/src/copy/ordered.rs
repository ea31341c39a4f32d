//! Decoded batches one behind the other, for what is written front to end.
//!
//! ```text
//! one thread: extents -> batches --> workers: decode, encode --> this thread: in order, write
//! ```

use std::{
    collections::BTreeMap,
    sync::mpsc::{Receiver, Sender, channel},
};

use disk::Image;

use super::{
    batch::Batch,
    control::Control,
    pipeline::{Pipeline, Sink, fill_from},
};
use crate::Error;

/// Decodes an image and gives its batches to `write`, on this thread and in the order of the disk.
///
/// # Errors
/// The image is damaged or cannot be read, or `write` fails; then it has had every batch before the
/// failure and gets none behind it.
pub(super) fn run_in_order(
    pipeline: Pipeline<'_>,
    image: &dyn Image,
    control: &Control<'_>,
    write: &mut dyn FnMut(&Batch) -> Result<(), Error>,
) -> Result<(), Error> {
    let (sender, decoded) = channel();
    let (written, produced) = std::thread::scope(|scope| {
        let producing = scope.spawn(move || {
            let sink = ToWriter { sender };
            pipeline.run(control, &sink, |filler| fill_from(image, filler))
        });
        let written = take_all(&decoded, control, write);
        let produced = producing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (written, produced)
    });
    written?;
    produced
}

/// Hands decoded batches to the thread that writes.
struct ToWriter {
    sender: Sender<Decoded>,
}

/// A batch, and why it could not be decoded.
type Decoded = (Batch, Option<Error>);

impl Sink for ToWriter {
    fn commit(&self, batch: Batch) {
        // The writer takes batches until every worker is done.
        drop(self.sender.send((batch, None)));
    }

    fn fail(&self, batch: Batch, error: Error) {
        drop(self.sender.send((batch, Some(error))));
    }
}

/// Takes batches until no more come, and gives each back; after a failure they are not written.
fn take_all(
    decoded: &Receiver<Decoded>,
    control: &Control<'_>,
    write: &mut dyn FnMut(&Batch) -> Result<(), Error>,
) -> Result<(), Error> {
    // As many at most as there are batches.
    let mut early = BTreeMap::new();
    let mut next = 0;
    let mut result = Ok(());
    for (batch, error) in decoded {
        early.insert(batch.number, (batch, error));
        while let Some((batch, error)) = early.remove(&next) {
            next += 1;
            if result.is_ok() {
                result = error.map_or_else(|| write(&batch), Err);
            }
            if result.is_err() {
                control.end();
            }
            control.return_batch(batch);
        }
    }
    result
}
