//! The tree of snapshots: each is told to the host again, with the names and files of the new machine.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use bundle::Snapshot;
use code::Code;
use convert::{Note, Row};
use domain::{Changes, Drive};
use ovf::EntryName;

use super::{Draft, Inputs, drives::is_member_of, images::Images, place::Places};
use crate::{
    Error, PackedImage,
    native::Backup,
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
        let drives = domain::drives(document.as_bytes())?;
        let changes = changes(inputs, snapshot, (&drives, images), &draft.changes);
        let domain = domain::patch(document.as_bytes(), &changes)?;
        let overlays = drives.iter().map(|drive| {
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

/// What the definition of a snapshot shall say instead: the new machine's identity, and the images
/// that held the disks then.
fn changes(
    inputs: &Inputs<'_>,
    snapshot: &Snapshot,
    (drives, images): (&[Drive], &Images<'_>),
    current: &Changes,
) -> Changes {
    let cards = inputs.native.machine.nics.len();
    let mut changes = Changes {
        name: current.name.clone(),
        uuid: current.uuid,
        nvram: None,
        as_definition: true,
        ..Changes::default()
    };
    changes.macs =
        current.macs.iter().filter(|(card, _)| **card < cards).map(|(a, b)| (*a, *b)).collect();
    for drive in drives {
        let node = snapshot.nodes.iter().find(|member| is_member_of(&drive.source, member));
        if let Some(path) = node.and_then(|member| images.path(member)) {
            changes.images.insert(drive.target.clone(), path.to_owned());
        } else if current.detach.contains(&drive.target) {
            changes.detach.insert(drive.target.clone());
        } else if current.eject.contains(&drive.target) {
            changes.eject.insert(drive.target.clone());
        } else if let Some(path) = current.images.get(&drive.target) {
            changes.images.insert(drive.target.clone(), path.clone());
        }
    }
    changes
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
