//! Adding members to a bundle so that a crash leaves the old one or the new one.
//!
//! ```text
//! .tar      … last member | 0 | 0                                 H = the first end block
//!   1       … last member | 0 | 0 | new members | manifest | 0 | 0            then sync
//!   2       … last member | .pad header | 0 | new members | … | 0 | 0         then sync
//!
//! .tar.zst  … frames | end frame | table
//!   1       … frames | end frame | table | new frames | end frame | table     then sync
//!   2       … frames | (skipped) | table | new frames | end frame | table     then sync
//! ```
//!
//! The first block or frame of step 1 is synced before the others are written. Until step 2 every reader
//! stops at the old end. Step 2 is one write inside one sector: the header of a
//! member `.pad` whose content is the second end block, so that GNU tar, busybox tar and Python's
//! `tarfile` go on behind it; or the first eight bytes of the end frame. What a crash leaves behind the
//! old end is cut off by the next append, if it is such (see `tail.rs`): damage can look like an end, too.

use std::{fs::File, io, sync::Arc};

use code::Code;
use disk::{Progress, ReadAt};
use ovf::EntryName;
use rustix::fs::{FlockOperation, flock};

use crate::{
    Bundle, Error, Kind, Medium, Options, Result, Role, Session, Snapshot, bundle::node_of,
};

/// A member that is added.
#[derive(Clone)]
pub struct Addition {
    /// Its name.
    pub name: EntryName,
    /// Its content.
    pub bytes: Arc<dyn ReadAt>,
}

impl std::fmt::Debug for Addition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Addition({}, {} bytes)", self.name, self.bytes.len_bytes())
    }
}

/// What is added to a bundle at once.
#[derive(Debug, Clone, Default)]
pub struct Increment {
    /// The members, in order.
    pub additions: Vec<Addition>,
    /// A snapshot that they make, for the tree.
    pub snapshot: Option<Snapshot>,
    /// What somebody says of the bundle from now on.
    pub mark: Option<Mark>,
    /// The program that adds them.
    pub tool: String,
    /// The time, in seconds since 1970; the manifest gets a later one where it is not the latest.
    pub unix_seconds: u64,
    /// The level of zstd, of effect on a compressed bundle only.
    pub level: i32,
}

/// What somebody says of a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// Whether nothing deletes it before the protection is taken off.
    pub protected: bool,
    /// What is written on it; `None` leaves what is.
    pub note: Option<String>,
}

/// Keeps others from reading, writing and deleting a bundle until the file is closed.
///
/// # Errors
/// `E0602` when somebody else does.
pub fn lock(file: &File) -> Result<()> {
    let message = "the bundle is in use by another process";
    take(file, FlockOperation::NonBlockingLockExclusive, message)
}

/// Keeps others from writing and deleting a bundle until the file is closed; any number may read it.
///
/// # Errors
/// `E0602` when somebody else writes it: then it is not deleted either, and who reads all the same asks at the end
/// whether it is still what it was.
pub fn pin(file: &File) -> Result<()> {
    let message = "the bundle is being written by another process";
    take(file, FlockOperation::NonBlockingLockShared, message)
}

fn take(file: &File, operation: FlockOperation, message: &str) -> Result<()> {
    flock(file, operation).map_err(|error| {
        if error == rustix::io::Errno::WOULDBLOCK {
            return Error::new(Code::E0602, Kind::Locked, message);
        }
        Error::from(io::Error::from(error))
    })
}

/// Whether somebody else writes a bundle now, without keeping them from it for longer than the question.
#[must_use]
pub fn is_locked(file: &File) -> bool {
    match flock(file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            // What cannot be given back is gone with the file.
            let _given_back = flock(file, FlockOperation::Unlock);
            false
        }
        Err(error) => error == rustix::io::Errno::WOULDBLOCK,
    }
}

/// Adds members to the file of a bundle and gives its new length in bytes.
///
/// `medium` is the file that `bundle` was read from, and locked. What is there is neither moved nor read;
/// a manifest is written only where there was one, since its digests are of the whole.
///
/// # Errors
/// `E0105` for a name that is there already, `E0606` for a compressed file of another writer, `E0605`
/// when a member is missing, the end of the archive is damaged, or something of another origin lies behind it;
/// then nothing is changed. After an error the file is what it was.
pub fn append(
    bundle: &Bundle,
    medium: &dyn Medium,
    increment: &Increment,
    progress: &dyn Progress,
) -> Result<u64> {
    let Increment { unix_seconds, level, .. } = *increment;
    let options = Options { form: bundle.form(), level, unix_seconds };
    let mut session = Session::extend(bundle, medium, options)?;
    for addition in &increment.additions {
        session.add(&addition.name, &*addition.bytes, progress)?;
    }
    if session.has_manifest() {
        let manifest = session.manifest()?;
        manifest.tool.clone_from(&increment.tool);
        manifest.snapshots.extend(increment.snapshot.clone());
        if let Some(mark) = &increment.mark {
            manifest.protected = mark.protected;
            manifest.note = mark.note.clone().or(manifest.note.take());
        }
        let images = increment.additions.iter().filter(|it| Role::of(&it.name).is_image());
        for addition in images {
            let name = addition.name.as_str();
            let node = node_of(name, Arc::clone(&addition.bytes));
            manifest.nodes.push(node.map_err(|error| error.in_member(name))?);
        }
    }
    session.publish()
}

