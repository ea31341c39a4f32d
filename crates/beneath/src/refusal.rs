//! Why a name was not opened.

use std::io;

use rustix::io::Errno;

/// Why a name was not opened; the caller knows what the file is to it, and finds the words.
#[derive(Debug)]
pub enum Refusal {
    /// Nothing has this name, or what should be a folder of it is none. Names that are too long for
    /// any file count as such.
    Missing,
    /// The name leads out of the folder.
    Outside,
    /// The name, or a folder in it, is a link.
    Link,
    /// It is something else than a regular file: a folder, a pipe, a socket, a device.
    NotAFile,
    /// The system says no, or failed.
    Io(io::Error),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG => Self::Missing,
            Errno::XDEV => Self::Outside,
            Errno::LOOP => Self::Link,
            // What a socket answers, or a device without a driver.
            Errno::NXIO | Errno::NODEV => Self::NotAFile,
            other => Self::Io(other.into()),
        }
    }
}
