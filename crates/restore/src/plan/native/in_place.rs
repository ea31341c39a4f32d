//! The restored machine takes the place of the one that is there, or only some of its disks do.
//!
//! | what the old machine has | what becomes of it |
//! |---|---|
//! | name, identity, firmware variables | they stay |
//! | a disk on a file whose counterpart comes back | kept under a second name, or removed at the end |
//! | a disk that does not come back | stays as it is where the backup has none of it, else it is left out |
//! | checkpoints of ours | forgotten: the next backup is a full one |
//! | snapshots | replaced by those of the backup of the same names; others block |

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use bundle::Point;
use code::Code;
use convert::{Action, Note, Row};
use domain::{Changes, Drive, DriveDevice, DriveSource};

use super::{Draft, Inputs, drives::told};
use crate::{
    Error, Native,
    plan::{Aside, Choices, Replacing, Restored, Safety, Standing, TargetFacts},
};

/// How the checkpoints begin that backups of ours make.
const OURS: &str = "relift-";

/// What to do instead.
const AS_NEW: &str = "leave --in-place out: it is restored as a new machine";

/// What stands between the name of an old file and the moment that took its place.
const MARK: &str = ".before-";

/// The targets of the disks that the user chose; `None` for all.
///
/// # Errors
/// `E0505`: the backup has no such disk.
pub(super) fn chosen(
    native: &Native,
    choices: &Choices,
) -> Result<Option<BTreeSet<String>>, Error> {
    if choices.disks.is_empty() {
        return Ok(None);
    }
    let drives = &native.definition(choices.trust_xml).drives;
    let is_disk = |drive: &&Drive| matches!(drive.device, DriveDevice::Disk | DriveDevice::Lun);
    let disks: Vec<&str> = drives.iter().filter(is_disk).map(|disk| &*disk.target).collect();
    let target = |text: &String| {
        let is_it = |(number, target): &(usize, &&str)| {
            let names = [format!("disk{number}"), format!("disk:{target}")];
            text == *target || names.contains(text)
        };
        let found = disks.iter().enumerate().find(is_it).map(|(_, target)| (*target).to_owned());
        found.ok_or_else(|| {
            Error::new(Code::E0505, format!("the backup has no disk {text}"))
                .detail("disks", disks.join(", "))
                .fix(format!("--disk with one of: {}", disks.join(", ")))
        })
    };
    choices.disks.iter().map(target).collect::<Result<_, _>>().map(Some)
}

/// The machine whose place is taken, where one is.
pub(super) fn standing<'a>(target: &'a TargetFacts, choices: &Choices) -> Option<&'a Standing> {
    match choices.restored {
        Restored::AsNew => None,
        Restored::InPlace(_) => target.host()?.standing.as_ref(),
    }
}

impl Inputs<'_> {
    /// Whether only some disks of the machine that is there are replaced, and nothing else of it.
    pub(super) fn is_partial(&self) -> bool {
        self.standing.is_some() && self.chosen.is_some()
    }

    /// Whether the user wants this disk.
    pub(super) fn is_chosen(&self, drive: &Drive) -> bool {
        self.chosen.as_ref().is_none_or(|chosen| chosen.contains(&drive.target))
    }

    /// Whether a path is that of a file that is replaced.
    pub(super) fn is_replaced(&self, path: &Path) -> bool {
        self.replaced().any(|(_, file)| file == path)
    }

    /// The disks of the old machine that are on files, and whose counterparts come back.
    fn replaced(&self) -> impl Iterator<Item = (&Drive, &Path)> {
        self.returning().filter_map(|drive| match &drive.source {
            DriveSource::File(path) => Some((drive, path.as_path())),
            _ => None,
        })
    }

    /// The disks of the old machine whose counterparts come back.
    fn returning(&self) -> impl Iterator<Item = &Drive> {
        let drives = self.standing.map_or(&[][..], |standing| &standing.definition.drives);
        drives.iter().filter(|drive| self.returns(&drive.target))
    }

    /// Whether a disk of this name comes out of the backup.
    fn returns(&self, target: &str) -> bool {
        let drives = &self.native.definition(self.choices.trust_xml).drives;
        let disks = drives.iter().filter(|drive| drive.device == DriveDevice::Disk);
        let Some((number, own)) = disks.enumerate().find(|(_, drive)| drive.target == target)
        else {
            return false;
        };
        self.is_chosen(own)
            && !self.is_ignored(&format!("disk{number}"), own)
            && self.image_of(own).is_some()
    }

    /// Whether the old machine has this drive as it is, so that it can stay.
    pub(super) fn is_standing(&self, drive: &Drive) -> bool {
        let mut drives = self.standing.iter().flat_map(|standing| &standing.definition.drives);
        drives.any(|old| (&old.target, &old.source) == (&drive.target, &drive.source))
    }

    /// The moment that comes back, as file names have it.
    fn moment(&self) -> String {
        let Some(backup) = &self.native.backup else { return String::new() };
        let point = backup.point.as_ref().map(|point| point.id.clone());
        point.unwrap_or_else(|| Point::id_at(backup.unix_seconds, &[]))
    }

    /// A name beside a file that nothing has.
    fn beside(&self, path: &Path, ending: &str) -> PathBuf {
        let first = format!("{MARK}{}", self.moment());
        let named = |mark: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(mark);
            name.push(ending);
            PathBuf::from(name)
        };
        let numbered = (2_u32..).map(|number| named(&format!("{first}-{number}")));
        let mut all = std::iter::once(named(&first)).chain(numbered);
        let free = all.find(|name| !self.target.taken.contains(name));
        free.unwrap_or_else(|| named(&first))
    }
}

