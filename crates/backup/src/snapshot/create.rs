//! Taking a snapshot.
//!
//! ```text
//! plan: which disks, which files, room     record: in progress
//!   --> freeze --> libvirt begins an overlay of every disk at one moment --> thaw --> record: succeeded
//!            \ fails: what was begun is removed, the machine goes on, record: failed
//! ```

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::Duration,
};

use bundle::{Indication, LeftOut, State};
use domain::NewSnapshot;
use host::{
    dir,
    libvirt::{Definition, JobKind, Keeps, Power, Protection},
};

use super::{
    Found, Included, Record, Subject,
    delete::{self, Family},
    disks::{self, Wanted},
    tree::{self, Tree},
};
use crate::{
    Error, Kind, Result,
    quiesce::{Asked, Broken, Guards, Moment, Quiesce, at_a_quiet_moment},
};

/// The longest name of a snapshot, in bytes (ours: it becomes a part of the names of files).
const MAX_NAME_BYTES: usize = 64;

/// What is wanted of a new snapshot.
#[derive(Debug, Clone)]
pub struct CreateOptions {
    /// Its name.
    pub name: String,
    /// What to note of it.
    pub description: Option<String>,
    /// Whether the guest's memory is kept.
    pub memory: MemoryFile,
    /// Whether the guest's file systems have to be quiet.
    pub quiesce: Quiesce,
    /// How long they may be frozen; `None` for as long as it takes.
    pub deadline: Option<Duration>,
    /// Disks that are to be left out.
    pub exclude: Vec<String>,
    /// Where overlays and memory go; `None` for beside each image.
    pub storage: Option<PathBuf>,
    /// The time, in seconds since 1970.
    pub unix_seconds: u64,
}

/// Whether the guest's memory is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryFile {
    /// The guest starts anew from its disks.
    None,
    /// It goes on where it was.
    Kept,
}

/// What a snapshot will be made of.
#[derive(Debug, Clone)]
pub struct CreatePlan {
    /// Its name.
    pub name: String,
    /// The disks that are in it.
    pub included: Vec<Included>,
    /// Those that are not, and why.
    pub left_out: Vec<LeftOut>,
    /// The file for the guest's memory, with the most bytes that it may take.
    pub memory: Option<(PathBuf, u64)>,
    /// The folders that files are begun in, with the bytes that each has room for.
    pub free: Vec<(PathBuf, u64)>,
    document: String,
    options: CreateOptions,
}

/// A snapshot that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// What the machine was doing.
    pub state: State,
    /// What is noted of it.
    pub record: Record,
    /// What people should know, a sentence each.
    pub notes: Vec<String>,
}

/// Decides what a snapshot will be made of; nothing is changed.
///
/// # Errors
/// The name cannot be one or is taken, no disk can be in it, memory is wanted of a machine that does not
/// run, a file is there already or there is no room.
pub fn plan_create<H: Protection + ?Sized>(
    subject: &Subject<'_, H>,
    options: &CreateOptions,
) -> Result<CreatePlan> {
    check_name(&options.name)?;
    let (host, machine) = (subject.host, subject.machine);
    let tree = tree::tree(subject)?;
    if tree.find(&options.name).is_ok() {
        let text = format!("the machine has a snapshot {} already", options.name);
        return Err(Error::new(Kind::Exists, text));
    }
    let power = host.power(machine)?;
    if host.job(machine)?.kind != JobKind::None {
        return Err(Error::new(Kind::Locked, "another job of the machine is under way"));
    }
    let own = host.definition(machine, Definition::Inactive)?;
    let live = match power {
        Power::Off => own.clone(),
        _ => host.definition(machine, Definition::Live)?,
    };
    let others = tree.names();
    let wanted = Wanted {
        snapshot: &options.name,
        others: &others,
        exclude: &options.exclude,
        storage: options.storage.as_deref(),
    };
    let drives = domain::drives(live.as_bytes())?;
    let (included, left_out) = disks::choose(&drives, &domain::drives(own.as_bytes())?, &wanted)?;
    let memory = match options.memory {
        MemoryFile::None => None,
        MemoryFile::Kept if power == Power::Off => {
            let text = "the machine is off, and has no memory to keep";
            return Err(Error::new(Kind::State, text));
        }
        MemoryFile::Kept => Some(memory_file(&included, &wanted, &live)?),
    };
    let files =
        included.iter().map(|disk| &disk.overlay).chain(memory.iter().map(|(file, _)| file));
    for file in files.clone() {
        if file.symlink_metadata().is_ok() {
            return Err(Error::new(Kind::Exists, format!("{} exists already", file.display())));
        }
    }
    let folders: BTreeSet<&Path> = files.filter_map(|file| file.parent()).collect();
    let mut free = Vec::new();
    for folder in folders {
        free.push((folder.to_owned(), dir::facts(folder)?.free_bytes));
    }
    check_room(memory.as_ref(), &free)?;
    let disks = drives.iter().map(|drive| {
        let overlay = included.iter().find(|disk| disk.target == drive.target);
        (drive.target.as_str(), overlay.map(|disk| disk.overlay.as_path()))
    });
    let document = domain::write_new_snapshot(&NewSnapshot {
        name: &options.name,
        description: options.description.as_deref(),
        memory: memory.as_ref().map(|(file, _)| file.as_path()),
        disks: disks.collect(),
    })?;
    let (name, options) = (options.name.clone(), options.clone());
    Ok(CreatePlan { name, included, left_out, memory, free, document, options })
}

