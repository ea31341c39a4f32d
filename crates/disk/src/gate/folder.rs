//! The gate of an image that lies in a folder of this host.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use beneath::Refusal;
use rustix::{
    fs::{FileType, Mode, OFlags, Stat, fstat, open},
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
/// `allowed` files, or lies in one of the `allowed` folders; so is a parent that does not lie beneath
/// the image's own folder, which is looked for by its base name.
#[derive(Debug)]
pub struct Folder {
    folder: File,
    root: Place,
    allowed: Vec<Allowed>,
}

/// A file or folder that the user named.
#[derive(Debug)]
struct Allowed {
    /// Without links.
    path: PathBuf,
    /// The open folder, if it is one.
    folder: Option<File>,
    identity: (u64, u64),
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
        let folder = open_folder(parent)?;
        let stat = rustix::fs::stat(image)?;
        let root = Place { name: String::new(), file: Some(identity(&stat)) };
        let allowed = allowed.iter().map(|path| Allowed::new(path)).collect::<io::Result<_>>()?;
        Ok(Self { folder, root, allowed })
    }
}

impl Gate for Folder {
    fn open(&self, role: Role, name: &FileName, from: &Place) -> Result<Opened> {
        let names = [Some(name.text().as_bytes()), name.raw()];
        let mut failed = None;
        for bytes in names.into_iter().flatten() {
            let path = Path::new(&from.name).with_file_name(OsStr::from_bytes(bytes));
            match self.find(role, name, &path, from) {
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
    /// Opens the file at `path`, which the image at `from` names.
    fn find(&self, role: Role, name: &FileName, path: &Path, from: &Place) -> Result<Opened> {
        // The place of a file that was opened as an allowed one is an absolute path.
        let is_beneath = Path::new(&from.name).is_relative();
        match role {
            Role::Extent if is_beneath => self.beneath(role, name, path),
            Role::Parent if is_beneath => match self.beneath(role, name, path) {
                // The path to a parent is that of another host: what is allowed goes by its base.
                Err(error) if matches!(error.kind(), Kind::Missing | Kind::Unsafe) => {
                    self.allowed_base(role, name, path).unwrap_or(Err(error))
                }
                other => other,
            },
            _ => self.allowed(role, name, path),
        }
    }

    /// Opens a file of the image's own folder, or of a folder in it.
    fn beneath(&self, role: Role, name: &FileName, path: &Path) -> Result<Opened> {
        if path.is_absolute() {
            let leaf = FolderError::Outside { role, name: shown(name.text()) };
            return Err(Error::new(Kind::Unsafe, leaf));
        }
        open_beneath(&self.folder, role, name, path)
    }

    /// Opens a parent by its base name: an allowed file that is called so, or one of an allowed
    /// folder. `None` when there is none.
    fn allowed_base(&self, role: Role, name: &FileName, path: &Path) -> Option<Result<Opened>> {
        let base = path.file_name()?;
        self.allowed.iter().find_map(|allowed| {
            let opened = match &allowed.folder {
                Some(folder) => allowed.member(folder, role, name, base),
                None if allowed.path.file_name() == Some(base) => allowed.file(role, name),
                None => return None,
            };
            match opened {
                Err(error) if error.kind() == Kind::Missing => None,
                other => Some(other),
            }
        })
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
        for allowed in &self.allowed {
            let opened = match (&allowed.folder, path.file_name()) {
                (Some(folder), Some(base)) => allowed.member(folder, role, name, base),
                (None, _) if allowed.identity == found => allowed.file(role, name),
                _ => continue,
            };
            if let Ok(opened) = opened
                && opened.place.file == Some(found)
            {
                return Ok(opened);
            }
        }
        Err(not_allowed(role, name))
    }
}

impl Allowed {
    fn new(path: &Path) -> io::Result<Self> {
        // A path of its own: what a file here names is relative to where that file lies.
        let path = path.canonicalize()?;
        let stat = rustix::fs::stat(&path)?;
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let folder = is_folder.then(|| open_folder(&path)).transpose()?;
        Ok(Self { path, folder, identity: identity(&stat) })
    }

    /// Opens the file itself: its last name in its folder, which has no links.
    fn file(&self, role: Role, name: &FileName) -> Result<Opened> {
        let (Some(parent), Some(base)) = (self.path.parent(), self.path.file_name()) else {
            return Err(missing(role, name));
        };
        let folder = open_folder(parent).map_err(Error::from)?;
        let mut opened = open_beneath(&folder, role, name, Path::new(base))?;
        opened.place.name = self.path.to_string_lossy().into_owned();
        Ok(opened)
    }

    /// Opens a file of the folder.
    fn member(&self, folder: &File, role: Role, name: &FileName, base: &OsStr) -> Result<Opened> {
        let mut opened = open_beneath(folder, role, name, Path::new(base))?;
        opened.place.name = self.path.join(base).to_string_lossy().into_owned();
        Ok(opened)
    }
}

/// Opens a folder to open files of it; it need not be one that may be listed.
fn open_folder(path: &Path) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(open(path, flags, Mode::empty())?.into())
}

/// Opens a regular file beneath a folder.
fn open_beneath(folder: &File, role: Role, name: &FileName, path: &Path) -> Result<Opened> {
    let file = beneath::open_file(folder, path).map_err(|why| refused(why, role, name))?;
    let stat = fstat(&file).map_err(io::Error::from)?;
    let place = Place { name: path.to_string_lossy().into_owned(), file: Some(identity(&stat)) };
    Ok(Opened { bytes: Arc::new(FileBytes::new(file)?), place })
}

/// Why a file was not opened, in the words of the image that names it.
fn refused(why: Refusal, role: Role, name: &FileName) -> Error {
    let shown = shown(name.text());
    let leaf = match why {
        Refusal::Missing => return missing(role, name),
        Refusal::Io(error) => return Error::from(error).in_file(name.text()),
        Refusal::Outside => FolderError::Outside { role, name: shown },
        Refusal::Link => FolderError::Link { role, name: shown },
        Refusal::NotAFile => FolderError::NotAFile { role, name: shown },
    };
    Error::new(Kind::Unsafe, leaf)
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

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    /// A folder with an image, another file, a sub-folder, links, a fifo, and a folder beside it.
    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        fs::create_dir_all(at("vm/sub")).unwrap();
        fs::create_dir(at("beside")).unwrap();
        for name in ["vm/disk", "vm/part", "vm/sub/part", "beside/base", "beside/other", "secret"] {
            fs::write(at(name), name).unwrap();
        }
        fs::write(at("vm").join(OsStr::from_bytes(b"caf\xe9")), "raw").unwrap();
        symlink(at("secret"), at("vm/link")).unwrap();
        symlink(at("beside"), at("vm/linked")).unwrap();
        symlink(at("secret"), at("beside/link")).unwrap();
        let cwd = rustix::fs::CWD;
        let fifo = FileType::Fifo;
        rustix::fs::mknodat(cwd, at("vm/fifo"), fifo, Mode::RUSR, 0).unwrap();
        tree
    }

    /// What the gate of `vm/disk` says to a name: the content, or the message and its kind.
    fn ask(
        tree: &tempfile::TempDir,
        allowed: &[&str],
        role: Role,
        name: &FileName,
    ) -> std::result::Result<String, (String, Kind)> {
        let allowed: Vec<_> = allowed.iter().map(|name| tree.path().join(name)).collect();
        let folder = Folder::of(&tree.path().join("vm/disk"), &allowed).unwrap();
        match folder.open(role, name, &folder.root()) {
            Ok(opened) => {
                let mut content = vec![0; opened.bytes.len_bytes() as usize];
                opened.bytes.fill(&mut content, 0).unwrap();
                Ok(String::from_utf8(content).unwrap())
            }
            Err(error) => Err((error.to_string(), error.kind())),
        }
    }

    #[test]
    fn extents_lie_beneath_the_folder_of_the_image() {
        let tree = tree();
        let name = |name: &str| ask(&tree, &["beside"], Role::Extent, &FileName::new(name));
        assert_eq!(name("part"), Ok("vm/part".to_owned()));
        assert_eq!(name("sub/part"), Ok("vm/sub/part".to_owned()));
        assert_eq!(name("sub/../part"), Ok("vm/part".to_owned()));
        let absolute = tree.path().join("vm/part").to_string_lossy().into_owned();
        let long = "x".repeat(300);
        for (file, want, kind) in [
            ("../secret", "does not lie beneath the image's own folder", Kind::Unsafe),
            ("sub/../../secret", "does not lie beneath the image's own folder", Kind::Unsafe),
            (&absolute, "does not lie beneath the image's own folder", Kind::Unsafe),
            ("/dev/zero", "does not lie beneath the image's own folder", Kind::Unsafe),
            ("link", "is a link, or lies behind one", Kind::Unsafe),
            ("linked/base", "is a link, or lies behind one", Kind::Unsafe),
            ("fifo", "is no regular file", Kind::Unsafe),
            ("sub", "is no regular file", Kind::Unsafe),
            (".", "is no regular file", Kind::Unsafe),
            ("gone", "is not there", Kind::Missing),
            ("part/x", "is not there", Kind::Missing),
            ("", "is not there", Kind::Missing),
        ] {
            assert_eq!(name(file), Err((format!("the extent '{file}' {want}"), kind)));
        }
        assert_eq!(name(&long).unwrap_err().1, Kind::Missing);
    }

    #[test]
    fn a_name_may_be_the_bytes_that_the_image_has() {
        let tree = tree();
        let decoded = FileName::decoded("caf\u{e9}", b"caf\xe9");
        assert_eq!(ask(&tree, &[], Role::Extent, &decoded), Ok("raw".to_owned()));
        let climbing = FileName::decoded("gone", b"../secret");
        assert_eq!(ask(&tree, &[], Role::Extent, &climbing).unwrap_err().1, Kind::Unsafe);
    }

    #[test]
    fn a_backing_file_is_opened_only_when_it_is_allowed() {
        let tree = tree();
        let ask = |allowed: &[&str], name: &str| {
            ask(&tree, allowed, Role::BackingFile, &FileName::new(name))
        };
        let base = tree.path().join("beside/base").to_string_lossy().into_owned();
        for name in ["../beside/base", &base, "part", "gone"] {
            let want =
                format!("the backing file '{name}' is not opened unless it is allowed by name");
            assert_eq!(ask(&[], name), Err((want, Kind::Denied)));
        }
        for allowed in ["beside/base", "beside"] {
            for name in ["../beside/base", &base, "linked/base"] {
                assert_eq!(ask(&[allowed], name), Ok("beside/base".to_owned()), "{allowed} {name}");
            }
            // What lies elsewhere under the same name, or behind a link, is not what was allowed.
            for name in ["part", "sub/part", "../secret", "../beside/link", "link"] {
                assert_eq!(ask(&[allowed], name).unwrap_err().1, Kind::Denied, "{allowed} {name}");
            }
        }
        assert_eq!(ask(&["beside"], "gone").unwrap_err().1, Kind::Missing);
        assert_eq!(ask(&["vm/link"], "link"), Ok("secret".to_owned()));
        assert_eq!(ask(&["vm/fifo"], "fifo").unwrap_err().1, Kind::Denied);
    }

    #[test]
    fn a_parent_elsewhere_is_looked_for_by_its_name_where_it_is_allowed() {
        let tree = tree();
        let ask = |allowed: &[&str], name: &str| {
            ask(&tree, allowed, Role::Parent, &FileName::new(name)).map_err(|(_, kind)| kind)
        };
        assert_eq!(ask(&[], "part"), Ok("vm/part".to_owned()));
        assert_eq!(ask(&[], "base"), Err(Kind::Missing));
        assert_eq!(ask(&[], "../beside/base"), Err(Kind::Unsafe));
        for allowed in ["beside/base", "beside"] {
            assert_eq!(ask(&[allowed], "base"), Ok("beside/base".to_owned()));
            assert_eq!(ask(&[allowed], "/vmfs/x/base"), Ok("beside/base".to_owned()));
        }
        assert_eq!(ask(&["beside"], "link"), Err(Kind::Unsafe));
    }

    #[test]
    fn what_an_allowed_file_names_must_be_allowed_too() {
        let tree = tree();
        let image = tree.path().join("vm/disk");
        let name = |name: &str| FileName::new(name);
        for (allowed, want) in [("beside", None), ("beside/base", Some(Kind::Denied))] {
            let folder = Folder::of(&image, &[tree.path().join(allowed)]).unwrap();
            let base = folder.open(Role::Parent, &name("base"), &folder.root()).unwrap();
            assert!(Path::new(&base.place.name).is_absolute());
            let other = folder.open(Role::Extent, &name("other"), &base.place);
            assert_eq!(other.err().map(|error| error.kind()), want);
            let link = folder.open(Role::Extent, &name("link"), &base.place);
            assert_eq!(link.unwrap_err().kind(), Kind::Denied);
        }
        assert!(Folder::of(&image, &[tree.path().join("gone")]).is_err());
        assert!(Folder::of(&tree.path().join("gone"), &[]).is_err());
    }
}
