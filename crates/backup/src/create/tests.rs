//! A whole run, on a host of memory and exports that are real.

mod clones;
mod rules;

use std::{fs::File, io::Write as _, rc::Rc};

use bundle::{Indication, Level, State};
use disk::{Alone, Declared, Format, Unheard};
use host::{
    fake::{Fake, FakeGuest},
    libvirt::LibvirtKind,
};

use super::{
    fixture::{CAPACITY_BYTES, CHANGE_BYTES, Keepers, Lab, MACHINE, known},
    *,
};

/// A job of another program, as libvirt tells of it.
const FOREIGN: &str = "<domainbackup mode='pull'><disks><disk name='vda' backup='yes' type='file'>\
    <scratch file='/elsewhere/vda'/></disk></disks></domainbackup>";

/// What is told of the last increment of a bundle.
const LAST: &str =
    "the bundle has all the increments that it may have: the next backup is a full one";

fn host(guest: FakeGuest) -> Rc<Fake> {
    Rc::new(Fake::new(None).with_guest(guest))
}

fn off(lab: &Lab) -> FakeGuest {
    FakeGuest { power: Power::Off, ..lab.guest() }
}

/// The content of an image by itself: what is below it reads as zeros.
fn content(lab: &Lab, member: &str) -> Vec<u8> {
    let bundle = lab.bundle();
    let bytes = bundle.bytes(bundle.member(member).unwrap()).unwrap();
    let image = disk::open_behind(&Alone, bytes, Declared::Stated(Format::Qcow2)).unwrap();
    testkit::read_extents(&*image).unwrap()
}

fn names(guest: &FakeGuest) -> Vec<&str> {
    guest.checkpoints.iter().map(|(name, _)| name.as_str()).collect()
}

fn modes(made: &Made) -> Vec<(Mode, Option<&str>)> {
    made.point.disks.iter().map(|disk| (disk.mode, disk.reason.as_deref())).collect()
}

/// Nothing of a run is left: no job, no folder, a guest that goes on.
fn is_quiet(lab: &Lab, fake: &Fake, at: &str) {
    let guest = fake.guest();
    assert_eq!(guest.power, Power::Running, "{at}");
    assert!(!guest.is_frozen && guest.backup.is_none(), "{at}: {guest:?}");
    assert!(!lab.scratch().exists(), "{at}");
}

#[test]
fn a_full_backup_and_an_increment_hold_what_the_guest_wrote() {
    let (lab, fake) = (Lab::new(), Rc::new(Fake::new(None)));
    fake.disturb(|guest| *guest = lab.guest());
    let full = lab.run(&lab.request(100), &fake).unwrap();
    assert_eq!(modes(&full), [(Mode::Full, None), (Mode::Full, None)]);
    assert_eq!(full.point.indications, [Indication::Online, Indication::GuestAgent]);
    assert_eq!(full.notes, [""; 0]);
    assert_eq!(content(&lab, &full.point.disks[0].member), lab.content("vda"));
    lab.write("vda", 3, 0xaa);
    lab.write("vdb", 15, 0);
    let second = lab.run(&lab.request(200), &fake).unwrap();
    assert_eq!(modes(&second), [(Mode::Incremental, None), (Mode::Incremental, None)]);
    let read: Vec<_> = second.point.disks.iter().map(|disk| disk.read_bytes).collect();
    assert_eq!(read, [CHANGE_BYTES as u64; 2]);
    let mut changed = vec![0; CAPACITY_BYTES as usize];
    changed[3 * CHANGE_BYTES..4 * CHANGE_BYTES].fill(0xaa);
    assert!(content(&lab, &second.point.disks[0].member) == changed);
    assert_eq!(names(&fake.guest()), ["relift-s-200"], "the one before is gone");
    is_quiet(&lab, &fake, "at the end");
    let acts = [
        "freeze",
        "begin backup with relift-s-100",
        "thaw",
        "abort job",
        "freeze",
        "begin backup with relift-s-200",
        "thaw",
        "abort job",
        "delete checkpoint relift-s-100",
    ];
    assert_eq!(fake.acts(), acts);
    assert_eq!(bundle::verify(&lab.bundle(), Level::Deep, &Unheard).unwrap().faults, []);
}