/// Takes the snapshot. Who calls it holds the lock of the machine's records.
///
/// # Errors
/// The host does not take it, or the guest had to be quiet and was not, or the deadline was over; what
/// was begun is gone then, as far as the machine does not run on it. A record tells of the failure.
pub fn create<H: Protection + ?Sized>(
    subject: &Subject<'_, H>,
    plan: &CreatePlan,
    guards: &dyn Guards,
) -> Result<Created> {
    let CreatePlan { options, document, .. } = plan;
    let overlays = plan.included.iter().map(|disk| disk.overlay.clone());
    let files = overlays.chain(plan.memory.iter().map(|(file, _)| file.clone())).collect();
    let left_out = plan.left_out.clone();
    let record = Record { files, left_out, ..Record::begun(&plan.name, options.unix_seconds) };
    subject.records.write(&record)?;
    // Memory has what programs had not written yet: freezing them would only keep them frozen.
    let (keeps, quiesce) = match options.memory {
        MemoryFile::Kept => (Keeps::Memory, Quiesce::Never),
        MemoryFile::None => (Keeps::Disks, options.quiesce),
    };
    let (host, machine, deadline) = (subject.host, subject.machine, options.deadline);
    let asked = Asked { host, machine, quiesce, deadline, guards };
    let act = || Ok(host.create_snapshot(machine, document, keeps)?);
    match at_a_quiet_moment(&asked, act) {
        Ok(moment) => keep(subject, record, moment),
        Err(Broken { error, made }) => {
            let error = match take_back(subject, plan, made.is_some()) {
                Ok(()) => error,
                Err(other) => error.beside(&other),
            };
            subject.records.write(&record.ended(Some(error.to_string())))?;
            Err(error)
        }
    }
}

/// Notes how it went. A deadline that was over makes it a failure, whatever libvirt has.
fn keep<H: ?Sized>(
    subject: &Subject<'_, H>,
    record: Record,
    moment: Moment<()>,
) -> Result<Created> {
    let Moment { state, indications, frozen, notes, .. } = moment;
    let late = frozen.is_some() && indications.contains(&Indication::QuiesceFailed);
    let frozen_ms = frozen.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
    let error = late.then(|| notes.join("; "));
    let record = Record { indications, frozen_ms, ..record }.ended(error.clone());
    subject.records.write(&record)?;
    match error {
        None => Ok(Created { state, record, notes }),
        Some(why) => Err(Error::new(Kind::Quiesce, why)),
    }
}

/// Removes what a snapshot that failed has begun; a machine that runs on its overlays is merged back.
fn take_back<H: Protection + ?Sized>(
    subject: &Subject<'_, H>,
    plan: &CreatePlan,
    was_taken: bool,
) -> Result<()> {
    if was_taken {
        let tree = tree::tree(subject)?;
        let plan = delete::plan_delete(subject, &tree, &plan.name, Family::One)?;
        delete::carry_out(subject, &plan, &disk::Unheard)?;
        return Ok(());
    }
    let used: Vec<PathBuf> = tree::heads(subject)?.into_iter().map(|(_, image, _)| image).collect();
    let begun = plan.included.iter().map(|disk| &disk.overlay);
    for file in begun.chain(plan.memory.iter().map(|(file, _)| file)) {
        if !used.contains(file) {
            subject.files.remove_file(file)?;
        }
    }
    Ok(())
}

