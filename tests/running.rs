//! Backups of a machine that runs: qemu-nbd serves its disk, and a script plays the host.

use serde_json::Value;

use crate::{
    bench::{Bench, RELIFT, Run},
    virsh::Hosted,
};

pub(crate) const UUID: &str = "5b1c0000-0000-4000-8000-000000000001";

/// 21 November 2026, 19:05:00 UTC.
const THEN: u64 = 1_795_287_900;

const IDS: [&str; 2] = ["20261121-190500", "20261122-190500"];

/// A host with the machine web01, which runs, and whose disk has 4 MiB.
pub(crate) struct Running {
    pub(crate) host: Hosted,
}

impl Running {
    /// `None`, said aloud, where QEMU's tools are not installed.
    pub(crate) fn new() -> Option<Self> {
        for tool in ["qemu-nbd", "qemu-img", "qemu-io"] {
            testkit::oracle(tool, ["--version"])?;
        }
        let host = Hosted::beside(Bench::empty());
        for folder in ["host/machines", "host/active", "out"] {
            std::fs::create_dir(host.bench.path(folder)).unwrap();
        }
        let image = host.bench.path("host/images/vda.qcow2").display().to_string();
        let machine = format!(
            "<domain type='qemu'><name>web01</name><uuid>{UUID}</uuid><memory unit='MiB'>16</memory>\
             <vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>\
             <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
             <source file='{image}'/><target dev='vda' bus='virtio'/></disk></devices></domain>\n"
        );
        host.bench.write(&format!("host/machines/{UUID}.xml"), machine.as_bytes());
        host.bench.write(&format!("host/active/{UUID}"), b"");
        let running = Self { host };
        running.shell("qemu-img create -q -f qcow2 host/images/vda.qcow2 4M");
        running.write("write -q -P 1 0 256k");
        Some(running)
    }

