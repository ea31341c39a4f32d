//! Sources in libvirt's own words, a backup and a domain XML: what a person sees and gets of them.

use std::fs::File;

use bundle::{Form, Manifest, Node, Options, Snapshot, Vm, Writer};
use disk::Unheard;
use ovf::EntryName;
use testkit::{Qcow2, Qcow2Cluster};

use crate::bench::{Bench, Run};

const THEN: u64 = 1_700_000_000;
const CAPACITY_BYTES: u64 = 1 << 20;

/// What a stranger wants of the host, each with the element that must not stay.
const WANTED: [&str; 5] = ["hostdev", "kernel", "qemu:commandline", "filesystem", "/etc/shadow"];

/// A definition with these parts below the root and among the devices.
fn definition(board: &str, devices: &str) -> String {
    format!(
        "<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web01</name>
  <uuid>5b1c0000-0000-4000-8000-000000000001</uuid>
  <memory unit='MiB'>256</memory>
  <vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <cpu mode='host-passthrough'/>
  {board}
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
      <source file='/srv/old/web01-disk0.qcow2'/><target dev='vda' bus='virtio'/></disk>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='lan'/>
      <model type='virtio'/></interface>
    {devices}
  </devices>
</domain>
"
    )
}

/// A definition by which a guest would get things of the host.
fn hostile() -> String {
    definition(
        "<sysinfo type='fwcfg'><entry name='opt/a' file='/etc/shadow'/></sysinfo>
  <qemu:commandline><qemu:arg value='-chardev'/></qemu:commandline>
  <os><kernel>/boot/vmlinuz</kernel></os>",
        "<filesystem type='mount'><source dir='/'/><target dir='all'/></filesystem>
    <disk type='file' device='cdrom'><source file='/etc/shadow'/><target dev='sda' bus='sata'/></disk>
    <hostdev mode='subsystem' type='pci'><source><address domain='0' bus='1' slot='0' function='0'/></source></hostdev>",
    )
}

fn disk() -> Vec<u8> {
    let cluster = Qcow2Cluster::Data(testkit::content(65536));
    Qcow2::new(CAPACITY_BYTES).cluster(3, cluster).build().bytes
}

/// Writes `web01.tar` with this definition, a disk, and further members.
fn backup(bench: &Bench, definition: &str, further: &[(&str, &[u8])]) {
    write(bench, definition, further, Manifest::default());
}

fn write(bench: &Bench, definition: &str, further: &[(&str, &[u8])], manifest: Manifest) {
    let path = bench.path("web01.tar");
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let options = Options { form: Form::Tar, level: 1, unix_seconds: THEN };
    let mut writer = Writer::new(&file, options);
    let disk = disk();
    let members: [(&str, &[u8]); 2] =
        [("1700000000-web01.xml", definition.as_bytes()), ("web01-disk0.qcow2", &disk)];
    for (name, bytes) in members.iter().chain(further) {
        writer.add(&EntryName::parse(name).unwrap(), &bytes.to_vec(), &Unheard).unwrap();
    }
    let member = "web01-disk0.qcow2".to_owned();
    let manifest = Manifest {
        tool: "relift test".to_owned(),
        created_unix_seconds: THEN,
        vm: Vm { name: "web01".to_owned(), uuid: None },
        nodes: vec![Node { member, capacity_bytes: CAPACITY_BYTES, backing: None }],
        members: writer.written().unwrap().to_vec(),
        ..manifest
    };
    writer.finish(Some(&manifest)).unwrap();
}

fn restore(bench: &Bench, flags: &[&str]) -> Run {
    let words = ["restore", "web01.tar", "--to", "dir:out"];
    bench.run(words.iter().chain(flags))
}

fn domain(bench: &Bench) -> String {
    String::from_utf8(bench.read("out/domain.xml")).unwrap()
}

