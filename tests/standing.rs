//! Points whose disks stand on images that a snapshot or a template keeps: what comes back of each.

use std::{fs::File, path::Path, sync::Arc};

use bundle::{
    Bundle, Form, ImageState, Manifest, Mode, Node, Options, Point, PointDisk, Session, Snapshot,
    State, Template, TemplateDisk, Vm,
};
use disk::{Alone, Declared, ExtentKind, Format, Target as _, Unheard};
use ovf::EntryName;
use testkit::{Qcow2, Qcow2Cluster, oracle};

use crate::{bench::Bench, virsh::Hosted};

const THEN: u64 = 1_795_287_900;
const CLUSTER: usize = 65_536;
const CAPACITY_BYTES: u64 = 4 * CLUSTER as u64;
const UUID: &str = "5b1c0000-0000-4000-8000-000000000001";
const GOLDEN: &str = "5b1c0000-0000-4000-8000-0000000000aa";

/// The disk of the restored machine.
const DISK: &str = "web01-vda.qcow2";

/// What an image has of each cluster: the byte that fills it, zeros for 0, nothing for `None`.
type Fills = [Option<u8>; 4];

/// The images of the backup with a tree: name, what it stands on, what it has.
const IMAGES: [(&str, Option<&str>, Fills); 5] = [
    ("web01-one.qcow2", None, [Some(1), Some(2), Some(3), Some(4)]),
    ("web01-vda-0.qcow2", Some("web01-one.qcow2"), [Some(9), None, None, None]),
    ("web01-two.snapshot", Some("web01-one.qcow2"), [None, Some(5), Some(0), None]),
    ("web01-vda-1.qcow2", Some("web01-two.snapshot"), [None, None, None, Some(6)]),
    ("web01-vda-2.snapshot", Some("web01-vda-1.qcow2"), [Some(7), Some(0), None, None]),
];

/// The machine with its disk on this file.
fn xml(name: &str, disk: &str) -> Vec<u8> {
    format!(
        "<domain type='kvm'>\n<name>{name}</name>\n<uuid>{UUID}</uuid>\n\
         <memory unit='MiB'>256</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>\
         <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
         <source file='{disk}'/><target dev='vda' bus='virtio'/></disk></devices></domain>\n"
    )
    .into_bytes()
}

/// A backup that is being written.
struct Writing {
    file: Arc<File>,
}

impl Writing {
    fn begin(path: &Path) -> Self {
        let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
        Self { file: Arc::new(file) }
    }

    fn create(&self, manifest: Manifest) -> Session<'_> {
        Session::create(&*self.file, options(0), manifest)
    }

    fn extend(&self, path: &Path, number: u64) -> Session<'_> {
        let bundle = Bundle::open(Arc::new(std::fs::read(path).unwrap())).unwrap();
        Session::extend(&bundle, &*self.file, options(number)).unwrap()
    }

    /// Writes an image of the bundle.
    fn image(&self, session: &mut Session<'_>, (name, below, fills): (&str, Option<&str>, Fills)) {
        let backing = below.map(str::to_owned);
        let node = Node { member: name.to_owned(), capacity_bytes: CAPACITY_BYTES, backing };
        let mut target = session.image(node, Arc::clone(&self.file) as _).unwrap();
        for (cluster, fill) in (0..).zip(fills) {
            match fill {
                None => {}
                Some(0) => target.place_zero(cluster).unwrap(),
                Some(fill) => {
                    let at = target.place(cluster).unwrap();
                    target.file().write_all_at(&[fill; CLUSTER], at).unwrap();
                }
            }
        }
        let length_bytes = target.finish().unwrap();
        session.end(length_bytes, &Unheard).unwrap();
    }
}

fn options(number: u64) -> Options {
    Options { form: Form::Tar, level: 1, unix_seconds: THEN + 86_400 * number }
}

fn add(session: &mut Session<'_>, name: &str, bytes: &[u8]) {
    session.add(&EntryName::parse(name).unwrap(), &bytes.to_vec(), &Unheard).unwrap();
}

