//! A folder in which QEMU keeps what it needs while a machine is backed up: the old content of clusters
//! that the guest writes meanwhile, and the socket that the content is read from.
//!
//! It lies beside an image of the machine, since QEMU can reach that folder for sure: a file system that
//! was mounted after the machine had started is not there for its QEMU. It also is the sign that a
//! backup is under way. Its maker holds a lock on the note in it, whatever state folder it has: what is found
//! in a folder whose lock is free is put right by the next run.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use vm::Uuid;

use crate::lock::{self, Lock};

/// The name of the socket in the folder.
const SOCKET: &str = "nbd";

/// The name of the note in the folder.
const NOTE: &str = "note";

/// The longest path of a socket (`sockaddr_un`: 108 bytes with the zero at the end).
const MAX_SOCKET_BYTES: usize = 107;

/// The folder of one machine. It is removed with all that is in it when this value is dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    _lock: Lock,
}

/// What is seen of the folder of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// There is none.
    Nothing,
    /// Its maker is at work.
    InUse,
    /// Its maker is gone, and left this note.
    Left(String),
}

impl Scratch {
    /// Where the folder of a machine is, beneath a folder.
    #[must_use]
    pub fn folder_of(beneath: &Path, machine: Uuid) -> PathBuf {
        let name = machine.to_string();
        let short: String = name.chars().filter(char::is_ascii_hexdigit).take(12).collect();
        beneath.join(format!(".relift-{short}"))
    }

    /// Makes the folder. `note` is left in it for a later run, should this one not come to its end.
    ///
    /// # Errors
    /// A folder of that name is there, the path is too long for a socket in it, or the file system takes
    /// no writes or no locks.
    pub fn make(beneath: &Path, machine: Uuid, note: &str) -> io::Result<Self> {
        let folder = Self::folder_of(beneath, machine);
        let socket_bytes = folder.join(SOCKET).as_os_str().len();
        if socket_bytes > MAX_SOCKET_BYTES {
            let text = format!(
                "the path of a socket in {} has {socket_bytes} bytes, {MAX_SOCKET_BYTES} are allowed",
                folder.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        DirBuilder::new().mode(0o700).create(&folder)?;
        // Somebody else may see a folder that is not locked yet, take it for one that was left, and remove it:
        // then this run ends before it has done anything.
        let path = folder.join(NOTE);
        let taken =
            || io::Error::new(io::ErrorKind::AlreadyExists, "another process takes it over");
        let made = Self { _lock: lock::attempt(&path)?.ok_or_else(taken)?, folder };
        let mut file = OpenOptions::new().write(true).open(&path)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        Ok(made)
    }

    /// Gives the folder to the owner of an image, which is QEMU's user while the machine runs.
    ///
    /// # Errors
    /// The image is not there, or this user may not do it.
    pub fn give_to_owner_of(&self, image: &Path) -> io::Result<()> {
        let owner = fs::metadata(image)?;
        let ours = fs::metadata(&self.folder)?;
        if (owner.uid(), owner.gid()) != (ours.uid(), ours.gid()) {
            std::os::unix::fs::chown(&self.folder, Some(owner.uid()), Some(owner.gid()))?;
        }
        // libvirt makes the files in it and QEMU the socket, each as its own user.
        fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o711))
    }

    /// Takes over the folder that an earlier run left; `None` where there is none, or somebody is at work.
    ///
    /// # Errors
    /// It cannot be looked at, or locked.
    pub fn take_over(beneath: &Path, machine: Uuid) -> io::Result<Option<Self>> {
        let folder = Self::folder_of(beneath, machine);
        if !is_folder(&folder)? {
            return Ok(None);
        }
        let lock = lock::attempt(&folder.join(NOTE))?;
        Ok(lock.map(|lock| Self { folder, _lock: lock }))
    }

    /// Looks at the folder of a machine, which stays as it is.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn look(beneath: &Path, machine: Uuid) -> io::Result<Seen> {
        let folder = Self::folder_of(beneath, machine);
        let note = folder.join(NOTE);
        Ok(if !is_folder(&folder)? {
            Seen::Nothing
        } else if lock::is_held(&note)? {
            Seen::InUse
        } else {
            // A run that was killed before it wrote the note has done nothing else, either.
            Seen::Left(fs::read_to_string(note).unwrap_or_default())
        })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The socket that QEMU is to serve the disks at.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    /// The file in which QEMU keeps what the guest overwrites of a disk.
    #[must_use]
    pub fn file(&self, target: &str) -> PathBuf {
        self.folder.join(format!("{target}.scratch"))
    }
}

/// Whether there is a folder of this name, and no link to one.
fn is_folder(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is found by the next run.
        drop(fs::remove_dir_all(&self.folder));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "5b1c0000-1111-4222-8333-444455556666";

    #[test]
    fn is_there_for_one_run_and_gone_with_it() {
        let images = tempfile::tempdir().unwrap();
        let image = images.path().join("a.qcow2");
        fs::write(&image, b"").unwrap();
        let machine: Uuid = MACHINE.parse().unwrap();
        let scratch = Scratch::make(images.path(), machine, "hello").unwrap();
        scratch.give_to_owner_of(&image).unwrap();
        assert!(scratch.give_to_owner_of(&images.path().join("none")).is_err());
        assert_eq!(scratch.folder(), images.path().join(".relift-5b1c00001111"));
        let second = Scratch::make(images.path(), machine, "").unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AlreadyExists);
        assert!(scratch.folder().is_dir(), "the second did not remove that of the first");
        fs::write(scratch.file("vda"), b"old").unwrap();
        let folder = scratch.folder().to_owned();
        drop(scratch);
        assert!(!folder.exists());
    }

    #[test]
    fn what_a_killed_run_left_is_found_with_its_note_and_what_a_live_one_has_is_not_taken() {
        let images = tempfile::tempdir().unwrap();
        let machine: Uuid = MACHINE.parse().unwrap();
        let look = || Scratch::look(images.path(), machine).unwrap();
        let take_over = || Scratch::take_over(images.path(), machine).unwrap();
        assert!(take_over().is_none());
        assert_eq!(look(), Seen::Nothing);
        let live = Scratch::make(images.path(), machine, "hello").unwrap();
        assert_eq!(look(), Seen::InUse);
        assert!(take_over().is_none() && live.folder().exists());
        // A lock is gone with its process, and the folder is not.
        drop(live);
        let folder = Scratch::folder_of(images.path(), machine);
        fs::create_dir(&folder).unwrap();
        assert_eq!(look(), Seen::Left(String::new()), "killed before it wrote a note");
        fs::write(folder.join(NOTE), "hello").unwrap();
        assert_eq!(look(), Seen::Left("hello".to_owned()));
        drop(take_over().unwrap());
        assert_eq!(look(), Seen::Nothing);
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_refused_with_its_length() {
        let images = tempfile::tempdir().unwrap();
        let deep = images.path().join("d".repeat(120));
        fs::create_dir(&deep).unwrap();
        let error = Scratch::make(&deep, MACHINE.parse().unwrap(), "").unwrap_err();
        assert!(error.to_string().ends_with("bytes, 107 are allowed"), "{error}");
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 0);
    }
}
