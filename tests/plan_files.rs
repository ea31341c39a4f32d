//! Plan files: written, edited and replayed.

use std::path::Path;

use bundle::Form;
use serde_json::Value;

use crate::{
    bench::{Bench, Run},
    points,
};

/// The folder of descriptors that this project made.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ovf");

/// A folder with the demo appliance and a plan file of it, made with these flags.
fn planned(flags: &[&str]) -> Bench {
    let bench = Bench::new();
    let words = ["plan", "fixtures/demo.ova", "-o", "p.toml", "--prop", "hostname=web"];
    let run = bench.run(words.iter().chain(flags));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), "plan written to p.toml\n"));
    bench
}

fn text(bench: &Bench) -> String {
    String::from_utf8(bench.read("p.toml")).unwrap()
}

/// Changes the first place of a text in the plan file.
fn edit(bench: &Bench, from: &str, to: &str) {
    let text = text(bench);
    assert!(text.contains(from), "{from}: {text}");
    bench.write("p.toml", text.replacen(from, to, 1).as_bytes());
}

/// The plan as a document, without what depends on the room of the test's machine and on the folder.
fn document(run: &Run) -> Value {
    let mut document = run.json();
    if let Some(data) = document["data"].as_object_mut() {
        data["space"]["free_bytes"] = Value::Null;
        data["source"]["path"] = Value::Null;
    }
    document
}

