//! A backup of a machine with a tree of snapshots: the file that restores begin with.

use std::fs::File;

use bundle::{Form, Manifest, Node, Options, Snapshot, Vm, Writer};
use disk::Unheard;
use ovf::EntryName;
use testkit::{Qcow2, Qcow2Cluster};

use crate::bench::Bench;

/// The time of the first snapshot.
const THEN: u64 = 1_700_000_000;
const CAPACITY_BYTES: u64 = 1 << 20;
const CLUSTER_BYTES: usize = 65536;

/// The images, each with the one that it stands on: two states begin at `base`, one is in use.
const IMAGES: [(&str, Option<&str>); 4] = [
    ("web01-base.qcow2", None),
    ("web01-b.qcow2", Some("web01-base.qcow2")),
    ("web01-c.qcow2", Some("web01-base.qcow2")),
    ("web01-now.qcow2", Some("web01-c.qcow2")),
];

/// The snapshots: name, parent, and the image that holds the disk as it was then.
const SNAPSHOTS: [(&str, Option<&str>, &str); 3] = [
    ("fresh", None, "web01-base.qcow2"),
    ("tried", Some("fresh"), "web01-b.qcow2"),
    ("kept", Some("fresh"), "web01-c.qcow2"),
];

/// What the UUID and the MAC address of the machine end with.
const END: [u8; 3] = [0, 0, 0xaa];

/// The definition of the machine whose disk is this image, at a place that no host of a test has.
pub(crate) fn definition(image: &str) -> String {
    definition_as(image, END)
}

fn definition_as(image: &str, end: [u8; 3]) -> String {
    let [a, b, c] = end;
    format!(
        "<domain type='qemu'>
  <name>web01</name>
  <uuid>5b1c0000-0000-4000-8000-000000{a:02x}{b:02x}{c:02x}</uuid>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='/nonexistent/{image}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='user'><mac address='52:54:00:{a:02x}:{b:02x}:{c:02x}'/><model type='virtio'/></interface>
  </devices>
</domain>
"
    )
}

/// Writes the backup into the bench, and gives its name there.
pub(crate) fn write(bench: &Bench, form: Form) -> String {
    write_as(bench, form, END)
}

/// The same of a machine whose UUID and MAC address end with these bytes.
pub(crate) fn write_as(bench: &Bench, form: Form, end: [u8; 3]) -> String {
    let file_name = format!("web01.{}", form.ending());
    let path = bench.path(&file_name);
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let mut writer = Writer::new(&file, Options { form, level: 1, unix_seconds: THEN });
    let mut add = |name: &str, bytes: &[u8]| {
        writer.add(&EntryName::parse(name).unwrap(), &bytes.to_vec(), &Unheard).unwrap();
    };
    let snapshots: Vec<Snapshot> = (THEN..).zip(SNAPSHOTS).map(snapshot).collect();
    for (snapshot, (_, _, image)) in snapshots.iter().zip(SNAPSHOTS) {
        add(&snapshot.config, definition_as(image, end).as_bytes());
    }
    add("1700000009-web01.xml", definition_as("web01-now.qcow2", end).as_bytes());
    for (number, (name, backing)) in (0..).zip(IMAGES) {
        add(name, &image(number, backing));
    }
    let node = |(member, backing): (&str, Option<&str>)| Node {
        member: member.to_owned(),
        capacity_bytes: CAPACITY_BYTES,
        backing: backing.map(str::to_owned),
    };
    let manifest = Manifest {
        tool: "relift test".to_owned(),
        created_unix_seconds: THEN + 9,
        vm: Vm { name: "web01".to_owned(), uuid: None },
        nodes: IMAGES.map(node).into(),
        snapshots,
        members: writer.written().unwrap().to_vec(),
        ..Manifest::default()
    };
    writer.finish(Some(&manifest)).unwrap();
    file_name
}

fn snapshot((time, (name, parent, image)): (u64, (&str, Option<&str>, &str))) -> Snapshot {
    Snapshot {
        name: name.to_owned(),
        parent: parent.map(str::to_owned),
        created_unix_seconds: time,
        config: format!("{time}-web01.xml"),
        nodes: vec![image.to_owned()],
        disks: std::collections::BTreeMap::new(),
        memory: None,
    }
}

/// An image with one cluster of its own, another one each.
fn image(number: u64, backing: Option<&str>) -> Vec<u8> {
    let content = match backing {
        None => testkit::content(CLUSTER_BYTES as u64),
        Some(_) => vec![u8::try_from(number).unwrap(); CLUSTER_BYTES],
    };
    let image = Qcow2::new(CAPACITY_BYTES).cluster(number + 1, Qcow2Cluster::Data(content));
    match backing {
        None => image.build().bytes,
        Some(below) => image.backing(below, Some("qcow2")).build().bytes,
    }
}
