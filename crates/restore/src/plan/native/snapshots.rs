//! The tree of snapshots: each is told to the host again, with the names and files of the new machine.

use std::{collections::BTreeSet, path::Path};

use bundle::{Node, Snapshot};
use code::Code;
use convert::{Note, Row};
use domain::{Changes, Drive, DriveDevice, DriveSource, Finding};
use ovf::EntryName;
use vm::DiskFormat;

use super::{
    Draft, Inputs,
    images::Images,
    place::{Placed, Places},
    removed,
};
use crate::{
    Error, PackedImage, XmlTrust,
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
        if inputs.is_partial() {
            let text = "only disks come back: a snapshot is one of the whole machine";
            let note = Note::new(Code::W0203, text);
            draft.rows.push(Row::dropped(&item, &label, &snapshot.name, note));
            continue;
        }
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
        let then = Then::parse(inputs, document)?;
        let (changes, notes) = changes((inputs, backup), snapshot, (&then, images), &draft.changes);
        let row = then.notes(inputs).chain(notes).fold(row, Row::note);
        let domain = domain::patch(then.document.as_bytes(), &changes)?;
        let stay = then.drives.iter().filter(|drive| !changes.detach.contains(&drive.target));
        let overlays = stay.map(|drive| {
            let overlay = overlay((backup, images), snapshot, drive);
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
    (inputs, backup): (&Inputs<'_>, &Backup),
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
        let node = backup.held(snapshot, drive);
        if let Some(path) = node.and_then(|member| images.path(member)) {
            changes.images.insert(target.clone(), path.to_owned());
            changes.formats.insert(target, DiskFormat::Qcow2);
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

/// The file of the image that was begun when a snapshot was taken: of those that come back and stand on its
/// own, one that the machine as it is now stands on, else the first.
fn overlay<'i>(
    (backup, images): (&Backup, &'i Images<'_>),
    snapshot: &Snapshot,
    drive: &Drive,
) -> Option<&'i Path> {
    let own = backup.held(snapshot, drive)?;
    let above = backup.nodes.iter().filter(|node| node.backing.as_deref() == Some(own));
    let above = above.filter_map(|node| Some((&*node.member, images.path(&node.member)?)));
    let above: Vec<(&str, &Path)> = above.collect();
    let used = in_use(backup);
    let now = above.iter().find(|(member, _)| used.contains(member));
    now.or_else(|| above.first()).map(|(_, path)| *path)
}

/// The images of the machine as it is now, and those below them.
fn in_use(backup: &Backup) -> BTreeSet<&str> {
    let mut used = BTreeSet::new();
    for top in tops(backup) {
        let mut next = Some(top);
        while let Some(node) = next {
            used.insert(node.member.as_str());
            next = node.backing.as_ref().and_then(|below| backup.node(below));
        }
    }
    used
}

/// The images of the disks as they are now: those of the point, else what no image stands on and no
/// snapshot keeps.
fn tops(backup: &Backup) -> Vec<&Node> {
    if let Some(point) = &backup.point {
        return point.disks.iter().filter_map(|disk| backup.node(&disk.member)).collect();
    }
    let is_below =
        |member: &str| backup.nodes.iter().any(|node| node.backing.as_deref() == Some(member));
    let is_kept = |member: &str| {
        backup.snapshots.iter().any(|(one, _)| one.nodes.iter().any(|node| node == member))
    };
    let nodes = backup.nodes.iter();
    nodes.filter(|node| !is_below(&node.member) && !is_kept(&node.member)).collect()
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
            disks: std::collections::BTreeMap::new(),
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

    /// Two points of a machine with a tree: one before its second snapshot, one after it.
    fn points() -> Case {
        let held = |name: &str, parent, member: &str| {
            let disks = [("vda".to_owned(), member.to_owned())].into();
            Snapshot { nodes: Vec::new(), disks, ..snapshot(name, parent, member) }
        };
        let memory = Some("two.memory".to_owned());
        let two = Snapshot { memory, ..held("two", Some("one"), "kept-2.qcow2") };
        let mut case = Case::backup(&disk("vda", "/vm/web.two"))
            .image("kept-1.qcow2", None)
            .image("web-vda-1.qcow2", Some("kept-1.qcow2"))
            .image("kept-2.qcow2", Some("kept-1.qcow2"))
            .image("branch.qcow2", Some("kept-1.qcow2"))
            .image("web-vda-2.qcow2", Some("kept-2.qcow2"))
            .image("web-vda-3.snapshot", Some("web-vda-2.qcow2"))
            .member("two.memory")
            .snapshot(held("one", None, "kept-1.qcow2"), &disk("vda", "/vm/web.qcow2"))
            .snapshot(two, &disk("vda", "/vm/web.one"))
            .snapshot(held("other", Some("one"), "branch.qcow2"), &disk("vda", "/vm/web.x"))
            .point(&[("vda", "web-vda-1.qcow2")])
            .point(&[("vda", "web-vda-2.qcow2")])
            .point(&[("vda", "web-vda-3.snapshot")]);
        let names = ["one", "two", "other"].map(str::to_owned).to_vec();
        case.of_backup().point.as_mut().unwrap().snapshots = names;
        case
    }

    /// SPACEVM-16: what libvirt calls a state's overlay is the machine's disk, whatever it is made of.
    #[test]
    fn the_snapshots_of_a_point_come_back_above_and_below_its_disks() {
        let plan = points().plan();
        assert_eq!(told(&plan), []);
        let files = ["kept-1.qcow2", "kept-2.qcow2", "web.two", "branch.qcow2", "two.memory"];
        assert_eq!(paths(&plan), files.map(|name| format!("/vm/{name}")));
        let [one, two, other] = &plan.machines[0].snapshots[..] else { panic!("three snapshots") };
        for (snapshot, overlay, held) in [
            (one, Some("/vm/kept-2.qcow2"), "/vm/kept-1.qcow2"),
            (two, Some("/vm/web.two"), "/vm/kept-2.qcow2"),
            (other, None, "/vm/branch.qcow2"),
        ] {
            let (head, domain) = snapshot.document.split_once("<domain ").unwrap();
            assert!(domain.contains(held), "{}: {domain}", snapshot.name);
            let disks = head.split_once("<disks").unwrap().1;
            assert_eq!(disks.contains("/vm/"), overlay.is_some(), "{disks}");
            assert!(overlay.is_none_or(|path| disks.contains(path)), "{}: {disks}", snapshot.name);
        }
    }

    /// An older point brings only what it had.
    #[test]
    fn a_point_from_before_a_snapshot_comes_without_it() {
        let mut case = points();
        let backup = case.of_backup();
        backup.point =
            Some(bundle::Point { snapshots: vec!["one".to_owned()], ..backup.points[0].clone() });
        backup.snapshots.truncate(1);
        let plan = case.plan();
        assert_eq!(told(&plan), []);
        assert_eq!(paths(&plan), ["/vm/kept-1.qcow2", "/vm/web.two"]);
        let [one] = &plan.machines[0].snapshots[..] else { panic!("one snapshot") };
        let (head, _) = one.document.split_once("<domain ").unwrap();
        assert!(head.contains("/vm/web.two"), "{head}");
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
        let variables = "<os><nvram>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram>";
        let with = |text: &str| text.replacen("<os>", variables, 1);
        for (_, document) in &mut case.of_backup().snapshots {
            let (before, after) = document.split_once("<interface").unwrap();
            let (_, after) = after.split_once("</interface>").unwrap();
            *document = with(&format!("{before}{after}"));
        }
        let document = with(&case.native().scrubbed.document);
        case.native().scrubbed.firmware.variables =
            Some("/var/lib/libvirt/qemu/nvram/web_VARS.fd".into());
        case.native().scrubbed.document = document;
        case.choices.name = Some("copy".to_owned());
        let plan = case.plan();
        for snapshot in &plan.machines[0].snapshots {
            assert!(
                snapshot.document.contains("/var/lib/libvirt/qemu/nvram/copy_VARS.fd"),
                "{}",
                snapshot.document
            );
        }
    }
}
