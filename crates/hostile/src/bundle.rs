//! Native backups: the archive, its frames, and what is in it.

use std::{io, sync::Arc};

use bundle::{
    Addition, Bundle, DEFAULT_LEVEL, Form, Increment, Level, Manifest, Medium, Node, Options, Vm,
    Writer, append, verify,
};
use disk::{Unheard, WriteAt};
use ovf::EntryName;
use testkit::Memory;

use crate::{Feed, tar};

/// The most bytes that are read of a member.
const MAX_READ: u64 = 64 << 10;

/// When the bundles were made, in seconds since 1970.
const THEN: u64 = 1_700_000_000;

pub(crate) const BUNDLE_TAR: Feed = Feed {
    name: "bundle_tar",
    read: |bytes| {
        let plain = read(bytes);
        let packed = read(&testkit::zstd(bytes));
        // A file of nothing is no archive, and no frame either.
        if let (Some(plain), Some(packed)) = (plain, packed) {
            assert_eq!(plain, packed, "it has the same members when it is packed");
        }
    },
    seeds: || vec![made(Form::Tar), grown(Form::Tar)],
    words: &[
        b"ustar\x0000",
        b"../",
        b"1700000009-a.xml\0",
        b"-manifest.json\0",
        b".pad",
        b"QFI\xfb",
    ],
    seal: Some(tar::seal),
};

pub(crate) const BUNDLE_FRAMES: Feed = Feed {
    name: "bundle_frames",
    read: |bytes| drop(read(bytes)),
    seeds: || vec![made(Form::TarZst), grown(Form::TarZst), testkit::zstd(&made(Form::Tar))],
    words: &[
        // A frame, one to be skipped, a seek table and its end, the end frame, a run of one byte.
        b"\x28\xb5\x2f\xfd",
        b"\x50\x2a\x4d\x18",
        b"\x5e\x2a\x4d\x18",
        b"\xb1\xea\x92\x8f",
        b"\x28\xb5\x2f\xfd\x60\0\x03\x03\x20\0\0",
        b"\x50\x2a\x4d\x18\0\0\0\0",
        b"\x03\0\x10",
        b"\x02\0\x10",
    ],
    seal: None,
};

/// Reads a bundle, everything in it, and verifies it; gives the names and lengths of its members.
///
/// # Panics
///
/// When a member is not as long as it says.
fn read(bytes: &[u8]) -> Option<Vec<(String, u64)>> {
    let bundle = Bundle::open(Arc::new(bytes.to_vec())).ok()?;
    drop((bundle.config(), bundle.manifest(), bundle.nodes()));
    let mut members = Vec::new();
    for member in bundle.members() {
        members.push((member.name.to_string(), member.length_bytes));
        let Ok(bytes) = bundle.bytes(member) else { continue };
        assert_eq!(bytes.len_bytes(), member.length_bytes, "{} is as long as it says", member.name);
        let mut end = [0];
        let read = bytes.read_exact_at(&mut end, member.length_bytes);
        assert!(read.is_err(), "{} has a byte behind its end", member.name);
        let most = usize::try_from(member.length_bytes.min(MAX_READ)).expect("a small number");
        let mut content = vec![0; most];
        drop(bytes.read_exact_at(&mut content, member.length_bytes - most as u64));
        if member.role.is_image() {
            drop(bundle.image(member));
        }
    }
    drop(verify(&bundle, Level::Digests, &Unheard));
    Some(members)
}

/// A file in memory to which a bundle is written.
#[derive(Debug, Default)]
struct File(Memory);

impl WriteAt for File {
    fn write_all_at(&self, buf: &[u8], offset_bytes: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset_bytes)
    }

    fn read_exact_at(&self, buf: &mut [u8], offset_bytes: u64) -> io::Result<()> {
        self.0.read_exact_at(buf, offset_bytes)
    }

    fn set_len_bytes(&self, len_bytes: u64) -> io::Result<()> {
        self.0.set_len_bytes(len_bytes)
    }
}

impl Medium for File {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.bytes().len() as u64)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A bundle of a definition, a disk, an ISO and a manifest.
fn made(form: Form) -> Vec<u8> {
    let file = File::default();
    write(&file, form);
    file.0.bytes()
}

/// The same with another generation behind it.
fn grown(form: Form) -> Vec<u8> {
    let file = File::default();
    write(&file, form);
    let bundle = Bundle::open(Arc::new(file.0.bytes())).expect("a sound bundle");
    let delta = Addition { name: name("a-1.snapshot"), bytes: Arc::new(qcow2("a.qcow2")) };
    let config = Addition { name: name("1700000001-a.xml"), bytes: Arc::new(definition()) };
    let increment = Increment {
        additions: vec![delta, config],
        tool: "relift".to_owned(),
        unix_seconds: THEN + 1,
        level: DEFAULT_LEVEL,
        snapshot: None,
        ..Increment::default()
    };
    append(&bundle, &file, &increment, &Unheard).expect("memory takes every write");
    file.0.bytes()
}

fn write(file: &File, form: Form) {
    let mut writer = Writer::new(file, Options { form, level: DEFAULT_LEVEL, unix_seconds: THEN });
    let members =
        [("1700000000-a.xml", definition()), ("a.qcow2", qcow2("")), ("b.iso", vec![9; 700])];
    for (text, bytes) in &members {
        writer.add(&name(text), bytes, &Unheard).expect("memory takes every write");
    }
    let node = Node { member: "a.qcow2".to_owned(), capacity_bytes: 4096, backing: None };
    let manifest = Manifest {
        tool: "relift".to_owned(),
        created_unix_seconds: THEN,
        vm: Vm { name: "a".to_owned(), uuid: None },
        nodes: vec![node],
        members: writer.written().expect("memory takes every write").to_vec(),
        ..Manifest::default()
    };
    writer.finish(Some(&manifest)).expect("memory takes every write");
}

fn name(text: &str) -> EntryName {
    EntryName::parse(text).expect("a sound name")
}

fn definition() -> Vec<u8> {
    b"<domain type='kvm'><name>a</name><uuid>1-2</uuid></domain>\n".to_vec()
}

/// A disk of 4 KiB of zeros with clusters of 512 bytes, above another one unless that is called nothing:
/// header, first table, table of reference counts, reference counts.
fn qcow2(backing: &str) -> Vec<u8> {
    const CLUSTER: usize = 512;

    let mut bytes = vec![0; 4 * CLUSTER];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, b"QFI\xfb\0\0\0\x03");
    if !backing.is_empty() {
        put(8, &112_u64.to_be_bytes());
        put(16, &(backing.len() as u32).to_be_bytes());
        put(112, backing.as_bytes());
    }
    put(20, &9_u32.to_be_bytes());
    put(24, &4096_u64.to_be_bytes());
    put(36, &1_u32.to_be_bytes());
    put(40, &512_u64.to_be_bytes());
    put(48, &1024_u64.to_be_bytes());
    put(56, &1_u32.to_be_bytes());
    put(96, &4_u32.to_be_bytes());
    put(100, &104_u32.to_be_bytes());
    put(1024, &1536_u64.to_be_bytes());
    put(1536, &[0, 1, 0, 1, 0, 1, 0, 1]);
    bytes
}