#[test]
fn a_disk_whose_bitmap_is_lost_is_read_whole_and_the_other_is_not() {
    let lab = Lab::new();
    let fake = host(lab.guest());
    lab.run(&lab.request(100), &fake).unwrap();
    fake.disturb(|guest| guest.lost_bitmaps = vec!["vdb".to_owned()]);
    let made = lab.run(&lab.request(200), &fake).unwrap();
    let reason = "the bitmap of the checkpoint before is missing or broken";
    assert_eq!(modes(&made), [(Mode::Incremental, None), (Mode::Full, Some(reason))]);
    is_quiet(&lab, &fake, "one");
    fake.disturb(|guest| guest.lost_bitmaps.push("vda".to_owned()));
    let wish = Wish::Incremental;
    let error = lab.run(&Request { wish, ..lab.request(300) }, &fake).unwrap_err();
    assert_eq!(error.kind(), Kind::NoIncrement);
    assert_eq!(error.to_string(), format!("no increment is possible: {reason}"));
    assert_eq!(names(&fake.guest()), ["relift-s-200"]);
    let made = lab.run(&lab.request(300), &fake).unwrap();
    assert_eq!(modes(&made), [(Mode::Full, Some(reason)); 2]);
    is_quiet(&lab, &fake, "both");
}

#[test]
fn a_host_that_does_not_count_for_no_disk_in_particular_ends_the_search() {
    let lab = Lab::new();
    let fake = host(lab.guest());
    lab.run(&lab.request(100), &fake).unwrap();
    // freeze, begin: the second begin of all, and every job for one disk is taken.
    let second = Fake::new(Some(1)).failing_as(LibvirtKind::BadCheckpoint);
    let second = Rc::new(second.with_guest(fake.guest()));
    let made = lab.run(&lab.request(200), &second).unwrap();
    let reason = "the host does not count from the checkpoint before any more";
    assert_eq!(modes(&made), [(Mode::Full, Some(reason)); 2]);
    is_quiet(&lab, &second, "the end");
}

#[test]
fn whatever_act_of_the_host_fails_the_bundle_and_the_machine_are_as_they_were() {
    let mut fail_at = 0;
    loop {
        let lab = Lab::new();
        let first = host(lab.guest());
        let base = lab.run(&lab.request(100), &first).unwrap().point.id;
        let before = std::fs::read(lab.path("web.tar")).unwrap();
        lab.write("vda", 3, 0xaa);
        let fake = Rc::new(Fake::new(Some(fail_at)).with_guest(first.guest()));
        let made = lab.run(&lab.request(200), &fake);
        let at = format!("{:?} fails: {made:?}", fake.acts().get(fail_at));
        is_quiet(&lab, &fake, &at);
        let points = lab.bundle().points().unwrap();
        assert_eq!(points[0].id, base, "{at}");
        assert_eq!(bundle::verify(&lab.bundle(), Level::Deep, &Unheard).unwrap().faults, []);
        match &made {
            Ok(_) => {
                assert_eq!(points.len(), 2, "{at}");
                assert!(names(&fake.guest()).contains(&"relift-s-200"), "{at}");
            }
            Err(_) => {
                assert_eq!(names(&fake.guest()), ["relift-s-100"], "{at}");
                assert!(std::fs::read(lab.path("web.tar")).unwrap() == before, "{at}");
            }
        }
        if fail_at >= fake.acts().len() {
            break;
        }
        fail_at += 1;
    }
    assert_eq!(fail_at, 5, "freeze, begin, thaw, abort, delete");
}

#[test]
fn without_a_quiet_guest_where_it_has_to_be_quiet_nothing_is_left() {
    let lab = Lab::new();
    let fake = Rc::new(Fake::new(Some(0)).with_guest(lab.guest()));
    let quiesce = Quiesce::Require;
    let error = lab.run(&Request { quiesce, ..lab.request(100) }, &fake).unwrap_err();
    assert_eq!(error.to_string(), "the guest's file systems could not be frozen");
    assert_eq!(fake.acts(), ["freeze", "thaw"]);
    is_quiet(&lab, &fake, "frozen");
    assert!(!lab.path("web.tar").exists());
}

