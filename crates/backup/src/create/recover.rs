//! What a killed run left on a machine, put right before anything else is done.
//!
//! | left | put right |
//! |---|---|
//! | a scratch folder | the sign that a run did not end; removed last |
//! | file systems that are frozen | thawed |
//! | a backup job whose scratch files are in that folder | ended |
//! | a snapshot of ours that the machine was read below | deleted: what was written since is merged |
//! | a guest that a full scratch file stopped | goes on |
//! | a checkpoint that no point knows | deleted: what it counted is counted from the one before |
//! | a machine that was started only to be read | turned off |
//! | a job that libvirt has lost, as its daemon was killed | told: nothing that libvirt offers ends it |
//! | checkpoints of a machine whose QEMU was killed | forgotten when they turn out to be broken, by the next job |

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use domain::RunningDisk;
use host::{
    libvirt::{Power, Protection},
    scratch::{Scratch, Seen},
};
use vm::Uuid;

use super::{
    CHECKPOINT_PREFIX, Request,
    pull::forget_checkpoint,
    temporary::{self, Whole},
};
use crate::{Error, Kind, Result};

/// How long a question to the agent may take here (ours).
const AGENT_LIMIT: Duration = Duration::from_secs(10);

/// How long thawing may take (ours).
const THAW_LIMIT: Duration = Duration::from_secs(90);

/// What the note in a scratch folder says of a machine that was off.
const WAS_OFF: &str = "was off";

/// What it says of one that stood still already: it is not ours to let it go on.
const WAS_PAUSED: &str = "was paused";

/// Something that people should know, a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note(pub String);

/// The note in the scratch folder of a run.
pub(super) fn note_of(request: &Request, power: &Power) -> String {
    let was = match power {
        Power::Off => WAS_OFF,
        Power::Paused { .. } => WAS_PAUSED,
        _ => "was on",
    };
    format!("relift backs up {}; the machine {was}\n", request.name)
}

/// What an interrupted run left on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// A backup job.
    Job,
    /// A machine that was off has a process, paused.
    Started,
    /// A guest that stopped because a scratch file was full.
    Stopped,
    /// A guest whose file systems are frozen.
    Frozen,
    /// A snapshot that was taken to read the machine, which goes on in its overlays.
    Snapshot(String),
    /// The scratch files beneath this folder.
    Scratch(PathBuf),
    /// A checkpoint that no point knows.
    Checkpoint(String),
    /// A backup job that libvirt holds and knows nothing of: only who runs its daemon can end it.
    LostJob,
}

impl Leftover {
    /// What is there.
    #[must_use]
    pub fn found(&self) -> String {
        match self {
            Self::Job => "a backup job of an interrupted run".to_owned(),
            Self::Started => "a machine that was started only to be read".to_owned(),
            Self::Stopped => "a guest that a full scratch file has stopped".to_owned(),
            Self::Frozen => "a guest that an interrupted run has frozen".to_owned(),
            Self::Scratch(beneath) => {
                format!("scratch files of an interrupted run in {}", beneath.display())
            }
            Self::Snapshot(name) => format!("the snapshot {name} of an interrupted run"),
            Self::Checkpoint(name) => format!("the checkpoint {name}, which no point knows"),
            Self::LostJob => "a backup job that libvirt has lost (relift explain E0510)".to_owned(),
        }
    }

    /// What was done about it.
    fn done(&self, machine: Uuid) -> Note {
        Note(match self {
            Self::Job => "ended the backup job that an interrupted run had left".to_owned(),
            Self::Started => "turned off the machine, which was started only to be read".to_owned(),
            Self::Stopped => {
                "let the guest go on, which a full scratch file had stopped".to_owned()
            }
            Self::Frozen => "thawed the guest, which an interrupted run had frozen".to_owned(),
            Self::Scratch(beneath) => {
                let folder = Scratch::folder_of(beneath, machine);
                format!("removed {}, which an interrupted run had left", folder.display())
            }
            Self::Snapshot(name) => {
                format!("deleted the snapshot {name}, which an interrupted run had left")
            }
            Self::Checkpoint(name) => {
                format!("deleted the checkpoint {name}, which no point knows")
            }
            Self::LostJob => "the backup job that libvirt had lost has ended".to_owned(),
        })
    }
}

