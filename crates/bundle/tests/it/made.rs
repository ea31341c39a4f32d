//! The bundle of these tests: a machine with a disk, an ISO, and a snapshot that was appended.

use std::{
    io,
    sync::{Arc, Mutex},
};

use bundle::{
    Addition, Bundle, DEFAULT_LEVEL, Form, Increment, Manifest, Medium, Node, Options, Vm, Writer,
    append,
};
use disk::{ReadAt, Unheard, WriteAt};
use ovf::EntryName;
use testkit::{Qcow2, Qcow2Cluster};

/// The time of the first generation.
const THEN: u64 = 1_700_000_000;
/// The capacity of the disk.
const CAPACITY_BYTES: u64 = 256 << 10;

/// A file in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Vec<u8>>);

impl Memory {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

impl WriteAt for Memory {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap();
        let from = usize::try_from(offset_bytes).unwrap();
        let end = bytes.len().max(from + buf.len());
        bytes.resize(end, 0);
        bytes[from..from + buf.len()].copy_from_slice(buf);
        Ok(())
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        ReadAt::read_exact_at(&self.bytes(), buf, offset_bytes)
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(usize::try_from(len_bytes).unwrap(), 0);
        Ok(())
    }
}

impl Medium for Memory {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A bundle of two generations.
pub(crate) fn bundle(form: Form) -> Vec<u8> {
    let medium = Memory::default();
    let options = Options { form, level: DEFAULT_LEVEL, unix_seconds: THEN };
    let mut writer = Writer::new(&medium, options);
    let disk =
        Qcow2::new(CAPACITY_BYTES).cluster(1, Qcow2Cluster::Data(testkit::content(65536))).build();
    for (text, bytes) in [
        ("1700000000-web.xml", xml("web")),
        ("web-disk0.qcow2", disk.bytes),
        ("tools.iso", testkit::content(5000)),
    ] {
        writer.add(&name(text), &bytes, &Unheard).unwrap();
    }
    let member = "web-disk0.qcow2".to_owned();
    let manifest = Manifest {
        tool: "relift test".to_owned(),
        created_unix_seconds: THEN,
        vm: Vm { name: "web".to_owned(), uuid: None },
        nodes: vec![Node { member, capacity_bytes: CAPACITY_BYTES, backing: None }],
        members: writer.written().unwrap().to_vec(),
        ..Manifest::default()
    };
    writer.finish(Some(&manifest)).unwrap();
    append(&open(medium.bytes()), &medium, &increment(), &Unheard).unwrap();
    medium.bytes()
}

fn increment() -> Increment {
    let delta = Qcow2::new(CAPACITY_BYTES)
        .cluster(2, Qcow2Cluster::Data(testkit::content(65536)))
        .backing("web-disk0.qcow2", Some("qcow2"))
        .build();
    let addition = |text: &str, bytes: Vec<u8>| Addition {
        name: name(text),
        bytes: Arc::new(bytes) as Arc<dyn ReadAt>,
    };
    Increment {
        additions: vec![
            addition("web-1.snapshot", delta.bytes),
            addition("1700000001-web.xml", xml("web")),
        ],
        snapshot: None,
        tool: "relift test".to_owned(),
        unix_seconds: THEN + 1,
        level: DEFAULT_LEVEL,
        ..Increment::default()
    }
}

pub(crate) fn open(bytes: Vec<u8>) -> Bundle {
    Bundle::open(Arc::new(bytes)).unwrap()
}

fn name(text: &str) -> EntryName {
    EntryName::parse(text).unwrap()
}

fn xml(name: &str) -> Vec<u8> {
    format!("<domain type='kvm'><name>{name}</name></domain>\n").into_bytes()
}