/// Plans what becomes of the old machine, and says what keeps it from being replaced.
///
/// # Errors
/// Its definition cannot be edited.
pub(super) fn plan(
    inputs: &Inputs<'_>,
    draft: &mut Draft,
) -> Result<(Option<Replacing>, Vec<Note>), Error> {
    let Restored::InPlace(safety) = inputs.choices.restored else {
        return Ok((None, Vec::new()));
    };
    let Some(standing) = inputs.standing else { return Ok((None, vec![nobody(inputs)])) };
    let mut files: Vec<Aside> = Vec::new();
    let mut changes = Changes::default();
    for (drive, path) in inputs.replaced() {
        let aside = inputs.beside(path, "");
        draft.rows.push(old_file(inputs, drive, &aside, safety));
        changes.images.insert(drive.target.clone(), aside.clone());
        if files.iter().all(|file| file.path != path) {
            files.push(Aside { path: path.to_owned(), aside });
        }
    }
    let checkpoints = standing.checkpoints.iter().filter(|name| name.starts_with(OURS));
    let checkpoints: Vec<String> = checkpoints.cloned().collect();
    draft.rows.extend(checkpoint_row(&checkpoints));
    draft.rows.extend(left_behind(inputs, standing));
    let document = standing.definition.document.clone();
    let held = domain::patch(document.as_bytes(), &changes)?;
    let first = files.first().filter(|_| safety == Safety::Kept);
    let xml = first.map(|file| {
        let own = file.path.with_file_name(convert::slug(&standing.name));
        inputs.beside(&own, ".xml")
    });
    let blockers = blockers(inputs, standing);
    let uuid = standing.uuid;
    Ok((Some(Replacing { uuid, document, held, files, checkpoints, safety, xml }), blockers))
}

/// There is no such machine.
fn nobody(inputs: &Inputs<'_>) -> Note {
    let uri = inputs.target.host().map_or("a folder", |host| &host.uri);
    let name = &inputs.definition.machine.name;
    let text = format!("{uri} has no machine {name} whose place could be taken");
    Note::blocker(Code::E0505, text).hint(AS_NEW)
}

/// What becomes of an old file.
fn old_file(inputs: &Inputs<'_>, drive: &Drive, aside: &Path, safety: Safety) -> Row {
    let (item, label) = (format!("old.{}", drive.target), format!("old disk {}", drive.target));
    let from = told(&drive.source);
    let row = match safety {
        Safety::Kept => {
            let text = "kept under this name, with the old definition: --no-safety-snapshot does not";
            Row::kept(&item, &label, &from, aside.display().to_string()).changed().because(text)
        }
        Safety::Removed => {
            let text = "removed once the new machine is there: --no-safety-snapshot";
            let row = Row::kept(&item, &label, &from, "");
            Row { action: Action::Dropped, ..row }.because(text)
        }
    };
    match earlier(inputs, drive) {
        Some(text) => row.note(Note::new(Code::W0606, text)),
        None => row,
    }
}

