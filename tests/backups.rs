//! Native backup files: what a person sees of them, and what plain tools make of them.

use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::Arc,
};

use bundle::{Addition, Bundle, Form, Increment, Manifest, Node, Options, Snapshot, Vm, Writer};
use disk::{ReadAt, Unheard};
use ovf::EntryName;
use testkit::{Qcow2, Qcow2Cluster, oracle};

use crate::bench::Bench;

/// The time of the first generation.
const THEN: u64 = 1_700_000_000;
const CAPACITY_BYTES: u64 = 1 << 20;

fn name(text: &str) -> EntryName {
    EntryName::parse(text).unwrap()
}

fn xml() -> Vec<u8> {
    b"<domain type='kvm'>\n  <name>web01</name>\n  <memory unit='MiB'>256</memory>\n  \
      <os><type arch='x86_64' machine='q35'>hvm</type></os>\n</domain>\n"
        .to_vec()
}

fn disk() -> Vec<u8> {
    let cluster = Qcow2Cluster::Data(testkit::content(65536));
    Qcow2::new(CAPACITY_BYTES).cluster(3, cluster).build().bytes
}

/// Writes a bundle with a disk and its snapshot, the way a backup and an increment do.
pub(crate) fn write(path: &Path, form: Form) {
    let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
    let options = Options { form, level: 1, unix_seconds: THEN };
    let mut writer = Writer::new(&file, options);
    writer.add(&name("1700000000-web01.xml"), &xml(), &Unheard).unwrap();
    writer.add(&name("web01-disk0.qcow2"), &disk(), &Unheard).unwrap();
    let member = "web01-disk0.qcow2".to_owned();
    let manifest = Manifest {
        tool: "relift test".to_owned(),
        created_unix_seconds: THEN,
        vm: Vm { name: "web01".to_owned(), uuid: None },
        nodes: vec![Node { member, capacity_bytes: CAPACITY_BYTES, backing: None }],
        members: writer.written().unwrap().to_vec(),
        ..Manifest::default()
    };
    writer.finish(Some(&manifest)).unwrap();
    append(path, &file);
}

fn append(path: &Path, file: &File) {
    let delta = Qcow2::new(CAPACITY_BYTES)
        .cluster(4, Qcow2Cluster::Data(vec![5; 65536]))
        .backing("web01-disk0.qcow2", Some("qcow2"));
    let addition = |text: &str, bytes: Vec<u8>| Addition {
        name: name(text),
        bytes: Arc::new(bytes) as Arc<dyn ReadAt>,
    };
    let increment = Increment {
        additions: vec![
            addition("web01-disk0-1.snapshot", delta.build().bytes),
            addition("1700000001-web01.xml", xml()),
        ],
        snapshot: Some(Snapshot {
            name: "before".to_owned(),
            parent: None,
            created_unix_seconds: THEN + 1,
            config: "1700000001-web01.xml".to_owned(),
            nodes: vec!["web01-disk0.qcow2".to_owned()],
            disks: std::collections::BTreeMap::new(),
            memory: None,
        }),
        tool: "relift test".to_owned(),
        unix_seconds: THEN + 1,
        level: 1,
        ..Increment::default()
    };
    bundle::append(&open(path), file, &increment, &Unheard).unwrap();
}

pub(crate) fn open(path: &Path) -> Bundle {
    let bytes = disk::FileBytes::new(File::open(path).unwrap()).unwrap();
    Bundle::open(Arc::new(bytes)).unwrap()
}

fn bench(form: Form) -> (Bench, PathBuf) {
    let bench = Bench::empty();
    let path = bench.path(&format!("web01.{}", form.ending()));
    write(&path, form);
    (bench, path)
}

#[test]
fn show_tells_members_disks_and_snapshots() {
    let (bench, _) = bench(Form::Tar);
    insta::assert_snapshot!(bench.run(["backup", "show", "web01.tar"]).seen());
    insta::assert_snapshot!(bench.run(["backup", "show", "--json", "web01.tar"]).seen());
}

#[test]
fn verify_names_the_member_the_byte_and_the_reason() {
    let (bench, path) = bench(Form::Tar);
    insta::assert_snapshot!(bench.run(["backup", "verify", "web01.tar"]).seen());
    let bundle = open(&path);
    let disk = bundle.member("web01-disk0.qcow2").unwrap();
    let mut bytes = bench.read("web01.tar");
    bytes[usize::try_from(disk.offset_bytes + 200_000).unwrap()] ^= 1;
    bench.write("web01.tar", &bytes);
    insta::assert_snapshot!(bench.run(["backup", "verify", "web01.tar"]).seen());
    let quick = bench.run(["backup", "verify", "--level", "quick", "web01.tar"]);
    assert_eq!(quick.code, Some(0), "{quick:?}");
}

