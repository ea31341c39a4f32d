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
        header::{Header, MAGIC, SECTOR_BYTES, TABLE_BYTES},
        locate::{Located, locate},
        map::{GrainMap, Table},
    },
};

/// The tables that [`Image::read_at`] keeps: they describe 512 MiB of the usual grains.
const CACHED_TABLES: usize = 16;

/// A hosted sparse or streamOptimized extent that stands alone.
pub(crate) struct Reader {
    pub(super) bytes: Arc<dyn ReadAt>,
    pub(super) header: Header,
    pub(super) map: GrainMap,
    directory_sector: Option<u64>,
    info: Info,
    cache: Mutex<VecDeque<(u64, Option<Arc<Table>>)>>,
}

impl Reader {
    /// Opens a disk: its header, its descriptor and its grain directory are read and checked.
    pub(crate) fn open(bytes: Arc<dyn ReadAt>) -> Result<Self> {
        let head_bytes = bytes.len_bytes().min(SECTOR_BYTES);
        let mut head = vec![0; buffer_len(head_bytes)];
        bytes.fill(&mut head, 0)?;
        if !head.starts_with(MAGIC) {
            return Err(refuse_other(&*bytes, &head)?);
        }
        let header = Header::parse(&head, 0)?;
        let descriptor = read_descriptor(&*bytes, &header)?;
        let Located { map, directory_sector, mut warnings } = locate(&*bytes, &header)?;
        warnings.extend(header.warning());
        if let (Some(descriptor), Some((sector, _))) = (&descriptor, header.descriptor()) {
            warnings.extend(descriptor.warning(sector.saturating_mul(SECTOR_BYTES)));
        }
        let info = info(&header, descriptor.as_ref(), bytes.len_bytes(), warnings);
        Ok(Self { bytes, header, map, directory_sector, info, cache: Mutex::default() })
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

/// Refuses a VMDK that is no hosted sparse extent, by its name.
fn refuse_other(bytes: &dyn ReadAt, head: &[u8]) -> Result<Error> {
    if head.starts_with(b"COWD") {
        return Ok(Error::unsupported(Failure::NotYet("a COWD (vmfsSparse) delta")));
    }
    if head.starts_with(&0xcafe_babe_u64.to_le_bytes()) {
        return Ok(Error::unsupported(Failure::NotYet("an seSparse delta")));
    }
    let mut text = vec![0; buffer_len(bytes.len_bytes().min(MAX_DESCRIPTOR_BYTES))];
    bytes.fill(&mut text, 0)?;
    Ok(Descriptor::parse(&text).map_or_else(|error| error, |descriptor| descriptor.refuse_alone()))
}

/// The part of a descriptor file that is looked at: the limit of this product.
const MAX_DESCRIPTOR_BYTES: u64 = 1 << 20;

/// Reads the embedded descriptor and refuses a disk that needs other files or a key.
pub(super) fn read_descriptor(bytes: &dyn ReadAt, header: &Header) -> Result<Option<Descriptor>> {
    let Some((sector, sectors)) = header.descriptor() else { return Ok(None) };
    let start = sector.saturating_mul(SECTOR_BYTES);
    // The header's limit for a descriptor holds here.
    let len_bytes = sectors.saturating_mul(SECTOR_BYTES);
    if start.checked_add(len_bytes).is_none_or(|end| end > bytes.len_bytes()) {
        let message = format!(
            "a descriptor of {len_bytes} bytes is not inside the file of {} bytes",
            bytes.len_bytes()
        );
        return Err(Error::malformed(message).at(start));
    }
    let mut text = vec![0; buffer_len(len_bytes)];
    bytes.fill(&mut text, start)?;
    let checked = Descriptor::parse(&text).and_then(|descriptor| {
        descriptor.refuse_incomplete()?;
        descriptor.refuse_other_extents()?;
        Ok(descriptor)
    });
    checked.map(Some).map_err(|error| error.at(start))
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
