//! Whole runs of a machine with snapshots: its images are real, its host is of memory.

use std::{fs::File, io, rc::Rc, sync::Arc, time::Duration};

use bundle::{Bundle, Form, Indication, Level, Manifest, Mode, Options, Snapshot, Vm};
use disk::{FileBytes, Progress, Unheard};
use host::{
    fake::{Fake, FakeGuest},
    guard,
    libvirt::{BlockInfo, KnownMachine, Power},
};
use vm::Uuid;

use crate::{
    Error, Result,
    create::{
        Before, Bundled, Doors, Keeps, Made, Outcome, Plan, Request, Step, Untaken, Watch, Way,
        Wish, create, fixture,
        fixture::{Keepers, MACHINE},
        plan,
    },
    quiesce::{Armed, Guards, Quiesce},
    snapshot::{MemoryFile, fixture::Lab},
};

struct Silent;

impl Progress for Silent {
    fn advance(&self, _done_bytes: u64) {}

    fn stopped(&self) -> bool {
        false
    }
}

impl Watch for Silent {
    fn begin(&self, _step: Step<'_>) {}
}

/// A machine with the snapshots `s1` and `s2`, in this state.
fn guest(lab: &Lab, power: Power) -> FakeGuest {
    let size = 1 << 20;
    let info = BlockInfo { capacity_bytes: size, allocation_bytes: size, physical_bytes: size };
    FakeGuest { power, disks: [("vda".to_owned(), info)].into(), ..lab.guest() }
}

fn host(lab: &Lab, power: Power) -> Rc<Fake> {
    Rc::new(Fake::new(None).with_guest(guest(lab, power)))
}

/// A full backup that no increment follows.
fn request() -> Request {
    Request { keeps: Keeps::Nothing, ..fixture::Lab::new().request(100) }
}

fn doors<'a>(lab: &'a Lab, keepers: &'a Keepers<'_>) -> Doors<'a> {
    Doors {
        host: &**keepers.fake,
        guards: keepers,
        watch: &Silent,
        files: &**keepers.fake,
        records: &lab.records,
        foreign: &[],
    }
}

fn run(lab: &Lab, fake: &Rc<Fake>, request: &Request) -> Result<Made> {
    let path = lab.path("web.tar");
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    let vm = Vm { name: "web".to_owned(), uuid: None };
    let manifest = Manifest { vm, incrementable: true, ..Manifest::default() };
    let options = Options { form: Form::Tar, level: 3, unix_seconds: request.unix_seconds };
    let mut sink = Bundled::create(&file, options, manifest)?;
    let made = made(create(request, &mut sink, &doors(lab, &Keepers::of(fake))));
    if made.is_err() {
        std::fs::remove_file(path).unwrap();
    }
    made
}

fn made(outcome: Result<Outcome>) -> Result<Made> {
    match outcome? {
        Outcome::Made(made) => Ok(*made),
        Outcome::Unchanged { .. } => Err(Error::usage("nothing has changed")),
    }
}

fn planned(lab: &Lab, fake: &Rc<Fake>, request: &Request) -> Result<Plan> {
    plan(request, Before::default(), &doors(lab, &Keepers::of(fake)))
}

fn bundle(lab: &Lab) -> Bundle {
    let file = File::open(lab.path("web.tar")).unwrap();
    let bundle = Bundle::open(Arc::new(FileBytes::new(file).unwrap())).unwrap();
    assert_eq!(bundle::verify(&bundle, Level::Deep, &Unheard).unwrap().faults, []);
    bundle
}

/// The images of the bundle, with the one that each stands on.
fn images(bundle: &Bundle) -> Vec<(String, Option<String>)> {
    bundle.nodes().unwrap().into_iter().map(|node| (node.member, node.backing)).collect()
}

const TREE: [(&str, Option<&str>); 3] = [
    ("base.qcow2", None),
    ("base.s1.qcow2.snapshot", Some("base.qcow2")),
    ("web-vda-100.snapshot", Some("base.s1.qcow2.snapshot")),
];

fn owned(images: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
    images.iter().map(|(name, below)| ((*name).to_owned(), below.map(str::to_owned))).collect()
}

fn untaken(made: &Made) -> Vec<(&str, &str)> {
    made.untaken.iter().map(|it| (it.name.as_str(), it.reason.as_str())).collect()
}

/// Nothing of a run is left beside the images of the lab.
fn is_clean(lab: &Lab, at: &str) {
    let images = lab.images();
    let ours = images.iter().filter(|name| *name != "web.tar");
    let want = ["base.qcow2", "base.s1.qcow2", "base.s2.qcow2"];
    assert_eq!(ours.collect::<Vec<_>>(), want.iter().collect::<Vec<_>>(), "{at}");
}

