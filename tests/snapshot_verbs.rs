//! `snapshot …`: moments of a machine, on a host of files and on a real libvirt.

use std::fs;

use crate::{
    bench::{Bench, Run},
    libvirt::Lab,
    virsh::Hosted,
};

const UUID: &str = "5b1c0000-0000-4000-8000-0000000000aa";

/// A host with the machine `web`, which is off and has one disk.
fn hosted() -> Hosted {
    let hosted = Hosted::new();
    let made = hosted.run("disk convert disk.vmdk -O qcow2 -o host/images/web.qcow2");
    assert_eq!(made.code, Some(0), "{made:?}");
    let image = hosted.bench.path("host/images/web.qcow2");
    let xml = format!(
        "<domain type='qemu'>\n<name>web</name>\n<uuid>{UUID}</uuid>\n<memory>16384</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os><devices><disk type='file' device='disk'>\
         <driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vda' bus='virtio'/></disk>\
         <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk></devices></domain>\n",
        image.display()
    );
    fs::create_dir_all(hosted.bench.path("host/machines")).unwrap();
    hosted.bench.write(&format!("host/machines/{UUID}.xml"), xml.as_bytes());
    hosted
}

#[test]
fn what_is_in_a_snapshot_and_what_is_not_is_said_before_it_is_taken() {
    let hosted = hosted();
    let run = hosted.run("snapshot create web --name s1 --dry-run");
    assert_eq!(run.code, Some(0), "{run:?}");
    let want = "Snapshot s1\n  + vda  goes on in /bench/host/images/web.s1.qcow2\n  \
                - sda  not included: a CD drive\n  free: ";
    assert!(run.stdout.starts_with(want), "{}", run.stdout);
    assert_eq!(hosted.acts(), [""; 0]);
    let run = hosted.run("snapshot create web --name s1 --exclude-disk vdz");
    assert_eq!(run.code, Some(2));
    let want = "error: the machine has no disk vdz, only vda, sda";
    assert!(run.stderr.starts_with(want), "{}", run.stderr);
}

#[test]
fn a_machine_or_a_snapshot_that_is_not_there_is_exit_13() {
    let hosted = hosted();
    for (line, want) in [
        ("snapshot list nobody", "error[E0505]: qemu:///system has no machine 'nobody'"),
        ("snapshot show web s9", "error[E0505]: the machine has no snapshot s9: it has none"),
        (
            "snapshot delete web s9 --yes",
            "error[E0505]: the machine has no snapshot s9: it has none",
        ),
    ] {
        let run = hosted.run(line);
        assert_eq!(run.code, Some(13), "{run:?}");
        assert!(run.stderr.starts_with(want), "{}", run.stderr);
    }
    let run = hosted.run("snapshot list web");
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (Some(0), "web has no snapshots\n\nNext:  relift snapshot create web\n")
    );
}

#[test]
fn a_snapshot_whose_run_was_killed_has_failed_and_can_be_deleted() {
    let hosted = hosted();
    hosted.bench.write("host/said", b"");
    hosted.set("kill", "before snapshot-create 0");
    let run = hosted.run("snapshot create web --name s1");
    assert_eq!(run.code, None, "{run:?}");
    hosted.unset("kill");
    let run = hosted.run("snapshot tree web");
    assert_eq!(run.stdout, "web\n└─ s1  (failed)\n← you are here, on no snapshot\n", "{run:?}");
    let run = hosted.run("snapshot create web --name s1");
    let want = "error[E0509]: the machine has a snapshot s1 already";
    assert!(run.stderr.starts_with(want), "{}", run.stderr);
    let run = hosted.run("snapshot revert web s1 --yes");
    let want = "error[E0510]: the snapshot s1 failed, and can only be deleted: the run that took it was \
                cut off";
    assert!(run.stderr.starts_with(want), "{}", run.stderr);
    assert_eq!(hosted.run("snapshot delete web s1 --yes").code, Some(0));
    let run = hosted.run("snapshot list web --json");
    assert!(run.stdout.contains("\"snapshots\":[]"), "{}", run.stdout);
}

#[test]
fn a_refusal_of_the_host_ends_the_snapshot_and_leaves_no_file() {
    let hosted = hosted();
    hosted.set("refuse", "snapshot-create No space left on device");
    let run = hosted.run("snapshot create web --name s1");
    assert_eq!(run.code, Some(8), "{run:?}");
    assert!(run.stderr.contains("error[E0506]"), "{}", run.stderr);
    assert_eq!(hosted.holds("images"), ["web.qcow2"]);
    let run = hosted.run("snapshot show web s1");
    assert!(run.stdout.contains("Phase       failed"), "{}", run.stdout);
}

