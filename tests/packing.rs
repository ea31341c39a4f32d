//! `convert -o OUT.tar`: a package becomes one native backup file, in one pass.

use std::{ffi::OsStr, fs, path::Path};

use serde_json::Value;
use testkit::{Descriptor, MIB, Package, oracle};

use crate::bench::{Bench, Run};

/// The time that the members have.
const THEN: &str = "SOURCE_DATE_EPOCH=1700000000";

/// What a bundle of the demo appliance has, in its order.
const MEMBERS: [&str; 6] = [
    "demo-disk0.qcow2",
    "demo-ovf-env.iso",
    "1700000000-source.ovf",
    "1700000000-source.mf",
    "1700000000-demo.xml",
    "1700000000-manifest.json",
];

/// Runs a line that must succeed.
fn shell(bench: &Bench, line: &str) -> Run {
    let run = bench.shell(line);
    assert_eq!(run.code, Some(0), "{line}: {run:?}");
    run
}

/// A folder with the demo appliance as `demo.tar` and `demo.tar.zst`.
fn packed(more: &str) -> Bench {
    let bench = Bench::new();
    for ending in ["tar", "tar.zst"] {
        let line = format!("{THEN} relift convert fixtures/demo.ova -o demo.{ending} {more}");
        shell(&bench, &line);
    }
    bench
}

/// Unpacks with the usual tools, and says what there was; `None` without them.
fn unpacked(bench: &Bench, archive: &str, folder: &str) -> Option<Vec<String>> {
    fs::create_dir(bench.path(folder)).unwrap();
    let plain = bench.path(&format!("{folder}.plain"));
    let archive = bench.path(archive);
    if archive.extension().is_some_and(|ending| ending == "zst") {
        let words = ["-dq".as_ref(), archive.as_os_str(), "-o".as_ref(), plain.as_os_str()];
        assert!(oracle("zstd", words)?.status.success());
    } else {
        fs::copy(archive, &plain).unwrap();
    }
    let to = bench.path(folder);
    let words = ["-xvf".as_ref(), plain.as_os_str(), "-C".as_ref(), to.as_os_str()];
    let listed = oracle("tar", words)?;
    assert!(listed.status.success(), "{listed:?}");
    Some(String::from_utf8(listed.stdout).unwrap().lines().map(str::to_owned).collect())
}

/// What qemu-img says of an image, and of what is in another one.
fn require_sound(image: &Path, same_as: Option<&Path>) {
    let check = ["check", "-f", "qcow2"].map(OsStr::new).into_iter().chain([image.as_os_str()]);
    let Some(output) = oracle("qemu-img", check) else { return };
    assert!(output.status.success(), "{image:?}: {output:?}");
    let Some(other) = same_as else { return };
    let compare = ["compare", "-f", "qcow2", "-F", "qcow2"].map(OsStr::new).into_iter();
    let compare = compare.chain([image.as_os_str(), other.as_os_str()]);
    let Some(output) = oracle("qemu-img", compare) else { return };
    assert!(output.status.success(), "{image:?}: {output:?}");
}

#[test]
fn the_members_are_sound_for_the_usual_tools_and_for_verify() {
    for more in ["", "--compress", "--compress=zstd", "--jobs 1"] {
        let bench = packed(more);
        shell(&bench, &format!("relift convert fixtures/demo.ova -o direct {more}"));
        let direct = bench.path("direct/demo-disk0.qcow2");
        for (archive, folder) in [("demo.tar", "a"), ("demo.tar.zst", "b")] {
            let Some(members) = unpacked(&bench, archive, folder) else { continue };
            assert_eq!(members, MEMBERS, "{more}");
            let disk = bench.path(folder).join("demo-disk0.qcow2");
            require_sound(&disk, Some(&direct));
            let run = shell(&bench, &format!("relift backup verify --level deep {archive}"));
            assert!(run.stdout.ends_with(&format!("{archive}: sound, 6 members\n")), "{run:?}");
        }
        let in_tar = bench.read("a/demo-disk0.qcow2");
        assert!(in_tar == fs::read(&direct).unwrap(), "a plain archive has the file of the folder");
    }
}

