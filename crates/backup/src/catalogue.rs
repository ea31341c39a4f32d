//! Which backups lie in a folder, by what each says of itself.
//!
//! ```text
//! DIR/*.tar, *.tar.zst --headers and manifest, several at a time--> Entry: id, facts | damage
//!                                                    + verified.jsonl --> what was found when
//! ```
//!
//! A file is called by its name without the ending, a point in it `ID@POINT`. One that cannot be read is
//! an entry, too, and no error: it has to be seen, and deleted. An archive that is no backup is passed over.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use beneath::Refusal;
use bundle::{Bundle, Manifest, Mode};
use code::Code;
use disk::FileBytes;
use rayon::prelude::*;

use crate::{Condition, Error, Item, Kind, Result, state::Depth, state::Verified};

/// The most files of a folder that are looked at: the limit of this product.
const MAX_FILES: usize = 100_000;

/// A file that is, or should be, a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name without the ending.
    pub id: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub file_bytes: u64,
    /// What it says, or why it cannot.
    pub contents: Contents,
    /// What came of verifying what it holds now.
    pub verified: Option<Verified>,
    /// Whether somebody writes it; who deletes asks for readers as well ([`is_in_use`]).
    pub is_in_use: bool,
}

/// What a file says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// A backup whose headers can be read.
    Backup(Box<Facts>),
    /// A file that cannot be read as one.
    Damaged {
        /// Why, as a published code.
        code: Code,
        /// Why, in words.
        message: String,
    },
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The machine.
    pub vm: String,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its moments, oldest first; at least one.
    pub points: Vec<Moment>,
    /// What the last moment added to the file.
    pub added_bytes: u64,
    /// Whether the host keeps what a further increment needs.
    pub is_incrementable: bool,
    /// Whether nothing deletes it before the protection is taken off.
    pub is_protected: bool,
    /// What somebody wrote on it.
    pub note: Option<String>,
    /// Words that somebody sorts backups by.
    pub tags: BTreeMap<String, String>,
    /// What tells its content from others: the digest of what its manifest says of the members.
    pub digest: String,
}

/// A moment that can be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// What it is called; `None` in a backup that is one moment.
    pub id: Option<String>,
    /// When, in seconds since 1970.
    pub created_unix_seconds: u64,
    /// Whether it needs an older one.
    pub mode: Mode,
    /// The checkpoint of the machine that the next increment counts from.
    pub checkpoint: Option<String>,
}

impl Facts {
    /// How many increments there are behind the last moment that was read whole.
    #[must_use]
    pub fn increments(&self) -> usize {
        self.points.iter().rev().take_while(|point| point.mode == Mode::Incremental).count()
    }
}

impl Contents {
    fn of(facts: Facts) -> Self {
        Self::Backup(Box::new(facts))
    }
}

impl Entry {
    /// The facts, where it can be read.
    #[must_use]
    pub const fn facts(&self) -> Option<&Facts> {
        match &self.contents {
            Contents::Backup(facts) => Some(facts),
            Contents::Damaged { .. } => None,
        }
    }

    /// Whether it could be restored, as far as is known.
    #[must_use]
    pub fn condition(&self) -> Condition {
        match (&self.contents, &self.verified) {
            (Contents::Damaged { .. }, _) | (_, Some(Verified { sound: false, .. })) => {
                Condition::Damaged
            }
            (_, Some(Verified { level: Depth::Deep, .. })) => Condition::Verified,
            _ => Condition::Readable,
        }
    }

    /// The entry as the rules see it; it is called by its path, which is its own.
    #[must_use]
    pub fn item(&self) -> Item {
        let facts = self.facts();
        let moments = facts.map(|facts| &facts.points).into_iter().flatten();
        Item {
            id: self.path.display().to_string(),
            vm: facts.map(|facts| facts.vm.clone()),
            uuid: facts.and_then(|facts| facts.uuid.clone()),
            moments: moments.map(|moment| moment.created_unix_seconds).collect(),
            size_bytes: self.file_bytes,
            condition: self.condition(),
            is_protected: facts.is_some_and(|facts| facts.is_protected),
            is_in_use: self.is_in_use,
            stands_on: Vec::new(),
        }
    }
}