/// A machine of a real libvirt with two disks, off.
fn machine(test: &str) -> Option<Lab> {
    let lab = Lab::new(Bench::new(), test)?;
    let mut disks = String::new();
    for (name, target) in [("a", "vda"), ("b", "vdb")] {
        let image = lab.disk(&format!("{name}.qcow2"));
        let made = lab.run(&format!("disk convert disk.vmdk -O qcow2 -o {}", image.display()));
        assert_eq!(made.code, Some(0), "{made:?}");
        disks.push_str(&format!(
            "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
             <source file='{}'/><target dev='{target}' bus='virtio'/></disk>",
            image.display()
        ));
    }
    let xml = format!(
        "<domain type='qemu'><name>{}</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='pc'>hvm</type></os><devices>{disks}</devices></domain>",
        lab.name
    );
    lab.bench.write("machine.xml", xml.as_bytes());
    let file = lab.bench.path("machine.xml").display().to_string();
    let run = lab.bench.shell(&format!("virsh -q -c qemu:///system define {file}"));
    assert_eq!(run.code, Some(0), "{run:?}");
    Some(lab)
}

fn relift(lab: &Lab, words: &str) -> Run {
    let run = lab.run(&words.replace("VM", &lab.name));
    assert_eq!(run.code, Some(0), "{words}: {run:?}");
    run
}

/// The image that the first disk is on.
fn head(lab: &Lab) -> String {
    let disks = lab.told("domblklist");
    let line = disks.lines().find(|line| line.contains("vda")).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// Writes a byte all over the first 64 KiB of the first disk, as its guest would.
fn write(lab: &Lab, byte: u8) {
    let run = lab.bench.shell(&format!("qemu-io -c 'write -q -P {byte} 0 64k' {}", head(lab)));
    assert_eq!(run.code, Some(0), "{run:?}");
}

/// Whether the first disk has that byte there.
fn holds(lab: &Lab, image: &str, byte: u8) -> bool {
    let run = lab.bench.shell(&format!("qemu-io -r -c 'read -q -P {byte} 0 64k' {image}"));
    run.code == Some(0) && !run.stdout.contains("failed")
}

fn files(lab: &Lab) -> Vec<String> {
    let entries = fs::read_dir(lab.disk("")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_real_machine_goes_back_and_forth_and_ends_where_it_began() {
    let Some(lab) = machine("snap") else { return };
    write(&lab, 1);
    relift(&lab, "snapshot create VM --name s1");
    write(&lab, 2);
    relift(&lab, "snapshot create VM --name s2 --exclude-disk vdb");
    write(&lab, 3);
    relift(&lab, "snapshot clone VM s1 --name VM-copy");
    let copy = lab.disk(&format!("{}-copy-disk0.qcow2", lab.name)).display().to_string();
    lab.bench.shell(&format!("virsh -q -c qemu:///system undefine {}-copy", lab.name));
    assert!(holds(&lab, &copy, 1));
    relift(&lab, "snapshot revert VM s1 --yes");
    assert!(holds(&lab, &head(&lab), 1));
    // A second branch: the state of s1 has to stay when s1 goes.
    relift(&lab, "snapshot create VM --name s3");
    relift(&lab, "snapshot delete VM s1 --yes");
    let tree = relift(&lab, "snapshot tree VM").stdout;
    assert!(tree.contains("─ s2") && tree.contains("─ s3  ← you are here"), "{tree}");
    relift(&lab, "snapshot revert VM s2 --yes");
    assert!(holds(&lab, &head(&lab), 2), "{tree}");
    lab.told("start");
    relift(&lab, "snapshot delete VM s2 --yes");
    lab.told("destroy");
    assert!(holds(&lab, &head(&lab), 2));
    relift(&lab, "snapshot delete VM s3 --yes");
    assert!(relift(&lab, "snapshot list VM").stdout.contains("has no snapshots"));
    assert!(holds(&lab, &head(&lab), 2), "{:?}", files(&lab));
    lab.told("start");
}

#[test]
fn a_real_machine_that_runs_is_kept_with_its_memory_and_wakes_up_in_it() {
    let Some(lab) = machine("wake") else { return };
    lab.told("start");
    let run = relift(&lab, "snapshot create VM --name m1 --with-memory");
    assert!(run.stderr.contains("+ memory  at most 16 MiB"), "{}", run.stderr);
    let busy = lab.run(&format!("snapshot revert {} m1 --yes", lab.name));
    assert_eq!(busy.code, Some(7), "{busy:?}");
    lab.told("destroy");
    relift(&lab, "snapshot revert VM m1 --yes");
    assert_eq!(lab.told("domstate").trim(), "running");
    // Merged under the running guest; the memory goes, too.
    relift(&lab, "snapshot delete VM m1 --yes");
    let left = files(&lab);
    assert_eq!(left, ["a.qcow2", "b.qcow2"]);
    assert_eq!(head(&lab), lab.disk("a.qcow2").display().to_string());
}
