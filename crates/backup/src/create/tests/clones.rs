//! Thin clones and templates.

use disk::ExtentKind;
use host::libvirt::KnownMachine;
use testkit::{Qcow2, Qcow2Cluster};

use super::*;

const C: usize = CHANGE_BYTES;

/// A machine of the host that is off.
fn known(lab: &Lab, name: &str, byte: u8, image: &str) -> KnownMachine {
    KnownMachine {
        name: name.to_owned(),
        uuid: Uuid([byte; 16]),
        is_active: false,
        macs: Vec::new(),
        disks: Vec::new(),
        own_disks: vec![lab.path(image)],
    }
}

fn build(lab: &Lab, name: &str, image: &Qcow2) {
    std::fs::write(lab.path(name), image.build().bytes).unwrap();
}

/// The template's disk: its first eight clusters have data, each of its number.
fn golden() -> Qcow2 {
    (0..8_u8).fold(Qcow2::new(CAPACITY_BYTES), |image, number| {
        image.cluster(u64::from(number), Qcow2Cluster::Data(vec![number + 1; C]))
    })
}

/// What the guest of the clone sees.
fn seen() -> Vec<u8> {
    let mut seen = vec![0; CAPACITY_BYTES as usize];
    for (number, cluster) in (1..=8).zip(seen.chunks_mut(C)) {
        cluster.fill(number);
    }
    seen[C + C / 4..C + C / 2].fill(0xa1);
    seen[3 * C..4 * C].fill(0);
    seen[10 * C..11 * C].fill(0xb2);
    seen
}

/// A lab whose `vda` is a clone with two layers of its own, the lower one in clusters of 16 KiB, and the
/// machines of its host.
fn cloned() -> (Lab, Vec<KnownMachine>) {
    let lab = Lab::new();
    build(&lab, "golden.qcow2", &golden());
    let part = Qcow2Cluster::Data(vec![0xa1; C / 4]);
    let own = Qcow2::new(CAPACITY_BYTES).cluster_bits(14).cluster(5, part);
    build(&lab, "own.qcow2", &own.backing("golden.qcow2", Some("qcow2")));
    let top = Qcow2::new(CAPACITY_BYTES)
        .cluster(3, Qcow2Cluster::Zero)
        .cluster(10, Qcow2Cluster::Data(vec![0xb2; C]));
    let below = lab.path("own.qcow2").display().to_string();
    build(&lab, "vda.qcow2", &top.backing(&below, Some("qcow2")));
    lab.fill("vda", seen());
    let machines =
        vec![known(&lab, "web", 7, "vda.qcow2"), known(&lab, "golden", 9, "golden.qcow2")];
    (lab, machines)
}

/// The clusters that a member has data of by itself, and the disk that it makes above the template's.
fn above_golden(lab: &Lab, member: &str) -> (Vec<usize>, Vec<u8>) {
    let mut disk = vec![0; CAPACITY_BYTES as usize];
    for (number, cluster) in (1..=8).zip(disk.chunks_mut(C)) {
        cluster.fill(number);
    }
    let bundle = lab.bundle();
    let bytes = bundle.bytes(bundle.member(member).unwrap()).unwrap();
    let image = disk::open_behind(&Alone, bytes, Declared::Stated(Format::Qcow2)).unwrap();
    assert_eq!(image.info().references[0].name, lab.path("golden.qcow2").display().to_string());
    let mut own = Vec::new();
    for extent in image.extents().map(disk::Result::unwrap) {
        let range = extent.start_bytes as usize..extent.end_bytes() as usize;
        if matches!(extent.kind, ExtentKind::Data { .. }) {
            own.extend(range.start / C..range.end.div_ceil(C));
        }
        if extent.kind != ExtentKind::Hole {
            image.read_at(&mut disk[range], extent.start_bytes).unwrap();
        }
    }
    (own, disk)
}

