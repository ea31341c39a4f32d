//! Which folder the files of a machine go to: what the user named, else what the host has.
//!
//! The order is that of the product: a pool or folder by name; the pool that holds the source; the
//! pool `default`. A pool that takes no writes is never chosen, and what lies on one must be told
//! where to go.

use std::path::{Path, PathBuf};

use code::Code;
use convert::Note;
use host::FolderFacts;

use super::target::{HostFacts, PoolFacts, TargetFacts, Where};

/// The pool that every host is taken to have.
const USUAL_POOL: &str = "default";

/// What to type where a pool cannot be taken.
const CHOOSE: &str = "choose one with --pool NAME or --storage DIR";

/// A folder for files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Storage {
    /// The folder.
    pub(super) folder: FolderFacts,
    /// The pool that it belongs to.
    pub(super) pool: Option<String>,
    /// Why it cannot be taken.
    pub(super) blockers: Vec<Note>,
}

/// Chooses the folder of everything that has no place of its own.
///
/// `source` is the folder that the source lies in, `pool` the pool that the user named.
pub(super) fn choose(source: Option<&Path>, target: &TargetFacts, pool: Option<&str>) -> Storage {
    match &target.place {
        Where::Folder(folder) => of_folder(folder, None),
        Where::Host(host) => match (&host.storage, pool) {
            (Some(folder), _) => of_folder(folder, host.pool_of(&folder.path)),
            (None, _) if !host.is_local => nowhere(remote(host)),
            (None, Some(name)) => named(host, name),
            (None, None) => unnamed(host, source),
        },
    }
}

fn named(host: &HostFacts, name: &str) -> Storage {
    match host.pool(name) {
        Some(pool) => of_pool(pool),
        None => {
            let known: Vec<&str> = host.pools.iter().map(|one| one.pool.name.as_str()).collect();
            let text = format!("{} has no pool called {name}", host.uri);
            let hint = if known.is_empty() {
                "it has none at all: --storage DIR".to_owned()
            } else {
                format!("it has {}", known.join(", "))
            };
            nowhere(Note::blocker(Code::E0504, text).hint(hint))
        }
    }
}

/// The pool that holds the source, else the usual one.
fn unnamed(host: &HostFacts, source: Option<&Path>) -> Storage {
    if let Some(pool) = source.and_then(|folder| host.pool_of(folder)) {
        if pool.is_read_only() {
            let text =
                format!("the source lies in the pool {}, which takes no writes", pool.pool.name);
            return nowhere(Note::blocker(Code::E0507, text).hint(CHOOSE));
        }
        return of_pool(pool);
    }
    match host.pool(USUAL_POOL) {
        Some(pool) => of_pool(pool),
        None => {
            let text = format!("{} has no pool called {USUAL_POOL}", host.uri);
            nowhere(Note::blocker(Code::E0504, text).hint(CHOOSE))
        }
    }
}

fn of_pool(facts: &PoolFacts) -> Storage {
    let name = &facts.pool.name;
    if facts.path().is_none() {
        let text = format!(
            "the pool {name} is of the kind {}, whose volumes are no files in a folder",
            facts.pool.kind
        );
        return nowhere(Note::blocker(Code::E0507, text).hint(CHOOSE));
    }
    if !facts.pool.is_active {
        let text = format!("the pool {name} is not started");
        let hint = format!("virsh pool-start {name}, or {CHOOSE}");
        return nowhere(Note::blocker(Code::E0504, text).hint(hint));
    }
    match &facts.folder {
        Some(folder) if facts.is_read_only() => {
            let text = format!("the pool {name} takes no writes");
            let blockers = vec![Note::blocker(Code::E0507, text).hint(CHOOSE)];
            Storage { folder: folder.clone(), pool: Some(name.clone()), blockers }
        }
        Some(folder) => of_folder(folder, Some(facts)),
        None => {
            let text = format!("the folder of the pool {name} is not there");
            nowhere(Note::blocker(Code::E0507, text).hint(CHOOSE))
        }
    }
}

fn of_folder(folder: &FolderFacts, pool: Option<&PoolFacts>) -> Storage {
    let mut blockers = Vec::new();
    if !folder.writable {
        let text = format!("{} takes no writes", folder.path.display());
        blockers.push(Note::blocker(Code::E0507, text).hint("choose another folder"));
    }
    let pool = pool.filter(|facts| facts.pool.is_active).map(|facts| facts.pool.name.clone());
    Storage { folder: folder.clone(), pool, blockers }
}

fn remote(host: &HostFacts) -> Note {
    let text = format!("the files of {} cannot be written from here", host.uri);
    Note::blocker(Code::E0504, text)
        .hint("--storage DIR, a folder that both machines see at the same path")
}

