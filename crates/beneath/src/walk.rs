//! The way for kernels before 5.6 and for containers that forbid `openat2`.
//!
//! Each component is opened by itself, from the folder that was opened before it and without following
//! a link. `..` goes back to the folder that the walk came from, not to the parent that a folder which
//! somebody moved meanwhile would have.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, openat, statat},
    io::Errno,
};

/// The most folders that are open at once on a walk: the limit of this product, far from the 1024
/// descriptors that a process usually may have.
const MAX_FOLDERS: usize = 64;

/// Opens what `name` names beneath `folder`, as the kernel's own way would.
pub(super) fn open(
    folder: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    if name.is_empty() {
        return Err(Errno::NOENT);
    }
    if name.starts_with(b"/") {
        return Err(Errno::XDEV);
    }
    let (folders, leaf) = split(name);
    let mut walk = Walk { start: folder, inside: Vec::new() };
    for component in folders.split(|byte| *byte == b'/') {
        walk.enter(component)?;
    }
    openat(walk.here(), leaf, flags | OFlags::NOFOLLOW, Mode::empty())
}

/// The folders of a name, and the last part; that is `.` where a folder stands last.
fn split(name: &[u8]) -> (&[u8], &[u8]) {
    let (folders, leaf) = match name.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => {
            let (folders, rest) = name.split_at(slash);
            (folders, rest.strip_prefix(b"/").unwrap_or(rest))
        }
        None => (&b""[..], name),
    };
    match leaf {
        b"" | b"." | b".." => (name, b"."),
        leaf => (folders, leaf),
    }
}

/// Where a walk is.
struct Walk<'f> {
    start: BorrowedFd<'f>,
    /// The open folders from there on.
    inside: Vec<OwnedFd>,
}

impl Walk<'_> {
    fn here(&self) -> BorrowedFd<'_> {
        self.inside.last().map_or(self.start, AsFd::as_fd)
    }

    /// Goes into a folder, or back out of one.
    fn enter(&mut self, component: &[u8]) -> rustix::io::Result<()> {
        match component {
            b"" | b"." => Ok(()),
            b".." => self.inside.pop().map(drop).ok_or(Errno::XDEV),
            _ if self.inside.len() >= MAX_FOLDERS => Err(Errno::NAMETOOLONG),
            _ => {
                let inner = self.folder(component)?;
                self.inside.push(inner);
                Ok(())
            }
        }
    }

    /// Opens a folder without the right to list it: only to pass through.
    fn folder(&self, component: &[u8]) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(self.here(), component, flags, Mode::empty()).map_err(|errno| {
            // A link in the place of a folder is told as what is no folder.
            let is_link = errno == Errno::NOTDIR
                && statat(self.here(), component, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink);
            if is_link { Errno::LOOP } else { errno }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_folders_and_what_stands_last() {
        for (name, folders, leaf) in [
            ("a", "", "a"),
            ("a/b/c", "a/b", "c"),
            ("a//b", "a/", "b"),
            ("./a", ".", "a"),
            ("a/", "a/", "."),
            ("a/.", "a/.", "."),
            ("a/..", "a/..", "."),
            ("..", "..", "."),
            (".", ".", "."),
        ] {
            assert_eq!(split(name.as_bytes()), (folders.as_bytes(), leaf.as_bytes()), "{name}");
        }
    }
}
