//! What to take back when a run fails.

use std::path::{Path, PathBuf};

use host::{Host, libvirt::Hypervisor};
use vm::Uuid;

/// Acts that can be taken back, newest first.
///
/// Dropping the list takes them back, whatever ended the run; a run that is complete forgets it.
pub(crate) struct Undo<'a> {
    host: &'a dyn Host,
    hypervisor: Option<&'a dyn Hypervisor>,
    keep_partial: bool,
    acts: Vec<Act>,
}

enum Act {
    Folder(PathBuf),
    Partial(PathBuf),
    Published(PathBuf),
    SetAside { aside: PathBuf, path: PathBuf },
    Defined(Uuid),
    Refreshed(String),
}

impl<'a> Undo<'a> {
    pub(crate) const fn new(
        host: &'a dyn Host,
        hypervisor: Option<&'a dyn Hypervisor>,
        keep_partial: bool,
    ) -> Self {
        Self { host, hypervisor, keep_partial, acts: Vec::new() }
    }

    /// A folder was made.
    pub(crate) fn folder(&mut self, path: &Path) {
        self.acts.push(Act::Folder(path.to_owned()));
    }

    /// An unfinished file was made.
    pub(crate) fn partial(&mut self, path: &Path) {
        self.acts.push(Act::Partial(path.to_owned()));
    }

    /// An unfinished file got its name.
    pub(crate) fn published(&mut self, partial: &Path, path: &Path) {
        self.acts.retain(|act| !matches!(act, Act::Partial(there) if there == partial));
        self.acts.push(Act::Published(path.to_owned()));
    }

    /// A file of an earlier run was moved out of the way.
    pub(crate) fn set_aside(&mut self, aside: &Path, path: &Path) {
        self.acts.push(Act::SetAside { aside: aside.to_owned(), path: path.to_owned() });
    }

    /// A machine was defined on the host.
    pub(crate) fn defined(&mut self, machine: Uuid) {
        self.acts.push(Act::Defined(machine));
    }

    /// A pool is about to see files that will go again: it shall look once more then, so this stands
    /// below them in the list.
    pub(crate) fn refreshes(&mut self, pool: &str) {
        self.acts.insert(0, Act::Refreshed(pool.to_owned()));
    }

    /// The run is complete: what was set aside is removed, everything else stays.
    pub(crate) fn forget(mut self) {
        for act in std::mem::take(&mut self.acts) {
            if let Act::SetAside { aside, .. } = act {
                drop(self.host.remove_file(&aside));
            }
        }
    }
}

impl Drop for Undo<'_> {
    /// Takes everything back; what cannot be taken back stays, since there is nobody to tell.
    fn drop(&mut self) {
        for act in std::mem::take(&mut self.acts).into_iter().rev() {
            match act {
                Act::Partial(_) if self.keep_partial => {}
                Act::Partial(path) | Act::Published(path) => drop(self.host.remove_file(&path)),
                Act::Folder(path) => drop(self.host.remove_folder(&path)),
                Act::SetAside { aside, path } => drop(self.host.put_back(&aside, &path)),
                Act::Defined(machine) => drop(self.hypervisor.map(|it| it.undefine(machine))),
                Act::Refreshed(pool) => drop(self.hypervisor.map(|it| it.refresh_pool(&pool))),
            }
        }
    }
}
