//! Where the grain tables of a disk are: in front, behind a footer, or nowhere.

use crate::{
    Error, Kind, ReadAt, Result, Warning,
    fields::{buffer_len, le32},
    vmdk::{
        grain::{GrainError, GrainPlace},
        header::{Header, MAGIC, SECTOR_BYTES, SECTOR_LEN},
        map::{GrainMap, WalkedGrain},
        marker::{FOOTER, MARKER_BYTES, Marker, Metadata, WalkError},
    },
    zero::is_zero,
};

/// How far behind the last sector that is not zero a footer is looked for.
const FOOTER_SEARCH_SECTORS: u64 = 2048;

/// How many sectors of zeros behind the end of the stream are passed over.
const TRAILING_ZERO_SECTORS: u64 = 32 << 10;

/// The part behind the end of the stream that is read at once.
const TAIL_WINDOW_BYTES: usize = 64 << 10;

/// The map of a disk, and what was tolerated to get it.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) map: GrainMap,
    /// The sector of the directory that is used, if there is one.
    pub(super) directory_sector: Option<u64>,
    pub(super) warnings: Vec<Warning>,
}

#[derive(Debug, thiserror::Error)]
enum LocateError {
    #[error("a disk without compressed grains has no grain directory")]
    NoDirectory,
    #[error(
        "grain directory entry {0} is empty in the first directory and not in the redundant one"
    )]
    OneDirectory(u32),
    #[error("the footer has the {field} {back}, the header {front}")]
    FooterDiffers { field: &'static str, front: u64, back: u64 },
    #[error("the footer does not say where the grain directory is")]
    FooterWithoutDirectory,
    #[error("grain {index} is there twice, first at byte {first}")]
    Twice { index: u64, first: u64 },
    #[error("a grain at byte {0} is behind what a grain table can name")]
    TooFar(u64),
}

/// Finds the grain tables of a disk.
pub(super) fn locate(bytes: &dyn ReadAt, header: &Header) -> Result<Located> {
    match (header.directory_sector(), header.is_stream()) {
        (Some(sector), false) => directory(bytes, header, sector),
        (Some(sector), true) => of_stream(bytes, header, directory(bytes, header, sector)),
        (None, true) => behind_the_grains(bytes, header),
        (None, false) => Err(Error::malformed(LocateError::NoDirectory).at(56)),
    }
}

/// Reads the directory, or the redundant one when the first is damaged.
///
/// The two must list the same tables: zeros where a directory was are no empty disk.
fn directory(bytes: &dyn ReadAt, header: &Header, sector: u64) -> Result<Located> {
    let second = header.redundant_sector().filter(|second| *second != sector);
    let redundant = || second.and_then(|second| GrainMap::read(bytes, header, second).ok());
    let first = match GrainMap::read(bytes, header, sector) {
        Ok(map) => {
            let lost = redundant().and_then(|other| map.first_missing(&other));
            let Some(number) = lost else {
                return Ok(Located { map, directory_sector: Some(sector), warnings: Vec::new() });
            };
            let entry = sector.saturating_mul(SECTOR_BYTES);
            let entry = entry.saturating_add(u64::from(number).saturating_mul(4));
            Error::malformed(LocateError::OneDirectory(number)).at(entry)
        }
        Err(error) => error,
    };
    let (Some(second), Kind::Malformed) = (second, first.kind()) else { return Err(first) };
    let Some(map) = redundant() else { return Err(first) };
    let message = format!("{first}; the redundant grain directory is used");
    let at = second.saturating_mul(SECTOR_BYTES);
    let warnings = vec![Warning::defect(at, message)];
    Ok(Located { map, directory_sector: Some(second), warnings })
}