#[test]
fn one_damaged_bundle_of_several_is_exit_5_and_all_are_looked_at() {
    let (bench, _) = bench(Form::TarZst);
    bench.write("empty.tar", b"");
    let run = bench.run(["backup", "verify", "--json", "empty.tar", "web01.tar.zst"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    let json = run.json();
    assert_eq!(json["error"]["code"], "E0101");
    assert_eq!(json["data"]["files"][1]["faults"], serde_json::json!([]));
    assert_eq!(json["data"]["files"][1]["members"][0]["verdict"], "same");
}

#[test]
fn compress_and_decompress_give_the_same_bytes_back() {
    let (bench, _) = bench(Form::Tar);
    let before = bench.read("web01.tar");
    let run = bench.run(["backup", "compress", "web01.tar"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(bench.files("."), ["./web01.tar.zst"].map(|name| name.trim_start_matches("./")));
    let again = bench.run(["backup", "compress", "web01.tar.zst"]);
    assert_eq!(again.code, Some(2), "{again:?}");
    let run = bench.run(["backup", "decompress", "--keep", "web01.tar.zst"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(bench.read("web01.tar") == before);
    let run = bench.run(["backup", "decompress", "web01.tar.zst"]);
    assert_eq!(run.code, Some(8), "{run:?}");
    assert!(run.stderr.starts_with("error[E0509]: web01.tar exists already\n"), "{run:?}");
}

#[test]
fn a_damaged_bundle_is_not_compressed_and_stays() {
    let (bench, _) = bench(Form::TarZst);
    let mut bytes = bench.read("web01.tar.zst");
    let at = bytes.len() / 3;
    bytes[at] ^= 0xff;
    bench.write("web01.tar.zst", &bytes);
    let run = bench.run(["backup", "decompress", "web01.tar.zst"]);
    assert_eq!(run.code, Some(5), "{run:?}");
    assert!(run.stderr.starts_with("error[E0605]: "), "{run:?}");
    assert_eq!(bench.files("."), ["web01.tar.zst"]);
}

#[test]
fn append_adds_files_to_both_forms() {
    for form in [Form::Tar, Form::TarZst] {
        let (bench, path) = bench(form);
        bench.write("tools.iso", &[9; 5000]);
        bench.write("domain.xml", &xml());
        let file = path.file_name().unwrap().to_str().unwrap();
        let run = bench.run(["backup", "append", "--json", file, "tools.iso", "domain.xml"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(run.json()["data"]["added"][1]["kind"], "config");
        let run = bench.run(["backup", "verify", file]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let again = bench.run(["backup", "append", file, "tools.iso"]);
        assert_eq!(again.code, Some(4), "{again:?}");
        let told = "error[E0105]: tools.iso: the bundle has a member of that name\n";
        assert!(again.stderr.starts_with(told), "{again:?}");
    }
}

#[test]
fn a_bundle_that_is_being_written_is_not_written_by_another() {
    let (bench, path) = bench(Form::Tar);
    bench.write("tools.iso", &[9; 5000]);
    let held = File::open(&path).unwrap();
    bundle::lock(&held).unwrap();
    let run = bench.run(["backup", "append", "web01.tar", "tools.iso"]);
    assert_eq!(run.code, Some(11), "{run:?}");
    assert!(run.stderr.starts_with("error[E0602]: "), "{run:?}");
}

#[test]
fn a_bundle_by_tar_and_zstd_is_read() {
    let bench = Bench::empty();
    bench.write("1700000000-web01.xml", &xml());
    bench.write("web01-disk0.qcow2", &disk());
    let line = "tar -cf web01.tar web01-disk0.qcow2 1700000000-web01.xml && zstd -q web01.tar";
    if oracle("zstd", ["--version"]).is_none() {
        return;
    }
    let made = bench.shell(line);
    assert_eq!(made.code, Some(0), "{made:?}");
    for file in ["web01.tar", "web01.tar.zst"] {
        let run = bench.run(["backup", "verify", file]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let want = format!("{file}: readable, 2 members, no digests to compare\n");
        assert!(run.stdout.ends_with(&want), "{run:?}");
    }
}

/// What the tools list of a tar on standard input.
const LISTERS: [(&str, &[&str], &str); 3] = [
    ("tar", &["--version"], "tar -tf -"),
    ("busybox", &["tar", "--help"], "busybox tar -tf -"),
    (
        "python3",
        &["--version"],
        "python3 -c \"import sys,tarfile\nfor m in tarfile.open(fileobj=sys.stdin.buffer, mode='r|'): print(m.name)\"",
    ),
];

#[test]
fn plain_tools_list_a_bundle_before_and_after_an_append() {
    for form in [Form::Tar, Form::TarZst] {
        let (bench, path) = bench(form);
        bench.write("tools.iso", &[9; 5000]);
        let file = path.file_name().unwrap().to_str().unwrap();
        for _ in 0..2 {
            let due: Vec<String> =
                open(&path).members().map(|member| member.name.to_string()).collect();
            for (program, words, line) in LISTERS {
                if oracle(program, words).is_none() {
                    continue;
                }
                let unpack = if form == Form::Tar { "cat" } else { "zstd -dcq" };
                if form == Form::TarZst && oracle("zstd", ["--version"]).is_none() {
                    continue;
                }
                let run = bench.shell(&format!("{unpack} {file} | {line}"));
                assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{program}: {run:?}");
                let listed: Vec<&str> = run.stdout.lines().filter(|name| *name != ".pad").collect();
                assert_eq!(listed, due, "{program}");
            }
            let run = bench.run(["backup", "append", file, "tools.iso"]);
            assert!(run.code == Some(0) || due.contains(&"tools.iso".to_owned()), "{run:?}");
        }
    }
}

#[test]
fn qemu_img_checks_the_disks_that_tar_takes_out() {
    let (bench, _) = bench(Form::Tar);
    let taken = bench.shell("tar -xf web01.tar");
    assert_eq!((taken.code, taken.stderr.as_str()), (Some(0), ""), "{taken:?}");
    for file in ["web01-disk0.qcow2", "web01-disk0-1.snapshot"] {
        let path = bench.path(file);
        let words = ["check".as_ref(), "-f".as_ref(), "qcow2".as_ref(), path.as_os_str()];
        let Some(checked) = oracle("qemu-img", words) else { return };
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}
