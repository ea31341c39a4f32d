//! The folder that a descriptor lies in.
//!
//! Files are opened beneath it by its own descriptor: no link is followed, and no name climbs out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use beneath::Refusal;
use code::Code;
use disk::{FileBytes, ReadAt};
use ovf::EntryName;
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, open, statat},
    io::Errno,
};

use super::papers::read_text;
use crate::{
    Error,
    source::{Member, Text},
};

/// The most names of a folder that are looked at: the limit of this product.
const MAX_NAMES: usize = 100_000;

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder {
    folder: File,
    /// What the files were when they were opened first; each time it must be the same one.
    opened: Mutex<BTreeMap<EntryName, Stamp>>,
}

/// What tells one state of one file from another: its inode, its length, and when it was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    length_bytes: i64,
    written_at: (i64, i64),
}

impl Stamp {
    fn of(found: &Stat) -> Self {
        let nanoseconds = i64::try_from(found.st_mtime_nsec).unwrap_or_default();
        Self {
            file: (found.st_dev, found.st_ino),
            length_bytes: found.st_size,
            written_at: (found.st_mtime, nanoseconds),
        }
    }
}

/// A descriptor that the user typed, in its folder.
pub(super) struct Typed {
    /// The path of the folder.
    pub(super) path: PathBuf,
    pub(super) folder: Folder,
    pub(super) text: Text,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map(|folder| Self { folder: folder.into(), opened: Mutex::default() })
            .map_err(|source| {
                Error::io(format!("cannot open the folder {}", path.display()), source.into())
            })
    }

    /// Opens a descriptor that the user typed: a link at that name is followed, the package's own
    /// names are not.
    pub(super) fn of_typed(path: &Path) -> Result<Typed, Error> {
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = EntryName::parse(&name.unwrap_or_default())?;
        let folder = Self::open(&parent)?;
        let wrap = |source: Errno| Error::io(format!("cannot open {name}"), source.into());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(open(path, flags, Mode::empty()).map_err(wrap)?);
        let text = text_of(name.clone(), file)?;
        Ok(Typed { path: parent, folder, text })
    }

    /// The names in the folder that a package may use, sorted; others are passed over.
    pub(super) fn names(&self) -> Result<BTreeSet<EntryName>, Error> {
        list(&self.folder, None)
    }

    /// The descriptor, and the files of the folder and of those sub-folders that are there.
    ///
    /// A link is refused where the package speaks of it; whatever else lies there is somebody else's.
    pub(super) fn members(
        &self,
        descriptor: &Text,
        folders: BTreeSet<String>,
        is_spoken_of: &dyn Fn(&EntryName) -> bool,
    ) -> Result<Vec<Member>, Error> {
        let mut names = self.names()?;
        for folder in folders {
            names.extend(self.names_in(&folder)?);
        }
        names.remove(&descriptor.name);
        let length_bytes = descriptor.bytes.len() as u64;
        let own = Member { name: descriptor.name.clone(), offset_bytes: 0, length_bytes };
        let mut members = vec![own];
        for name in names {
            let spoken_of = is_spoken_of(&name);
            members.extend(self.member(name, spoken_of)?);
        }
        Ok(members)
    }

    /// A small file, held in memory; `None` where there is none, or something else.
    pub(super) fn text(&self, name: EntryName) -> Result<Option<Text>, Error> {
        self.open_file(&name)?.map(|file| text_of(name, file)).transpose()
    }

    /// The bytes of a file; `None` where there is none, or something else.
    pub(super) fn bytes(&self, name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error> {
        let Some(file) = self.open_file(name)? else { return Ok(None) };
        let bytes = FileBytes::new(file)
            .map_err(|source| Error::io(format!("cannot read {name}"), source))?;
        Ok(Some(Arc::new(bytes)))
    }

    /// The names in a sub-folder; none where it is not there.
    fn names_in(&self, name: &str) -> Result<BTreeSet<EntryName>, Error> {
        match beneath::open_folder(&self.folder, Path::new(name)) {
            Ok(inner) => list(&inner, Some(name)),
            Err(Refusal::Io(source)) => {
                Err(Error::io(format!("cannot open the folder {name}"), source))
            }
            Err(_) => Ok(BTreeSet::new()),
        }
    }

    fn member(&self, name: EntryName, spoken_of: bool) -> Result<Option<Member>, Error> {
        let stat = match statat(&self.folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(source) if spoken_of => {
                return Err(Error::io(format!("cannot look at {name}"), source.into()));
            }
            Err(_) => return Ok(None),
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let length_bytes = u64::try_from(stat.st_size).unwrap_or_default();
                Ok(Some(Member { name, offset_bytes: 0, length_bytes }))
            }
            FileType::Symlink if spoken_of => Err(is_a_link(&name)),
            _ => Ok(None),
        }
    }

    fn open_file(&self, name: &EntryName) -> Result<Option<File>, Error> {
        let file = match beneath::open_file(&self.folder, Path::new(name.as_str())) {
            Ok(file) => file,
            Err(Refusal::Missing | Refusal::NotAFile) => return Ok(None),
            Err(Refusal::Link | Refusal::Outside) => return Err(is_a_link(name)),
            Err(Refusal::Io(source)) => {
                return Err(Error::io(format!("cannot open {name}"), source));
            }
        };
        let found = fstat(&file)
            .map_err(|source| Error::io(format!("cannot look at {name}"), source.into()))?;
        let now = Stamp::of(&found);
        let then = *self.opened().entry(name.clone()).or_insert(now);
        if then == now { Ok(Some(file)) } else { Err(Error::changed(name.as_str())) }
    }

    /// Asks whether every file that was opened is still there as it was, under its name.
    pub(super) fn check_unchanged(&self) -> Result<(), Error> {
        for (name, then) in &*self.opened() {
            let found = statat(&self.folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW);
            if found.map(|found| Stamp::of(&found)) != Ok(*then) {
                return Err(Error::changed(name.as_str()));
            }
        }
        Ok(())
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<EntryName, Stamp>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names in a folder, each with the name of that folder in front.
fn list(folder: &File, beneath: Option<&str>) -> Result<BTreeSet<EntryName>, Error> {
    let wrap = |source: Errno| Error::io("cannot list the folder", source.into());
    let mut names = BTreeSet::new();
    for entry in Dir::read_from(folder).map_err(wrap)?.take(MAX_NAMES) {
        let entry = entry.map_err(wrap)?;
        if entry.file_type() == FileType::Directory {
            continue;
        }
        let Ok(name) = entry.file_name().to_str() else { continue };
        let name = beneath.map_or_else(|| name.to_owned(), |beneath| format!("{beneath}/{name}"));
        names.extend(EntryName::parse(&name));
    }
    Ok(names)
}

fn is_a_link(name: &EntryName) -> Error {
    Error::new(Code::E0105, format!("{name} is a link, or lies behind one"))
        .fix("put the file itself beside the descriptor")
}

fn text_of(name: EntryName, mut file: File) -> Result<Text, Error> {
    let found =
        file.metadata().map_err(|source| Error::io(format!("cannot look at {name}"), source))?;
    if !found.is_file() {
        return Err(Error::new(Code::E0105, format!("{name} is no regular file")));
    }
    let length_bytes = found.len();
    read_text(name, &mut file, length_bytes)
}
