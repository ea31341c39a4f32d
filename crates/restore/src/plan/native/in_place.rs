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
    let replacing = Replacing {
        uuid: standing.uuid,
        document,
        held,
        files,
        checkpoints,
        snapshots: standing.snapshots.clone(),
        safety,
        xml,
    };
    Ok((Some(replacing), blockers(inputs, standing)))
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
            let text =
                "kept under this name, with the old definition: --no-safety-snapshot does not";
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
    let text =
        "what was written since is not known of the new disks: the next backup is a full one";
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

#[cfg(test)]
mod tests {
    use host::PathKind;

    use super::*;
    use crate::plan::fixture::{
        Case, MAC, UUID, cdrom, disk, domain, lun, machine, notes, paths, row, told, uuid, xml,
    };

    const SYSTEM: &str = "/vm/web.qcow2";
    const DATA: &str = "/vm/data.qcow2";

    /// A backup of two disks, and the machine with these drives on the host.
    fn in_place(drives: &str) -> Case {
        let own = disk("vda", SYSTEM) + &disk("vdb", DATA);
        let case = Case::backup(&own).image("web.qcow2", None).image("data.qcow2", None);
        let mut case = case.at(SYSTEM, PathKind::File).at(DATA, PathKind::File);
        let mut known = machine("web", &[SYSTEM, DATA]);
        known.uuid = uuid(UUID);
        case.host().standing = Some(Standing::new(&known, domain(drives)).unwrap());
        case.host().machines = vec![known];
        case.target.taken = [SYSTEM, DATA].map(PathBuf::from).into();
        case.choices.restored = Restored::InPlace(Safety::Kept);
        case
    }

    fn whole() -> Case {
        in_place(&(disk("vda", SYSTEM) + &disk("vdb", DATA)))
    }

    fn blocked(case: &Case) -> Vec<(Code, String)> {
        case.blockers().into_iter().map(|(code, text, _)| (code, text)).collect()
    }

    /// KUBEVIRT-29: the machine is what it was, under its own name and identity, on its own files.
    #[test]
    fn the_machine_keeps_its_identity_and_its_paths() {
        let plan = whole().plan();
        assert_eq!((paths(&plan), told(&plan)), (vec![SYSTEM.into(), DATA.into()], vec![]));
        assert!(xml(&plan).contains(UUID) && xml(&plan).contains(MAC), "{}", xml(&plan));
        let replacing = plan.machines[0].replacing.as_ref().unwrap();
        let before = "/vm/web.qcow2.before-19700101-000000";
        assert_eq!(replacing.files[0].aside, Path::new(before));
        assert!(replacing.held.contains(before) && !replacing.document.contains(before));
        assert_eq!(replacing.xml.as_deref(), Some(Path::new("/vm/web.before-19700101-000000.xml")));
        assert_eq!(row(&plan, "old.vda").to, before);
        assert_eq!(replacing.kept().len(), 3);
    }

    #[test]
    fn without_a_safety_snapshot_nothing_of_the_old_machine_stays() {
        let mut case = whole();
        case.choices.restored = Restored::InPlace(Safety::Removed);
        let plan = case.plan();
        let replacing = plan.machines[0].replacing.as_ref().unwrap();
        assert_eq!((replacing.kept(), &replacing.xml), (vec![], &None));
        assert_eq!(row(&plan, "old.vda").action, Action::Dropped);
    }

    #[test]
    fn a_second_name_that_is_taken_gets_a_number_and_is_told() {
        let mut case = whole();
        let first = "/vm/web.qcow2.before-19700101-000000";
        case.target.taken.insert(first.into());
        let plan = case.plan();
        assert_eq!(row(&plan, "old.vda").to, format!("{first}-2"));
        let want = format!("an earlier restore left {first}");
        assert_eq!(notes(&plan, "old.vda"), [(Code::W0606, want)]);
    }

    /// A run that was killed leaves the old machine on the second names of its files.
    #[test]
    fn a_machine_that_an_earlier_run_still_holds_is_told_and_can_be_replaced() {
        let held = "/vm/web.qcow2.before-20261121-190500";
        let mut case = in_place(&(disk("vda", held) + &disk("vdb", DATA)));
        case.target.taken.insert(held.into());
        let plan = case.plan();
        assert_eq!(paths(&plan), ["/vm/web-2.qcow2", DATA], "nobody knows what the first is");
        let want = format!(
            "an earlier restore did not come to its end: the machine is on its old disk {held}, \
             and /vm/web.qcow2 may be a part of the new one"
        );
        assert_eq!(notes(&plan, "old.vda"), [(Code::W0606, want)]);
    }

