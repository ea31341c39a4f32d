//! `export`: what was imported goes back, and comes in again the same.

use std::{fs, path::Path};

use serde_json::Value;
use testkit::oracle;

use crate::bench::Bench;

/// A folder with the demo appliance in `out`, exported to `back.ova`.
fn exported(more: &[&str]) -> Bench {
    let bench = Bench::new();
    let keep = ["--mac", "keep", "--uuid", "keep", "--net", "user"];
    let words = ["convert", "fixtures/demo.ova", "-o", "out"];
    let run = bench.run(words.iter().chain(&keep));
    assert_eq!(run.code, Some(0), "{run:?}");
    let words = ["export", "out", "-o", "back.ova"];
    let run = bench.run(words.iter().chain(more));
    assert_eq!(run.code, Some(0), "{run:?}");
    bench
}

/// The domain of a folder without what its file names and its descriptor's bytes decide.
fn domain(bench: &Bench, folder: &str) -> Vec<String> {
    let text = String::from_utf8(bench.read(&format!("{folder}/domain.xml"))).unwrap();
    let own = ["<source file", "<serial>", "<uuid>", "<mac ", "<wwn>"];
    text.lines()
        .filter(|line| !own.iter().any(|part| line.contains(part)))
        .map(str::to_owned)
        .collect()
}

#[test]
fn an_ova_comes_back_as_the_same_machine_with_the_same_disk() {
    let bench = exported(&[]);
    let run = bench.run(["verify", "--level", "deep", "back.ova"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = bench.run(["convert", "back.ova", "-o", "again", "--net", "user"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(domain(&bench, "again"), domain(&bench, "out"));
    let run = bench.run(["disk", "compare", "out/demo-disk0.qcow2", "again/demo-disk0.qcow2"]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn an_export_is_the_same_bytes_each_time_and_on_any_number_of_cores() {
    let bench = exported(&["--jobs", "1"]);
    let run = bench.run(["export", "out", "-o", "again.ova", "--jobs", "3"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(bench.read("back.ova") == bench.read("again.ova"));
}

#[test]
fn a_folder_holds_what_the_archive_holds() {
    let bench = exported(&[]);
    let run = bench.run(["export", "out", "-o", "side/"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let names = ["demo-disk1.vmdk", "demo-medium2.iso", "demo.mf", "demo.ovf"];
    assert_eq!(bench.files("side"), names.map(|name| format!("side/{name}")));
    assert_eq!(bench.shell("mkdir t && tar -C t -xf back.ova").code, Some(0));
    for name in names {
        assert!(bench.read(&format!("side/{name}")) == bench.read(&format!("t/{name}")), "{name}");
    }
    let run = bench.run(["inspect", "--json", "side/demo.ovf"]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn others_read_the_archive_and_the_disk() {
    let bench = exported(&["--sha", "512"]);
    let listed = bench.shell("tar -tf back.ova");
    assert_eq!(listed.stdout, "demo.ovf\ndemo.mf\ndemo-disk1.vmdk\ndemo-medium2.iso\n");
    let checked = bench.shell(
        "tar -xf back.ova && sed 's/SHA512(\\(.*\\))= \\(.*\\)/\\2  \\1/' demo.mf | sha512sum -c",
    );
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let disks = [bench.path("demo-disk1.vmdk"), bench.path("out/demo-disk0.qcow2")];
    let words = [Path::new("compare"), &disks[0], &disks[1]];
    let Some(same) = oracle("qemu-img", words) else { return };
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
}

#[test]
fn the_document_says_what_became_of_each_item() {
    let bench = exported(&[]);
    let document: Value = bench.run(["export", "--json", "out", "-o", "two.ova"]).json();
    assert_eq!((&document["schema"], &document["ok"]), (&"relift.export/1".into(), &true.into()));
    let rows = document["data"]["rows"].as_array().unwrap();
    let items: Vec<&str> = rows.iter().filter_map(|row| row["item"].as_str()).collect();
    assert!(items.contains(&"disk0") && items.contains(&"nic1"), "{items:?}");
    let members = document["data"]["members"].as_array().unwrap();
    assert_eq!(members[0]["name"], "demo.ovf");
    assert!(members[2]["digest"].as_str().unwrap().starts_with("sha256:"), "{members:?}");
}

#[test]
fn what_cannot_be_exported_is_refused_and_leaves_nothing() {
    let bench = exported(&[]);
    let refuses = |words: &[&str], code: &str, exit: i32| {
        let run = bench.run(words);
        assert_eq!(run.code, Some(exit), "{run:?}");
        assert!(run.stderr.starts_with(&format!("error[{code}]: ")), "{run:?}");
    };
    refuses(&["export", "out", "-o", "back.ova"], "E0509", 8);
    refuses(&["export", "fixtures", "-o", "x.ova"], "E0604", 4);
    assert_eq!(bench.run(["export", "out", "-o", "x.zip"]).code, Some(2));
    fs::rename(bench.path("out/demo-disk0.qcow2"), bench.path("moved.qcow2")).unwrap();
    refuses(&["export", "out", "-o", "x.ova"], "E0104", 4);
    std::os::unix::fs::symlink(bench.path("moved.qcow2"), bench.path("out/demo-disk0.qcow2"))
        .unwrap();
    refuses(&["export", "out", "-o", "x.ova"], "E0105", 4);
    fs::remove_file(bench.path("out/demo-disk0.qcow2")).unwrap();
    let mut damaged = bench.read("moved.qcow2");
    damaged.truncate(damaged.len() / 2);
    bench.write("out/demo-disk0.qcow2", &damaged);
    refuses(&["export", "out", "-o", "x.ova"], "E0404", 4);
    refuses(&["export", "out", "-o", "x/"], "E0404", 4);
    let left: Vec<String> = bench
        .files(".")
        .into_iter()
        .filter(|name| name.contains("x.ova") || name.contains("x/"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}
