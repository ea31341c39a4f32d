//! The only door to what lies outside the program's own memory and inputs: folders, libvirt, programs.
//!
//! ```text
//! planner  --asks-->  facts (room, what is there)        pure values
//! executor --acts-->  trait Host        --> dir      the file system
//!                     trait Hypervisor  --> libvirt  machines and volumes, by way of virsh
//!                     both              --> fake     recorded, failing where a test wants it
//! shell    --asks-->  http  what lies at an address: a stream, or pieces of it
//!          --gives up what it will not need-->  sandbox, limits
//! runs     --remember--> lines    --take turns--> lock
//! ```
//!
//! Every act can be taken back by another act, so that an executor can keep an undo list.

pub mod dir;
mod error;
pub mod fake;
pub mod guard;
pub mod here;
pub mod http;
pub mod libvirt;
pub mod limits;
pub mod lines;
pub mod lock;
mod program;
pub mod sandbox;
pub mod scratch;
pub mod tool;
pub mod worker;

use std::{
    fs::File,
    path::{Path, PathBuf},
};

pub use error::{Error, Kind};

/// What a folder is like before anything is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFacts {
    /// The folder, absolute.
    pub path: PathBuf,
    /// Whether it is there.
    pub exists: bool,
    /// Whether its file system takes writes.
    pub writable: bool,
    /// Bytes that its file system still takes.
    pub free_bytes: u64,
    /// What tells its file system from others: folders of one share their room.
    pub file_system: u64,
}

/// What lies at a path, seen without following anything that a package says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathFacts {
    /// What is there.
    pub kind: PathKind,
    /// How many bytes it has; 0 for a device.
    pub length_bytes: u64,
    /// The folder that it is in, or would be in.
    pub folder: FolderFacts,
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// Nothing.
    Nothing,
    /// A file.
    File,
    /// A block device.
    Device,
    /// A block device that the machine itself uses: it is mounted, or part of something larger.
    UsedDevice,
    /// A folder or something else that is no disk.
    Other,
}

/// What an executor can do to the outside.
///
/// Names are single components that the program made up; none comes from a package.
pub trait Host {
    /// Makes a folder, mode 0755 less the umask where it is new; says whether it is new.
    ///
    /// # Errors
    /// The parent is missing or takes no writes.
    fn create_folder(&self, path: &Path) -> Result<Existed, Error>;

    /// Creates a new file beside its later name, `NAME.partial-ID`, mode 0600, for reading and writing.
    ///
    /// # Errors
    /// The folder takes no writes.
    fn create_partial(&self, path: &Path) -> Result<Partial, Error>;

    /// Makes a finished file durable and gives it its name; another file of that name stays.
    ///
    /// # Errors
    /// A file of that name exists ([`Kind::Exists`]), or the disk is full or fails.
    fn publish(&self, partial: &Partial) -> Result<(), Error>;

    /// Moves a file out of the way, beside itself, and says where to; `None` when there is none.
    ///
    /// # Errors
    /// The folder takes no writes.
    fn set_aside(&self, path: &Path) -> Result<Option<PathBuf>, Error>;

    /// Moves a file that was set aside back to its name.
    ///
    /// # Errors
    /// The folder takes no writes, or another file has the name.
    fn put_back(&self, aside: &Path, path: &Path) -> Result<(), Error>;

    /// Gives a file another name beside the one that it has.
    ///
    /// # Errors
    /// A file has that name, the file is not there, or its file system gives a file one name only.
    fn second_name(&self, path: &Path, name: &Path) -> Result<(), Error>;

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// The folder takes no writes.
    fn remove_file(&self, path: &Path) -> Result<(), Error>;

    /// Removes a folder if it is empty.
    ///
    /// # Errors
    /// The parent takes no writes.
    fn remove_folder(&self, path: &Path) -> Result<(), Error>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// The disk fails.
    fn sync_folder(&self, path: &Path) -> Result<(), Error>;
}

/// Whether a folder was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existed {
    /// It was there.
    Yes,
    /// It was made.
    No,
}

/// A file that is being written, and the name that it will have.
#[derive(Debug)]
pub struct Partial {
    /// Where it is now.
    pub path: PathBuf,
    /// Where it will be.
    pub published: PathBuf,
    /// The open file.
    pub file: File,
}