/// The definition of the point of this number, added; its id is that of the time.
fn define(session: &mut Session<'_>, number: u64, (name, disk): (&str, &str)) -> String {
    let config = format!("{}-{name}.xml", THEN + 86_400 * number);
    add(session, &config, &xml(name, disk));
    config
}

fn point(number: u64, config: &str, member: &str, snapshots: &[&str]) -> Point {
    let mode = if member.ends_with(".snapshot") { Mode::Incremental } else { Mode::Full };
    let time = THEN + 86_400 * number;
    Point {
        id: Point::id_at(time, &[]),
        created_unix_seconds: time,
        mode,
        config: config.to_owned(),
        state: State::Running,
        indications: Vec::new(),
        disks: vec![PointDisk {
            target: "vda".to_owned(),
            member: member.to_owned(),
            capacity_bytes: CAPACITY_BYTES,
            mode,
            reason: None,
            read_bytes: CLUSTER as u64,
        }],
        left_out: Vec::new(),
        checkpoint: None,
        snapshots: snapshots.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn snapshot(name: &str, parent: Option<&str>, (config, member): (&str, &str)) -> Snapshot {
    Snapshot {
        name: name.to_owned(),
        parent: parent.map(str::to_owned),
        created_unix_seconds: THEN,
        config: config.to_owned(),
        nodes: vec![member.to_owned()],
        disks: [("vda".to_owned(), member.to_owned())].into(),
        memory: None,
    }
}

/// A machine before and after its second snapshot, and what changed since.
fn tree(path: &Path) {
    let [one, before, two, full, later] = IMAGES;
    let writing = Writing::begin(path);
    let vm = Vm { name: "web01".to_owned(), uuid: Some(UUID.to_owned()) };
    let manifest = Manifest { tool: "relift test".to_owned(), vm, ..Manifest::default() };
    let mut session = writing.create(manifest);
    add(&mut session, "1795280000-one.xml", &xml("web01", "/srv/old/web01.qcow2"));
    let config = define(&mut session, 0, ("web01", "/srv/old/web01.one"));
    writing.image(&mut session, one);
    writing.image(&mut session, before);
    let taken = snapshot("one", None, ("1795280000-one.xml", one.0));
    session.manifest().unwrap().snapshots.push(taken);
    session.point(point(0, &config, before.0, &["one"])).unwrap();
    session.publish().unwrap();

    let mut session = writing.extend(path, 1);
    add(&mut session, "1795280001-two.xml", &xml("web01", "/srv/old/web01.one"));
    let config = define(&mut session, 1, ("web01", "/srv/old/web01.two"));
    add(&mut session, "web01-two.memory", &[5; 700]);
    writing.image(&mut session, two);
    writing.image(&mut session, full);
    let taken = snapshot("two", Some("one"), ("1795280001-two.xml", two.0));
    let taken = Snapshot { memory: Some("web01-two.memory".to_owned()), ..taken };
    session.manifest().unwrap().snapshots.push(taken);
    session.point(point(1, &config, full.0, &["one", "two"])).unwrap();
    session.publish().unwrap();

    let mut session = writing.extend(path, 2);
    let config = define(&mut session, 2, ("web01", "/srv/old/web01.two"));
    writing.image(&mut session, later);
    session.point(point(2, &config, later.0, &["one", "two"])).unwrap();
    session.publish().unwrap();
}

/// Points of a thin clone: the whole of what it has above its template's disk, and what changed since.
fn clone(path: &Path, golden: &Path) {
    let backing = golden.display().to_string();
    let state = ImageState::of(&std::fs::read(golden).unwrap()).unwrap();
    let full = "web02-vda-0.qcow2";
    let disk = TemplateDisk {
        member: full.to_owned(),
        backing: backing.clone(),
        path: backing.clone(),
        state,
    };
    let template = Template { name: "golden".to_owned(), uuid: None, disks: vec![disk] };
    let manifest = Manifest { template: Some(template), ..Manifest::default() };
    let writing = Writing::begin(path);
    let mut session = writing.create(manifest);
    let config = define(&mut session, 0, ("web02", "/srv/old/web02.qcow2"));
    let image = Qcow2::new(CAPACITY_BYTES).backing(&backing, Some("qcow2"));
    let image = image.cluster(1, Qcow2Cluster::Data(vec![8; CLUSTER]));
    add(&mut session, full, &image.build().bytes);
    let node =
        Node { member: full.to_owned(), capacity_bytes: CAPACITY_BYTES, backing: Some(backing) };
    session.manifest().unwrap().nodes.push(node);
    session.point(point(0, &config, full, &[])).unwrap();
    session.publish().unwrap();
    let mut session = writing.extend(path, 1);
    let config = define(&mut session, 1, ("web02", "/srv/old/web02.qcow2"));
    let later = ("web02-vda-1.snapshot", Some(full), [Some(0), None, Some(3), None]);
    writing.image(&mut session, later);
    session.point(point(1, &config, later.0, &[])).unwrap();
    session.publish().unwrap();
}

fn bytes_of(fills: [u8; 4]) -> Vec<u8> {
    fills.iter().flat_map(|fill| [*fill; CLUSTER]).collect()
}

/// The disk of the host has these bytes, by our own reader and by qemu-img, which finds no fault in it.
fn holds(bench: &Bench, disk: &str, fills: [u8; 4]) {
    bench.write("due.raw", &bytes_of(fills));
    let disk = format!("host/images/{disk}");
    let path = bench.path(&disk);
    let near = bench.files("host/images").into_iter().map(|name| bench.path(&name));
    let gate = disk::Folder::of(&path, &near.collect::<Vec<_>>()).unwrap();
    let bytes = Arc::new(std::fs::read(&path).unwrap());
    let image = disk::open_behind(&gate, bytes, Declared::Stated(Format::Qcow2)).unwrap();
    let mut found = vec![0; usize::try_from(CAPACITY_BYTES).unwrap()];
    image.read_at(&mut found, 0).unwrap();
    assert!(found == bytes_of(fills), "{disk}");
    let (file, due) = (bench.path(&disk), bench.path("due.raw"));
    let words = ["compare".as_ref(), "-Fraw".as_ref(), file.as_os_str(), due.as_os_str()];
    let Some(compared) = oracle("qemu-img", words) else { return };
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
    let checked = oracle("qemu-img", ["check".as_ref(), file.as_os_str()]).unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
}

/// What an image has by itself of each cluster, and the name of what it stands on.
fn alone(bench: &Bench, disk: &str) -> (String, Option<String>) {
    let bytes = Arc::new(bench.read(&format!("host/images/{disk}")));
    let image = disk::open_behind(&Alone, bytes, Declared::Stated(Format::Qcow2)).unwrap();
    let shown =
        (0..4).map(|cluster| match image.extent_at(cluster * CLUSTER as u64).unwrap().kind {
            ExtentKind::Hole => '-',
            ExtentKind::Zero => '0',
            _ => 'd',
        });
    let below = image.info().references.first().map(|one| one.name.clone());
    (shown.collect(), below)
}

fn with_tree() -> Hosted {
    let host = Hosted::beside(Bench::empty());
    tree(&host.bench.path("web01.tar"));
    host
}

/// SPACEVM-16: the tree of snapshots comes back with a point, below and above the machine's disk.
#[test]
fn a_point_comes_back_above_what_its_snapshots_keep() {
    let host = with_tree();
    let verified = host.run("backup verify web01.tar --level deep");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let run = host.run("restore web01.tar --pool images --uuid keep");
    assert_eq!(run.code, Some(0), "{run:?}");
    let files = ["web01-one.qcow2", "web01-two.memory", "web01-two.snapshot", DISK];
    assert_eq!(host.holds("images"), files);
    holds(&host.bench, DISK, [7, 0, 0, 6]);
    holds(&host.bench, "web01-two.snapshot", [1, 5, 0, 4]);
    let below = |name: &str| Some(name.to_owned());
    assert_eq!(alone(&host.bench, DISK), ("d0-d".to_owned(), below("web01-two.snapshot")));
    assert_eq!(
        alone(&host.bench, "web01-two.snapshot"),
        ("-d0-".to_owned(), below("web01-one.qcow2"))
    );
    assert_eq!(host.holds("snapshots"), [format!("{UUID}/one.xml"), format!("{UUID}/two.xml")]);
    let two = host.bench.read(&format!("host/snapshots/{UUID}/two.xml"));
    let two = String::from_utf8(two).unwrap();
    for (number, due) in ["web01-two.memory", DISK, "web01-two.snapshot"].iter().enumerate() {
        let folder = host.bench.path("host/images").display().to_string();
        let at = two.find(&format!("{folder}/{due}"));
        assert!(at.is_some(), "{number}: {due} in {two}");
    }
}

#[test]
fn an_older_point_comes_back_with_the_snapshots_that_it_had() {
    for (id, fills, snapshots) in [
        ("20261121-190500", [9, 2, 3, 4], &["one"][..]),
        ("20261122-190500", [1, 5, 0, 6], &["one", "two"]),
    ] {
        let host = with_tree();
        let run =
            host.run(&format!("restore web01.tar@{id} --pool images --uuid keep --verify full"));
        assert_eq!(run.code, Some(0), "{run:?}");
        holds(&host.bench, DISK, fills);
        let due: Vec<_> = snapshots.iter().map(|name| format!("{UUID}/{name}.xml")).collect();
        assert_eq!(host.holds("snapshots"), due, "{id}");
    }
}

#[test]
fn in_another_format_a_point_is_one_image_and_its_snapshots_go_with_a_word() {
    let host = with_tree();
    let run = host.run("restore web01.tar --pool images --format raw");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("W0203") || run.stderr.contains("W0203"), "{run:?}");
    assert_eq!(host.holds("images"), ["web01-vda.raw"]);
    assert!(host.bench.read("host/images/web01-vda.raw") == bytes_of([7, 0, 0, 6]));
    assert!(host.holds("snapshots").is_empty());
}

/// SPACEVM-34: a point of a thin clone is one image above the template's disk, which nobody touches.
#[test]
fn a_point_of_a_thin_clone_comes_back_upon_the_disk_of_its_template() {
    let host = Hosted::beside(Bench::visible());
    let golden = host.bench.path("host/images/golden.qcow2");
    let of_golden = Qcow2::new(CAPACITY_BYTES);
    let of_golden = of_golden.cluster(0, Qcow2Cluster::Data(vec![4; CLUSTER]));
    let of_golden = of_golden.cluster(3, Qcow2Cluster::Data(vec![4; CLUSTER])).build().bytes;
    host.bench.write("host/images/golden.qcow2", &of_golden);
    let xml = xml("golden", &golden.display().to_string());
    let xml = String::from_utf8(xml).unwrap().replace(UUID, GOLDEN);
    std::fs::create_dir(host.bench.path("host/machines")).unwrap();
    host.bench.write(&format!("host/machines/{GOLDEN}.xml"), xml.as_bytes());
    clone(&host.bench.path("web02.tar"), &golden);
    let verified = host.run("backup verify web02.tar --level deep");
    assert_eq!(verified.code, Some(0), "{verified:?}");
    for (id, has, fills) in
        [("20261122-190500", "0dd-", [0, 8, 3, 4]), ("20261121-190500", "-d--", [4, 8, 0, 4])]
    {
        let run = host.run(&format!("restore web02.tar@{id} --pool images --uuid keep"));
        assert_eq!(run.code, Some(0), "{run:?}");
        let below = Some(golden.display().to_string());
        assert_eq!(alone(&host.bench, "web02-vda.qcow2"), (has.to_owned(), below));
        holds(&host.bench, "web02-vda.qcow2", fills);
        std::fs::remove_file(host.bench.path("host/images/web02-vda.qcow2")).unwrap();
        std::fs::remove_file(host.bench.path(&format!("host/machines/{UUID}.xml"))).unwrap();
    }
    assert!(host.bench.read("host/images/golden.qcow2") == of_golden);
    let run = host.run("restore web02.tar --pool images --format raw");
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(run.stderr.contains("leave --format and --compress out"), "{run:?}");
}
