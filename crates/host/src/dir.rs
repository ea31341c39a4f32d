//! A folder of the file system as a target.

mod unfinished;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf, absolute},
};

use rustix::{
    fs::{
        Access, CWD, Mode, OFlags, RenameFlags, StatVfsMountFlags, access, renameat_with, statvfs,
    },
    io::Errno,
};

use crate::{Error, Existed, FolderFacts, Host, Partial, PathFacts, PathKind};

/// The unfinished files (`NAME.partial-ID`) of a folder that no run is writing, in the order of their names:
/// those for which `is_wanted` takes the later NAME.
///
/// # Errors
/// The folder cannot be listed.
pub fn abandoned(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, Error> {
    let wrap = |source| Error::new("cannot list", folder, source);
    unfinished::abandoned(folder, is_wanted).map_err(wrap)
}

/// Removes an unfinished file that [`abandoned`] has found.
///
/// # Errors
/// A run has begun to write it since, or its folder takes no writes.
pub fn remove_abandoned(path: &Path) -> Result<(), Error> {
    unfinished::remove_abandoned(path).map_err(|source| Error::new("cannot remove", path, source))
}

/// Asks about a folder that may not be there yet.
///
/// # Errors
/// No folder above it is there, or something on the way is not a folder.
pub fn facts(path: &Path) -> Result<FolderFacts, Error> {
    let wrap = |source: io::Error| Error::new("cannot look at", path, source);
    let path = absolute(path).map_err(wrap)?;
    let nearest = nearest_existing(&path).map_err(wrap)?;
    let stat = statvfs(&nearest).map_err(|source| wrap(source.into()))?;
    let writable = !stat.f_flag.contains(StatVfsMountFlags::RDONLY)
        && access(&nearest, Access::WRITE_OK).is_ok();
    Ok(FolderFacts {
        exists: nearest == path,
        path,
        writable,
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        file_system: fs::metadata(&nearest).map_err(wrap)?.dev(),
    })
}

/// Asks about a path of a file or device; links are followed, as the host will.
///
/// # Errors
/// As [`facts`] for the folder that it is in.
pub fn path_facts(path: &Path) -> Result<PathFacts, Error> {
    let folder = facts(path.parent().unwrap_or(path))?;
    let (kind, length_bytes) = match fs::metadata(path) {
        Err(_) => (PathKind::Nothing, 0),
        Ok(found) if found.is_file() => (PathKind::File, found.len()),
        Ok(found) if found.file_type().is_block_device() => (device(path), 0),
        Ok(_) => (PathKind::Other, 0),
    };
    Ok(PathFacts { kind, length_bytes, folder })
}

/// Whether a device is free: the kernel gives one that is mounted to nobody else alone. One that a
/// sandbox keeps closed to whoever may read it is not known to be free, and so is none.
fn device(path: &Path) -> PathKind {
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Err(Errno::BUSY) => PathKind::UsedDevice,
        Err(Errno::ACCESS) if access(path, Access::READ_OK).is_ok() => PathKind::UsedDevice,
        _ => PathKind::Device,
    }
}

