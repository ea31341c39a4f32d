//! A libvirt host as the target: what is done there, and what is left when an act fails.

use std::{fs, path::Path, sync::Arc};

use bundle::{
    Bundle, Form, ImageState, Manifest, Node, Options, Snapshot, Template, TemplateDisk, Writer,
};
use disk::Unheard;
use host::{
    FolderFacts,
    fake::Fake,
    libvirt::{KnownMachine, Network, Pool},
};
use ovf::EntryName;
use restore::{
    Choices, Error, Execution, Outcome, Plan, Policy, Source, VerifyOutput,
    plan::{HostFacts, PoolFacts, TargetFacts, Where, asked_paths, template_paths},
    source::look_at_images,
};
use testkit::{MIB, Package, Qcow2, Qcow2Cluster};

use crate::{Quiet, files, names, ova};

/// What is known of a host whose pool `default` is a folder.
pub(crate) fn facts(pool: &Path, source: &dyn Source) -> TargetFacts {
    let folder: FolderFacts = host::dir::facts(pool).expect("the test made it so");
    let said = Pool {
        name: "default".to_owned(),
        kind: "dir".to_owned(),
        path: Some(folder.path.clone()),
        is_active: true,
        capacity_bytes: folder.free_bytes,
        free_bytes: folder.free_bytes,
        writable: Some(true),
    };
    let network =
        Network { name: "default".to_owned(), is_active: true, bridge: None, forward: None };
    let host = HostFacts {
        uri: "test:///default".to_owned(),
        is_local: true,
        pools: vec![PoolFacts { pool: said, folder: Some(folder.clone()) }],
        networks: vec![network],
        machines: Vec::new(),
        standing: None,
        storage: None,
    };
    let asked = asked_paths(source.facts()).into_iter();
    let paths = asked.filter_map(|path| Some((path.clone(), host::dir::path_facts(&path).ok()?)));
    TargetFacts {
        place: Where::Host(Box::new(host)),
        taken: host::dir::taken(pool).expect("the test made it so"),
        paths: paths.collect(),
        ..TargetFacts::folder(folder)
    }
}

pub(crate) fn plan(source: &dyn Source, pool: &Path, choices: &Choices) -> Result<Plan, Error> {
    let images = look_at_images(source, &restore::plan::images(source.facts(), choices)?)?;
    restore::plan(source.facts(), &images, &facts(pool, source), choices)
}

fn bring(
    source: &mut dyn Source,
    pool: &Path,
    choices: &Choices,
    host: &Fake,
) -> Result<Outcome, Error> {
    carry_out(&plan(source, pool, choices)?, source, host)
}

/// A folder whose path has no hidden part: nothing of a backup goes to such a one.
pub(crate) fn visible() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("host").tempdir().expect("the test's own folder")
}

pub(crate) fn carry_out(
    plan: &Plan,
    source: &mut dyn Source,
    host: &Fake,
) -> Result<Outcome, Error> {
    let with = Execution {
        host,
        hypervisor: Some(host),
        watch: &Quiet::default(),
        workers: 2,
        verify: VerifyOutput::Full,
        keep_partial: false,
        render: &|_| b"{}".to_vec(),
    };
    restore::execute(plan, source, &with)
}

