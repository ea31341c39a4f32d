//! `restore --in-place` and `--disk` on a host of files: what is replaced, what is kept, and what is there
//! after a kill at any moment.

use std::{fs, path::Path};

use bundle::Form;

use crate::{
    bench::Bench,
    crashes::{Fault, at_every_one_of},
    points,
    tracing::can_trace,
    virsh::Hosted,
};

const UUID: &str = "5b1c0000-0000-4000-8000-000000000001";
const LINE: &str = "restore web01.tar@20261121-190500 --pool images --jobs 1 --in-place --yes";
const DISK: &str = "host/images/web01-vda.qcow2";
const BEFORE: &str = ".before-20261121-190500";
const OLD: &[u8] = b"what the machine wrote since";

/// A host with the machine of a backup, which is off, has one disk more and was backed up since.
struct Stage {
    host: Hosted,
    folder: String,
}

impl Stage {
    fn new() -> Self {
        let host = Hosted::beside(Bench::empty());
        points::write(&host.bench.path("web01.tar"), Form::Tar);
        let folder = host.bench.path("host/images").display().to_string();
        let stage = Self { host, folder };
        stage.set_up();
        stage
    }

    /// Makes the machine what it was.
    fn set_up(&self) {
        for what in ["machines", "checkpoints", "images", "active"] {
            let folder = self.host.bench.path(&format!("host/{what}"));
            drop(fs::remove_dir_all(&folder));
            fs::create_dir(&folder).unwrap();
        }
        self.host.bench.write(DISK, OLD);
        self.host.bench.write("host/images/data.qcow2", b"data");
        let disk = |target: &str, name: &str| {
            format!(
                "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
                 <source file='{}/{name}'/><target dev='{target}' bus='virtio'/></disk>",
                self.folder
            )
        };
        let disks = disk("vda", "web01-vda.qcow2") + &disk("vdb", "data.qcow2");
        let xml = format!(
            "<domain type='kvm'>\n<name>web01</name>\n<uuid>{UUID}</uuid>\n\
             <memory unit='MiB'>999</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>{disks}</devices></domain>\n"
        );
        self.host.bench.write(&format!("host/machines/{UUID}.xml"), xml.as_bytes());
        let checkpoint = "<domaincheckpoint>\n<name>relift-1</name>\n</domaincheckpoint>\n";
        let path = format!("host/checkpoints/{UUID}.000.relift-1.xml");
        self.host.bench.write(&path, checkpoint.as_bytes());
        self.host.bench.write("host/said", b"");
    }

    /// The definition of the machine.
    fn xml(&self) -> String {
        let [xml] = self.host.machines().try_into().unwrap();
        xml
    }

