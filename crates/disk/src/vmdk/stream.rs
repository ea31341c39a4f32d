//! A VMDK that comes from a pipe.
//!
//! ```text
//! streamOptimized:   header, descriptor, (tables) | grain, grain, table, …, directory, footer, end
//! monolithicSparse:  header, descriptor, tables   | grains in any order, by sector
//!                    kept in memory, bounded        read once, in the order of the file
//! ```

use std::{io, sync::Arc};

use crate::{
    CLUSTER_BYTES, Error, Extent, ExtentKind, Format, Kind, Piece, ReadAt, Result, Sequential,
    Warning,
    fields::buffer_len,
    forward::Forward,
    sequential::Coding,
    usage::Usage,
    vmdk::{
        descriptor::Descriptor,
        extents::GrainExtents,
        grain::{GrainError, GrainPlace, RECORD_HEADER_BYTES},
        header::{Header, SECTOR_BYTES, SECTOR_LEN, TABLE_BYTES},
        map::{GrainMap, parse_table},
        marker::{MARKER_BYTES, Marker, Metadata, WalkError},
        proof::Proof,
        reader::{Embedded, Reader, variant},
    },
};

/// The most bytes in front of the grains that are kept: the limit of this product. It is enough for
/// both sets of tables of a disk of 256 GiB with the usual grains.
const MAX_FRONT_BYTES: u64 = 32 << 20;

/// The guest bytes of a piece that is not compressed.
const PIECE_BYTES: u64 = 1 << 20;

/// The part of a grain directory that is read at once.
const DIRECTORY_WINDOW_BYTES: u64 = 64 << 10;

#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("{0}: this disk cannot be read from a pipe, save it to a file first")]
    NeedsFile(&'static str),
    #[error("grain {0} is there twice")]
    Twice(u64),
    #[error("the footer has the {field} {back}, the header {front}")]
    FooterDiffers { field: &'static str, front: u64, back: u64 },
    #[error("the footer names a grain directory at sector {0}, where the stream had none")]
    OtherDirectory(u64),
    #[error("the footer does not say where the grain directory is")]
    FooterWithoutDirectory,
    #[error("a grain or table at byte {0} is behind what a grain table can name")]
    TooFar(u64),
}

/// Opens a disk that is read front to end; what stands in front of the grains is read now.
pub(crate) fn open_stream<'a>(mut input: Forward<'a>) -> Result<Box<dyn Sequential + 'a>> {
    let mut front = Vec::new();
    let head_bytes = input.len_bytes().min(SECTOR_BYTES);
    input.append(&mut front, head_bytes)?;
    if !front.starts_with(super::header::MAGIC) {
        return Err(needs_file("a VMDK that is no hosted sparse extent"));
    }
    let header = Header::parse(&front, 0)?;
    let front_bytes = header.grains_start_bytes().min(input.len_bytes());
    if front_bytes > MAX_FRONT_BYTES {
        return Err(needs_file("its tables are over 32 MiB"));
    }
    input.append(&mut front, front_bytes.saturating_sub(head_bytes))?;
    let front = Front { bytes: front, len_bytes: input.len_bytes() };
    if header.is_stream() {
        let (start, file_bytes) = (header.grains_start_bytes(), front.len_bytes);
        if start > file_bytes {
            return Err(Error::malformed(WalkError::NoGrains { start, file_bytes }).at(64));
        }
        Ok(Box::new(Grains::open(input, header, &front)?))
    } else {
        Ok(Box::new(Sparse::open(input, &header, front)?))
    }
}

fn needs_file(why: &'static str) -> Error {
    Error::unsupported(StreamError::NeedsFile(why))
}

/// The bytes in front of the grains, which pretend to be the whole file: so the tables are read and
/// checked by what reads them from a file.
struct Front {
    bytes: Vec<u8>,
    len_bytes: u64,
}

impl Front {
    /// Whether these sectors are in front of the grains.
    fn holds(&self, sector: u64, sectors: u64) -> bool {
        let end = sector.saturating_add(sectors).saturating_mul(SECTOR_BYTES);
        end <= self.bytes.len() as u64
    }