/// Which checkpoints are in use, as far as that is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The series of which every point is known: a checkpoint of another series is nobody's to judge.
    pub series: Vec<String>,
    /// The checkpoints of all points.
    pub checkpoints: Vec<String>,
}

impl Known {
    fn is_unknown(&self, checkpoint: &str) -> bool {
        let word = checkpoint.strip_prefix(CHECKPOINT_PREFIX).and_then(|it| it.split_once('-'));
        word.is_some_and(|(series, _)| self.series.iter().any(|known| known == series))
            && !self.checkpoints.iter().any(|known| known == checkpoint)
    }
}

/// Puts right what a killed run left on a machine, and says what that was.
///
/// The caller holds the machine's lock, so that no run of ours is under way. `known` tells which checkpoints
/// are in use.
///
/// # Errors
/// As [`left_on`] and [`put_right`].
pub fn recover(subject: &Whole<'_>, beneath: &Path, known: &Known) -> Result<Vec<Note>> {
    let left = left_on(subject, &[beneath.to_owned()], known)?;
    let mut notes = Vec::new();
    for leftover in &left {
        notes.extend(put_right(subject, leftover)?);
    }
    Ok(notes)
}

/// Looks for what a killed run left on a machine, in the order in which it is put right.
///
/// The caller holds the machine's lock. `beneath` are the folders in which scratch files may lie; that of a
/// job which is under way is looked at, too.
///
/// # Errors
/// The host does not answer, or a job of somebody else, or another run of ours, is under way
/// ([`Kind::Locked`]).
pub fn left_on(subject: &Whole<'_>, beneath: &[PathBuf], known: &Known) -> Result<Vec<Leftover>> {
    let (host, machine) = (subject.host, subject.machine);
    let mut found = Vec::new();
    let mut folders = beneath.to_vec();
    let power = host.power(machine)?;
    if let Some(job) = host.running_backup(machine)? {
        let job = domain::read_backup_job(job.as_bytes())?;
        let folder = job.disks.iter().find_map(|disk| scratch_of(machine, disk));
        let text = "another program backs up the machine now";
        folders.push(folder.ok_or_else(|| Error::new(Kind::Locked, text))?);
        found.push(Leftover::Job);
    }
    folders.sort();
    folders.dedup();
    let (mut scratch, mut notes) = (Vec::new(), String::new());
    for folder in folders {
        let seen = Scratch::look(&folder, machine)
            .map_err(|error| Error::io("cannot look for scratch files in", &folder, error))?;
        match seen {
            Seen::Nothing => {}
            Seen::InUse => return Err(in_use(&folder)),
            Seen::Left(note) => {
                notes += &note;
                scratch.push(Leftover::Scratch(folder));
            }
        }
    }
    let stands = if scratch.is_empty() { None } else { stopped(host, machine, &power, &notes)? };
    // A frozen guest is thawed before its images are merged; one that has no room needs that first.
    let (before, after): (Vec<_>, Vec<_>) =
        stands.into_iter().partition(|one| *one == Leftover::Frozen);
    found.extend(before);
    found.extend(temporary::left_on(subject)?.into_iter().map(Leftover::Snapshot));
    found.extend(after);
    let checkpoints = host.checkpoints(machine)?;
    // Newest first, so that each gives what it counted to its parent.
    let unknown = checkpoints.into_iter().rev().filter(|name| known.is_unknown(name));
    found.extend(unknown.map(Leftover::Checkpoint));
    // With its process go its bitmaps out of reach: so this comes after the checkpoints.
    if matches!(power, Power::Paused { .. }) && notes.contains(WAS_OFF) {
        found.push(Leftover::Started);
    }
    found.extend(scratch);
    Ok(found)
}

/// A run that is under way, of a relift which has another state folder: it holds another lock.
fn in_use(beneath: &Path) -> Error {
    let beneath = beneath.display();
    Error::new(
        Kind::Locked,
        format!("another relift backs up the machine now, by way of {beneath}"),
    )
}

/// The folder beneath which a disk of a job has its scratch file, where the job is one of ours.
fn scratch_of(machine: Uuid, disk: &RunningDisk) -> Option<PathBuf> {
    let folder = disk.scratch.as_ref()?.parent()?;
    let beneath = folder.parent()?;
    (Scratch::folder_of(beneath, machine) == folder).then(|| beneath.to_owned())
}