/// No folder: the plan is made for one that does not exist, and cannot be carried out.
fn nowhere(blocker: Note) -> Storage {
    let folder = FolderFacts {
        path: PathBuf::from("/"),
        exists: true,
        writable: false,
        free_bytes: u64::MAX,
        file_system: 0,
    };
    Storage { folder, pool: None, blockers: vec![blocker] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::{folder, host, pool};

    fn choose(host: HostFacts, source: &str, pool: Option<&str>) -> Storage {
        let place = Where::Host(Box::new(host));
        let target = TargetFacts { place, ..TargetFacts::folder(folder("/")) };
        super::choose(Some(Path::new(source)), &target, pool)
    }

    /// Where it goes, or why it cannot: code, text, way out.
    fn told(storage: &Storage) -> String {
        match storage.blockers.first() {
            None => format!("{} in {:?}", storage.folder.path.display(), storage.pool),
            Some(note) => {
                let hint = note.hint.as_deref().unwrap_or_default();
                format!("{}: {}; {hint}", note.code, note.text)
            }
        }
    }

    /// SPACEVM-37, SPACEVM-38: what has no place of its own.
    #[test]
    fn the_pool_that_holds_the_source_is_taken_else_the_usual_one() {
        for (source, want) in [
            ("/backups/old", "/backups in Some(\"backups\")"),
            ("/home/me", "/var/lib/libvirt/images in Some(\"default\")"),
        ] {
            assert_eq!(told(&choose(host(), source, None)), want);
        }
        let mut bare = host();
        bare.pools.clear();
        assert_eq!(
            told(&choose(bare, "/home/me", None)),
            "E0504: test:///default has no pool called default; \
             choose one with --pool NAME or --storage DIR"
        );
    }

    #[test]
    fn the_inner_one_of_two_pools_holds_the_source() {
        let mut host = host();
        host.pools.push(pool("daily", "/backups/daily"));
        assert_eq!(choose(host, "/backups/daily/x", None).pool.as_deref(), Some("daily"));
    }

    /// SPACEVM-30: the pool that is named.
    #[test]
    fn a_named_pool_is_taken_and_one_that_is_unknown_or_inactive_is_refused() {
        let mut host = host();
        host.pools.push(pool("cold", "/cold"));
        host.pools[2].pool.is_active = false;
        for (name, want) in [
            ("default", "/var/lib/libvirt/images in Some(\"default\")"),
            (
                "nvme",
                "E0504: test:///default has no pool called nvme; it has default, backups, cold",
            ),
            (
                "cold",
                "E0504: the pool cold is not started; \
                 virsh pool-start cold, or choose one with --pool NAME or --storage DIR",
            ),
        ] {
            assert_eq!(told(&choose(host.clone(), "/home/me", Some(name))), want);
        }
    }

    /// SPACEVM-43: a pool that takes no writes is never chosen, and refused when it is named.
    #[test]
    fn a_read_only_pool_is_never_chosen_and_refused_when_named() {
        let mut one = host();
        one.pools[0].pool.writable = Some(false);
        one.pools[1].folder.as_mut().unwrap().writable = false;
        let way_out = "choose one with --pool NAME or --storage DIR";
        for (source, pool, want) in [
            ("/home/me", Some("default"), "E0507: the pool default takes no writes"),
            ("/home/me", None, "E0507: the pool default takes no writes"),
            ("/backups", None, "E0507: the source lies in the pool backups, which takes no writes"),
            ("/backups", Some("backups"), "E0507: the pool backups takes no writes"),
        ] {
            let storage = choose(one.clone(), source, pool);
            assert_eq!(told(&storage), format!("{want}; {way_out}"), "{source} {pool:?}");
        }
        let storage = choose(HostFacts { storage: Some(folder("/srv")), ..one }, "/backups", None);
        assert_eq!(told(&storage), "/srv in None");
    }

    /// SPACEVM-18, SPACEVM-19: pools whose volumes are no files.
    #[test]
    fn a_pool_of_volumes_that_are_no_files_is_refused_by_its_kind() {
        for kind in ["logical", "zfs", "rbd"] {
            let mut host = host();
            kind.clone_into(&mut host.pools[0].pool.kind);
            assert_eq!(
                told(&choose(host, "/home/me", Some("default"))),
                format!(
                    "E0507: the pool default is of the kind {kind}, whose volumes are no files in a \
                     folder; choose one with --pool NAME or --storage DIR"
                )
            );
        }
    }

    #[test]
    fn a_remote_host_takes_files_only_in_a_folder_that_both_see() {
        let remote = HostFacts { is_local: false, ..host() };
        for pool in [None, Some("default")] {
            assert_eq!(
                told(&choose(remote.clone(), "/backups", pool)),
                "E0504: the files of test:///default cannot be written from here; \
                 --storage DIR, a folder that both machines see at the same path"
            );
        }
        let shared = HostFacts { storage: Some(folder("/shared")), ..remote };
        assert_eq!(told(&choose(shared, "/backups", None)), "/shared in None");
    }
}