/// SPACEVM-06, SPACEVM-34: only what lies above the template's disk, and which state of that.
#[test]
fn a_thin_clone_is_copied_down_to_its_template_running_or_off() {
    for power in [Power::Off, Power::Running] {
        let (lab, machines) = cloned();
        let fake = host(FakeGuest { power: power.clone(), ..lab.guest() });
        let request = Request { machines, keeps: Keeps::Nothing, ..lab.request(100) };
        let made = lab.run(&request, &fake).unwrap();
        let member = &made.point.disks[0].member;
        assert_eq!(above_golden(&lab, member), (vec![1, 10], seen()), "{power:?}");
        let manifest = lab.bundle().manifest().unwrap().unwrap();
        let template = manifest.template.unwrap();
        assert_eq!((template.name.as_str(), template.disks.len()), ("golden", 1));
        assert_eq!(template.uuid, Some(Uuid([9; 16]).to_string()));
        let path = lab.path("golden.qcow2");
        let disk = &template.disks[0];
        assert_eq!((&disk.member, disk.path.as_str()), (member, path.to_str().unwrap()));
        let state = bundle::ImageState::of(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(disk.state, state);
        assert_eq!(made.stands_on, [("vda".to_owned(), path.clone())].into());
        let note = format!(
            "vda stands on {} of the template golden, which is not in the backup",
            path.display()
        );
        assert_eq!(made.notes, [note]);
        assert_eq!(verify(&lab), [], "{power:?}");
    }
}

fn verify(lab: &Lab) -> Vec<bundle::Fault> {
    bundle::verify(&lab.bundle(), Level::Deep, &Unheard).unwrap().faults
}

#[test]
fn a_clone_has_increments_until_its_template_changes() {
    let (lab, machines) = cloned();
    let fake = host(lab.guest());
    let request = |time| Request { machines: machines.clone(), ..lab.request(time) };
    lab.run(&request(100), &fake).unwrap();
    lab.write("vda", 5, 0xcc);
    let second = lab.run(&request(200), &fake).unwrap();
    assert_eq!(modes(&second), [(Mode::Incremental, None), (Mode::Incremental, None)]);
    assert_eq!((second.stands_on.len(), verify(&lab)), (0, vec![]));
    let more = golden().cluster(12, Qcow2Cluster::Data(vec![9; C]));
    build(&lab, "golden.qcow2", &more);
    let mut now = lab.content("vda");
    now[12 * C..13 * C].fill(9);
    lab.fill("vda", now.clone());
    let third = lab.run(&request(300), &fake).unwrap();
    let path = lab.path("golden.qcow2");
    let reason = format!(
        "the disk {} of its template is not what it was at the point before",
        path.display()
    );
    let whole = (Mode::Full, Some(reason.as_str()));
    assert_eq!(modes(&third), [whole, (Mode::Incremental, None)]);
    assert!(third.notes[0].ends_with("so did the clone's"), "{:?}", third.notes);
    let (own, _) = above_golden(&lab, &third.point.disks[0].member);
    assert_eq!(own, [1, 5, 10]);
    let template = lab.bundle().manifest().unwrap().unwrap().template.unwrap();
    assert_eq!(template.disks.len(), 2);
    assert_ne!(template.disks[0].state, template.disks[1].state);
    assert_eq!(verify(&lab), []);
    // From now on without it.
    let request = Request { clone_copy: CloneCopy::Whole, ..request(400) };
    let fourth = lab.run(&request, &fake).unwrap();
    let reason = "it is to need no template from now on";
    assert_eq!(modes(&fourth), [(Mode::Full, Some(reason)), (Mode::Incremental, None)]);
    assert_eq!(content(&lab, &fourth.point.disks[0].member), lab.content("vda"));
    let fifth = lab.run(&Request { unix_seconds: 500, ..request.clone() }, &fake).unwrap();
    assert_eq!(modes(&fifth), [(Mode::Incremental, None); 2]);
    // An increment that nothing could end at is refused before anything is done.
    let fake = host(lab.guest());
    let wish = Wish::Incremental;
    let error = lab.run(&Request { wish, unix_seconds: 600, ..request }, &fake).unwrap_err();
    assert_eq!((error.kind(), fake.acts()), (Kind::NoIncrement, vec![]));
}

#[test]
fn a_template_that_runs_is_an_error_and_a_clone_can_be_copied_whole() {
    let (lab, mut machines) = cloned();
    machines[1].is_active = true;
    let fake = host(off(&lab));
    let request = Request { machines, keeps: Keeps::Nothing, ..lab.request(100) };
    let error = lab.run(&request, &fake).unwrap_err();
    let want = format!(
        "golden runs, and its disk {} is below the disk vda of the machine: it changes there",
        lab.path("golden.qcow2").display()
    );
    assert_eq!((error.to_string(), error.code()), (want, Some(code::Code::E0510)));
    let (_, machines) = cloned();
    let request = Request { machines, clone_copy: CloneCopy::Whole, ..request };
    let made = lab.run(&request, &fake).unwrap();
    assert_eq!(content(&lab, &made.point.disks[0].member), seen());
    assert_eq!(lab.bundle().manifest().unwrap().unwrap().template, None);
}

#[test]
fn what_stands_on_a_second_template_or_on_nobodys_image_is_copied_whole() {
    let (lab, mut machines) = cloned();
    build(&lab, "other.qcow2", &golden());
    let clone = Qcow2::new(CAPACITY_BYTES).backing("other.qcow2", Some("qcow2"));
    build(&lab, "vdb.qcow2", &clone);
    machines.push(known(&lab, "other", 8, "other.qcow2"));
    let fake = host(off(&lab));
    let request = Request { machines, keeps: Keeps::Nothing, ..lab.request(100) };
    let made = lab.run(&request, &fake).unwrap();
    let reason = format!(
        "it stands on {}, a template beside that of the backup: it is copied with it",
        lab.path("other.qcow2").display()
    );
    assert_eq!(modes(&made), [(Mode::Full, None), (Mode::Full, Some(&*reason))]);
    assert_eq!(content(&lab, &made.point.disks[1].member)[..C], [1; C]);
    std::fs::remove_file(lab.path("web.tar")).unwrap();
    let made = lab.run(&Request { machines: Vec::new(), ..request }, &fake).unwrap();
    assert_eq!((made.stands_on.len(), made.notes.len()), (0, 0));
    assert_eq!(content(&lab, &made.point.disks[0].member), seen());
}

#[test]
fn a_template_that_is_no_qcow2_is_copied_with_its_clone() {
    let lab = Lab::new();
    std::fs::write(lab.path("golden.raw"), seen()).unwrap();
    let clone = Qcow2::new(CAPACITY_BYTES).backing("golden.raw", Some("raw"));
    build(&lab, "vda.qcow2", &clone);
    let machines = vec![known(&lab, "golden", 9, "golden.raw")];
    let request = Request { machines, keeps: Keeps::Nothing, ..lab.request(100) };
    let made = lab.run(&request, &host(off(&lab))).unwrap();
    let note = format!(
        "vda is copied with its template: its template's disk {} is no qcow2 that can be read: ",
        lab.path("golden.raw").display()
    );
    assert!(made.notes[0].starts_with(&note), "{:?}", made.notes);
    assert_eq!(content(&lab, &made.point.disks[0].member), seen());
}

/// SPACEVM-33: the backup of a template restores as a template.
#[test]
fn a_machine_that_others_stand_on_is_a_template_while_it_is_off() {
    let lab = Lab::new();
    let clone = Qcow2::new(CAPACITY_BYTES).backing("vda.qcow2", Some("qcow2"));
    build(&lab, "clone.qcow2", &clone);
    let machines = vec![known(&lab, "clone", 9, "clone.qcow2")];
    let request = Request { machines, ..lab.request(100) };
    let fake = host(off(&lab));
    let made = lab.run(&request, &fake).unwrap();
    let why =
        "a template is never started, and its images stay as its clones need them: full each time";
    assert_eq!(modes(&made), [(Mode::Full, Some(why)); 2]);
    let told =
        "it restores as a template, for clone stands on its disks (--template=no: as any machine)";
    assert_eq!(made.notes[1], told);
    assert_eq!((fake.acts().len(), made.point.checkpoint.is_none()), (0, true));
    let is_template = || lab.bundle().manifest().unwrap().unwrap().is_template;
    assert!(made.is_template && is_template());
    for (marking, power, want) in [
        (Marking::Ordinary, Power::Off, false),
        (Marking::Template, Power::Off, true),
        (Marking::ByClones, Power::Running, false),
    ] {
        std::fs::remove_file(lab.path("web.tar")).unwrap();
        let fake = host(FakeGuest { power, ..lab.guest() });
        lab.run(&Request { marking, keeps: Keeps::Nothing, ..request.clone() }, &fake).unwrap();
        assert_eq!(is_template(), want, "{marking:?}");
    }
    let marking = Marking::Template;
    let error = lab.run(&Request { marking, ..request }, &host(lab.guest())).unwrap_err();
    let want = "a template can be backed up only while it is off: its clones stand on its disks";
    assert_eq!((error.to_string().as_str(), error.code()), (want, Some(code::Code::E0510)));
}
