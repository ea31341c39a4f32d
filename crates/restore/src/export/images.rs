//! The images of a machine, opened where they lie: in the folder of its domain, and nowhere else.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use code::Code;
use convert::{Image as Described, copy};
use disk::{Declared, FileBytes, Format, Image, Progress, ReadAt};
use ovf::EntryName;
use vm::{DiskFormat, Machine};

use crate::Error;

/// Bytes of a medium that are copied at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// One image, and what it is called in the package.
pub(super) struct Piece {
    /// Its id in the descriptor.
    pub(super) id: String,
    pub(super) name: EntryName,
    pub(super) content: Content,
}

/// What an image holds.
pub(super) enum Content {
    /// A disk, with the content id of its copy.
    Disk { image: Box<dyn Image>, cid: u32 },
    /// A CD or floppy image, copied as it is.
    Medium(Arc<dyn ReadAt>),
}

impl Piece {
    /// How much there is to do.
    pub(super) fn bytes(&self) -> u64 {
        match &self.content {
            Content::Disk { image, .. } => image.capacity_bytes(),
            Content::Medium(bytes) => bytes.len_bytes(),
        }
    }
}

/// Opens every image that an item of the descriptor names.
pub(super) fn open(
    folder: &Path,
    machine: &Machine,
    images: &[Described],
    slug: &str,
) -> Result<Vec<Piece>, Error> {
    images.iter().map(|image| piece(folder, machine, image, slug)).collect()
}

/// Finds out how large the disks are: their domain does not say it.
pub(super) fn measure(folder: &Path, machine: &mut Machine) -> Result<(), Error> {
    for disk in &mut machine.disks {
        disk.capacity_bytes = image(folder, disk)?.capacity_bytes();
    }
    Ok(())
}

fn piece(folder: &Path, machine: &Machine, image: &Described, slug: &str) -> Result<Piece, Error> {
    match image {
        Described::Disk { disk, id } => {
            let number = usize::from(disk.0);
            let disk = machine.disks.get(number).ok_or_else(|| missing(id))?;
            let image = self::image(folder, disk)?;
            let cid = copy::content_id(&*image)?;
            let name = EntryName::parse(&format!("{slug}-disk{}.vmdk", number + 1))?;
            Ok(Piece { id: id.clone(), name, content: Content::Disk { image, cid } })
        }
        Described::Medium { removable, id } => {
            let drive = machine.removables.get(*removable);
            let image = drive.and_then(|drive| drive.image.as_ref()).ok_or_else(|| missing(id))?;
            let path = beside(folder, image)?;
            let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("iso");
            let name = EntryName::parse(&format!("{slug}-{id}.{ending}"))?;
            Ok(Piece { id: id.clone(), name, content: Content::Medium(bytes(&path)?) })
        }
    }
}

/// Opens the image of a disk: one that stands alone.
fn image(folder: &Path, disk: &vm::Disk) -> Result<Box<dyn Image>, Error> {
    let path = beside(folder, &disk.image)?;
    let declared = Declared::Stated(match disk.format {
        DiskFormat::Qcow2 => Format::Qcow2,
        DiskFormat::Raw => Format::Raw,
    });
    disk::open(bytes(&path)?, declared)
        .map_err(|error| Error::from(error).detail("image", path.display().to_string()))
}

fn missing(id: &str) -> Error {
    Error::new(Code::E0303, format!("nothing is behind {id}"))
}

/// Where an image lies: in the folder, which may have been moved since its domain was written.
///
/// A domain may come from somebody else; what it names elsewhere on this host is not put into a
/// package.
fn beside(folder: &Path, image: &Path) -> Result<PathBuf, Error> {
    let shown = image.display();
    let name = image.file_name().ok_or_else(|| {
        Error::new(Code::E0104, format!("the domain names '{shown}', which is no file"))
    })?;
    let path = folder.join(name);
    match fs::symlink_metadata(&path) {
        Ok(found) if found.is_file() => Ok(path),
        Ok(_) => Err(Error::new(Code::E0105, format!("{} is no regular file", path.display()))
            .fix("export takes images that lie in the folder itself")),
        Err(source) => Err(Error::new(Code::E0104, format!("{shown} is not beside domain.xml"))
            .fix("put the image into the folder of domain.xml")
            .caused_by(source)),
    }
}

fn bytes(path: &Path) -> Result<Arc<dyn ReadAt>, Error> {
    let wrap = |source| Error::io(format!("cannot read {}", path.display()), source);
    let file = File::open(path).map_err(wrap)?;
    Ok(Arc::new(FileBytes::new(file).map_err(wrap)?))
}

/// Copies a medium as it is; gives its length.
pub(super) fn copy(
    bytes: &dyn ReadAt,
    to: &mut dyn Write,
    name: &EntryName,
    progress: &dyn Progress,
) -> Result<u64, Error> {
    let length = bytes.len_bytes();
    let mut block = vec![0; BLOCK_BYTES];
    let mut at = 0;
    while at < length {
        if progress.stopped() {
            return Err(Error::stopped());
        }
        let rest = usize::try_from(length - at).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
        let block = &mut block[..rest];
        let read =
            |source: io::Error| Error::io(format!("cannot read the image of {name}"), source);
        bytes.read_exact_at(block, at).map_err(read)?;
        to.write_all(block).map_err(|source| Error::writing(name.as_str(), source))?;
        at += rest as u64;
        progress.advance(rest as u64);
    }
    Ok(length)
}
