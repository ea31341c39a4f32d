//! Bundles for the tests of the crate.

use std::sync::Arc;

use disk::{ReadAt, Unheard};
use ovf::EntryName;
use testkit::{Qcow2, Qcow2Cluster};

use crate::{
    Addition, Bundle, DEFAULT_LEVEL, Form, Increment, Manifest, Node, Options, Vm, Writer,
    fake::Memory,
};

/// The time of the first generation.
pub(crate) const THEN: u64 = 1_700_000_000;
/// The capacity of the disk.
pub(crate) const CAPACITY_BYTES: u64 = 256 << 10;

pub(crate) fn options(form: Form) -> Options {
    Options { form, level: DEFAULT_LEVEL, unix_seconds: THEN }
}

pub(crate) fn name(text: &str) -> EntryName {
    EntryName::parse(text).unwrap()
}

pub(crate) fn xml(name: &str) -> Vec<u8> {
    format!("<domain type='kvm'><name>{name}</name><uuid>1-2</uuid></domain>\n").into_bytes()
}

/// A disk whose second cluster is full of one byte.
pub(crate) fn disk(fill: u8) -> Vec<u8> {
    let cluster = Qcow2Cluster::Data(vec![fill; 65536]);
    Qcow2::new(CAPACITY_BYTES).cluster(1, cluster).build().bytes
}

/// A disk above another one.
pub(crate) fn delta(backing: &str, fill: u8) -> Vec<u8> {
    let cluster = Qcow2Cluster::Data(vec![fill; 65536]);
    let built = Qcow2::new(CAPACITY_BYTES).cluster(2, cluster).backing(backing, Some("qcow2"));
    built.build().bytes
}

/// A bundle as somebody makes it by hand: these members and no manifest.
pub(crate) fn foreign(form: Form, members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let medium = Memory::default();
    let mut writer = Writer::new(&medium, options(form));
    for (text, bytes) in members {
        writer.add(&name(text), bytes, &Unheard).unwrap();
    }
    writer.finish(None).unwrap();
    medium.bytes()
}

/// A bundle of ours: a definition, a disk, an ISO and the manifest.
pub(crate) fn bundle(form: Form) -> Vec<u8> {
    let medium = Memory::default();
    let mut writer = Writer::new(&medium, options(form));
    let members = [
        ("1700000000-web.xml", xml("web")),
        ("web-disk0.qcow2", disk(1)),
        ("tools.iso", vec![9; 700]),
    ];
    for (text, bytes) in &members {
        writer.add(&name(text), bytes, &Unheard).unwrap();
    }
    let manifest = Manifest {
        tool: "relift test".to_owned(),
        created_unix_seconds: THEN,
        vm: Vm { name: "web".to_owned(), uuid: Some("1-2".to_owned()) },
        nodes: vec![Node {
            member: "web-disk0.qcow2".to_owned(),
            capacity_bytes: CAPACITY_BYTES,
            backing: None,
        }],
        members: writer.written().unwrap().to_vec(),
        ..Manifest::default()
    };
    writer.finish(Some(&manifest)).unwrap();
    medium.bytes()
}

/// What the next generation adds: a definition and a delta.
pub(crate) fn increment(generation: u64) -> Increment {
    let unix_seconds = THEN + generation;
    let addition = |text: String, bytes: Vec<u8>| Addition {
        name: name(&text),
        bytes: Arc::new(bytes) as Arc<dyn ReadAt>,
    };
    let backing = match generation {
        1 => "web-disk0.qcow2".to_owned(),
        later => format!("web-{}.snapshot", later - 1),
    };
    Increment {
        additions: vec![
            addition(format!("web-{generation}.snapshot"), delta(&backing, 7)),
            addition(format!("{unix_seconds}-web.xml"), xml("web")),
        ],
        tool: "relift test".to_owned(),
        unix_seconds,
        level: DEFAULT_LEVEL,
        snapshot: None,
        ..Increment::default()
    }
}

pub(crate) fn open(bytes: Vec<u8>) -> Bundle {
    Bundle::open(Arc::new(bytes)).unwrap()
}

/// Everything that a reader gets: each member with its content.
pub(crate) fn content(bundle: &Bundle) -> Vec<(String, Vec<u8>)> {
    let read = |member: &crate::Member| {
        let mut bytes = vec![0; usize::try_from(member.length_bytes).unwrap()];
        bundle.bytes(member).unwrap().read_exact_at(&mut bytes, 0).unwrap();
        (member.name.to_string(), bytes)
    };
    bundle.members().map(read).collect()
}