#[test]
fn the_job_of_another_program_is_left_alone_whenever_it_began() {
    let lab = Lab::new();
    let fake = host(FakeGuest { backup: Some(FOREIGN.to_owned()), ..lab.guest() });
    let error = lab.run(&lab.request(100), &fake).unwrap_err();
    assert_eq!(error.to_string(), "another program backs up the machine now");
    assert_eq!(error.code(), Some(code::Code::E0602));
    assert_eq!(fake.acts(), [""; 0]);
    // One that begins after we looked.
    let fake = host(lab.guest());
    let before = |fake: &Fake| fake.disturb(|guest| guest.backup = Some(FOREIGN.to_owned()));
    let keepers = Keepers { before, ..Keepers::of(&fake) };
    let error = lab.run_with(&lab.request(100), &keepers).unwrap_err();
    assert_eq!(error.kind(), Kind::Host(LibvirtKind::Busy));
    assert_eq!(fake.guest().backup.as_deref(), Some(FOREIGN));
    assert_eq!(fake.acts(), ["freeze", "begin backup with relift-s-100", "thaw"]);
    assert!(!lab.scratch().exists());
}

#[test]
fn a_guest_that_a_full_scratch_file_stopped_goes_on_once_the_job_is_over() {
    let lab = Lab::new();
    let stop = |fake: &Fake| {
        fake.disturb(|guest| guest.power = Power::Paused { by_error: true });
    };
    let fake = host(lab.guest());
    let keepers = Keepers { after: stop, ..Keepers::of(&fake) };
    lab.run_with(&lab.request(100), &keepers).unwrap();
    let resume = format!("resume {MACHINE}");
    let begin = "begin backup with relift-s-100";
    assert_eq!(fake.acts(), ["freeze", begin, "thaw", "abort job", &resume]);
    is_quiet(&lab, &fake, "the end");
    // One that stood still before is not let go on.
    let power = Power::Paused { by_error: true };
    let fake = host(FakeGuest { power: power.clone(), ..lab.guest() });
    let request = Request { known: known(&["relift-s-100"]), ..lab.request(200) };
    let made = lab.run(&request, &fake).unwrap();
    assert_eq!((made.point.state, fake.guest().power), (State::Paused, power));
    assert_eq!(fake.acts(), ["begin backup with relift-s-200", "abort job"]);
}

#[test]
fn checkpoints_that_other_bundles_of_the_folder_need_stay_until_the_point_is_there() {
    let lab = Lab::new();
    let guest = FakeGuest {
        checkpoints: ["relift-s-1", "relift-s-2", "relift-t-3", "theirs"]
            .map(|name| (name.to_owned(), String::new()))
            .into(),
        ..lab.guest()
    };
    let known = known(&["relift-s-2"]);
    let wish = Wish::Full;
    let request = Request { known, wish, keeps: Keeps::Nothing, ..lab.request(100) };
    let fake = host(guest);
    let made = lab.run(&request, &fake).unwrap();
    assert_eq!(made.notes, ["deleted the checkpoint relift-s-1, which no point knows"]);
    assert_eq!(names(&fake.guest()), ["relift-s-2", "relift-t-3", "theirs"]);
    std::fs::remove_file(lab.path("web.tar")).unwrap();
    let made = lab.run(&Request { keeps: Keeps::Checkpoint, ..request }, &fake).unwrap();
    assert_eq!(made.notes, [""; 0]);
    assert_eq!(names(&fake.guest()), ["relift-t-3", "theirs", "relift-s-100"]);
}

#[test]
fn a_machine_that_is_off_is_read_from_its_images_without_an_act() {
    let lab = Lab::new();
    let fake = host(off(&lab));
    let request = Request { keeps: Keeps::Nothing, ..lab.request(100) };
    let made = lab.run(&request, &fake).unwrap();
    assert_eq!((made.point.state, made.point.checkpoint.is_none()), (State::Off, true));
    assert_eq!((made.point.indications.len(), fake.acts().len()), (0, 0));
    assert_eq!(content(&lab, &made.point.disks[1].member), [0; CAPACITY_BYTES as usize]);
}