/// Finds the footer and reads the directory that it names.
fn behind_the_grains(bytes: &dyn ReadAt, header: &Header) -> Result<Located> {
    let Some(found) = find_footer(bytes)? else {
        return walk_instead(bytes, header, &"there is no footer");
    };
    let footer = Header::parse(&found.footer, found.offset_bytes)?;
    if let Some((field, front, back)) = header.differs(&footer) {
        let leaf = LocateError::FooterDiffers { field, front, back };
        return Err(Error::malformed(leaf).at(found.offset_bytes));
    }
    let Some(sector) = footer.directory_sector() else {
        let leaf = LocateError::FooterWithoutDirectory;
        return Err(Error::malformed(leaf).at(found.offset_bytes));
    };
    let located = directory(bytes, header, sector).map(|mut located| {
        located.warnings.extend(found.warning);
        located
    });
    of_stream(bytes, header, located)
}

/// Takes the directory of a stream, unless it is damaged or has lost all of its tables: then the
/// grains are found by their own headers.
fn of_stream(bytes: &dyn ReadAt, header: &Header, located: Result<Located>) -> Result<Located> {
    let located = match located {
        Err(error) if error.kind() == Kind::Malformed => {
            return walk_instead(bytes, header, &error);
        }
        other => other?,
    };
    let start = header.grains_start_bytes();
    if !located.map.places().is_empty() || start >= bytes.len_bytes() {
        return Ok(located);
    }
    // The stream of an empty disk has nothing to walk over.
    match walk(bytes, header)?.0 {
        GrainMap::Walked(grains) if !grains.is_empty() => {
            walk_instead(bytes, header, &"the grain directory is empty and the stream is not")
        }
        _ => Ok(located),
    }
}

/// A footer that was found, and where.
struct Footer {
    footer: [u8; SECTOR_LEN],
    offset_bytes: u64,
    warning: Option<Warning>,
}

/// Looks for the footer where it belongs, then a little before the end.
fn find_footer(bytes: &dyn ReadAt) -> Result<Option<Footer>> {
    let end = bytes.len_bytes() / SECTOR_BYTES;
    let sector = |number: u64| -> Result<[u8; SECTOR_LEN]> {
        let mut sector = [0; SECTOR_LEN];
        bytes.fill(&mut sector, number.saturating_mul(SECTOR_BYTES))?;
        Ok(sector)
    };
    // Backwards: zeros that somebody appended and the end-of-stream marker, then the footer.
    let mut last = end;
    let zeros_end = end.saturating_sub(TRAILING_ZERO_SECTORS);
    while last > zeros_end && is_zero(&sector(last.saturating_sub(1))?) {
        last = last.saturating_sub(1);
    }
    let lowest = last.saturating_sub(FOOTER_SEARCH_SECTORS).max(1);
    for number in (lowest..last).rev() {
        let footer = sector(number)?;
        if footer.starts_with(MAGIC) && is_footer_marker(&sector(number.saturating_sub(1))?) {
            let offset_bytes = number.saturating_mul(SECTOR_BYTES);
            let warning = tail_warning(bytes.len_bytes(), number, last);
            return Ok(Some(Footer { footer, offset_bytes, warning }));
        }
    }
    Ok(None)
}

fn is_footer_marker(sector: &[u8]) -> bool {
    le32(sector, 8) == Some(0) && le32(sector, 12) == Some(FOOTER)
}

/// What is odd about the bytes behind the footer: an end-of-stream marker belongs there, alone.
fn tail_warning(len_bytes: u64, footer_sector: u64, last_sector: u64) -> Option<Warning> {
    let behind = footer_sector.saturating_add(1);
    let marker_end = behind.saturating_add(1).saturating_mul(SECTOR_BYTES);
    let at = behind.saturating_mul(SECTOR_BYTES);
    let extra = len_bytes.checked_sub(marker_end);
    if extra == Some(0) && last_sector == behind {
        return None;
    }
    let message = match extra {
        Some(extra) if last_sector == behind => {
            return Some(Warning::defect(
                marker_end,
                format!("{extra} bytes behind the end of the stream are ignored"),
            ));
        }
        _ => "the end-of-stream marker is missing",
    };
    Some(Warning::defect(at, message))
}