/// Fails each act of a run in turn: nothing is left in the pool, and no machine on the host.
fn fails_cleanly(pool: &Path, due: &[&str], open: &dyn Fn() -> Box<dyn Source>) {
    fs::create_dir(pool).expect("the test made it so");
    fs::write(pool.join("other"), "mine").expect("the test made it so");
    let before = files(pool);
    let choices = Choices { start: true, ..Choices::default() };
    let whole = Fake::new(None);
    bring(&mut *open(), pool, &choices, &whole).expect("the test made it so");
    let shown = |act: &String| {
        // The identity that is started is made from the source.
        act.split_once(' ')
            .filter(|(verb, _)| *verb == "start")
            .map_or_else(|| act.clone(), |_| "start".into())
    };
    let acts = whole.acts();
    assert_eq!(acts.iter().map(shown).collect::<Vec<_>>(), due);
    let brought = files(pool);
    for name in names(pool).iter().filter(|name| *name != "other") {
        fs::remove_file(pool.join(name)).expect("the test made it so");
    }
    let defined =
        acts.iter().position(|act| act.starts_with("define")).expect("the test made it so");
    for (number, act) in acts.iter().enumerate() {
        let fake = Fake::new(Some(number));
        let error = bring(&mut *open(), pool, &choices, &fake).expect_err("an act fails");
        let done = fake.acts();
        let undefined = done.iter().filter(|act| act.starts_with("undefine")).count();
        if act.starts_with("start") {
            assert_eq!(error.to_string(), "the machine web is there, and does not start");
            assert_eq!((files(pool) == brought, undefined), (true, 0), "it stays whole");
            continue;
        }
        assert_eq!(names(pool), ["other"], "{act}");
        assert!(files(pool) == before, "{act}");
        assert_eq!(undefined, usize::from(number > defined), "{act}: {done:?}");
        if number
            > due.iter().position(|act| act.starts_with("refresh")).expect("the test made it so")
        {
            assert_eq!(
                done.last().expect("the test made it so"),
                "refresh default",
                "the pool sees that they went"
            );
        }
    }
}

#[test]
fn an_import_that_fails_leaves_nothing_on_the_host_whichever_act_fails() {
    let folder = visible();
    let bytes = Package::small("web", MIB).ova();
    let due = [
        "create web-disk0.qcow2",
        "publish web-disk0.qcow2",
        "sync images",
        "refresh default",
        "define web",
        "start",
    ];
    let open = || ova(folder.path(), &bytes).unwrap();
    fails_cleanly(&folder.path().join("images"), &due, &open);
}

#[test]
fn a_restore_with_snapshots_that_fails_leaves_nothing_on_the_host_whichever_act_fails() {
    let folder = visible();
    let pool = folder.path().join("images");
    let path = folder.path().join("web.tar");
    backup(&path, &pool);
    let due = [
        "create base.qcow2",
        "create top.snapshot",
        "create fresh.memory",
        "publish base.qcow2",
        "publish top.snapshot",
        "publish fresh.memory",
        "sync images",
        "refresh default",
        "define web",
        "snapshot fresh",
        "start",
    ];
    fails_cleanly(&pool, &due, &|| restore::open(&path, &Policy::default()).unwrap());
}

/// What a snapshot keeps is a file of its own, and the images of the point are one.
#[test]
fn a_restore_of_a_point_above_a_kept_image_leaves_nothing_whichever_act_fails() {
    let folder = visible();
    let pool = folder.path().join("images");
    let path = folder.path().join("web.tar");
    point(&path, &pool);
    let due = [
        "create base.qcow2",
        "create top.snapshot",
        "create fresh.memory",
        "publish base.qcow2",
        "publish top.snapshot",
        "publish fresh.memory",
        "sync images",
        "refresh default",
        "define web",
        "snapshot fresh",
        "start",
    ];
    fails_cleanly(&pool, &due, &|| restore::open(&path, &Policy::default()).unwrap());
}

#[test]
fn a_point_is_written_above_the_kept_image_with_what_it_has_itself() {
    let folder = visible();
    let pool = folder.path().join("images");
    fs::create_dir(&pool).unwrap();
    let path = folder.path().join("web.tar");
    point(&path, &pool);
    let mut source = restore::open(&path, &Policy::default()).unwrap();
    bring(&mut *source, &pool, &Choices::default(), &Fake::new(None)).unwrap();
    let top = Arc::new(fs::read(pool.join("top.snapshot")).unwrap());
    let top =
        disk::open_behind(&disk::Alone, top, disk::Declared::Stated(disk::Format::Qcow2)).unwrap();
    assert_eq!(top.info().references[0].name, "base.qcow2");
    let has = |cluster: u64| top.extent_at(cluster * 65536).unwrap().kind != disk::ExtentKind::Hole;
    assert_eq!([0, 1, 2, 3, 4].map(has), [false, false, true, true, false]);
}

/// Nobody deletes a backup that is open to be restored.
#[test]
fn a_backup_is_pinned_while_it_is_open_and_a_writer_keeps_nobody_from_reading() {
    let folder = visible();
    let path = folder.path().join("web.tar");
    backup(&path, folder.path());
    let other = fs::File::open(&path).unwrap();
    let source = restore::open(&path, &Policy::default()).unwrap();
    assert_eq!(bundle::lock(&other).unwrap_err().code(), code::Code::E0602);
    drop(source);
    bundle::lock(&other).unwrap();
    restore::open(&path, &Policy::default()).unwrap();
}

