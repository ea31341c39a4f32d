//! The images of a backup: each becomes a file of its own, standing on what it stood on.
//!
//! | the image is | it becomes |
//! |---|---|
//! | one of the machine, or kept by a snapshot of it | a file with its very clusters |
//! | of a point, with those of older points below it | one file, above the image that a snapshot or template keeps, if any |
//! | any, with another `--format` or `--compress` | one file with all that it stands on |

use std::{
    collections::{BTreeMap, BTreeSet},
    iter::{once, repeat, successors},
    path::{Path, PathBuf},
};

use bundle::{Node, Point};
use code::Code;
use convert::{Note, Row, copy::TargetOptions};
use disk::{Declared, Format};
use domain::Drive;
use ovf::EntryName;
use vm::{ByteSize, DiskFormat, DiskId};

use super::{
    Draft, Inputs,
    drives::{Moved as _, file_of},
    place::Places,
    template,
};
use crate::{
    PackedImage,
    native::Backup,
    plan::{FilePlan, FileRole, NodeFile},
};

/// Where the images of a backup go, by their members.
pub(super) struct Images<'a> {
    inputs: &'a Inputs<'a>,
    /// The images of disks of points: parts of the backup alone, which were never files of the machine.
    of_points: BTreeSet<&'a str>,
    placed: BTreeMap<String, PathBuf>,
    /// The lower images of files that several become, and the uppermost one of each.
    tops: BTreeMap<String, String>,
    /// The drives that images were restored for, by their members.
    users: BTreeMap<String, String>,
    disks: u16,
}

/// Images that become one file, the uppermost first.
struct Part {
    top: Node,
    below: Vec<Node>,
    makes: Makes,
}

/// What becomes of the images of a part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Makes {
    /// It is one image, and stays as it is.
    Node,
    /// They are a point's, and stand on another image.
    Merged,
    /// They stand on nothing that is a file of its own.
    Disk,
}

impl Part {
    fn layers(&self) -> impl Iterator<Item = &Node> {
        once(&self.top).chain(&self.below)
    }

    fn lowest(&self) -> &Node {
        self.below.last().unwrap_or(&self.top)
    }
}

impl<'a> Images<'a> {
    pub(super) fn new(inputs: &'a Inputs<'a>) -> Self {
        let points = inputs.native.backup.iter().flat_map(|backup| &backup.points);
        let disks = points.flat_map(|point| &point.disks);
        Self {
            inputs,
            of_points: disks.map(|disk| disk.member.as_str()).collect(),
            placed: BTreeMap::new(),
            tops: BTreeMap::new(),
            users: BTreeMap::new(),
            disks: 0,
        }
    }

    /// Where an image goes, by itself or as a part of another.
    pub(super) fn path(&self, member: &str) -> Option<&Path> {
        let as_part = || self.placed.get(self.tops.get(member)?);
        self.placed.get(member).or_else(as_part).map(PathBuf::as_path)
    }

    /// The drive that an image was restored for.
    pub(super) fn user(&self, member: &str) -> Option<&str> {
        self.users.get(member).map(String::as_str)
    }

