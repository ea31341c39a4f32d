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
