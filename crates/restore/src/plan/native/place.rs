//! Where each file of a backup goes.
//!
//! ```text
//! a pool or folder was named, or there is no original path  ->  there
//! the original path, if its folder takes writes and has room
//! no room there                                             ->  the pool that holds the backup (W0606)
//! none                                                      ->  blocked: the bytes, and what to type
//! ```
//!
//! A file that is there is never overwritten: the new machine's gets another name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Component, Path, PathBuf},
};

use code::{Code, Severity};
use convert::Note;
use host::{FolderFacts, PathKind};

use super::Inputs;
use crate::plan::{Space, storage::Storage, target::PoolFacts};

/// The folders that files can go to, and what is planned for them already.
pub(super) struct Places<'a> {
    inputs: &'a Inputs<'a>,
    storage: &'a Storage,
    /// The pool of the backup, where files go that have no room at their own place.
    fallback: Option<&'a FolderFacts>,
    /// What is planned for each file system, and what it has room for.
    used: BTreeMap<u64, Room>,
    given: BTreeSet<PathBuf>,
    space: Space,
    /// Whether something went to the chosen storage, so that what is wrong with it matters.
    uses_storage: bool,
}

/// A file system.
#[derive(Debug, Clone, Copy, Default)]
struct Room {
    used_bytes: u64,
    free_bytes: u64,
}

/// Folders that hold no images, whatever a definition says: the system's own, and devices.
const SYSTEM_FOLDERS: [&str; 16] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/run",
    "/sbin",
    "/sys",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/sbin",
    "/var/run",
    "/var/spool",
];

/// Folders below hidden ones in which the pools of users are.
const POOLS_OF_USERS: [&str; 2] = [".local/share/libvirt", ".local/share/gnome-boxes"];

/// Whether a path of a definition may be one of an image: absolute, plain, and not of the system's own.
///
/// Nor is a hidden file or folder, where programs keep what they trust, such as the keys of a user.
pub(super) fn may_be_image(path: &Path) -> bool {
    let is_plain =
        path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let is_of_system = SYSTEM_FOLDERS.iter().any(|folder| path.starts_with(folder));
    path.is_absolute() && is_plain && !is_of_system && !is_hidden(path)
}

/// Whether a part of a path is hidden, but for the one that pools of users lie below.
fn is_hidden(path: &Path) -> bool {
    let hidden =
        path.components().filter(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
    let is_of_pool = |above: &Path| POOLS_OF_USERS.iter().any(|folder| above.ends_with(folder));
    hidden.count() > usize::from(path.ancestors().any(is_of_pool))
}

/// Where a file goes, and what is to be said about it.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) note: Option<Note>,
}

impl<'a> Places<'a> {
    pub(super) fn new(inputs: &'a Inputs<'a>, storage: &'a Storage) -> Self {
        let source = inputs.facts.folder.as_deref();
        let pool = source.and_then(|folder| inputs.target.host()?.pool_of(folder));
        let fallback = pool.filter(|pool| !pool.is_read_only());
        Self {
            inputs,
            storage,
            fallback: fallback.and_then(|pool| pool.folder.as_ref()),
            used: BTreeMap::new(),
            given: BTreeSet::new(),
            space: Space::default(),
            uses_storage: false,
        }
    }

    /// Finds the place of a file that was at `original` and is called `name` in the backup.
    ///
    /// Of an original whose folder nobody has looked at, nothing is known but that.
    pub(super) fn place(&mut self, original: Option<&Path>, name: &str, bytes: u64) -> Placed {
        let (folder, base, note) = self.folder(original, name, bytes);
        let path = self.free_name(&folder.path, &base);
        self.space.needed_bytes = self.space.needed_bytes.saturating_add(bytes);
        if note.as_ref().is_none_or(|note| note.severity != Severity::Blocker) {
            self.space.least_bytes = self.space.least_bytes.saturating_add(bytes);
            let room = self.used.entry(folder.file_system).or_default();
            room.free_bytes = folder.free_bytes;
            room.used_bytes = room.used_bytes.saturating_add(bytes);
        }
        self.given.insert(path.clone());
        Placed { path, note }
    }

    /// Adds what a disk holds when it is full.
    pub(super) fn when_full(&mut self, bytes: u64) {
        self.space.full_bytes = self.space.full_bytes.saturating_add(bytes);
    }