/// Builds the map from the grains themselves.
fn walk_instead(
    bytes: &dyn ReadAt,
    header: &Header,
    why: &dyn std::fmt::Display,
) -> Result<Located> {
    let (map, tail) = walk(bytes, header)?;
    let message = format!("{why}; the grains are found by their own headers");
    let start = header.grains_start_bytes();
    let mut warnings = vec![Warning::defect(start, message)];
    warnings.extend(tail);
    Ok(Located { map, directory_sector: None, warnings })
}

/// Walks from marker to marker and notes every grain.
///
/// It keeps 16 bytes a grain: this is the way for a disk that lost its tables.
fn walk(bytes: &dyn ReadAt, header: &Header) -> Result<(GrainMap, Option<Warning>)> {
    let file_bytes = bytes.len_bytes();
    let mut grains = Vec::new();
    let mut at = header.grains_start_bytes();
    if at > file_bytes {
        return Err(Error::malformed(WalkError::NoGrains { start: at, file_bytes }).at(64));
    }
    let mut closed = false;
    let mut tail = Some(Warning::defect(file_bytes, "the end-of-stream marker is missing"));
    while let Some(rest) = file_bytes.checked_sub(at).filter(|rest| *rest >= SECTOR_BYTES) {
        let mut raw = [0; MARKER_BYTES];
        bytes.fill(&mut raw, at)?;
        let marker = Marker::parse(&raw, header, at)?;
        if let Marker::Grain { index, stream_bytes } = marker {
            let end = stream_bytes.saturating_add(super::grain::RECORD_HEADER_BYTES);
            if end > rest {
                let place =
                    GrainPlace { index, offset_bytes: at, grain_bytes: header.grain_bytes() };
                return Err(place.error(GrainError::Cut(index)));
            }
            let sector = u32::try_from(at / SECTOR_BYTES)
                .map_err(|_| Error::malformed(LocateError::TooFar(at)))?;
            grains.push(WalkedGrain { index, sector });
        }
        if let Marker::Metadata { kind: Metadata::Directory | Metadata::Footer, .. } = marker {
            closed = true;
        }
        let end = at;
        at = at.saturating_add(marker.span_bytes());
        if marker == Marker::EndOfStream {
            // A sector of zeros among the grains looks like the end of the stream.
            let rest = file_bytes.saturating_sub(at);
            if !closed && rest >= SECTOR_BYTES && !is_zero_from(bytes, at)? {
                return Err(Error::malformed(WalkError::EndsInside(rest)).at(end));
            }
            tail = None;
            break;
        }
    }
    Ok((GrainMap::Walked(in_disk_order(grains)?), tail))
}

/// Whether there are only zeros from `at` to the end.
fn is_zero_from(bytes: &dyn ReadAt, mut at: u64) -> Result<bool> {
    let mut buf = vec![0; TAIL_WINDOW_BYTES];
    while let Some(rest) = bytes.len_bytes().checked_sub(at).filter(|rest| *rest > 0) {
        let len = buffer_len(rest).min(buf.len());
        let part = buf.get_mut(..len).unwrap_or_default();
        bytes.fill(part, at)?;
        if !is_zero(part) {
            return Ok(false);
        }
        at = at.saturating_add(len as u64);
    }
    Ok(true)
}

/// Sorts the grains and refuses one that is there twice.
fn in_disk_order(mut grains: Vec<WalkedGrain>) -> Result<Vec<WalkedGrain>> {
    grains.sort_unstable();
    let twice = grains.windows(2).find_map(|pair| match pair {
        [a, b] if a.index == b.index => Some((a, b)),
        _ => None,
    });
    let Some((first, second)) = twice else { return Ok(grains) };
    let byte = |grain: &WalkedGrain| u64::from(grain.sector).saturating_mul(SECTOR_BYTES);
    let leaf = LocateError::Twice { index: first.index, first: byte(first) };
    Err(Error::malformed(leaf).at(byte(second)))
}