#[test]
fn the_papers_are_kept_and_the_definition_names_members() {
    let bench = packed("");
    let Some(_) = unpacked(&bench, "demo.tar.zst", "x") else { return };
    shell(&bench, "mkdir o && tar -xf fixtures/demo.ova -C o");
    assert_eq!(bench.read("x/1700000000-source.ovf"), bench.read("o/demo.ovf"));
    assert_eq!(bench.read("x/1700000000-source.mf"), bench.read("o/demo.mf"));
    let xml = String::from_utf8(bench.read("x/1700000000-demo.xml")).unwrap();
    for name in ["demo-disk0.qcow2", "demo-ovf-env.iso"] {
        assert!(xml.contains(&format!("<source file=\"{name}\"/>")), "{xml}");
    }
    let manifest: Value =
        serde_json::from_slice(&bench.read("x/1700000000-manifest.json")).unwrap();
    let body = &manifest["body"];
    assert_eq!(body["source_facts"]["kind"], "ova");
    assert_eq!(body["source_facts"]["manifest"][1]["file"], "demo-disk1.vmdk");
    assert_eq!(body["nodes"][0]["member"], "demo-disk0.qcow2");
    assert_eq!(body["nodes"][0]["capacity_bytes"], 64 * MIB);
    let members = body["members"].as_array().unwrap();
    let listed: Vec<_> = members.iter().map(|member| member["name"].as_str().unwrap()).collect();
    assert_eq!(listed, MEMBERS[..5]);
}

#[test]
fn a_package_on_a_pipe_gives_the_same_bytes_as_the_file() {
    let bench = packed("");
    for ending in ["tar", "tar.zst"] {
        shell(&bench, &format!("{THEN} relift convert - -o pipe.{ending} < fixtures/demo.ova"));
        let (file, pipe) = (format!("demo.{ending}"), format!("pipe.{ending}"));
        assert!(bench.read(&file) == bench.read(&pipe), "{ending}");
    }
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let bench = Bench::empty();
    let package = Package::small("vm", 9 * MIB);
    let mut content = testkit::content(9 * MIB);
    content[5] ^= 1;
    let other = testkit::stream_optimized(&content, "vm-disk1.vmdk");
    bench.write("wrong.ova", &package.ova_with_another("vm-disk1.vmdk", &other));
    let ova = package.ova();
    bench.write("cut.ova", &ova[..ova.len() / 2]);
    let before = bench.files("");
    for ending in ["tar", "tar.zst"] {
        for (line, exit) in [
            ("relift convert wrong.ova", 5),
            ("relift convert - < wrong.ova", 5),
            ("relift convert cut.ova", 4),
            ("relift convert - < cut.ova", 4),
        ] {
            let run = bench.shell(&format!("{line} -o out.{ending}"));
            assert_eq!(run.code, Some(exit), "{line} {run:?}");
            assert_eq!(bench.files(""), before, "{line} {ending}");
        }
    }
}

#[test]
fn a_file_that_is_there_is_replaced_only_if_it_is_a_backup_file_and_one_says_so() {
    let bench = packed("");
    let packed = bench.read("demo.tar");
    bench.write("foreign.tar", b"mine");
    for (line, code, exit) in [
        ("relift convert fixtures/demo.ova -o demo.tar", "E0509", 8),
        ("relift convert fixtures/demo.ova -o foreign.tar", "E0509", 8),
        ("relift convert fixtures/demo.ova -o foreign.tar --force", "E0509", 8),
    ] {
        let run = bench.shell(line);
        assert_eq!(run.code, Some(exit), "{line} {run:?}");
        assert!(run.stderr.contains(&format!("error[{code}]: ")), "{line} {run:?}");
    }
    assert_eq!(bench.read("foreign.tar"), b"mine");
    assert!(bench.read("demo.tar") == packed);
    shell(&bench, "SOURCE_DATE_EPOCH=5 relift convert fixtures/demo.ova -o demo.tar --force");
    assert!(bench.read("demo.tar") != packed);
    assert!(bench.files("").iter().all(|name| !name.contains(".replaced-")));
}

/// A descriptor with two machines.
fn two_machines() -> String {
    let one = Descriptor::new("web", "debian10_64Guest").xml();
    let (head, rest) = one.split_once("<VirtualSystem ").unwrap();
    let (system, _) = rest.split_once("</VirtualSystem>").unwrap();
    let machine = |id: &str| {
        format!("<VirtualSystem {system}</VirtualSystem>").replace("\"web\"", &format!("\"{id}\""))
    };
    format!(
        "{head}<VirtualSystemCollection ovf:id=\"app\"><Info>x</Info>{}{}\
         </VirtualSystemCollection></Envelope>",
        machine("web"),
        machine("db")
    )
}

