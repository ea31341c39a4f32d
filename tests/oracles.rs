//! What others make of what is written: libvirt's schema, qemu-img, and a machine that boots.

use std::{
    fs,
    process::Stdio,
    time::{Duration, Instant},
};

use testkit::{oracle, oracle_command, skip_oracle};

use crate::{bench::Bench, names};

/// The longest that the emulated demo machine may take to boot.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the demo machine prints on its serial console.
const BOOTED: &str = "relift demo: booted";

/// A folder in which the demo appliance is converted to `out`.
fn converted(more: &[&str]) -> Bench {
    let bench = Bench::new();
    let words = ["convert", "fixtures/demo.ova", "-o", "out"];
    let run = bench.run(words.iter().chain(more));
    assert_eq!(run.code, Some(0), "{run:?}");
    bench
}

#[test]
fn the_fixture_is_what_the_program_makes() {
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/demo.ova");
    let made = Bench::new().read("fixtures/demo.ova");
    assert!(fs::read(fixture).unwrap() == made, "make it again: relift sample create");
    assert!(made.len() < 200 << 10, "{} bytes", made.len());
}

#[test]
fn libvirt_accepts_the_domain() {
    for more in [&[][..], &["--firmware", "uefi"], &["--profile", "virtio", "--net", "user"]] {
        let bench = converted(more);
        let file = bench.path("out/domain.xml");
        let words = [file.as_os_str(), "domain".as_ref()];
        let Some(output) = oracle("virt-xml-validate", words) else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn libvirt_accepts_cards_that_keep_their_names() {
    for more in [&[][..], &["--keep-nic-names"], &["--keep-nic-names", "--profile", "virtio"]] {
        let (bench, run) = names::converted(more);
        assert_eq!(run.code, Some(0), "{run:?}");
        let file = bench.path("out/domain.xml");
        let words = [file.as_os_str(), "domain".as_ref()];
        let Some(output) = oracle("virt-xml-validate", words) else { return };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn qemu_img_finds_the_same_disk() {
    let bench = converted(&[]);
    let disk = bench.path("out/demo-disk0.qcow2");
    let Some(checked) = oracle("qemu-img", ["check".as_ref(), disk.as_os_str()]) else { return };
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let extracted = bench.shell("tar -xf fixtures/demo.ova");
    assert_eq!(extracted.code, Some(0), "{extracted:?}");
    let source = bench.path("demo-disk1.vmdk");
    let words = ["compare".as_ref(), disk.as_os_str(), source.as_os_str()];
    let compared = oracle("qemu-img", words).unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stdout));
}

#[test]
fn the_demo_machine_boots() {
    const QEMU: &str = "qemu-system-x86_64";
    let bench = converted(&[]);
    let (disk, serial) = (bench.path("out/demo-disk0.qcow2"), bench.path("serial"));
    let mut command = oracle_command(QEMU);
    command
        .args(["-machine", "q35", "-accel", "tcg", "-m", "64", "-display", "none", "-no-reboot"])
        .arg("-drive")
        .arg(format!("file={},format=qcow2,if=ide", disk.display()))
        .arg("-serial")
        .arg(format!("file:{}", serial.display()));
    let mut machine = match command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn() {
        Ok(machine) => machine,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return skip_oracle(QEMU, "not installed");
        }
        Err(error) => panic!("{QEMU} does not start: {error}"),
    };
    let begun = Instant::now();
    let printed = || fs::read_to_string(&serial).unwrap_or_default();
    while !printed().contains(BOOTED) && begun.elapsed() < PATIENCE {
        if let Some(status) = machine.try_wait().unwrap() {
            let output = machine.wait_with_output().unwrap();
            panic!("{QEMU} ended, {status}: {}", String::from_utf8_lossy(&output.stderr));
        }
        std::thread::yield_now();
    }
    machine.kill().unwrap();
    machine.wait().unwrap();
    assert!(printed().contains(BOOTED), "{:?}", printed());
}

#[test]
fn qemu_img_maps_the_same_runs() {
    let bench = Bench::new();
    let run = bench.run(["disk", "convert", "disk.vmdk", "-o", "a.qcow2"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let disk = bench.path("a.qcow2");
    let words = ["map".as_ref(), "--output=json".as_ref(), disk.as_os_str()];
    let Some(theirs) = oracle("qemu-img", words) else { return };
    let theirs: serde_json::Value = serde_json::from_slice(&theirs.stdout).unwrap();
    let ours = bench.run(["disk", "map", "a.qcow2", "--json"]).json();
    // A program that is newer may say more of each run.
    let facts = |rows: &serde_json::Value| -> Vec<Vec<serde_json::Value>> {
        let names = ["start", "length", "depth", "present", "zero", "data", "offset"];
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| names.iter().map(|name| row[name].clone()).collect()).collect()
    };
    assert_eq!(facts(&ours["data"]), facts(&theirs));
}
