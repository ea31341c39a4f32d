//! What becomes of each drive of a machine that is defined again.
//!
//! | the drive is | in a backup | with a definition alone |
//! |---|---|---|
//! | a disk whose image is a member | restored, with what it stands on | left out |
//! | a CD or floppy image | the host's own file where it is still there (W0603), else restored, else ejected | the same, never restored |
//! | a device of the host (LUN) | attached where it is there and free (W0604), else left out | left out |
//! | on a server, or of an unknown kind | left out, which somebody must want | left out |

use std::path::{Path, PathBuf};

use code::Code;
use convert::{Note, Row};
use domain::{Changes, Drive, DriveDevice, DriveSource};
use host::{PathKind, libvirt::KnownMachine};
use ovf::EntryName;

use super::{
    Draft, Inputs,
    images::Images,
    place::{Places, may_be_image},
};
use crate::{
    Definition, PackedImage, XmlTrust,
    native::is_member_of,
    plan::{FilePlan, FileRole},
};

/// Endings of images of floppies.
const FLOPPIES: [&str; 4] = ["flp", "ima", "img", "vfd"];

/// The largest floppy: 2.88 MB, of 512-byte sectors.
const FLOPPY_BYTES: u64 = 5760 * 512;

/// The paths that a drive speaks of.
pub(in crate::plan) fn paths(drive: &Drive) -> Vec<PathBuf> {
    let chain = drive.chain.iter().map(|image| &image.source);
    std::iter::once(&drive.source).chain(chain).filter_map(path_of).map(Path::to_owned).collect()
}

/// The path of a source that has one worth a look: a bare name is none, and a file of the system's own
/// is no image.
fn path_of(source: &DriveSource) -> Option<&Path> {
    match source {
        DriveSource::File(path) if may_be_image(path) => Some(path),
        DriveSource::Block(path) if path.is_absolute() => Some(path),
        _ => None,
    }
}

/// The file of a source that is one: a device keeps no image of a backup.
pub(super) fn file_of(source: &DriveSource) -> Option<&Path> {
    match source {
        DriveSource::File(path) => Some(path),
        _ => None,
    }
}

/// Plans every drive.
pub(super) fn plan<'a>(
    inputs: &'a Inputs<'a>,
    places: &mut Places<'_>,
    draft: &mut Draft,
) -> Images<'a> {
    let mut images = Images::new(inputs);
    let (mut disks, mut media) = (0, 0);
    for drive in &inputs.definition.drives {
        let name = match drive.device {
            DriveDevice::Disk | DriveDevice::Lun => {
                disks += 1;
                (format!("disk{}", disks - 1), format!("disk {} {}", disks - 1, drive.target))
            }
            DriveDevice::Cdrom | DriveDevice::Floppy => {
                media += 1;
                (format!("drive{}", media - 1), format!("drive {} {}", media - 1, drive.target))
            }
        };
        let row = Row::kept(&name.0, &name.1, told(&drive.source), "");
        let row = match (drive.device, &drive.source) {
            (_, DriveSource::None) => Row { to: "empty".to_owned(), ..row },
            _ if inputs.is_partial() && !inputs.is_chosen(drive) => {
                Row { to: row.from.clone(), ..row }.because("not chosen: it stays as it is")
            }
            (DriveDevice::Cdrom | DriveDevice::Floppy, _) => {
                medium(inputs, drive, row, places, draft)
            }
            _ => disk(inputs, drive, row, &mut Parts { images: &mut images, places, draft }),
        };
        draft.rows.push(row);
    }
    images.rest(places, draft);
    images
}

/// The ids of the disks that stay, in the order of the document.
pub(super) fn kept_disks(definition: &Definition, changes: &Changes) -> Vec<String> {
    let is_disk = |drive: &&Drive| matches!(drive.device, DriveDevice::Disk | DriveDevice::Lun);
    let disks = definition.drives.iter().filter(is_disk).enumerate();
    let kept = disks.filter(|(_, drive)| !changes.detach.contains(&drive.target));
    kept.map(|(number, _)| format!("disk{number}")).collect()
}

/// What planning a disk adds to.
struct Parts<'p, 'a, 'h> {
    images: &'p mut Images<'a>,
    places: &'p mut Places<'h>,
    draft: &'p mut Draft,
}

