//! Backups of a thin clone and of its template: the images are QEMU's, a script plays the host.

use std::fs;

use serde_json::Value;

use crate::guest::{Running, UUID};

const GOLDEN: &str = "5b1c0000-0000-4000-8000-000000000009";

/// The machine web01, which stands on the disk of the machine golden: off, or running.
fn cloned() -> Option<Running> {
    let running = Running::new()?;
    let bench = &running.host.bench;
    running.shell("mv host/images/vda.qcow2 host/images/golden.qcow2");
    let golden = bench.path("host/images/golden.qcow2").display().to_string();
    let overlay = format!("qemu-img create -q -f qcow2 -b {golden} -F qcow2 host/images/vda.qcow2");
    running.shell(&overlay);
    running.write("write -q -P 2 4k 4k");
    running.write("write -q -P 3 1M 64k");
    running.write("write -q -z 128k 64k");
    let machine = String::from_utf8(bench.read(&format!("host/machines/{UUID}.xml"))).unwrap();
    let machine = machine.replace(UUID, GOLDEN).replace("web01", "golden");
    let machine = machine.replace("vda.qcow2", "golden.qcow2");
    bench.write(&format!("host/machines/{GOLDEN}.xml"), machine.as_bytes());
    Some(running)
}

/// Turns a machine off.
fn turn_off(running: &Running, uuid: &str) {
    fs::remove_file(running.host.bench.path(&format!("host/active/{uuid}"))).unwrap();
}

/// The parts of an extracted image that lie in itself, by their starts.
fn own(running: &Running, image: &str) -> Vec<u64> {
    let map = running.shell(&format!("qemu-img map --output=json {image}"));
    let map: Vec<Value> = serde_json::from_str(&map).unwrap();
    let own =
        map.iter().filter(|part| part["depth"] == 0 && part["start"].as_u64() < Some(1 << 21));
    own.map(|part| part["start"].as_u64().unwrap()).collect()
}

#[test]
fn the_backup_of_a_thin_clone_has_what_is_above_its_template_and_takes_increments() {
    for is_off in [true, false] {
        let Some(running) = cloned() else { return };
        if is_off {
            turn_off(&running, UUID);
        }
        let line = "backup create web01 --storage out --incrementable --dry-run";
        let line = if is_off { line.replace(" --incrementable", "") } else { line.to_owned() };
        let planned = running.done(&line, 0).stdout;
        let note = "  note      vda stands on /bench/host/images/golden.qcow2 of the template golden, \
                    which is not in the backup\n";
        assert!(planned.contains(note), "{planned}");
        let made = running.done(&line.replace("--dry-run", "--json"), 0).stdout;
        let made: Value = serde_json::from_str(&made).unwrap();
        let disk = &made["data"]["backups"][0]["disks"][0];
        assert_eq!(disk["stands_on"], "/bench/host/images/golden.qcow2", "{made}");
        let file = "out/web01-20261121-190500.tar";
        running.done(&format!("backup verify --level deep {file}"), 0);
        let shown = running.done(&format!("backup show {file}"), 0).stdout;
        assert!(shown.contains("stands on /bench/host/images/golden.qcow2 of golden"), "{shown}");
        running.shell(&format!("tar xf {file}"));
        let member = disk["member"].as_str().unwrap();
        running.shell(&format!("qemu-img compare -q {member} host/images/vda.qcow2"));
        assert_eq!(own(&running, member), [0, 128 << 10, 1 << 20], "off: {is_off}");
        if is_off {
            continue;
        }
        running.write("write -q -P 4 2M 64k");
        let line = "backup create web01 --storage out --mode incremental --json";
        let made: Value = serde_json::from_str(&running.done(line, 1).stdout).unwrap();
        let member = made["data"]["backups"][0]["disks"][0]["member"].as_str().unwrap().to_owned();
        running.done(&format!("backup verify --level deep {file}"), 1);
        running.shell(&format!("tar xf {file}"));
        running.shell(&format!("qemu-img compare -q {member} host/images/vda.qcow2"));
    }
}

#[test]
fn a_clone_is_copied_whole_on_request_and_not_at_all_while_its_template_runs() {
    let Some(running) = cloned() else { return };
    running.done("backup create web01 -o whole.tar --with-template", 0);
    running.shell("tar xf whole.tar && mv web01-vda-*.qcow2 whole.qcow2");
    let info = running.shell("qemu-img info whole.qcow2");
    assert!(!info.contains("backing file"), "{info}");
    running.shell("qemu-img compare -q whole.qcow2 host/images/vda.qcow2");
    running.host.bench.write(&format!("host/active/{GOLDEN}"), b"");
    let run = running.run("backup create web01 -o clone.tar", 0);
    let said = "error[E0510]: golden runs, and its disk /bench/host/images/golden.qcow2 is below the \
                disk vda of the machine: it changes there\n";
    assert_eq!((run.code, run.stderr.starts_with(said)), (Some(7), true), "{run:?}");
    assert!(!running.host.bench.path("clone.tar").exists());
}

#[test]
fn the_backup_of_a_template_says_that_it_is_one() {
    let Some(running) = cloned() else { return };
    for (flag, is_template) in [("", true), (" --template=no", false), (" --template", true)] {
        let line = format!("backup create golden -o golden.tar{flag} --json");
        let made: Value = serde_json::from_str(&running.done(&line, 0).stdout).unwrap();
        assert_eq!(made["data"]["backups"][0]["template"], is_template, "{flag}");
        let shown = running.done("backup show golden.tar", 0).stdout;
        assert_eq!(shown.contains("a template: restored as one"), is_template, "{shown}");
        fs::remove_file(running.host.bench.path("golden.tar")).unwrap();
    }
}

/// SPACEVM-18: a backup is a file, and such pools have none.
#[test]
fn a_pool_that_is_no_folder_takes_no_backup() {
    let Some(running) = cloned() else { return };
    let script = String::from_utf8(running.host.bench.read("host/virsh")).unwrap();
    for kind in ["logical", "zfs", "rbd", "disk"] {
        let other = script.replace("<pool type='dir'>", &format!("<pool type='{kind}'>"));
        running.host.bench.write("host/virsh", other.as_bytes());
        let run = running.run("backup create web01 --pool images", 0);
        let want = format!(
            "error[E0504]: the pool 'images' takes no backups: it is of the type {kind}\n  cause: a \
             backup is a file, and the volumes of such a pool are none\n"
        );
        assert!(run.stderr.starts_with(&want), "{run:?}");
        assert_eq!(run.code, Some(7), "{run:?}");
    }
}
