//! A backup, a host and what lies on it, made by hand for the tests of the planner's rules.

use std::path::{Path, PathBuf};

use bundle::{Mode, Node, Point, PointDisk, Snapshot, State};
use code::Code;
use convert::Row;
use host::{
    FolderFacts, PathFacts, PathKind,
    libvirt::{KnownMachine, Network, Pool},
};
use ovf::{EntryName, Signature};
use vm::Uuid;

use super::{Choices, FilePlan, FileRole, HostFacts, Plan, PoolFacts, TargetFacts, Where};
use crate::{
    Description, Facts, Native, SourceKind,
    native::Backup,
    source::{Member, Text},
};

/// The bytes of every member of the backup.
pub(super) const LENGTH_BYTES: u64 = 1000;
/// The size of every disk.
pub(super) const CAPACITY_BYTES: u64 = 1 << 20;
/// The room of every folder.
pub(super) const ROOM_BYTES: u64 = 1 << 30;
/// The identity of the machine of the backup.
pub(super) const UUID: &str = "5b1c0000-0000-4000-8000-000000000001";
/// The address of its card.
pub(super) const MAC: &str = "52:54:00:00:00:07";

/// What is planned, and for whom; each test spoils a part of it.
pub(super) struct Case {
    pub(super) facts: Facts,
    pub(super) target: TargetFacts,
    pub(super) choices: Choices,
}

/// A folder that is there and takes writes, on a file system of its own.
pub(super) fn folder(path: &str) -> FolderFacts {
    let file_system = path.bytes().fold(7, |sum: u64, byte| sum * 31 % 1_000_003 + u64::from(byte));
    FolderFacts {
        path: PathBuf::from(path),
        exists: true,
        writable: true,
        free_bytes: ROOM_BYTES,
        file_system,
    }
}

/// A pool that is such a folder.
pub(super) fn pool(name: &str, path: &str) -> PoolFacts {
    PoolFacts {
        pool: Pool {
            name: name.to_owned(),
            kind: "dir".to_owned(),
            path: Some(PathBuf::from(path)),
            is_active: true,
            capacity_bytes: 2 * ROOM_BYTES,
            free_bytes: ROOM_BYTES,
            writable: Some(true),
        },
        folder: Some(folder(path)),
    }
}

/// A host with the pools `default` and `backups`, a network and no machine.
pub(super) fn host() -> HostFacts {
    HostFacts {
        uri: "test:///default".to_owned(),
        is_local: true,
        pools: vec![pool("default", "/var/lib/libvirt/images"), pool("backups", "/backups")],
        networks: vec![network("default")],
        machines: Vec::new(),
        standing: None,
        storage: None,
    }
}

pub(super) fn network(name: &str) -> Network {
    Network { name: name.to_owned(), is_active: true, bridge: None, forward: None }
}

pub(super) fn machine(name: &str, disks: &[&str]) -> KnownMachine {
    KnownMachine {
        name: name.to_owned(),
        uuid: "5b1c0000-0000-4000-8000-0000000000ff".parse().unwrap(),
        is_active: false,
        macs: Vec::new(),
        disks: disks.iter().map(PathBuf::from).collect(),
        own_disks: Vec::new(),
    }
}

/// A disk on a file.
pub(super) fn disk(target: &str, path: &str) -> String {
    format!(
        "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{path}'/>\
         <target dev='{target}' bus='virtio'/></disk>"
    )
}

/// A CD drive with a file.
pub(super) fn cdrom(path: &str) -> String {
    format!(
        "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{path}'/>\
         <target dev='sda' bus='sata'/><readonly/></disk>"
    )
}

/// A disk on a device of the host.
pub(super) fn lun(target: &str, path: &str) -> String {
    format!(
        "<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='{path}'/>\
         <target dev='{target}' bus='virtio'/></disk>"
    )
}

/// The definition of a machine with these drives.
pub(super) fn domain(drives: &str) -> String {
    format!(
        "<domain type='kvm'><name>web</name><uuid>{UUID}</uuid>\
         <metadata><own:mark xmlns:own='urn:own' template='yes'/></metadata>\
         <memory unit='MiB'>512</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\
         <devices>{drives}<interface type='network'><mac address='{MAC}'/>\
         <source network='default'/><model type='virtio'/></interface></devices></domain>"
    )
}

impl Case {
    /// The backup of a machine with these drives, in the pool `backups`, and a host to restore it on.
    pub(super) fn backup(drives: &str) -> Self {
        let mut case = Self::definition(&domain(drives));
        case.facts.kind = SourceKind::Bundle;
        case.native().backup = Some(Backup::default());
        case
    }

    /// A domain XML alone.
    pub(super) fn definition(document: &str) -> Self {
        let name = EntryName::parse("1700000000-web.xml").unwrap();
        let native = Native::parse(document.to_owned()).unwrap();
        let paths = super::native::asked_paths(&native);
        let facts = Facts {
            kind: SourceKind::DomainXml,
            name: "web.tar".to_owned(),
            folder: Some(PathBuf::from("/backups")),
            descriptor: Text { name, bytes: document.as_bytes().to_vec() },
            description: Description::Native(Box::new(native)),
            manifest: None,
            certificate: None,
            signature: Signature::default(),
            bundles: Vec::new(),
            members: Vec::new(),
            is_complete: true,
            package_bytes: Some(1),
            findings: Vec::new(),
        };
        let place = Where::Host(Box::new(host()));
        let target = TargetFacts { place, ..TargetFacts::folder(folder("/")) };
        let mut case = Self { facts, target, choices: Choices::default() };
        for path in paths {
            case.put(&path, PathKind::Nothing);
        }
        case
    }

