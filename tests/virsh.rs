//! A host that lies in files: a script plays virsh before it, so that it is the same everywhere.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use crate::bench::{Bench, RELIFT, Run};

/// The folder of the bench that the host lies in, with the script.
const HOST: &str = "host";

/// A bench with a host in reach: it has the pool `images` and the network `default`.
pub(crate) struct Hosted {
    pub(crate) bench: Bench,
}

impl Hosted {
    /// A host without machines, and the demo appliance as `fixtures/demo.ova`.
    pub(crate) fn new() -> Self {
        Self::beside(Bench::new())
    }

    /// A host without machines beside what the bench has.
    pub(crate) fn beside(bench: Bench) -> Self {
        fs::create_dir_all(bench.path("host/images")).unwrap();
        bench.write("host/virsh", include_bytes!("virsh.sh"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(bench.path("host/virsh"), mode).unwrap();
        Self { bench }
    }

    /// Disturbs the host by a file of the script: `refuse`, `kill` or `linger`.
    pub(crate) fn set(&self, what: &str, text: &str) {
        self.bench.write(&format!("{HOST}/{what}"), format!("{text}\n").as_bytes());
    }

    /// Leaves the host alone again.
    pub(crate) fn unset(&self, what: &str) {
        fs::remove_file(self.bench.path(&format!("{HOST}/{what}"))).unwrap();
    }

    /// A program with the host in reach.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = self.bench.command(program);
        let path = format!("{}:/usr/bin:/bin", self.bench.path(HOST).display());
        command.env("PATH", path).env_remove("RELIFT_OFFLINE").env_remove("LIBVIRT_DEFAULT_URI");
        command
    }

    /// Runs the program with the words of a line; the bench is called `/bench` in what it says.
    pub(crate) fn run(&self, line: &str) -> Run {
        let mut command = self.command(RELIFT);
        command.args(line.split(' '));
        let run = Run::of(&command.output().unwrap());
        let folder = self.bench.path("").display().to_string();
        let named = |text: &str| text.replace(folder.trim_end_matches('/'), "/bench");
        Run { code: run.code, stdout: named(&run.stdout), stderr: named(&run.stderr) }
    }

    /// The definitions of the machines.
    pub(crate) fn machines(&self) -> Vec<String> {
        let names = self.bench.files("host/machines");
        names.iter().map(|name| String::from_utf8(self.bench.read(name)).unwrap()).collect()
    }

    /// The files of the pool, snapshots, machines and running machines that are there.
    pub(crate) fn holds(&self, what: &str) -> Vec<String> {
        let below = format!("{HOST}/{what}/");
        let files = self.bench.files(&format!("{HOST}/{what}"));
        files.iter().map(|file| file.replace(&below, "")).collect()
    }

    /// The acts of the host so far, without their words.
    pub(crate) fn acts(&self) -> Vec<String> {
        let said = fs::read_to_string(self.bench.path("host/said")).unwrap_or_default();
        said.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }

    /// Nothing was brought to the host, or everything was taken back.
    pub(crate) fn is_empty(&self) -> bool {
        ["machines", "snapshots", "active", "images"].iter().all(|what| self.holds(what).is_empty())
    }
}
