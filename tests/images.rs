//! Single images of every format, and those that consist of several files.

use testkit::{MIB, Qcow2, Qcow2Cluster, SparseMap, Vhdx, VmdkDescriptor};

use crate::bench::{Bench, Run};

/// The image becomes a raw file with these guest bytes, and the program says nothing bad of it.
fn holds(bench: &Bench, words: &str, want: &[u8]) -> Run {
    let run = bench.shell(&format!("relift disk convert {words} -O raw -o out.raw"));
    assert_eq!(run.code, Some(0), "{words}: {run:?}");
    assert!(bench.read("out.raw") == want, "{words}");
    std::fs::remove_file(bench.path("out.raw")).unwrap();
    run
}

/// The image is refused with this code and exit, and nothing is left.
fn refused(bench: &Bench, words: &str, code: &str, exit: i32) -> Run {
    let run = bench.shell(&format!("relift disk convert {words} -O raw -o out.raw"));
    assert_eq!(run.code, Some(exit), "{words}: {run:?}");
    assert!(run.stderr.starts_with(&format!("error[{code}]: ")), "{words}: {run:?}");
    assert!(!bench.path("out.raw").exists(), "{words}");
    run
}

#[test]
fn every_format_is_told_by_its_magic_and_checked() {
    let bench = Bench::empty();
    let content = testkit::content(3 * MIB + 512);
    for (name, bytes) in [
        ("fixed.vhd", testkit::vhd_fixed(&content)),
        ("dynamic.vhd", testkit::vhd_dynamic(&content)),
        ("disk.vhdx", testkit::vhdx(&content)),
        ("disk.vdi", testkit::vdi_dynamic(&content)),
        ("disk.vmdk", testkit::stream_optimized(&content, "disk.vmdk")),
        ("hosted.vmdk", SparseMap::of(&content, 65_536).hosted("")),
        ("delta.vmdk", SparseMap::of(&content, 512).cowd()),
        ("se.vmdk", SparseMap::of(&testkit::content(3 * MIB), 4096).sesparse()),
    ] {
        bench.write(name, &bytes);
        let want = if name == "se.vmdk" { &testkit::content(3 * MIB) } else { &content };
        holds(&bench, name, want);
        let check = bench.run(["disk", "check", name]);
        assert_eq!(check.code, Some(0), "{check:?}");
        let info = bench.run(["disk", "info", name, "--json"]).json();
        let format = name.split('.').next_back().unwrap();
        assert_eq!(info["data"]["format"], format, "{info}");
    }
}

#[test]
fn a_log_that_was_not_applied_is_replayed_in_memory_and_said() {
    let bench = Bench::empty();
    let content = testkit::content(2 * MIB);
    let image = Vhdx::new(&content).with_pending_log().build();
    bench.write("disk.vhdx", &image);
    let run = bench.shell("relift disk convert disk.vhdx -O raw -o out.raw");
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.starts_with("warning[W0610]: disk.vhdx: "), "{run:?}");
    assert!(bench.read("disk.vhdx") == image, "the source is never written");
}

#[test]
fn a_vmdk_of_several_files_is_one_disk() {
    let bench = Bench::empty();
    let content = testkit::content(2 * MIB);
    let (front, back) = content.split_at(MIB as usize);
    std::fs::create_dir(bench.path("parts")).unwrap();
    bench.write("parts/a flat.vmdk", &[&[0; 512][..], front].concat());
    bench.write("s002.vmdk", &SparseMap::of(back, 65_536).hosted(""));
    let descriptor = VmdkDescriptor::new("custom")
        .extent("RDONLY 2048 FLAT \"parts/a flat.vmdk\" 1")
        .extent("RW 2048 ZERO")
        .extent("RW 2048 SPARSE \"s002.vmdk\"");
    bench.write("disk.vmdk", descriptor.text().as_bytes());
    let want = [front, &vec![0; MIB as usize], back].concat();
    holds(&bench, "disk.vmdk", &want);
    let info = bench.run(["disk", "info", "disk.vmdk"]);
    assert!(info.stdout.contains("extent     parts/a flat.vmdk\n"), "{info:?}");
    let map = bench.run(["disk", "map", "disk.vmdk", "--json"]).json();
    let first = &map["data"][0];
    assert_eq!((&first["offset"], &first["filename"]), (&512.into(), &"parts/a flat.vmdk".into()));
}

#[test]
fn a_name_that_leads_out_of_the_folder_is_never_followed() {
    let bench = Bench::empty();
    std::fs::create_dir(bench.path("vm")).unwrap();
    bench.write("secret", &[1; 4096]);
    std::os::unix::fs::symlink("../secret", bench.path("vm/link")).unwrap();
    let secret = bench.path("secret");
    for (name, code) in [
        ("../secret", "E0105"),
        (secret.to_str().unwrap(), "E0105"),
        ("link", "E0105"),
        ("/dev/zero", "E0105"),
        ("not-there", "E0104"),
    ] {
        let line = format!("RW 8 FLAT \"{name}\" 0");
        let descriptor = VmdkDescriptor::new("monolithicFlat").extent(&line);
        bench.write("vm/disk.vmdk", descriptor.text().as_bytes());
        let run = refused(&bench, "vm/disk.vmdk", code, 4);
        assert!(run.stderr.contains(name), "{run:?}");
    }
}

