//! The tree of snapshots: each is told to the host again, with the names and files of the new machine.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use bundle::Snapshot;
use code::Code;
use convert::{Note, Row};
use domain::{Changes, Drive, DriveDevice, DriveSource, Finding};
use ovf::EntryName;

use super::{Draft, Inputs, images::Images, place::Places, removed};
use crate::{
    Error, PackedImage, XmlTrust,
    native::{Backup, is_member_of},
    plan::{FilePlan, FileRole, SnapshotPlan},
};

/// Plans the snapshots of a backup, each before its children, and the memory that belongs to them.
pub(super) fn plan(
    inputs: &Inputs<'_>,
    images: &Images<'_>,
    (places, draft): (&mut Places<'_>, &mut Draft),
) -> Result<Vec<SnapshotPlan>, Error> {
    let Some(backup) = &inputs.native.backup else { return Ok(Vec::new()) };
    let mut planned = Vec::new();
    for (snapshot, document) in &backup.snapshots {
        let item = format!("snapshot.{}", snapshot.name);
        let label = format!("snapshot {}", snapshot.name);
        let row = Row::kept(&item, &label, &snapshot.name, &snapshot.name);
        if !inputs.keeps_chains() {
            let text = "each disk becomes one image in another format: its earlier states go";
            draft.rows.push(Row::dropped(
                &item,
                &label,
                &snapshot.name,
                Note::new(Code::W0203, text),
            ));
            continue;
        }
        let memory = match &snapshot.memory {
            Some(member) => match memory(inputs, member, places, draft)? {
                Ok(path) => Some(path),
                Err(note) => {
                    draft.rows.push(row.note(note));
                    continue;
                }
            },
            None => None,
        };
        let then = Then::parse(inputs, document)?;
        let (changes, notes) = changes(inputs, snapshot, (&then, images), &draft.changes);
        let row = then.notes(inputs).chain(notes).fold(row, Row::note);
        let domain = domain::patch(then.document.as_bytes(), &changes)?;
        let stay = then.drives.iter().filter(|drive| !changes.detach.contains(&drive.target));
        let overlays = stay.map(|drive| {
            let overlay = overlay(backup, snapshot, drive).and_then(|member| images.path(member));
            (drive.target.clone(), overlay.map(Path::to_owned))
        });
        let text = domain::write_snapshot(&domain::Snapshot {
            name: &snapshot.name,
            parent: snapshot.parent.as_deref(),
            unix_seconds: snapshot.created_unix_seconds,
            memory,
            overlays: overlays.collect(),
            domain: &domain,
        });
        let text = text.map_err(|source| Error::io("the snapshot cannot be written", source))?;
        draft.rows.push(row);
        planned.push(SnapshotPlan { name: snapshot.name.clone(), document: text });
    }
    Ok(planned)
}

/// The machine as it was when a snapshot was taken.
struct Then {
    document: String,
    /// What its definition lost, as that of the machine does.
    removed: Vec<Finding>,
    drives: Vec<Drive>,
    cards: usize,
    has_variables: bool,
}

impl Then {
    fn parse(inputs: &Inputs<'_>, document: &str) -> Result<Self, Error> {
        let (document, removed) = match inputs.choices.trust_xml {
            XmlTrust::AsItStands => (document.to_owned(), Vec::new()),
            XmlTrust::Scrubbed => {
                let scrubbed = domain::scrub(document.as_bytes())?;
                (scrubbed.text, scrubbed.findings)
            }
        };
        let bytes = document.as_bytes();
        Ok(Self {
            removed,
            drives: domain::drives(bytes)?,
            cards: domain::read(bytes)?.machine.nics.len(),
            has_variables: domain::firmware_files(bytes)?.variables.is_some(),
            document,
        })
    }

    /// What went that the definition of the machine does not have, so that no row tells it.
    fn notes<'a>(&'a self, inputs: &'a Inputs<'_>) -> impl Iterator<Item = Note> + 'a {
        let known = &inputs.native.removed;
        let is_new = |finding: &&Finding| {
            known.iter().all(|one| (&one.path, one.code) != (&finding.path, finding.code))
        };
        self.removed.iter().filter(is_new).map(|finding| {
            Note::new(finding.code, format!("{}: {}", removed::item(finding), finding.message))
        })
    }
}

