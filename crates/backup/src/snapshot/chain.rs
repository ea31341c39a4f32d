//! The chain of images that a disk of a machine consists of, as its files say it.
//!
//! The machine runs on these very files, so the names in them are followed wherever they lead on this
//! host, as QEMU follows them; what they name must be a file or a device. The format of the first image is
//! what the definition says, of those below what the image above says: nothing is guessed.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use disk::{
    Declared, FileBytes, FileName, Format, Gate, Image, Kind as DiskKind, Opened, Place, Role,
};

use crate::{Error, Kind, Result};

/// The most images of a chain (QEMU opens no more than it has descriptors for; libvirt stops at 200).
const MAX_DEPTH: usize = 256;

/// An open chain.
pub(super) struct Chain {
    /// The content of the disk.
    pub(super) image: Box<dyn Image>,
    /// The image on which each stands.
    pub(super) below: BTreeMap<PathBuf, PathBuf>,
}

/// Opens the chain that ends at this image.
///
/// # Errors
/// An image is not there, cannot be read, or names something that is no file.
pub(super) fn open(image: &Path, format: &str) -> Result<Chain> {
    let cannot = || format!("cannot read the image {}", image.display());
    let format: Format = format.parse().map_err(|_| {
        let text = format!("the image {} has the format {format}", image.display());
        Error::new(Kind::State, text)
    })?;
    let bytes = file(image).map_err(|error| Error::io("cannot open", image, error))?;
    let gate = Followed { root: image.to_owned(), below: RefCell::default() };
    let opened = disk::open_behind(&gate, bytes, Declared::Stated(format))
        .map_err(|error| Error::coded(error.code(), cannot(), error))?;
    Ok(Chain { image: opened, below: gate.below.into_inner() })
}

/// The images that one of another machine stands on, as far as they can be read; its format is whatever
/// it looks like, since more names than there are do no harm here.
pub(super) fn named(image: &Path) -> Vec<PathBuf> {
    let Ok(bytes) = file(image) else { return Vec::new() };
    if !matches!(disk::detect(&*bytes), Ok(Some(Format::Qcow2))) {
        return Vec::new();
    }
    let gate = Followed { root: image.to_owned(), below: RefCell::default() };
    drop(disk::open_behind(&gate, bytes, Declared::Stated(Format::Qcow2)));
    gate.below.into_inner().into_values().collect()
}

fn file(path: &Path) -> std::io::Result<Arc<dyn disk::ReadAt>> {
    Ok(Arc::new(FileBytes::new(File::open(path)?)?))
}

/// The gate of a machine's own images; it notes what it has opened.
struct Followed {
    root: PathBuf,
    below: RefCell<BTreeMap<PathBuf, PathBuf>>,
}

#[derive(Debug, thiserror::Error)]
enum GateError {
    #[error("the {role} '{name}' is no file of this host")]
    NoFile { role: Role, name: String },
    #[error("cannot open the {role} '{name}'")]
    Io { role: Role, name: String, source: std::io::Error },
}

impl Gate for Followed {
    fn open(&self, role: Role, name: &FileName, from: &Place) -> disk::Result<Opened> {
        let text = name.text();
        if text.split('/').next().is_some_and(|first| first.contains(':')) {
            let error = GateError::NoFile { role, name: name.to_string() };
            return Err(disk::Error::new(DiskKind::Denied, error));
        }
        let path = Path::new(&from.name).with_file_name(text);
        let bytes = file(&path).map_err(|source| {
            let error = GateError::Io { role, name: name.to_string(), source };
            disk::Error::new(DiskKind::Io, error)
        })?;
        let at = path.to_string_lossy().into_owned();
        self.below.borrow_mut().insert(PathBuf::from(&from.name), path);
        Ok(Opened { bytes, place: Place { name: at, file: None } })
    }

    fn root(&self) -> Place {
        Place { name: self.root.to_string_lossy().into_owned(), file: None }
    }

    fn max_depth(&self) -> usize {
        MAX_DEPTH
    }
}