    pub(crate) fn shell(&self, line: &str) -> String {
        let run = self.host.bench.shell(line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        run.stdout
    }

    /// What the guest does to its disk, in the words of qemu-io.
    fn write(&self, act: &str) {
        self.shell(&format!("qemu-io -f qcow2 -c '{act}' host/images/vda.qcow2"));
    }

    /// Runs the program some days after the first run; the bench is called `/bench` in what it says.
    pub(crate) fn run(&self, line: &str, days: u64) -> Run {
        let mut command = self.host.command(RELIFT);
        command.args(line.split(' ')).env("SOURCE_DATE_EPOCH", (THEN + days * 86_400).to_string());
        let run = Run::of(&command.output().unwrap());
        let folder = self.host.bench.path("").display().to_string();
        let named = |text: &str| text.replace(folder.trim_end_matches('/'), "/bench");
        Run { code: run.code, stdout: named(&run.stdout), stderr: named(&run.stderr) }
    }

    pub(crate) fn done(&self, line: &str, days: u64) -> Run {
        let run = self.run(line, days);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        run
    }

    /// The points of the one bundle are these, and each gives back what the image was then.
    fn restores(&self, ids: &[&str], at: &str) {
        let file = "out/web01-20261121-190500.tar";
        let points = self.done(&format!("backup show {file}"), 9).stdout;
        for id in IDS {
            assert_eq!(points.contains(id), ids.contains(&id), "{at}: {points}");
        }
        self.done(&format!("backup verify --level deep {file}"), 9);
        for id in ids {
            self.done(&format!("restore {file}@{id} --to dir:back-{id}"), 9);
            let image = self.shell(&format!("find back-{id} -name '*.qcow2'"));
            let image = image.trim();
            self.shell(&format!("qemu-img compare -q {image} then-{id}.qcow2"));
            std::fs::remove_dir_all(self.host.bench.path(&format!("back-{id}"))).unwrap();
        }
    }

    /// Keeps a copy of the image beside.
    fn keep(&self, id: &str) {
        self.shell(&format!("qemu-img convert -O qcow2 host/images/vda.qcow2 then-{id}.qcow2"));
    }

    /// The first point, and a guest that has written since.
    fn begun(&self) {
        self.keep(IDS[0]);
        self.done("backup create web01 --storage out --incrementable", 0);
        self.write("write -q -P 2 1M 64k");
        self.write("write -q -z 64k 64k");
        self.keep(IDS[1]);
    }

    /// Nothing of a run is left on the host; the checkpoints are these.
    fn holds(&self, checkpoints: usize, at: &str) {
        let left =
            [self.host.holds("backups"), self.host.bench.files("host/images/.relift-5b1c00000000")];
        assert!(left.iter().all(Vec::is_empty), "{at}: {left:?}");
        assert_eq!(self.host.holds("checkpoints").len(), checkpoints, "{at}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A server that a failed test has left.
        let pid = self.host.bench.path(&format!("host/backups/{UUID}.pid"));
        if pid.exists() {
            self.host.bench.shell(&format!("kill $(cat {})", pid.display()));
        }
    }
}

#[test]
fn a_point_and_its_increment_are_told_listed_verified_and_restored() {
    let Some(running) = Running::new() else { return };
    let line = "backup create web01 --storage out --incrementable --dry-run";
    insta::assert_snapshot!("dry_run", without_room(&running.done(line, 0).stdout));
    assert_eq!(running.host.bench.files("out"), [""; 0]);
    assert_eq!(running.host.acts(), [""; 0]);
    running.begun();
    running.holds(1, "full");
    let line = "backup create web01 --storage out --mode incremental --json";
    let mut told: Value = serde_json::from_str(&running.done(line, 1).stdout).unwrap();
    assert_eq!(told["schema"], "relift.backup.create/1", "{told}");
    let backup = &mut told["data"]["backups"][0];
    for bytes in ["file_bytes", "added_bytes"] {
        assert!(backup[bytes].as_u64().unwrap() > 0);
        backup[bytes] = Value::from("BYTES");
    }
    insta::assert_snapshot!("create_json", serde_json::to_string_pretty(&told["data"]).unwrap());
    running.holds(1, "increment");
    running.restores(&IDS, "at the end");
    let listed = running.done("backup list --storage out", 9).stdout;
    assert!(listed.contains("web01-20261121-190500"), "{listed}");
}

#[test]
fn a_file_that_is_there_is_neither_replaced_nor_given_points_of_another_machine() {
    let Some(running) = Running::new() else { return };
    crate::points::write(&running.host.bench.path("theirs.tar"), bundle::Form::Tar);
    let before = running.host.bench.read("theirs.tar");
    for (mode, exit, said) in [
        ("auto", 8, "error[E0509]: theirs.tar is there already"),
        ("full", 8, "error[E0509]: theirs.tar is there already"),
        ("incremental", 4, "error[E0606]: theirs.tar is no backup of web01"),
    ] {
        let run = running.run(&format!("backup create web01 -o theirs.tar --mode {mode}"), 1);
        assert_eq!(run.code, Some(exit), "{run:?}");
        assert!(run.stderr.starts_with(said), "{run:?}");
    }
    let run = running.run("backup create web01 -o none.tar --mode incremental", 1);
    assert!(run.stderr.starts_with("error[E0606]: no increment is possible"), "{run:?}");
    assert_eq!(running.host.acts(), [""; 0], "the machine was not touched");
    assert_eq!(running.host.bench.read("theirs.tar"), before);
}

/// The text without the room that the disk of the test has.
fn without_room(text: &str) -> String {
    let is_room = |word: &str| word.ends_with("iB free)");
    let mut said = String::new();
    for line in text.lines() {
        let end = line.rfind(['(', ';']).filter(|_| is_room(line));
        said.push_str(end.map_or(line, |end| &line[..end]).trim_end());
        said.push('\n');
    }
    said
}

#[test]
fn a_run_that_is_killed_at_any_act_of_the_host_leaves_the_old_point_and_the_next_run_recovers() {
    let mut killed = 0;
    for act in ["backup-begin", "domjobabort", "checkpoint-delete"] {
        for when in ["before", "after"] {
            let Some(running) = Running::new() else { return };
            let at = format!("{when} {act}");
            running.begun();
            // The first run had one of each but the last.
            let earlier = u8::from(act != "checkpoint-delete");
            running.host.set("kill", &format!("{at} {earlier}"));
            let line = "backup create web01 --storage out --mode auto";
            let run = running.run(line, 1);
            assert_eq!(run.code, None, "{at}: {run:?}");
            running.host.unset("kill");
            // Up to the last act the new point is not there, and the run is done again.
            let is_published = act == "checkpoint-delete";
            running.restores(if is_published { &IDS } else { &IDS[..1] }, &at);
            let again = running.done(line, if is_published { 2 } else { 1 });
            let is_told = again.stdout.contains("which an interrupted run had left");
            assert!(is_told || is_published, "{at}: {again:?}");
            assert!(again.stdout.contains(", incremental while running"), "{at}: {again:?}");
            running.holds(1, &at);
            running.restores(&IDS, &at);
            killed += 1;
        }
    }
    assert_eq!(killed, 6);
}