/// The folder itself, or the nearest one above it that is there.
fn nearest_existing(path: &Path) -> io::Result<PathBuf> {
    for folder in path.ancestors() {
        match fs::metadata(folder) {
            Ok(found) if found.is_dir() => return Ok(folder.to_owned()),
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// The most names of a folder that are looked at: the limit of this product.
const MAX_NAMES: usize = 1_000_000;

/// The paths that are taken in a folder and in the folders directly in it.
///
/// # Errors
/// A folder cannot be listed. One that is not there has no names.
pub fn taken(folder: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let folder = absolute(folder).map_err(|source| Error::new("cannot look at", folder, source))?;
    let mut names = BTreeSet::new();
    let mut folders = vec![folder.clone()];
    while let Some(here) = folders.pop() {
        let entries = match fs::read_dir(&here) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            // Nothing of ours can be in a folder that is closed to us.
            Err(error) if here != folder && error.kind() == io::ErrorKind::PermissionDenied => {
                continue;
            }
            Err(error) => return Err(Error::new("cannot list", here, error)),
        };
        for entry in entries.take(MAX_NAMES) {
            let entry = entry.map_err(|source| Error::new("cannot list", &here, source))?;
            if here == folder && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
            names.insert(entry.path());
        }
    }
    Ok(names)
}

/// The file system.
#[derive(Debug, Clone)]
pub struct Dir {
    run: String,
}

impl Dir {
    /// A way to the file system; `run` tells this run's unfinished files from those of others.
    #[must_use]
    pub fn new(run: impl Into<String>) -> Self {
        Self { run: run.into() }
    }
}

impl Host for Dir {
    fn create_folder(&self, path: &Path) -> Result<Existed, Error> {
        match fs::DirBuilder::new().mode(0o755).create(path) {
            Ok(()) => Ok(Existed::No),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
                Ok(Existed::Yes)
            }
            Err(error) => Err(Error::new("cannot make the folder", path, error)),
        }
    }

    fn create_partial(&self, path: &Path) -> Result<Partial, Error> {
        unfinished::create(path, &self.run)
    }

    fn publish(&self, partial: &Partial) -> Result<(), Error> {
        let wrap = |source: io::Error| Error::new("cannot finish", &partial.published, source);
        partial.file.sync_all().map_err(wrap)?;
        rename_new(&partial.path, &partial.published).map_err(wrap)
    }

    fn set_aside(&self, path: &Path) -> Result<Option<PathBuf>, Error> {
        let mut aside = path.as_os_str().to_owned();
        aside.push(format!(".replaced-{}", self.run));
        let aside = PathBuf::from(aside);
        match rename_new(path, &aside) {
            Ok(()) => Ok(Some(aside)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::new("cannot set aside", path, error)),
        }
    }

    fn put_back(&self, aside: &Path, path: &Path) -> Result<(), Error> {
        rename_new(aside, path).map_err(|source| Error::new("cannot put back", path, source))
    }

    fn second_name(&self, path: &Path, name: &Path) -> Result<(), Error> {
        fs::hard_link(path, name)
            .map_err(|source| Error::new("cannot give a second name to", path, source))
    }

    fn remove_file(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::new("cannot remove", path, error))
            }
            _ => Ok(()),
        }
    }

    fn remove_folder(&self, path: &Path) -> Result<(), Error> {
        match fs::remove_dir(path) {
            Err(error)
                if !matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty
                ) =>
            {
                Err(Error::new("cannot remove", path, error))
            }
            _ => Ok(()),
        }
    }

    fn sync_folder(&self, path: &Path) -> Result<(), Error> {
        File::open(path)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| Error::new("cannot finish", path, error))
    }
}

/// Renames without replacing; a file system that cannot promise that is asked in two steps.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => {
            if fs::symlink_metadata(to).is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            fs::rename(from, to)
        }
        other => other.map_err(Into::into),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;
    use std::io::Write as _;

    #[test]
    fn publishes_under_the_name_and_never_over_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.qcow2");
        let host = Dir::new("7");
        let mut first = host.create_partial(&path).unwrap();
        first.file.write_all(b"one").unwrap();
        let second = host.create_partial(&path).unwrap();
        assert_ne!(first.path, second.path);
        host.publish(&first).unwrap();
        let error = host.publish(&second).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Exists, code::Code::E0509));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let aside = host.set_aside(&path).unwrap().unwrap();
        assert_eq!(host.set_aside(&path).unwrap(), None);
        host.publish(&second).unwrap();
        assert_eq!(host.put_back(&aside, &path).unwrap_err().kind(), Kind::Exists);
        host.remove_file(&path).unwrap();
        host.put_back(&aside, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn a_file_with_two_names_stays_as_long_as_it_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let [path, name] = ["a", "a.before"].map(|name| folder.path().join(name));
        let host = Dir::new("7");
        fs::write(&path, b"one").unwrap();
        host.second_name(&path, &name).unwrap();
        assert_eq!(host.second_name(&path, &name).unwrap_err().kind(), Kind::Exists);
        host.remove_file(&path).unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"one");
    }

    #[test]
    fn tells_the_room_of_a_folder_that_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let facts = facts(&folder.path().join("a/b")).unwrap();
        assert!(!facts.exists && facts.writable && facts.free_bytes > 0, "{facts:?}");
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        assert_eq!(super::facts(&file.join("x")).unwrap_err().kind(), Kind::NotFound);
    }

    #[test]
    fn leaves_a_folder_that_holds_something() {
        let folder = tempfile::tempdir().unwrap();
        let host = Dir::new("7");
        let path = folder.path().join("out");
        assert_eq!(host.create_folder(&path).unwrap(), Existed::No);
        assert_eq!(host.create_folder(&path).unwrap(), Existed::Yes);
        fs::write(path.join("x"), b"").unwrap();
        host.remove_folder(&path).unwrap();
        host.remove_file(&path.join("x")).unwrap();
        host.remove_file(&path.join("x")).unwrap();
        host.remove_folder(&path).unwrap();
        assert!(!path.exists());
    }
}
