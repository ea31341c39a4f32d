//! A backup that grew by increments: what a person sees of its points, and gets of each.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use bundle::{
    Form, Indication, Manifest, Mode, Node, Options, Point, PointDisk, Session, State, Vm,
};
use disk::{Declared, Format, Target as _, Unheard};
use ovf::EntryName;

use crate::bench::Bench;

/// 21 November 2026, 19:05:00 UTC.
const THEN: u64 = 1_795_287_900;
const CLUSTER: usize = 65_536;
const CAPACITY_BYTES: u64 = 4 * CLUSTER as u64;
const IDS: [&str; 3] = ["20261121-190500", "20261122-190500", "20261123-190500"];

/// The machine with this much memory, which tells one definition from another.
fn xml(mebibytes: usize) -> Vec<u8> {
    format!(
        "<domain type='kvm'><name>web01</name><uuid>5b1c0000-0000-4000-8000-000000000001</uuid>\
         <memory unit='MiB'>{mebibytes}</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>\
         <disk type='file' device='disk'><driver name='qemu' type='raw'/>\
         <source file='/srv/old/system.img'/><target dev='vda' bus='virtio'/></disk>\
         </devices></domain>\n"
    )
    .into_bytes()
}

/// What each cluster of the disk is full of, at each point.
const DISKS: [[u8; 4]; 3] = [[1, 2, 0, 4], [1, 0, 3, 4], [9, 0, 3, 4]];

/// Adds the point of this number: what changed since the one before.
fn add(session: &mut Session<'_>, file: &Arc<File>, number: usize) {
    let time = THEN + 86_400 * number as u64;
    let config = format!("{time}-web01.xml");
    let name = EntryName::parse(&config).unwrap();
    session.add(&name, &xml(256 + number), &Unheard).unwrap();
    let member = |number: usize| match number {
        0 => "web01-vda-0.qcow2".to_owned(),
        later => format!("web01-vda-{later}.snapshot"),
    };
    let before = number.checked_sub(1);
    let node = Node {
        member: member(number),
        capacity_bytes: CAPACITY_BYTES,
        backing: before.map(member),
    };
    let mut target = session.image(node, Arc::clone(file) as _).unwrap();
    for (cluster, fill) in (0..).zip(DISKS[number]) {
        if before.is_some_and(|before| DISKS[before][cluster as usize] == fill) {
            continue;
        }
        if fill == 0 {
            target.place_zero(cluster).unwrap();
            continue;
        }
        let at = target.place(cluster).unwrap();
        target.file().write_all_at(&[fill; CLUSTER], at).unwrap();
    }
    let length_bytes = target.finish().unwrap();
    session.end(length_bytes, &Unheard).unwrap();
    let mode = if before.is_some() { Mode::Incremental } else { Mode::Full };
    let disk = PointDisk {
        target: "vda".to_owned(),
        member: member(number),
        capacity_bytes: CAPACITY_BYTES,
        mode,
        reason: None,
        read_bytes: CLUSTER as u64,
    };
    let indications = vec![Indication::Online, Indication::GuestAgent];
    let point = Point {
        id: Point::id_at(time, &[]),
        created_unix_seconds: time,
        mode,
        config,
        state: State::Running,
        indications,
        disks: vec![disk],
        left_out: Vec::new(),
        checkpoint: None,
        snapshots: Vec::new(),
    };
    session.point(point).unwrap();
}

/// Writes a backup with three points.
pub(crate) fn write(path: &Path, form: Form) {
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let file = Arc::new(file);
    let options = |number: u64| Options { form, level: 1, unix_seconds: THEN + 86_400 * number };
    let vm = Vm { name: "web01".to_owned(), uuid: None };
    let manifest = Manifest { tool: "relift test".to_owned(), vm, ..Manifest::default() };
    let mut session = Session::create(&*file, options(0), manifest);
    add(&mut session, &file, 0);
    session.publish().unwrap();
    for number in [1, 2] {
        let bundle = crate::backups::open(path);
        let mut session = Session::extend(&bundle, &*file, options(number as u64)).unwrap();
        add(&mut session, &file, number);
        session.publish().unwrap();
    }
}

fn bench(form: Form) -> (Bench, PathBuf) {
    let bench = Bench::empty();
    let path = bench.path(&format!("web01.{}", form.ending()));
    write(&path, form);
    (bench, path)
}

