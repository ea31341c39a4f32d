//! The tree of snapshots: each is told to the host again, with the names and files of the new machine.

use std::{collections::BTreeSet, path::Path};

use bundle::Snapshot;
use code::Code;
use convert::{Note, Row};
use domain::{Changes, Drive, DriveDevice, DriveSource};
use ovf::EntryName;
use vm::DiskFormat;

use super::{
    Draft, Inputs,
    drives::is_member_of,
    images::Images,
    place::{Placed, Places},
};
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
        let mut row = Row::kept(&item, &label, &snapshot.name, &snapshot.name);
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
                Ok(placed) => {
                    row = row.note_if(placed.note);
                    Some(placed.path)
                }
                Err(note) => {
                    draft.rows.push(row.note(note));
                    continue;
                }
            },
            None => None,
        };
        let drives = domain::drives(document.as_bytes())?;
        let of = (snapshot, document.as_str());
        let changes = changes(inputs, of, (&drives, images), &draft.changes)?;
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
/// that held the disks then. What the machine has no more is of no host that is known: it goes.
fn changes(
    inputs: &Inputs<'_>,
    (snapshot, document): (&Snapshot, &str),
    (drives, images): (&[Drive], &Images<'_>),
    current: &Changes,
) -> Result<Changes, Error> {
    let bytes = document.as_bytes();
    let cards = domain::read(bytes)?.machine.nics.len();
    let has_variables = domain::firmware_files(bytes)?.variables.is_some();
    let mut changes = Changes {
        name: current.name.clone(),
        uuid: current.uuid,
        nvram: current.nvram.clone().filter(|_| has_variables),
        as_definition: true,
        ..Changes::default()
    };
    changes.macs =
        current.macs.iter().filter(|(card, _)| **card < cards).map(|(a, b)| (*a, *b)).collect();
    for drive in drives {
        let is_now = |now: &&Drive| now.target == drive.target && now.source == drive.source;
        let stays = inputs.native.drives.iter().any(|now| is_now(&now));
        let node = snapshot.nodes.iter().find(|member| is_member_of(&drive.source, member));
        if let Some(path) = node.and_then(|member| images.path(member)) {
            changes.images.insert(drive.target.clone(), path.to_owned());
            changes.formats.insert(drive.target.clone(), DiskFormat::Qcow2);
        } else if drive.source == DriveSource::None {
            // Empty then, empty again.
        } else if !stays {
            let is_medium = matches!(drive.device, DriveDevice::Cdrom | DriveDevice::Floppy);
            let list = if is_medium { &mut changes.eject } else { &mut changes.detach };
            list.insert(drive.target.clone());
        } else if current.detach.contains(&drive.target) {
            changes.detach.insert(drive.target.clone());
        } else if current.eject.contains(&drive.target) {
            changes.eject.insert(drive.target.clone());
        } else if let Some(path) = current.images.get(&drive.target) {
            changes.images.insert(drive.target.clone(), path.clone());
        }
    }
    Ok(changes)
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
) -> Result<Result<Placed, Note>, Error> {
    let name = EntryName::parse(member)?;
    let Some(found) = inputs.facts.member(&name) else {
        let text = format!("its memory {member} is not in the backup");
        return Ok(Err(Note::blocker(Code::E0104, text)));
    };
    let beside = draft.files.first().map(|file| file.to.with_file_name(member));
    let placed = places.place(beside.as_deref(), member, found.length_bytes);
    places.when_full(found.length_bytes);
    let declared = disk::Declared::Stated(disk::Format::Raw);
    draft.files.push(FilePlan {
        image: Some(PackedImage::plain(name, declared)),
        href: None,
        to: placed.path.clone(),
        role: FileRole::Kept,
    });
    Ok(match placed.note {
        Some(note) if note.severity == code::Severity::Blocker => Err(note),
        note => Ok(Placed { note, ..placed }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::{Case, cdrom, disk, lun, notes, paths, row, told};

    fn snapshot(name: &str, parent: Option<&str>, node: &str) -> Snapshot {
        Snapshot {
            name: name.to_owned(),
            parent: parent.map(str::to_owned),
            created_unix_seconds: 17,
            config: format!("{name}.xml"),
            nodes: vec![node.to_owned()],
            memory: None,
        }
    }

    /// Two states above one another, and one that branches off the first.
    fn tree() -> Case {
        let memory = Some("two.memory".to_owned());
        let two = Snapshot { memory, ..snapshot("two", Some("one"), "a.snapshot") };
        Case::backup(&disk("vda", "/vm/b.snapshot"))
            .image("base.qcow2", None)
            .image("a.snapshot", Some("base.qcow2"))
            .image("b.snapshot", Some("a.snapshot"))
            .image("branch.snapshot", Some("base.qcow2"))
            .member("two.memory")
            .snapshot(snapshot("one", None, "base.qcow2"), &disk("vda", "/vm/base.qcow2"))
            .snapshot(two, &disk("vda", "/vm/a.snapshot"))
            .snapshot(
                snapshot("other", Some("one"), "branch.snapshot"),
                &disk("vda", "/vm/branch.snapshot"),
            )
    }

    /// SPACEVM-02, SPACEVM-16: the tree of saved states with its memory, a branch among them.
    #[test]
    fn the_tree_of_snapshots_comes_back_in_its_shape_with_its_memory() {
        let plan = tree().plan();
        assert_eq!(told(&plan), []);
        let files = ["base.qcow2", "a.snapshot", "b.snapshot", "branch.snapshot", "two.memory"];
        assert_eq!(paths(&plan), files.map(|name| format!("/vm/{name}")));
        let planned = &plan.machines[0].snapshots;
        let name = &plan.machines[0].machine.uuid.unwrap().to_string();
        for (snapshot, parent, overlay, held) in [
            (&planned[0], None, Some("a.snapshot"), "base.qcow2"),
            (&planned[1], Some("one"), Some("b.snapshot"), "a.snapshot"),
            (&planned[2], Some("one"), None, "branch.snapshot"),
        ] {
            let (head, domain) = snapshot.document.split_once("<domain ").unwrap();
            assert_eq!(head.contains("<parent>"), parent.is_some());
            assert!(parent.is_none_or(|name| head.contains(&format!("<name>{name}</name>"))));
            assert_eq!(head.contains("/vm/"), overlay.is_some(), "{head}");
            assert!(overlay.is_none_or(|file| head.contains(&format!("/vm/{file}"))), "{head}");
            assert!(domain.contains(&format!("/vm/{held}")), "{domain}");
            assert!(domain.contains(name.as_str()), "the new identity: {domain}");
        }
        assert!(planned[1].document.contains("file=\"/vm/two.memory\""));
    }

    #[test]
    fn memory_that_is_not_in_the_backup_blocks() {
        let mut case = tree();
        case.facts.members.retain(|member| !member.name.has_extension("memory"));
        let want = "its memory two.memory is not in the backup";
        assert_eq!(case.blockers(), [(Code::E0104, want.to_owned(), String::new())]);
    }

    #[test]
    fn another_format_drops_the_snapshots_and_says_so() {
        let mut case = tree();
        case.choices.output = convert::copy::TargetOptions::Raw;
        let plan = case.plan();
        let want = "each disk becomes one image in another format: its earlier states go";
        for item in ["snapshot.one", "snapshot.two", "snapshot.other"] {
            assert_eq!(notes(&plan, item), [(Code::W0203, want.to_owned())]);
        }
        assert_eq!((paths(&plan), plan.machines[0].snapshots.len()), (vec!["/vm/b.raw".into()], 0));
    }

    /// What a state had and the machine has no more is no business of the new host.
    #[test]
    fn a_device_or_cd_of_an_earlier_state_goes_with_it() {
        let then = disk("vda", "/vm/a.qcow2") + &lun("vdb", "/dev/sdz") + &cdrom("/iso/old.iso");
        let case = Case::backup(&disk("vda", "/vm/b.qcow2")).image("a.qcow2", None);
        let case = case
            .image("b.qcow2", Some("a.qcow2"))
            .snapshot(snapshot("one", None, "a.qcow2"), &then);
        let plan = case.plan();
        let document = &plan.machines[0].snapshots[0].document;
        assert!(!document.contains("/dev/sdz") && !document.contains("old.iso"), "{document}");
        assert_eq!(row(&plan, "snapshot.one").action, convert::Action::Kept);
    }

    #[test]
    fn a_snapshot_of_a_machine_with_fewer_cards_and_variables_of_its_own_can_be_told() {
        let mut case = tree();
        let variables = "<os><nvram>/nvram/web_VARS.fd</nvram>";
        let with = |text: &str| text.replacen("<os>", variables, 1);
        for (_, document) in &mut case.of_backup().snapshots {
            let (before, after) = document.split_once("<interface").unwrap();
            let (_, after) = after.split_once("</interface>").unwrap();
            *document = with(&format!("{before}{after}"));
        }
        let document = with(&case.native().document);
        case.native().firmware.variables = Some("/nvram/web_VARS.fd".into());
        case.native().document = document;
        case.choices.name = Some("copy".to_owned());
        let plan = case.plan();
        for snapshot in &plan.machines[0].snapshots {
            assert!(snapshot.document.contains("/nvram/copy_VARS.fd"), "{}", snapshot.document);
        }
    }
}