/// The file for the memory, beside the first disk's overlay, and the most that goes into it.
fn memory_file(included: &[Included], wanted: &Wanted<'_>, live: &str) -> Result<(PathBuf, u64)> {
    let none = || Error::new(Kind::State, "no disk is in the snapshot");
    let first = included.first().ok_or_else(none)?;
    let stem = disks::stem(&first.image, wanted.others);
    let file = first.overlay.with_file_name(format!("{stem}.{}.memory", wanted.snapshot));
    let machine = domain::read(live.as_bytes())?.machine;
    Ok((file, machine.memory_bytes))
}

fn check_room(memory: Option<&(PathBuf, u64)>, free: &[(PathBuf, u64)]) -> Result<()> {
    let Some((file, needed)) = memory else { return Ok(()) };
    let room = free.iter().find(|(folder, _)| Some(folder.as_path()) == file.parent());
    match room {
        Some((folder, free)) if free < needed => {
            let folder = folder.display();
            let text =
                format!("the memory may take {needed} bytes, and {folder} has room for {free}");
            Err(Error::new(Kind::NoRoom, text))
        }
        _ => Ok(()),
    }
}

/// A name becomes a part of the names of files, and is typed.
fn check_name(name: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let starts = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if starts && name.len() <= MAX_NAME_BYTES && name.bytes().all(plain) {
        return Ok(());
    }
    let shown: String = name.chars().take(MAX_NAME_BYTES).collect();
    Err(Error::usage(format!(
        "the name {shown:?} of a snapshot is not 1 to {MAX_NAME_BYTES} letters, digits, '.', '_' and '-', \
         the first a letter or digit"
    )))
}