#[test]
fn a_machine_that_is_off_is_started_paused_for_a_checkpoint_and_never_runs() {
    let lab = Lab::new();
    let fake = host(off(&lab));
    let made = lab.run(&lab.request(100), &fake).unwrap();
    assert_eq!((made.point.state, made.frozen), (State::Off, None));
    let start = format!("start paused {MACHINE}");
    let end = format!("destroy {MACHINE}");
    assert_eq!(fake.acts(), [&start, "begin backup with relift-s-100", "abort job", &end]);
    assert_eq!(content(&lab, &made.point.disks[0].member), lab.content("vda"));
    assert_eq!((fake.guest().power, lab.scratch().exists()), (Power::Off, false));
    // What fails afterwards takes the checkpoint back while there is a process that has its bitmap.
    let fake = Rc::new(Fake::new(Some(1)).with_guest(off(&lab)));
    std::fs::remove_file(lab.path("web.tar")).unwrap();
    lab.run(&lab.request(100), &fake).unwrap_err();
    assert_eq!(fake.acts(), [&start, "begin backup with relift-s-100", &end]);
}

#[test]
fn no_checkpoint_is_made_where_no_image_can_keep_a_bitmap() {
    let lab = Lab::new();
    let definition = lab.definition().replace("type='qcow2'", "type='raw'");
    let fake = host(FakeGuest { definition, ..lab.guest() });
    let made = lab.run(&lab.request(100), &fake).unwrap();
    let note = "no image of the machine can keep a bitmap: the next backup is a full one, too";
    assert_eq!(made.notes, [note]);
    assert_eq!(fake.acts(), ["freeze", "begin backup", "thaw", "abort job"]);
}

#[test]
fn two_points_of_one_second_have_checkpoints_of_their_own() {
    let lab = Lab::new();
    let checkpoints = vec![("relift-s-100".to_owned(), String::new())];
    let fake = host(FakeGuest { checkpoints, ..lab.guest() });
    let known = known(&["relift-s-100"]);
    let made = lab.run(&Request { known, ..lab.request(100) }, &fake).unwrap();
    assert_eq!(made.point.checkpoint.unwrap().name, "relift-s-100-2");
    assert_eq!(names(&fake.guest()), ["relift-s-100-2"]);
}

#[test]
fn the_last_increment_of_a_bundle_takes_the_checkpoints_with_it() {
    let lab = Lab::new();
    let fake = host(lab.guest());
    lab.run(&lab.request(100), &fake).unwrap();
    fake.disturb(|guest| guest.checkpoints.push(("relift-t-3".to_owned(), String::new())));
    lab.write("vda", 3, 0xaa);
    let last = Request { keeps: Keeps::Last, ..lab.request(200) };
    let made = lab.run(&last, &fake).unwrap();
    assert_eq!(modes(&made), [(Mode::Incremental, None); 2]);
    assert_eq!(made.notes, [LAST]);
    assert_eq!(made.point.checkpoint, None);
    assert!(!lab.bundle().manifest().unwrap().unwrap().incrementable);
    assert_eq!(names(&fake.guest()), ["relift-t-3"], "those of another folder stay");
    let acts = ["freeze", "begin backup", "thaw", "abort job", "delete checkpoint relift-s-100"];
    assert_eq!(fake.acts()[4..], acts);
    is_quiet(&lab, &fake, "at the end");
}

#[test]
fn the_last_increment_of_a_machine_that_is_off_drops_its_checkpoint_before_its_process() {
    let lab = Lab::new();
    let fake = host(off(&lab));
    lab.run(&lab.request(100), &fake).unwrap();
    let last = Request { keeps: Keeps::Last, ..lab.request(200) };
    assert_eq!(lab.run(&last, &fake).unwrap().notes, [LAST]);
    let (start, end) = (format!("start paused {MACHINE}"), format!("destroy {MACHINE}"));
    let acts = [&start, "begin backup", "abort job", "delete checkpoint relift-s-100", &end];
    assert_eq!(fake.acts()[4..], acts);
}

#[test]
fn a_backup_that_was_to_be_the_last_increment_and_is_a_full_one_can_be_gone_on_with() {
    let lab = Lab::new();
    let fake = host(lab.guest());
    lab.run(&lab.request(100), &fake).unwrap();
    fake.disturb(|guest| guest.lost_bitmaps = vec!["vda".to_owned(), "vdb".to_owned()]);
    let last = Request { keeps: Keeps::Last, ..lab.request(200) };
    let made = lab.run(&last, &fake).unwrap();
    assert_eq!((made.point.mode, &*made.notes), (Mode::Full, &[][..]));
    assert_eq!(names(&fake.guest()), ["relift-s-200"]);
    assert!(lab.bundle().manifest().unwrap().unwrap().incrementable);
}

