//! What is known of the target before anything is planned: plain facts, asked for by the shell.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::Standing;
use bundle::ImageState;
use host::{
    FolderFacts, PathFacts,
    libvirt::{KnownMachine, Network, Pool},
};

/// What is known of the target.
#[derive(Debug, Clone)]
pub struct TargetFacts {
    /// Where the machines go.
    pub place: Where,
    /// Which of the paths that a plan may give are taken.
    pub taken: BTreeSet<PathBuf>,
    /// What lies at the paths that the source asks about ([`asked_paths`](super::asked_paths)).
    pub paths: BTreeMap<PathBuf, PathFacts>,
    /// The states of those of them that are disks of templates and can be read
    /// ([`template_paths`](super::template_paths)).
    pub templates: BTreeMap<PathBuf, ImageState>,
}

/// Where machines go.
#[derive(Debug, Clone)]
pub enum Where {
    /// A folder, which gets the definition as well.
    Folder(FolderFacts),
    /// A libvirt host.
    Host(Box<HostFacts>),
    /// A native backup file.
    Bundle(Box<BundleFacts>),
}

/// What is known of a backup file that is to be written.
#[derive(Debug, Clone)]
pub struct BundleFacts {
    /// Its path, absolute.
    pub path: PathBuf,
    /// The folder that it goes to.
    pub folder: FolderFacts,
    /// How it is stored.
    pub form: bundle::Form,
    /// The time that its members have, in seconds since 1970.
    pub unix_seconds: u64,
    /// The program that writes it, with its version.
    pub tool: String,
}

/// What is known of a libvirt host.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// Its address.
    pub uri: String,
    /// Whether its files are those of this machine.
    pub is_local: bool,
    /// Its pools.
    pub pools: Vec<PoolFacts>,
    /// Its networks.
    pub networks: Vec<Network>,
    /// Its machines.
    pub machines: Vec<KnownMachine>,
    /// The machine whose place the restored one takes, where that was asked for and it is there.
    pub standing: Option<Standing>,
    /// The folder that the user named for disks.
    pub storage: Option<FolderFacts>,
}

/// A pool, and the folder that it is.
#[derive(Debug, Clone)]
pub struct PoolFacts {
    /// What libvirt says.
    pub pool: Pool,
    /// What the file system says, where it is one of this machine.
    pub folder: Option<FolderFacts>,
}

/// Kinds of pools whose volumes are files in a folder.
const OF_FILES: [&str; 3] = ["dir", "fs", "netfs"];

impl TargetFacts {
    /// A folder in which no name is taken.
    #[must_use]
    pub fn folder(folder: FolderFacts) -> Self {
        let (paths, templates) = (BTreeMap::new(), BTreeMap::new());
        Self { place: Where::Folder(folder), taken: BTreeSet::new(), paths, templates }
    }

    /// The libvirt host, if it is one.
    #[must_use]
    pub const fn host(&self) -> Option<&HostFacts> {
        match &self.place {
            Where::Folder(_) | Where::Bundle(_) => None,
            Where::Host(host) => Some(host),
        }
    }

    /// The backup file, if it is one.
    #[must_use]
    pub const fn bundle(&self) -> Option<&BundleFacts> {
        match &self.place {
            Where::Folder(_) | Where::Host(_) => None,
            Where::Bundle(bundle) => Some(bundle),
        }
    }
}

impl HostFacts {
    /// The pool of this name.
    pub(super) fn pool(&self, name: &str) -> Option<&PoolFacts> {
        self.pools.iter().find(|facts| facts.pool.name == name)
    }

    /// The pool that a path lies in: of two, the inner one.
    pub(super) fn pool_of(&self, path: &Path) -> Option<&PoolFacts> {
        let holds = |facts: &&PoolFacts| facts.path().is_some_and(|pool| path.starts_with(pool));
        self.pools
            .iter()
            .filter(holds)
            .max_by_key(|facts| facts.path().map(Path::components).map(Iterator::count))
    }

    /// The machine of this name.
    pub(super) fn machine(&self, name: &str) -> Option<&KnownMachine> {
        self.machines.iter().find(|machine| machine.name == name)
    }
}

impl PoolFacts {
    /// The folder of a pool whose volumes are files.
    pub(super) fn path(&self) -> Option<&Path> {
        let is_of_files = OF_FILES.contains(&self.pool.kind.as_str());
        self.pool.path.as_deref().filter(|_| is_of_files)
    }

    /// Whether it takes no writes, as far as anybody can tell.
    pub(super) fn is_read_only(&self) -> bool {
        let folder = self.folder.as_ref().map(|folder| folder.writable);
        self.pool.writable == Some(false) || folder == Some(false)
    }
}