#[test]
fn nothing_is_written_through_a_link_in_the_place_of_a_machines_folder() {
    let bench = packed("");
    bench.write("two.ovf", two_machines().as_bytes());
    let run = bench.shell(
        "mkdir out elsewhere && ln -s ../elsewhere out/web && relift convert two.ovf -o out",
    );
    assert_eq!(run.code, Some(8), "{run:?}");
    assert!(
        run.stderr.contains("error[E0509]: ") && run.stderr.contains(" is a link, "),
        "{run:?}"
    );
    assert_eq!((bench.files("elsewhere"), bench.files("out")), (vec![], vec![]));
    // The target itself is followed as it is typed.
    let run = bench.shell("rm out/web && ln -s out link && relift convert two.ovf -o link");
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn what_a_backup_file_cannot_hold_is_refused_with_a_way_out() {
    let bench = packed("");
    bench.write("two.ovf", two_machines().as_bytes());
    for (line, exit, text) in [
        ("relift convert two.ovf -o x.tar", 4, "a backup file holds one machine, 2 are chosen"),
        ("relift convert demo.tar -o x.tar.zst", 2, "relift backup compress"),
        ("relift convert fixtures/demo.ova -o x.tar.zst --layout clone", 2, "name it .tar"),
        ("SOURCE_DATE_EPOCH=x relift convert fixtures/demo.ova -o x.tar", 2, "SOURCE_DATE_EPOCH"),
    ] {
        let run = bench.shell(line);
        assert_eq!(run.code, Some(exit), "{line} {run:?}");
        assert!(run.stderr.contains(text), "{line} {run:?}");
        assert!(!bench.path("x.tar").exists() && !bench.path("x.tar.zst").exists());
    }
}

#[test]
fn a_dry_run_and_the_answer_say_what_the_folder_says() {
    let bench = Bench::new();
    let rows = |line: &str| shell(&bench, line).json()["data"]["machines"][0]["rows"].clone();
    let folder = rows("relift convert fixtures/demo.ova -o out --dry-run --json");
    let dry = rows("relift convert fixtures/demo.ova -o out.tar --dry-run --json");
    assert_eq!(folder, dry);
    assert!(!bench.path("out.tar").exists());
    let line = format!("{THEN} relift convert fixtures/demo.ova -o out.tar --json");
    let document = shell(&bench, &line).json();
    let data = &document["data"];
    assert_eq!(data["machines"][0]["rows"], folder);
    assert_eq!(data["outputs"][0]["path"], "demo-disk0.qcow2");
    assert_eq!(data["domains"][0], "1700000000-demo.xml");
    assert_eq!(data["manifest_matches"], true);
    assert_eq!(bench.files(""), ["disk.vmdk", "fixtures/demo.ova", "out.tar"]);
}

#[test]
fn a_clone_has_the_bytes_of_the_source_in_a_plain_archive() {
    let bench = Bench::new();
    shell(&bench, &format!("{THEN} relift convert fixtures/demo.ova -o c.tar --layout clone"));
    shell(&bench, "relift convert fixtures/demo.ova -o out --layout clone");
    shell(&bench, "relift backup verify --level deep c.tar");
    let Some(_) = unpacked(&bench, "c.tar", "c") else { return };
    assert!(bench.read("c/demo-disk0.qcow2") == bench.read("out/demo-disk0.qcow2"));
}

#[test]
fn a_blank_disk_and_a_large_one_are_members_like_others() {
    let bench = Bench::empty();
    let descriptor = Descriptor::new("vm", "96")
        .controller("3", "6", "lsilogic", "0")
        .disk("vm-disk1.vmdk", 9 * MIB, "3", "0")
        .empty_disk(3 << 40, "3", "1");
    let disk = testkit::stream_optimized(&testkit::content(9 * MIB), "vm-disk1.vmdk");
    let package = Package::new("vm", &descriptor).member("vm-disk1.vmdk", disk);
    bench.write("vm.ova", &package.ova());
    for ending in ["tar", "tar.zst"] {
        shell(&bench, &format!("relift convert vm.ova -o vm.{ending}"));
        shell(&bench, &format!("relift backup verify --level deep vm.{ending}"));
        let Some(_) = unpacked(&bench, &format!("vm.{ending}"), ending) else { continue };
        for disk in ["vm-disk0.qcow2", "vm-disk1.qcow2"] {
            require_sound(&bench.path(ending).join(disk), None);
        }
    }
}

#[test]
fn a_disk_that_ends_inside_a_cluster_is_a_member_like_others() {
    for disk_bytes in [512, 65_536 + 512, 5 * MIB + 55_296] {
        let bench = Bench::empty();
        bench.write("vm.ova", &Package::small("vm", disk_bytes).ova());
        for more in ["", "--compress", "--jobs 1"] {
            shell(&bench, &format!("relift convert vm.ova -o vm.tar.zst --force {more}"));
            shell(&bench, "relift backup verify --level deep vm.tar.zst");
        }
        shell(&bench, "cat vm.ova | relift convert - -o vm.tar.zst --force");
        shell(&bench, "relift convert vm.ova -o direct");
        let Some(_) = unpacked(&bench, "vm.tar.zst", "a") else { continue };
        let disk = bench.path("a/vm-disk0.qcow2");
        require_sound(&disk, Some(&bench.path("direct/vm-disk0.qcow2")));
    }
}
