//! Single disk images.

use std::fmt::Write as _;

use testkit::MIB;

use crate::bench::Bench;

#[test]
fn every_way_of_converting_gives_the_same_guest_bytes() {
    let bench = Bench::new();
    for line in [
        "relift disk convert disk.vmdk -O qcow2 -o a.qcow2",
        "relift disk convert a.qcow2 -O raw -o a.raw",
        "relift disk convert disk.vmdk -O raw -o - > b.raw",
        "relift disk compare disk.vmdk a.raw",
        "relift disk compare a.qcow2 b.raw",
        "relift disk check a.qcow2",
    ] {
        let run = bench.shell(line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
    }
    let content = testkit::content(MIB);
    assert!(bench.read("a.raw") == content && bench.read("b.raw") == content);
}

#[test]
fn a_difference_is_exit_5_and_its_place_is_named() {
    let bench = Bench::new();
    let mut content = testkit::content(MIB);
    content[70_000] ^= 1;
    bench.write("other.raw", &content);
    let run = bench.run(["disk", "compare", "disk.vmdk", "other.raw"]);
    assert_eq!(run.code, Some(5), "{run:?}");
    assert!(run.stderr.starts_with("error: the disks differ, first at byte 70000\n"), "{run:?}");
    let run = bench.run(["disk", "compare", "disk.vmdk", "other.raw", "--json"]);
    assert_eq!(run.json()["data"]["first_difference_bytes"], 70_000);
}

#[test]
fn damage_is_exit_5_from_check_and_4_from_convert() {
    let bench = Bench::new();
    let mut disk = bench.read("disk.vmdk");
    let middle = disk.len() / 2;
    disk[middle..middle + 512].fill(0xff);
    bench.write("disk.vmdk", &disk);
    let run = bench.run(["disk", "check", "disk.vmdk"]);
    assert_eq!(run.code, Some(5), "{run:?}");
    assert!(run.stderr.starts_with("error[E0404]: "), "{run:?}");
    let run = bench.run(["disk", "convert", "disk.vmdk", "-o", "x.qcow2"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stderr.starts_with("error[E0404]: "), "{run:?}");
    assert_eq!(bench.files(""), ["disk.vmdk", "fixtures/demo.ova"]);
}

#[test]
fn a_format_that_is_not_what_was_said_is_refused() {
    let bench = Bench::new();
    let run = bench.run(["disk", "info", "-f", "qcow2", "disk.vmdk"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stderr.starts_with("error[E0401]: the image is vmdk, qcow2 was said\n"), "{run:?}");
    bench.write("disk.bin", &[0; 4096]);
    assert_eq!(bench.run(["disk", "info", "disk.bin"]).code, Some(4));
    assert_eq!(bench.run(["disk", "info", "-f", "raw", "disk.bin"]).code, Some(0));
}

#[test]
fn stdout_takes_raw_bytes_and_nothing_beside_them() {
    let bench = Bench::new();
    for words in [
        vec!["disk", "convert", "disk.vmdk", "-o", "-"],
        vec!["disk", "convert", "disk.vmdk", "-O", "raw", "-o", "-", "--json"],
        vec!["disk", "convert", "disk.vmdk", "-O", "raw", "-o", "-", "--events", "-"],
    ] {
        assert_eq!(bench.run(&words).code, Some(2), "{words:?}");
    }
}

#[test]
fn the_way_back_to_vmware_is_one_file_on_disk_and_on_a_pipe() {
    let bench = Bench::new();
    let mut lengths = Vec::new();
    for (source, flags) in
        [("disk.raw", "-O raw"), ("plain.qcow2", ""), ("zlib.qcow2", "--compress")]
    {
        for line in [
            format!("relift disk convert disk.vmdk {flags} -o {source}"),
            format!("relift disk convert {source} -O vmdk -o out.vmdk"),
            format!("relift disk convert {source} -O vmdk --jobs 1 -o - > pipe.vmdk"),
            "cmp out.vmdk pipe.vmdk".to_owned(),
            "relift disk compare disk.vmdk out.vmdk".to_owned(),
            "relift disk check out.vmdk".to_owned(),
        ] {
            let run = bench.shell(&line);
            assert_eq!(run.code, Some(0), "{line}: {run:?}");
        }
        let info = bench.run(["disk", "info", "out.vmdk", "--json"]).json();
        assert_eq!(info["data"]["variant"], "streamOptimized", "{info}");
        let measured = bench.run(["disk", "measure", source, "-O", "vmdk", "--json"]).json();
        let length = std::fs::metadata(bench.path("out.vmdk")).unwrap().len();
        assert_eq!(measured["data"]["required_bytes"], length, "{measured}");
        lengths.push(length);
        std::fs::remove_file(bench.path("out.vmdk")).unwrap();
    }
    assert_eq!(lengths[0], lengths[1], "what is compressed here does not depend on the source");
}

#[test]
fn a_vmdk_is_written_where_it_is_asked_for_and_as_what_it_can_be() {
    let bench = Bench::new();
    for (flags, want) in [
        ("-o a.vmdk", "error: a.vmdk would be qcow2, not VMDK\n  tip: add -O vmdk\n"),
        ("-O raw -o a.VMDK", "error: a.VMDK would be raw, not VMDK\n  tip: add -O vmdk\n"),
        (
            "-O vmdk --compress -o a.vmdk",
            "error: a streamOptimized VMDK is always deflated\n  tip: leave --compress out\n",
        ),
        (
            "-O vmdk --layout clone -o a.vmdk",
            "error: a streamOptimized VMDK has no clone layout\n  tip: leave --layout out, or -O qcow2\n",
        ),
        ("-o -", "error: -o - writes raw bytes or a VMDK\n  tip: add -O raw or -O vmdk\n"),
    ] {
        let run = bench.shell(&format!("relift disk convert disk.vmdk {flags}"));
        assert_eq!((run.code, run.stderr.as_str()), (Some(2), want), "{flags}");
    }
    bench.write("empty.raw", b"");
    let run = bench.run(["disk", "convert", "empty.raw", "-O", "vmdk", "-o", "a.vmdk"]);
    let want = "error[E0405]: a disk of no size cannot be written as a VMDK\n";
    assert!(run.code == Some(4) && run.stderr.starts_with(want), "{run:?}");
    assert_eq!(bench.files(""), ["disk.vmdk", "empty.raw", "fixtures/demo.ova"]);
}

#[test]
fn a_file_that_is_there_stays() {
    let bench = Bench::new();
    bench.write("a.qcow2", b"mine");
    let run = bench.run(["disk", "convert", "disk.vmdk", "-o", "a.qcow2"]);
    assert_eq!(run.code, Some(8), "{run:?}");
    assert!(run.stderr.starts_with("error[E0509]: a.qcow2 exists already\n"), "{run:?}");
    assert_eq!(bench.read("a.qcow2"), b"mine");
}

#[test]
fn every_way_of_compressing_is_measured_to_the_byte_and_gives_the_same_guest_bytes() {
    let bench = Bench::new();
    for flags in ["", "--compress", "--compress=zlib-compat", "--compress=zstd:1", "--layout clone"]
    {
        let out = bench.path("a.qcow2");
        let measured = bench.shell(&format!("relift disk measure disk.vmdk {flags} --json"));
        let run = bench.shell(&format!("relift disk convert disk.vmdk {flags} -o a.qcow2"));
        assert_eq!((measured.code, run.code), (Some(0), Some(0)), "{measured:?} {run:?}");
        let length = std::fs::metadata(&out).unwrap().len();
        assert_eq!(measured.json()["data"]["required_bytes"], length, "{flags}");
        let full = measured.json()["data"]["fully_allocated_bytes"].as_u64().unwrap();
        assert!(full > MIB, "{flags}: {full}");
        let same = bench.run(["disk", "compare", "disk.vmdk", "a.qcow2"]);
        assert_eq!(same.code, Some(0), "{flags}: {same:?}");
        std::fs::remove_file(out).unwrap();
    }
}

#[test]
fn a_raw_image_is_as_long_as_the_disk() {
    let bench = Bench::new();
    let run = bench.run(["disk", "measure", "disk.vmdk", "-O", "raw", "--json"]);
    assert_eq!(run.json()["data"]["required_bytes"], MIB, "{run:?}");
}

#[test]
fn what_cannot_be_written_so_is_said_before_anything_is_read() {
    let bench = Bench::new();
    for flags in [
        "-O raw --compress",
        "--compress --layout clone",
        "--compress=zstd:99",
        "--compress=lzma",
        "--layout sparse",
    ] {
        let run = bench.shell(&format!("relift disk convert disk.vmdk {flags} -o x"));
        assert_eq!(run.code, Some(2), "{flags}: {run:?}");
    }
    assert_eq!(bench.files(""), ["disk.vmdk", "fixtures/demo.ova"]);
}

#[test]
fn the_source_is_hashed_in_the_same_run() {
    let bench = Bench::new();
    let line = "relift disk convert disk.vmdk --digest sha256 -o a.qcow2 | tail -n 1";
    let printed = bench.shell(line);
    let wanted = bench.shell("sha256sum disk.vmdk");
    assert_eq!(printed.stdout, format!("sha256 {}", wanted.stdout), "{printed:?}");
    let run = bench.shell("relift disk convert disk.vmdk --digest sha1 -o b.qcow2 --json");
    let digest = &run.json()["data"]["source_digest"];
    let wanted = bench.shell("sha1sum disk.vmdk");
    let value = digest["value"].as_str().unwrap();
    assert!(wanted.stdout.starts_with(value) && value.len() == 40, "{run:?}");
}

#[test]
fn the_map_lists_every_run_of_the_disk_once() {
    let bench = Bench::new();
    let run = bench.run(["disk", "map", "disk.vmdk", "--json"]);
    let rows = run.json()["data"].as_array().unwrap().clone();
    let mut end = 0;
    for row in &rows {
        assert_eq!(row["start"], end, "{rows:?}");
        end += row["length"].as_u64().unwrap();
        assert_eq!((&row["depth"], &row["data"]), (&0.into(), &row["compressed"]), "{row}");
    }
    assert_eq!(end, MIB);
    let text = bench.run(["disk", "map", "disk.vmdk"]).stdout;
    assert!(text.starts_with("VMDK streamOptimized, 1048576 bytes, "), "{text}");
    assert_eq!(text.lines().count(), rows.len() + 3, "{text}");
}

#[test]
fn a_disk_of_more_parts_than_the_soft_limit_of_files_is_read() {
    let bench = Bench::empty();
    let mut text = "# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\n".to_owned();
    for number in 0..100 {
        let name = format!("s{number:03}.bin");
        bench.write(&name, &[1; 512]);
        writeln!(text, "RW 1 FLAT \"{name}\" 0").unwrap();
    }
    bench.write("split.vmdk", text.as_bytes());
    let run = bench.shell("ulimit -Sn 64; relift disk check split.vmdk");
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn a_snapshot_of_what_is_stated_not_to_be_qcow2_is_a_wrong_flag() {
    let bench = Bench::new();
    let line = "relift disk convert disk.vmdk -f raw --snapshot s -o a.qcow2";
    let run = bench.shell(line);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("--snapshot is of a qcow2 image, not of raw"), "{run:?}");
    assert!(!bench.path("a.qcow2").exists());
}
