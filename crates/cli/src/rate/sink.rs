//! A bundle whose images are read no faster than they may be.

use std::{ops::Range, path::Path, sync::Arc};

use backup::create::{Begun, Sink, Written};
use bundle::{Node, Point, Snapshot, Template};
use disk::{
    Extent, ExtentKind, Extents, Finding, Image, Info, Progress, ReadAt, Result, Workbench,
};
use ovf::EntryName;

use super::{Pace, RateLimit, source::PacedProgress};
use crate::signals::Stop;

/// A bundle that gets a point from disks which are read at a pace.
///
/// What the images do not hold, zeros and what did not change, is not read and not held back.
pub(crate) struct PacedSink<'a> {
    sink: &'a mut dyn Sink,
    pace: Arc<Pace>,
}

impl<'a> PacedSink<'a> {
    /// The same bundle, with a limit.
    pub(crate) fn over(sink: &'a mut dyn Sink, limit: RateLimit, stop: &Arc<Stop>) -> Self {
        Self { sink, pace: Arc::new(Pace::new(limit, Arc::clone(stop))) }
    }
}

impl Sink for PacedSink<'_> {
    fn points(&self) -> &[Point] {
        self.sink.points()
    }

    fn snapshots(&self) -> &[Snapshot] {
        self.sink.snapshots()
    }

    fn template(&self) -> Option<&Template> {
        self.sink.template()
    }

    fn mark_template(&mut self) -> backup::Result<()> {
        self.sink.mark_template()
    }

    fn definition(&mut self, xml: &str, progress: &dyn Progress) -> backup::Result<String> {
        self.sink.definition(xml, progress)
    }

    fn image(
        &mut self,
        begun: &Begun<'_>,
        image: &dyn Image,
        workers: usize,
        progress: &dyn Progress,
    ) -> backup::Result<Written> {
        let image = PacedImage { image, pace: &self.pace };
        self.sink.image(begun, &image, workers, progress)
    }

    fn layer(
        &mut self,
        node: &Node,
        image: &dyn Image,
        workers: usize,
        progress: &dyn Progress,
    ) -> backup::Result<Written> {
        let image = PacedImage { image, pace: &self.pace };
        self.sink.layer(node, &image, workers, progress)
    }

    fn member(
        &mut self,
        name: &EntryName,
        bytes: &dyn ReadAt,
        progress: &dyn Progress,
    ) -> backup::Result<()> {
        let paced = PacedProgress::of(progress, Arc::clone(&self.pace), name.as_str().into());
        self.sink.member(name, bytes, &paced)
    }

    fn tell_of(&mut self, snapshots: Vec<Snapshot>) -> backup::Result<()> {
        self.sink.tell_of(snapshots)
    }

    fn medium(&mut self, file: &Path, progress: &dyn Progress) -> backup::Result<()> {
        let name = file.to_string_lossy().into();
        self.sink.medium(file, &PacedProgress::of(progress, Arc::clone(&self.pace), name))
    }

    fn give_up(&mut self) {
        self.sink.give_up();
    }

    fn publish(&mut self, point: &Point) -> backup::Result<u64> {
        self.sink.publish(point)
    }
}

/// A disk that is read at a pace.
struct PacedImage<'a> {
    image: &'a dyn Image,
    pace: &'a Pace,
}

impl PacedImage<'_> {
    /// Waits until what is stored of an extent may be read.
    fn wait_for(&self, extent: &Extent) {
        let bytes = match extent.kind {
            ExtentKind::Data { .. } => extent.len_bytes,
            ExtentKind::Stored { len_bytes, .. } | ExtentKind::StoredPart { len_bytes, .. } => {
                len_bytes
            }
            ExtentKind::Zero | ExtentKind::Hole => return,
        };
        self.pace.read(bytes);
    }
}

impl Image for PacedImage<'_> {
    fn info(&self) -> &Info {
        self.image.info()
    }

    fn extents(&self) -> Extents<'_> {
        self.image.extents()
    }

    fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
        self.image.extent_at(offset_bytes)
    }

    fn files(&self) -> &[String] {
        self.image.files()
    }

    fn depth(&self, file: u32) -> u32 {
        self.image.depth(file)
    }

    fn read_bytes(&self) -> u64 {
        self.image.read_bytes()
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        self.image.bytes()
    }

    fn check_unchanged(&self) -> Result<()> {
        self.image.check_unchanged()
    }

    fn read_extent(&self, extent: &Extent, bench: &mut Workbench, out: &mut [u8]) -> Result<()> {
        self.wait_for(extent);
        self.image.read_extent(extent, bench, out)
    }

    fn stored(&self, extent: &Extent, buf: &mut Vec<u8>) -> Result<()> {
        self.wait_for(extent);
        self.image.stored(extent, buf)
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        self.image.metadata()
    }

    fn audit(&self, progress: &dyn Progress, found: &mut dyn FnMut(Finding)) -> Result<()> {
        self.image.audit(progress, found)
    }
}
