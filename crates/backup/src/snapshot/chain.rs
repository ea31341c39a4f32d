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
pub(crate) struct Chain {
    /// The content of the disk.
    pub(crate) image: Box<dyn Image>,
    /// The image on which each stands.
    pub(crate) below: BTreeMap<PathBuf, PathBuf>,
}

/// Opens the chain that ends at this image, whose format has a name.
///
/// # Errors
/// An image is not there, cannot be read, or names something that is no file.
pub(super) fn open(image: &Path, format: &str) -> Result<Chain> {
    open_as(image, stated(image, format)?)
}

/// A format by its name, as that of an image.
///
/// # Errors
/// It is none that is read.
pub(crate) fn stated(image: &Path, format: &str) -> Result<Declared> {
    format.parse().map(Declared::Stated).map_err(|_| {
        let text = format!("the image {} has the format {format}", image.display());
        Error::new(Kind::State, text)
    })
}

/// Opens the chain that ends at this image, of whose format so much is known.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_as(image: &Path, format: Declared) -> Result<Chain> {
    let bytes = file(image).map_err(|error| Error::io("cannot open", image, error))?;
    let gate = Followed { root: image.to_owned(), below: RefCell::default() };
    let opened =
        disk::open_behind(&gate, bytes, format).map_err(|error| unreadable(image, error))?;
    Ok(Chain { image: opened, below: gate.below.into_inner() })
}

/// What an image says of the format of the one that it stands on.
///
/// # Errors
/// It cannot be read.
pub(crate) fn format_below(image: &Path) -> Result<Declared> {
    let bytes = file(image).map_err(|error| Error::io("cannot open", image, error))?;
    disk::qcow2::format_below(&*bytes).map_err(|error| unreadable(image, error))
}

fn unreadable(image: &Path, error: disk::Error) -> Error {
    let text = format!("cannot read the image {}", image.display());
    Error::coded(error.code(), text, error)
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
        // A file with the clusters of an image is a part of it: it does not lie below.
        if role == Role::BackingFile {
            self.below.borrow_mut().insert(PathBuf::from(&from.name), path);
        }
        Ok(Opened { bytes, place: Place { name: at, file: None } })
    }

    fn root(&self) -> Place {
        Place { name: self.root.to_string_lossy().into_owned(), file: None }
    }

    fn max_depth(&self) -> usize {
        MAX_DEPTH
    }
}