/// Why a machine does not go on as it did before the run that was interrupted.
fn stopped(
    host: &dyn Protection,
    machine: Uuid,
    power: &Power,
    note: &str,
) -> Result<Option<Leftover>> {
    Ok(match power {
        Power::Paused { by_error: true }
            if !note.contains(WAS_PAUSED) && !note.contains(WAS_OFF) =>
        {
            Some(Leftover::Stopped)
        }
        Power::Running if host.frozen(machine, AGENT_LIMIT)? == Some(true) => {
            Some(Leftover::Frozen)
        }
        _ => None,
    })
}

/// Puts one thing right; `None` where it stays for the next run, which is no fault.
///
/// # Errors
/// The host refuses.
pub fn put_right(subject: &Whole<'_>, leftover: &Leftover) -> Result<Option<Note>> {
    let (host, machine) = (subject.host, subject.machine);
    let is_gone = match leftover {
        Leftover::Job => host.abort_job(machine).map(|()| true)?,
        Leftover::Started => host.destroy(machine).map(|()| true)?,
        Leftover::Stopped => host.resume(machine).map(|()| true)?,
        Leftover::Frozen => host.thaw(machine, THAW_LIMIT).map(|_| true)?,
        Leftover::Scratch(beneath) => {
            let left = Scratch::take_over(beneath, machine)
                .map_err(|error| Error::io("cannot look for scratch files in", beneath, error))?;
            drop(left);
            !Scratch::folder_of(beneath, machine).exists()
        }
        Leftover::Snapshot(name) => {
            let _lock = subject.records.lock()?;
            temporary::put_right(subject, name).map(|()| true)?
        }
        Leftover::Checkpoint(name) => forget_checkpoint(host, machine, name),
        Leftover::LostJob => host.job(machine).map(|_| true)?,
    };
    Ok(is_gone.then(|| leftover.done(machine)))
}

#[cfg(test)]
mod tests {
    use host::{
        fake::{Fake, FakeGuest},
        libvirt::Checkpoints as _,
    };

    use super::*;
    use crate::{
        create::fixture::{Lab, MACHINE},
        snapshot::Records,
    };

    /// Notes of no snapshot.
    fn records() -> Records {
        Records::of(Path::new("/nonexistent"), MACHINE)
    }

    fn subject<'a>(fake: &'a Fake, records: &'a Records) -> Whole<'a> {
        Whole { host: fake, files: fake, machine: MACHINE, name: "web", records, foreign: &[] }
    }

    fn known() -> Known {
        Known { series: vec!["aaaa".to_owned()], checkpoints: vec!["relift-aaaa-2".to_owned()] }
    }