    /// The bytes of the disk `vda`, wherever the definition has it.
    fn system(&self) -> Vec<u8> {
        let xml = self.xml();
        let path = xml.split("<source file=").nth(1).unwrap().split(['\'', '"']).nth(1).unwrap();
        fs::read(Path::new(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}

#[test]
fn the_machine_is_replaced_and_what_it_was_is_kept() {
    let stage = Stage::new();
    let dry = stage.host.run(&LINE.replace("--yes", "--dry-run"));
    assert_eq!(dry.code, Some(0), "{dry:?}");
    for said in ["old disk vda", BEFORE, "next backup is a full one", "old disk vdb"] {
        assert!(dry.stdout.contains(said), "{said}: {}", dry.stdout);
    }
    assert_eq!(stage.host.acts(), [""; 0]);
    let run = stage.host.run(LINE);
    assert_eq!(run.code, Some(0), "{run:?}");
    let acts = ["define", "pool-refresh", "checkpoint-delete", "define"];
    assert_eq!(stage.host.acts(), acts);
    let kept = [format!("web01-vda.qcow2{BEFORE}"), format!("web01{BEFORE}.xml")];
    let [disk, xml] = &kept;
    let there = stage.host.holds("images");
    assert_eq!(there, ["data.qcow2", "web01-vda.qcow2", disk, xml]);
    assert_eq!(stage.host.bench.read(&format!("host/images/{disk}")), OLD);
    for name in &kept {
        assert!(run.stdout.contains(name.as_str()), "{}", run.stdout);
    }
    let now = stage.xml();
    assert!(now.contains(UUID) && now.contains("256") && !now.contains("data.qcow2"), "{now}");
    assert!(stage.system().starts_with(b"QFI\xfb"));
    assert!(stage.host.holds("checkpoints").is_empty());
}

/// The definition that is kept brings the old machine back.
#[test]
fn what_is_kept_is_a_machine_that_can_be_defined_again() {
    let stage = Stage::new();
    assert_eq!(stage.host.run(LINE).code, Some(0));
    let kept = stage.host.bench.read(&format!("host/images/web01{BEFORE}.xml"));
    stage.host.bench.write(&format!("host/machines/{UUID}.xml"), &kept);
    assert_eq!(stage.system(), OLD);
    assert!(stage.xml().contains("999"));
}

#[test]
fn without_a_safety_snapshot_the_old_disk_goes_and_json_names_nothing() {
    let stage = Stage::new();
    let run = stage.host.run(&format!("{LINE} --no-safety-snapshot --json"));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(stage.host.holds("images"), ["data.qcow2", "web01-vda.qcow2"]);
    assert!(run.json()["data"]["machines"][0]["kept_before"].is_null());
    stage.set_up();
    let run = stage.host.run(&format!("{LINE} --json"));
    let kept = &run.json()["data"]["machines"][0]["kept_before"];
    assert_eq!(kept.as_array().map(Vec::len), Some(2), "{kept}");
}

#[test]
fn a_chosen_disk_comes_back_and_the_machine_stays_what_it_is() {
    let stage = Stage::new();
    let run = stage.host.run(&format!("{LINE} --disk vda"));
    assert_eq!(run.code, Some(0), "{run:?}");
    let now = stage.xml();
    assert!(now.contains("999") && now.contains("data.qcow2"), "{now}");
    assert!(stage.system().starts_with(b"QFI\xfb"));
    let run = stage.host.run(&format!("{LINE} --disk vdx"));
    assert_eq!(run.code, Some(13), "{run:?}");
    assert!(run.stderr.starts_with("error[E0505]: the backup has no disk vdx\n"), "{run:?}");
}

#[test]
fn a_machine_that_is_on_or_that_nobody_agreed_to_lose_is_left_alone() {
    let stage = Stage::new();
    let run = stage.host.run(LINE.trim_end_matches(" --yes"));
    let want = "error: the name web01 has to be typed, and standard input is no terminal";
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains(want), "{}", run.stderr);
    stage.host.bench.write(&format!("host/active/{UUID}"), b"");
    let run = stage.host.run(LINE);
    assert!(run.stderr.contains("error[E0510]: the machine web01 is on\n"), "{}", run.stderr);
    fs::remove_dir_all(stage.host.bench.path("host/machines")).unwrap();
    let run = stage.host.run(LINE);
    let want = "error[E0505]: qemu:///system has no machine web01 whose place could be taken\n";
    assert!(run.stderr.contains(want), "{}", run.stderr);
    for (line, want) in [
        ("restore web01.tar --to dir:out --in-place", "--in-place is for a host"),
        ("restore web01.tar --in-place --name other", "cannot be used with"),
        ("restore web01.tar --no-safety-snapshot", "--in-place"),
    ] {
        let run = stage.host.run(line);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(want), "{}", run.stderr);
    }
    assert_eq!(stage.host.acts(), [""; 0]);
    assert_eq!(stage.host.bench.read(DISK), OLD);
}

#[test]
fn a_host_that_refuses_leaves_the_old_machine_whole() {
    let stage = Stage::new();
    let before = (stage.xml(), stage.host.holds("checkpoints"), stage.host.holds("images"));
    for act in ["define", "pool-refresh", "checkpoint-delete"] {
        stage.host.set("refuse", &format!("{act} no"));
        let run = stage.host.run(LINE);
        assert!(run.code.is_some_and(|code| code > 1), "{act}: {run:?}");
        stage.host.unset("refuse");
        let after = (stage.host.holds("checkpoints"), stage.host.holds("images"));
        assert_eq!(after, (before.1.clone(), before.2.clone()), "{act}");
        assert_eq!(stage.system(), OLD, "{act}");
        // A host that refuses every definition keeps the one that it took last.
        assert_eq!(stage.xml(), before.0, "{act}");
    }
}

/// What is there after a kill is the old machine or the new one, and the next run succeeds.
fn after_a_kill(stage: &Stage, new: &[u8], at: &str) {
    let system = stage.system();
    let (is_old, is_new) = (system == OLD, system == new);
    assert!(is_old || is_new, "{at}: a disk of neither machine: {:?}", stage.host.holds("images"));
    assert_eq!(stage.xml().contains("999"), is_old, "{at}: the definition is the other's");
    let again = stage.host.run(LINE);
    assert_eq!(again.code, Some(0), "{at}: {again:?}");
    assert!(stage.system() == new, "{at}");
    stage.set_up();
}

#[test]
fn a_kill_at_any_act_of_the_host_leaves_the_old_machine_or_the_new_one() {
    let stage = Stage::new();
    assert_eq!(stage.host.run(LINE).code, Some(0));
    let (acts, new) = (stage.host.acts(), stage.system());
    stage.set_up();
    for (number, act) in acts.iter().enumerate() {
        for when in ["before", "after"] {
            let at = format!("{when} {act}");
            let earlier = acts[..number].iter().filter(|one| *one == act).count();
            stage.host.set("kill", &format!("{at} {earlier}"));
            let run = stage.host.run(LINE);
            assert_eq!(run.code, None, "{at}: {run:?}");
            stage.host.unset("kill");
            after_a_kill(&stage, &new, &at);
        }
    }
}

#[test]
fn a_kill_at_any_call_leaves_the_old_machine_or_the_new_one() {
    if !can_trace() {
        return;
    }
    let stage = Stage::new();
    assert_eq!(stage.host.run(LINE).code, Some(0));
    let new = stage.system();
    stage.set_up();
    let killed = at_every_one_of(
        &["linkat", "unlink", "renameat2", "fsync"],
        || stage.host.command("strace"),
        (LINE, Fault::Kill),
        |at, run| {
            assert!(run.code.is_none() || run.code == Some(0), "{at}: {run:?}");
            after_a_kill(&stage, &new, at);
        },
    );
    assert!(killed > 5, "only {killed} runs were killed");
}