    /// Reads the descriptor, which must be in front of the grains.
    ///
    /// A disk that needs other files is refused: a pipe has none beside it.
    fn descriptor(&self, header: &Header) -> Result<Option<Embedded>> {
        if header.descriptor().is_some_and(|(sector, sectors)| !self.holds(sector, sectors)) {
            return Err(needs_file("its descriptor is behind the grains"));
        }
        let embedded = Embedded::read(self, header)?;
        if let Some(embedded) = &embedded {
            embedded.check(Descriptor::refuse_delta)?;
            embedded.check(Descriptor::refuse_other_extents)?;
        }
        Ok(embedded)
    }

    /// The sector of the grain directory, if it is in front of the grains.
    fn directory_sector(&self, header: &Header) -> Option<u64> {
        header.directory_sector().filter(|sector| self.holds(*sector, header.directory_sectors()))
    }
}

/// Says what it means that something cannot be read from the bytes in front of the grains.
fn in_front(error: Error) -> Error {
    match error.kind() {
        Kind::Io => needs_file("a table is behind the grains"),
        _ => error,
    }
}

impl ReadAt for Front {
    fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.bytes.read_exact_at(buf, offset_bytes)
    }
}

/// A streamOptimized disk: its grains carry their own numbers.
struct Grains<'a> {
    input: Forward<'a>,
    header: Header,
    /// Which grains arrived: one bit each.
    arrived: Usage,
    proof: Proof,
    /// The sector of the last directory that came.
    directory_sector: Option<u64>,
    footer: bool,
    warnings: Vec<Warning>,
    done: bool,
}

impl<'a> Grains<'a> {
    fn open(input: Forward<'a>, header: Header, front: &Front) -> Result<Self> {
        let descriptor = front.descriptor(&header)?;
        let mut warnings = Vec::from_iter(header.warning());
        warnings.extend(descriptor.as_ref().and_then(Embedded::warning));
        let mut proof = Proof::default();
        if let Some(sector) = front.directory_sector(&header) {
            match note_front_tables(&mut proof, front, &header, sector) {
                // Of kind I/O when a table is behind the first grain, where its marker shows it.
                Err(error) if matches!(error.kind(), Kind::Malformed | Kind::Io) => {
                    let at = sector.saturating_mul(SECTOR_BYTES);
                    let message = match error.kind() {
                        Kind::Io => "a grain table is behind the first grain".to_owned(),
                        _ => error.to_string(),
                    };
                    let message = format!("{message}; the grains name themselves");
                    warnings.push(Warning::defect(at, message));
                }
                other => other?,
            }
        }
        Ok(Self {
            input,
            header,
            arrived: Usage::default(),
            proof,
            directory_sector: None,
            footer: false,
            warnings,
            done: false,
        })
    }

    /// Reads the stream of a grain, whose first sector was read.
    fn take_grain(
        &mut self,
        (index, stream_bytes): (u64, u64),
        first: &[u8; SECTOR_LEN],
        piece: &mut Piece,
    ) -> Result<()> {
        let offset_bytes = self.input.at().saturating_sub(SECTOR_BYTES);
        let place = GrainPlace { index, offset_bytes, grain_bytes: self.header.grain_bytes() };
        let record_bytes = stream_bytes.saturating_add(RECORD_HEADER_BYTES);
        let behind = record_bytes.saturating_sub(SECTOR_BYTES);
        if behind > self.input.rest()? {
            return Err(place.error(GrainError::Cut(index)));
        }
        if !self.arrived.claim(index) {
            return Err(Error::malformed(StreamError::Twice(index)).at(offset_bytes));
        }
        self.proof.grain(index, sector(offset_bytes)?);
        piece.bytes.clear();
        piece.bytes.extend_from_slice(first.get(buffer_len(RECORD_HEADER_BYTES)..).unwrap_or(&[]));
        // The padding of the last record may be missing.
        let padded = behind.next_multiple_of(SECTOR_BYTES).min(self.input.rest()?);
        self.input.append(&mut piece.bytes, padded)?;
        piece.bytes.truncate(buffer_len(stream_bytes));
        let range = self.header.grain_range(index, ExtentKind::Hole);
        piece.start_bytes = range.start_bytes;
        piece.len_bytes = range.len_bytes;
        piece.coding = Coding::Grain(place);
        Ok(())
    }