fn disk(inputs: &Inputs<'_>, drive: &Drive, row: Row, parts: &mut Parts<'_, '_, '_>) -> Row {
    let Some(backup) = &inputs.native.backup else {
        parts.draft.changes.detach.insert(drive.target.clone());
        return left_out(row, "hardware only: a definition holds no disk");
    };
    if inputs.is_ignored(&row.item, drive) {
        parts.draft.changes.detach.insert(drive.target.clone());
        return left_out(row, "left out on request");
    }
    if !inputs.is_chosen(drive) {
        parts.draft.changes.detach.insert(drive.target.clone());
        return left_out(row, "not chosen: --disk names others");
    }
    if let Some(node) = inputs.image_of(drive).filter(|_| drive.device != DriveDevice::Lun) {
        return match parts.images.user(&node.member) {
            None => parts.images.restore(node, drive, row, (parts.places, parts.draft)),
            Some(other) => {
                let text = format!("its image {} is that of the drive {other}, too", node.member);
                row.note(Note::blocker(Code::E0303, text))
            }
        };
    }
    if inputs.is_standing(drive) {
        let row = Row { to: row.from.clone(), ..row };
        return row.because("not in the backup: it stays as it is");
    }
    if let Some(reason) = backup.left_out(drive).filter(|_| !is_device(drive)) {
        parts.draft.changes.detach.insert(drive.target.clone());
        let text = format!("the backup was made without it: {reason}");
        return dropped(row, Note::new(Code::W0203, text));
    }
    match &drive.source {
        DriveSource::Block(path) => lun(inputs, drive, row, path, parts.draft),
        _ => {
            parts.draft.changes.detach.insert(drive.target.clone());
            let text = format!("its image {} is not in the backup", told(&drive.source));
            let hint = format!("--ignore {} leaves the disk out", row.item);
            row.note(Note::blocker(Code::E0104, text).hint(hint))
        }
    }
}

/// Whether a drive is a device of the host, which may be there still.
const fn is_device(drive: &Drive) -> bool {
    matches!(drive.source, DriveSource::Block(_))
}

/// A device of the host is not in a backup: it is attached again if it is there and nobody uses it.
fn lun(inputs: &Inputs<'_>, drive: &Drive, row: Row, path: &Path, draft: &mut Draft) -> Row {
    let kind = inputs.at(path).map(|at| at.kind);
    let is_there = matches!(kind, Some(PathKind::Device | PathKind::UsedDevice));
    let shown = path.display();
    match inputs.user(path).filter(|_| !drive.is_shareable) {
        None if kind == Some(PathKind::Device) => {
            let text = format!("{shown} is not in the backup: it is attached as it is now");
            Row { to: shown.to_string(), ..row }.note(Note::new(Code::W0604, text))
        }
        other => {
            draft.changes.detach.insert(drive.target.clone());
            let why = match other {
                Some(machine) if is_there => format!("the machine {} uses it", machine.name),
                None if is_there => "the host itself uses it".to_owned(),
                _ => "it is not there".to_owned(),
            };
            let text = format!("{shown} is not in the backup and not attached: {why}");
            dropped(row, Note::new(Code::W0604, text))
        }
    }
}

fn medium(
    inputs: &Inputs<'_>,
    drive: &Drive,
    row: Row,
    places: &mut Places<'_>,
    draft: &mut Draft,
) -> Row {
    let path = path_of(&drive.source);
    // What is written to must have one writer.
    let is_floppy = drive.device == DriveDevice::Floppy;
    if let Some(machine) = path.filter(|_| is_floppy).and_then(|path| inputs.user(path)) {
        draft.changes.eject.insert(drive.target.clone());
        let text = format!("the machine {} uses {}: the drive is empty", machine.name, row.from);
        return dropped(row, Note::new(Code::W0202, text));
    }
    let is_there = |path: &&Path| inputs.at(path).is_some_and(|at| at.kind == PathKind::File);
    let on_host = path
        .filter(|path| may_be_image(path))
        .filter(is_there)
        .filter(|path| inputs.is_believable(drive, path));
    if let (Some(path), Some(_)) = (on_host, inputs.target.host()) {
        let text = "the file that is there is used";
        let row = Row { to: path.display().to_string(), ..row };
        return row.note(Note::new(Code::W0603, text));
    }
    let member = inputs.facts.members.iter().find(|member| {
        member.name.has_extension("iso") && is_member_of(&drive.source, member.name.as_str())
    });
    let Some(member) = member.filter(|_| inputs.native.backup.is_some()) else {
        draft.changes.eject.insert(drive.target.clone());
        let text = format!("{} is not there: the drive is empty", told(&drive.source));
        return dropped(row, Note::new(Code::W0202, text));
    };
    let old = file_of(&drive.source);
    let placed = places.place(old, member.name.as_str(), member.length_bytes);
    places.when_full(member.length_bytes);
    draft.changes.images.insert(drive.target.clone(), placed.path.clone());
    draft.files.push(medium_file(&member.name, placed.path.clone()));
    Row { to: placed.path.display().to_string(), ..row }
        .changed_if(&drive.source)
        .note_if(placed.note)
}

