//! The sandbox around the program: whatever a user may type works in it, and it is there.
//!
//! Every test of this binary runs in it; here are the paths that are easily forgotten, and what is said.
//! That the kernel keeps what is asked for is tested beside it, in crate `host`.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    process::Stdio,
    time::{Duration, Instant},
};

use testkit::{MIB, Package, SparseMap, VmdkDescriptor};

use crate::bench::{Bench, RELIFT, Run};

/// The longest that a run may take to begin a disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs a line that has to work, in a shell.
fn works(bench: &Bench, line: &str) -> Run {
    let run = bench.shell(line);
    assert_eq!(run.code, Some(0), "{line}\n{run:?}");
    run
}

#[test]
fn output_goes_to_folders_that_are_not_there_yet_and_behind_links() {
    let bench = Bench::new();
    fs::create_dir(bench.path("real")).unwrap();
    symlink(bench.path("real"), bench.path("link")).unwrap();
    symlink("fixtures/demo.ova", bench.path("source.ova")).unwrap();
    for out in ["a/new/one", "link", "link/inner/", "real/../beside"] {
        works(&bench, &format!("relift convert source.ova -o {out} --net user"));
        assert!(bench.path(out).join("domain.xml").is_file(), "{out}");
    }
    for line in [
        "relift convert source.ova -o link/vm.tar.zst",
        "relift convert source.ova -o real --net user --force",
        "relift convert source.ova -o real --net user --force --dry-run",
        "relift export link -o link/back.ova",
        "relift export link -o link/folder/",
        "relift backup decompress link/vm.tar.zst",
        "relift backup append real/vm.tar disk.vmdk",
        "relift restore real/vm.tar --to dir:restored/here",
        "relift backup config real/vm.tar --to dir:restored/here",
        "relift disk convert disk.vmdk -o link/disk.qcow2",
        "relift sample create -o link/demo.ova",
    ] {
        works(&bench, line);
    }
}

#[test]
fn sources_are_read_with_what_lies_beside_them() {
    let bench = Bench::empty();
    Package::small("vm", MIB).write_to(&bench.path("package"));
    symlink(bench.path("package"), bench.path("link")).unwrap();
    for (number, source) in ["package", "link", "package/vm.ovf", "link/vm.ovf"].iter().enumerate()
    {
        works(&bench, &format!("relift convert {source} -o out{number}"));
        works(&bench, &format!("relift verify {source} --level deep"));
    }
    let inside = "cd package && relift inspect vm.ovf && relift inspect . && relift plan vm.ovf";
    works(&bench, inside);
}

#[test]
fn an_image_is_read_with_its_extents_and_parents() {
    let bench = Bench::empty();
    let content = testkit::content(MIB);
    fs::create_dir(bench.path("parts")).unwrap();
    bench.write("parts/s001.vmdk", &SparseMap::of(&content, 65_536).hosted(""));
    let sectors = content.len() / 512;
    let extent = format!("RW {sectors} SPARSE \"parts/s001.vmdk\"");
    let descriptor = VmdkDescriptor::new("twoGbMaxExtentSparse").extent(&extent);
    bench.write("disk.vmdk", descriptor.text().as_bytes());
    bench.write("content", &content);
    symlink("disk.vmdk", bench.path("link.vmdk")).unwrap();
    for image in ["disk.vmdk", "link.vmdk", "./disk.vmdk", "$PWD/disk.vmdk"] {
        works(&bench, &format!("relift disk convert {image} -O raw -o - | cmp - content"));
        works(&bench, &format!("relift disk compare {image} -F raw content"));
    }
    works(
        &bench,
        "relift disk check disk.vmdk && relift disk map disk.vmdk && relift disk measure disk.vmdk",
    );
}

#[test]
fn files_that_flags_and_plan_files_name_are_read() {
    let bench = Bench::new();
    fs::create_dir(bench.path("notes")).unwrap();
    bench.write("notes/name", b"web\n");
    bench.write("notes/list", b"hostname=web\n");
    for line in [
        "relift plan fixtures/demo.ova --prop hostname=@notes/name",
        "relift plan fixtures/demo.ova --prop-file notes/list -o notes/vm.plan.toml",
        "cd fixtures && relift convert ../notes/vm.plan.toml -o ../planned",
        "relift plan fixtures/demo.ova --prop-file /dev/stdin < notes/list",
        "cat notes/list | relift plan fixtures/demo.ova --prop-file /dev/stdin",
        "relift inspect fixtures/demo.ova --events notes/events",
        "relift inspect fixtures/demo.ova --events fd:3 3> notes/more",
        "relift convert - -o piped < fixtures/demo.ova",
        "cat fixtures/demo.ova | relift convert - -o piped2",
    ] {
        works(&bench, line);
    }
    assert!(!bench.read("notes/events").is_empty() && !bench.read("notes/more").is_empty());
}

#[test]
fn every_thread_of_a_run_is_confined_and_its_memory_is_bounded() {
    let bench = Bench::empty();
    let ova = Package::small("vm", 32 * MIB).ova();
    let mut command = bench.command(RELIFT);
    command.args(["convert", "-", "-o", "out"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&ova[..ova.len() / 2]).unwrap();
    let begun = Instant::now();
    while !bench.files("out").iter().any(|name| name.contains(".partial-")) {
        assert!(begun.elapsed() < PATIENCE && child.try_wait().unwrap().is_none(), "no disk begun");
        std::thread::yield_now();
    }
    let process = format!("/proc/{}", child.id());
    let threads: Vec<_> = fs::read_dir(format!("{process}/task")).unwrap().flatten().collect();
    assert!(threads.len() > 2, "{threads:?}");
    for thread in threads {
        let status = fs::read_to_string(thread.path().join("status")).unwrap();
        assert!(status.contains("\nNoNewPrivs:\t1\n"), "{status}");
    }
    let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
    let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).unwrap();
    assert!(!limit("Max address space").contains("unlimited"), "{limits}");
    let words: Vec<&str> = limit("Max core file size").split_whitespace().collect();
    assert_eq!(words[4..6], ["0", "0"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn doctor_tells_how_far_a_run_is_confined() {
    let run = Bench::empty().run(["doctor", "--json"]);
    let checks = run.json()["data"]["checks"].clone();
    let check = checks.as_array().unwrap().iter().find(|check| check["name"] == "sandbox").unwrap();
    assert!(check["state"] == "ok" || check["state"] == "warn", "{check}");
    let found = check["found"].as_str().unwrap();
    let is_told =
        check["state"] == "warn" || found.contains("not for what is brought to a libvirt");
    assert!(found.contains("Landlock") && is_told, "{check}");
}

#[test]
fn the_sandbox_can_be_lifted_and_nothing_else_can_be_said() {
    let bench = Bench::new();
    let run = works(&bench, "RELIFT_SANDBOX=off relift -v convert fixtures/demo.ova -o out");
    let told = "info: not confined: turned off by RELIFT_SANDBOX\n";
    assert!(run.stderr.starts_with(told), "{run:?}");
    let run = bench.shell("RELIFT_SANDBOX=no relift inspect fixtures/demo.ova");
    assert_eq!(run.code, Some(2));
    assert_eq!(run.stderr, "error: RELIFT_SANDBOX is 'no'\n  tip: it is on or off\n");
}