    pub(super) fn native(&mut self) -> &mut Native {
        match &mut self.facts.description {
            Description::Native(native) => native,
            other => panic!("the fixture is native, not {other:?}"),
        }
    }

    pub(super) fn of_backup(&mut self) -> &mut Backup {
        self.native().backup.as_mut().unwrap()
    }

    pub(super) fn host(&mut self) -> &mut HostFacts {
        match &mut self.target.place {
            Where::Host(host) => host,
            other => panic!("the target is {other:?}"),
        }
    }

    /// Adds an image to the backup.
    pub(super) fn image(mut self, member: &str, backing: Option<&str>) -> Self {
        let backing = backing.map(str::to_owned);
        let node = Node { member: member.to_owned(), capacity_bytes: CAPACITY_BYTES, backing };
        self.of_backup().nodes.push(node);
        self.member(member)
    }

    /// Adds another member.
    pub(super) fn member(mut self, name: &str) -> Self {
        let name = EntryName::parse(name).unwrap();
        self.facts.members.push(Member { name, offset_bytes: 0, length_bytes: LENGTH_BYTES });
        self
    }

    /// Adds a snapshot with the definition of a machine with these drives.
    pub(super) fn snapshot(mut self, snapshot: Snapshot, drives: &str) -> Self {
        self.of_backup().snapshots.push((snapshot, domain(drives)));
        self
    }

    /// Adds a point of these drives and members, which is the one that is meant.
    pub(super) fn point(mut self, disks: &[(&str, &str)]) -> Self {
        let disks = disks.iter().map(|(target, member)| PointDisk {
            target: (*target).to_owned(),
            member: (*member).to_owned(),
            capacity_bytes: CAPACITY_BYTES,
            mode: Mode::Full,
            reason: None,
            read_bytes: 0,
        });
        let point = Point {
            id: "20261121-190500".to_owned(),
            created_unix_seconds: 1_795_287_900,
            mode: Mode::Incremental,
            config: "1795287900-web.xml".to_owned(),
            state: State::Running,
            indications: Vec::new(),
            disks: disks.collect(),
            left_out: Vec::new(),
            checkpoint: None,
            snapshots: Vec::new(),
        };
        self.of_backup().points.push(point.clone());
        self.of_backup().point = Some(point);
        self
    }

    /// Says what lies at a path.
    pub(super) fn at(mut self, path: &str, kind: PathKind) -> Self {
        self.put(Path::new(path), kind);
        self
    }

    fn put(&mut self, path: &Path, kind: PathKind) {
        let parent = path.parent().unwrap().to_str().unwrap();
        let facts = PathFacts { kind, length_bytes: LENGTH_BYTES, folder: folder(parent) };
        self.target.paths.insert(path.to_owned(), facts);
    }

    /// Spoils what is known of the folders of the backup's paths.
    pub(super) fn folders(mut self, spoil: impl Fn(&mut FolderFacts)) -> Self {
        self.target.paths.values_mut().for_each(|at| spoil(&mut at.folder));
        self
    }

    /// Spoils what is known of a pool and its folder.
    pub(super) fn pool(mut self, name: &str, spoil: impl Fn(&mut PoolFacts)) -> Self {
        self.host().pools.iter_mut().filter(|pool| pool.pool.name == name).for_each(spoil);
        self
    }

    pub(super) fn plan(&self) -> Plan {
        super::plan(&self.facts, &[], &self.target, &self.choices).unwrap()
    }

    /// What keeps the plan from being carried out: code, text, way out.
    pub(super) fn blockers(&self) -> Vec<(Code, String, String)> {
        told(&self.plan())
    }
}

/// The blockers of a plan: code, text, way out.
pub(super) fn told(plan: &Plan) -> Vec<(Code, String, String)> {
    let blockers = plan.blockers().into_iter();
    blockers
        .map(|note| (note.code, note.text.clone(), note.hint.clone().unwrap_or_default()))
        .collect()
}

/// Where the files go.
pub(super) fn paths(plan: &Plan) -> Vec<String> {
    files(plan).iter().map(|file| file.to.display().to_string()).collect()
}

pub(super) fn files(plan: &Plan) -> &[FilePlan] {
    &plan.machines[0].files
}

/// What each image stands on.
pub(super) fn backings(plan: &Plan) -> Vec<Option<String>> {
    let backing = |file: &FilePlan| match &file.role {
        FileRole::Node(node) | FileRole::Merged(node) => node.backing.clone(),
        _ => None,
    };
    files(plan).iter().map(backing).collect()
}

/// The row of an item.
pub(super) fn row<'a>(plan: &'a Plan, item: &str) -> &'a Row {
    let mut rows = plan.machines[0].rows.iter();
    rows.find(|row| row.item == item).unwrap_or_else(|| panic!("no row {item}"))
}

/// The remarks of an item: code and text.
pub(super) fn notes(plan: &Plan, item: &str) -> Vec<(Code, String)> {
    row(plan, item).notes.iter().map(|note| (note.code, note.text.clone())).collect()
}

/// The definition of the machine.
pub(super) fn xml(plan: &Plan) -> &str {
    plan.machines[0].domain_xml.as_deref().unwrap()
}

/// Another identity than that of the fixture.
pub(super) fn uuid(text: &str) -> Uuid {
    text.parse().unwrap()
}