/// The disk in a folder that was restored to: one image that stands on nothing.
fn disk_of(bench: &Bench, folder: &str) -> Vec<u8> {
    let bytes = bench.read(&format!("{folder}/web01-vda.qcow2"));
    let image = disk::open(Arc::new(bytes), Declared::Stated(Format::Qcow2)).unwrap();
    let mut disk = vec![0; usize::try_from(CAPACITY_BYTES).unwrap()];
    image.read_at(&mut disk, 0).unwrap();
    disk
}

fn due(number: usize) -> Vec<u8> {
    DISKS[number].iter().flat_map(|fill| [*fill; CLUSTER]).collect()
}

#[test]
fn points_are_listed_with_what_is_known_of_each() {
    let (bench, _) = bench(Form::Tar);
    insta::assert_snapshot!(bench.run(["backup", "show", "web01.tar"]).seen());
    insta::assert_snapshot!(bench.run(["inspect", "web01.tar"]).seen());
    let json = bench.run(["inspect", "--json", "web01.tar"]).json();
    let points = json["data"]["points"].as_array().unwrap();
    let ids: Vec<_> = points.iter().map(|point| point["id"].as_str().unwrap()).collect();
    assert_eq!(ids, IDS);
    assert_eq!(points[1]["disks"][0]["member"], "web01-vda-1.snapshot");
}

#[test]
fn each_point_comes_back_with_its_own_definition_and_one_image_a_disk() {
    for form in [Form::Tar, Form::TarZst] {
        let (bench, path) = bench(form);
        let file = path.file_name().unwrap().to_str().unwrap();
        for (number, id) in IDS.into_iter().enumerate() {
            let named = format!("{file}@{id}");
            let flags: &[&[&str]] = &[&[named.as_str()], &[file, "--point", id]];
            for (way, source) in flags.iter().enumerate() {
                let out = format!("out-{number}-{way}");
                let to = format!("dir:{out}");
                let words = ["restore"].into_iter().chain(source.iter().copied());
                let run = bench.run(words.chain(["--to", to.as_str()]));
                assert_eq!(run.code, Some(0), "{run:?}");
                assert!(disk_of(&bench, &out) == due(number), "{form:?} {id}");
                let domain = String::from_utf8(bench.read(&format!("{out}/domain.xml"))).unwrap();
                assert!(domain.contains(&format!("<memory unit='MiB'>{}<", 256 + number)));
            }
        }
        let run = bench.run(["restore", file, "--to", "dir:newest"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(disk_of(&bench, "newest") == due(2), "the newest is what is meant");
    }
}

#[test]
fn the_machine_of_an_older_point_can_be_looked_at() {
    let (bench, _) = bench(Form::Tar);
    let source = format!("web01.tar@{}", IDS[1]);
    let shown = bench.run(["backup", "config", &source, "--xml"]);
    assert!(shown.stdout.contains(">257<"), "{shown:?}");
    let again = bench.run(["backup", "config", "web01.tar", "--point", IDS[1], "--xml"]);
    assert_eq!(again, shown);
}

#[test]
fn a_point_that_is_not_there_is_exit_13_with_those_that_are() {
    let (bench, _) = bench(Form::Tar);
    insta::assert_snapshot!(bench.run(["plan", "web01.tar@20200101-000000"]).seen());
    bench.write("a.ovf", b"<Envelope/>");
    let run = bench.run(["inspect", "web01.tar@20200101-000000"]);
    assert_eq!(run.code, Some(13), "{run:?}");
}

#[test]
fn a_damaged_base_names_every_point_that_it_spoils_and_none_of_them_is_restored() {
    let (bench, path) = bench(Form::Tar);
    let bundle = crate::backups::open(&path);
    let base = bundle.member("web01-vda-0.qcow2").unwrap();
    let mut bytes = bench.read("web01.tar");
    // In the data of the third cluster that was written, which every point shows.
    let end = usize::try_from(base.offset_bytes + base.length_bytes).unwrap();
    let start = usize::try_from(base.offset_bytes).unwrap();
    let at = start + bytes[start..end].windows(512).position(|part| part == [4; 512]).unwrap();
    bytes[at] ^= 1;
    bench.write("web01.tar", &bytes);
    insta::assert_snapshot!(bench.run(["backup", "verify", "web01.tar"]).seen());
    let run = bench.run(["restore", "web01.tar", "--to", "dir:out"]);
    assert_eq!(run.code, Some(5), "{run:?}");
    assert_eq!(bench.files("out"), [""; 0]);
}
