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

    fn depth(&self, file: u32) -> u32 {
        match file.checked_sub(self.child_files()) {
            None => self.child.depth(file),
            Some(file) => self.parent.depth(file).saturating_add(1),
        }
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        self.child.bytes()
    }

    fn check_unchanged(&self) -> Result<()> {
        self.child.check_unchanged()?;
        self.parent.check_unchanged().map_err(|error| self.blame(error))
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{
        Closed, Format, Warning,
        gate::Opening,
        vmdk::{self, StreamOptions, StreamWriter},
    };

    /// An image whose extents are said one by one; those that are `Err` are damaged places.
    struct Fake {
        info: Info,
        bytes: Arc<dyn ReadAt>,
        extents: Vec<std::result::Result<Extent, &'static str>>,
    }

    /// An image of 64 KiB for each part: the byte that fills it, a hole, zeros, or damage.
    pub(crate) fn fake(parts: &[Part]) -> Box<dyn Image> {
        let mut bytes = Vec::new();
        let mut extents = Vec::new();
        for (start, part) in (0..).step_by(65536).zip(parts) {
            let offset_bytes = bytes.len() as u64;
            let kind = match part {
                Part::Bytes(byte) => {
                    bytes.resize(bytes.len() + 65536, *byte);
                    ExtentKind::Data { offset_bytes }
                }
                Part::Hole => ExtentKind::Hole,
                Part::Zero => ExtentKind::Zero,
                Part::Damaged(why) => {
                    extents.push(Err(*why));
                    continue;
                }
            };
            extents.push(Ok(Extent::new(start, 65536, kind)));
        }
        let info = Info {
            format: Format::Vmdk,
            variant: "fake".to_owned(),
            capacity_bytes: parts.len() as u64 * 65536,
            file_bytes: bytes.len() as u64,
            unit_bytes: None,
            references: Vec::new(),
            warnings: vec![Warning::defect(9, "odd")],
        };
        Box::new(Fake { info, bytes: Arc::new(bytes), extents })
    }

    /// One grain of a [`Fake`].
    #[derive(Clone, Copy)]
    pub(crate) enum Part {
        Bytes(u8),
        Hole,
        Zero,
        Damaged(&'static str),
    }

    impl Image for Fake {
        fn info(&self) -> &Info {
            &self.info
        }

        fn extents(&self) -> Extents<'_> {
            Box::new(self.extents.iter().map(|extent| extent.map_err(Error::malformed)))
        }

        fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
            let mut sound = self.extents.iter().flatten();
            let found =
                sound.find(|extent| extent.clip(&(offset_bytes..offset_bytes + 1)).is_some());
            found.copied().ok_or_else(|| Error::malformed("damaged"))
        }

        fn bytes(&self) -> &Arc<dyn ReadAt> {
            &self.bytes
        }

        fn read_extent(&self, extent: &Extent, _: &mut Workbench, out: &mut [u8]) -> Result<()> {
            match extent.kind {
                _ if extent.file > 0 => Err(Error::malformed("an extent of another file")),
                ExtentKind::Data { offset_bytes } => self.bytes.fill(out, offset_bytes),
                _ => {
                    out.fill(0);
                    Ok(())
                }
            }
        }

        fn stored(&self, extent: &Extent, _: &mut Vec<u8>) -> Result<()> {
            Err(Error::malformed(Failure::NotStored(extent.start_bytes)))
        }

        fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
            Box::new(std::iter::once((0, 0..1)))
        }
    }

    /// A streamOptimized disk.
    pub(crate) fn stream(disk: &[u8]) -> Box<dyn Image> {
        let options = StreamOptions::new(disk.len() as u64, "s.vmdk", 1);
        let mut writer = StreamWriter::create(Vec::new(), &options).unwrap();
        for (index, grain) in (0..).zip(disk.chunks(65536)) {
            writer.write_grain(index, grain).unwrap();
        }
        let opening = Opening::new(&Closed);
        vmdk::open(Arc::new(writer.finish().unwrap()), &opening).unwrap()
    }

    /// The guest bytes, extent by extent and once more by `read_at`; the promises of both are checked.
    pub(crate) fn read_all(image: &dyn Image) -> Vec<u8> {
        let mut bench = Workbench::new();
        let mut disk = Vec::new();
        for extent in image.extents() {
            let extent = extent.unwrap();
            assert_eq!(extent.start_bytes, disk.len() as u64, "no gaps, no overlaps");
            assert!(extent.len_bytes > 0 && (extent.file as usize) < image.files().len());
            let start = disk.len();
            disk.resize(start + extent.len_bytes as usize, 0xee);
            image.read_extent(&extent, &mut bench, &mut disk[start..]).unwrap();
        }
        assert_eq!(disk.len() as u64, image.capacity_bytes());
        let mut again = vec![0xee; disk.len()];
        for (at, part) in (0..).step_by(10_007).zip(again.chunks_mut(10_007)) {
            image.read_at(part, at).unwrap();
        }
        assert_eq!(disk, again);
        disk
    }

    /// A disk of grains that are each filled with a byte.
    pub(crate) fn filled(bytes: &[u8]) -> Vec<u8> {
        bytes.iter().flat_map(|byte| vec![*byte; 65536]).collect()
    }

    #[test]
    fn holes_show_the_parent_and_zeros_hide_it() {
        use Part::{Bytes, Hole, Zero};
        let parent = fake(&[Bytes(1), Bytes(2), Zero, Hole]);
        let child = fake(&[Bytes(7), Hole, Hole, Hole, Hole, Zero]);
        let overlay = Overlay::new(child, parent, "base.vmdk");
        assert_eq!(read_all(&overlay), filled(&[7, 2, 0, 0, 0, 0]));
        assert_eq!(overlay.files(), ["", "base.vmdk"]);
        assert_eq!(overlay.metadata().collect::<Vec<_>>(), [(0, 0..1), (1, 0..1)]);
        assert_eq!(overlay.warnings()[1].to_string(), "odd, at byte 9 of base.vmdk");
        let kinds: Vec<_> = overlay.extents().map(|extent| extent.unwrap().kind).collect();
        // Behind the parent there is nothing to ask.
        assert_eq!(kinds[3..], [ExtentKind::Hole, ExtentKind::Zero, ExtentKind::Zero]);
    }

    #[test]
    fn a_longer_parent_is_cut_at_the_child() {
        use Part::{Bytes, Hole};
        let overlay = Overlay::new(fake(&[Hole]), fake(&[Bytes(3), Bytes(4)]), "base");
        assert_eq!(read_all(&overlay), filled(&[3]));
    }

    #[test]
    fn parts_of_a_stored_grain_of_the_parent_are_shown() {
        let mut base = filled(&[1, 2, 0, 4]);
        for (at, byte) in base.iter_mut().enumerate() {
            *byte = byte.wrapping_mul((at / 512) as u8 | 1);
        }
        // The child hides 100 sectors from sector 100 on: it ends inside two grains.
        let mut info = stream(&base).info().clone();
        info.warnings.clear();
        let hidden = 100 * 512..200 * 512;
        let extents = [
            (0..hidden.start, ExtentKind::Hole),
            (hidden.clone(), ExtentKind::Zero),
            (hidden.end..base.len() as u64, ExtentKind::Hole),
        ];
        let extents = extents
            .map(|(range, kind)| Ok(Extent::new(range.start, range.end - range.start, kind)));
        let child = || -> Box<dyn Image> {
            let bytes: Arc<dyn ReadAt> = Arc::new(Vec::new());
            Box::new(Fake { info: info.clone(), bytes, extents: extents.to_vec() })
        };
        let overlay = Overlay::new(child(), stream(&base), "base.vmdk");
        let mut want = base.clone();
        want[hidden.start as usize..hidden.end as usize].fill(0);
        assert_eq!(read_all(&overlay), want);
        // The same behind one more delta, whose file numbers are others.
        let twice = Overlay::new(child(), Box::new(overlay), "middle.vmdk");
        assert_eq!(twice.files(), ["", "middle.vmdk", "base.vmdk"]);
        assert_eq!(read_all(&twice), want);
        let stored: Vec<_> = twice.extents().map(Result::unwrap).collect();
        let whole = stored.last().unwrap();
        assert!(matches!(whole.kind, ExtentKind::Stored { .. }) && whole.file == 2);
        let mut stream = Vec::new();
        twice.stored(whole, &mut stream).unwrap();
        assert!(stream.starts_with(&[0x78]));
        assert!(twice.stored(&stored[0], &mut stream).is_err());
    }

    #[test]
    fn damage_in_the_parent_is_told_once_and_with_its_name() {
        use Part::{Bytes, Damaged, Hole};
        let parent = fake(&[Bytes(1), Damaged("grain 1 is gone"), Bytes(3)]);
        let overlay = Overlay::new(fake(&[Hole, Hole, Hole]), parent, "base.vmdk");
        let told: Vec<_> = overlay
            .extents()
            .map(|extent| {
                extent.map_err(|error| error.to_string()).map(|extent| extent.start_bytes)
            })
            .collect();
        let gone = Err("grain 1 is gone, in base.vmdk".to_owned());
        assert_eq!(told, [Ok(0), gone, Ok(65536), Ok(131_072)]);
        let error = overlay.extent_at(70_000).unwrap_err();
        assert_eq!(error.to_string(), "damaged, in base.vmdk");
        let child = fake(&[Hole, Damaged("grain 1 is bad"), Hole]);
        let overlay = Overlay::new(child, fake(&[Bytes(1); 3]), "base.vmdk");
        let told: Vec<_> = overlay.extents().map(|extent| extent.is_ok()).collect();
        assert_eq!(told, [true, false, true]);
    }
}
