//! Opening a name: by the kernel, else step by step.

use std::{
    fs::File,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
};

use crate::{Refusal, walk};

/// How often the kernel is asked again when somebody moves folders while it resolves a name; it
/// answers `EAGAIN` then. The limit of this product.
const MAX_ATTEMPTS: u32 = 16;

/// How a file is opened of which it is not known yet whether it is a regular one: a pipe is not waited
/// for, and no terminal becomes this process's own.
const FILE_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// A folder that can be listed.
const FOLDER_FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a regular file beneath an open folder, for reading.
///
/// # Errors
///
/// Every [`Refusal`]; nothing was read then, and nothing outside the folder was opened.
pub fn open_file(folder: impl AsFd, name: &Path) -> Result<File, Refusal> {
    open_file_by(either, folder.as_fd(), name)
}

/// Opens a folder beneath an open folder; it can be listed.
///
/// # Errors
///
/// Every [`Refusal`] but [`Refusal::NotAFile`]: what is no folder is [`Refusal::Missing`].
pub fn open_folder(folder: impl AsFd, name: &Path) -> Result<File, Refusal> {
    open_folder_by(either, folder.as_fd(), name)
}

/// A way to open a name beneath a folder.
type Way = fn(BorrowedFd<'_>, &[u8], OFlags) -> rustix::io::Result<OwnedFd>;

fn open_file_by(way: Way, folder: BorrowedFd<'_>, name: &Path) -> Result<File, Refusal> {
    let file = way(folder, name.as_os_str().as_bytes(), FILE_FLAGS)?;
    let found = fstat(&file)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(Refusal::NotAFile);
    }
    Ok(file.into())
}

fn open_folder_by(way: Way, folder: BorrowedFd<'_>, name: &Path) -> Result<File, Refusal> {
    Ok(way(folder, name.as_os_str().as_bytes(), FOLDER_FLAGS)?.into())
}

/// By the kernel; where it does not know the call, or a filter of system calls forbids it, on foot.
fn either(folder: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    match by_kernel(folder, name, flags) {
        Err(Errno::NOSYS | Errno::PERM) => walk::open(folder, name, flags),
        answer => answer,
    }
}