#[test]
fn a_machine_that_is_off_goes_into_the_bundle_with_its_tree_and_without_an_act() {
    let lab = Lab::new();
    let fake = host(&lab, Power::Off);
    let made = run(&lab, &fake, &request()).unwrap();
    assert_eq!(made.point.snapshots, ["s1", "s2"]);
    assert_eq!((made.point.mode, untaken(&made)), (Mode::Full, Vec::new()));
    assert_eq!((fake.acts().len(), made.notes.len()), (0, 0));
    let bundle = bundle(&lab);
    assert_eq!(images(&bundle), owned(&TREE));
    let manifest = bundle.manifest().unwrap().unwrap();
    let config = |one: &Snapshot| bundle.document(&one.config).unwrap();
    let [first, second] = &manifest.snapshots[..] else { panic!("{manifest:?}") };
    assert!(config(first).contains("/base.qcow2'") && config(second).contains("/base.s1.qcow2'"));
    assert_eq!(second.parent.as_deref(), Some("s1"));
    assert!(bundle.config().unwrap().xml.contains("/base.s2.qcow2'"), "the current one");
    assert_eq!(bundle.points().unwrap().len(), 1);
    is_clean(&lab, "off");
}

#[test]
fn for_an_increment_a_machine_that_is_off_gets_a_process_and_a_checkpoint() {
    let lab = Lab::new();
    let fake = host(&lab, Power::Off);
    let request = Request { keeps: Keeps::Checkpoint, ..request() };
    let made = run(&lab, &fake, &request).unwrap();
    let (start, end) = (format!("start paused {MACHINE}"), format!("destroy {MACHINE}"));
    assert_eq!(fake.acts(), [&start, "create checkpoint relift-s-100", &end]);
    assert_eq!(made.point.checkpoint.unwrap().name, "relift-s-100");
    assert_eq!((fake.guest().power, images(&bundle(&lab))), (Power::Off, owned(&TREE)));
    is_clean(&lab, "off");
}

#[test]
fn a_machine_that_runs_is_read_below_a_snapshot_that_goes_at_the_end() {
    let lab = Lab::new();
    let fake = host(&lab, Power::Running);
    let request = Request { keeps: Keeps::Checkpoint, ..request() };
    let made = run(&lab, &fake, &request).unwrap();
    let acts = [
        "create checkpoint relift-s-100",
        "freeze",
        "create snapshot relift-backup-100 of Disks",
        "thaw",
        "commit vda into F/base.s2.qcow2",
        "current snapshot relift-backup-100",
        "delete snapshot relift-backup-100, metadata",
        "remove base.relift-backup-100.qcow2",
    ];
    assert_eq!(lab.acts(&fake), acts);
    assert!(fake.guest().definition.contains("/base.s2.qcow2'"), "it goes on where it was");
    assert_eq!(made.point.snapshots, ["s1", "s2"]);
    assert_eq!(made.point.indications.len(), 2);
    assert_eq!(images(&bundle(&lab)), owned(&TREE));
    assert_eq!(lab.records.all().unwrap(), []);
    is_clean(&lab, "running");
}

#[test]
fn whatever_act_fails_neither_checkpoint_nor_snapshot_is_left() {
    let lab = Lab::new();
    let request = Request { keeps: Keeps::Checkpoint, ..request() };
    for fail_at in 0..4 {
        let fake = Rc::new(Fake::new(Some(fail_at)).with_guest(guest(&lab, Power::Running)));
        let made = run(&lab, &fake, &request);
        let at = format!("{:?} fails: {made:?}", fake.acts().get(fail_at));
        // A guest that cannot be frozen or thawed is backed up all the same.
        assert_eq!(made.is_ok(), [1, 3].contains(&fail_at), "{at}");
        let after = fake.guest();
        assert_eq!(after.snapshots.len(), 2, "{at}");
        assert_eq!(after.checkpoints.len(), usize::from(made.is_ok()), "{at}");
        is_clean(&lab, &at);
        if made.is_ok() {
            std::fs::remove_file(lab.path("web.tar")).unwrap();
        }
        assert_eq!(lab.records.all().unwrap(), [], "{at}");
    }
}

#[test]
fn a_guest_that_did_not_stay_frozen_is_backed_up_unless_it_had_to() {
    for (quiesce, is_made) in [(Quiesce::Auto, true), (Quiesce::Require, false)] {
        let lab = Lab::new();
        let fake = host(&lab, Power::Running);
        let path = lab.path("web.tar");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let vm = Vm { name: "web".to_owned(), uuid: None };
        let manifest = Manifest { vm, ..Manifest::default() };
        let options = Options { form: Form::Tar, level: 3, unix_seconds: 100 };
        let mut sink = Bundled::create(&file, options, manifest).unwrap();
        let keepers = Keepers::of(&fake);
        let request = Request { quiesce, ..request() };
        let doors = Doors { guards: &Late, ..doors(&lab, &keepers) };
        let made = made(create(&request, &mut sink, &doors));
        assert_eq!(made.is_ok(), is_made, "{made:?}");
        let quiet = made.map(|made| made.point.indications);
        let want = [Indication::Online, Indication::QuiesceFailed];
        assert!(quiet.is_err() || quiet.unwrap() == want);
        assert_eq!((fake.guest().snapshots.len(), lab.records.all().unwrap().len()), (2, 0));
        is_clean(&lab, "late");
    }
}

