//! A machine that runs, or is off: qemu-nbd serves its disk, and a script plays its host.

use std::process::{Command, Output};

use crate::{
    bench::{Bench, RELIFT, Run},
    virsh::Hosted,
};

/// The machine web01.
pub(crate) const UUID: &str = "5b1c0000-0000-4000-8000-000000000001";

/// 21 November 2026, 19:05:00 UTC.
pub(crate) const THEN: u64 = 1_795_287_900;

/// From one day to the next.
pub(crate) const DAY: u64 = 86_400;

/// The points of the first two days.
pub(crate) const IDS: [&str; 2] = ["20261121-190500", "20261122-190500"];

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
        host.bench.write(&format!("host/active/{UUID}"), b"running");
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
    pub(crate) fn write(&self, act: &str) {
        self.shell(&format!("qemu-io -f qcow2 -c '{act}' host/images/vda.qcow2"));
    }

    /// Runs the program some days after the first run; the bench is called `/bench` in what it says.
    pub(crate) fn run(&self, line: &str, days: u64) -> Run {
        self.run_at(line, THEN + days * DAY)
    }

    /// The same at a time in seconds since 1970.
    pub(crate) fn run_at(&self, line: &str, unix_seconds: u64) -> Run {
        self.heard(&self.command(line, unix_seconds).output().unwrap())
    }

    /// The program with the host in reach, at a time in seconds since 1970.
    pub(crate) fn command(&self, line: &str, unix_seconds: u64) -> Command {
        let mut command = self.host.command(RELIFT);
        command.args(line.split(' ')).env("SOURCE_DATE_EPOCH", unix_seconds.to_string());
        command
    }

    /// What a run left, where the bench is called `/bench`.
    pub(crate) fn heard(&self, output: &Output) -> Run {
        let run = Run::of(output);
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
    pub(crate) fn restores(&self, ids: &[&str], at: &str) {
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

    /// Turns the machine off.
    pub(crate) fn turn_off(&self) {
        self.host.unset(&format!("active/{UUID}"));
    }

    /// Keeps a copy of the image beside.
    pub(crate) fn keep(&self, id: &str) {
        self.shell(&format!("qemu-img convert -O qcow2 host/images/vda.qcow2 then-{id}.qcow2"));
    }

    /// The first point, and a guest that has written since.
    pub(crate) fn begun(&self) {
        self.keep(IDS[0]);
        self.done("backup create web01 --storage out --incrementable", 0);
        self.write("write -q -P 2 1M 64k");
        self.write("write -q -z 64k 64k");
        self.keep(IDS[1]);
    }

    /// Nothing of a run is left on the host; the checkpoints are these.
    pub(crate) fn holds(&self, checkpoints: usize, at: &str) {
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
