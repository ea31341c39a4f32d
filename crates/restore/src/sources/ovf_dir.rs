//! A descriptor with its files beside it.
//!
//! Files are opened beneath the descriptor's own folder by its descriptor: no link is followed, and
//! no name climbs out.

use std::{
    collections::BTreeSet,
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use code::Code;
use disk::{FileBytes, ReadAt};
use ovf::EntryName;
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2, statat},
    io::Errno,
};

use super::{
    deliver_whole,
    papers::{Judged, Papers, read_text},
};
use crate::{
    Description, Error, Facts, Policy, Source, SourceKind,
    source::{Member, Take, Text},
};

/// The most names of a folder that are looked at: the limit of this product.
const MAX_NAMES: usize = 100_000;

/// A descriptor and the folder that it lies in.
pub(super) struct OvfDir {
    facts: Facts,
    folder: File,
}

impl OvfDir {
    /// Opens a folder that holds exactly one descriptor.
    pub(super) fn of_folder(path: &Path, policy: &Policy) -> Result<Self, Error> {
        let folder = open_folder(path)?;
        let names = list(&folder, None)?;
        let found: Vec<&EntryName> = names
            .iter()
            .filter(|name| name.has_extension("ovf") && !name.base().starts_with("._"))
            .collect();
        let [descriptor] = found.as_slice() else {
            let shown = path.display();
            let text = match found.len() {
                0 => format!("no .ovf is in the folder {shown}"),
                count => format!("{count} .ovf files are in the folder {shown}"),
            };
            let list = found.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            let error = Error::new(Code::E0103, text);
            return Err(if list.is_empty() {
                error.fix("point relift at the .ovf or the .ova itself")
            } else {
                error.detail("found", list).fix("point relift at one of them")
            });
        };
        let name = (*descriptor).clone();
        // Nobody typed this name, so it is opened as the package's other names are.
        let Some(file) = open_beneath(&folder, &name)? else {
            return Err(Error::new(Code::E0105, format!("{name} is no regular file")));
        };
        let typed = (path.display().to_string(), text_of(name, file)?);
        Self::read(typed, path, folder, policy)
    }

    /// Opens a descriptor.
    pub(super) fn of_descriptor(path: &Path, policy: &Policy) -> Result<Self, Error> {
        let (parent, folder, text) = open_typed(path)?;
        Self::read((path.display().to_string(), text), &parent, folder, policy)
    }

    fn read(
        (name, descriptor): (String, Text),
        path: &Path,
        folder: File,
        policy: &Policy,
    ) -> Result<Self, Error> {
        let beside = |extension: &str| -> Result<Option<Text>, Error> {
            let name = EntryName::parse(&format!("{}.{extension}", descriptor.name.stem()))?;
            open_beneath(&folder, &name)?.map(|file| text_of(name, file)).transpose()
        };
        let (manifest, certificate) = (beside("mf")?, beside("cert")?);
        let shown = descriptor.name.to_string();
        let Judged { descriptor, envelope, manifest, signature, findings } =
            Papers { descriptor, manifest, certificate }.judge(&shown, policy)?;
        let mut names = list(&folder, None)?;
        names.extend(names_in_folders(&folder, folders_of(&envelope))?);
        names.remove(&descriptor.name);
        let length_bytes = descriptor.bytes.len() as u64;
        let own = Member { name: descriptor.name.clone(), offset_bytes: 0, length_bytes };
        let mut members = vec![own];
        for name in names {
            let listed = manifest.as_ref().is_some_and(|(_, all)| all.expected(&name).is_some());
            let spoken_of = listed || is_spoken_of(&name, &envelope, &descriptor.name);
            members.extend(member(&folder, name, spoken_of)?);
        }
        let facts = Facts {
            kind: SourceKind::Ovf,
            name,
            folder: Some(path.to_owned()),
            description: Description::Ovf(Box::new(envelope)),
            manifest,
            signature,
            is_complete: true,
            package_bytes: None,
            findings,
            members,
            descriptor,
        };
        Ok(Self { facts, folder })
    }
}