#[test]
fn a_definition_of_a_stranger_gives_a_guest_nothing_of_the_host() {
    let bench = Bench::empty();
    backup(&bench, &hostile(), &[]);
    let run = restore(&bench, &["--dry-run", "--json"]);
    assert_eq!(run.code, Some(6), "{run:?}");
    let json = run.json();
    let rows = json["data"]["machines"][0]["rows"].as_array().unwrap();
    let told: Vec<String> = rows
        .iter()
        .filter(|row| row["action"] == "dropped" || row["action"] == "blocked")
        .map(|row| format!("{} {} {}", row["action"], row["item"], row["code"]).replace('"', ""))
        .collect();
    assert_eq!(
        told,
        [
            "dropped qemu:commandline W0205",
            "dropped os[2]/kernel W0205",
            "blocked devices/filesystem W0206",
            "blocked devices/hostdev W0206",
            "dropped drive0 W0202",
            "dropped fw_cfg.opt/a W0205",
        ]
    );
    let blocked = restore(&bench, &[]);
    assert_eq!(blocked.code, Some(6), "{blocked:?}");
    assert!(
        blocked
            .stderr
            .contains("--ignore 'devices/filesystem' goes on without it, --trust-xml takes it"),
        "{blocked:?}"
    );
    assert!(bench.files("out").is_empty());
    let flags = ["--ignore", "devices/filesystem", "--ignore", "devices/hostdev"];
    let run = restore(&bench, &flags);
    assert_eq!(run.code, Some(0), "{run:?}");
    let text = domain(&bench);
    for gone in WANTED.iter().chain(&["/srv/old"]) {
        assert!(!text.contains(gone), "{gone}\n{text}");
    }
}