/// Guards whose deadline is always over.
struct Late;

impl Guards for Late {
    fn arm(&self, _machine: Uuid, _deadline: Duration) -> io::Result<Box<dyn Armed>> {
        Ok(Box::new(Fired))
    }
}

struct Fired;

impl Armed for Fired {
    fn disarm(self: Box<Self>) -> guard::Outcome {
        guard::Outcome::Fired
    }
}

#[test]
fn a_snapshot_of_a_run_that_was_killed_is_found_and_deleted_by_the_next_one() {
    let lab = Lab::new();
    let mut left = guest(&lab, Power::Off);
    let ours = lab.snapshot("relift-backup-50", Some("s2"), "base.s2.qcow2");
    lab.overlay("base.s2.qcow2", "base.relift-backup-50.qcow2");
    left.definition = lab.definition("base.relift-backup-50.qcow2");
    left.snapshots.push(ours);
    let fake = Rc::new(Fake::new(None).with_guest(left));
    let doors_of = Keepers::of(&fake);
    let subject = doors(&lab, &doors_of);
    let request = request();
    let notes =
        crate::create::recover(&subject.subject(&request), &lab.path(""), &fixture::known(&[]))
            .unwrap();
    let want = "deleted the snapshot relift-backup-50, which an interrupted run had left";
    assert_eq!(notes, [crate::create::Note(want.to_owned())]);
    let acts = lab.acts(&fake);
    assert_eq!(acts[0], "abort block job vda", "what a killed run left to go on");
    let commit = "commit vda into F/base.s2.qcow2".to_owned();
    assert!(acts.contains(&commit), "{acts:?}");
    assert!(acts.contains(&"remove base.relift-backup-50.qcow2".to_owned()), "{acts:?}");
    is_clean(&lab, "recovered");
}

#[test]
fn what_cannot_be_in_a_bundle_is_told_by_name_and_its_children_get_its_parent() {
    let lab = Lab::new();
    let mut odd = guest(&lab, Power::Off);
    odd.snapshots[0].xml = odd.snapshots[0]
        .xml
        .replace("snapshot='external'><source file='/gone'/></disk>", "snapshot='internal'/>");
    odd.snapshots.push(lab.snapshot("s3", Some("s2"), "lost.qcow2"));
    let fake = Rc::new(Fake::new(None).with_guest(odd));
    let made = run(&lab, &fake, &request()).unwrap();
    assert_eq!(made.point.snapshots, ["s2"]);
    let lost = format!(
        "cannot open {}: No such file or directory (os error 2)",
        lab.path("lost.qcow2").display()
    );
    let internal = "it is inside its images, where only libvirt gets at it";
    assert_eq!(untaken(&made), [("s1", internal), ("s3", &*lost)]);
    assert_eq!(bundle(&lab).manifest().unwrap().unwrap().snapshots[0].parent, None);
    assert_eq!(
        images(&bundle(&lab)),
        owned(&TREE),
        "what the disk stands on is there all the same"
    );
}

#[test]
fn a_running_machine_whose_images_others_use_is_read_through_a_job_and_its_snapshots_are_told() {
    let lab = Lab::new();
    let fake = host(&lab, Power::Running);
    let foreign = [lab.path("base.s2.qcow2")];
    let keepers = Keepers::of(&fake);
    let doors = Doors { foreign: &foreign, ..doors(&lab, &keepers) };
    let plan = plan(&request(), Before::default(), &doors).unwrap();
    assert!(matches!(plan.way, Way::Job { .. }), "{plan:?}");
    let reason = "somebody else uses an image that the machine writes to".to_owned();
    let want = ["s1", "s2"].map(|name| Untaken { name: name.to_owned(), reason: reason.clone() });
    assert_eq!((plan.snapshots.len(), plan.untaken), (0, want.into()));
}

#[test]
fn snapshots_that_cannot_be_read_keep_no_disk_from_its_backup() {
    let lab = Lab::new();
    let mut odd = guest(&lab, Power::Off);
    odd.snapshots[1].xml = "<domainsnapshot/>".to_owned();
    let fake = Rc::new(Fake::new(None).with_guest(odd));
    let made = run(&lab, &fake, &request()).unwrap();
    let names: Vec<_> = untaken(&made).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["s1", "s2"]);
    assert_eq!(images(&bundle(&lab)), owned(&[("web-vda-100.qcow2", None)]));
}

