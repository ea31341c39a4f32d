//! A machine of the host is replaced, and is whole again whichever act fails.

use std::{fs, path::Path};

use host::{
    fake::{Fake, FakeGuest},
    libvirt::{KnownMachine, KnownSnapshot, Power},
};
use restore::{
    Choices, Error, Outcome, Plan, Policy, Source,
    plan::{Restored, Safety, Standing, Where},
};

use crate::{files, names, on_host};

const CHECKPOINT: &str = "<domaincheckpoint><name>relift-1</name></domaincheckpoint>";
const SNAPSHOT: &str = "<domainsnapshot><name>fresh</name></domainsnapshot>";
const BEFORE: &str = ".before-19700101-000017";

/// A folder with a backup, and the pool with the disks of the machine as it is now.
struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { folder: on_host::visible() };
        let pool = lab.folder.path().join("images");
        fs::create_dir(&pool).expect("the test's own folder takes writes");
        on_host::backup(&lab.folder.path().join("web.tar"), &pool);
        for (name, text) in [("top.snapshot", "old top"), ("base.qcow2", "old base")] {
            fs::write(pool.join(name), text).expect("the test's own folder takes writes");
        }
        lab
    }

    fn pool(&self) -> std::path::PathBuf {
        self.folder.path().join("images")
    }

    fn open(&self) -> Box<dyn Source> {
        restore::open(&self.folder.path().join("web.tar"), &Policy::default())
            .expect("the test made it so")
    }

    /// The machine as the host knows it.
    fn guest(&self) -> FakeGuest {
        let known = KnownSnapshot { name: "fresh".into(), is_current: true, xml: SNAPSHOT.into() };
        FakeGuest {
            power: Power::Off,
            definition: String::from_utf8(on_host::domain(&self.pool().join("top.snapshot")))
                .expect("the test's own text"),
            checkpoints: vec![("relift-1".into(), CHECKPOINT.into())],
            snapshots: vec![known],
            ..FakeGuest::default()
        }
    }

    fn plan(&self, source: &dyn Source, safety: Safety) -> Result<Plan, Error> {
        let known = KnownMachine {
            name: "web".to_owned(),
            uuid: "5b1c0000-0000-4000-8000-0000000000aa".parse().expect("the test's own text"),
            is_active: false,
            macs: Vec::new(),
            disks: vec![self.pool().join("top.snapshot")],
            own_disks: Vec::new(),
        };
        let mut target = on_host::facts(&self.pool(), source);
        let standing = Standing {
            checkpoints: vec!["relift-1".to_owned()],
            snapshots: vec!["fresh".to_owned()],
            ..Standing::new(&known, self.guest().definition)?
        };
        if let Where::Host(host) = &mut target.place {
            host.standing = Some(standing);
            host.machines = vec![known];
        }
        let choices = Choices { restored: Restored::InPlace(safety), ..Choices::default() };
        restore::plan(source.facts(), &[], &target, &choices)
    }

    fn restore(&self, safety: Safety, host: &Fake) -> Result<Outcome, Error> {
        let mut source = self.open();
        on_host::carry_out(&self.plan(&*source, safety)?, &mut *source, host)
    }
}

/// The file that a definition names.
fn disk(definition: &str) -> &str {
    let rest = definition.split_once("<source file=").expect("a disk is there").1;
    rest.split(['\'', '"']).nth(1).expect("it has a path")
}

#[test]
fn the_old_machine_is_held_until_the_new_one_is_there_and_then_kept() {
    let lab = Lab::new();
    let host = Fake::new(None).with_guest(lab.guest());
    lab.restore(Safety::Kept, &host).unwrap();
    assert_eq!(
        host.acts(),
        [
            "create base-2.qcow2",
            "create top.snapshot",
            "create fresh.memory",
            "second name top.snapshot.before-19700101-000017",
            "create web.before-19700101-000017.xml",
            "publish web.before-19700101-000017.xml",
            "sync images",
            "define web",
            "remove top.snapshot",
            "publish base-2.qcow2",
            "publish top.snapshot",
            "publish fresh.memory",
            "sync images",
            "refresh default",
            "delete checkpoint relift-1, metadata",
            "delete snapshot fresh, metadata",
            "define web",
            "snapshot fresh",
        ]
    );
    let pool = lab.pool();
    let read = |name: &str| fs::read(pool.join(name)).expect("it is there");
    assert_eq!(read(&format!("top.snapshot{BEFORE}")), b"old top");
    assert!(read("top.snapshot").starts_with(b"QFI\xfb"));
    let kept = String::from_utf8(read(&format!("web{BEFORE}.xml"))).unwrap();
    assert_eq!(Path::new(disk(&kept)), pool.join(format!("top.snapshot{BEFORE}")));
    let guest = host.guest();
    assert_eq!(Path::new(disk(&guest.definition)), pool.join("top.snapshot"));
    assert!(guest.checkpoints.is_empty() && guest.snapshots[0].xml != SNAPSHOT);
}

#[test]
fn without_a_safety_snapshot_the_old_files_go_at_the_very_end() {
    let lab = Lab::new();
    let host = Fake::new(None).with_guest(lab.guest());
    lab.restore(Safety::Removed, &host).unwrap();
    let last = [format!("remove top.snapshot{BEFORE}"), "refresh default".to_owned()];
    assert!(host.acts().ends_with(&last), "{:?}", host.acts());
    let left = names(&lab.pool());
    assert_eq!(left, ["base-2.qcow2", "base.qcow2", "fresh.memory", "top.snapshot"]);
}

#[test]
fn the_old_machine_is_whole_again_whichever_act_fails() {
    let lab = Lab::new();
    let (before, guest) = (files(&lab.pool()), lab.guest());
    let mut number = 0;
    loop {
        let host = Fake::new(Some(number)).with_guest(lab.guest());
        if lab.restore(Safety::Kept, &host).is_ok() {
            break;
        }
        let at = host.acts()[number].clone();
        assert!(files(&lab.pool()) == before, "{at}: {:?}", names(&lab.pool()));
        assert_eq!(host.guest(), guest, "{at}: {:?}", host.acts());
        number += 1;
    }
    assert_eq!(number, 18, "every act failed once");
}

#[test]
fn a_machine_that_changed_since_the_plan_is_left_alone() {
    let lab = Lab::new();
    let (before, mut guest) = (files(&lab.pool()), lab.guest());
    guest.definition = guest.definition.replace("512", "1024");
    let host = Fake::new(None).with_guest(guest.clone());
    let error = lab.restore(Safety::Kept, &host).unwrap_err();
    assert_eq!(error.to_string(), "the machine web has been changed in the meantime");
    assert!(files(&lab.pool()) == before && host.guest() == guest);
    let more = FakeGuest { snapshots: Vec::new(), ..lab.guest() };
    let error = lab.restore(Safety::Kept, &Fake::new(None).with_guest(more)).unwrap_err();
    assert_eq!(error.to_string(), "the machine web has been changed in the meantime");
    for guest in [
        FakeGuest { power: Power::Running, ..lab.guest() },
        FakeGuest { has_saved_memory: true, ..lab.guest() },
    ] {
        let host = Fake::new(None).with_guest(guest);
        let error = lab.restore(Safety::Kept, &host).unwrap_err();
        assert_eq!(error.to_string(), "the machine web is not off any more");
        assert_eq!(error.code(), code::Code::E0510);
    }
}
