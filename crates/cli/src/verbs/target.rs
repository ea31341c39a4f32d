//! What `--to` means, and what there is to know of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use bundle::ImageState;
use code::Code;
use host::{
    PathFacts, PathKind, dir,
    libvirt::{KnownMachine, Libvirt},
};
use restore::{
    Choices, Source,
    plan::{HostFacts, OnConflict, PoolFacts, TargetFacts, Where},
};

use crate::{
    args::{ConflictChoice, HostArgs, PlaceArgs},
    failure::{Failure, Result},
    hypervisor::Hypervisor,
    session::Session,
    show::clean,
};

/// What `--to` is where a verb that brings in machines is not told.
pub(crate) const USUAL: &str = "libvirt";

/// Where machines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A folder.
    Folder(PathBuf),
    /// A libvirt host; the session's own, where none is named.
    Host(Hypervisor),
}

impl Target {
    /// Reads `--to`; `usual` is the host where none is named.
    pub(crate) fn parse(text: &str, usual: &Hypervisor) -> Result<Self> {
        match text.split_once(':') {
            Some(("dir", path)) if !path.is_empty() => Ok(Self::Folder(PathBuf::from(path))),
            None if text == "libvirt" => Ok(Self::Host(usual.named())),
            Some(("libvirt", uri)) if !uri.is_empty() => Ok(Self::Host(Hypervisor::of(Some(uri)))),
            _ => Err(Failure::usage(format!("--to '{text}' is no target"))
                .tip("libvirt, libvirt:URI or dir:PATH")),
        }
    }

    /// The target of a command: the host, unless something else is said.
    pub(super) fn of(
        to: Option<&str>,
        (place, start): (&PlaceArgs, bool),
        session: &Session,
    ) -> Result<Self> {
        let target = Self::parse(to.unwrap_or(USUAL), &session.hypervisor)?;
        if let Self::Folder(_) = target {
            let beside = [
                ("--pool", place.pool.is_some()),
                ("--storage", place.storage.is_some()),
                ("--start", start),
            ];
            if let Some((flag, _)) = beside.iter().find(|(_, given)| *given) {
                return Err(Failure::usage(format!(
                    "{flag} is for a host, and --to names a folder"
                )));
            }
        }
        Ok(target)
    }

    /// The host that is asked what it offers: that of the target, else the usual one.
    pub(crate) fn hypervisor<'a>(&'a self, usual: &'a Hypervisor) -> &'a Hypervisor {
        match self {
            Self::Folder(_) => usual,
            Self::Host(host) => host,
        }
    }

    /// The door to the host.
    pub(super) fn connect(&self) -> Result<Option<Libvirt>> {
        match self {
            Self::Folder(_) => Ok(None),
            Self::Host(host) => Ok(Some(Libvirt::connect(&host.uri)?)),
        }
    }

    /// As people read it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Folder(path) => format!("dir:{}", path.display()),
            Self::Host(host) => format!("libvirt {}", host.uri),
        }
    }

    /// What there is to know before anything is planned.
    pub(super) fn facts(
        &self,
        place: &PlaceArgs,
        host: &HostArgs,
        source: &dyn Source,
    ) -> Result<TargetFacts> {
        let paths = paths(source);
        let templates = templates(source)?;
        match self {
            Self::Folder(path) => Ok(TargetFacts { paths, templates, ..super::plan::facts(path)? }),
            Self::Host(_) if host.offline => {
                Err(Failure::usage("--offline asks no host, and the target is one")
                    .tip("--to dir:PATH, or leave --offline out"))
            }
            Self::Host(hypervisor) => {
                let libvirt = Libvirt::connect(&hypervisor.uri)?;
                let mut facts = of_host(&libvirt, place.storage.as_deref())?;
                if facts.is_local {
                    add_other_names(&mut facts.machines, paths.keys());
                }
                let taken = taken(&facts, &paths)?;
                Ok(TargetFacts { place: Where::Host(Box::new(facts)), taken, paths, templates })
            }
        }
    }
}

/// What the flags about the target choose.
pub(super) fn choose(place: &PlaceArgs, start: bool, chosen: &mut Choices) {
    chosen.pool.clone_from(&place.pool);
    chosen.on_conflict = match place.on_conflict {
        ConflictChoice::Fail => OnConflict::Fail,
        ConflictChoice::Rename => OnConflict::Rename,
    };
    chosen.start = start;
    chosen.licences_bind = true;
}

fn of_host(libvirt: &Libvirt, storage: Option<&Path>) -> Result<HostFacts> {
    let is_local = libvirt.is_local();
    let pools = libvirt.pools()?.into_iter().map(|pool| {
        let path = pool.path.as_deref().filter(|path| is_local && pool.is_active && path.is_dir());
        let folder = path.and_then(|path| dir::facts(path).ok());
        PoolFacts { pool, folder }
    });
    Ok(HostFacts {
        uri: libvirt.uri().to_owned(),
        is_local,
        pools: pools.collect(),
        networks: libvirt.networks()?,
        machines: libvirt.machines()?,
        standing: None,
        storage: storage.map(dir::facts).transpose()?,
    })
}

