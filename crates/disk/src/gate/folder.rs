//! The gate of an image that lies in a folder of this host.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, Stat, fstat, open, openat2},
    io::Errno,
};

use super::{FileName, Gate, Opened, Place, Role};
use crate::{
    Error, FileBytes, Result,
    error::{Kind, shown},
};

/// The most images of a chain that a user gave: the limit of this product.
const MAX_DEPTH: usize = 256;

/// Opens extents and parents beneath the image's own folder, and else only what the user named.
///
/// Names are resolved by the kernel beneath the open folder: no link is followed, and nothing but a
/// regular file is opened. A backing or data file of qcow2 is opened only when it is one of the
/// `allowed` files, or lies in one of the `allowed` folders.
#[derive(Debug)]
pub struct Folder {
    folder: File,
    root: Place,
    allowed: Vec<Allowed>,
}

/// A file or folder that the user named.
#[derive(Debug)]
struct Allowed {
    path: PathBuf,
    is_folder: bool,
    file: (u64, u64),
}

#[derive(Debug, thiserror::Error)]
enum FolderError {
    #[error("the {role} '{name}' does not lie beneath the image's own folder")]
    Outside { role: Role, name: String },
    #[error("the {role} '{name}' is a link, or lies behind one")]
    Link { role: Role, name: String },
    #[error("the {role} '{name}' is no regular file")]
    NotAFile { role: Role, name: String },
    #[error("the {role} '{name}' is not there")]
    Missing { role: Role, name: String },
    #[error("the {role} '{name}' is not opened unless it is allowed by name")]
    NotAllowed { role: Role, name: String },
}

impl Folder {
    /// Opens the folder that `image` lies in.
    ///
    /// # Errors
    ///
    /// When the folder, the image, or an allowed path cannot be opened.
    pub fn of(image: &Path, allowed: &[PathBuf]) -> io::Result<Self> {
        let parent = match image.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = File::from(open(parent, flags, Mode::empty())?);
        let stat = rustix::fs::stat(image)?;
        let root = Place { name: String::new(), file: Some(identity(&stat)) };
        let allowed = allowed.iter().map(|path| Allowed::new(path)).collect::<io::Result<_>>()?;
        Ok(Self { folder, root, allowed })
    }
}

impl Gate for Folder {
    fn open(&self, role: Role, name: &FileName, from: &Place) -> Result<Opened> {
        let beneath = Path::new(&from.name).is_relative();
        let names = [Some(name.text().as_bytes()), name.raw()];
        let mut failed = None;
        for bytes in names.into_iter().flatten() {
            let path = Path::new(&from.name).with_file_name(OsStr::from_bytes(bytes));
            let opened = match role {
                Role::Extent | Role::Parent if beneath => self.beneath(role, name, &path),
                _ => self.allowed(role, name, &path),
            };
            match opened {
                Err(error) if error.kind() == Kind::Missing => failed = failed.or(Some(error)),
                other => return other,
            }
        }
        Err(failed.unwrap_or_else(|| missing(role, name)))
    }

    fn root(&self) -> Place {
        self.root.clone()
    }

    fn max_depth(&self) -> usize {
        MAX_DEPTH
    }
}

impl Folder {
    /// Opens a file of the image's own folder, or of a folder in it.
    fn beneath(&self, role: Role, name: &FileName, path: &Path) -> Result<Opened> {
        let shown = name.to_string();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        if path.is_absolute() {
            return Err(Error::new(Kind::Unsafe, FolderError::Outside { role, name: shown }));
        }
        match openat2(&self.folder, path, flags, Mode::empty(), resolve) {
            Ok(file) => opened(role, name, file.into(), path),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(missing(role, name)),
            Err(Errno::XDEV) => {
                Err(Error::new(Kind::Unsafe, FolderError::Outside { role, name: shown }))
            }
            Err(Errno::LOOP) => {
                Err(Error::new(Kind::Unsafe, FolderError::Link { role, name: shown }))
            }
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    /// Opens a file that the user named, or that lies in a folder that the user named.
    fn allowed(&self, role: Role, name: &FileName, path: &Path) -> Result<Opened> {
        let found = if path.is_absolute() {
            rustix::fs::stat(path)
        } else {
            rustix::fs::statat(&self.folder, path, rustix::fs::AtFlags::empty())
        };
        let found = match found {
            Ok(stat) => identity(&stat),
            Err(Errno::NOENT | Errno::NOTDIR) if !self.allowed.is_empty() => {
                return Err(missing(role, name));
            }
            Err(_) => return Err(not_allowed(role, name)),
        };
        let base = Path::new(path.file_name().unwrap_or_default());
        for allowed in &self.allowed {
            let there =
                if allowed.is_folder { allowed.path.join(base) } else { allowed.path.clone() };
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
            let same = allowed.is_folder || allowed.file == found;
            let Some(Ok(file)) = same.then(|| open(&there, flags, Mode::empty())) else { continue };
            let file = File::from(file);
            if fstat(&file).is_ok_and(|stat| identity(&stat) == found) {
                // A path of its own: what this file names is relative to where it lies.
                let there = there.canonicalize()?;
                return opened(role, name, file, &there);
            }
        }
        Err(not_allowed(role, name))
    }
}

impl Allowed {
    fn new(path: &Path) -> io::Result<Self> {
        let stat = rustix::fs::stat(path)?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        Ok(Self { path: path.to_owned(), is_folder, file: identity(&stat) })
    }
}

fn opened(role: Role, name: &FileName, file: File, path: &Path) -> Result<Opened> {
    let stat = fstat(&file).map_err(io::Error::from)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        let leaf = FolderError::NotAFile { role, name: name.to_string() };
        return Err(Error::new(Kind::Unsafe, leaf));
    }
    let place = Place { name: path.to_string_lossy().into_owned(), file: Some(identity(&stat)) };
    Ok(Opened { bytes: Arc::new(FileBytes::new(file)?), place })
}

fn missing(role: Role, name: &FileName) -> Error {
    Error::new(Kind::Missing, FolderError::Missing { role, name: shown(name.text()) })
}

fn not_allowed(role: Role, name: &FileName) -> Error {
    Error::new(Kind::Denied, FolderError::NotAllowed { role, name: shown(name.text()) })
}

/// Device and inode.
fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}
