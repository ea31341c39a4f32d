//! A VMDK that can be read at any place.

use std::{
    collections::VecDeque,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    Error, Extent, ExtentKind, Extents, Format, Image, Info, ReadAt, Result, Warning, Workbench,
    error::{Failure, shown},
    fields::buffer_len,
    image::{Joined, check_buffer},
    vmdk::{
        descriptor::Descriptor,
        extents::{GrainExtents, grain_extent},
        grain::{GrainPlace, RECORD_HEADER_BYTES},
        header::{Header, SECTOR_BYTES, TABLE_BYTES},
        locate::{Located, locate},
        map::{GrainMap, Table},
    },
};

/// The tables that [`Image::read_at`] keeps: they describe 512 MiB of the usual grains.
const CACHED_TABLES: usize = 16;

/// A hosted sparse or streamOptimized extent.
pub(crate) struct Reader {
    pub(super) bytes: Arc<dyn ReadAt>,
    pub(super) header: Header,
    pub(super) map: GrainMap,
    directory_sector: Option<u64>,
    info: Info,
    cache: Mutex<VecDeque<(u64, Option<Arc<Table>>)>>,
}

impl Reader {
    /// Opens an extent: its header and its grain directory are read and checked.
    ///
    /// Of its descriptor it is only asked whether the grains are encrypted.
    pub(crate) fn open(bytes: Arc<dyn ReadAt>) -> Result<Self> {
        Ok(Self::with_descriptor(bytes)?.0)
    }

    /// Opens an extent that the descriptor of a disk lists. Only that descriptor is asked for a parent;
    /// what the extent's own says of one is a warning, since it may be old or the only one that is right.
    pub(super) fn part(bytes: Arc<dyn ReadAt>) -> Result<Self> {
        let (mut reader, embedded) = Self::with_descriptor(bytes)?;
        if let Some(embedded) = embedded.filter(|embedded| embedded.descriptor.parent().is_some()) {
            let message = "the extent's own descriptor calls it a delta, and the disk that lists it decides what lies below";
            reader.info.warnings.push(Warning::defect(embedded.offset_bytes, message));
        }
        Ok(reader)
    }

    /// Opens an extent, and gives its descriptor, if it has one.
    pub(super) fn with_descriptor(bytes: Arc<dyn ReadAt>) -> Result<(Self, Option<Embedded>)> {
        let head_bytes = bytes.len_bytes().min(SECTOR_BYTES);
        let mut head = vec![0; buffer_len(head_bytes)];
        bytes.fill(&mut head, 0)?;
        let header = Header::parse(&head, 0)?;
        let embedded = Embedded::read(&*bytes, &header)?;
        let descriptor = embedded.as_ref().map(|embedded| &embedded.descriptor);
        let Located { map, directory_sector, mut warnings } = locate(&*bytes, &header)?;
        warnings.extend(header.warning());
        warnings.extend(embedded.as_ref().and_then(Embedded::warning));
        let info = info(&header, descriptor, bytes.len_bytes(), warnings);
        let reader = Self { bytes, header, map, directory_sector, info, cache: Mutex::default() };
        Ok((reader, embedded))
    }

    /// The grain around a byte of the disk.
    fn lookup(&self, at: u64) -> Result<Extent> {
        let index = at.checked_div(self.header.grain_bytes()).unwrap_or_default();
        let number = at.checked_div(self.header.table_span_bytes()).unwrap_or_default();
        match self.cached_table(number)? {
            Some(table) => grain_extent(self, &table, index),
            None => Ok(self.header.grain_range(index, ExtentKind::Hole)),
        }
    }

    fn cached_table(&self, number: u64) -> Result<Option<Arc<Table>>> {
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, table)) = lock().iter().find(|(cached, _)| *cached == number) {
            return Ok(table.clone());
        }
        // Read without the lock: two threads may read one table, none waits for another's read.
        let table = self.map.table(&*self.bytes, number)?.map(Arc::from);
        let mut cache = lock();
        if cache.len() >= CACHED_TABLES {
            cache.pop_front();
        }
        cache.push_back((number, table.clone()));
        Ok(table)
    }

    /// The grain that a stored extent is, for checks and messages.
    fn place(&self, extent: &Extent, offset_bytes: u64) -> GrainPlace {
        let grain_bytes = self.header.grain_bytes();
        let index = extent.start_bytes.checked_div(grain_bytes).unwrap_or_default();
        GrainPlace { index, offset_bytes, grain_bytes }
    }
}

impl Image for Reader {
    fn info(&self) -> &Info {
        &self.info
    }

