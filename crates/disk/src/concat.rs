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

    /// Appends zeros.
    pub(crate) fn push_zeros(&mut self, len_bytes: u64) {
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
            Some((name, image)) => Box::new(
                image
                    .extents()
                    .map(move |extent| extent.map_err(|error| error.in_file(name)))
                    .filter_map(|extent| extent.map(|extent| self.lift(extent)).transpose()),
            ),
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

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.bytes
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
