//! Backups of several nights, as the tests of retention and of jobs need them.

use std::fs::File;

use bundle::{Form, Manifest, Options, Point, Vm, Writer};
use disk::Unheard;
use ovf::EntryName;
use testkit::{Qcow2, Qcow2Cluster};

use crate::bench::Bench;

/// The first night: 2026-01-04 at 01:00 UTC, a Sunday.
pub(crate) const FIRST: u64 = 1_767_488_400;
/// From one night to the next.
pub(crate) const NIGHT: u64 = 86_400;

/// Writes a sound backup of a machine at this time, as `NAME.tar` of the bench.
pub(crate) fn backup(bench: &Bench, name: &str, vm: &str, unix_seconds: u64) {
    write((bench, name), vm, unix_seconds, Vec::new());
}

/// Writes a backup of `web01` on the first night with a point, whose disks are not looked at.
pub(crate) fn backup_with(bench: &Bench, name: &str, point: &Point) {
    write((bench, name), "web01", FIRST, vec![point.clone()]);
}

fn write((bench, name): (&Bench, &str), vm: &str, unix_seconds: u64, points: Vec<Point>) {
    let path = bench.path(&format!("{name}.tar"));
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let mut writer = Writer::new(&file, Options { form: Form::Tar, level: 1, unix_seconds });
    let mut add = |name: &str, bytes: Vec<u8>| {
        writer.add(&EntryName::parse(name).unwrap(), &bytes, &Unheard).unwrap();
    };
    let xml = format!(
        "<domain type='kvm'>\n  <name>{vm}</name>\n  <memory unit='MiB'>64</memory>\n  \
         <os><type arch='x86_64' machine='q35'>hvm</type></os>\n</domain>\n"
    );
    add(&format!("{unix_seconds}-{vm}.xml"), xml.into_bytes());
    let cluster = Qcow2Cluster::Data(testkit::content(65536));
    add(&format!("{vm}-vda.qcow2"), Qcow2::new(1 << 20).cluster(3, cluster).build().bytes);
    let manifest = Manifest {
        tool: "relift test".to_owned(),
        created_unix_seconds: unix_seconds,
        vm: Vm { name: vm.to_owned(), uuid: None },
        nodes: vec![bundle::Node {
            member: format!("{vm}-vda.qcow2"),
            capacity_bytes: 1 << 20,
            backing: None,
        }],
        points,
        members: writer.written().unwrap().to_vec(),
        ..Manifest::default()
    };
    writer.finish(Some(&manifest)).unwrap();
}

/// A bench with a backup of `web01` for each of so many nights: `web01-0` is the oldest.
pub(crate) fn nights(count: u64) -> Bench {
    let bench = Bench::empty();
    for night in 0..count {
        backup(&bench, &format!("web01-{night}"), "web01", FIRST + night * NIGHT);
    }
    bench
}