#[cfg(test)]
mod tests {
    use disk::{Unheard, is_zero};

    use super::*;
    use crate::{Form, Level, fake::Memory, sample, verify};

    const FORMS: [Form; 2] = [Form::Tar, Form::TarZst];

    fn appended(bytes: Vec<u8>, generation: u64) -> Vec<u8> {
        let medium = Memory::with(bytes.clone());
        let length =
            append(&sample::open(bytes), &medium, &sample::increment(generation), &Unheard)
                .unwrap();
        assert_eq!(length, medium.bytes().len() as u64);
        medium.bytes()
    }

    fn names(bytes: &[u8]) -> Vec<String> {
        sample::open(bytes.to_vec()).members().map(|member| member.name.to_string()).collect()
    }

    #[test]
    fn the_new_members_come_behind_the_old_ones_and_the_newest_definition_is_current() {
        for form in FORMS {
            let mut bytes = sample::bundle(form);
            for generation in 1..=3 {
                let before = sample::content(&sample::open(bytes.clone()));
                bytes = appended(bytes, generation);
                let bundle = sample::open(bytes.clone());
                let after = sample::content(&bundle);
                assert!(after[..before.len()] == before, "{form:?}");
                assert_eq!(after.len(), before.len() + 3);
                assert_eq!(bundle.config().unwrap().unix_seconds, sample::THEN + generation);
                let manifest = bundle.manifest().unwrap().unwrap();
                assert_eq!(manifest.nodes, bundle.nodes().unwrap());
                let report = verify(&bundle, Level::Deep, &Unheard).unwrap();
                assert_eq!(report.faults, [], "{form:?} {generation}");
            }
            let top = sample::open(bytes);
            let image = top.image(top.member("web-3.snapshot").unwrap()).unwrap();
            let mut guest = vec![0; sample::CAPACITY_BYTES as usize];
            image.read_at(&mut guest, 0).unwrap();
            assert!(is_zero(&guest[..65536]) && guest[65536..131_072] == [1; 65536]);
            assert!(guest[131_072..196_608] == [7; 65536] && is_zero(&guest[196_608..]));
        }
    }

    /// Lets every act on the file be the last one that works, and then lets the power fail.
    #[test]
    fn a_crash_leaves_the_old_bundle_or_the_new_one() {
        for form in FORMS {
            for first in [sample::bundle(form), appended(sample::bundle(form), 1)] {
                let (mut old_seen, mut new_seen) = (0, 0);
                let old = sample::content(&sample::open(first.clone()));
                let generation = if old.len() > 4 { 2 } else { 1 };
                let whole = appended(first.clone(), generation);
                let new = sample::content(&sample::open(whole));
                let counted = Memory::with(first.clone());
                append(
                    &sample::open(first.clone()),
                    &counted,
                    &sample::increment(generation),
                    &Unheard,
                )
                .unwrap();
                for acts in 0..=counted.acts() {
                    let medium = Memory::failing(first.clone(), acts);
                    let increment = sample::increment(generation);
                    let done = append(&sample::open(first.clone()), &medium, &increment, &Unheard);
                    assert_eq!(done.is_ok(), acts == counted.acts(), "{form:?} after {acts} acts");
                    for left in medium.after_a_power_cut() {
                        let bundle = Bundle::open(Arc::new(left.clone()))
                            .unwrap_or_else(|error| panic!("{form:?} after {acts} acts: {error}"));
                        let found = sample::content(&bundle);
                        if found == old {
                            old_seen += 1;
                            // The next append cuts off what is left and succeeds.
                            if old_seen % 16 == 1 {
                                let again = sample::open(appended(left, generation));
                                assert!(sample::content(&again) == new, "{form:?}, {acts} acts");
                            }
                        } else {
                            assert!(found == new, "{form:?} after {acts} acts");
                            new_seen += 1;
                        }
                        assert!(done.is_err() || found == new || !medium_is_synced(&medium));
                    }
                }
                assert!(old_seen > 0 && new_seen > 0, "{form:?}: {old_seen} old, {new_seen} new");
            }
        }
    }