/// Lists the backups of a folder, by their names; `verified` is all that was verified, the oldest first.
///
/// # Errors
/// The folder cannot be listed, or has more than 100,000 names.
pub fn list(folder: &Path, verified: &[Verified]) -> Result<Vec<Entry>> {
    let cannot = |error| Error::io("cannot list", folder, error);
    let open = File::open(folder).map_err(cannot)?;
    let mut names = Vec::new();
    for (count, entry) in fs::read_dir(folder).map_err(cannot)?.enumerate() {
        if count >= MAX_FILES {
            let text = format!("more than {MAX_FILES} names, so many are allowed");
            return Err(cannot(io::Error::new(io::ErrorKind::FileTooLarge, text)));
        }
        let name = PathBuf::from(entry.map_err(cannot)?.file_name());
        names.extend(id_of(&name).map(|id| (id, name)));
    }
    names.sort();
    let entries = names.into_par_iter().filter_map(|(id, name)| {
        let path = folder.join(&name);
        look(id, path, beneath::open_file(&open, &name))
    });
    Ok(entries.map(|entry| judged(entry, verified)).collect())
}

/// Looks at one file, wherever it lies.
///
/// # Errors
/// `E0505` when it is not there, or is no backup.
pub fn one(path: &Path, verified: &[Verified]) -> Result<Entry> {
    let unknown =
        || Error::new(Kind::NotFound, format!("{} is not there, or is no backup", path.display()));
    let (folder, name) = match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) if !folder.as_os_str().is_empty() => (folder, name),
        (_, Some(name)) => (Path::new("."), name),
        (_, None) => return Err(unknown()),
    };
    let open = File::open(folder).map_err(|_| unknown())?;
    let name = Path::new(name);
    let is_called_so = id_of(name).is_some();
    let id = id_of(name).unwrap_or_else(|| name.display().to_string());
    let entry = look(id, path.to_owned(), beneath::open_file(&open, name));
    // Only its name can say that a file which cannot be read should be a backup.
    let entry = entry.filter(|entry| is_called_so || entry.facts().is_some());
    entry.map(|entry| judged(entry, verified)).ok_or_else(unknown)
}

/// Finds the file that somebody calls by its id, and which point behind an `@`.
///
/// # Errors
/// `E0505` when no folder has it; a usage error when several files are called so.
pub fn locate(folders: &[PathBuf], id: &str) -> Result<(PathBuf, Option<String>)> {
    let files = |stem: &str| -> Vec<PathBuf> {
        let is_id = !stem.is_empty() && !stem.starts_with('.') && !stem.contains('/');
        let folders = folders.iter().filter(|_| is_id);
        let names = folders.flat_map(|folder| {
            [".tar", ".tar.zst"].map(|ending| folder.join(format!("{stem}{ending}")))
        });
        names.filter(|path| path.is_file()).collect()
    };
    // A name may have an `@` of its own.
    let (stem, found, point) = match (files(id), id.rsplit_once('@')) {
        (whole, Some((stem, point))) if whole.is_empty() => (stem, files(stem), Some(point)),
        (whole, _) => (id, whole, None),
    };
    match found.as_slice() {
        [] => Err(Error::new(Kind::NotFound, format!("no backup is called '{stem}'"))),
        [path] => Ok((path.clone(), point.map(str::to_owned))),
        several => {
            let paths: Vec<String> =
                several.iter().map(|path| path.display().to_string()).collect();
            let paths = paths.join(", ");
            Err(Error::usage(format!("several backups are called '{stem}': {paths}")))
        }
    }
}

/// Whether somebody reads or writes a backup now: a restore, a verification, a copy, a backup. For the moment of
/// the question nobody else can, so that only who deletes asks.
#[must_use]
pub fn is_in_use(path: &Path) -> bool {
    let asked = File::open(path).map(|file| bundle::lock(&file));
    asked.is_ok_and(|asked| asked.is_err_and(|error| error.code() == Code::E0602))
}

/// Deletes a backup: under the lock of its readers and writers, durably, in every state but a protected one.
///
/// # Errors
/// `E0607` when it is protected, `E0602` when somebody reads or writes it, `E0508` when it cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    let cannot = |error| Error::io("cannot remove", path, error);
    let file = File::open(path).map_err(cannot)?;
    bundle::lock(&file).map_err(|error| match error.code() {
        Code::E0602 => {
            let text = format!("{} is in use by another process", path.display());
            Error::new(Kind::Locked, text)
        }
        _ => cannot(io::Error::other(error)),
    })?;
    // Only now: somebody may have protected it since it was listed.
    let contents = file.try_clone().map(read).map_err(cannot)?;
    if let Ok(Some(Contents::Backup(facts))) = contents
        && facts.is_protected
    {
        return Err(Error::new(Kind::Protected, format!("{} is protected", path.display())));
    }
    fs::remove_file(path).map_err(cannot)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new("."))).and_then(|it| it.sync_all()).map_err(cannot)
}