/// What the definition of a snapshot shall say instead: the new machine's identity, and the images
/// that held the disks then. No other path of the old host stays, but one that the machine keeps, too.
fn changes(
    inputs: &Inputs<'_>,
    snapshot: &Snapshot,
    (then, images): (&Then, &Images<'_>),
    current: &Changes,
) -> (Changes, Vec<Note>) {
    let macs = current.macs.iter().filter(|(card, _)| **card < then.cards);
    let mut changes = Changes {
        name: current.name.clone(),
        uuid: current.uuid,
        macs: macs.map(|(card, mac)| (*card, *mac)).collect(),
        nvram: current.nvram.clone().filter(|_| then.has_variables),
        accelerator: current.accelerator,
        fw_cfg: current.fw_cfg.clone(),
        as_definition: true,
        ..Changes::default()
    };
    let mut notes = Vec::new();
    for drive in then.drives.iter().filter(|drive| drive.source != DriveSource::None) {
        let target = drive.target.clone();
        let is_same = |now: &&Drive| {
            (&now.target, now.device, &now.source) == (&target, drive.device, &drive.source)
        };
        let is_kept = inputs.definition.drives.iter().any(|now| is_same(&now));
        let is_medium = matches!(drive.device, DriveDevice::Cdrom | DriveDevice::Floppy);
        let node = snapshot.nodes.iter().find(|member| is_member_of(&drive.source, member));
        if let Some(path) = node.and_then(|member| images.path(member)) {
            changes.images.insert(target, path.to_owned());
        } else if let Some(path) = current.images.get(&target).filter(|_| is_kept) {
            changes.images.insert(target, path.clone());
        } else if is_medium && (!is_kept || current.eject.contains(&target)) {
            if !current.eject.contains(&target) {
                let text = format!("{} is not in the backup: it is empty then", drive.target);
                notes.push(Note::new(Code::W0202, text));
            }
            changes.eject.insert(target);
        } else if !is_kept || current.detach.contains(&target) {
            if !current.detach.contains(&target) {
                let text = format!("{} is not in the backup: it is not there then", drive.target);
                notes.push(Note::new(Code::W0203, text));
            }
            changes.detach.insert(target);
        }
    }
    (changes, notes)
}

/// The image that was begun when a snapshot was taken: of those that stand on its own, one that the
/// machine as it is now stands on, else the first.
fn overlay<'b>(backup: &'b Backup, snapshot: &Snapshot, drive: &Drive) -> Option<&'b str> {
    let own = snapshot.nodes.iter().find(|member| is_member_of(&drive.source, member))?;
    let above = backup.nodes.iter().filter(|node| node.backing.as_ref() == Some(own));
    let above: Vec<&str> = above.map(|node| node.member.as_str()).collect();
    let used = in_use(backup);
    above.iter().copied().find(|member| used.contains(member)).or_else(|| above.first().copied())
}

/// Images that are no state of a snapshot, and those below them: the machine as it is now.
fn in_use(backup: &Backup) -> BTreeSet<&str> {
    let is_below =
        |member: &str| backup.nodes.iter().any(|node| node.backing.as_deref() == Some(member));
    let is_kept = |member: &str| {
        backup.snapshots.iter().any(|(one, _)| one.nodes.iter().any(|node| node == member))
    };
    let tops = backup.nodes.iter().filter(|node| !is_below(&node.member) && !is_kept(&node.member));
    let mut used = BTreeSet::new();
    for top in tops {
        let mut next = Some(top);
        while let Some(node) = next {
            used.insert(node.member.as_str());
            next = node.backing.as_ref().and_then(|below| backup.node(below));
        }
    }
    used
}

/// Plans the file with a snapshot's memory.
fn memory(
    inputs: &Inputs<'_>,
    member: &str,
    places: &mut Places<'_>,
    draft: &mut Draft,
) -> Result<Result<PathBuf, Note>, Error> {
    let name = EntryName::parse(member)?;
    let Some(found) = inputs.facts.member(&name) else {
        let text = format!("its memory {member} is not in the backup");
        return Ok(Err(Note::blocker(Code::E0104, text)));
    };
    let beside = draft.files.first().map(|file| file.to.with_file_name(member));
    let placed = places.place(beside.as_deref(), member, found.length_bytes);
    let declared = disk::Declared::Stated(disk::Format::Raw);
    draft.files.push(FilePlan {
        image: Some(PackedImage::plain(name, declared)),
        href: None,
        to: placed.path.clone(),
        role: FileRole::Kept,
    });
    Ok(match placed.note {
        Some(note) if note.severity == code::Severity::Blocker => Err(note),
        _ => Ok(placed.path),
    })
}
