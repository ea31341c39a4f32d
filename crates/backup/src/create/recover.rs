//! What a killed run left on a machine, put right before anything else is done.
//!
//! | left | put right |
//! |---|---|
//! | a scratch folder | the sign that a run did not end; removed last |
//! | file systems that are frozen | thawed |
//! | a backup job whose scratch files are in that folder | ended |
//! | a guest that a full scratch file stopped | goes on |
//! | a checkpoint that no point knows | deleted: what it counted is counted from the one before |
//! | a machine that was started only to be read | turned off |
//! | checkpoints of a machine whose QEMU was killed | forgotten when they turn out to be broken, by the next job |

use std::{path::Path, time::Duration};

use host::{
    libvirt::{Power, Protection},
    scratch::Scratch,
};
use vm::Uuid;

use super::{
    CHECKPOINT_PREFIX, Request,
    pull::{Owner, end_own_job, forget_checkpoint},
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

/// Puts right what a killed run left on a machine, and says what that was.
///
/// The caller holds the machine's lock, so that no run of ours is under way. `series` and `known` tell which
/// checkpoints are in use.
///
/// # Errors
/// The host does not answer, or a backup job of another program is under way ([`Kind::Locked`]).
pub fn recover(
    machine: Uuid,
    beneath: &Path,
    (series, known): (&str, &[String]),
    host: &dyn Protection,
) -> Result<Vec<Note>> {
    let left = Scratch::left(beneath, machine)
        .map_err(|error| Error::io("cannot look for scratch files in", beneath, error))?;
    let mut notes = Vec::new();
    let folder = Scratch::folder_of(beneath, machine);
    let power = host.power(machine)?;
    match end_own_job(host, machine, &folder)? {
        Owner::Nobody => {}
        Owner::Us => {
            let text = "ended the backup job that an interrupted run had left";
            notes.push(Note(text.to_owned()));
        }
        Owner::Another => {
            let text = "another program backs up the machine now";
            return Err(Error::new(Kind::Locked, text));
        }
    }
    let note = left.as_ref().map(|(_, note)| note.as_str());
    if let Some(note) = note {
        notes.extend(wake(host, machine, &power, note)?);
    }
    let prefix = format!("{CHECKPOINT_PREFIX}{series}-");
    let mut unknown: Vec<_> = host.checkpoints(machine)?;
    unknown.retain(|name| name.starts_with(&prefix) && !known.contains(name));
    // Newest first, so that each gives what it counted to its parent.
    for name in unknown.iter().rev() {
        if forget_checkpoint(host, machine, name) {
            notes.push(Note(format!("deleted the checkpoint {name}, which no point knows")));
        }
    }
    // With its process go its bitmaps out of reach: so this comes after the checkpoints.
    if matches!(power, Power::Paused { .. }) && note.is_some_and(|note| note.contains(WAS_OFF)) {
        host.destroy(machine)?;
        notes.push(Note("turned off the machine, which was started only to be read".to_owned()));
    }
    if let Some((scratch, _)) = left {
        drop(scratch);
        notes
            .push(Note(format!("removed {}, which an interrupted run had left", folder.display())));
    }
    Ok(notes)
}

/// Lets a machine go on as it did before the run that was interrupted.
fn wake(host: &dyn Protection, machine: Uuid, power: &Power, note: &str) -> Result<Vec<Note>> {
    let mut notes = Vec::new();
    match power {
        Power::Paused { by_error: true }
            if !note.contains(WAS_PAUSED) && !note.contains(WAS_OFF) =>
        {
            host.resume(machine)?;
            notes.push(Note(
                "let the guest go on, which a full scratch file had stopped".to_owned(),
            ));
        }
        Power::Running if host.frozen(machine, AGENT_LIMIT)? == Some(true) => {
            host.thaw(machine, THAW_LIMIT)?;
            notes.push(Note("thawed the guest, which an interrupted run had frozen".to_owned()));
        }
        _ => {}
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use host::fake::{Fake, FakeGuest};

    use super::*;
    use crate::create::fixture::{Lab, MACHINE};

    /// Leaves what a run that was killed leaves, recovers, and gives the acts and what is told.
    fn after(lab: &Lab, guest: FakeGuest, note: Option<&str>) -> (Fake, Vec<String>) {
        let beneath = lab.path("");
        if let Some(note) = note {
            std::mem::forget(Scratch::make(&beneath, MACHINE, note).unwrap());
        }
        let fake = Fake::new(None).with_guest(guest);
        let known = ["relift-s-1".to_owned()];
        let notes = recover(MACHINE, &beneath, ("s", &known), &fake).unwrap();
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
    fn somebody_who_paused_or_resumed_the_machine_meanwhile_is_not_overruled() {
        let lab = Lab::new();
        let power = Power::Paused { by_error: false };
        let (fake, _) = after(&lab, FakeGuest { power, ..lab.guest() }, Some("was on"));
        assert!(fake.acts().is_empty());
        let (fake, _) = after(&lab, lab.guest(), Some("was off"));
        assert!(fake.acts().is_empty(), "it was resumed: it is in use");
    }
}
