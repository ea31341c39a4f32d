//! Several images one behind the other, as one.

use std::{ops::Range, sync::Arc};

use crate::{
    Error, Extent, ExtentKind, Extents, Finding, Image, Info, Progress, ReadAt, Result, Workbench,
    error::Failure,
    image::{check_buffer, read_part},
};

/// A disk that is made of parts: the extents of a VMDK that has a descriptor of its own.
///
/// File 0 is the text that names the parts.
pub(crate) struct Concat {
    bytes: Arc<dyn ReadAt>,
    parts: Vec<Part>,
    info: Info,
    files: Vec<String>,
}

/// A part of the disk.
struct Part {
    start_bytes: u64,
    len_bytes: u64,
    /// Where the numbers of its files begin.
    first_file: u32,
    content: Option<(String, Box<dyn Image>)>,
}

#[derive(Debug, thiserror::Error)]
#[error("the extent '{name}' has {found} bytes, its descriptor says {wanted}")]
struct TooShort {
    name: String,
    found: u64,
    wanted: u64,
}

impl Concat {
    /// Starts a disk without parts; `bytes` is what names them.
    ///
    /// `info` has the capacity that all parts together will have.
    pub(crate) fn new(bytes: Arc<dyn ReadAt>, info: Info) -> Self {
        Self { bytes, parts: Vec::new(), info, files: vec![String::new()] }
    }

    /// Appends zeros; runs of them are one part.
    pub(crate) fn push_zeros(&mut self, len_bytes: u64) {
        if let Some(last) = self.parts.last_mut().filter(|last| last.content.is_none()) {
            last.len_bytes = last.len_bytes.saturating_add(len_bytes);
            return;
        }
        let first_file = self.next_file();
        let start_bytes = self.len_bytes();
        self.parts.push(Part { start_bytes, len_bytes, first_file, content: None });
    }

    /// Appends the first `len_bytes` bytes of an image.
    ///
    /// # Errors
    ///
    /// When the image is shorter.
    pub(crate) fn push(&mut self, name: &str, image: Box<dyn Image>, len_bytes: u64) -> Result<()> {
        let found = image.capacity_bytes();
        if found < len_bytes {
            let name = crate::error::shown(name);
            return Err(Error::malformed(TooShort { name, found, wanted: len_bytes }));
        }
        let first_file = self.next_file();
        let start_bytes = self.len_bytes();
        let names = image.files().iter();
        self.files.extend(names.map(|own| if own.is_empty() { name } else { own }.to_owned()));
        self.info.warnings.extend(image.warnings().iter().map(|warning| warning.of_file(name)));
        let content = Some((name.to_owned(), image));
        self.parts.push(Part { start_bytes, len_bytes, first_file, content });
        Ok(())
    }

    fn next_file(&self) -> u32 {
        u32::try_from(self.files.len()).unwrap_or(u32::MAX)
    }

    fn len_bytes(&self) -> u64 {
        self.parts.last().map_or(0, |part| part.start_bytes.saturating_add(part.len_bytes))
    }

    /// The part that an extent comes from, and the extent as its image gave it.
    fn owner(&self, extent: &Extent) -> Result<(&Part, &dyn Image, Extent)> {
        let behind = self.parts.partition_point(|part| part.start_bytes <= extent.start_bytes);
        let part = behind.checked_sub(1).and_then(|at| self.parts.get(at));
        let part = part.and_then(|part| Some((part, &*part.content.as_ref()?.1)));
        let (part, image) =
            part.ok_or_else(|| Error::malformed(Failure::NotStored(extent.start_bytes)))?;
        let file = extent.file.saturating_sub(part.first_file);
        Ok((part, image, Extent { file, ..extent.moved_back(part.start_bytes) }))
    }
}

impl Part {
    /// An extent of the part's image, as one of the whole disk.
    fn lift(&self, extent: Extent) -> Option<Extent> {
        let extent = extent.clip(&(0..self.len_bytes))?.moved(self.start_bytes);
        Some(Extent { file: extent.file.saturating_add(self.first_file), ..extent })
    }