impl Inputs<'_> {
    /// The machine of the host that has a file or device among its disks.
    ///
    /// One whose place is taken is no other.
    pub(super) fn user(&self, path: &Path) -> Option<&KnownMachine> {
        let standing = self.standing.map(|standing| standing.uuid);
        let machines = self.target.host()?.machines.iter();
        let mut machines = machines.filter(|machine| Some(machine.uuid) != standing);
        machines.find(|machine| machine.disks.iter().any(|disk| disk == path))
    }

    /// Whether a file of the host may be put into a drive because a definition says so: it looks like a
    /// medium, and like none of the host's own files.
    fn is_believable(&self, drive: &Drive, path: &Path) -> bool {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let is_medium = match drive.device {
            DriveDevice::Floppy => {
                FLOPPIES.iter().any(|floppy| ending.eq_ignore_ascii_case(floppy))
                    && self.at(path).is_some_and(|at| at.length_bytes <= FLOPPY_BYTES)
            }
            _ => ending.eq_ignore_ascii_case("iso"),
        };
        is_medium || self.choices.trust_xml == XmlTrust::AsItStands
    }
}

fn medium_file(name: &EntryName, to: PathBuf) -> FilePlan {
    let declared = disk::Declared::Stated(disk::Format::Raw);
    let image = Some(PackedImage::plain(name.clone(), declared));
    FilePlan { image, href: None, to, role: FileRole::Medium }
}

fn left_out(row: Row, reason: &str) -> Row {
    Row { action: convert::Action::Dropped, to: String::new(), ..row }.because(reason)
}

fn dropped(row: Row, note: Note) -> Row {
    Row { action: convert::Action::Dropped, to: String::new(), ..row }.note(note)
}

/// A source as people read it.
pub(super) fn told(source: &DriveSource) -> String {
    match source {
        DriveSource::None => "empty".to_owned(),
        DriveSource::File(path) | DriveSource::Block(path) => path.display().to_string(),
        DriveSource::Network { protocol, name } => format!("{protocol}:{name}"),
        DriveSource::Volume { pool, volume } => format!("{pool}/{volume}"),
        DriveSource::Other(kind) => kind.clone(),
    }
}

/// Marks a row whose file is at another place than before.
pub(super) trait Moved {
    fn changed_if(self, old: &DriveSource) -> Self;
}