    #[test]
    fn a_machine_of_the_same_name_gives_its_identity() {
        let mut case = whole();
        let other = "5b1c0000-0000-4000-8000-0000000000bb";
        case.host().machines[0].uuid = uuid(other);
        case.host().standing.as_mut().unwrap().uuid = uuid(other);
        let plan = case.plan();
        assert_eq!((plan.machines[0].machine.uuid, told(&plan)), (Some(uuid(other)), vec![]));
    }

    #[test]
    fn a_machine_that_is_not_there_or_not_off_blocks() {
        let mut case = whole();
        case.host().machines.clear();
        case.host().standing = None;
        case.target.taken.clear();
        let text = "test:///default has no machine web whose place could be taken";
        assert_eq!(case.blockers(), [(Code::E0505, text.into(), AS_NEW.into())]);
        let mut case = whole();
        case.host().standing.as_mut().unwrap().is_active = true;
        let hint = "virsh shutdown web, and again when it is off";
        let want = (Code::E0510, "the machine web is on".to_owned(), hint.to_owned());
        assert_eq!(case.blockers(), [want]);
        let mut case = whole();
        case.host().standing.as_mut().unwrap().has_saved_memory = true;
        let text = "the machine web would go on with memory that was saved before";
        assert_eq!(blocked(&case), [(Code::E0510, text.to_owned())]);
    }

    /// SPACEVM-16: what the point's snapshots keep comes beside the old machine's files of those names.
    #[test]
    fn the_snapshots_of_a_point_take_the_place_of_those_that_are_there() {
        let snapshot = bundle::Snapshot {
            name: "fresh".to_owned(),
            parent: None,
            created_unix_seconds: 17,
            config: "17-web.xml".to_owned(),
            nodes: vec!["web.qcow2".to_owned()],
            disks: [("vda".to_owned(), "web.qcow2".to_owned())].into(),
            memory: None,
        };
        let case = whole()
            .image("web-vda-1.qcow2", Some("web.qcow2"))
            .image("web-vdb-1.qcow2", None)
            .point(&[("vda", "web-vda-1.qcow2"), ("vdb", "web-vdb-1.qcow2")]);
        let mut case = case.snapshot(snapshot, &disk("vda", "/vm/old.qcow2"));
        case.host().standing.as_mut().unwrap().snapshots = vec!["fresh".into()];
        let plan = case.plan();
        assert_eq!(told(&plan), []);
        assert_eq!(paths(&plan), ["/vm/web.qcow2", "/vm/web-2.qcow2", DATA]);
        assert_eq!(plan.machines[0].snapshots.len(), 1);
        // Of a chosen disk the chain comes alone, and the machine must not have snapshots.
        case.choices.disks = vec!["vda".to_owned()];
        assert_eq!(blocked(&case)[0].1, "snapshots of web would be lost: fresh");
        case.host().standing.as_mut().unwrap().snapshots.clear();
        let plan = case.plan();
        assert_eq!(told(&plan), []);
        assert_eq!(paths(&plan).len(), 2);
        let want = "only disks come back: a snapshot is one of the whole machine";
        assert_eq!(notes(&plan, "snapshot.fresh"), [(Code::W0203, want.to_owned())]);
    }

    #[test]
    fn snapshots_that_do_not_come_back_block() {
        let mut case = whole();
        case.host().standing.as_mut().unwrap().snapshots = vec!["fresh".into()];
        let text = "snapshots of web would be lost: fresh";
        assert_eq!(blocked(&case), [(Code::E0503, text.to_owned())]);
        let snapshot = bundle::Snapshot {
            name: "fresh".to_owned(),
            parent: None,
            created_unix_seconds: 1,
            config: "1.xml".to_owned(),
            nodes: vec!["web.qcow2".to_owned()],
            disks: std::collections::BTreeMap::new(),
            memory: None,
        };
        let mut case = case.snapshot(snapshot, &disk("vda", SYSTEM));
        assert_eq!(blocked(&case), []);
        case.choices.disks = vec!["vda".to_owned()];
        assert_eq!(blocked(&case), [(Code::E0503, text.to_owned())], "disks alone have none");
    }

    #[test]
    fn a_disk_that_others_have_or_that_is_no_file_blocks() {
        let mut case = whole();
        case.host().machines.push(machine("db", &[DATA]));
        let text = "the machine db has /vm/data.qcow2 as well";
        assert_eq!(blocked(&case), [(Code::E0503, text.to_owned())]);
        let case = in_place(&(disk("vda", SYSTEM) + &lun("vdb", "/dev/vg/data")));
        let text = "the disk vdb of web is on /dev/vg/data, which is no file";
        assert_eq!(blocked(&case), [(Code::E0507, text.to_owned())]);
    }