fn replayed(bench: &Bench) -> Value {
    let run = bench.run(["plan", "p.toml", "--json"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    document(&run)["data"]["machines"][0].take()
}

/// The first line on stderr of a run that is refused.
fn refusal(run: &Run, code: i32) -> &str {
    assert_eq!(run.code, Some(code), "{run:?}");
    run.stderr.lines().find(|line| line.starts_with("error")).unwrap()
}

#[test]
fn the_plan_file_of_the_demo() {
    let bench = planned(&["--to", "dir:out", "--net", "VM Network=br0", "--net", "DMZ=none"]);
    let folder = bench.path("").display().to_string();
    insta::assert_snapshot!(text(&bench).replace(&folder, "/folder/"));
}

#[test]
fn a_replay_plans_the_same_with_the_same_reasons() {
    let names = ["lsilogic-bios", "pvscsi-efi", "two-machines", "many-disks", "windows-xp", "eula"];
    let flags: [&[&str]; 5] = [
        &[],
        &["--profile", "virtio", "--machine", "q35"],
        &["--disk-bus", "ide", "--mac", "keep", "--uuid", "keep"],
        &["--vcpus", "3", "--memory", "1GiB", "--max-vcpus", "8", "--format", "raw"],
        &["--ignore", "nic0", "--ignore", "disk0", "--net", "br0", "--strict"],
    ];
    for (name, flags) in names.iter().flat_map(|name| flags.iter().map(move |flags| (name, flags)))
    {
        let bench = Bench::empty();
        std::fs::create_dir(bench.path("in")).unwrap();
        bench.write(
            "in/x.ovf",
            &std::fs::read(Path::new(FIXTURES).join(format!("{name}.ovf"))).unwrap(),
        );
        let words = ["plan", "in/x.ovf", "--json", "--to", "dir:out", "-o", "p.toml"];
        let first = bench.run(words.iter().chain(*flags));
        let second = bench.run(["plan", "p.toml", "--json"]);
        assert_eq!(document(&second), document(&first), "{name} {flags:?}");
        assert_eq!(second.code, first.code);
    }
}

#[test]
fn a_replay_converts_to_the_same_bytes() {
    let bench = planned(&["--net", "br0", "--format", "raw"]);
    let run = bench.run(["convert", "p.toml", "-o", "out"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let kept = ["out/demo-disk0.raw", "out/domain.xml", "out/demo-ovf-env.iso"];
    let from_file = kept.map(|name| bench.read(name));
    std::fs::remove_dir_all(bench.path("out")).unwrap();
    let flags = ["--prop", "hostname=web", "--net", "br0", "--format", "raw"];
    let words = ["convert", "fixtures/demo.ova", "-o", "out"];
    let run = bench.run(words.iter().chain(&flags));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(kept.map(|name| bench.read(name)), from_file);
}

#[test]
fn each_key_that_may_be_edited_takes_effect() {
    let elsewhere = "/nowhere/x.img";
    for (from, to, place, want) in [
        ("name = \"demo\"", "name = \"web\"", "/name", "web"),
        (
            "uuid = \"",
            "uuid = \"00000000-0000-4000-8000-000000000001\" #",
            "/uuid",
            "00000000-0000-4000-8000-000000000001",
        ),
        ("vcpus = 1", "vcpus = 4", "/vcpus", "4"),
        ("memory_bytes = 536870912", "memory_bytes = 1073741824", "/memory_bytes", "1073741824"),
        ("firmware = \"bios\"", "firmware = \"uefi\"", "/firmware", "uefi"),
        ("machine = \"q35\"", "machine = \"pc\"", "/machine", "pc"),
        ("to = \"demo-disk0.qcow2\"", "to = \"/nowhere/x.img\"", "/disks/0/to", elsewhere),
        ("format = \"qcow2\"", "format = \"raw\"", "/disks/0/format", "raw"),
        ("bus = \"sata\"", "bus = \"virtio-blk\"", "/disks/0/bus", "virtio"),
        ("target = \"network:default\"", "target = \"br0\"", "/nics/0/target", "bridge:br0"),
        ("target = \"network:default\"", "target = \"none\"", "/nics/0/target", "none"),
        ("model = \"vmxnet3\"", "model = \"rtl8139\"", "/nics/0/model", "rtl8139"),
        ("mac = \"", "mac = \"52:54:00:00:00:01\" #", "/nics/0/mac", "52:54:00:00:00:01"),
    ] {
        let bench = planned(&[]);
        edit(&bench, from, to);
        let machine = replayed(&bench);
        let found = machine.pointer(place).unwrap();
        let found = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        assert_eq!(found, want, "{to}");
        // What else the file says stays as it is.
        if place != "/name" {
            assert_eq!(machine["name"], "demo");
        }
        if !place.starts_with("/nics") {
            assert_eq!(machine["nics"], replayed(&planned(&[]))["nics"], "{to}");
        }
    }
}

#[test]
fn a_flag_of_choices_takes_effect_and_lines_that_count_more_are_told() {
    let bench = planned(&["--vcpus", "2"]);
    edit(&bench, "[choices]\n", "[choices]\nignore = [\"sound\"]\n");
    edit(&bench, "vcpus = 2\n\n", "vcpus = 8\n\n");
    let machine = replayed(&bench);
    let rows = machine["rows"].as_array().unwrap();
    let sound = rows.iter().find(|row| row["item"] == "sound").unwrap();
    assert_eq!((&sound["action"], &machine["vcpus"]), (&"dropped".into(), &2.into()));
    let line = 1 + text(&bench).lines().position(|line| line == "vcpus = 2").unwrap();
    let told = format!("line {line} of p.toml: vcpus of demo is 2\n");
    assert_eq!(bench.run(["plan", "p.toml"]).stderr, told);
}

#[test]
fn a_line_taken_out_leaves_the_value_to_the_planner() {
    let bench = planned(&["--firmware", "uefi"]);
    edit(&bench, "name = \"demo\"\n", "");
    edit(&bench, "mac = \"", "# mac = \"");
    let (now, before) = (replayed(&bench), replayed(&planned(&["--firmware", "uefi"])));
    for key in ["name", "nics", "rows", "uuid"] {
        assert_eq!(now[key], before[key]);
    }
}

#[test]
fn a_disk_goes_to_the_place_that_the_file_says() {
    let bench = planned(&[]);
    let place = bench.path("elsewhere/big.qcow2");
    edit(&bench, "to = \"demo-disk0.qcow2\"", &format!("to = \"{}\"", place.display()));
    let run = bench.run(["convert", "p.toml", "-o", "out"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(place.is_file() && !bench.path("out/demo-disk0.qcow2").exists());
    let xml = String::from_utf8(bench.read("out/domain.xml")).unwrap();
    assert!(xml.contains(&format!("<source file=\"{}\"/>", place.display())), "{xml}");
    let run = bench.run(["convert", "p.toml", "-o", "again"]);
    let want = format!("error[E0509]: {} exists already", place.display());
    assert_eq!(refusal(&run, 8), want);
    assert_eq!(bench.files("again"), [""; 0]);
}

#[test]
fn a_machine_taken_out_is_not_converted() {
    let bench = Bench::empty();
    let descriptor = std::fs::read(Path::new(FIXTURES).join("two-machines.ovf")).unwrap();
    bench.write("x.ovf", &descriptor);
    bench.run(["plan", "x.ovf", "-o", "p.toml"]);
    let whole = text(&bench);
    let second = whole.rfind("[[machine]]").unwrap();
    bench.write("p.toml", &whole.as_bytes()[..second]);
    let data = bench.run(["plan", "p.toml", "--json"]).json()["data"].take();
    assert_eq!(data["machines"].as_array().unwrap().len(), 1);
}

#[test]
fn says_with_the_line_what_cannot_be_read() {
    for (from, to, want) in [
        ("vcpus = 1", "vcpu = 1", "unknown key 'vcpu'"),
        ("vcpus = 1", "vcpus = \"1\"", "invalid type: string \"1\", expected u32"),
        ("vcpus = 1", "vcpus = 5000", "vcpus 5000 is not in 1..=4096"),
        (
            "memory_bytes = 536870912",
            "memory_bytes = 1000",
            "memory_bytes is 1000 bytes; it must be at least 1 MiB and a multiple of 1 KiB",
        ),
        (
            "firmware = \"bios\"",
            "firmware = \"efi\"",
            "firmware 'efi': none of bios, uefi, uefi-secure",
        ),
        ("name = \"demo\"", "name = \"a/b\"", "name 'a/b': cannot be the name of a machine"),
        (
            "to = \"demo-disk0.qcow2\"",
            "to = \"../x\"",
            "to '../x': neither a name in the machine's folder nor an absolute path",
        ),
        (
            "to = \"demo-disk0.qcow2\"",
            "to = \"/a/../x\"",
            "to '/a/../x': neither a name in the machine's folder nor an absolute path",
        ),
        ("id = \"nic1\"", "id = \"nic0\"", "the id 'nic0' is there twice"),
        ("mac = \"52", "mac = \"53", "no card can have it"),
        (
            "prop = [\"hostname",
            "profile = \"best\"\nprop = [\"hostname",
            "invalid value 'best' for '--profile <PROFILE>'",
        ),
        ("prop = [\"hostname", "profil = \"virtio\"\nprop = [\"hostname", "unknown key 'profil'"),
        (
            "prop = [\"hostname",
            "strict = \"yes\"\nprop = [\"hostname",
            "unexpected value 'yes' for '--strict'",
        ),
    ] {
        let bench = planned(&[]);
        edit(&bench, from, to);
        let run = bench.run(["plan", "p.toml"]);
        let said = refusal(&run, 2);
        let (key, _) = to.split_once('\n').unwrap_or((to, ""));
        let line = 1 + text(&bench)
            .lines()
            .collect::<Vec<_>>()
            .iter()
            .rposition(|line| line.starts_with(key))
            .unwrap();
        let start = format!("error: line {line} of p.toml: ");
        assert!(said.starts_with(&start) && said.contains(want), "{to}: {said}");
    }
    let bench = planned(&[]);
    edit(&bench, "vcpus = 1", "vcpu = 1");
    assert!(bench.run(["plan", "p.toml"]).stderr.contains("did you mean 'vcpus'?"));
    edit(&bench, "schema = 1", "schema = 2");
    let want = "error: p.toml has the schema 2; this program reads schema 1";
    assert_eq!(refusal(&bench.run(["plan", "p.toml"]), 2), want);
}

#[test]
fn says_with_the_line_what_cannot_be() {
    for (from, to, want) in [
        ("bus = \"sata\"", "bus = \"vmpvscsi\"", "bus of disk0 cannot be 'vmpvscsi'"),
        ("bus = \"sata\"", "bus = \"ide\"", "bus of disk0 cannot be 'ide'"),
        (
            "file = \"demo-disk1.vmdk\"",
            "file = \"x\"",
            "file of disk0 is told by the source and cannot be edited",
        ),
        ("id = \"nic1\"", "id = \"nic7\"", "the machine has no network card with the id 'nic7'"),
        (
            "id = \"nic1\"",
            "id = \"nic7\"",
            "the machine 'demo' has nic1, which the plan file does not have",
        ),
        ("id = \"demo\"", "id = \"x\"", "the source has no machine with the id 'x'"),
    ] {
        let bench = planned(&[]);
        edit(&bench, from, to);
        let run = bench.run(["plan", "p.toml"]);
        assert_eq!(run.code, Some(6), "{run:?}");
        let all = format!("{}{}", run.stdout, run.stderr);
        assert!(all.contains(want) && all.contains("E0804"), "{to}: {all}");
        let run = bench.run(["convert", "p.toml", "-o", "out"]);
        // A blocker in the row of the item comes first, with its own code.
        let code =
            if to.contains("ide") { (4, "error[E0305]: ") } else { (6, "error[E0804]: line ") };
        assert!(refusal(&run, code.0).starts_with(code.1), "{run:?}");
        assert!(!bench.path("out").exists());
    }
}

#[test]
fn a_source_that_changed_is_refused_with_what_changed() {
    let bench = planned(&[]);
    bench.package("fixtures/demo.ova");
    for words in [&["plan", "p.toml"][..], &["convert", "p.toml", "-o", "out"]] {
        let run = bench.run(words);
        let path = bench.path("fixtures/demo.ova");
        let want = format!("error[E0803]: {} changed since the plan was made", path.display());
        assert_eq!(refusal(&run, 6), want);
        assert!(run.stderr.contains("the descriptor, the manifest"), "{run:?}");
    }
    std::fs::remove_file(bench.path("fixtures/demo.ova")).unwrap();
    let run = bench.run(["plan", "p.toml"]);
    assert!(refusal(&run, 8).starts_with("error[E0508]"), "{run:?}");
    assert!(!bench.path("out").exists());
}

#[test]
fn flags_beside_a_plan_file_are_refused_with_the_line_to_edit() {
    let bench = planned(&["--profile", "virtio", "--to", "dir:out"]);
    let line =
        |start: &str| 1 + text(&bench).lines().position(|line| line.starts_with(start)).unwrap();
    for (words, tip) in [
        (["--vcpus", "2"], "edit vcpus of [[machine]] in p.toml".to_owned()),
        (["--profile", "compat"], format!("edit line {} of p.toml: profile", line("profile"))),
        (["--ignore", "sound"], "write it into p.toml, below [choices]: ignore = …".to_owned()),
        (["--to", "dir:b"], format!("edit line {} of p.toml: target", line("target"))),
    ] {
        let run = bench.run(["plan", "p.toml"].iter().chain(&words));
        assert!(refusal(&run, 2).starts_with(&format!("error: {}", words[0])), "{run:?}");
        assert!(run.stderr.contains(&tip), "{tip}: {run:?}");
    }
    let run = bench.run(["convert", "p.toml", "-o", "other", "--jobs", "1", "--dry-run"]);
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[test]
fn no_secret_comes_to_lie_in_a_plan_file() {
    let bench = Bench::empty();
    bench.write("x.ovf", &std::fs::read(Path::new(FIXTURES).join("properties.ovf")).unwrap());
    let key = "net.password.0";
    let typed = format!("{key}=hunter2-hunter2");
    let run = bench.run(["plan", "x.ovf", "-o", "p.toml", "--prop", &typed]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(!run.stderr.contains("hunter2") && !bench.path("p.toml").exists(), "{run:?}");
    bench.write("secret", b"hunter2-hunter2\n");
    let typed = format!("{key}=@secret");
    bench.run(["plan", "x.ovf", "-o", "p.toml", "--prop", &typed]);
    let written = text(&bench);
    assert!(!written.contains("hunter2"), "{written}");
    let place = format!("{key}=@{}", bench.path("secret").display());
    assert!(written.contains(&place), "{written}");
}

#[test]
fn a_plan_file_is_never_replaced_and_a_pipe_has_none() {
    let bench = planned(&[]);
    let before = bench.read("p.toml");
    let run = bench.run(["plan", "fixtures/demo.ova", "-o", "p.toml"]);
    assert!(refusal(&run, 8).starts_with("error[E0509]"), "{run:?}");
    assert_eq!(bench.read("p.toml"), before);
    let run = bench.shell("cat fixtures/demo.ova | relift plan - -o q.toml");
    assert_eq!(refusal(&run, 2), "error: a plan file needs a source that can be read again");
    assert_eq!(bench.files(""), ["disk.vmdk", "fixtures/demo.ova", "p.toml"]);
}

/// A folder with a backup of three points, and a plan file of one of them.
fn planned_backup(source: &str) -> Bench {
    let bench = Bench::empty();
    points::write(&bench.path("web01.tar"), Form::Tar);
    let run = bench.run(["plan", source, "--to", "dir:out", "-o", "p.toml"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), "plan written to p.toml\n"));
    bench
}

#[test]
fn the_plan_file_of_a_backup_is_replayed_for_the_point_that_it_was_made_of() {
    for (source, mebibytes) in [("web01.tar", 258), ("web01.tar@20261122-190500", 257)] {
        let bench = planned_backup(source);
        let first = bench.run(["plan", source, "--to", "dir:out", "--json"]);
        let second = bench.run(["plan", "p.toml", "--json"]);
        assert_eq!(document(&second), document(&first), "{source}");
        let run = bench.run(["restore", "p.toml"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        let domain = String::from_utf8(bench.read("out/domain.xml")).unwrap();
        assert!(domain.contains(&format!(">{mebibytes}<")), "{domain}");
        assert!(!bench.read("out/web01-vda.qcow2").is_empty());
    }
}

#[test]
fn of_a_backup_its_identity_can_be_edited_and_its_hardware_stays() {
    let bench = planned_backup("web01.tar");
    let uuid = "00000000-0000-4000-8000-000000000001";
    edit(&bench, "name = \"web01\"", "name = \"other\"");
    edit(&bench, "uuid = \"", &format!("uuid = \"{uuid}\" #"));
    let machine = replayed(&bench);
    assert_eq!((&machine["name"], &machine["uuid"]), (&"other".into(), &uuid.into()));
    edit(&bench, "vcpus = 1", "vcpus = 4");
    let run = bench.run(["restore", "p.toml"]);
    let want = "cannot be '4': with the rest of the file it becomes '1'";
    let refused = refusal(&run, 6);
    assert!(refused.starts_with("error[E0804]: line ") && refused.ends_with(want), "{refused}");
    assert_eq!(bench.files("out"), [""; 0]);
    edit(&bench, "vcpus = 4", "vcpus = 1");
    edit(&bench, "id = \"web01\"", "id = \"web02\"");
    let refused = bench.run(["restore", "p.toml"]);
    let refused = refused.stderr.lines().next().unwrap();
    assert!(refused.ends_with("the source has no machine with the id 'web02'"), "{refused}");
}

#[test]
fn what_takes_the_place_of_a_machine_is_no_matter_of_a_plan_file() {
    let bench = planned_backup("web01.tar");
    for flag in [&["--in-place"][..], &["--disk", "vda"]] {
        let run = bench.run(["restore", "p.toml"].iter().chain(flag));
        let want = format!("error: {} is for a backup, and a plan file was given", flag[0]);
        assert_eq!(refusal(&run, 2), want);
        assert!(run.stderr.contains("looked at when it is done"), "{}", run.stderr);
    }
}
