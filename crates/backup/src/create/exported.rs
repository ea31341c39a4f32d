//! A disk of a machine that has a process, from the export of its job into the bundle.

use bundle::PointDisk;
use disk::Progress;
use nbd::NbdImage;

use super::{
    Begun, Request, Sink, Step, Watch,
    base::Reading,
    template,
    thin::{Own, Thin},
};
use crate::Result;

/// Copies a disk into the bundle: of a thin clone, what differs from the disk of its template.
///
/// # Errors
/// It cannot be read or written, the template changed since it was looked at, or `progress` says stop.
pub(super) fn copy(
    request: &Request,
    (reading, image): (&Reading, &NbdImage),
    sink: &mut dyn Sink,
    (watch, progress): (&dyn Watch, &dyn Progress),
) -> Result<PointDisk> {
    let begun = Begun::of(reading);
    let read_bytes = image.dirty()?.data_bytes;
    watch.begin(Step::Copy { target: begun.target, total_bytes: reading.capacity_bytes });
    let written = match begun.stands_on {
        None => sink.image(&begun, image, request.workers, progress)?,
        Some(footing) => {
            let below = template::open(footing)?;
            let own = Own::differing(image, &*below, request.workers, progress)?;
            let thin = Thin::new(image, &*below, own);
            sink.image(&begun, &thin, request.workers, progress)?
        }
    };
    Ok(PointDisk {
        target: begun.target.to_owned(),
        member: written.member,
        capacity_bytes: reading.capacity_bytes,
        mode: reading.mode,
        reason: reading.reason.clone(),
        read_bytes,
    })
}