pub(crate) fn domain(image: &Path) -> Vec<u8> {
    let image = image.display();
    format!(
        "<domain type='kvm'><name>web</name><memory unit='MiB'>512</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>\
         <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
         <source file='{image}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    )
    .into_bytes()
}

fn image() -> Qcow2 {
    Qcow2::new(MIB).cluster(1, Qcow2Cluster::Data(testkit::content(65536)))
}

/// SPACEVM-34: what is restored stands on the template's disk, which nobody touches.
#[test]
fn a_thin_clone_is_restored_upon_its_template_and_does_not_change_it() {
    let folder = visible();
    let golden = folder.path().join("golden.qcow2");
    fs::write(&golden, image().build().bytes).unwrap();
    let before = fs::read(&golden).unwrap();
    let path = folder.path().join("clone.tar");
    thin_clone(&path, &golden, ImageState::of(&before).unwrap());
    let mut source = restore::open(&path, &Policy::default()).unwrap();
    let mut target = facts(folder.path(), &*source);
    assert_eq!(template_paths(source.facts()), std::slice::from_ref(&golden));
    target.templates.insert(golden.clone(), ImageState::of(&before).expect("the test made it so"));
    let Where::Host(host) = &mut target.place else { panic!("a host was asked for") };
    host.machines.push(KnownMachine {
        name: "golden".to_owned(),
        uuid: "5b1c0000-0000-4000-8000-000000000001".parse().unwrap(),
        is_active: false,
        macs: Vec::new(),
        disks: vec![golden.clone()],
        own_disks: Vec::new(),
    });
    let plan = restore::plan(source.facts(), &[], &target, &Choices::default()).unwrap();
    carry_out(&plan, &mut *source, &Fake::new(None)).unwrap();
    assert!(fs::read(&golden).unwrap() == before);
    let written = fs::read(folder.path().join("web.qcow2")).unwrap();
    let opened = disk::open_behind(
        &disk::Alone,
        Arc::new(written),
        disk::Declared::Stated(disk::Format::Qcow2),
    );
    assert_eq!(opened.unwrap().info().references[0].name, golden.display().to_string());
}

/// Writes the backup of a machine whose only image stands on another machine's.
fn thin_clone(path: &Path, golden: &Path, state: ImageState) {
    let backing = golden.display().to_string();
    let node = Node {
        member: "web.qcow2".to_owned(),
        capacity_bytes: MIB,
        backing: Some(backing.clone()),
    };
    let medium = fs::File::create_new(path).expect("the test made it so");
    let options = Options { form: Form::Tar, level: 1, unix_seconds: 17 };
    let mut writer = Writer::new(&medium, options);
    for (name, bytes) in [
        ("17-web.xml", domain(&golden.with_file_name("web.qcow2"))),
        ("web.qcow2", image().backing(&backing, Some("qcow2")).build().bytes),
    ] {
        writer
            .add(&EntryName::parse(name).expect("the test made it so"), &bytes, &Unheard)
            .expect("the test made it so");
    }
    let disk = TemplateDisk { member: node.member.clone(), path: backing.clone(), backing, state };
    let template = Template { name: "golden".to_owned(), uuid: None, disks: vec![disk] };
    let manifest = Manifest {
        nodes: vec![node],
        members: writer.written().expect("the test made it so").to_vec(),
        template: Some(template),
        ..Manifest::default()
    };
    writer.finish(Some(&manifest)).expect("the test made it so");
}

/// Writes a backup of a machine with a snapshot, whose images were in the pool.
pub(crate) fn backup(path: &Path, pool: &Path) {
    let medium = fs::File::create_new(path).expect("the test made it so");
    let options = Options { form: Form::Tar, level: 1, unix_seconds: 17 };
    let mut writer = Writer::new(&medium, options);
    for (name, bytes) in [
        ("17-web.xml", domain(&pool.join("top.snapshot"))),
        ("16-web.xml", domain(&pool.join("base.qcow2"))),
        ("base.qcow2", image().build().bytes),
        ("top.snapshot", image().backing("base.qcow2", Some("qcow2")).build().bytes),
        ("fresh.memory", vec![5; 700]),
    ] {
        writer
            .add(&EntryName::parse(name).expect("the test made it so"), &bytes, &Unheard)
            .expect("the test made it so");
    }
    let node = |member: &str, backing: Option<&str>| Node {
        member: member.to_owned(),
        capacity_bytes: MIB,
        backing: backing.map(str::to_owned),
    };
    let manifest = Manifest {
        nodes: vec![node("base.qcow2", None), node("top.snapshot", Some("base.qcow2"))],
        snapshots: vec![Snapshot {
            name: "fresh".to_owned(),
            parent: None,
            created_unix_seconds: 16,
            config: "16-web.xml".to_owned(),
            nodes: vec!["base.qcow2".to_owned()],
            disks: std::collections::BTreeMap::new(),
            memory: Some("fresh.memory".to_owned()),
        }],
        members: writer.written().expect("the test made it so").to_vec(),
        ..Manifest::default()
    };
    writer.finish(Some(&manifest)).expect("the test made it so");
    let bytes = Arc::new(fs::read(path).expect("the test made it so"));
    assert_eq!(
        Bundle::open(bytes).expect("the test made it so").nodes().expect("the test made it so"),
        manifest.nodes
    );
}

/// Writes a backup of two points of a machine that has a snapshot: a whole image above the one that the
/// snapshot keeps, and what changed since.
fn point(path: &Path, pool: &Path) {
    let cluster = |number, backing| {
        let image = Qcow2::new(MIB).backing(backing, Some("qcow2"));
        image.cluster(number, Qcow2Cluster::Data(testkit::content(65536))).build().bytes
    };
    let medium = fs::File::create_new(path).expect("the test made it so");
    let options = Options { form: Form::Tar, level: 1, unix_seconds: 17 };
    let mut writer = Writer::new(&medium, options);
    for (name, bytes) in [
        ("17-web.xml", domain(&pool.join("top.snapshot"))),
        ("16-web.xml", domain(&pool.join("base.qcow2"))),
        ("base.qcow2", image().build().bytes),
        ("full.qcow2", cluster(2, "base.qcow2")),
        ("later.snapshot", cluster(3, "full.qcow2")),
        ("fresh.memory", vec![5; 700]),
    ] {
        writer
            .add(&EntryName::parse(name).expect("the test made it so"), &bytes, &Unheard)
            .expect("the test made it so");
    }
    let node = |member: &str, backing: Option<&str>| Node {
        member: member.to_owned(),
        capacity_bytes: MIB,
        backing: backing.map(str::to_owned),
    };
    let point = |id: &str, member: &str, mode| bundle::Point {
        id: id.to_owned(),
        created_unix_seconds: 17,
        mode,
        config: "17-web.xml".to_owned(),
        state: bundle::State::Running,
        indications: Vec::new(),
        disks: vec![bundle::PointDisk {
            target: "vda".to_owned(),
            member: member.to_owned(),
            capacity_bytes: MIB,
            mode,
            reason: None,
            read_bytes: 65536,
        }],
        left_out: Vec::new(),
        checkpoint: None,
        snapshots: vec!["fresh".to_owned()],
    };
    let manifest = Manifest {
        nodes: vec![
            node("base.qcow2", None),
            node("full.qcow2", Some("base.qcow2")),
            node("later.snapshot", Some("full.qcow2")),
        ],
        snapshots: vec![Snapshot {
            name: "fresh".to_owned(),
            parent: None,
            created_unix_seconds: 16,
            config: "16-web.xml".to_owned(),
            nodes: Vec::new(),
            disks: [("vda".to_owned(), "base.qcow2".to_owned())].into(),
            memory: Some("fresh.memory".to_owned()),
        }],
        members: writer.written().expect("the test made it so").to_vec(),
        points: vec![
            point("p1", "full.qcow2", bundle::Mode::Full),
            point("p2", "later.snapshot", bundle::Mode::Incremental),
        ],
        ..Manifest::default()
    };
    writer.finish(Some(&manifest)).expect("the test made it so");
}