#[test]
fn a_thin_clone_with_snapshots_is_copied_with_its_tree_and_the_disk_of_its_template() {
    for power in [Power::Off, Power::Running] {
        let lab = Lab::new();
        std::fs::rename(lab.path("base.qcow2"), lab.path("golden.qcow2")).unwrap();
        lab.overlay("golden.qcow2", "base.qcow2");
        let golden = KnownMachine {
            name: "golden".to_owned(),
            uuid: Uuid([9; 16]),
            is_active: false,
            macs: Vec::new(),
            disks: Vec::new(),
            own_disks: vec![lab.path("golden.qcow2")],
        };
        let request = Request { machines: vec![golden], ..request() };
        let plan = planned(&lab, &host(&lab, power.clone()), &request).unwrap();
        let made = run(&lab, &host(&lab, power), &request).unwrap();
        let why = format!(
            "it is copied with its snapshots, and so with the disk {} of its template golden",
            lab.path("golden.qcow2").display()
        );
        assert_eq!(made.point.disks[0].reason.as_ref(), Some(&why));
        assert_eq!((&plan.disks[0].reason, &plan.disks[0].stands_on), (&Some(why), &None));
        assert_eq!((made.point.snapshots.len(), made.stands_on.len()), (2, 0));
        let bundle = bundle(&lab);
        let want = [
            ("golden.qcow2", None),
            ("base.qcow2.snapshot", Some("golden.qcow2")),
            ("base.s1.qcow2.snapshot", Some("base.qcow2.snapshot")),
            ("web-vda-100.snapshot", Some("base.s1.qcow2.snapshot")),
        ];
        assert_eq!(images(&bundle), owned(&want));
        assert_eq!(bundle.manifest().unwrap().unwrap().template, None);
    }
}

#[test]
fn an_increment_keeps_the_snapshots_of_the_point_before_that_the_machine_has_still() {
    let lab = Lab::new();
    let fake = host(&lab, Power::Off);
    run(&lab, &fake, &request()).unwrap();
    let manifest = bundle(&lab).manifest().unwrap().unwrap();
    let mut points = manifest.points.clone();
    points[0].snapshots.push("gone".to_owned());
    fake.disturb(|guest| {
        // s2 is another one of that name.
        guest.snapshots[1].xml = guest.snapshots[1].xml.replace(">17<", ">18<");
    });
    let before = Before { points: &points, snapshots: &manifest.snapshots, template: None };
    let keepers = Keepers::of(&fake);
    let plan = plan(&request(), before, &doors(&lab, &keepers)).unwrap();
    assert_eq!(plan.snapshots, ["s1"]);
    let reason = "an increment has the disks alone; the next full backup has it".to_owned();
    assert_eq!(plan.untaken, [Untaken { name: "s2".to_owned(), reason }]);
    assert_eq!(plan.way, Way::Images);
}

#[test]
fn a_plan_tells_the_way_and_the_snapshots_and_changes_nothing() {
    let lab = Lab::new();
    let fake = host(&lab, Power::Running);
    let plan = planned(&lab, &fake, &request()).unwrap();
    let Way::Snapshot { folders } = &plan.way else { panic!("{plan:?}") };
    assert_eq!(folders.len(), 1);
    assert_eq!(plan.snapshots, ["s1", "s2"]);
    let request = Request { memory: MemoryFile::Kept, ..request() };
    let plan = planned(&lab, &fake, &request).unwrap();
    assert_eq!(plan.snapshots, ["s1", "s2", "backup-19700101-000140"]);
    let off = host(&lab, Power::Off);
    assert_eq!(planned(&lab, &off, &self::request()).unwrap().way, Way::Images);
    assert!(fake.acts().is_empty() && off.acts().is_empty());
}

#[test]
fn memory_is_that_of_a_full_backup_of_a_machine_that_is_on_and_not_frozen() {
    let lab = Lab::new();
    let memory = Request { memory: MemoryFile::Kept, ..request() };
    let refused = |power, request: &Request| -> Error {
        let fake = host(&lab, power);
        let error = run(&lab, &fake, request).unwrap_err();
        assert!(fake.acts().is_empty());
        error
    };
    let error = refused(Power::Off, &memory);
    assert_eq!(error.to_string(), "the machine is off, and has no memory to keep");
    let require = Request { quiesce: Quiesce::Require, ..memory.clone() };
    let error = refused(Power::Running, &require).to_string();
    assert!(error.starts_with("a guest whose memory is kept is not frozen"), "{error}");
    let increment = Request { wish: Wish::Incremental, ..memory };
    let error = refused(Power::Running, &increment);
    assert_eq!(error.to_string(), "memory is kept by full backups only");
}