/// Adds to the disks of each machine those of the paths that are other names of one: what a machine uses
/// by its number, a definition may call by its place in `/dev`.
fn add_other_names<'a>(machines: &mut [KnownMachine], paths: impl Iterator<Item = &'a PathBuf>) {
    let asked: Vec<_> = paths.filter_map(|path| Some((path, identity(path)?))).collect();
    for machine in machines.iter_mut().filter(|_| !asked.is_empty()) {
        let own: BTreeSet<_> = machine.disks.iter().filter_map(|disk| identity(disk)).collect();
        let others = asked.iter().filter(|(_, identity)| own.contains(identity));
        machine.disks.extend(others.map(|(path, _)| (*path).clone()));
    }
}

/// What a path leads to, by numbers: of a device its own, since each of its names may be a node of its
/// own; of a file those of its file system and of itself.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    let is_device = found.file_type().is_block_device();
    Some(if is_device { (0, found.rdev()) } else { (found.dev(), found.ino()) })
}

/// The names that are taken in the folders that may be chosen.
fn taken(facts: &HostFacts, paths: &BTreeMap<PathBuf, PathFacts>) -> Result<BTreeSet<PathBuf>> {
    let pools = facts.pools.iter().filter_map(|pool| pool.folder.as_ref());
    let files = paths.values().filter(|at| matches!(at.kind, PathKind::Nothing | PathKind::File));
    let old = files.map(|at| &at.folder).filter(|folder| folder.exists && facts.is_local);
    let old: BTreeSet<&Path> = old.map(|folder| folder.path.as_path()).collect();
    let mut taken = BTreeSet::new();
    for folder in pools.chain(&facts.storage) {
        taken.extend(dir::taken(&folder.path)?);
    }
    // A folder that only a definition names may be closed to us; publishing looks once more.
    taken.extend(old.into_iter().filter_map(|folder| dir::taken(folder).ok()).flatten());
    Ok(taken)
}

/// What lies at the paths that a source asks about.
fn paths(source: &dyn Source) -> BTreeMap<PathBuf, PathFacts> {
    let asked = restore::plan::asked_paths(source.facts());
    let looked = asked.into_iter().filter_map(|path| Some((dir::path_facts(&path).ok()?, path)));
    looked.map(|(facts, path)| (path, facts)).collect()
}

/// The states of the disks that a thin clone stands on, as far as they can be read.
///
/// # Errors
/// The sandbox keeps one closed: its name is known only now, and whoever wrote the backup chose it.
fn templates(source: &dyn Source) -> Result<BTreeMap<PathBuf, ImageState>> {
    let mut states = BTreeMap::new();
    for path in restore::plan::template_paths(source.facts()) {
        match state(&path) {
            Some(state) => {
                states.insert(path, state);
            }
            None if is_kept_closed(&path) => {
                let text = format!(
                    "the sandbox keeps the template's disk {} closed",
                    clean(&path.display().to_string())
                );
                return Err(Failure::new(Code::E0508, text)
                    .cause("which file a thin clone stands on is known only when it is read")
                    .fix("if you trust the backup, repeat the command with RELIFT_SANDBOX=off"));
            }
            None => {}
        }
    }
    Ok(states)
}

/// Whether a file that this user may read cannot be opened all the same.
fn is_kept_closed(path: &Path) -> bool {
    let denied = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    rustix::fs::access(path, rustix::fs::Access::READ_OK).is_ok()
        && File::open(path).is_err_and(denied)
}

fn state(path: &Path) -> Option<ImageState> {
    // A pipe would never answer.
    let is_file = std::fs::metadata(path).ok()?.is_file();
    let file = is_file.then(|| File::open(path).ok()).flatten()?;
    ImageState::of(&disk::FileBytes::new(file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_of_a_machine_is_known_by_its_other_names() {
        let folder = tempfile::tempdir().unwrap();
        let [disk, link, other] = ["disk", "link", "other"].map(|name| folder.path().join(name));
        std::fs::write(&disk, b"a").unwrap();
        std::fs::write(&other, b"a").unwrap();
        std::os::unix::fs::symlink(&disk, &link).unwrap();
        let mut machines = [KnownMachine {
            name: "db".to_owned(),
            uuid: "5b1c0000-0000-4000-8000-0000000000ff".parse().unwrap(),
            is_active: false,
            macs: Vec::new(),
            disks: vec![link.clone()],
            own_disks: Vec::new(),
        }];
        add_other_names(&mut machines, [disk.clone(), other].iter());
        assert_eq!(machines[0].disks, [link, disk]);
    }
}
