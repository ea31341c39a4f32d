//! Where backups lie, and which file somebody means.

use std::path::{Path, PathBuf};

use backup::{Entry, State};
use code::Code;
use host::libvirt::Libvirt;

use crate::{
    args::ShelfArgs,
    failure::{Failure, Result},
    state,
};

/// The folders that a command looks for backups in.
pub(in crate::verbs) fn folders(args: &ShelfArgs, uri: &str) -> Result<Vec<PathBuf>> {
    match &args.pool {
        Some(pool) => Ok(vec![pool_folder(pool, uri)?]),
        None => Ok(usual_folders(args, &state::of_environment())),
    }
}

/// The same where no host has to be asked: the one that was named, else those that backups were written to
/// and that are there, else this one.
pub(crate) fn usual_folders(args: &ShelfArgs, state: &State) -> Vec<PathBuf> {
    if let Some(folder) = &args.storage {
        return vec![folder.clone()];
    }
    // A state that cannot be read is told by whoever needs more of it.
    let mut places = state.places().unwrap_or_default();
    places.retain(|place| place.is_dir());
    if places.is_empty() { vec![PathBuf::from(".")] } else { places }
}

/// The backups of folders, one folder after the other.
pub(in crate::verbs) fn entries(folders: &[PathBuf], state: &State) -> Result<Vec<Entry>> {
    let verified = state.verified()?;
    let lists = folders.iter().map(|folder| backup::list(folder, &verified));
    Ok(lists.collect::<backup::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// The file that somebody means: it is there by this name, or it is called so in the list.
pub(crate) fn file(typed: &Path) -> PathBuf {
    located(typed).unwrap_or_else(|_| typed.to_owned())
}

/// The same, and why there is none.
pub(in crate::verbs) fn located(typed: &Path) -> Result<PathBuf> {
    if typed.exists() {
        return Ok(typed.to_owned());
    }
    let shelf = ShelfArgs { pool: None, storage: None };
    let folders = usual_folders(&shelf, &state::of_environment());
    let (path, _) = backup::locate(&folders, &typed.to_string_lossy())?;
    Ok(path)
}

/// The types of pools whose volumes are files of a folder (libvirt, "Storage pool and volume XML format").
const FOLDERS: [&str; 4] = ["dir", "fs", "netfs", "vstorage"];

/// The folder of a pool.
pub(super) fn pool_folder(name: &str, uri: &str) -> Result<PathBuf> {
    let libvirt = Libvirt::connect(uri)?;
    let pool = libvirt.pools()?.into_iter().find(|pool| pool.name == name);
    let pool =
        pool.ok_or_else(|| Failure::new(Code::E0504, format!("{uri} has no pool '{name}'")))?;
    if !FOLDERS.contains(&&*pool.kind) {
        let text = format!("the pool '{name}' takes no backups: it is of the type {}", pool.kind);
        let folders = FOLDERS.join(", ");
        return Err(Failure::new(Code::E0504, text)
            .cause("a backup is a file, and the volumes of such a pool are none")
            .fix(format!("name a pool that is a folder ({folders}), or --storage DIR")));
    }
    pool.path.filter(|path| path.is_dir()).ok_or_else(|| {
        Failure::new(Code::E0504, format!("the pool '{name}' is no folder that is seen from here"))
    })
}

impl From<backup::Error> for Box<Failure> {
    fn from(error: backup::Error) -> Self {
        let failure = match error.code() {
            Some(code) => Failure::new(code, error.to_string()),
            None => Failure::usage(error.to_string()),
        };
        failure.because(&error).fix_if_known(error.fix())
    }
}