    /// After success nothing is left that a power cut could undo.
    fn medium_is_synced(medium: &Memory) -> bool {
        medium.after_a_power_cut().len() == 2
    }

    #[test]
    fn a_mark_is_an_append_of_a_manifest_alone() {
        for form in FORMS {
            let mut bytes = sample::bundle(form);
            let mark = |protected, note: Option<&str>| Increment {
                mark: Some(Mark { protected, note: note.map(str::to_owned) }),
                tool: "relift test".to_owned(),
                ..Increment::default()
            };
            for (increment, want) in [
                (mark(true, Some("golden")), (true, Some("golden"))),
                (mark(false, None), (false, Some("golden"))),
            ] {
                let before = sample::open(bytes.clone());
                let medium = Memory::with(bytes);
                append(&before, &medium, &increment, &Unheard).unwrap();
                bytes = medium.bytes();
                let after = sample::open(bytes.clone());
                let (old, new) = (before.manifest().unwrap(), after.manifest().unwrap().unwrap());
                assert_eq!((new.protected, new.note.as_deref()), want);
                assert_eq!(new.members, old.unwrap().members);
                let report = verify(&after, Level::Deep, &Unheard).unwrap();
                assert_eq!(report.faults, [], "{form:?}");
            }
        }
    }

    #[test]
    fn an_append_that_fails_leaves_the_length_as_it_was() {
        for form in FORMS {
            let first = sample::bundle(form);
            let medium = Memory::failing(first.clone(), 2);
            append(&sample::open(first.clone()), &medium, &sample::increment(1), &Unheard)
                .unwrap_err();
            assert_eq!(names(&medium.bytes()), names(&first));
        }
    }

    #[test]
    fn refuses_a_name_that_is_there_and_names_of_the_format() {
        let bundle = sample::open(sample::bundle(Form::Tar));
        for (name, want) in [
            ("tools.iso", "tools.iso: the bundle has a member of that name"),
            (".pad", ".pad: a name that the format keeps for itself"),
            ("1-manifest.json", "1-manifest.json: a manifest is written, not added"),
        ] {
            let additions =
                vec![Addition { name: sample::name(name), bytes: Arc::new(Vec::<u8>::new()) }];
            let increment = Increment { additions, ..Increment::default() };
            let error = append(&bundle, &Memory::default(), &increment, &Unheard).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.code()), (want, Code::E0105));
        }
    }

    #[test]
    fn adds_to_a_tar_of_another_writer_and_not_to_its_frames() {
        let members = [("1-a.xml", sample::xml("a")), ("a.qcow2", sample::disk(1))];
        let mut bytes = sample::foreign(Form::Tar, &members);
        // GNU tar fills up to 10 KiB; some writers leave an end block or both away.
        for length in [bytes.len() + 10 * 512, bytes.len(), bytes.len() - 512, bytes.len() - 1024] {
            bytes.resize(length, 0);
            let medium = Memory::with(bytes.clone());
            let addition =
                Addition { name: sample::name("2-a.xml"), bytes: Arc::new(sample::xml("b")) };
            let increment = Increment { additions: vec![addition], ..Increment::default() };
            append(&sample::open(bytes.clone()), &medium, &increment, &Unheard).unwrap();
            let bundle = sample::open(medium.bytes());
            assert_eq!(bundle.config().unwrap().name, "b");
            assert_eq!(bundle.manifest().unwrap(), None);
        }
        let packed = zstd::encode_all(bytes.as_slice(), 1).unwrap();
        let error =
            append(&sample::open(packed), &Memory::default(), &Increment::default(), &Unheard)
                .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the zstd frames are not those of a relift bundle, nothing can be added to them"
        );
    }

    #[test]
    fn a_bundle_has_one_writer() {
        let file = tempfile::NamedTempFile::new().unwrap();
        lock(file.as_file()).unwrap();
        let other = File::open(file.path()).unwrap();
        assert!(is_locked(&other));
        let error = lock(&other).unwrap_err();
        assert_eq!(error.to_string(), "the bundle is in use by another process");
        assert_eq!(error.code(), Code::E0602);
        let error = pin(&other).unwrap_err();
        assert_eq!(error.to_string(), "the bundle is being written by another process");
        drop(file);
        assert!(!is_locked(&other));
        lock(&other).unwrap();
    }

    #[test]
    fn a_bundle_has_many_readers_and_no_writer_beside_them() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let readers = [(); 2].map(|()| File::open(file.path()).unwrap());
        readers.iter().try_for_each(pin).unwrap();
        assert!(!is_locked(file.as_file()));
        let [one, other] = readers;
        drop(one);
        assert_eq!(lock(file.as_file()).unwrap_err().code(), Code::E0602);
        drop(other);
        lock(file.as_file()).unwrap();
    }
}