    /// Plans the image of a drive and those that it stands on, the lowest first.
    pub(super) fn restore(
        &mut self,
        node: &Node,
        drive: &Drive,
        row: Row,
        (places, draft): (&mut Places<'_>, &mut Draft),
    ) -> Row {
        places.when_full(node.capacity_bytes);
        let parts = self.parts(node);
        let top = file_of(&drive.source);
        let told = drive.chain.iter().map(|image| file_of(&image.source)).chain(repeat(None));
        // A definition that does not tell what an image stands on had it in the same folder.
        let originals = once(top.map(Path::to_owned)).chain(parts.iter().skip(1).zip(told).map(
            |(part, told)| {
                told.map_or_else(
                    || Some(top?.with_file_name(&part.top.member)),
                    |it| Some(it.to_owned()),
                )
            },
        ));
        let originals: Vec<Option<PathBuf>> = originals.collect();
        let mut notes = Vec::new();
        for (part, original) in parts.iter().zip(&originals).rev() {
            notes.extend(self.part(part, original.as_deref(), places, draft));
        }
        self.users.insert(node.member.clone(), drive.target.clone());
        let disk = DiskId(self.disks);
        self.disks = self.disks.saturating_add(1);
        let Some(path) = self.path(&node.member).map(Path::to_owned) else { return row };
        draft.changes.images.insert(drive.target.clone(), path.clone());
        let format = self.inputs.format();
        draft.changes.formats.insert(drive.target.clone(), format);
        if let Some(file) = draft.files.iter_mut().find(|file| file.to == path)
            && let FileRole::Disk { disk: number, .. } = &mut file.role
        {
            *number = disk;
        }
        let to = path.display().to_string();
        let row = notes.into_iter().fold(Row { to, ..row }.changed_if(&drive.source), Row::note);
        row.because(told_of(node, &parts))
    }

    /// Plans what no drive of the current machine uses: the images of its snapshots.
    pub(super) fn rest(&mut self, places: &mut Places<'_>, draft: &mut Draft) {
        let Some(backup) = &self.inputs.native.backup else { return };
        if !self.inputs.keeps_chains() || self.inputs.is_partial() {
            return;
        }
        let kept = backup.point.is_some().then(|| kept(backup, &self.of_points));
        let comes = |node: &&Node| kept.as_ref().is_none_or(|it| it.contains(&*node.member));
        for node in backup.nodes.iter().filter(comes) {
            if self.placed.contains_key(&node.member) || self.is_of_ignored(node) {
                continue;
            }
            let beside = self.beside(node, draft);
            let part = Part { top: node.clone(), below: Vec::new(), makes: Makes::Node };
            let notes = self.part(&part, beside.as_deref(), places, draft);
            let to = self.path(&node.member).map(|path| path.display().to_string());
            let item = format!("image.{}", node.member);
            let row = Row::kept(&item, "image", &node.member, to.unwrap_or_default())
                .because("no disk uses it now: a snapshot does");
            draft.rows.push(notes.into_iter().fold(row, Row::note));
        }
    }

    /// Where an image of which no drive tells lay: beside the one that it stands on, else beside the
    /// machine's first file.
    fn beside(&self, node: &Node, draft: &Draft) -> Option<PathBuf> {
        let below = node.backing.as_ref().and_then(|below| self.path(below));
        let file = below.or_else(|| draft.files.first().map(|file| file.to.as_path()))?;
        Some(file.with_file_name(&node.member))
    }

    /// Whether an image belongs to a disk that was left out.
    fn is_of_ignored(&self, node: &Node) -> bool {
        let bottom = |node: &Node| self.layers(node).last().map(|node| node.member);
        let drives = self.inputs.definition.drives.iter().enumerate();
        let mut ignored = drives.filter(|(number, drive)| {
            self.inputs.is_ignored(&format!("disk{number}"), drive) || !self.inputs.is_chosen(drive)
        });
        ignored.any(|(_, drive)| {
            let top = self.inputs.image_of(drive);
            top.is_some_and(|top| bottom(top) == bottom(node))
        })
    }

    fn part(
        &mut self,
        part: &Part,
        original: Option<&Path>,
        places: &mut Places<'_>,
        draft: &mut Draft,
    ) -> Vec<Note> {
        let top = &part.top;
        if self.placed.contains_key(&top.member) {
            return Vec::new();
        }
        let Ok(name) = EntryName::parse(&top.member) else { return Vec::new() };
        let original = original.map(|path| path.with_file_name(self.name(part, Some(path))));
        let length = self.length(part);
        let placed = places.place(original.as_deref(), &self.name(part, None), length);
        self.placed.insert(top.member.clone(), placed.path.clone());
        let lower = part.below.iter().map(|node| (node.member.clone(), top.member.clone()));
        self.tops.extend(lower);
        let below = self.backing(part, &placed.path);
        let role = self.role(part, below.as_ref().ok().cloned().flatten());
        let entry = |node: &Node| EntryName::parse(&node.member).ok();
        let image = PackedImage {
            parents: part.below.iter().filter_map(entry).collect(),
            lowest: entry(part.lowest()).filter(|_| part.makes == Makes::Merged),
            ..PackedImage::plain(name, Declared::Stated(Format::Qcow2))
        };
        draft.files.push(FilePlan { image: Some(image), href: None, to: placed.path, role });
        placed.note.into_iter().chain(below.err()).collect()
    }

    fn role(&self, part: &Part, backing: Option<String>) -> FileRole {
        let capacity_bytes = part.top.capacity_bytes;
        match part.makes {
            Makes::Node => FileRole::Node(NodeFile { capacity_bytes, backing }),
            Makes::Merged => FileRole::Merged(NodeFile { capacity_bytes, backing }),
            Makes::Disk => FileRole::Disk {
                disk: DiskId(0),
                stated_bytes: Some(capacity_bytes),
                output: self.inputs.choices.output,
            },
        }
    }

    /// What the header of the file will call the image that it stands on.
    ///
    /// # Errors
    /// What keeps it from being there.
    fn backing(&self, part: &Part, path: &Path) -> Result<Option<String>, Note> {
        let node = part.lowest();
        let Some(below) = &node.backing else { return Ok(None) };
        if let Some(placed) = self.placed.get(below) {
            return Ok(Some(shortest(placed, path)));
        }
        if let Some(disk) = template::disk_below(self.inputs, node) {
            return template::check(self.inputs, disk).map(|()| Some(disk.path.clone()));
        }
        let text = format!("{} stands on {below}, which is no part of the backup", node.member);
        Err(Note::blocker(Code::E0104, text))
    }

    /// How much a file is taken to need: the bytes of its members.
    fn length(&self, part: &Part) -> u64 {
        let length = |node: &Node| {
            let name = EntryName::parse(&node.member).ok();
            let member = name.and_then(|name| self.inputs.facts.member(&name));
            member.map_or(0, |member| member.length_bytes)
        };
        let stored = part.layers().map(length).fold(0, u64::saturating_add);
        if part.makes == Makes::Node { stored } else { stored.min(part.top.capacity_bytes) }
    }

    /// An image and all below it that are in the backup.
    fn layers(&self, node: &Node) -> impl Iterator<Item = Node> {
        let backup = self.inputs.native.backup.as_ref();
        successors(Some(node.clone()), move |node| backup?.node(node.backing.as_ref()?).cloned())
    }

    /// The files that an image and those below it become, the uppermost first.
    fn parts(&self, node: &Node) -> Vec<Part> {
        let mut below: Vec<Node> = self.layers(node).skip(1).collect();
        let is_of_point = |node: &Node| self.of_points.contains(node.member.as_str());
        let top = node.clone();
        if !self.inputs.keeps_chains() {
            return vec![Part { top, below, makes: Makes::Disk }];
        }
        let alone = |top| Part { top, below: Vec::new(), makes: Makes::Node };
        if !is_of_point(node) {
            return once(top).chain(below).map(alone).collect();
        }
        let end = below.iter().position(|node| !is_of_point(node)).unwrap_or(below.len());
        let kept = below.split_off(end);
        let stands = below.last().unwrap_or(&top).backing.is_some();
        let makes = if stands { Makes::Merged } else { Makes::Disk };
        once(Part { top, below, makes }).chain(kept.into_iter().map(alone)).collect()
    }

    /// What a file is called: as it was, else as the member, with the ending of a new format.
    ///
    /// A member of a point has the time in its name, which a disk of a machine has not: that is called
    /// after the machine and the drive.
    fn name(&self, part: &Part, original: Option<&Path>) -> String {
        let disks = self.inputs.point().map(|point| &point.disks).into_iter().flatten();
        let disk = disks.into_iter().find(|disk| disk.member == part.top.member);
        let machine = &self.inputs.definition.machine.name;
        let named = disk.map(|disk| format!("{}-{}.", convert::slug(machine), disk.target));
        let new = named.as_ref().unwrap_or(&part.top.member);
        let old = original.and_then(|path| path.file_name()?.to_str());
        match (part.makes, old) {
            (Makes::Node | Makes::Merged, Some(old)) => old.to_owned(),
            (Makes::Node, None) => new.clone(),
            (Makes::Merged | Makes::Disk, old) => {
                let old = old.unwrap_or(new);
                let stem = old.rsplit_once('.').map_or(old, |(stem, _)| stem);
                format!("{stem}.{}", self.inputs.format().as_str())
            }
        }
    }
}

/// Why a disk comes back as it does.
fn told_of(node: &Node, parts: &[Part]) -> String {
    let size = ByteSize(node.capacity_bytes);
    let below = parts.len().saturating_sub(1);
    match parts.first().map(|part| part.makes) {
        Some(Makes::Disk) if node.backing.is_some() => {
            format!("{size}, restored as one image with all that it stands on")
        }
        _ if below == 0 => format!("{size}, restored"),
        _ => format!("{size}, restored with {below} images that it stands on"),
    }
}

/// The images that the snapshots keep, with those below them.
fn kept<'b>(backup: &'b Backup, of_points: &BTreeSet<&str>) -> BTreeSet<&'b str> {
    let nodes: BTreeMap<&str, &Node> =
        backup.nodes.iter().map(|node| (node.member.as_str(), node)).collect();
    let mut kept = BTreeSet::new();
    let snapshots = backup.snapshots.iter().map(|(snapshot, _)| snapshot);
    for member in snapshots.flat_map(|one| one.nodes.iter().chain(one.disks.values())) {
        let mut next = nodes.get(member.as_str());
        while let Some(node) = next.filter(|node| !of_points.contains(node.member.as_str())) {
            if !kept.insert(node.member.as_str()) {
                break;
            }
            next = node.backing.as_deref().and_then(|below| nodes.get(below));
        }
    }
    kept
}