    #[test]
    fn our_checkpoints_go_and_the_next_backup_is_full() {
        let mut case = whole();
        case.host().standing.as_mut().unwrap().checkpoints =
            ["relift-1", "relift-2", "other"].map(str::to_owned).into();
        let plan = case.plan();
        let row = row(&plan, "checkpoints");
        assert_eq!(row.from, "relift-1 and 1 more");
        let reason = &row.reason;
        assert!(reason.ends_with("the next backup is a full one"), "{reason}");
        let replacing = plan.machines[0].replacing.as_ref().unwrap();
        assert_eq!(replacing.checkpoints, ["relift-1", "relift-2"]);
    }

    #[test]
    fn a_chosen_disk_is_replaced_and_everything_else_stays_as_it_is() {
        let cd = cdrom("/iso/now.iso");
        let mut case = in_place(&(disk("vda", SYSTEM) + &disk("vdb", DATA) + &cd));
        for name in ["vdb", "disk1", "disk:vdb"] {
            case.choices.disks = vec![name.to_owned()];
            let plan = case.plan();
            assert_eq!((paths(&plan), told(&plan)), (vec![DATA.into()], vec![]), "{name}");
            let replacing = plan.machines[0].replacing.as_ref().unwrap();
            let [file] = &replacing.files[..] else { panic!("{:?}", replacing.files) };
            assert_eq!(file.path, Path::new(DATA));
            assert!(replacing.held.contains("'/vm/web.qcow2'"), "{}", replacing.held);
            assert!(xml(&plan).contains(SYSTEM) && xml(&plan).contains("/iso/now.iso"));
            assert_eq!(row(&plan, "disk0").to, SYSTEM);
        }
    }

    #[test]
    fn as_a_new_machine_the_disks_that_are_not_chosen_are_left_out() {
        let mut case = whole();
        case.choices.restored = Restored::AsNew;
        case.choices.name = Some("copy".to_owned());
        case.choices.disks = vec!["vdb".to_owned()];
        let plan = case.plan();
        assert_eq!((paths(&plan), told(&plan)), (vec!["/vm/data-2.qcow2".into()], vec![]));
        assert_eq!(row(&plan, "disk0").action, Action::Dropped);
        assert!(!xml(&plan).contains("dev='vda'"), "{}", xml(&plan));
    }

    #[test]
    fn a_disk_that_the_backup_or_the_machine_does_not_have_is_named() {
        let mut case = in_place(&disk("vda", SYSTEM));
        case.choices.disks = vec!["vdx".to_owned()];
        let error =
            crate::plan(&case.facts, &[], &case.target, &case.choices).expect_err("no such disk");
        assert_eq!((error.code(), error.to_string()), {
            (Code::E0505, "the backup has no disk vdx".to_owned())
        });
        assert_eq!(error.fix_text(), Some("--disk with one of: vda, vdb"));
        case.choices.disks = vec!["vdb".to_owned()];
        let text = "the machine web has no disk vdb now";
        assert_eq!(blocked(&case), [(Code::E0505, text.to_owned())]);
    }

    #[test]
    fn a_disk_that_the_backup_does_not_have_stays_and_one_it_does_not_know_is_told() {
        let mut case = whole();
        case.of_backup().nodes.pop();
        let plan = case.plan();
        assert_eq!((paths(&plan), told(&plan)), (vec![SYSTEM.into()], vec![]));
        assert!(xml(&plan).contains(DATA));
        let more = disk("vda", SYSTEM) + &disk("vdb", DATA) + &disk("vdc", "/vm/new.qcow2");
        let plan = in_place(&more).plan();
        let want = "the backup does not know of it: it is attached no more, and stays where it is";
        assert_eq!(notes(&plan, "old.vdc"), [(Code::W0203, want.to_owned())]);
    }

    #[test]
    fn firmware_variables_of_the_machine_stay() {
        let file = "<nvram>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram></os>";
        let mut case = whole();
        let now = domain(&(disk("vda", SYSTEM) + &disk("vdb", DATA))).replacen("</os>", file, 1);
        let mut case_of = |text: &str| {
            let definition = crate::Definition::parse(text.to_owned()).unwrap();
            case.host().standing.as_mut().unwrap().definition = definition;
            case.native().scrubbed.firmware.variables = Some("/old/web_VARS.fd".into());
            let document = text.replacen("/var/lib/libvirt/qemu/nvram", "/old", 1);
            case.native().scrubbed.document = document;
            case.plan()
        };
        let plan = case_of(&now);
        assert_eq!(row(&plan, "nvram").to, "/var/lib/libvirt/qemu/nvram/web_VARS.fd");
        assert!(xml(&plan).contains("/var/lib/libvirt/qemu/nvram/web_VARS.fd"));
    }
}