    /// The folder that a killed run leaves.
    fn left(beneath: &Path, note: &str) -> PathBuf {
        let folder = Scratch::folder_of(beneath, MACHINE);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("note"), note).unwrap();
        folder
    }

    fn checkpoints(names: &[&str]) -> Vec<(String, String)> {
        names
            .iter()
            .map(|name| ((*name).to_owned(), format!("<c><name>{name}</name></c>")))
            .collect()
    }

    #[test]
    fn a_checkpoint_is_deleted_only_when_its_series_is_known_and_no_point_has_it() {
        let names = ["relift-aaaa-1", "relift-aaaa-2", "relift-bbbb-1", "theirs", "relift-aaaa-3"];
        let guest = FakeGuest { checkpoints: checkpoints(&names), ..FakeGuest::default() };
        let host = Fake::new(None).with_guest(guest);
        let left = left_on(&subject(&host, &records()), &[], &known()).unwrap();
        let unknown = ["relift-aaaa-3", "relift-aaaa-1"].map(str::to_owned);
        assert_eq!(left, unknown.map(Leftover::Checkpoint));
        assert_eq!(host.acts(), [""; 0], "a look changes nothing");
        let notes = recover(&subject(&host, &records()), Path::new("/none"), &known());
        assert_eq!(
            notes.unwrap(),
            ["relift-aaaa-3", "relift-aaaa-1"]
                .map(|name| Note(format!("deleted the checkpoint {name}, which no point knows")))
        );
        assert_eq!(
            host.checkpoints(MACHINE).unwrap(),
            ["relift-aaaa-2", "relift-bbbb-1", "theirs"]
        );
    }

    #[test]
    fn a_job_of_ours_is_ended_wherever_its_scratch_files_lie_and_the_guest_goes_on() {
        let images = tempfile::tempdir().unwrap();
        let file = left(images.path(), "the machine was on").join("vda.scratch");
        let job = format!(
            "<domainbackup mode='pull'><server transport='unix' socket='/s'/><disks>\
             <disk name='vda' backup='yes' type='file'><scratch file='{}'/></disk></disks></domainbackup>",
            file.display()
        );
        let guest = FakeGuest {
            power: Power::Paused { by_error: true },
            backup: Some(job),
            ..FakeGuest::default()
        };
        let host = Fake::new(None).with_guest(guest);
        let left = left_on(&subject(&host, &records()), &[], &known()).unwrap();
        let beneath = images.path().to_owned();
        assert_eq!(left, [Leftover::Job, Leftover::Stopped, Leftover::Scratch(beneath)]);
        let notes: Vec<_> = left
            .iter()
            .map(|it| put_right(&subject(&host, &records()), it).unwrap().unwrap().0)
            .collect();
        let folder = Scratch::folder_of(images.path(), MACHINE);
        assert_eq!(
            notes,
            [
                "ended the backup job that an interrupted run had left".to_owned(),
                "let the guest go on, which a full scratch file had stopped".to_owned(),
                format!("removed {}, which an interrupted run had left", folder.display()),
            ]
        );
        assert_eq!(
            left_on(&subject(&host, &records()), &[images.path().to_owned()], &known()).unwrap(),
            []
        );
    }

    #[test]
    fn a_machine_that_was_off_is_turned_off_and_a_frozen_guest_is_thawed() {
        let images = tempfile::tempdir().unwrap();
        for (note, power, is_frozen, want) in [
            (WAS_OFF, Power::Paused { by_error: false }, false, Some(Leftover::Started)),
            ("was on", Power::Paused { by_error: false }, false, None),
            ("was on", Power::Running, true, Some(Leftover::Frozen)),
            ("was on", Power::Running, false, None),
        ] {
            left(images.path(), note);
            let guest = FakeGuest { power, is_frozen, ..FakeGuest::default() };
            let host = Fake::new(None).with_guest(guest);
            let beneath = [images.path().to_owned()];
            let left = left_on(&subject(&host, &records()), &beneath, &known()).unwrap();
            let scratch = Leftover::Scratch(images.path().to_owned());
            assert_eq!(left, want.into_iter().chain([scratch]).collect::<Vec<_>>());
            let none = Known { checkpoints: Vec::new(), ..known() };
            recover(&subject(&host, &records()), images.path(), &none).unwrap();
            assert!(!Scratch::folder_of(images.path(), MACHINE).exists());
            assert!(!host.guest().is_frozen);
        }
    }

    #[test]
    fn a_job_of_another_program_is_left_alone() {
        let job = "<domainbackup mode='push'><disks><disk name='vda' backup='yes'>\
            <target file='/theirs'/></disk></disks></domainbackup>";
        let guest = FakeGuest { backup: Some(job.to_owned()), ..FakeGuest::default() };
        let host = Fake::new(None).with_guest(guest);
        let error = left_on(&subject(&host, &records()), &[], &known()).unwrap_err();
        assert_eq!(error.to_string(), "another program backs up the machine now");
        assert_eq!(host.acts(), [""; 0]);
    }

    /// Leaves what a run that was killed leaves, recovers, and gives the acts and what is told.
    fn after(lab: &Lab, guest: FakeGuest, note: Option<&str>) -> (Fake, Vec<String>) {
        let beneath = lab.path("");
        if let Some(note) = note {
            left(&beneath, note);
        }
        let fake = Fake::new(None).with_guest(guest);
        let known = crate::create::fixture::known(&["relift-s-1"]);
        let notes = recover(&subject(&fake, &records()), &beneath, &known).unwrap();
        assert!(!lab.scratch().exists());
        let folder = lab.scratch().display().to_string();
        let told = notes.into_iter().map(|Note(text)| text.replace(&folder, "F")).collect();
        (fake, told)
    }

    /// The job of a run of ours.
    fn job(lab: &Lab) -> Option<String> {
        let scratch = lab.scratch().join("vda.scratch");
        Some(format!(
            "<domainbackup mode='pull'><disks><disk name='vda' backup='yes' type='file'>\
             <scratch file='{}'/></disk></disks></domainbackup>",
            scratch.display()
        ))
    }

    const REMOVED: &str = "removed F, which an interrupted run had left";
    const ENDED: &str = "ended the backup job that an interrupted run had left";

    #[test]
    fn a_machine_that_no_run_left_anything_on_is_left_alone() {
        let lab = Lab::new();
        let is_frozen = true;
        let (fake, told) = after(&lab, FakeGuest { is_frozen, ..lab.guest() }, None);
        assert!(told.is_empty() && fake.acts().is_empty(), "somebody else froze it: {told:?}");
    }

    #[test]
    fn a_frozen_guest_is_thawed_after_its_job_is_ended() {
        let lab = Lab::new();
        let guest = FakeGuest { is_frozen: true, backup: job(&lab), ..lab.guest() };
        let (fake, told) = after(&lab, guest, Some("the machine was on"));
        assert_eq!(fake.acts(), ["abort job", "thaw"]);
        assert_eq!(told, [ENDED, "thawed the guest, which an interrupted run had frozen", REMOVED]);
    }

    #[test]
    fn a_guest_that_a_full_scratch_file_stopped_goes_on_after_the_job_is_ended() {
        let lab = Lab::new();
        let power = Power::Paused { by_error: true };
        let guest = FakeGuest { power, backup: job(&lab), ..lab.guest() };
        let (fake, told) = after(&lab, guest.clone(), Some("the machine was on"));
        assert_eq!(fake.acts(), ["abort job".to_owned(), format!("resume {MACHINE}")]);
        assert_eq!(told[1], "let the guest go on, which a full scratch file had stopped");
        let (fake, told) = after(&lab, guest, Some("the machine was paused"));
        assert_eq!(fake.acts(), ["abort job"], "it stood still before");
        assert_eq!(told, [ENDED, REMOVED]);
    }

    #[test]
    fn a_machine_that_was_started_to_be_read_loses_its_checkpoint_before_its_process() {
        let lab = Lab::new();
        let checkpoints = ["relift-s-1", "relift-s-2", "relift-s-3", "theirs"];
        let checkpoints = checkpoints.map(|name| (name.to_owned(), String::new())).into();
        let power = Power::Paused { by_error: false };
        let guest = FakeGuest { power, checkpoints, backup: job(&lab), ..lab.guest() };
        let (fake, told) = after(&lab, guest, Some("the machine was off"));
        let acts = [
            "abort job",
            "delete checkpoint relift-s-3",
            "delete checkpoint relift-s-2",
            &format!("destroy {MACHINE}"),
        ];
        assert_eq!(fake.acts(), acts);
        let want = [
            ENDED,
            "deleted the checkpoint relift-s-3, which no point knows",
            "deleted the checkpoint relift-s-2, which no point knows",
            "turned off the machine, which was started only to be read",
            REMOVED,
        ];
        assert_eq!(told, want);
        assert_eq!(fake.guest().power, Power::Off);
    }

    #[test]
    fn a_run_that_is_under_way_is_not_taken_for_an_interrupted_one() {
        let lab = Lab::new();
        let beneath = lab.scratch().parent().unwrap().to_owned();
        let live = Scratch::make(&beneath, MACHINE, "the machine was on").unwrap();
        let guest = FakeGuest { is_frozen: true, backup: job(&lab), ..lab.guest() };
        let fake = Fake::new(None).with_guest(guest);
        // Wherever the other one looks for scratch files: the job tells where they are.
        for folders in [&[beneath.clone()][..], &[]] {
            let error = left_on(&subject(&fake, &records()), folders, &known()).unwrap_err();
            let text =
                format!("another relift backs up the machine now, by way of {}", beneath.display());
            assert_eq!((error.kind(), error.to_string()), (Kind::Locked, text));
        }
        put_right(&subject(&fake, &records()), &Leftover::Scratch(beneath.clone())).unwrap();
        assert!(live.folder().exists() && fake.acts().is_empty());
        drop(live);
    }

    #[test]
    fn somebody_who_paused_or_resumed_the_machine_meanwhile_is_not_overruled() {
        let lab = Lab::new();
        let power = Power::Paused { by_error: false };
        let (fake, _) = after(&lab, FakeGuest { power, ..lab.guest() }, Some("was on"));
        assert!(fake.acts().is_empty());
        let (fake, _) = after(&lab, lab.guest(), Some("was off"));
        assert!(fake.acts().is_empty(), "it was resumed: it is in use");
    }
}