/// The snapshots that a machine has, for who shows them beside a new one.
impl Tree {
    /// The one that the machine goes on from.
    #[must_use]
    pub fn current(&self) -> Option<&Found> {
        self.snapshots.iter().find(|one| one.is_current)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use code::Code;
    use host::{
        fake::{Fake, FakeGuest},
        guard::Outcome,
        libvirt::{Job, LibvirtKind},
    };

    use super::{
        super::{
            Phase,
            fixture::{Lab, MACHINE},
        },
        *,
    };
    use crate::quiesce::Armed;

    /// A guard that ends as the test wants.
    struct Guard(Outcome);

    impl Armed for Guard {
        fn disarm(self: Box<Self>) -> Outcome {
            self.0
        }
    }

    impl Guards for Outcome {
        fn arm(&self, _: vm::Uuid, _: Duration) -> io::Result<Box<dyn Armed>> {
            Ok(Box::new(Guard(self.clone())))
        }
    }

    fn options() -> CreateOptions {
        CreateOptions {
            name: "s3".to_owned(),
            description: Some("before".to_owned()),
            memory: MemoryFile::None,
            quiesce: Quiesce::Auto,
            deadline: Some(Duration::from_secs(300)),
            exclude: Vec::new(),
            storage: None,
            unix_seconds: 9,
        }
    }

    fn running(lab: &Lab) -> FakeGuest {
        FakeGuest { power: Power::Running, ..lab.guest() }
    }

    #[test]
    fn a_running_guest_is_frozen_while_its_overlays_are_begun() {
        let lab = Lab::new();
        let fake = Fake::new(None).with_guest(running(&lab));
        let (subject, _lock) = (lab.subject(&fake), lab.records.lock().unwrap());
        let plan = plan_create(&subject, &options()).unwrap();
        assert_eq!(plan.included[0].overlay, lab.path("base.s3.qcow2"));
        let created = create(&subject, &plan, &Outcome::Quiet).unwrap();
        assert_eq!(fake.acts(), ["freeze", "create snapshot s3 of Disks", "thaw"]);
        assert_eq!(created.record.indications, [Indication::Online, Indication::GuestAgent]);
        assert_eq!(created.record.left_out[0].reason, "a CD drive");
        let record = lab.records.all().unwrap().remove(0);
        assert_eq!(
            (record.phase, record.files),
            (Phase::Succeeded, vec![lab.path("base.s3.qcow2")])
        );
    }

    #[test]
    fn memory_is_kept_without_a_freeze_in_a_file_of_its_own() {
        let lab = Lab::new();
        let fake = Fake::new(None).with_guest(running(&lab));
        let (subject, _lock) = (lab.subject(&fake), lab.records.lock().unwrap());
        let options = CreateOptions { memory: MemoryFile::Kept, ..options() };
        let plan = plan_create(&subject, &options).unwrap();
        assert_eq!(plan.memory, Some((lab.path("base.s3.memory"), 16 << 20)));
        create(&subject, &plan, &Outcome::Quiet).unwrap();
        assert_eq!(fake.acts(), ["create snapshot s3 of Memory"]);
        let off = Fake::new(None).with_guest(lab.guest());
        let other = CreateOptions { name: "s4".to_owned(), ..options };
        let error = plan_create(&lab.subject(&off), &other).unwrap_err();
        assert_eq!(error.to_string(), "the machine is off, and has no memory to keep");
        let full = check_room(plan.memory.as_ref(), &[("/elsewhere".into(), 5)]);
        assert_eq!(full.map_err(|error| error.code()), Ok(()), "another folder");
        let folder = plan.memory.as_ref().unwrap().0.parent().unwrap().to_owned();
        let error = check_room(plan.memory.as_ref(), &[(folder, 5)]).unwrap_err();
        assert_eq!(error.code(), Some(Code::E0506));
    }

    #[test]
    fn what_was_begun_is_removed_when_the_host_fails() {
        let lab = Lab::new();
        let fake = Fake::new(Some(1)).with_guest(running(&lab)).failing_as(LibvirtKind::NoSpace);
        let (subject, _lock) = (lab.subject(&fake), lab.records.lock().unwrap());
        let plan = plan_create(&subject, &options()).unwrap();
        lab.overlay("base.s2.qcow2", "base.s3.qcow2");
        let error = create(&subject, &plan, &Outcome::Quiet).unwrap_err();
        assert_eq!(error.code(), Some(Code::E0506));
        let acts = ["freeze", "create snapshot s3 of Disks", "thaw", "remove base.s3.qcow2"];
        assert_eq!(fake.acts(), acts);
        assert_eq!(lab.images(), ["base.qcow2", "base.s1.qcow2", "base.s2.qcow2"]);
        let record = lab.records.all().unwrap().remove(0);
        assert_eq!((record.phase, record.error), (Phase::Failed, Some(error.to_string())));
    }

    #[test]
    fn a_deadline_that_is_over_makes_it_a_failure() {
        let lab = Lab::new();
        let fake = Fake::new(None).with_guest(running(&lab));
        let (subject, _lock) = (lab.subject(&fake), lab.records.lock().unwrap());
        let plan = plan_create(&subject, &options()).unwrap();
        let error = create(&subject, &plan, &Outcome::Fired).unwrap_err();
        assert_eq!(error.to_string(), "the deadline was over before the moment was kept");
        assert_eq!(error.code(), Some(Code::E0511));
        assert!(!fake.guest().is_frozen);
        assert_eq!(lab.records.all().unwrap()[0].phase, Phase::Failed);
    }

    #[test]
    fn what_cannot_be_a_snapshot_is_refused_before_anything_is_done() {
        let lab = Lab::new();
        let told = |guest: FakeGuest, options: &CreateOptions| {
            let fake = Fake::new(None).with_guest(guest);
            let error = plan_create(&lab.subject(&fake), options).unwrap_err();
            assert!(fake.acts().is_empty());
            (error.to_string(), error.code())
        };
        let named = |name: &str| CreateOptions { name: name.to_owned(), ..options() };
        for name in ["", ".a", "a/b", "a b", "ü", &"a".repeat(65)] {
            let (text, code) = told(lab.guest(), &named(name));
            assert!(text.contains("is not 1 to 64 letters") && code.is_none(), "{text}");
        }
        let want = ("the machine has a snapshot s1 already".to_owned(), Some(Code::E0509));
        assert_eq!(told(lab.guest(), &named("s1")), want);
        let job = Job { kind: JobKind::Backup, ..Job::default() };
        let want = ("another job of the machine is under way".to_owned(), Some(Code::E0602));
        assert_eq!(told(FakeGuest { job, ..running(&lab) }, &options()), want);
        lab.overlay("base.qcow2", "base.s3.qcow2");
        let path = lab.path("base.s3.qcow2");
        let want = (format!("{} exists already", path.display()), Some(Code::E0509));
        assert_eq!(told(lab.guest(), &options()), want);
        assert_eq!(lab.subject(&Fake::new(None)).machine, MACHINE);
    }
}