#[test]
fn a_definition_that_is_trusted_is_taken_as_it_stands() {
    let bench = Bench::empty();
    backup(&bench, &hostile(), &[]);
    let run = restore(&bench, &["--trust-xml"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let text = domain(&bench);
    for stays in &WANTED[..4] {
        assert!(text.contains(stays), "{stays}\n{text}");
    }
    assert!(!text.contains("/srv/old"), "{text}");
}

#[test]
fn a_disk_that_is_not_in_the_backup_blocks_and_its_path_goes() {
    let bench = Bench::empty();
    let shadow = "<disk type='file'><source file='/etc/shadow'/><target dev='vdb'/></disk>";
    backup(&bench, &definition("", shadow), &[]);
    let run = restore(&bench, &["--dry-run", "--json"]);
    assert_eq!(run.code, Some(6), "{run:?}");
    let machine = &run.json()["data"]["machines"][0];
    assert!(!machine["domain_xml"].as_str().unwrap().contains("/etc/shadow"));
    assert_eq!(restore(&bench, &[]).code, Some(4));
    let run = restore(&bench, &["--ignore", "disk1"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!domain(&bench).contains("vdb"));
}

#[test]
fn a_snapshot_of_a_stranger_is_scrubbed_and_keeps_no_path_of_the_old_host() {
    let bench = Bench::empty();
    let then = definition(
        "<bootloader>/bin/sh</bootloader>",
        "<disk type='file'><source file='/etc/shadow'/><target dev='vdb'/></disk>
    <disk device='cdrom'><source file='/etc/passwd'/><target dev='sda'/></disk>",
    );
    let snapshot = Snapshot {
        name: "before".to_owned(),
        parent: None,
        created_unix_seconds: THEN - 1,
        config: "1699999999-web01.xml".to_owned(),
        nodes: vec!["web01-disk0.qcow2".to_owned()],
        disks: std::collections::BTreeMap::new(),
        memory: None,
    };
    let manifest = Manifest { snapshots: vec![snapshot], ..Manifest::default() };
    write(&bench, &definition("", ""), &[("1699999999-web01.xml", then.as_bytes())], manifest);
    let run = restore(&bench, &["--dry-run", "--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let json = run.json();
    let of_snapshot = json["warnings"].as_array().unwrap().iter();
    let of_snapshot = of_snapshot.filter(|one| one["item"] == "snapshot.before");
    let told: Vec<&str> = of_snapshot.map(|one| one["message"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            "bootloader: no program of the host is run to start the guest",
            "vdb is not in the backup: it is not there then",
            "sda is not in the backup: it is empty then",
        ]
    );
}

#[test]
fn a_file_for_the_firmware_that_is_in_the_backup_is_restored_and_attached() {
    let bench = Bench::empty();
    let sysinfo = "<sysinfo type='fwcfg'><entry name='opt/com.vmware/guestinfo.ovfEnv' \
                   file='/srv/old/web01-ovf-env.xml'/></sysinfo>";
    backup(&bench, &definition(sysinfo, ""), &[("web01-ovf-env.xml", b"<Environment/>")]);
    let run = restore(&bench, &[]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(bench.read("out/web01-ovf-env.xml"), b"<Environment/>");
    let file = bench.path("out/web01-ovf-env.xml");
    let want = format!("name=\"opt/com.vmware/guestinfo.ovfEnv\" file=\"{}\"", file.display());
    assert!(domain(&bench).contains(&want), "{}", domain(&bench));
}

#[test]
fn a_flag_that_means_nothing_for_a_backup_is_refused_by_name() {
    let bench = Bench::empty();
    backup(&bench, &definition("", ""), &[]);
    bench.write("web01.xml", definition("", "").as_bytes());
    for (flag, value) in [
        ("--vcpus", "4"),
        ("--memory", "1GiB"),
        ("--firmware", "uefi"),
        ("--profile", "virtio"),
        ("--disk-bus", "sata"),
        ("--nic-model", "e1000"),
        ("--machine", "pc"),
        ("--cpu", "qemu64"),
        ("--os-id", "http://debian.org/debian/10"),
        ("--net", "default"),
        ("--configuration", "small"),
        ("--prop", "a=b"),
        ("--manifest", "skip"),
    ] {
        let run = restore(&bench, &[flag, value]);
        assert_eq!(run.code, Some(2), "{run:?}");
        let want = format!(
            "error: {flag} means nothing for a backup: the machine is restored as it was defined\n"
        );
        assert!(run.stderr.starts_with(&want), "{run:?}");
    }
    for flag in ["--keep-nic-names", "--watchdog"] {
        let run = bench.run(["plan", "web01.xml", flag]);
        let want = format!("error: {flag} means nothing for a domain XML");
        assert!(run.code == Some(2) && run.stderr.starts_with(&want), "{run:?}");
    }
    assert!(bench.files("out").is_empty());
}

#[test]
fn a_guest_is_executed_by_qemu_where_the_user_says_so() {
    let bench = Bench::empty();
    backup(&bench, &definition("", ""), &[]);
    let run = restore(&bench, &["--virt-type", "qemu"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let text = domain(&bench);
    assert!(text.starts_with("<domain type=\"qemu\" "), "{text}");
    assert!(text.contains("<cpu mode=\"maximum\">"), "{text}");
}

#[test]
fn a_backup_is_converted_and_a_definition_alone_is_not() {
    let bench = Bench::empty();
    backup(&bench, &definition("", ""), &[]);
    bench.write("web01.xml", definition("", "").as_bytes());
    let run = bench.run(["convert", "web01.tar", "-o", "out"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        bench.files("out"),
        ["out/domain.xml", "out/relift.result.json", "out/web01-disk0.qcow2"]
    );
    let run = bench.run(["convert", "web01.xml", "-o", "other"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    let want = "error[E0103]: web01.xml is the definition of a libvirt machine: there is nothing to convert\n";
    assert!(run.stderr.starts_with(want), "{run:?}");
    assert!(run.stderr.contains("relift restore web01.xml"), "{run:?}");
    assert!(bench.files("other").is_empty());
}

#[test]
fn papers_that_are_required_must_be_there() {
    let bench = Bench::empty();
    backup(&bench, &definition("", ""), &[]);
    bench.write("web01.xml", definition("", "").as_bytes());
    let dry = ["restore", "--to", "dir:out", "--dry-run"];
    for (words, code, exit) in [
        (["web01.tar", "--manifest", "require"], None, 0),
        (["web01.xml", "--manifest", "require"], Some("E0201"), 5),
        (["web01.tar", "--signature", "require"], Some("E0204"), 5),
    ] {
        let run = bench.run(dry.iter().chain(&words).chain(&["--json"]));
        assert_eq!(run.code, Some(exit), "{run:?}");
        assert_eq!(run.json()["error"]["code"].as_str(), code);
    }
}

#[test]
fn a_backup_and_a_definition_are_inspected_as_packages_of_one_machine() {
    let bench = Bench::empty();
    backup(&bench, &hostile(), &[]);
    bench.write("web01.xml", definition("", "").as_bytes());
    insta::assert_snapshot!(bench.run(["inspect", "web01.tar"]).seen());
    insta::assert_snapshot!(bench.run(["inspect", "--json", "web01.tar"]).seen());
    insta::assert_snapshot!(bench.run(["inspect", "--json", "web01.xml"]).seen());
    let xml = bench.run(["inspect", "--xml", "web01.tar"]);
    assert_eq!((xml.code, xml.stdout), (Some(0), hostile()));
}

#[test]
fn a_backup_is_verified_at_every_level_in_the_words_of_verify() {
    let bench = Bench::empty();
    backup(&bench, &definition("", ""), &[]);
    let at = |level: &str| bench.run(["verify", "--level", level, "web01.tar"]);
    insta::assert_snapshot!(at("digests").seen());
    assert_eq!(at("deep").stdout, at("digests").stdout);
    let quick = at("quick").stdout;
    assert_eq!(quick.lines().filter(|line| line.ends_with("not read")).count(), 3, "{quick}");
    let mut bytes = bench.read("web01.tar");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bench.write("web01.tar", &bytes);
    assert_eq!(at("quick").code, Some(0));
    for run in [at("digests"), bench.run(["inspect", "--check-digests", "web01.tar"])] {
        assert_eq!(run.code, Some(5), "{run:?}");
        assert!(run.stderr.starts_with("error[E0605]: web01-disk0.qcow2: "), "{run:?}");
    }
}

#[test]
fn a_broken_backup_is_told_as_what_it_is() {
    let bench = Bench::empty();
    backup(&bench, "<domain><name>", &[]);
    for (words, exit) in [(["inspect", "web01.tar"], 4), (["verify", "web01.tar"], 5)] {
        let run = bench.run(words);
        assert_eq!(run.code, Some(exit), "{run:?}");
        assert!(run.stderr.starts_with("error[E0604]: "), "{run:?}");
    }
    let bytes = bench.read("web01.tar");
    bench.write("cut.tar", &bytes[..bytes.len() / 2]);
    let run = bench.run(["inspect", "cut.tar"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stderr.starts_with("error[E0102]: "), "{run:?}");
}

#[test]
fn config_shows_the_machine_and_touches_nothing() {
    let bench = Bench::empty();
    backup(&bench, &hostile(), &[]);
    let run = bench.run(["backup", "config", "web01.tar"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    for said in ["~ disk 0 vda", "! devices/hostdev", "- qemu:commandline", "2 blockers"] {
        assert!(run.stdout.contains(said), "{said}\n{}", run.stdout);
    }
    let json = bench.run(["backup", "config", "--json", "--to", "dir:out", "web01.tar"]).json();
    assert_eq!((&json["schema"], &json["ok"]), (&"relift.backup.config/1".into(), &true.into()));
    assert_eq!(json["data"]["machines"][0]["name"], "web01");
    let xml = |flags: &[&str]| {
        let words = ["backup", "config", "--xml", "web01.tar"];
        let run = bench.run(words.iter().chain(flags));
        assert_eq!(run.code, Some(0), "{run:?}");
        run.stdout
    };
    let stored = xml(&[]);
    assert!(stored.contains("/srv/old/web01-disk0.qcow2") && !stored.contains("hostdev"));
    assert_eq!(xml(&["--trust-xml"]), hostile());
    let there = bench.path("out/web01-disk0.qcow2").display().to_string();
    assert!(xml(&["--to", "dir:out"]).contains(&there));
    assert_eq!(bench.files("."), ["./web01.tar"].map(|name| name.trim_start_matches("./")));
    bench.write("web01.xml", definition("", "").as_bytes());
    let run = bench.run(["backup", "config", "web01.xml"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stderr.starts_with("error[E0604]: web01.xml is no native backup\n"), "{run:?}");
}
