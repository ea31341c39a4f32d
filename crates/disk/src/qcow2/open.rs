//! From the first cluster to an image with the files that it names.

use std::sync::Arc;

use crate::{
    Declared, Error, FileName, Format, Image, ReadAt, Result, Role, Warning,
    error::{Kind, shown},
    fields::buffer_len,
    gate::Opening,
    open::open_in,
    overlay::Overlay,
    qcow2::{Reader, extensions::Extensions, header::Header, snapshots, state::State},
};

/// The largest cluster: what is read to find the header extensions.
const MAX_CLUSTER_BYTES: u64 = 2 << 20;

#[derive(Debug, thiserror::Error)]
enum NameError {
    #[error("the {role} '{name}' is a protocol of QEMU and no file")]
    Protocol { role: Role, name: String },
    #[error("the image keeps its clusters in an external data file that it does not name")]
    Unnamed,
    #[error("the backing file '{name}' has the format '{format}', which is not read")]
    Format { name: String, format: String },
}

/// Opens an image in its active state and, where it has one, its backing file.
pub(crate) fn open(bytes: Arc<dyn ReadAt>, opening: &Opening<'_>) -> Result<Box<dyn Image>> {
    let (header, extensions) = front(&*bytes)?;
    let state = header.active().clone();
    let mut warnings: Vec<_> = snapshots::warning(&*bytes, &header)?.into_iter().collect();
    if extensions.bitmaps.is_some() {
        warnings.push(Warning::oddity(0, "its persistent bitmaps are not carried over"));
    }
    assemble(bytes, (header, extensions), state, warnings, opening)
}

/// Opens an image as it was when a snapshot was taken.
pub(crate) fn open_snapshot(
    bytes: Arc<dyn ReadAt>,
    name_or_id: &str,
    opening: &Opening<'_>,
) -> Result<Box<dyn Image>> {
    let (header, extensions) = front(&*bytes)?;
    let state = snapshots::state(&*bytes, &header, name_or_id)?;
    assemble(bytes, (header, extensions), state, Vec::new(), opening)
}

/// Reads the header and its extensions.
pub(super) fn front(bytes: &dyn ReadAt) -> Result<(Header, Extensions)> {
    let mut cluster = vec![0; buffer_len(bytes.len_bytes().min(MAX_CLUSTER_BYTES))];
    bytes.fill(&mut cluster, 0)?;
    let header = Header::parse(&cluster)?;
    cluster.truncate(buffer_len(header.cluster_bytes()));
    let extensions = Extensions::parse(&header, &cluster)?;
    Ok((header, extensions))
}

fn assemble(
    bytes: Arc<dyn ReadAt>,
    (header, extensions): (Header, Extensions),
    state: State,
    warnings: Vec<Warning>,
    opening: &Opening<'_>,
) -> Result<Box<dyn Image>> {
    let data = data_file(&header, &extensions, opening)?;
    let backing = header.backing().cloned();
    let format = extensions.backing_format.clone();
    let mut reader = Reader::new(bytes, (header, extensions), state, data)?;
    reader.warn(warnings);
    let Some(name) = backing else { return Ok(Box::new(reader)) };
    let declared = backing_format(&name, format.as_deref())?;
    let name = followed(Role::BackingFile, &name)?;
    let found = opening.below(Role::BackingFile, std::slice::from_ref(name))?;
    let Some((bytes, below)) = found else { return Ok(Box::new(reader)) };
    let parent = open_in(&below, bytes, declared).map_err(|error| error.in_file(name.text()))?;
    Ok(Box::new(Overlay::new(Box::new(reader), parent, name.text())))
}

/// Opens the file that the clusters lie in, where it is another one.
///
/// An image whose data file is itself a raw disk (autoclear bit 1) is read by its tables, too: they
/// say the same.
fn data_file(
    header: &Header,
    extensions: &Extensions,
    opening: &Opening<'_>,
) -> Result<Option<Arc<dyn ReadAt>>> {
    if !header.has_data_file() {
        return Ok(None);
    }
    let unnamed = || Error::new(Kind::Denied, NameError::Unnamed).at(72);
    let name = extensions.data_file.as_ref().ok_or_else(unnamed)?;
    let opened = opening.part(Role::DataFile, followed(Role::DataFile, name)?)?;
    // Passed over, the clusters read as what an empty file has.
    Ok(Some(opened.map_or_else(|| Arc::new(Vec::new()) as _, |opened| opened.bytes)))
}

/// What an image says of the format of the one below it; [`Declared::Unknown`] where it says nothing, or
/// stands alone.
///
/// # Errors
/// It is no sound qcow2 image, or names a format that is not read.
pub fn format_below(bytes: &dyn ReadAt) -> Result<Declared> {
    let (header, extensions) = front(bytes)?;
    let Some(name) = header.backing() else { return Ok(Declared::Unknown) };
    backing_format(name, extensions.backing_format.as_deref())
}

/// What the image says of its backing file's format; without a word the magic decides, and an image
/// without one is refused: it is raw only when that is said.
fn backing_format(name: &FileName, format: Option<&str>) -> Result<Declared> {
    let Some(format) = format else { return Ok(Declared::Unknown) };
    let known = match format {
        "vpc" => Some(Format::Vhd),
        other => other.parse().ok(),
    };
    known.map(Declared::Stated).ok_or_else(|| {
        let (name, format) = (name.to_string(), shown(format));
        Error::unsupported(NameError::Format { name, format })
    })
}

/// Whether QEMU would take a name for a protocol: it has a colon before any slash.
pub(super) fn is_protocol(name: &str) -> bool {
    name.split('/').next().unwrap_or_default().contains(':')
}

/// The name, unless it is a protocol.
fn followed(role: Role, name: &FileName) -> Result<&FileName> {
    if is_protocol(name.text()) {
        let leaf = NameError::Protocol { role, name: name.to_string() };
        return Err(Error::new(Kind::Denied, leaf));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use testkit::Qcow2;

    use super::*;

    #[test]
    fn an_image_says_the_format_of_the_one_below_it_or_nothing() {
        let image = || Qcow2::new(1 << 20);
        for (image, want) in [
            (image().backing("a.img", Some("raw")), Ok(Declared::Stated(Format::Raw))),
            (image().backing("a.qcow2", Some("qcow2")), Ok(Declared::Stated(Format::Qcow2))),
            (image().backing("a.qcow2", None), Ok(Declared::Unknown)),
            (image(), Ok(Declared::Unknown)),
            (
                image().backing("a.x", Some("luks")),
                Err("the backing file 'a.x' has the format 'luks', which is not read".to_owned()),
            ),
        ] {
            let found = format_below(&image.build().bytes).map_err(|error| error.to_string());
            assert_eq!(found, want);
        }
    }
}
