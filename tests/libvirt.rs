//! A real libvirt: what is defined there is what was planned, and it runs.
//!
//! They run where `qemu:///system` answers: with `RELIFT_REQUIRE_LIBVIRT=1` it has to, with
//! `RELIFT_REQUIRE_LIBVIRT=0` they do not ask.

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant, SystemTime},
};

use bundle::Form;

use crate::{
    bench::{Bench, RELIFT, Run},
    tree,
};

/// What the demo machine prints on its serial console.
const BOOTED: &str = "relift demo: booted";

/// How long the emulated demo machine is listened to before it is reset: what it says before
/// somebody listens is lost.
const LISTEN: Duration = Duration::from_secs(20);

/// The longest that it may take in all.
const PATIENCE: Duration = Duration::from_secs(120);

/// A machine of the host and the folder of its disks; both are gone when the test is over.
pub(crate) struct Lab {
    pub(crate) bench: Bench,
    pub(crate) name: String,
    storage: tempfile::TempDir,
}

impl Lab {
    /// A name that nobody has; `None`, and a word about it, where no libvirt answers.
    pub(crate) fn new(bench: Bench, test: &str) -> Option<Self> {
        if skips(&bench) {
            return None;
        }
        // The user of QEMU must get to the disks.
        let storage = tempfile::tempdir_in("/var/tmp").unwrap();
        fs::set_permissions(storage.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let name = format!("relift-test-{test}-{}", std::process::id());
        Some(Self { bench, name, storage })
    }

    /// Runs the program with the host in reach.
    pub(crate) fn run(&self, line: &str) -> Run {
        let mut command = self.bench.command(RELIFT);
        command.args(line.split(' ')).env_remove("RELIFT_OFFLINE");
        command.env("RELIFT_STATE_DIR", self.bench.path("state"));
        let run = Run::of(&command.output().unwrap());
        assert!(run.code != Some(1), "{run:?}");
        run
    }

    /// The flags that send a machine here.
    fn target(&self) -> String {
        let storage = self.storage.path().display();
        format!("--to libvirt:qemu:///system --storage {storage} --name {}", self.name)
    }

    /// What virsh says; the name of the machine is its last word.
    pub(crate) fn virsh(&self, words: &str) -> Run {
        self.bench.shell(&format!("timeout 60 virsh -q -c qemu:///system {words} {}", self.name))
    }

    pub(crate) fn told(&self, words: &str) -> String {
        let run = self.virsh(words);
        assert_eq!(run.code, Some(0), "{words}: {run:?}");
        run.stdout
    }

    pub(crate) fn disk(&self, name: &str) -> PathBuf {
        self.storage.path().join(name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.virsh("destroy");
        self.virsh("undefine --nvram --snapshots-metadata");
    }
}

/// Whether there is no libvirt for a test, and says why.
pub(crate) fn skips(bench: &Bench) -> bool {
    let why = silence(bench);
    if let Some(why) = &why {
        skip(why);
    }
    why.is_some()
}

/// Says that a test is skipped.
pub(crate) fn skip(why: &str) {
    // Not `eprintln`, which a passing test keeps to itself.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "skipped: {why}").unwrap();
}

/// Why there is no libvirt for these tests, if there is none.
fn silence(bench: &Bench) -> Option<String> {
    let wish = std::env::var("RELIFT_REQUIRE_LIBVIRT").unwrap_or_default();
    if wish == "0" {
        return Some("RELIFT_REQUIRE_LIBVIRT is 0".to_owned());
    }
    let asked = bench.shell("timeout 5 virsh -c qemu:///system version");
    if asked.code == Some(0) {
        return None;
    }
    let why = format!("no libvirt answers at qemu:///system: {}", asked.stderr.trim());
    assert!(wish != "1", "{why}, and RELIFT_REQUIRE_LIBVIRT is 1");
    Some(why)
}

/// Somebody who listens to the serial console of a machine.
struct Console {
    child: Child,
    said: Receiver<Vec<u8>>,
    heard: String,
}

impl Console {
    fn of(lab: &Lab) -> Self {
        // virsh wants a terminal.
        let mut command = lab.bench.command("script");
        let console = format!("virsh -c qemu:///system console --force {}", lab.name);
        command.args(["-qec", &console, "/dev/null"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = child.stdout.take().unwrap();
        let (tell, said) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = out.read(&mut piece) {
                if tell.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, said, heard: String::new() }
    }

    /// Whether the text is heard in this time.
    fn hears(&mut self, text: &str, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while !self.heard.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(said) = self.said.recv_timeout(left) else { return false };
            self.heard.push_str(&String::from_utf8_lossy(&said));
        }
        true
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The lines of a document that hold one of these.
fn lines_with(xml: &str, marks: &[&str]) -> Vec<String> {
    let plain = |line: &str| line.trim().replace('\'', "\"");
    let found = xml.lines().map(plain).filter(|line| marks.iter().any(|mark| line.contains(mark)));
    found.collect()
}

/// The end of a UUID that no machine of the host has: not that of a run that was killed, either.
fn unused() -> [u8; 3] {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let [_, end @ ..] = now.subsec_micros().to_be_bytes();
    end
}

#[test]
fn the_demo_boots_as_the_machine_that_was_planned() {
    let Some(lab) = Lab::new(Bench::new(), "demo") else { return };
    let settings = "--net user --virt-type qemu --prop hostname=demo";
    let line = format!("import fixtures/demo.ova {} {settings} --start", lab.target());
    let run = lab.run(&line);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(lab.told("domstate").trim(), "running");
    let mut console = Console::of(&lab);
    let begun = Instant::now();
    while !console.hears(BOOTED, LISTEN) {
        assert!(begun.elapsed() < PATIENCE, "heard only {:?}", console.heard);
        lab.told("reset");
    }
    let (name, out) = (&lab.name, "--offline -o out");
    let planned = format!("convert fixtures/demo.ova --name {name} {settings} {out}");
    assert_eq!(lab.run(&planned).code, Some(0));
    let planned = String::from_utf8(lab.bench.read("out/domain.xml")).unwrap();
    let defined = lab.told("dumpxml --inactive");
    let marks = ["<name>", "<uuid>", "<mac address="];
    assert_eq!(lines_with(&defined, &marks), lines_with(&planned, &marks));
    let disk = lab.disk(&format!("{name}-disk0.qcow2"));
    assert!(lines_with(&defined, &["<source file="])[0].contains(&disk.display().to_string()));
    let again = lab.run(&line);
    assert_eq!(again.code, Some(7), "{again:?}");
    let said = format!("error[E0503]: qemu:///system has a machine called {name} already\n");
    assert!(again.stderr.contains(&said), "{again:?}");
    assert_eq!(lab.told("domstate").trim(), "running");
}

#[test]
fn a_backup_comes_back_with_a_tree_that_libvirt_shows() {
    let Some(lab) = Lab::new(Bench::empty(), "tree") else { return };
    let backup = tree::write(&lab.bench, Form::TarZst);
    let run = lab.run(&format!("restore {backup} {}", lab.target()));
    assert_eq!(run.code, Some(0), "{run:?}");
    let shown = lab.told("snapshot-list --tree");
    let is_name = |line: &&str| line.contains(char::is_alphabetic);
    let shown: Vec<&str> = shown.lines().map(str::trim).filter(is_name).collect();
    assert_eq!(shown, ["fresh", "+- kept", "+- tried"]);
    // QEMU opens the whole chain of the disk.
    lab.told("start");
    assert_eq!(lab.told("domstate").trim(), "running");
}

#[test]
fn a_machine_with_snapshots_is_replaced_keeps_its_name_and_starts() {
    let Some(lab) = Lab::new(Bench::empty(), "replaced") else { return };
    let backup = tree::write_as(&lab.bench, Form::Tar, unused());
    let run = lab.run(&format!("restore {backup} {} --uuid keep --mac keep", lab.target()));
    assert_eq!(run.code, Some(0), "{run:?}");
    let before = lab.told("dumpxml --inactive");
    let storage = lab.storage.path().display();
    let line = format!(
        "restore {backup} --to libvirt:qemu:///system --storage {storage} --in-place --yes"
    );
    let run = lab.run(&line);
    assert_eq!(run.code, Some(0), "{run:?}");
    let marks = ["<name>", "<uuid>", "<mac address=", "<source file="];
    let now = lab.told("dumpxml --inactive");
    assert_eq!(lines_with(&now, &marks), lines_with(&before, &marks));
    let names = fs::read_dir(lab.storage.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let kept = names.filter(|name| name.to_string_lossy().contains(".before-")).count();
    assert_eq!(kept, 2, "the old disk and the old definition");
    for name in ["fresh", "kept", "tried"] {
        assert!(lab.told("snapshot-list --name").contains(name), "{name}");
    }
    lab.told("start");
    let run = lab.run(&line);
    assert!(run.stderr.contains("error[E0510]: the machine "), "{run:?}");
    assert_eq!(lab.told("domstate").trim(), "running");
}