    fn folder(
        &mut self,
        original: Option<&Path>,
        name: &str,
        bytes: u64,
    ) -> (FolderFacts, String, Option<Note>) {
        if self.inputs.has_no_original_paths() {
            self.uses_storage = true;
            return (self.storage.folder.clone(), name.to_owned(), None);
        }
        let own = original.filter(|path| may_be_image(path));
        let own = own.and_then(|path| Some((self.inputs.folder_of(path)?, base_of(path)?)));
        let base = own.map_or(name, |(_, base)| base).to_owned();
        let (code, why) = match own {
            None => (Code::E0507, format!("no folder is known as the old place of {base}")),
            Some((folder, _)) if !folder.exists => {
                (Code::E0507, format!("{} is not there", folder.path.display()))
            }
            Some((folder, _)) if !self.takes_writes(folder) => {
                (Code::E0507, format!("{} takes no writes", folder.path.display()))
            }
            Some((folder, _)) if self.has_room(folder, bytes) => {
                return (folder.clone(), base, None);
            }
            Some((folder, _)) => {
                (Code::E0506, format!("{} has no room for {bytes} bytes", folder.path.display()))
            }
        };
        match self.fallback {
            Some(folder) if self.has_room(folder, bytes) => {
                let text = format!("{why}: it goes to the pool that holds the backup");
                (folder.clone(), base, Some(Note::new(Code::W0606, text)))
            }
            _ => {
                let blocker = Note::blocker(code, format!("{why}; {bytes} bytes are needed"))
                    .hint("--pool NAME or --storage DIR");
                (self.storage.folder.clone(), base, Some(blocker))
            }
        }
    }

    /// Whether a folder may be written to: its file system lets us, and it lies in no read-only pool.
    fn takes_writes(&self, folder: &FolderFacts) -> bool {
        let pool = self.inputs.target.host().and_then(|host| host.pool_of(&folder.path));
        folder.writable && pool.is_none_or(|pool| !pool.is_read_only())
    }

    fn has_room(&self, folder: &FolderFacts, bytes: u64) -> bool {
        let room = self.used.get(&folder.file_system).copied().unwrap_or_default();
        folder.free_bytes.saturating_sub(room.used_bytes) >= bytes
    }

    /// A name that nothing in the folder has, and no other file of the plan.
    ///
    /// In a folder of its own a machine's files keep their names: one that is taken blocks.
    fn free_name(&self, folder: &Path, base: &str) -> PathBuf {
        let path = folder.join(base);
        let is_taken = |path: &PathBuf| {
            let is_there = self.inputs.target.host().is_some()
                && (self.inputs.target.taken.contains(path)
                    || self.inputs.at(path).is_some_and(|at| at.kind != PathKind::Nothing));
            (is_there && !self.inputs.is_replaced(path)) || self.given.contains(path)
        };
        let (stem, ending) = base.rsplit_once('.').unwrap_or((base, ""));
        let dot = if ending.is_empty() { "" } else { "." };
        let numbered = (2_u32..).map(|number| folder.join(format!("{stem}-{number}{dot}{ending}")));
        let mut all = std::iter::once(path.clone()).chain(numbered);
        all.find(|path| !is_taken(path)).unwrap_or(path)
    }

    /// Room and pools of all files together, and what keeps the chosen storage from taking them.
    pub(super) fn finish(mut self) -> (Space, Vec<String>, Vec<Note>) {
        let host = self.inputs.target.host();
        // Where each file has its own place, room was found for it there: only of one file system that
        // takes them all can there be too little.
        let free = self.used.values().map(|room| room.free_bytes);
        self.space.free_bytes = free.fold(0, u64::saturating_add);
        if self.used.is_empty() {
            self.space.free_bytes = self.storage.folder.free_bytes;
        }
        let pool_of = |path: &PathBuf| Some(host?.pool_of(path)?.pool.name.clone());
        let pools: BTreeSet<String> = self.given.iter().filter_map(pool_of).collect();
        let writes_from_read_only = !self.given.is_empty() && self.source_is_read_only();
        let is_named = self.inputs.is_storage_named();
        let is_asked = self.uses_storage || is_named || writes_from_read_only;
        let blockers =
            if is_asked || host.is_none() { self.storage.blockers.clone() } else { Vec::new() };
        (self.space, pools.into_iter().collect(), blockers)
    }

    /// Whether the backup lies in a pool that takes no writes: then somebody has to choose another.
    fn source_is_read_only(&self) -> bool {
        let source = self.inputs.facts.folder.as_deref();
        let pool = source.and_then(|folder| self.inputs.target.host()?.pool_of(folder));
        pool.is_some_and(PoolFacts::is_read_only)
    }
}