    /// Reads a table, directory or footer and notes what it says.
    fn take_metadata(&mut self, kind: Metadata, len_bytes: u64) -> Result<()> {
        let at = self.input.at();
        let mut raw = Vec::new();
        match kind {
            Metadata::Table => {
                self.input.append(&mut raw, TABLE_BYTES)?;
                let zero_grains = self.header.has_zero_grains();
                self.proof.table(sector(at)?, &parse_table(&raw), zero_grains);
            }
            Metadata::Directory => {
                self.directory_sector = Some(at / SECTOR_BYTES);
                let mut done = 0;
                while done < len_bytes {
                    let part = len_bytes.saturating_sub(done).min(DIRECTORY_WINDOW_BYTES);
                    raw.clear();
                    self.input.append(&mut raw, part)?;
                    self.proof.directory(&raw, done / 4, at)?;
                    done = done.saturating_add(part);
                }
            }
            Metadata::Unspecified => self.input.skip(len_bytes)?,
            Metadata::Footer => {
                self.input.append(&mut raw, SECTOR_BYTES)?;
                let footer = Header::parse(&raw, at)?;
                self.footer = true;
                let fail = |leaf| Err(Error::malformed(leaf).at(at));
                match footer.directory_sector() {
                    None => return fail(StreamError::FooterWithoutDirectory),
                    Some(named) if self.directory_sector != Some(named) => {
                        return fail(StreamError::OtherDirectory(named));
                    }
                    Some(_) => {}
                }
                if let Some((field, front, back)) = self.header.differs(&footer) {
                    return fail(StreamError::FooterDiffers { field, front, back });
                }
            }
        }
        Ok(())
    }

    /// Verifies the whole and reads to the last byte.
    fn conclude(&mut self, marker: Option<Marker>) -> Result<()> {
        self.done = true;
        let at = self.input.at();
        let (extra, zeros) = self.input.drain()?;
        let tables_in_front = self.header.directory_sector().is_some();
        let proven = self.proof.conclude(at)?;
        // A sector of zeros among the grains looks like the end of the stream.
        if marker.is_some() && !zeros && extra >= SECTOR_BYTES && !proven && !self.footer {
            let end = at.saturating_sub(SECTOR_BYTES);
            return Err(Error::malformed(WalkError::EndsInside(extra)).at(end));
        }
        // Tables in front need no end: QEMU writes none.
        if marker.is_none() && !(tables_in_front && proven) {
            self.warnings.push(Warning::defect(at, "the end-of-stream marker is missing"));
        }
        // QEMU, which writes its tables in front, fills the last 64 KiB of the file with zeros.
        if extra > 0 && !(tables_in_front && zeros) {
            let message = format!("{extra} bytes behind the end of the stream are ignored");
            self.warnings.push(Warning::defect(at, message));
        }
        if !tables_in_front && !self.footer {
            self.warnings.push(Warning::defect(at, "there is no footer"));
        }
        if !proven {
            let message = "there is no grain directory; the grains name themselves";
            self.warnings.push(Warning::defect(at, message));
        }
        Ok(())
    }
}

impl Sequential for Grains<'_> {
    fn format(&self) -> Format {
        Format::Vmdk
    }

    fn variant(&self) -> &str {
        variant(&self.header)
    }

    fn capacity_bytes(&self) -> u64 {
        self.header.capacity_bytes()
    }

    fn next(&mut self, piece: &mut Piece) -> Result<bool> {
        while !self.done {
            let at = self.input.at();
            if self.input.rest()? < SECTOR_BYTES {
                self.conclude(None)?;
                break;
            }
            let mut first = [0; SECTOR_LEN];
            self.input.read_exact(&mut first)?;
            let raw = first.first_chunk::<MARKER_BYTES>().copied().unwrap_or_default();
            match Marker::parse(&raw, &self.header, at)? {
                Marker::Grain { index, stream_bytes } => {
                    self.take_grain((index, stream_bytes), &first, piece)?;
                    return Ok(true);
                }
                Marker::Metadata { kind, len_bytes } => self.take_metadata(kind, len_bytes)?,
                end @ Marker::EndOfStream => self.conclude(Some(end))?,
            }
        }
        Ok(false)
    }

    fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