/// Opens a descriptor that the user typed: the path of its folder, the folder, its text.
///
/// A link at that name is followed; the package's own names are not.
pub(super) fn open_typed(path: &Path) -> Result<(PathBuf, File, Text), Error> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = EntryName::parse(&name.unwrap_or_default())?;
    let folder = open_folder(&parent)?;
    let wrap = |source: Errno| Error::io(format!("cannot open {name}"), source.into());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(open(path, flags, Mode::empty()).map_err(wrap)?);
    let text = text_of(name.clone(), file)?;
    Ok((parent, folder, text))
}

impl Source for OvfDir {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn bytes(&self, name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error> {
        bytes(&self.folder, name)
    }

    fn deliver(
        &mut self,
        wanted: &dyn Fn(&EntryName) -> bool,
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        deliver_whole(self, wanted, take)
    }
}

/// The bytes of a regular file beneath the folder.
pub(super) fn bytes(folder: &File, name: &EntryName) -> Result<Option<Arc<dyn ReadAt>>, Error> {
    let Some(file) = open_beneath(folder, name)? else { return Ok(None) };
    let bytes =
        FileBytes::new(file).map_err(|source| Error::io(format!("cannot read {name}"), source))?;
    Ok(Some(Arc::new(bytes)))
}

/// Whether the descriptor speaks of a file.
fn is_spoken_of(name: &EntryName, envelope: &ovf::Envelope, descriptor: &EntryName) -> bool {
    let mut hrefs = envelope.files.iter().filter_map(|file| file.href.as_deref());
    hrefs.any(|href| ovf::resolve_href(href, descriptor, std::slice::from_ref(name)).is_ok())
}

/// A regular file of the folder. A link is refused where the package speaks of it; whatever else lies
/// there is somebody else's.
pub(super) fn member(
    folder: &File,
    name: EntryName,
    spoken_of: bool,
) -> Result<Option<Member>, Error> {
    let stat = match statat(folder, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
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

fn open_folder(path: &Path) -> Result<File, Error> {
    open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map(File::from)
        .map_err(|source| {
            Error::io(format!("cannot open the folder {}", path.display()), source.into())
        })
}

/// The names in a folder that a package may use, sorted; others are passed over.
pub(super) fn list(folder: &File, beneath: Option<&str>) -> Result<BTreeSet<EntryName>, Error> {
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

/// The sub-folders that the descriptor speaks of.
fn folders_of(envelope: &ovf::Envelope) -> BTreeSet<String> {
    let hrefs = envelope.files.iter().filter_map(|file| file.href.as_deref());
    hrefs.filter_map(|href| EntryName::parse(href).ok()?.folder().map(str::to_owned)).collect()
}

/// The names in sub-folders, where these are there.
pub(super) fn names_in_folders(
    folder: &File,
    folders: BTreeSet<String>,
) -> Result<BTreeSet<EntryName>, Error> {
    let mut names = BTreeSet::new();
    for name in folders {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match openat2(folder, &name, flags, Mode::empty(), beneath()) {
            Ok(inner) => names.extend(list(&File::from(inner), Some(&name))?),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {}
            Err(source) => {
                return Err(Error::io(format!("cannot open the folder {name}"), source.into()));
            }
        }
    }
    Ok(names)
}

/// Opens a regular file beneath the folder; `None` where there is none, or something else.
fn open_beneath(folder: &File, name: &EntryName) -> Result<Option<File>, Error> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat2(folder, name.as_str(), flags, Mode::empty(), beneath()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::LOOP | Errno::XDEV) => return Err(is_a_link(name)),
        Err(source) => return Err(Error::io(format!("cannot open {name}"), source.into())),
    };
    let stat = fstat(&file)
        .map_err(|source| Error::io(format!("cannot look at {name}"), source.into()))?;
    Ok((FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then(|| file.into()))
}

const fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS)
}
