//! What goes wrong has its code, its exit code, and leaves nothing behind.

use std::io::Write as _;

use testkit::{MIB, Package};

use crate::bench::{Bench, Run};

/// The first line on stderr tells the code, and the folder is as it was.
fn fails(bench: &Bench, run: &Run, code: &str, exit: i32) {
    assert_eq!(run.code, Some(exit), "{run:?}");
    let errors: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("error")).collect();
    assert!(errors[0].starts_with(&format!("error[{code}]: ")), "{run:?}");
    assert!(run.stderr.contains("\n  fix:   "), "{run:?}");
    assert!(!bench.path("out").exists(), "{:?}", bench.files("out"));
}

#[test]
fn a_truncated_package() {
    let bench = Bench::empty();
    let ova = bench.package("vm.ova").ova();
    bench.write("vm.ova", &ova[..ova.len() / 2]);
    let run = bench.run(["convert", "vm.ova", "-o", "out"]);
    fails(&bench, &run, "E0102", 4);
    fails(&bench, &bench.shell("cat vm.ova | relift convert - -o out"), "E0102", 4);
    fails(&bench, &bench.run(["inspect", "vm.ova"]), "E0102", 4);
}

#[test]
fn a_wrong_digest() {
    let bench = Bench::empty();
    let package = Package::small("vm", MIB);
    let mut content = testkit::content(MIB);
    content[5] ^= 1;
    let other = testkit::stream_optimized(&content, "vm-disk1.vmdk");
    bench.write("vm.ova", &package.ova_with_another("vm-disk1.vmdk", &other));
    fails(&bench, &bench.run(["convert", "vm.ova", "-o", "out"]), "E0203", 5);
    fails(&bench, &bench.shell("cat vm.ova | relift convert - -o out"), "E0203", 5);
    fails(&bench, &bench.run(["verify", "vm.ova"]), "E0203", 5);
    fails(&bench, &bench.run(["inspect", "--check-digests", "vm.ova"]), "E0203", 5);
    let run = bench.run(["convert", "vm.ova", "-o", "out", "--manifest", "warn"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("warning[E0203]: "), "{run:?}");
}

#[test]
fn a_missing_member() {
    let bench = Bench::empty();
    bench.write("vm.ova", &Package::small("vm", MIB).ova_without("vm-disk1.vmdk"));
    fails(&bench, &bench.run(["convert", "vm.ova", "-o", "out"]), "E0104", 4);
    fails(&bench, &bench.shell("cat vm.ova | relift convert - -o out"), "E0104", 4);
    fails(&bench, &bench.run(["inspect", "vm.ova"]), "E0104", 4);
}

#[test]
fn a_bare_descriptor_needs_no_disk_to_be_inspected() {
    let bench = Bench::empty();
    let folder = bench.path("vm");
    std::fs::create_dir(&folder).unwrap();
    Package::small("vm", MIB).write_to(&folder);
    std::fs::remove_file(folder.join("vm-disk1.vmdk")).unwrap();
    let run = bench.run(["inspect", "--json", "vm"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.json()["warnings"][0]["code"], "W0602");
    assert_eq!(
        run.json()["data"]["systems"][0]["disks"][0]["packed_bytes"],
        serde_json::Value::Null
    );
    fails(&bench, &bench.run(["convert", "vm", "-o", "out"]), "E0104", 4);
}

#[test]
fn a_full_disk() {
    let bench = Bench::empty();
    bench.package("vm.ova");
    // A limit of file sizes is met in the middle of a disk, as a full file system is.
    let limited = |line: &str| bench.shell(&format!("ulimit -f 300 && {line}"));
    fails(&bench, &limited("relift convert vm.ova -o out"), "E0506", 8);
    fails(&bench, &limited("cat vm.ova | relift convert - -o out"), "E0506", 8);
    bench.write("disk.vmdk", &testkit::stream_optimized(&testkit::content(MIB), "disk.vmdk"));
    fails(&bench, &limited("relift disk convert disk.vmdk -o disk.qcow2"), "E0506", 8);
    assert_eq!(bench.files(""), ["disk.vmdk", "vm.ova"]);
}

#[test]
fn a_full_file_system() {
    let bench = Bench::empty();
    bench.package("vm.ova");
    std::fs::create_dir(bench.path("small")).unwrap();
    let mounted = bench.shell("mount -t tmpfs -o size=256k none small");
    if mounted.code != Some(0) {
        // Not `eprintln`, which a passing test keeps to itself.
        let why = mounted.stderr.trim();
        writeln!(std::io::stderr(), "skipped: no file system can be mounted here: {why}").unwrap();
        return;
    }
    let runs = ["relift convert vm.ova -o small/out", "cat vm.ova | relift convert - -o small/out"]
        .map(|line| (bench.shell(line), bench.files("small")));
    assert_eq!(bench.shell("umount small").code, Some(0));
    for (run, left) in runs {
        fails(&bench, &run, "E0506", 8);
        assert!(left.is_empty(), "{left:?}");
    }
}

#[test]
fn unfinished_files_are_kept_where_that_is_asked_for() {
    let bench = Bench::empty();
    bench.package("vm.ova");
    let run = bench.shell("ulimit -f 300 && relift convert vm.ova -o out --keep-partial");
    assert_eq!(run.code, Some(8), "{run:?}");
    let [file] = bench.files("out").try_into().unwrap();
    assert!(file.starts_with("out/vm-disk0.qcow2.partial-"), "{file}");
    assert!(
        run.stderr.contains(&format!("left behind  {}", bench.path(&file).display())),
        "{run:?}"
    );
}

#[test]
fn a_foreign_file_is_never_overwritten() {
    let bench = Bench::empty();
    bench.package("vm.ova");
    std::fs::create_dir(bench.path("out")).unwrap();
    bench.write("out/vm-disk0.qcow2", b"mine");
    bench.write("out/notes.txt", b"mine");
    for force in [None, Some("--force")] {
        let words = ["convert", "vm.ova", "-o", "out"].into_iter().chain(force);
        let run = bench.run(words);
        assert_eq!(run.code, Some(8), "{run:?}");
        assert!(run.stderr.starts_with("error[E0509]: "), "{run:?}");
        assert_eq!(bench.files("out"), ["out/notes.txt", "out/vm-disk0.qcow2"]);
        assert_eq!(bench.read("out/vm-disk0.qcow2"), b"mine");
    }
}

#[test]
fn what_an_earlier_run_wrote_is_replaced_on_request() {
    let bench = Bench::empty();
    bench.package("vm.ova");
    assert_eq!(bench.run(["convert", "vm.ova", "-o", "out"]).code, Some(0));
    let before = bench.read("out/vm-disk0.qcow2");
    let again = bench.run(["convert", "vm.ova", "-o", "out"]);
    assert_eq!(again.code, Some(8), "{again:?}");
    let forced = bench.run(["convert", "vm.ova", "-o", "out", "--force"]);
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert!(bench.read("out/vm-disk0.qcow2") == before);
    assert_eq!(bench.files("out").len(), 3);
}

#[test]
fn a_package_cannot_speak_to_the_terminal() {
    let bench = Bench::empty();
    let package = Package::small("vm", MIB);
    let folder = bench.path("vm");
    std::fs::create_dir(&folder).unwrap();
    package.write_to(&folder);
    let ovf = folder.join("vm.ovf");
    let changed = std::fs::read_to_string(&ovf).unwrap().replace("VM Network", "A\u{202e}B");
    std::fs::write(&ovf, changed).unwrap();
    std::fs::remove_file(folder.join("vm.mf")).unwrap();
    for verb in ["inspect", "plan"] {
        let run = bench.run([verb, "vm"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(!run.stdout.contains('\u{202e}') && !run.stderr.contains('\u{202e}'), "{run:?}");
        assert!(run.stdout.contains("A\\u{202e}B"), "{run:?}");
    }
}

#[test]
fn what_a_pipe_cannot_do_is_said_before_it_is_read() {
    let bench = Bench::empty();
    bench.package("vm.ova");
    let run = bench.shell("cat vm.ova | relift convert - -o out --verify full");
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("a pipe passes once"), "{run:?}");
    assert!(!bench.path("out").exists());
    let run = bench.run(["convert", "vm.ova", "-o", "out", "--verify", "full"]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn an_image_that_grows_while_it_is_read() {
    let bench = Bench::empty();
    bench.write("disk.raw", &testkit::content(4 * MIB));
    // The pipe is full long before the disk is read, so nothing is read between the two writes.
    let run = bench.shell(
        "{ relift disk convert disk.raw -O raw -o -; echo $? >status; } |
         { dd bs=1 count=1 of=first 2>dd; printf x >>disk.raw; cat >rest; }",
    );
    assert_eq!(bench.read("status"), b"8\n", "{run:?}");
    assert!(run.stderr.starts_with("error[E0508]: cannot read or write the image\n"), "{run:?}");
    let cause = "it had 4194304 bytes, now it has 4194305";
    assert!(
        run.stderr.contains(&format!("cause: the file changed while it was read: {cause}\n")),
        "{run:?}"
    );
}

#[test]
fn what_is_no_file_is_refused_at_once_by_every_verb() {
    let bench = Bench::empty();
    assert_eq!(bench.shell("mkfifo pipe").code, Some(0));
    drop(std::os::unix::net::UnixListener::bind(bench.path("socket")).unwrap());
    for source in ["pipe", "socket", "/dev/zero", "/dev/null"] {
        for verb in [
            "inspect",
            "plan",
            "convert -o out",
            "import --to dir:out",
            "restore --to dir:out",
            "verify",
            "backup verify",
            "backup show",
            "backup config",
            "backup compress -o out.tar.zst",
            "disk info",
            "disk check",
            "disk map",
            "disk measure -O raw",
            "disk convert -O qcow2 -o out.qcow2",
            "export -o out.ova",
        ] {
            let run = bench.shell(&format!("relift {verb} {source}"));
            assert!(matches!(run.code, Some(2 | 4 | 8)), "{verb} {source}: {run:?}");
            assert!(run.stderr.starts_with("error"), "{verb} {source}: {run:?}");
        }
    }
    assert_eq!(bench.files(""), ["pipe", "socket"]);
}
