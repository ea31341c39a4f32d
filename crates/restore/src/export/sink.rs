//! Where the members of a package are written: one behind the other in an archive, or side by side.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use code::Code;
use disk::WriteAt as _;
use host::{Existed, Host, Partial};
use ovf::{EntryName, archive::Writer};

use super::{Names, Package, Reserved};
use crate::{Error, undo::Undo};

/// The unit of a tar.
const BLOCK_BYTES: u64 = 512;

/// The time of each member, in seconds since 1970: the same machine gives the same archive.
const MEMBER_TIME_SECONDS: u64 = 0;

/// A package that is being written.
pub(super) enum Sink<'a> {
    /// An archive: descriptor and manifest are written last, into the room kept in front.
    Archive {
        partial: Partial,
        names: &'a Names,
        /// Where the next header goes.
        at: u64,
        host: &'a dyn Host,
    },
    /// A folder.
    Folder { path: PathBuf, names: &'a Names, partials: Vec<Partial>, host: &'a dyn Host },
}

/// A place of a file where writing goes on.
pub(super) struct At {
    file: File,
    at: u64,
}

impl Write for At {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Sink<'a> {
    /// Makes the file or the folder.
    pub(super) fn create(
        package: &Package,
        names: &'a Names,
        reserved: Reserved,
        host: &'a dyn Host,
        undo: &mut Undo<'_>,
    ) -> Result<Self, Error> {
        match package {
            Package::Ova(path) => {
                refuse_existing(path)?;
                let partial = host.create_partial(path)?;
                undo.partial(&partial.path);
                let front = member_bytes(reserved.descriptor_bytes as u64)
                    + member_bytes(reserved.manifest_bytes as u64);
                Ok(Self::Archive { partial, names, at: front, host })
            }
            Package::Folder(path) => {
                for name in [&names.descriptor, &names.manifest] {
                    refuse_existing(&path.join(name.as_str()))?;
                }
                if host.create_folder(path)? == Existed::No {
                    undo.folder(path);
                }
                Ok(Self::Folder { path: path.clone(), names, partials: Vec::new(), host })
            }
        }
    }

    /// Begins a member whose length is not known yet.
    pub(super) fn begin(
        &mut self,
        name: &EntryName,
        host: &dyn Host,
        undo: &mut Undo<'_>,
    ) -> Result<At, Error> {
        let partial = match self {
            Self::Archive { partial, at, .. } => {
                let file = clone(partial)?;
                return Ok(At { file, at: *at + BLOCK_BYTES });
            }
            Self::Folder { path, partials, .. } => {
                let path = path.join(name.as_str());
                refuse_existing(&path)?;
                let partial = host.create_partial(&path)?;
                undo.partial(&partial.path);
                partials.push(partial);
                partials.last()
            }
        };
        let file = partial.map(clone).transpose()?;
        file.map(|file| At { file, at: 0 })
            .ok_or_else(|| Error::new(Code::E0508, "no file was made"))
    }

    /// Ends the member: its header says how long it is.
    pub(super) fn end(&mut self, name: &EntryName, length_bytes: u64) -> Result<(), Error> {
        let Self::Archive { partial, at, .. } = self else { return Ok(()) };
        header(partial, *at, name, length_bytes)?;
        *at += member_bytes(length_bytes);
        Ok(())
    }

    /// Writes descriptor and manifest, makes all of it durable and gives it its names.
    pub(super) fn finish(
        self,
        descriptor: &str,
        manifest: &str,
        undo: &mut Undo<'_>,
    ) -> Result<Vec<PathBuf>, Error> {
        match self {
            Self::Archive { partial, names, at, host, .. } => {
                let mut front = 0;
                for (name, text) in [(&names.descriptor, descriptor), (&names.manifest, manifest)] {
                    header(&partial, front, name, text.len() as u64)?;
                    write(&partial, text.as_bytes(), front + BLOCK_BYTES)?;
                    front += member_bytes(text.len() as u64);
                }
                // The two blocks of zeros that end a tar.
                let end = at + 2 * BLOCK_BYTES;
                partial.file.set_len(end).map_err(|source| failed(&partial, source))?;
                host.publish(&partial)?;
                undo.published(&partial.path, &partial.published);
                sync_parent(host, &partial.published)?;
                Ok(vec![partial.published])
            }
            Self::Folder { path, names, mut partials, host } => {
                for (name, text) in [(&names.manifest, manifest), (&names.descriptor, descriptor)] {
                    let partial = host.create_partial(&path.join(name.as_str()))?;
                    undo.partial(&partial.path);
                    write(&partial, text.as_bytes(), 0)?;
                    partials.push(partial);
                }
                for partial in &partials {
                    host.publish(partial)?;
                    undo.published(&partial.path, &partial.published);
                }
                host.sync_folder(&path)?;
                Ok(partials.into_iter().map(|partial| partial.published).collect())
            }
        }
    }
}

/// The room of a member with its header.
const fn member_bytes(length_bytes: u64) -> u64 {
    BLOCK_BYTES + length_bytes.next_multiple_of(BLOCK_BYTES)
}

/// Writes the header of a member.
fn header(partial: &Partial, at: u64, name: &EntryName, length_bytes: u64) -> Result<(), Error> {
    let to = At { file: clone(partial)?, at };
    Writer::new(to, MEMBER_TIME_SECONDS).begin(name, length_bytes)?;
    Ok(())
}

fn write(partial: &Partial, bytes: &[u8], at: u64) -> Result<(), Error> {
    partial.file.write_all_at(bytes, at).map_err(|source| failed(partial, source))
}

fn clone(partial: &Partial) -> Result<File, Error> {
    partial.file.try_clone().map_err(|source| failed(partial, source))
}

fn failed(partial: &Partial, source: io::Error) -> Error {
    Error::writing(&partial.published.display().to_string(), source)
}

fn refuse_existing(path: &Path) -> Result<(), Error> {
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    Err(Error::new(Code::E0509, format!("{} exists already", path.display()))
        .fix("choose another name, or remove the file"))
}

/// Makes the name of a file durable.
fn sync_parent(host: &dyn Host, path: &Path) -> Result<(), Error> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(host.sync_folder(parent.unwrap_or(Path::new(".")))?)
}