/// Notes what the tables in front of the grains say.
fn note_front_tables(proof: &mut Proof, front: &Front, header: &Header, sector: u64) -> Result<()> {
    let map = GrainMap::read(front, header, sector)?;
    let mut directory = vec![0; buffer_len(header.table_count().saturating_mul(4))];
    let at = sector.saturating_mul(SECTOR_BYTES);
    front.read_exact_at(&mut directory, at)?;
    for place in map.places() {
        if let Some(table) = map.table(front, u64::from(place.number))? {
            proof.table(place.sector, &table, header.has_zero_grains());
        }
    }
    proof.directory(&directory, 0, at)
}

/// The sector at a byte, as a grain table names it.
fn sector(at: u64) -> Result<u32> {
    u32::try_from(at / SECTOR_BYTES).map_err(|_| Error::malformed(StreamError::TooFar(at)).at(at))
}

/// A sparse disk: its tables say which grain each sector belongs to.
struct Sparse<'a> {
    input: Forward<'a>,
    reader: Reader,
    /// The grains that are left, in the order of the file, the first at the end.
    grains: Vec<FileGrain>,
}

/// A grain by its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FileGrain {
    sector: u32,
    index: u32,
}

impl<'a> Sparse<'a> {
    fn open(input: Forward<'a>, header: &Header, front: Front) -> Result<Self> {
        front.descriptor(header)?;
        if front.directory_sector(header).is_none() {
            return Err(needs_file("its tables are behind the grains"));
        }
        let reader = Reader::open(Arc::new(front)).map_err(in_front)?;
        let mut grains = Vec::new();
        for extent in GrainExtents::new(&reader) {
            let Extent { start_bytes, kind, .. } = extent.map_err(in_front)?;
            if let ExtentKind::Data { offset_bytes } = kind {
                let index = start_bytes.checked_div(header.grain_bytes()).unwrap_or_default();
                let index =
                    u32::try_from(index).map_err(|_| needs_file("it has too many grains"))?;
                grains.push(FileGrain { sector: sector(offset_bytes)?, index });
            }
        }
        grains.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Self { input, reader, grains })
    }

    fn range(&self, grain: FileGrain) -> Extent {
        let offset_bytes = u64::from(grain.sector).saturating_mul(SECTOR_BYTES);
        let kind = ExtentKind::Data { offset_bytes };
        self.reader.header.grain_range(u64::from(grain.index), kind)
    }
}

impl Sequential for Sparse<'_> {
    fn format(&self) -> Format {
        Format::Vmdk
    }

    fn variant(&self) -> &str {
        variant(&self.reader.header)
    }

    fn capacity_bytes(&self) -> u64 {
        self.reader.header.capacity_bytes()
    }

    fn next(&mut self, piece: &mut Piece) -> Result<bool> {
        let Some(first) = self.grains.pop() else {
            self.input.drain()?;
            return Ok(false);
        };
        let mut run = self.range(first);
        // A run that starts inside a cluster ends with it, so that whoever takes the pieces sees
        // which clusters are whole; one that starts with a cluster is cut at whole clusters.
        let in_cluster = run.start_bytes % CLUSTER_BYTES;
        let most_bytes =
            if in_cluster == 0 { PIECE_BYTES } else { CLUSTER_BYTES.saturating_sub(in_cluster) };
        while run.len_bytes < most_bytes
            && let Some(next) = self.grains.last()
            && run.join(&self.range(*next))
        {
            self.grains.pop();
        }
        let at = u64::from(first.sector).saturating_mul(SECTOR_BYTES);
        let Some(gap) = at.checked_sub(self.input.at()) else {
            return Err(needs_file("two of its grains overlap"));
        };
        self.input.skip(gap)?;
        piece.bytes.clear();
        self.input.append(&mut piece.bytes, run.len_bytes)?;
        piece.start_bytes = run.start_bytes;
        piece.len_bytes = run.len_bytes;
        piece.coding = Coding::Plain;
        Ok(true)
    }

    fn warnings(&self) -> &[Warning] {
        crate::Image::warnings(&self.reader)
    }
}
