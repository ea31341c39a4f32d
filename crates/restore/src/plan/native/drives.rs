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
use host::PathKind;
use ovf::EntryName;

use super::{Draft, Inputs, images::Images, place::Places};
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
pub(super) fn paths(drive: &Drive) -> Vec<PathBuf> {
    let chain = drive.chain.iter().map(|image| &image.source);
    std::iter::once(&drive.source).chain(chain).filter_map(path_of).map(Path::to_owned).collect()
}

/// The path of a source that has one; a bare name is none.
pub(super) fn path_of(source: &DriveSource) -> Option<&Path> {
    match source {
        DriveSource::File(path) | DriveSource::Block(path) if path.is_absolute() => Some(path),
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
    if let Some(node) = backup.image_of(drive) {
        let row = parts.images.restore(node, drive, row, (parts.places, parts.draft));
        return row;
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

/// A device of the host is not in a backup: it is attached again if it is there and nobody uses it.
fn lun(inputs: &Inputs<'_>, drive: &Drive, row: Row, path: &Path, draft: &mut Draft) -> Row {
    let kind = inputs.at(path).map(|at| at.kind);
    let is_there = kind == Some(PathKind::Device);
    let machines = inputs.target.host().map_or(&[][..], |host| &host.machines);
    let user = machines.iter().find(|machine| machine.disks.iter().any(|disk| disk == path));
    let shown = path.display();
    match user.filter(|_| !drive.is_shareable) {
        None if is_there => {
            let text = format!("{shown} is not in the backup: it is attached as it is now");
            Row { to: shown.to_string(), ..row }.note(Note::new(Code::W0604, text))
        }
        other => {
            draft.changes.detach.insert(drive.target.clone());
            let why = match other {
                Some(machine) if is_there => format!("the machine {} uses it", machine.name),
                _ if kind == Some(PathKind::DeviceInUse) => "the host itself uses it".to_owned(),
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
    let is_there = |path: &&Path| inputs.at(path).is_some_and(|at| at.kind == PathKind::File);
    let on_host = path.filter(is_there).filter(|path| inputs.is_believable(drive, path));
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
    let placed = places.place(path, member.name.as_str(), member.length_bytes);
    places.when_full(member.length_bytes);
    draft.changes.images.insert(drive.target.clone(), placed.path.clone());
    draft.files.push(medium_file(&member.name, placed.path.clone()));
    Row { to: placed.path.display().to_string(), ..row }
        .changed_if(&drive.source)
        .note_if(placed.note)
}

impl Inputs<'_> {
    /// Whether a file of the host may be put into a drive because a definition says so: it looks like a
    /// medium, and like none of the host's own files and no disk of another machine.
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