    fn extents(&self) -> Extents<'_> {
        match &self.content {
            None => Box::new(std::iter::once(Ok(self.zeros()))),
            Some((name, image)) => {
                let mut extents = image.extents();
                let mut at = 0;
                // What the image has behind the part is not looked at.
                Box::new(std::iter::from_fn(move || {
                    let extent = (at < self.len_bytes).then(|| extents.next()).flatten()?;
                    at = extent.as_ref().map_or(at, Extent::end_bytes);
                    match extent.map_err(|error| error.in_file(name)) {
                        Ok(extent) => self.lift(extent).map(Ok),
                        Err(error) => Some(Err(error)),
                    }
                }))
            }
        }
    }

    fn zeros(&self) -> Extent {
        Extent::new(self.start_bytes, self.len_bytes, ExtentKind::Zero)
    }

    fn blame(&self, error: Error) -> Error {
        match &self.content {
            Some((name, _)) => error.in_file(name),
            None => error,
        }
    }
}

impl Image for Concat {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        Box::new(self.parts.iter().filter(|part| part.len_bytes > 0).flat_map(Part::extents))
    }

    fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
        let behind = self.parts.partition_point(|part| part.start_bytes <= offset_bytes);
        let part = behind.checked_sub(1).and_then(|at| self.parts.get(at));
        let zero = Extent::new(offset_bytes, 1, ExtentKind::Zero);
        let Some(part) = part else { return Ok(zero) };
        let Some((_, image)) = &part.content else { return Ok(part.zeros()) };
        let extent = image
            .extent_at(offset_bytes.saturating_sub(part.start_bytes))
            .map_err(|error| part.blame(error))?;
        Ok(part.lift(extent).unwrap_or(zero))
    }

    fn files(&self) -> &[String] {
        &self.files
    }

    fn depth(&self, file: u32) -> u32 {
        let behind = self.parts.partition_point(|part| part.first_file <= file);
        let part = behind.checked_sub(1).and_then(|at| self.parts.get(at));
        let content = part.and_then(|part| Some((part.first_file, &part.content.as_ref()?.1)));
        content.map_or(0, |(first, image)| image.depth(file.saturating_sub(first)))
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.bytes
    }

    fn check_unchanged(&self) -> Result<()> {
        self.bytes.check_unchanged()?;
        let mut contents = self.parts.iter().filter_map(|part| part.content.as_ref());
        contents.try_for_each(|(name, image)| {
            image.check_unchanged().map_err(|error| error.in_file(name))
        })
    }

    fn read_extent(&self, extent: &Extent, bench: &mut Workbench, out: &mut [u8]) -> Result<()> {
        check_buffer(extent, out)?;
        match extent.kind {
            ExtentKind::Zero | ExtentKind::Hole => out.fill(0),
            ExtentKind::StoredPart { .. } => read_part(self, extent, bench, out)?,
            ExtentKind::Data { .. } | ExtentKind::Stored { .. } => {
                let (part, image, its) = self.owner(extent)?;
                image.read_extent(&its, bench, out).map_err(|error| part.blame(error))?;
            }
        }
        Ok(())
    }

    fn stored(&self, extent: &Extent, buf: &mut Vec<u8>) -> Result<()> {
        if !matches!(extent.kind, ExtentKind::Stored { .. }) {
            return Err(Error::malformed(Failure::NotStored(extent.start_bytes)));
        }
        let (part, image, its) = self.owner(extent)?;
        image.stored(&its, buf).map_err(|error| part.blame(error))
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        let text = (0, 0..self.bytes.len_bytes());
        let parts = self.parts.iter().filter_map(|part| Some((part, &part.content.as_ref()?.1)));
        let inner = parts.flat_map(|(part, image)| {
            let ranges = image.metadata();
            ranges.map(|(file, range)| (file.saturating_add(part.first_file), range))
        });
        Box::new(std::iter::once(text).chain(inner))
    }

    fn audit(&self, progress: &dyn Progress, found: &mut dyn FnMut(Finding)) -> Result<()> {
        for (name, image) in self.parts.iter().filter_map(|part| part.content.as_ref()) {
            image.audit(progress, &mut |finding| found(finding.of_file(name)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Format,
        overlay::tests::{Part, fake, filled, read_all, stream},
    };

    /// A disk of so many grains that has no parts yet.
    fn empty(grains: u64) -> Concat {
        let info = Info {
            format: Format::Vmdk,
            variant: "custom".to_owned(),
            capacity_bytes: grains * 65536,
            file_bytes: 10,
            unit_bytes: None,
            references: Vec::new(),
            warnings: Vec::new(),
        };
        Concat::new(Arc::new(vec![0; 10]), info)
    }

    #[test]
    fn parts_follow_one_another_and_name_their_files() {
        use Part::{Bytes, Hole};
        let mut disk = empty(6);
        disk.push("a", fake(&[Bytes(1), Hole]), 2 * 65536).unwrap();
        disk.push_zeros(65024);
        disk.push_zeros(512);
        disk.push_zeros(0);
        disk.push("b", stream(&filled(&[5, 6, 7])), 3 * 65536).unwrap();
        assert_eq!(read_all(&disk), filled(&[1, 0, 0, 5, 6, 7]));
        assert_eq!(disk.files(), ["", "a", "b"]);
        assert_eq!(disk.warnings()[0].to_string(), "odd, at byte 9 of a");
        let metadata: Vec<_> = disk.metadata().collect();
        assert_eq!(metadata[..3], [(0, 0..10), (1, 0..1), (2, 0..512)]);
        let last = disk.extents().last().unwrap().unwrap();
        assert_eq!((last.start_bytes, last.file), (5 * 65536, 2));
        let mut raw = Vec::new();
        disk.stored(&last, &mut raw).unwrap();
        assert!(raw.starts_with(&[0x78]));
        let hole = disk.extent_at(65536).unwrap();
        assert_eq!((hole.kind, hole.len_bytes), (ExtentKind::Hole, 65536));
        assert!(disk.stored(&hole, &mut raw).is_err());
    }

    #[test]
    fn a_part_ends_inside_its_image() {
        use Part::{Bytes, Damaged};
        let mut disk = empty(3);
        let behind = Damaged("nobody looks here");
        disk.push("a", fake(&[Bytes(1), Bytes(2), behind]), 98_304).unwrap();
        disk.push("b", stream(&filled(&[5, 6])), 98_304).unwrap();
        let mut want = vec![1; 65536];
        for (byte, len) in [(2, 32768), (5, 65536), (6, 32768)] {
            want.resize(want.len() + len, byte);
        }
        assert_eq!(read_all(&disk), want);
        let last = disk.extents().last().unwrap().unwrap();
        assert!(matches!(last.kind, ExtentKind::StoredPart { whole_start_bytes: 163_840, .. }));
    }

    #[test]
    fn a_disk_of_parts_can_be_a_part() {
        use Part::Bytes;
        let mut inner = empty(2);
        inner.push("a", fake(&[Bytes(1)]), 65536).unwrap();
        inner.push("b", stream(&filled(&[2, 3])), 65536 + 512).unwrap();
        inner.info.capacity_bytes = 131_584;
        let mut outer = empty(4);
        outer.push_zeros(65536);
        outer.push("inner", Box::new(inner), 131_072 + 256).unwrap();
        outer.push("c", fake(&[Bytes(4)]), 65536 - 256).unwrap();
        assert_eq!(outer.files(), ["", "inner", "a", "b", "c"]);
        let mut want = filled(&[0, 1, 2]);
        want.resize(want.len() + 256, 3);
        want.resize(4 * 65536, 4);
        assert_eq!(read_all(&outer), want);
    }

    #[test]
    fn damage_and_shortness_are_told_with_the_name() {
        use Part::{Bytes, Damaged};
        let mut disk = empty(2);
        let error = disk.push("a\n", fake(&[Bytes(1)]), 65537).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the extent 'a\\n' has 65536 bytes, its descriptor says 65537"
        );
        disk.push("b", fake(&[Damaged("grain 0 is gone"), Bytes(2)]), 131_072).unwrap();
        let told: Vec<_> = disk
            .extents()
            .map(|extent| extent.map_err(|error| error.to_string()).is_ok())
            .collect();
        assert_eq!(told, [false, true]);
        let error = disk.extents().next().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "grain 0 is gone, in b");
        assert_eq!(disk.extent_at(3).unwrap_err().to_string(), "damaged, in b");
    }
}