fn base_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::{
        Case, LENGTH_BYTES, ROOM_BYTES, disk, folder, notes, paths, row, told,
    };

    const OLD: &str = "/vm/web.qcow2";

    fn one() -> Case {
        Case::backup(&disk("vda", OLD)).image("web.qcow2", None)
    }

    #[test]
    fn the_places_of_the_system_and_hidden_ones_hold_no_images() {
        for good in [
            OLD,
            "/home/me/vm/a.b.qcow2",
            "/usr/share/virtio-win/virtio-win.iso",
            "/home/me/.local/share/libvirt/images/a.qcow2",
            "/home/me/.local/share/gnome-boxes/images/a",
        ] {
            assert!(may_be_image(Path::new(good)), "{good}");
        }
        for bad in [
            "web.qcow2",
            "/vm/../etc/passwd",
            "/etc/cron.d/web",
            "/var/spool/cron/crontabs/root",
            "/root/.ssh/authorized_keys",
            "/home/me/.profile",
            "/home/me/.local/share/systemd/user/a.service",
            "/home/me/.local/share/libvirt/.ssh/a",
        ] {
            assert!(!may_be_image(Path::new(bad)), "{bad}");
        }
    }

    /// SPACEVM-31: no pool given.
    #[test]
    fn files_go_back_to_where_they_were() {
        let plan = one().plan();
        assert_eq!((paths(&plan), told(&plan)), (vec![OLD.to_owned()], vec![]));
        assert_eq!(row(&plan, "disk0").action, convert::Action::Kept);
        assert!(plan.host.unwrap().pools.is_empty(), "no pool has that folder");
    }

    /// SPACEVM-31: the pool that holds the backup is taken where there is no room.
    #[test]
    fn without_room_there_the_pool_that_holds_the_backup_is_taken() {
        let plan = one().folders(|folder| folder.free_bytes = LENGTH_BYTES - 1).plan();
        assert_eq!((paths(&plan), told(&plan)), (vec!["/backups/web.qcow2".to_owned()], vec![]));
        let want = "/vm has no room for 1000 bytes: it goes to the pool that holds the backup";
        assert_eq!(notes(&plan, "disk0"), [(Code::W0606, want.to_owned())]);
        assert_eq!(plan.host.unwrap().pools, ["backups"]);
    }

    /// SPACEVM-31: neither has room.
    #[test]
    fn without_room_anywhere_the_bytes_and_the_flag_are_told() {
        let full = |folder: &mut FolderFacts| folder.free_bytes = LENGTH_BYTES - 1;
        let case = one().folders(full).pool("backups", |pool| full(pool.folder.as_mut().unwrap()));
        let want = "/vm has no room for 1000 bytes; 1000 bytes are needed";
        let hint = "--pool NAME or --storage DIR";
        assert_eq!(case.blockers(), [(Code::E0506, want.to_owned(), hint.to_owned())]);
    }

    #[test]
    fn a_folder_that_is_gone_or_takes_no_writes_is_like_one_without_room() {
        type Spoil = fn(&mut FolderFacts);
        let spoils: [(Spoil, &str); 2] = [
            (|folder| folder.exists = false, "/vm is not there"),
            (|folder| folder.writable = false, "/vm takes no writes"),
        ];
        for (spoil, want) in spoils {
            let case = one().folders(spoil);
            assert_eq!(paths(&case.plan()), ["/backups/web.qcow2"], "{want}");
            let mut nowhere = case;
            nowhere.facts.folder = Some(PathBuf::from("/home/me"));
            let blockers = nowhere.blockers();
            assert_eq!(blockers[0].1, format!("{want}; 1000 bytes are needed"));
            assert_eq!(blockers[0].0, Code::E0507);
        }
    }

    /// SPACEVM-43: a read-only pool is never chosen, whatever lies there.
    #[test]
    fn an_original_place_in_a_read_only_pool_takes_no_writes() {
        let mut case = one();
        case.host().pools.push(crate::plan::fixture::pool("old", "/vm"));
        let case = case.pool("old", |pool| pool.pool.writable = Some(false));
        assert_eq!(paths(&case.plan()), ["/backups/web.qcow2"]);
    }

    /// SPACEVM-43: where the backup lies on a read-only pool, choosing one is mandatory.
    #[test]
    fn a_backup_on_a_read_only_pool_requires_a_choice() {
        let case = one().pool("backups", |pool| pool.pool.writable = Some(false));
        let want = "the source lies in the pool backups, which takes no writes";
        let hint = "choose one with --pool NAME or --storage DIR";
        assert_eq!(case.blockers(), [(Code::E0507, want.to_owned(), hint.to_owned())]);
        let mut chosen = case;
        chosen.choices.pool = Some("default".to_owned());
        let plan = chosen.plan();
        assert_eq!(
            (paths(&plan), told(&plan)),
            (vec!["/var/lib/libvirt/images/web.qcow2".to_owned()], vec![])
        );
    }

    /// SPACEVM-30: the pool or folder that is named takes everything.
    #[test]
    fn what_is_named_beats_the_original_paths() {
        let mut case = one();
        case.choices.pool = Some("default".to_owned());
        assert_eq!(paths(&case.plan()), ["/var/lib/libvirt/images/web.qcow2"]);
        let mut case = one();
        case.host().storage = Some(folder("/srv"));
        assert_eq!(paths(&case.plan()), ["/srv/web.qcow2"]);
        let mut case = one();
        case.choices.pool = Some("nvme".to_owned());
        assert_eq!(case.blockers()[0].0, Code::E0504);
    }

    /// SPACEVM-38: a backup that was made from an appliance has no paths.
    #[test]
    fn a_backup_of_an_appliance_goes_to_the_chosen_pool_or_to_its_own() {
        let mut case = one();
        case.of_backup().is_from_appliance = true;
        assert_eq!(paths(&case.plan()), ["/backups/web.qcow2"]);
        case.facts.folder = Some(PathBuf::from("/home/me"));
        assert_eq!(paths(&case.plan()), ["/var/lib/libvirt/images/web.qcow2"]);
        case.choices.pool = Some("backups".to_owned());
        assert_eq!(paths(&case.plan()), ["/backups/web.qcow2"]);
    }

    #[test]
    fn a_file_that_is_there_is_left_alone_and_the_new_one_gets_another_name() {
        let case = one().at(OLD, PathKind::File);
        assert_eq!(paths(&case.plan()), ["/vm/web-2.qcow2"]);
        let mut case = case;
        case.target.taken.insert(PathBuf::from("/vm/web-2.qcow2"));
        assert_eq!(paths(&case.plan()), ["/vm/web-3.qcow2"]);
    }

    #[test]
    fn room_is_counted_over_all_files_of_one_file_system() {
        let drives = disk("vda", OLD) + &disk("vdb", "/vm/data.qcow2");
        let two = || Case::backup(&drives).image("web.qcow2", None).image("data.qcow2", None);
        let plan = two().folders(|folder| folder.free_bytes = 2 * LENGTH_BYTES).plan();
        assert_eq!(
            (paths(&plan), told(&plan)),
            (vec![OLD.to_owned(), "/vm/data.qcow2".to_owned()], vec![])
        );
        assert_eq!(plan.space.needed_bytes, 2 * LENGTH_BYTES);
        let plan = two().folders(|folder| folder.free_bytes = 2 * LENGTH_BYTES - 1).plan();
        assert_eq!(paths(&plan), [OLD, "/backups/data.qcow2"]);
        let mut named = two();
        named.host().storage =
            Some(FolderFacts { free_bytes: 2 * LENGTH_BYTES - 1, ..folder("/srv") });
        let want = "at least 2000 bytes are needed, 1999 are free (2 KiB of 2 KiB)";
        let found = named.blockers();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(
            (found[0].0, found[0].1.starts_with(&want[..45])),
            (Code::E0506, true),
            "{found:?}"
        );
    }

    #[test]
    fn room_of_two_file_systems_is_counted_apart() {
        let drives = disk("vda", OLD) + &disk("vdb", "/data/data.qcow2");
        let case = Case::backup(&drives).image("web.qcow2", None).image("data.qcow2", None);
        let exact = case.folders(|folder| folder.free_bytes = LENGTH_BYTES);
        let plan = exact.plan();
        assert_eq!(
            (paths(&plan), told(&plan)),
            (vec![OLD.to_owned(), "/data/data.qcow2".to_owned()], vec![])
        );
        let small = |folder: &mut FolderFacts| {
            folder.free_bytes =
                if folder.path == Path::new("/vm") { LENGTH_BYTES } else { ROOM_BYTES };
        };
        assert_eq!(told(&exact.folders(small).plan()), []);
    }

    /// A definition may name any path; an image goes to none of the system's own.
    #[test]
    fn no_file_goes_to_the_systems_own_folders() {
        for path in ["/etc/cron.d/web.qcow2", "/dev/web.qcow2", "/vm/../etc/web.qcow2"] {
            let case = Case::backup(&disk("vda", path)).image("web.qcow2", None);
            assert_eq!(paths(&case.plan()), ["/backups/web.qcow2"], "{path}");
        }
        assert!(may_be_image(Path::new("/var/lib/libvirt/images/a")));
        assert!(may_be_image(Path::new("/usr/share/virtio-win/virtio-win.iso")));
        assert!(!may_be_image(Path::new("images/a")));
    }
}