#[test]
fn a_checkpoint_that_a_damaged_bundle_may_know_stays_and_is_told() {
    let lab = Lab::new();
    let checkpoints = ["relift-s-1", "relift-s-2", "relift-t-3"];
    let checkpoints = checkpoints.map(|name| (name.to_owned(), String::new())).into();
    let fake = host(FakeGuest { checkpoints, ..lab.guest() });
    let known = Known { series: Vec::new(), ..known(&["relift-s-2"]) };
    let doubt = Some("/b/cut.tar is damaged".to_owned());
    let made = lab.run(&Request { known, doubt, ..lab.request(100) }, &fake).unwrap();
    let note = "a checkpoint that no point knows stays: /b/cut.tar is damaged";
    assert_eq!(made.notes, [note]);
    assert_eq!(names(&fake.guest()), ["relift-s-1", "relift-t-3", "relift-s-100"]);
}

#[test]
fn an_image_of_a_machine_that_is_off_must_not_change_while_the_disks_are_read() {
    let lab = Lab::new();
    let fake = host(off(&lab));
    // Somebody starts the machine elsewhere, when its first disk has been read.
    let write = |lab: &Lab, target: &str| {
        if target == "vdb" {
            let image = File::options().append(true).open(lab.path("vda.qcow2"));
            image.unwrap().write_all(&[1]).unwrap();
        }
    };
    let keepers = Keepers { copying: write, ..Keepers::of(&fake) };
    let request = Request { keeps: Keeps::Nothing, ..lab.request(100) };
    let error = lab.run_with(&request, &keepers).unwrap_err();
    let image = lab.path("vda.qcow2").display().to_string();
    assert_eq!(error.to_string(), format!("the image {image} cannot be read"));
    let changed = "the file changed while it was read: it had 262144 bytes, now it has 262145";
    let causes = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    assert_eq!(causes, ["cannot read or write the image", changed]);
    assert_eq!(error.code(), Some(code::Code::E0508));
    assert!(!lab.path("web.tar").exists());
    assert_eq!(fake.acts(), [""; 0]);
}

#[test]
fn where_nothing_has_changed_no_point_is_made_if_none_is_wanted() {
    let lab = Lab::new();
    let fake = host(lab.guest());
    lab.run(&lab.request(100), &fake).unwrap();
    let before = std::fs::read(lab.path("web.tar")).unwrap();
    let unchanged_from = Some(lab.definition());
    let wanted =
        |seconds| Request { unchanged_from: unchanged_from.clone(), ..lab.request(seconds) };
    let outcome = lab.come_of(&wanted(200), &Keepers::of(&fake)).unwrap();
    assert!(matches!(&outcome, Outcome::Unchanged { notes } if notes.is_empty()), "{outcome:?}");
    assert!(std::fs::read(lab.path("web.tar")).unwrap() == before);
    assert_eq!(names(&fake.guest()), ["relift-s-100"], "it goes on counting");
    is_quiet(&lab, &fake, "unchanged");
    // Another definition is something new, and so is a cluster that is zeros now.
    fake.disturb(|guest| guest.definition = guest.definition.replace("16384", "32768"));
    lab.run(&wanted(300), &fake).unwrap();
    fake.disturb(|guest| guest.definition = lab.definition());
    lab.write("vdb", 15, 0);
    let made = lab.run(&wanted(400), &fake).unwrap();
    assert_eq!(modes(&made), [(Mode::Incremental, None); 2]);
    // A machine that is off is turned off again.
    fake.disturb(|guest| guest.power = Power::Off);
    let outcome = lab.come_of(&wanted(500), &Keepers::of(&fake)).unwrap();
    assert!(matches!(outcome, Outcome::Unchanged { .. }), "{outcome:?}");
    assert_eq!((fake.guest().power, names(&fake.guest())), (Power::Off, vec!["relift-s-400"]));
}