    fn extents(&self) -> Extents<'_> {
        Box::new(Joined::new(GrainExtents::new(self)))
    }

    fn read_extent(&self, extent: &Extent, bench: &mut Workbench, out: &mut [u8]) -> Result<()> {
        check_buffer(extent, out)?;
        match extent.kind {
            ExtentKind::Hole | ExtentKind::Zero => out.fill(0),
            ExtentKind::Data { offset_bytes } => self.bytes.fill(out, offset_bytes)?,
            ExtentKind::StoredPart { .. } => {
                return Err(Error::malformed(Failure::NotStored(extent.start_bytes)));
            }
            ExtentKind::Stored { offset_bytes, len_bytes, .. } => {
                let place = self.place(extent, offset_bytes);
                let Workbench { inflater, record, grain, .. } = bench;
                record.resize(buffer_len(len_bytes.min(self.header.max_record_bytes())), 0);
                self.bytes.fill(record, offset_bytes)?;
                place.inflate(place.stream(record)?, inflater, grain, out)?;
            }
        }
        Ok(())
    }

    fn stored(&self, extent: &Extent, buf: &mut Vec<u8>) -> Result<()> {
        let ExtentKind::Stored { offset_bytes, len_bytes, .. } = extent.kind else {
            return Err(Error::malformed(Failure::NotStored(extent.start_bytes)));
        };
        buf.resize(buffer_len(len_bytes.min(self.header.max_record_bytes())), 0);
        self.bytes.fill(buf, offset_bytes)?;
        let stream_bytes = self.place(extent, offset_bytes).stream(buf)?.len();
        buf.drain(..buffer_len(RECORD_HEADER_BYTES));
        buf.truncate(stream_bytes);
        Ok(())
    }

    fn extent_at(&self, offset_bytes: u64) -> Result<Extent> {
        self.lookup(offset_bytes)
    }

    fn bytes(&self) -> &Arc<dyn ReadAt> {
        &self.bytes
    }

    fn metadata(&self) -> Box<dyn Iterator<Item = (u32, Range<u64>)> + '_> {
        let span = |sector: u64, sectors: u64| {
            let start = sector.saturating_mul(SECTOR_BYTES);
            start..start.saturating_add(sectors.saturating_mul(SECTOR_BYTES))
        };
        let fixed = [
            Some(span(0, 1)),
            self.header.descriptor().map(|(sector, sectors)| span(sector, sectors)),
            self.directory_sector.map(|sector| span(sector, self.header.directory_sectors())),
        ];
        let tables = self
            .map
            .places()
            .iter()
            .map(move |place| span(u64::from(place.sector), TABLE_BYTES / SECTOR_BYTES));
        Box::new(fixed.into_iter().flatten().chain(tables).map(|range| (0, range)))
    }
}

/// The descriptor that stands in a sparse extent.
#[derive(Debug)]
pub(super) struct Embedded {
    pub(super) descriptor: Descriptor,
    /// The byte of the file that it starts at.
    pub(super) offset_bytes: u64,
}

impl Embedded {
    /// Reads the descriptor of an extent, if it has one; an encrypted disk is refused.
    pub(super) fn read(bytes: &dyn ReadAt, header: &Header) -> Result<Option<Self>> {
        let Some((sector, sectors)) = header.descriptor() else { return Ok(None) };
        let offset_bytes = sector.saturating_mul(SECTOR_BYTES);
        // The header's limit for a descriptor holds here.
        let len_bytes = sectors.saturating_mul(SECTOR_BYTES);
        if offset_bytes.checked_add(len_bytes).is_none_or(|end| end > bytes.len_bytes()) {
            let message = format!(
                "a descriptor of {len_bytes} bytes is not inside the file of {} bytes",
                bytes.len_bytes()
            );
            return Err(Error::malformed(message).at(offset_bytes));
        }
        let mut text = vec![0; buffer_len(len_bytes)];
        bytes.fill(&mut text, offset_bytes)?;
        let parsed = Descriptor::parse(&text).map_err(|error| error.at(offset_bytes))?;
        let embedded = Self { descriptor: parsed, offset_bytes };
        embedded.check(Descriptor::refuse_encrypted)?;
        Ok(Some(embedded))
    }

    /// Asks the descriptor; an error names its byte.
    pub(super) fn check(&self, refuse: impl Fn(&Descriptor) -> Result<()>) -> Result<()> {
        refuse(&self.descriptor).map_err(|error| error.at(self.offset_bytes))
    }

    /// What is odd about the text.
    pub(super) fn warning(&self) -> Option<Warning> {
        self.descriptor.warning(self.offset_bytes)
    }
}

fn info(
    header: &Header,
    descriptor: Option<&Descriptor>,
    file_bytes: u64,
    warnings: Vec<Warning>,
) -> Info {
    let named = descriptor.and_then(|descriptor| descriptor.create_type.clone());
    Info {
        format: Format::Vmdk,
        variant: named.map_or_else(|| variant(header).to_owned(), |named| shown(&named)),
        capacity_bytes: header.capacity_bytes(),
        file_bytes,
        unit_bytes: Some(header.grain_bytes()),
        references: descriptor.map(Descriptor::references).unwrap_or_default(),
        warnings,
    }
}

/// The sub-format that the header itself shows.
pub(super) fn variant(header: &Header) -> &'static str {
    if header.is_stream() { "streamOptimized" } else { "monolithicSparse" }
}