#[test]
fn a_delta_shows_its_parent_where_it_has_nothing() {
    let bench = Bench::empty();
    let base = testkit::content(2 * MIB);
    bench.write("base.vmdk", &{
        let text =
            VmdkDescriptor::new("monolithicSparse").cid(0xcafe).extent("RW 4096 SPARSE \"x\"");
        SparseMap::of(&base, 65_536).hosted(&text.text())
    });
    let grain = [7; 65_536];
    let text = VmdkDescriptor::new("monolithicSparse")
        .cid(2)
        .parent(0xcafe, "/vmfs/volumes/x/base.vmdk")
        .extent("RW 4096 SPARSE \"x\"");
    let delta = SparseMap::new(2 * MIB, 65_536).grain(3, &grain).hosted(&text.text());
    bench.write("delta.vmdk", &delta);
    let mut want = base.clone();
    want[3 * 65_536..4 * 65_536].copy_from_slice(&grain);
    holds(&bench, "delta.vmdk", &want);
    let rows = bench.run(["disk", "map", "delta.vmdk", "--json"]).json()["data"].clone();
    assert!(rows.as_array().unwrap().iter().any(|row| row["depth"] == 1), "{rows}");

    std::fs::rename(bench.path("base.vmdk"), bench.path("other.vmdk")).unwrap();
    let run = refused(&bench, "delta.vmdk", "E0402", 4);
    assert!(run.stderr.contains("0000cafe") && run.stderr.contains("base.vmdk"), "{run:?}");
    assert_eq!(bench.run(["disk", "info", "delta.vmdk"]).code, Some(0));
}

#[test]
fn a_backing_file_is_opened_only_when_it_is_allowed() {
    let bench = Bench::empty();
    let base = testkit::content(MIB);
    bench.write("base.raw", &base);
    let cluster = vec![9; 65_536];
    let image = Qcow2::new(MIB)
        .cluster(2, Qcow2Cluster::Data(cluster.clone()))
        .backing("base.raw", Some("raw"));
    bench.write("over.qcow2", &image.build().bytes);
    let run = refused(&bench, "over.qcow2", "E0402", 4);
    assert!(run.stderr.contains("--allow-backing PATH"), "{run:?}");
    let mut want = base;
    want[2 * 65_536..3 * 65_536].copy_from_slice(&cluster);
    for allowed in ["base.raw", "./base.raw", "."] {
        holds(&bench, &format!("over.qcow2 --allow-backing {allowed}"), &want);
    }
    bench.write("other.raw", b"x");
    refused(&bench, "over.qcow2 --allow-backing other.raw", "E0402", 4);
    refused(&bench, "over.qcow2 --allow-backing not-there", "E0508", 8);
}

#[test]
fn an_internal_snapshot_is_listed_and_can_be_read() {
    let bench = Bench::empty();
    let (old, new) = (vec![1; 65_536], vec![2; 65_536]);
    let image = Qcow2::new(65_536)
        .cluster(0, Qcow2Cluster::Data(old.clone()))
        .snapshot("before")
        .cluster(0, Qcow2Cluster::Data(new.clone()));
    bench.write("disk.qcow2", &image.build().bytes);
    let run = holds(&bench, "disk.qcow2", &new);
    assert!(run.stderr.contains("'before'"), "{run:?}");
    holds(&bench, "disk.qcow2 --snapshot 'before'", &old);
    let info = bench.run(["disk", "info", "disk.qcow2", "--json"]).json();
    assert_eq!(info["data"]["snapshots"][0]["name"], "before");
    let run = refused(&bench, "disk.qcow2 --snapshot after", "E0104", 4);
    assert!(run.stderr.contains("before"), "{run:?}");
}

#[test]
fn a_disk_of_two_tebibytes_costs_what_its_data_costs() {
    let bench = Bench::empty();
    let capacity = 2 << 40;
    let map = SparseMap::new(capacity, 1 << 20).grain((capacity >> 20) - 1, &[5; 1 << 20]);
    bench.write("large.vmdk", &map.hosted(""));
    for flags in ["", "--compress"] {
        let run = bench.shell(&format!("relift disk convert large.vmdk {flags} -o large.qcow2"));
        assert_eq!(run.code, Some(0), "{run:?}");
        let length = std::fs::metadata(bench.path("large.qcow2")).unwrap().len();
        assert!(length < 4 * MIB, "{flags}: {length}");
        let same = bench.run(["disk", "compare", "large.vmdk", "large.qcow2"]);
        assert_eq!(same.code, Some(0), "{same:?}");
        std::fs::remove_file(bench.path("large.qcow2")).unwrap();
    }
}
