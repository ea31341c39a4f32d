//! What to take back when a run fails.

use std::path::{Path, PathBuf};

use host::{
    Host,
    libvirt::{Extent, KnownSnapshot, Protection, Scope},
};
use vm::Uuid;

/// Acts that can be taken back, newest first.
///
/// Dropping the list takes them back, whatever ended the run; a run that is complete forgets it.
pub(crate) struct Undo<'a> {
    host: &'a dyn Host,
    hypervisor: Option<&'a dyn Protection>,
    keep_partial: bool,
    acts: Vec<Act<'a>>,
}

enum Act<'a> {
    Folder(PathBuf),
    Partial(PathBuf),
    Published(PathBuf),
    SetAside { aside: PathBuf, path: PathBuf },
    SecondName(PathBuf),
    LostName { aside: PathBuf, path: PathBuf },
    Defined(Uuid),
    Redefines { name: &'a str, document: &'a str },
    ToldSnapshot { machine: Uuid, name: &'a str },
    ForgotSnapshot { machine: Uuid, snapshot: KnownSnapshot },
    ForgotCheckpoint { machine: Uuid, xml: String },
    Refreshed(String),
}

impl<'a> Undo<'a> {
    pub(crate) const fn new(
        host: &'a dyn Host,
        hypervisor: Option<&'a dyn Protection>,
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

    /// A file got a second name.
    pub(crate) fn second_name(&mut self, aside: &Path) {
        self.acts.push(Act::SecondName(aside.to_owned()));
    }

    /// A file has its second name only.
    pub(crate) fn lost_name(&mut self, aside: &Path, path: &Path) {
        self.acts.push(Act::LostName { aside: aside.to_owned(), path: path.to_owned() });
    }

    /// A machine of the host is about to be defined anew; it was defined with this document.
    pub(crate) fn redefines(&mut self, name: &'a str, document: &'a str) {
        self.acts.push(Act::Redefines { name, document });
    }

    /// A machine that stays is about to be told of a snapshot.
    pub(crate) fn told_snapshot(&mut self, machine: Uuid, name: &'a str) {
        self.acts.push(Act::ToldSnapshot { machine, name });
    }

    /// A machine that stays knows no more of a snapshot.
    pub(crate) fn forgot_snapshot(&mut self, machine: Uuid, snapshot: KnownSnapshot) {
        self.acts.push(Act::ForgotSnapshot { machine, snapshot });
    }

    /// A machine that stays knows no more of a checkpoint.
    pub(crate) fn forgot_checkpoint(&mut self, machine: Uuid, xml: String) {
        self.acts.push(Act::ForgotCheckpoint { machine, xml });
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
                Act::Partial(path) | Act::Published(path) | Act::SecondName(path) => {
                    drop(self.host.remove_file(&path));
                }
                Act::Folder(path) => drop(self.host.remove_folder(&path)),
                Act::SetAside { aside, path } => drop(self.host.put_back(&aside, &path)),
                Act::LostName { aside, path } => drop(self.host.second_name(&aside, &path)),
                on_host => {
                    if let Some(hypervisor) = self.hypervisor {
                        take_back(on_host, hypervisor);
                    }
                }
            }
        }
    }
}

/// Takes an act on a machine or a pool back.
fn take_back(act: Act<'_>, hypervisor: &dyn Protection) {
    let tried = match act {
        Act::Defined(machine) => hypervisor.undefine(machine),
        Act::Redefines { name, document } => hypervisor.define(name, document),
        Act::ToldSnapshot { machine, name } => {
            hypervisor.delete_snapshot(machine, name, Scope::One, Extent::Metadata)
        }
        Act::ForgotSnapshot { machine, snapshot } if snapshot.is_current => {
            hypervisor.define_current_snapshot(machine, &snapshot.xml)
        }
        Act::ForgotSnapshot { machine, snapshot } => {
            hypervisor.define_snapshot(machine, &snapshot.xml)
        }
        Act::ForgotCheckpoint { machine, xml } => hypervisor.redefine_checkpoint(machine, &xml),
        Act::Refreshed(pool) => hypervisor.refresh_pool(&pool),
        _ => Ok(()),
    };
    drop(tried);
}
