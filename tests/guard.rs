//! The process that thaws a machine when the one that froze it is killed, hangs or takes too long.
//!
//! A script plays virsh and notes what it is told.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use host::guard::{Guard, Outcome};
use rustix::process::{Pid, Signal, kill_process_group};
use vm::Uuid;

use crate::bench::{Bench, RELIFT};

/// The longest that a guard may take to begin or to thaw.
const PATIENCE: Duration = Duration::from_secs(60);

/// A deadline that no test reaches.
const LONG: Duration = Duration::from_secs(3600);

/// The guest's agent answers.
const VIRSH: &str = "#!/bin/sh\necho \"$*\" >>\"${0%/*}/said\"\necho '{\"return\":2}'\n";

/// What virsh is told when a machine is thawed.
const THAW: &str = "--connect qemu:///system --quiet qemu-agent-command \
                    --domain 07070707-0707-8707-8707-070707070707 --timeout 60 \
                    --cmd {\"execute\":\"guest-fsfreeze-thaw\"}\n";

/// A folder with the script, and a program that finds it.
fn bench() -> Bench {
    let bench = Bench::empty();
    let path = bench.path("").display().to_string();
    let program = format!("#!/bin/sh\nPATH={path}:/usr/bin:/bin exec {RELIFT} \"$@\"\n");
    for (name, text) in [("virsh", VIRSH), ("program", &program)] {
        bench.write(name, text.as_bytes());
        fs::set_permissions(bench.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    bench
}

fn machine() -> Uuid {
    Uuid::from_digest(&[7; 32])
}

fn arm(bench: &Bench, deadline: Duration) -> Guard {
    let program = bench.path("program");
    Guard::of_program(program.as_os_str(), "qemu:///system", machine(), deadline).unwrap()
}

/// What a file says once it says anything.
fn heard(file: &Path) -> String {
    let begun = Instant::now();
    loop {
        match fs::read_to_string(file) {
            Ok(said) if said.ends_with('\n') => return said,
            _ => assert!(begun.elapsed() < PATIENCE, "nothing in {}", file.display()),
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_guard_that_is_called_off_in_time_has_done_nothing() {
    let bench = bench();
    assert_eq!(arm(&bench, LONG).disarm(), Outcome::Quiet);
    assert!(!bench.path("said").exists());
}

#[test]
fn a_guard_thaws_when_its_deadline_is_over_and_its_owner_hears_of_it() {
    let bench = bench();
    let guard = arm(&bench, Duration::from_millis(1));
    assert_eq!(heard(&bench.path("said")), THAW);
    assert_eq!(guard.disarm(), Outcome::Fired);
}

#[test]
fn a_guard_that_is_forgotten_thaws_at_once() {
    let bench = bench();
    drop(arm(&bench, LONG));
    assert_eq!(heard(&bench.path("said")), THAW);
}

/// A process that arms a guard and then waits for ever; both are in one process group.
fn owner(bench: &Bench) -> Child {
    let line = format!(
        "mkfifo pipe; ./program guard --connect qemu:///system --machine {} --deadline-ms {} \
         <pipe >armed & exec 3>pipe; wait",
        machine(),
        LONG.as_millis()
    );
    let mut command = bench.command("sh");
    command.args(["-c", &line]).stdout(Stdio::null()).process_group(0);
    command.spawn().unwrap()
}

#[test]
fn a_guard_outlives_its_owner_and_its_group_and_thaws() {
    let bench = bench();
    let mut owner = owner(&bench);
    assert_eq!(heard(&bench.path("armed")), "armed\n");
    kill_process_group(Pid::from_child(&owner), Signal::KILL).unwrap();
    owner.wait().unwrap();
    assert_eq!(heard(&bench.path("said")), THAW);
}