/// The digest of what a bundle holds: of its members as its manifest describes them. A mark on the bundle
/// does not change it.
#[must_use]
pub fn digest(bundle: &Bundle, manifest: Option<&Manifest>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |name: &str, length_bytes: u64, blake3: &str| {
        hasher.update(format!("{length_bytes} {blake3} {name}\n").as_bytes());
    };
    match manifest {
        Some(manifest) => {
            let members = manifest.members.iter();
            members.for_each(|member| add(&member.name, member.length_bytes, &member.blake3));
        }
        None => {
            bundle.members().for_each(|member| add(member.name.as_str(), member.length_bytes, ""));
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// The name of a backup file without the ending; `None` for another file.
pub(crate) fn id_of(name: &Path) -> Option<String> {
    let name = name.to_str()?;
    let stem = name.strip_suffix(".tar.zst").or_else(|| name.strip_suffix(".tar"))?;
    (!stem.is_empty() && !stem.starts_with('.')).then(|| stem.to_owned())
}

/// Reads the headers of a file; `None` for what is gone, or was never a backup.
fn look(id: String, path: PathBuf, opened: std::result::Result<File, Refusal>) -> Option<Entry> {
    let damaged = |code, message: String| Contents::Damaged { code, message };
    let (file_bytes, contents, is_in_use) = match opened {
        Ok(file) => {
            let file_bytes = file.metadata().map_or(0, |found| found.len());
            let is_in_use = bundle::is_locked(&file);
            let contents = match read(file) {
                Ok(Some(contents)) => contents,
                Ok(None) => return None,
                Err(error) => damaged(error.code(), error.to_string()),
            };
            (file_bytes, contents, is_in_use)
        }
        Err(Refusal::Io(error)) => (0, damaged(Code::E0508, error.to_string()), false),
        // Gone since, a link, a folder or a pipe of that name.
        Err(_) => return None,
    };
    Some(Entry { id, path, file_bytes, contents, verified: None, is_in_use })
}

/// What the headers say; `None` for an archive that is no backup.
fn read(file: File) -> bundle::Result<Option<Contents>> {
    let bundle = Bundle::open(Arc::new(FileBytes::new(file)?))?;
    let manifest = bundle.manifest()?;
    if manifest.is_none() && bundle.configs().is_empty() {
        return Ok(None);
    }
    let digest = digest(&bundle, manifest.as_ref());
    let whole = |created_unix_seconds| {
        vec![Moment { id: None, created_unix_seconds, mode: Mode::Full, checkpoint: None }]
    };
    let Some(manifest) = manifest else {
        // The manifest comes last: what has neither it nor an end is the head of a longer file.
        if let Some(finding) = bundle.findings().first() {
            let message = format!("it has no manifest, and {}", finding.message);
            return Ok(Some(Contents::Damaged { code: Code::E0102, message }));
        }
        let config = bundle.config()?;
        return Ok(Some(Contents::of(Facts {
            vm: config.name,
            uuid: config.uuid,
            points: whole(config.unix_seconds),
            added_bytes: bundle.file_bytes(),
            is_incrementable: false,
            is_protected: false,
            note: None,
            tags: BTreeMap::new(),
            digest,
        })));
    };
    let added_bytes = added_bytes(&manifest).unwrap_or_else(|| bundle.file_bytes());
    let moments = manifest.points.iter().map(|point| Moment {
        id: Some(point.id.clone()),
        created_unix_seconds: point.created_unix_seconds,
        mode: point.mode,
        checkpoint: point.checkpoint.as_ref().map(|checkpoint| checkpoint.name.clone()),
    });
    let mut points: Vec<Moment> = moments.collect();
    if points.is_empty() {
        // A mark gives the manifest a time of its own: the machine is as old as its definition.
        let config = bundle.configs().last().map(|(unix_seconds, _)| *unix_seconds);
        points = whole(config.unwrap_or(manifest.created_unix_seconds));
    }
    Ok(Some(Contents::of(Facts {
        vm: manifest.vm.name,
        uuid: manifest.vm.uuid,
        points,
        added_bytes,
        is_incrementable: manifest.incrementable,
        is_protected: manifest.protected,
        note: manifest.note,
        tags: manifest.tags,
        digest,
    })))
}

/// What the images of the last point take; `None` without points.
fn added_bytes(manifest: &Manifest) -> Option<u64> {
    let last = manifest.points.last()?;
    let images = last.disks.iter().filter_map(|disk| manifest.member(&disk.member));
    Some(images.fold(0, |sum: u64, image| sum.saturating_add(image.length_bytes)))
}

/// The same with the last that was found when it was verified as it is now.
fn judged(mut entry: Entry, verified: &[Verified]) -> Entry {
    let Some(facts) = entry.facts() else { return entry };
    let path = std::path::absolute(&entry.path).unwrap_or_else(|_| entry.path.clone());
    let is_this = |one: &&Verified| one.path == path && one.digest == facts.digest;
    let mut of_this = verified.iter().filter(is_this);
    // A quick look does not undo what every byte has proved.
    let last = of_this.clone().next_back();
    let deep = of_this.rfind(|one| one.level == Depth::Deep);
    entry.verified = match (last, deep) {
        (Some(last), Some(deep)) if last.sound => Some(deep.clone()),
        (last, _) => last.cloned(),
    };
    entry
}

#[cfg(test)]
mod tests {
    use bundle::{Form, Options, Point, PointDisk, State, Vm, Writer};
    use disk::Unheard;
    use ovf::EntryName;

    use super::*;

    const THEN: u64 = 1_700_000_000;

    fn point(number: u64, mode: Mode) -> Point {
        Point {
            id: format!("p{number}"),
            created_unix_seconds: THEN + number,
            mode,
            config: format!("{}-web01.xml", THEN + number),
            state: State::Off,
            indications: Vec::new(),
            disks: vec![PointDisk {
                target: "vda".to_owned(),
                member: format!("web01-vda-{number}.qcow2"),
                capacity_bytes: 1 << 20,
                mode,
                reason: None,
                read_bytes: 0,
            }],
            left_out: Vec::new(),
            checkpoint: None,
            snapshots: Vec::new(),
        }
    }

    fn xml() -> Vec<u8> {
        b"<domain type='kvm'><name>web01</name></domain>".to_vec()
    }

    /// A bundle with two points; their images are not looked at by a catalogue.
    fn write(path: &Path, form: Form) -> Manifest {
        let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        let mut writer = Writer::new(&file, Options { form, level: 1, unix_seconds: THEN });
        let mut add = |name: &str, bytes: &[u8]| {
            writer.add(&EntryName::parse(name).unwrap(), &bytes.to_vec(), &Unheard).unwrap();
        };
        for number in 0..2 {
            add(&format!("{}-web01.xml", THEN + number), &xml());
            add(&format!("web01-vda-{number}.qcow2"), &[7; 100]);
        }
        let manifest = Manifest {
            created_unix_seconds: THEN + 1,
            vm: Vm { name: "web01".to_owned(), uuid: None },
            points: vec![point(0, Mode::Full), point(1, Mode::Incremental)],
            incrementable: true,
            protected: true,
            members: writer.written().unwrap().to_vec(),
            ..Manifest::default()
        };
        writer.finish(Some(&manifest)).unwrap();
        manifest
    }

    fn verified(entry: &Entry, level: Depth, sound: bool) -> Verified {
        Verified {
            t: "2026-11-21T01:00:00Z".to_owned(),
            path: entry.path.clone(),
            digest: entry.facts().unwrap().digest.clone(),
            level,
            sound,
        }
    }

    #[test]
    fn lists_backups_and_damaged_files_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(&at("web01-2.tar.zst"), Form::TarZst);
        write(&at("web01-1.tar"), Form::Tar);
        let whole = fs::read(at("web01-1.tar")).unwrap();
        fs::write(at("cut.tar"), &whole[..700]).unwrap();
        fs::write(at("noise.tar"), [9; 2000]).unwrap();
        fs::write(at("notes.txt"), "x").unwrap();
        fs::write(at(".hidden.tar"), &whole).unwrap();
        fs::create_dir(at("folder.tar")).unwrap();
        std::os::unix::fs::symlink(at("web01-1.tar"), at("link.tar")).unwrap();
        let mut foreign = tar_of("letter.txt", b"x");
        fs::write(at("letters.tar"), &foreign).unwrap();
        foreign = tar_of("17-db.xml", &xml());
        fs::write(at("db.tar"), &foreign).unwrap();
        let entries = list(folder.path(), &[]).unwrap();
        let told: Vec<String> = entries
            .iter()
            .map(|entry| match &entry.contents {
                Contents::Backup(facts) => format!(
                    "{}: {}, {} points, {} added",
                    entry.id,
                    facts.vm,
                    facts.points.len(),
                    facts.added_bytes.min(1000)
                ),
                Contents::Damaged { code, .. } => format!("{}: {code}", entry.id),
            })
            .collect();
        assert_eq!(
            told,
            [
                "cut: E0102",
                "db: web01, 1 points, 1000 added",
                "noise: E0101",
                "web01-1: web01, 2 points, 100 added",
                "web01-2: web01, 2 points, 100 added",
            ]
        );
        let facts = entries[3].facts().unwrap();
        assert!(facts.is_protected && facts.is_incrementable);
        assert_eq!(facts.points[1].mode, Mode::Incremental);
        assert_eq!(entries[3].item().moments, [THEN, THEN + 1]);
        assert_eq!(one(&at("web01-1.tar"), &[]).unwrap(), entries[3]);
        assert_eq!(one(&at("letters.tar"), &[]).unwrap_err().code(), Some(Code::E0505));
    }

    /// An archive of another program.
    fn tar_of(name: &str, bytes: &[u8]) -> Vec<u8> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = Options { form: Form::Tar, level: 1, unix_seconds: THEN };
        let medium = file.reopen().unwrap();
        let mut writer = Writer::new(&medium, options);
        writer.add(&EntryName::parse(name).unwrap(), &bytes.to_vec(), &Unheard).unwrap();
        writer.finish(None).unwrap();
        fs::read(file.path()).unwrap()
    }

    #[test]
    fn what_was_verified_counts_for_the_content_it_was_found_with() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web01.tar");
        write(&path, Form::Tar);
        let plain = one(&path, &[]).unwrap();
        let condition = |all: &[Verified]| one(&path, all).unwrap().condition();
        let (quick, deep) =
            (verified(&plain, Depth::Quick, true), verified(&plain, Depth::Deep, true));
        assert_eq!(condition(&[]), Condition::Readable);
        assert_eq!(condition(std::slice::from_ref(&quick)), Condition::Readable);
        assert_eq!(condition(&[deep.clone(), quick.clone()]), Condition::Verified);
        let failed = verified(&plain, Depth::Quick, false);
        assert_eq!(condition(&[deep.clone(), failed.clone()]), Condition::Damaged);
        assert_eq!(condition(&[failed, deep.clone()]), Condition::Verified);
        let other = Verified { digest: "00".to_owned(), ..deep };
        assert_eq!(condition(&[other]), Condition::Readable);
    }

    #[test]
    fn a_backup_that_somebody_writes_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web01.tar");
        write(&path, Form::Tar);
        let file = File::open(&path).unwrap();
        bundle::lock(&file).unwrap();
        assert!(one(&path, &[]).unwrap().is_in_use);
        drop(file);
        assert!(!one(&path, &[]).unwrap().is_in_use);
    }

    #[test]
    fn a_backup_that_somebody_reads_is_in_use_for_who_deletes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web01.tar");
        write(&path, Form::Tar);
        assert!(!is_in_use(&path));
        let file = File::open(&path).unwrap();
        bundle::pin(&file).unwrap();
        assert!(is_in_use(&path) && !one(&path, &[]).unwrap().is_in_use);
        drop(file);
        assert!(!is_in_use(&path) && !is_in_use(&folder.path().join("none")));
    }

    #[test]
    fn a_backup_is_found_by_its_id_with_a_point_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let folders = ["a", "b"].map(|name| folder.path().join(name));
        folders.iter().for_each(|folder| fs::create_dir(folder).unwrap());
        for file in ["a/x.tar", "a/y@1.tar", "a/z.tar", "b/z.tar.zst"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let found = |id: &str| locate(&folders, id).map_err(|error| error.to_string());
        let at = |file: &str, point: Option<&str>| {
            Ok((folder.path().join(file), point.map(str::to_owned)))
        };
        assert_eq!(found("x"), at("a/x.tar", None));
        assert_eq!(found("x@p1"), at("a/x.tar", Some("p1")));
        assert_eq!(found("y@1"), at("a/y@1.tar", None));
        assert_eq!(found("../a/x"), Err("no backup is called '../a/x'".to_owned()));
        assert_eq!(found("w"), Err("no backup is called 'w'".to_owned()));
        let place = folder.path().display();
        let several =
            format!("several backups are called 'z': {place}/a/z.tar, {place}/b/z.tar.zst");
        assert_eq!(found("z"), Err(several));
    }

    #[test]
    fn a_backup_is_removed_in_every_state_but_a_protected_or_busy_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web01.tar");
        write(&path, Form::Tar);
        let place = path.display().to_string();
        assert_eq!(remove(&path).unwrap_err().to_string(), format!("{place} is protected"));
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..2000]).unwrap();
        let file = File::open(&path).unwrap();
        bundle::lock(&file).unwrap();
        let error = remove(&path).unwrap_err();
        assert_eq!(error.to_string(), format!("{place} is in use by another process"));
        assert_eq!(error.code(), Some(Code::E0602));
        drop(file);
        remove(&path).unwrap();
        assert_eq!(remove(&path).unwrap_err().to_string(), format!("cannot remove {place}"));
    }
}
