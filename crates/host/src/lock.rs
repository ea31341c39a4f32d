//! Turns that processes take: a lock on a file, gone with the process that holds it.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

/// A lock that is held until it is dropped. Its file stays: to remove it would let two hold it.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Takes a lock, if nobody has it.
///
/// # Errors
/// The file cannot be opened or made, or its file system has no locks.
pub fn attempt(path: &Path) -> io::Result<Option<Lock>> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock { _file: file })),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether somebody holds a lock; nobody does where there is no such file.
///
/// # Errors
/// The file cannot be opened, or its file system has no locks.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_once_and_free_again_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web01.lock");
        assert!(!is_held(&path).unwrap());
        let held = attempt(&path).unwrap().unwrap();
        assert!(attempt(&path).unwrap().is_none() && is_held(&path).unwrap());
        drop(held);
        assert!(!is_held(&path).unwrap());
        assert!(attempt(&path).unwrap().is_some());
        assert!(attempt(&folder.path().join("none/x.lock")).is_err());
    }
}
