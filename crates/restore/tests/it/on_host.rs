//! A libvirt host as the target: what is done there, and what is left when an act fails.

use std::{fs, path::Path, sync::Arc};

use bundle::{Bundle, Form, Manifest, Node, Options, Snapshot, Writer};
use disk::Unheard;
use host::{
    FolderFacts,
    fake::Fake,
    libvirt::{Network, Pool},
};
use ovf::EntryName;
use restore::{
    Choices, Error, Execution, Outcome, Plan, Policy, Source, VerifyOutput,
    plan::{HostFacts, PoolFacts, TargetFacts, Where, asked_paths},
    source::look_at_images,
};
use testkit::{MIB, Package, Qcow2, Qcow2Cluster};

use crate::{Quiet, files, names, ova};

/// What is known of a host whose pool `default` is a folder.
pub(crate) fn facts(pool: &Path, source: &dyn Source) -> TargetFacts {
    let folder: FolderFacts = host::dir::facts(pool).unwrap();
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
        storage: None,
    };
    let asked = asked_paths(source.facts()).into_iter();
    let paths = asked.filter_map(|path| Some((path.clone(), host::dir::path_facts(&path).ok()?)));
    TargetFacts {
        place: Where::Host(Box::new(host)),
        taken: host::dir::taken(pool).unwrap(),
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
    let plan = plan(source, pool, choices)?;
    let with = Execution {
        host,
        hypervisor: Some(host),
        watch: &Quiet::default(),
        workers: 2,
        verify: VerifyOutput::Full,
        keep_partial: false,
        render: &|_| b"{}".to_vec(),
    };
    restore::execute(&plan, source, &with)
}

/// Fails each act of a run in turn: nothing is left in the pool, and no machine on the host.
fn fails_cleanly(pool: &Path, due: &[&str], open: &dyn Fn() -> Box<dyn Source>) {
    fs::create_dir(pool).unwrap();
    fs::write(pool.join("other"), "mine").unwrap();
    let before = files(pool);
    let choices = Choices { start: true, ..Choices::default() };
    let whole = Fake::new(None);
    bring(&mut *open(), pool, &choices, &whole).unwrap();
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
        fs::remove_file(pool.join(name)).unwrap();
    }
    let defined = acts.iter().position(|act| act.starts_with("define")).unwrap();
    for (number, act) in acts.iter().enumerate() {
        let fake = Fake::new(Some(number));
        let error = bring(&mut *open(), pool, &choices, &fake).unwrap_err();
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
        if number > due.iter().position(|act| act.starts_with("refresh")).unwrap() {
            assert_eq!(done.last().unwrap(), "refresh default", "the pool sees that they went");
        }
    }
}

#[test]
fn an_import_that_fails_leaves_nothing_on_the_host_whichever_act_fails() {
    let folder = tempfile::tempdir().unwrap();
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
    let folder = tempfile::tempdir().unwrap();
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

/// Writes a backup of a machine with a snapshot, whose images were in the pool.
fn backup(path: &Path, pool: &Path) {
    let domain = |image: &str| {
        let image = pool.join(image).display().to_string();
        format!(
            "<domain type='kvm'><name>web</name><memory unit='MiB'>512</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>\
             <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
             <source file='{image}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
        )
    };
    let image = || Qcow2::new(MIB).cluster(1, Qcow2Cluster::Data(testkit::content(65536)));
    let medium = fs::File::create_new(path).unwrap();
    let options = Options { form: Form::Tar, level: 1, unix_seconds: 17 };
    let mut writer = Writer::new(&medium, options);
    for (name, bytes) in [
        ("17-web.xml", domain("top.snapshot").into_bytes()),
        ("16-web.xml", domain("base.qcow2").into_bytes()),
        ("base.qcow2", image().build().bytes),
        ("top.snapshot", image().backing("base.qcow2", Some("qcow2")).build().bytes),
        ("fresh.memory", vec![5; 700]),
    ] {
        writer.add(&EntryName::parse(name).unwrap(), &bytes, &Unheard).unwrap();
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
            memory: Some("fresh.memory".to_owned()),
        }],
        members: writer.written().unwrap().to_vec(),
        ..Manifest::default()
    };
    writer.finish(Some(&manifest)).unwrap();
    let bytes = Arc::new(fs::read(path).unwrap());
    assert_eq!(Bundle::open(bytes).unwrap().nodes().unwrap(), manifest.nodes);
}