/// By one system call, which no link and no move of a folder can lead astray.
fn by_kernel(folder: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let ask = || openat2(folder, name, flags, Mode::empty(), resolve);
    let mut answer = ask();
    for _ in 1..MAX_ATTEMPTS {
        if !matches!(answer, Err(Errno::AGAIN)) {
            break;
        }
        answer = ask();
    }
    answer
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::Read as _,
        os::unix::{fs::symlink, net::UnixListener},
    };

    use rustix::fs::{CWD, mkfifoat};

    use super::*;

    const WAYS: [(&str, Way); 3] =
        [("openat2", by_kernel), ("walk", walk::open), ("either", either)];

    /// A folder with files, sub-folders, links, a pipe and a socket, and a file beside it.
    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        let at = |name: &str| tree.path().join(name);
        fs::create_dir_all(at("in/sub/deep")).unwrap();
        let longest = format!("in/{}", "n".repeat(255));
        for name in ["in/file", "in/sub/file", "in/sub/deep/file", &longest, "beside"] {
            fs::write(at(name), name).unwrap();
        }
        symlink("file", at("in/link")).unwrap();
        symlink("../beside", at("in/out")).unwrap();
        symlink("sub", at("in/linked")).unwrap();
        symlink("/dev/null", at("in/null")).unwrap();
        symlink("loop", at("in/loop")).unwrap();
        mkfifoat(CWD, at("in/pipe"), Mode::RUSR).unwrap();
        drop(UnixListener::bind(at("in/socket")).unwrap());
        tree
    }

    /// What a way answers of a file: its content, or the refusal.
    fn file(way: Way, folder: &Path, name: &str) -> String {
        let folder = File::open(folder).unwrap();
        match open_file_by(way, folder.as_fd(), Path::new(name)) {
            Ok(mut file) => {
                let mut content = String::new();
                file.read_to_string(&mut content).unwrap();
                content
            }
            Err(Refusal::Io(error)) => error.to_string(),
            Err(refusal) => format!("{refusal:?}"),
        }
    }

    #[test]
    fn both_ways_open_the_same_files() {
        let tree = tree();
        let (longest, longer) = ("n".repeat(255), "n".repeat(256));
        let longest_content = format!("in/{longest}");
        let absolute = tree.path().join("in/file").display().to_string();
        for (name, want) in [
            ("file", "in/file"),
            ("./file", "in/file"),
            ("sub/file", "in/sub/file"),
            ("sub//file", "in/sub/file"),
            ("sub/deep/file", "in/sub/deep/file"),
            ("sub/../file", "in/file"),
            ("sub/deep/../../file", "in/file"),
            (&longest, &longest_content),
            (&longer, "Missing"),
            ("", "Missing"),
            ("gone", "Missing"),
            ("gone/file", "Missing"),
            ("gone/../file", "Missing"),
            ("file/", "Missing"),
            ("file/.", "Missing"),
            ("file/x", "Missing"),
            ("file/../file", "Missing"),
            ("..", "Outside"),
            ("../beside", "Outside"),
            ("../in/file", "Outside"),
            ("sub/../../beside", "Outside"),
            ("/", "Outside"),
            ("/dev/zero", "Outside"),
            (&absolute, "Outside"),
            ("link", "Link"),
            ("out", "Link"),
            ("null", "Link"),
            ("loop", "Link"),
            ("linked/file", "Link"),
            ("linked/../file", "Link"),
            ("out/x", "Link"),
            ("pipe", "NotAFile"),
            ("socket", "NotAFile"),
            ("sub", "NotAFile"),
            ("sub/", "NotAFile"),
            ("sub/..", "NotAFile"),
            (".", "NotAFile"),
        ] {
            for (called, way) in WAYS {
                assert_eq!(file(way, &tree.path().join("in"), name), want, "{called} {name}");
            }
        }
    }

    #[test]
    fn both_ways_open_no_device_and_no_magic_link() {
        let open = File::open("/dev/null").unwrap();
        let magic = format!("fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open));
        for (folder, name, want) in [
            ("/dev", "zero", "NotAFile"),
            ("/dev", "null", "NotAFile"),
            ("/proc/self", magic.as_str(), "Link"),
            ("/proc/self", "exe", "Link"),
            ("/proc/self", "root/etc/hostname", "Link"),
            ("/proc/self", "cwd/Cargo.toml", "Link"),
        ] {
            for (called, way) in WAYS {
                assert_eq!(file(way, Path::new(folder), name), want, "{called} {folder} {name}");
            }
        }
    }

    #[test]
    fn both_ways_open_the_same_folders() {
        let tree = tree();
        let start = File::open(tree.path().join("in")).unwrap();
        for (name, want) in [
            ("sub", Some("file")),
            ("sub/deep", Some("file")),
            ("sub/deep/..", Some("file")),
            ("gone", None),
            ("file", None),
            ("pipe", None),
            ("linked", None),
            ("sub/../..", None),
            ("/", None),
        ] {
            for (called, way) in WAYS {
                let folder = open_folder_by(way, start.as_fd(), Path::new(name)).ok();
                let inner = folder.map(|folder| open_file(&folder, Path::new("file")).is_ok());
                assert_eq!(inner, want.map(|_| true), "{called} {name}");
            }
        }
    }

    #[test]
    fn a_walk_keeps_only_so_many_folders_open() {
        let tree = tree();
        let inside = tree.path().join("in");
        // Names that go in and out again are no deeper than one folder.
        assert_eq!(file(walk::open, &inside, &("sub/../".repeat(500) + "file")), "in/file");
        fs::create_dir_all(inside.join("d/".repeat(65))).unwrap();
        fs::write(inside.join("d/".repeat(64) + "f"), "deep").unwrap();
        fs::write(inside.join("d/".repeat(65) + "f"), "deeper").unwrap();
        assert_eq!(file(walk::open, &inside, &("d/".repeat(64) + "f")), "deep");
        assert_eq!(file(walk::open, &inside, &("d/".repeat(65) + "f")), "Missing");
    }

    #[test]
    fn what_the_system_forbids_is_said() {
        let tree = tree();
        let inside = tree.path().join("in");
        for (called, way) in WAYS {
            assert_eq!(
                file(way, &inside, "a\0b"),
                "Invalid argument (os error 22)",
                "{called}: a name with a zero byte"
            );
        }
    }
}