impl Moved for Row {
    fn changed_if(self, old: &DriveSource) -> Self {
        if self.to == told(old) { self } else { self.changed() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixture::{
        Case, cdrom, disk, domain, folder, lun, machine, notes, paths, row, told, xml,
    };
    use convert::Action;

    const ISO: &str = "/iso/tools.iso";
    const LUN: &str = "/dev/disk/by-id/scsi-1";

    /// SPACEVM-32: an ISO that exists at its old path.
    #[test]
    fn an_iso_that_is_at_its_old_path_is_used_as_it_is() {
        let case = Case::backup(&cdrom(ISO)).member("tools.iso").at(ISO, PathKind::File);
        let plan = case.plan();
        assert_eq!((paths(&plan), told(&plan)), (vec![], vec![]));
        let want = "the file that is there is used";
        assert_eq!(notes(&plan, "drive0"), [(Code::W0603, want.to_owned())]);
        assert!(xml(&plan).contains("<source file='/iso/tools.iso'/>"), "{}", xml(&plan));
    }

    /// SPACEVM-21, SPACEVM-30: an ISO of the backup.
    #[test]
    fn an_iso_that_is_gone_is_restored_from_the_backup() {
        let plan = Case::backup(&cdrom(ISO)).member("tools.iso").plan();
        assert_eq!((paths(&plan), told(&plan)), (vec![ISO.to_owned()], vec![]));
        assert_eq!(row(&plan, "drive0").action, Action::Kept);
    }

    #[test]
    fn an_iso_that_is_nowhere_leaves_an_empty_drive() {
        let plan = Case::backup(&cdrom(ISO)).plan();
        let want = "/iso/tools.iso is not there: the drive is empty";
        assert_eq!(notes(&plan, "drive0"), [(Code::W0202, want.to_owned())]);
        assert!(!xml(&plan).contains("tools.iso") && xml(&plan).contains("cdrom"));
        assert_eq!(told(&plan), []);
    }

    #[test]
    fn a_floppy_that_another_machine_may_write_to_is_left_alone() {
        let floppy = cdrom("/vm/small.img").replace("cdrom", "floppy").replace("<readonly/>", "");
        let mut case = Case::backup(&floppy).at("/vm/small.img", PathKind::File);
        assert!(xml(&case.plan()).contains("/vm/small.img"));
        case.host().machines = vec![machine("db", &["/vm/small.img"])];
        let plan = case.plan();
        let want = "the machine db uses /vm/small.img: the drive is empty";
        assert_eq!(notes(&plan, "drive0"), [(Code::W0202, want.to_owned())]);
        assert!(!xml(&plan).contains("small.img"));
    }

    /// SPACEVM-17: a LUN is not copied.
    #[test]
    fn a_lun_that_is_there_and_free_is_attached_again() {
        let plan = Case::backup(&lun("vdb", LUN)).at(LUN, PathKind::Device).plan();
        let want = format!("{LUN} is not in the backup: it is attached as it is now");
        assert_eq!(notes(&plan, "disk0"), [(Code::W0604, want)]);
        assert!(xml(&plan).contains(LUN));
        assert_eq!((paths(&plan), told(&plan)), (vec![], vec![]));
    }

    /// SPACEVM-17: only if it is available and not in use.
    #[test]
    fn a_lun_that_is_used_or_gone_is_left_out() {
        let mut used = Case::backup(&lun("vdb", LUN)).at(LUN, PathKind::Device);
        used.host().machines = vec![machine("db", &[LUN])];
        let busy = Case::backup(&lun("vdb", LUN)).at(LUN, PathKind::UsedDevice);
        let mut remote = Case::backup(&lun("vdb", LUN)).at(LUN, PathKind::Device);
        remote.host().is_local = false;
        remote.host().storage = Some(folder("/shared"));
        for (case, why) in [
            (used, "the machine db uses it"),
            (busy, "the host itself uses it"),
            (Case::backup(&lun("vdb", LUN)), "it is not there"),
            (remote, "it is not there"),
        ] {
            let plan = case.plan();
            let want = format!("{LUN} is not in the backup and not attached: {why}");
            assert_eq!(notes(&plan, "disk0"), [(Code::W0604, want)]);
            assert_eq!(row(&plan, "disk0").action, Action::Dropped);
            assert!(!xml(&plan).contains(LUN), "{why}");
            assert_eq!(told(&plan), []);
        }
    }

    /// SPACEVM-39: a bare domain XML.
    #[test]
    fn a_definition_alone_restores_hardware_and_no_disk() {
        let drives = disk("vda", "/vm/web.qcow2") + &lun("vdb", LUN) + &cdrom(ISO);
        let case = Case::definition(&domain(&drives)).at(LUN, PathKind::Device);
        let plan = case.at("/vm/web.qcow2", PathKind::File).plan();
        assert_eq!((paths(&plan), told(&plan)), (vec![], vec![]));
        for item in ["disk0", "disk1"] {
            assert_eq!(row(&plan, item).reason, "hardware only: a definition holds no disk");
        }
        assert!(!xml(&plan).contains("vda") && !xml(&plan).contains(LUN), "{}", xml(&plan));
        assert!(plan.machines[0].machine.disks.is_empty());
    }

    /// SPACEVM-39: nothing is written, so no pool is needed; one that is named has to be there.
    #[test]
    fn hardware_only_needs_no_pool() {
        let mut case = Case::definition(&domain(""));
        case.host().is_local = false;
        assert_eq!(case.blockers(), []);
        case.host().pools.clear();
        assert_eq!(case.blockers(), []);
        case.choices.pool = Some("nvme".to_owned());
        assert_eq!(case.blockers().len(), 1);
    }

    #[test]
    fn a_disk_can_be_left_out_by_its_item_or_its_name() {
        for name in ["disk0", "disk:vda"] {
            let drives = disk("vda", "/vm/a.qcow2") + &disk("vdb", "/vm/b.qcow2");
            let mut case = Case::backup(&drives).image("b.qcow2", None);
            assert_eq!(case.blockers()[0].2, "--ignore disk0 leaves the disk out");
            case.choices.hardware.ignore = vec![name.to_owned()];
            let plan = case.plan();
            assert_eq!((paths(&plan), told(&plan)), (vec!["/vm/b.qcow2".to_owned()], vec![]));
            assert_eq!(row(&plan, "disk0").reason, "left out on request");
            assert_eq!(plan.machines[0].disk_ids, ["disk1"]);
        }
    }

    #[test]
    fn two_drives_never_get_one_image() {
        let drives = disk("vda", "/a/disk.qcow2") + &disk("vdb", "/b/disk.qcow2");
        let case = Case::backup(&drives).image("disk.qcow2", None);
        let want = "its image disk.qcow2 is that of the drive vda, too";
        assert_eq!(case.blockers(), [(Code::E0303, want.to_owned(), String::new())]);
    }

    /// SPACEVM-18, SPACEVM-19: a volume of such a pool is no place for a file.
    #[test]
    fn a_disk_that_was_on_a_device_goes_to_the_pool_of_the_backup() {
        let case = Case::backup(&lun("vda", "/dev/vg/web")).image("web.qcow2", None);
        let plan = case.at("/dev/vg/web", PathKind::Device).plan();
        assert_eq!((paths(&plan), told(&plan)), (vec!["/backups/web.qcow2".to_owned()], vec![]));
        assert_eq!(notes(&plan, "disk0")[0].0, Code::W0606);
    }
}