/// What earlier restores left of a disk.
fn earlier(inputs: &Inputs<'_>, drive: &Drive) -> Option<String> {
    let DriveSource::File(path) = &drive.source else { return None };
    let path = path.display().to_string();
    if let Some((name, _)) = path.rsplit_once(MARK) {
        return Some(format!(
            "an earlier restore did not come to its end: the machine is on its old disk {path}, \
             and {name} may be a part of the new one"
        ));
    }
    let start = format!("{path}{MARK}");
    let taken = inputs.target.taken.iter().filter_map(|path| path.to_str());
    let left: Vec<&str> = taken.filter(|name| name.starts_with(&start)).collect();
    (!left.is_empty()).then(|| format!("an earlier restore left {}", left.join(", ")))
}

/// The checkpoints that go.
fn checkpoint_row(checkpoints: &[String]) -> Option<Row> {
    let first = checkpoints.first()?;
    let from = match checkpoints.len() {
        1 => first.clone(),
        more => format!("{first} and {} more", more.saturating_sub(1)),
    };
    let row = Row::kept("checkpoints", "checkpoints", from, "");
    let text = "what was written since is not known of the new disks: the next backup is a full one";
    Some(Row { action: Action::Dropped, ..row }.because(text))
}

/// The disks of the old machine that the new one does not have: their files stay.
fn left_behind(inputs: &Inputs<'_>, standing: &Standing) -> Vec<Row> {
    if inputs.is_partial() {
        return Vec::new();
    }
    let now = &inputs.definition.drives;
    let is_new = |old: &&Drive| now.iter().all(|drive| drive.target != old.target);
    let is_disk = |old: &&Drive| matches!(old.device, DriveDevice::Disk | DriveDevice::Lun);
    let gone = standing.definition.drives.iter().filter(is_disk).filter(is_new);
    gone.map(|old| {
        let (item, label) = (format!("old.{}", old.target), format!("old disk {}", old.target));
        let text = "the backup does not know of it: it is attached no more, and stays where it is";
        Row::dropped(&item, &label, told(&old.source), Note::new(Code::W0203, text))
    })
    .collect()
}

/// What keeps the old machine from being replaced.
fn blockers(inputs: &Inputs<'_>, standing: &Standing) -> Vec<Note> {
    let name = &standing.name;
    let mut notes = Vec::new();
    let mut block = |code, text: String, hint: String| {
        notes.push(Note::blocker(code, text).hint(hint));
    };
    if standing.is_active {
        let hint = format!("virsh shutdown {name}, and again when it is off");
        block(Code::E0510, format!("the machine {name} is on"), hint);
    }
    if standing.has_saved_memory {
        let hint = format!("start it and shut it down, or virsh managedsave-remove {name}");
        let text = format!("the machine {name} would go on with memory that was saved before");
        block(Code::E0510, text, hint);
    }
    if let Some(host) = inputs.target.host().filter(|host| !host.is_local) {
        let text = format!("the files of {} cannot be replaced from here", host.uri);
        block(Code::E0504, text, "run relift on that host, or leave --in-place out".to_owned());
    }
    let lost: Vec<&str> = lost(inputs, standing).collect();
    if !lost.is_empty() {
        let text = format!("snapshots of {name} would be lost: {}", lost.join(", "));
        let hint = format!("virsh snapshot-delete {name} NAME, or leave --in-place out");
        block(Code::E0503, text, hint);
    }
    for drive in inputs.returning() {
        let DriveSource::File(path) = &drive.source else {
            let on = told(&drive.source);
            let text = format!("the disk {} of {name} is on {on}, which is no file", drive.target);
            block(Code::E0507, text, AS_NEW.to_owned());
            continue;
        };
        if let Some(other) = inputs.user(path) {
            let text = format!("the machine {} has {} as well", other.name, path.display());
            block(Code::E0503, text, AS_NEW.to_owned());
        }
    }
    for target in inputs.chosen.iter().flatten() {
        if standing.definition.drives.iter().all(|drive| drive.target != *target) {
            let text = format!("the machine {name} has no disk {target} now");
            block(Code::E0505, text, "leave --disk out, or restore as a new machine".to_owned());
        }
    }
    notes
}

/// The snapshots that would not come back.
fn lost<'a>(inputs: &'a Inputs<'_>, standing: &'a Standing) -> impl Iterator<Item = &'a str> {
    let backup = inputs.native.backup.as_ref();
    let coming = backup.map_or(&[][..], |backup| &backup.snapshots);
    let none_comes = inputs.is_partial() || !inputs.keeps_chains();
    let comes = move |name: &&String| coming.iter().any(|(snapshot, _)| snapshot.name == **name);
    let lost = standing.snapshots.iter().filter(move |name| none_comes || !comes(name));
    lost.map(String::as_str)
}
