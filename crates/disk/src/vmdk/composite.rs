//! A disk whose extents are other files, which its descriptor names.

use std::sync::Arc;

use crate::{
    Error, Format, Image, Info, Kind, ReadAt, Result, Role, Warning,
    concat::Concat,
    error::{Failure, MAX_CAPACITY_BYTES, shown},
    gate::Opening,
    raw,
    vmdk::{
        container::Container,
        descriptor::{Access, Descriptor, ExtentLine, Storage},
        header::SECTOR_BYTES,
    },
};

/// What is wrong with what a descriptor lists.
#[derive(Debug, thiserror::Error)]
enum CompositeError {
    #[error("a VMDK descriptor without an extent")]
    NoExtent,
    #[error("the extents of the descriptor have no sectors")]
    Empty,
    #[error(
        "line {line} of the descriptor: an extent of type {kind} is a raw device mapping, the data is not in this file"
    )]
    Device { line: usize, kind: String },
    #[error(
        "line {line} of the descriptor: an extent of type {kind}, known are FLAT, VMFS, SPARSE, VMFSSPARSE, SESPARSE, ZERO"
    )]
    Unknown { line: usize, kind: String },
    #[error("line {line} of the descriptor: an extent of type {kind} without the name of a file")]
    NoName { line: usize, kind: String },
    #[error("the extent has none of the magic numbers KDMV, COWD and 0xcafebabe of a sparse one")]
    NotSparse,
}

/// Opens the extents that the descriptor lists, in the order of the disk.
///
/// `bytes` is the file of the descriptor itself. `createType` is no gate: what counts are the types
/// of the extents.
pub(super) fn open(
    bytes: Arc<dyn ReadAt>,
    descriptor: &Descriptor,
    opening: &Opening<'_>,
) -> Result<Box<dyn Image>> {
    let capacity_bytes = capacity_bytes(descriptor)?;
    let parts: Vec<_> =
        descriptor.extents.iter().map(|line| Part::of(line, opening)).collect::<Result<_>>()?;
    let mut warnings: Vec<_> = descriptor.warning(0).into_iter().collect();
    warnings.extend(no_access_warning(descriptor));
    let info = Info {
        format: Format::Vmdk,
        variant: descriptor.create_type.as_deref().map_or_else(|| "custom".to_owned(), shown),
        capacity_bytes,
        file_bytes: bytes.len_bytes(),
        unit_bytes: unit_bytes(&parts),
        references: descriptor.references(),
        warnings,
    };
    let mut disk = Concat::new(bytes, info);
    for (line, part) in descriptor.extents.iter().zip(parts) {
        let len_bytes = line.sectors.saturating_mul(SECTOR_BYTES);
        match part {
            Part::Zeros => disk.push_zeros(len_bytes),
            Part::Image { name, image } => disk.push(&name, image, len_bytes)?,
        }
    }
    Ok(Box::new(disk))
}

/// An extent that is open.
enum Part {
    Zeros,
    Image { name: String, image: Box<dyn Image> },
}

impl Part {
    fn of(line: &ExtentLine, opening: &Opening<'_>) -> Result<Self> {
        let kind = || shown(line.storage.as_str());
        let number = line.line;
        let (name, is_flat) = match (&line.storage, &line.name) {
            _ if line.access == Access::None => return Ok(Self::Zeros),
            (Storage::Zero, _) => return Ok(Self::Zeros),
            (Storage::Device(_), _) => {
                return Err(Error::unsupported(CompositeError::Device {
                    line: number,
                    kind: kind(),
                }));
            }
            (Storage::Unknown(_), _) => {
                let leaf = CompositeError::Unknown { line: number, kind: kind() };
                return Err(Error::unsupported(leaf));
            }
            (Storage::Flat | Storage::Sparse, None) => {
                return Err(Error::malformed(CompositeError::NoName {
                    line: number,
                    kind: kind(),
                }));
            }
            (storage, Some(name)) => (name, *storage == Storage::Flat),
        };
        let Some(opened) = opening.part(Role::Extent, name)? else { return Ok(Self::Zeros) };
        let image = if is_flat { flat(opened.bytes, line) } else { sparse(opened.bytes) };
        let name = name.text().to_owned();
        let image = image.map_err(|error| error.in_file(&name))?;
        Ok(Self::Image { name, image })
    }
}

/// The sectors of a file that a flat extent is.
fn flat(bytes: Arc<dyn ReadAt>, line: &ExtentLine) -> Result<Box<dyn Image>> {
    let start_bytes = line.offset_sectors.saturating_mul(SECTOR_BYTES);
    let len_bytes = line.sectors.saturating_mul(SECTOR_BYTES);
    Ok(Box::new(raw::Reader::window(bytes, start_bytes, len_bytes)?))
}

fn sparse(bytes: Arc<dyn ReadAt>) -> Result<Box<dyn Image>> {
    match Container::of(&*bytes)? {
        Some(container) => container.open(bytes),
        None => Err(Error::malformed(CompositeError::NotSparse)),
    }
}

/// The size of the disk: all extents together, which the descriptor's parser has summed up.
fn capacity_bytes(descriptor: &Descriptor) -> Result<u64> {
    if descriptor.extents.is_empty() {
        return Err(Error::malformed(CompositeError::NoExtent));
    }
    let sectors =
        descriptor.extents.iter().fold(0_u64, |sum, line| sum.saturating_add(line.sectors));
    match sectors.saturating_mul(SECTOR_BYTES) {
        0 => Err(Error::malformed(CompositeError::Empty)),
        len @ 1..=MAX_CAPACITY_BYTES => Ok(len),
        over => Err(Error::new(Kind::Limit, Failure::Capacity(over))),
    }
}

/// The size of a grain, where all extents that have grains agree.
fn unit_bytes(parts: &[Part]) -> Option<u64> {
    let mut units = parts.iter().filter_map(|part| match part {
        Part::Zeros => None,
        Part::Image { image, .. } => image.info().unit_bytes,
    });
    let first = units.next()?;
    units.all(|unit| unit == first).then_some(first)
}

/// The extents that must not be read are zeros, and that is said once: there may be thousands.
fn no_access_warning(descriptor: &Descriptor) -> Option<Warning> {
    let mut closed = descriptor.extents.iter().filter(|line| line.access == Access::None);
    let first = closed.next()?.line;
    let count = closed.count().saturating_add(1);
    let message = format!(
        "line {first} of the descriptor: {count} extents without access, from this one on, are read as zeros"
    );
    Some(Warning::oddity(0, message))
}
