//! A delta above its parent, as one image.

use std::{iter::Peekable, ops::Range, sync::Arc};

use crate::{
    Error, Extent, ExtentKind, Extents, Finding, Image, Info, Progress, ReadAt, Result, Workbench,
    error::Failure,
    image::{check_buffer, read_part},
};

/// A child whose holes show its parent.
///
/// Its extents are those of the child, and in the child's holes those of the parent; behind a parent
/// that is shorter there are zeros.
pub(crate) struct Overlay {
    child: Box<dyn Image>,
    parent: Box<dyn Image>,
    parent_name: String,
    info: Info,
    files: Vec<String>,
}

impl Overlay {
    /// Lays `child` above `parent`, which was found under `parent_name`.
    pub(crate) fn new(child: Box<dyn Image>, parent: Box<dyn Image>, parent_name: &str) -> Self {
        let mut info = child.info().clone();
        info.warnings.extend(parent.warnings().iter().map(|warning| warning.of_file(parent_name)));
        let mut files = child.files().to_vec();
        let below = parent.files().iter();
        files.extend(below.map(|name| if name.is_empty() { parent_name } else { name }.to_owned()));
        Self { child, parent, parent_name: parent_name.to_owned(), info, files }
    }

    fn child_files(&self) -> u32 {
        u32::try_from(self.child.files().len()).unwrap_or(u32::MAX)
    }

    /// The image that an extent comes from, and the extent as that image gave it.
    fn owner(&self, extent: &Extent) -> (&dyn Image, Extent) {
        match extent.file.checked_sub(self.child_files()) {
            None => (&*self.child, *extent),
            Some(file) => (&*self.parent, Extent { file, ..*extent }),
        }
    }

    /// An extent of the parent, as one of this image.
    fn lift(&self, extent: Extent) -> Extent {
        Extent { file: extent.file.saturating_add(self.child_files()), ..extent }
    }

    fn blame(&self, error: Error) -> Error {
        error.in_file(&self.parent_name)
    }

    /// The error of `owner`, with the parent's name where it is the parent's.
    fn told<T>(&self, extent: &Extent, result: Result<T>) -> Result<T> {
        if extent.file < self.child_files() {
            return result;
        }
        result.map_err(|error| self.blame(error))
    }
}

impl Image for Overlay {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        let above = self.child.extents();
        let below = self.parent.extents().peekable();
        Box::new(Merged { overlay: self, above, below, hole: None })
    }

    fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
        let extent = self.child.extent_at(offset_bytes)?;
        if extent.kind != ExtentKind::Hole {
            return Ok(extent);
        }
        let end = self.parent.capacity_bytes();
        if offset_bytes >= end {
            let hole = extent.clip(&(end..u64::MAX)).unwrap_or(extent);
            return Ok(Extent { kind: ExtentKind::Zero, ..hole });
        }
        let below = self.parent.extent_at(offset_bytes).map_err(|error| self.blame(error))?;
        let shown = below.clip(&(extent.start_bytes..extent.end_bytes()));
        Ok(self.lift(shown.unwrap_or(below)))
    }

    fn files(&self) -> &[String] {
        &self.files
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        self.child.bytes()
    }

    fn read_extent(&self, extent: &Extent, bench: &mut Workbench, out: &mut [u8]) -> Result<()> {
        check_buffer(extent, out)?;
        if matches!(extent.kind, ExtentKind::StoredPart { .. }) {
            return read_part(self, extent, bench, out);
        }
        let (owner, its) = self.owner(extent);
        self.told(extent, owner.read_extent(&its, bench, out))
    }

    fn stored(&self, extent: &Extent, buf: &mut Vec<u8>) -> Result<()> {
        if !matches!(extent.kind, ExtentKind::Stored { .. }) {
            return Err(Error::malformed(Failure::NotStored(extent.start_bytes)));
        }
        let (owner, its) = self.owner(extent);
        self.told(extent, owner.stored(&its, buf))
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        let files = self.child_files();
        let below = self.parent.metadata();
        let below = below.map(move |(file, range)| (file.saturating_add(files), range));
        Box::new(self.child.metadata().chain(below))
    }

    fn audit(&self, progress: &dyn Progress, found: &mut dyn FnMut(Finding)) -> Result<()> {
        self.child.audit(progress, found)?;
        self.parent.audit(progress, &mut |finding| found(finding.of_file(&self.parent_name)))
    }
}

/// The extents of both, in guest order.
struct Merged<'a> {
    overlay: &'a Overlay,
    above: Extents<'a>,
    below: Peekable<Extents<'a>>,
    /// What is left of a hole of the child.
    hole: Option<Extent>,
}

impl Merged<'_> {
    /// The front of a hole, as the parent fills it, and what is left of the hole.
    fn fill(&mut self, hole: Extent) -> (Result<Extent>, Option<Extent>) {
        let done = |extent: &Result<Extent>| {
            extent.as_ref().is_ok_and(|extent| extent.end_bytes() <= hole.start_bytes)
        };
        while self.below.next_if(done).is_some() {}
        if let Some(Err(error)) = self.below.next_if(Result::is_err) {
            return (Err(self.overlay.blame(error)), Some(hole));
        }
        let Some(Ok(below)) = self.below.peek() else {
            return (Ok(Extent { kind: ExtentKind::Zero, ..hole }), None);
        };
        let below = *below;
        let (front, rest) = match below.start_bytes.checked_sub(hole.start_bytes) {
            // Only damage leaves a gap in the parent.
            Some(gap) if gap > 0 => {
                let (front, rest) = hole.split(gap);
                return (Ok(front), rest);
            }
            _ => hole.split(below.end_bytes().saturating_sub(hole.start_bytes)),
        };
        let shown = below.clip(&(front.start_bytes..front.end_bytes())).unwrap_or(front);
        (Ok(self.overlay.lift(shown)), rest)
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        let extent = match self.hole.take() {
            Some(hole) => hole,
            None => match self.above.next()? {
                Ok(extent) => extent,
                Err(error) => return Some(Err(error)),
            },
        };
        if extent.kind != ExtentKind::Hole {
            return Some(Ok(extent));
        }
        let (front, rest) = self.fill(extent);
        self.hole = rest;
        Some(front)
    }
}
