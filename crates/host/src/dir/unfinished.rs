//! Files that are being written, and those that a killed run left behind.
//!
//! A run holds a lock (`flock`) on each file that it has not finished. The kernel lets go of it when the
//! run ends, however it ends: an unfinished file that nobody has locked belongs to nobody, and the next
//! run that writes a file of that name removes it.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, File, OpenOptions},
    io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags, flock};

use crate::{Error, Partial};

/// What stands between the name of a file and the run that writes it.
const MARK: &str = ".partial-";

/// How many unfinished files of one name and run may lie about.
const MAX_PARTIALS: u32 = 100;

/// The most names of a folder that are looked at: the limit of this product.
const MAX_NAMES: usize = 100_000;

/// Creates the file that will be `path`, and removes what killed runs left of it.
pub(super) fn create(path: &Path, run: &str) -> Result<Partial, Error> {
    sweep(path);
    for attempt in 0..MAX_PARTIALS {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("{MARK}{run}"));
        if attempt > 0 {
            name.push(format!("-{attempt}"));
        }
        match create_locked(&name) {
            Ok(Some(file)) => {
                return Ok(Partial { path: name.into(), published: path.to_owned(), file });
            }
            Ok(None) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::new("cannot create", name, error)),
        }
    }
    Err(Error::exists(path))
}

/// Creates a file and locks it; `None` where a sweep of another run was faster.
fn create_locked(name: &OsStr) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(name)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        // A file system without locks: then nobody sweeps there either.
        Err(_) => return Ok(Some(file)),
        Ok(()) => {}
    }
    let is_there = file.metadata()?.nlink() > 0;
    Ok(is_there.then_some(file))
}

/// Removes the unfinished files of this name that no run has locked. What cannot be removed stays: it is
/// in nobody's way.
fn sweep(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut start = OsString::from(name);
    start.push(MARK);
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.take(MAX_NAMES).flatten() {
        if is_ours(&entry.file_name(), &start) {
            // The error is what it is for: the file is another run's, or out of reach.
            let _kept = remove_abandoned(&entry.path());
        }
    }
}

/// The unfinished files of a folder that no run has locked: those whose later names `is_wanted`.
///
/// # Errors
/// The folder cannot be listed.
pub(super) fn abandoned(
    folder: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)?.take(MAX_NAMES) {
        let name = entry?.file_name();
        let later = name.to_str().and_then(|name| name.rsplit_once(MARK)).map(|(later, _)| later);
        let Some(later) = later.filter(|later| is_wanted(later)) else { continue };
        let path = folder.join(&name);
        let start = OsString::from(format!("{later}{MARK}"));
        // What cannot be opened or locked belongs to somebody.
        if is_ours(&name, &start) && matches!(open_abandoned(&path), Ok(Some(_))) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a name is `start` and the number of a run: `NAME.partial-123` or `NAME.partial-123-1`.
fn is_ours(name: &OsStr, start: &OsStr) -> bool {
    let Some(run) = name.as_bytes().strip_prefix(start.as_bytes()) else { return false };
    run.first().is_some_and(u8::is_ascii_digit)
        && run.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-')
}

/// Removes an unfinished file, unless a run has locked it.
///
/// # Errors
/// A run has it, or its folder takes no writes.
pub(super) fn remove_abandoned(path: &Path) -> io::Result<()> {
    match open_abandoned(path)? {
        Some(_locked) => fs::remove_file(path),
        None => Ok(()),
    }
}

/// Opens and locks an unfinished file; `None` for what is no file.
fn open_abandoned(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    let file = options.write(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed_by_the_next_run_of_that_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.qcow2");
        let left = ["a.qcow2.partial-12", "a.qcow2.partial-12-1"];
        let others = ["a.qcow2.partial-x", "a.qcow2", "b.qcow2.partial-12", "a.qcow2.partial-"];
        for name in left.iter().chain(&others) {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        let made = create(&path, "7").unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let mut expected = others.map(str::to_owned).to_vec();
        expected.push("a.qcow2.partial-7".to_owned());
        expected.sort();
        assert_eq!(names, expected);
        drop(made);
    }

    #[test]
    fn what_another_run_is_writing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.qcow2");
        let first = create(&path, "7").unwrap();
        let second = create(&path, "8").unwrap();
        assert!(first.path.exists() && second.path.exists());
    }

    #[test]
    fn only_files_that_nobody_writes_are_abandoned_and_only_the_wanted_ones() {
        let folder = tempfile::tempdir().unwrap();
        let written = create(&folder.path().join("a.tar"), "7").unwrap();
        for name in
            ["a.tar.partial-12", "b.tar.partial-3-1", "a.qcow2.partial-1", "c.tar.partial-x"]
        {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        fs::create_dir(folder.path().join("d.tar.partial-5")).unwrap();
        let wanted = |name: &str| name.ends_with(".tar");
        let left = ["a.tar.partial-12", "b.tar.partial-3-1"].map(|name| folder.path().join(name));
        assert_eq!(abandoned(folder.path(), wanted).unwrap(), left);
        assert!(remove_abandoned(&written.path).is_err(), "somebody writes it");
        for path in &left {
            remove_abandoned(path).unwrap();
        }
        assert_eq!(abandoned(folder.path(), wanted).unwrap(), [""; 0].map(PathBuf::from));
        assert!(abandoned(&folder.path().join("none"), wanted).is_err());
    }

    #[test]
    fn a_link_of_such_a_name_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("precious");
        fs::write(&target, b"x").unwrap();
        let link = folder.path().join("a.partial-1");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        create(&folder.path().join("a"), "7").unwrap();
        assert!(target.exists() && link.is_symlink());
    }
}