impl Inputs<'_> {
    /// Whether images stay on one another; else each disk becomes one image, in another format.
    pub(super) fn keeps_chains(&self) -> bool {
        self.choices.output == TargetOptions::default()
    }

    /// The point that is restored: its increments were never files of the machine.
    fn point(&self) -> Option<&Point> {
        self.native.backup.as_ref()?.point.as_ref()
    }

    /// The image of the backup for a drive. One of the machine that is there may be on another file than
    /// it was: there the drive's name counts.
    pub(super) fn image_of(&self, drive: &Drive) -> Option<&Node> {
        let backup = self.native.backup.as_ref()?;
        if !self.is_partial() {
            return backup.image_of(drive);
        }
        let drives = &self.native.definition(self.choices.trust_xml).drives;
        backup.image_of(drives.iter().find(|own| own.target == drive.target)?)
    }

    fn format(&self) -> DiskFormat {
        self.choices.output.format()
    }

    /// Whether the user leaves a disk out, by its item or its name.
    pub(super) fn is_ignored(&self, item: &str, drive: &Drive) -> bool {
        let names = [item.to_owned(), format!("disk:{}", drive.target)];
        self.choices.hardware.ignore.iter().any(|text| names.contains(text))
    }
}

/// A name that leads from one file to another: the bare name where they lie side by side, so that they
/// can be moved together.
fn shortest(below: &Path, above: &Path) -> String {
    let beside = below.file_name().filter(|_| below.parent() == above.parent());
    beside.map_or_else(|| below.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// The capacity of the disk that a file holds.
pub(super) fn capacity(files: &[FilePlan], path: &Path) -> Option<u64> {
    match &files.iter().find(|file| file.to == path)?.role {
        FileRole::Node(node) | FileRole::Merged(node) => Some(node.capacity_bytes),
        FileRole::Disk { stated_bytes, .. } => *stated_bytes,
        FileRole::Made(_) | FileRole::Medium | FileRole::Kept => None,
    }
}

#[cfg(test)]
mod tests {
    use bundle::LeftOut;

    use super::*;
    use crate::plan::fixture::{
        Case, LENGTH_BYTES, backings, disk, files, lun, notes, paths, row, told, xml,
    };

    /// A machine on two images, of whose lower one the definition does not tell.
    fn chain() -> Case {
        let case = Case::backup(&disk("vda", "/vm/top.snapshot")).image("base.qcow2", None);
        case.image("top.snapshot", Some("base.qcow2"))
    }

    /// SPACEVM-02: the images keep standing on one another.
    #[test]
    fn a_chain_comes_back_as_it_was_the_lowest_first() {
        let plan = chain().plan();
        assert_eq!(
            (paths(&plan), told(&plan)),
            (vec!["/vm/base.qcow2".to_owned(), "/vm/top.snapshot".to_owned()], vec![])
        );
        assert_eq!(backings(&plan), [None, Some("base.qcow2".to_owned())]);
        assert!(xml(&plan).contains("/vm/top.snapshot") && !xml(&plan).contains("base.qcow2"));
        assert_eq!(row(&plan, "disk0").reason, "1 MiB, restored with 1 images that it stands on");
    }

    #[test]
    fn images_in_two_folders_find_one_another_by_their_paths() {
        let case = chain().folders(|folder| folder.free_bytes = LENGTH_BYTES);
        let plan = case.plan();
        assert_eq!(paths(&plan), ["/vm/base.qcow2", "/backups/top.snapshot"]);
        assert_eq!(backings(&plan), [None, Some("/vm/base.qcow2".to_owned())]);
    }

    #[test]
    fn an_image_that_gets_another_name_is_found_by_it() {
        let case = chain().at("/vm/base.qcow2", host::PathKind::File);
        let plan = case.plan();
        assert_eq!(paths(&plan), ["/vm/base-2.qcow2", "/vm/top.snapshot"]);
        assert_eq!(backings(&plan), [None, Some("base-2.qcow2".to_owned())]);
    }

    #[test]
    fn what_a_snapshot_alone_uses_lies_beside_what_it_stands_on() {
        let plan = chain().image("branch.snapshot", Some("base.qcow2")).plan();
        assert_eq!(paths(&plan), ["/vm/base.qcow2", "/vm/top.snapshot", "/vm/branch.snapshot"]);
        let row = row(&plan, "image.branch.snapshot");
        assert_eq!(row.reason, "no disk uses it now: a snapshot does");
        assert_eq!(told(&plan), []);
    }

    #[test]
    fn an_image_whose_parent_is_no_part_of_the_backup_is_not_restored_without_it() {
        let case = Case::backup(&disk("vda", "/vm/top.qcow2"));
        let case = case.image("top.qcow2", Some("gone.qcow2"));
        let want = "top.qcow2 stands on gone.qcow2, which is no part of the backup";
        assert_eq!(case.blockers(), [(Code::E0104, want.to_owned(), String::new())]);
    }

    #[test]
    fn in_another_format_each_disk_becomes_one_image_and_the_plan_says_so() {
        let mut case = chain();
        case.choices.output = TargetOptions::Raw;
        let plan = case.plan();
        assert_eq!((paths(&plan), told(&plan)), (vec!["/vm/top.raw".to_owned()], vec![]));
        let want = "1 MiB, restored as one image with all that it stands on";
        assert_eq!(row(&plan, "disk0").reason, want);
        assert_eq!(plan.space.needed_bytes, 2 * LENGTH_BYTES);
        assert!(xml(&plan).contains("type='raw'") || xml(&plan).contains("type=\"raw\""));
    }

    /// A machine with a disk on a file and one on a device, as two points made it.
    fn pointed() -> Case {
        let drives = disk("vda", "/vm/web.img") + &lun("vdb", "/dev/vg/data");
        Case::backup(&drives)
            .image("web-vda-1.qcow2", None)
            .image("web-vda-2.snapshot", Some("web-vda-1.qcow2"))
            .image("web-vdb-2.qcow2", None)
            .point(&[("vda", "web-vda-1.qcow2")])
            .point(&[("vda", "web-vda-2.snapshot"), ("vdb", "web-vdb-2.qcow2")])
    }

    #[test]
    fn the_disks_of_a_point_are_found_by_their_drives_and_each_chain_becomes_one_image() {
        let plan = pointed().plan();
        assert_eq!(told(&plan), []);
        assert_eq!(paths(&plan), ["/vm/web.qcow2", "/backups/web-vdb.qcow2"]);
        assert_eq!(backings(&plan), [None, None]);
        let roles = &plan.machines[0].files;
        assert!(roles.iter().all(|file| matches!(file.role, FileRole::Disk { .. })));
        let members: Vec<_> = roles.iter().filter_map(|file| file.member()).collect();
        assert_eq!(
            members.iter().map(|it| it.as_str()).collect::<Vec<_>>(),
            ["web-vda-2.snapshot", "web-vdb-2.qcow2"]
        );
        let want = "1 MiB, restored as one image with all that it stands on";
        assert_eq!(row(&plan, "disk0").reason, want);
        assert!(xml(&plan).contains("/vm/web.qcow2") && !xml(&plan).contains("/dev/vg"));
    }

    /// A point whose full image stands on one that a snapshot of the machine keeps.
    fn standing() -> Case {
        Case::backup(&disk("vda", "/vm/web.clean"))
            .image("web.qcow2", None)
            .image("web-vda-1.qcow2", Some("web.qcow2"))
            .image("web-vda-2.snapshot", Some("web-vda-1.qcow2"))
            .point(&[("vda", "web-vda-1.qcow2")])
            .point(&[("vda", "web-vda-2.snapshot")])
    }

    /// The members that a file is made of, and the lowest where the chain goes on below.
    fn made_of(file: &FilePlan) -> (Vec<&str>, Option<&str>) {
        let image = file.image.as_ref().unwrap();
        let members = image.used().map(EntryName::as_str).collect();
        (members, image.lowest.as_ref().map(EntryName::as_str))
    }

    /// SPACEVM-16: what a snapshot keeps comes back as a file of its own, and the point above it.
    #[test]
    fn a_point_becomes_one_image_above_the_one_that_a_snapshot_keeps() {
        let plan = standing().plan();
        assert_eq!(
            (paths(&plan), told(&plan)),
            (vec!["/vm/web.qcow2".to_owned(), "/vm/web.clean".to_owned()], vec![])
        );
        assert_eq!(backings(&plan), [None, Some("web.qcow2".to_owned())]);
        let [kept, point] = files(&plan) else { panic!("two files") };
        assert!(
            matches!(kept.role, FileRole::Node(_)) && matches!(point.role, FileRole::Merged(_))
        );
        assert_eq!(made_of(kept), (vec!["web.qcow2"], None));
        let members = vec!["web-vda-2.snapshot", "web-vda-1.qcow2"];
        assert_eq!(made_of(point), (members, Some("web-vda-1.qcow2")));
        assert_eq!(row(&plan, "disk0").reason, "1 MiB, restored with 1 images that it stands on");
        assert_eq!(plan.space.needed_bytes, 3 * LENGTH_BYTES);
        assert_eq!(plan.machines[0].machine.disks[0].capacity_bytes, 1 << 20);
        // In another place its parent is found by its path.
        let apart = standing().folders(|folder| folder.free_bytes = LENGTH_BYTES).plan();
        assert_eq!(backings(&apart), [None, Some("/vm/web.qcow2".to_owned())]);
    }

    #[test]
    fn a_point_in_another_format_is_one_image_with_what_snapshots_keep() {
        let mut case = standing();
        case.choices.output = TargetOptions::Raw;
        let plan = case.plan();
        assert_eq!((paths(&plan), told(&plan)), (vec!["/vm/web.raw".to_owned()], vec![]));
        let members = vec!["web-vda-2.snapshot", "web-vda-1.qcow2", "web.qcow2"];
        assert_eq!(made_of(&files(&plan)[0]), (members, None));
    }

    #[test]
    fn a_disk_of_a_point_that_was_on_a_device_is_called_after_the_machine() {
        let mut case = standing();
        let drives = lun("vda", "/dev/vg/web");
        let document = crate::plan::fixture::domain(&drives);
        case.native().scrubbed = crate::Definition::parse(document).unwrap();
        assert_eq!(paths(&case.plan()), ["/backups/web.qcow2", "/backups/web-vda.qcow2"]);
    }

    #[test]
    fn a_disk_that_a_point_was_made_without_is_left_out_and_one_that_it_lacks_blocks() {
        let mut case = pointed();
        let point = case.of_backup().point.as_mut().unwrap();
        let left_out = LeftOut { target: "vda".to_owned(), reason: "--exclude-disk".to_owned() };
        point.disks.remove(0);
        assert_eq!(case.blockers()[0].1, "its image /vm/web.img is not in the backup");
        case.of_backup().point.as_mut().unwrap().left_out.push(left_out);
        assert_eq!(case.blockers(), []);
        let plan = case.plan();
        assert_eq!(paths(&plan), ["/backups/web-vdb.qcow2"]);
        let want = "the backup was made without it: --exclude-disk";
        assert_eq!(notes(&plan, "disk0"), [(Code::W0203, want.to_owned())]);
    }
}
