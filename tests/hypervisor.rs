//! A libvirt host behind the program: what it offers changes the plan, and `doctor` tells how it is.
//!
//! The host is a script in the place of virsh, so that it is the same everywhere.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::bench::{Bench, RELIFT, Run};

/// Answers as a host whose QEMU has few devices, and says nothing of a TPM.
const VIRSH: &str = r#"#!/bin/sh
[ "$1" = --version ] && echo 9.0.0 && exit
[ "$1 $2 $3" = "--connect qemu:///system --quiet" ] || {
  echo "error: failed to connect to the hypervisor" >&2
  echo "error: Failed to connect socket to '/run/libvirt/libvirt-sock': No such file" >&2
  exit 1
}
case "$4 $5" in
  'uri '*) echo qemu:///system ;;
  'version '*) printf 'Running hypervisor: QEMU 7.2.22\nRunning against daemon: 9.0.0\n' ;;
  'domcapabilities '*) cat <<END
<domainCapabilities><path>$PWD/qemu</path><domain>qemu</domain>
<os supported='yes'><enum name='firmware'><value>efi</value></enum>
<loader supported='yes'><enum name='secure'><value>no</value></enum></loader></os>
<devices><disk supported='yes'><enum name='bus'>
<value>ide</value><value>scsi</value><value>virtio</value><value>sata</value></enum></disk>
<tpm supported='no'/></devices></domainCapabilities>
END
  ;;
  'pool-list '*) echo 5b1c0000-0000-4000-8000-000000000001 ;;
  'pool-dumpxml '*) cat <<END
<pool type='dir'><name>images</name><capacity unit='bytes'>2147483648</capacity>
<available unit='bytes'>1073741824</available></pool>
END
  ;;
  *) echo "error: unknown command: '$4'" >&2; exit 1 ;;
esac
"#;

/// Lists its devices.
const QEMU: &str = "#!/bin/sh\nfor name in ich9-ahci piix3-ide virtio-scsi-pci virtio-blk-pci \
                    virtio-net-pci e1000 e1000e ich9-intel-hda qemu-xhci; do\n\
                    echo \"name \\\"$name\\\", bus PCI\"\ndone\n";

const QEMU_IMG: &str = "#!/bin/sh\necho qemu-img version 7.2.22\n";

/// A bench whose host is the script.
fn hosted() -> Bench {
    let bench = Bench::new();
    for (name, text) in [("virsh", VIRSH), ("qemu", QEMU), ("qemu-img", QEMU_IMG)] {
        bench.write(name, text.as_bytes());
        fs::set_permissions(bench.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    bench
}

/// Runs the program with the host in reach.
fn run(bench: &Bench, line: &str) -> Run {
    let mut command = bench.command(RELIFT);
    command
        .args(line.split(' '))
        .env("PATH", format!("{}:/usr/bin:/bin", bench.path("").display()))
        .env_remove("RELIFT_OFFLINE")
        .env_remove("LIBVIRT_DEFAULT_URI");
    if line.starts_with("doctor") {
        // What it says does not depend on the kernel of the tests.
        command.env("RELIFT_SANDBOX", "off");
    }
    Run::of(&command.output().unwrap())
}

#[test]
fn what_the_host_lacks_gives_way_to_the_next_device_with_the_reason() {
    let bench = hosted();
    let plan = run(&bench, "plan fixtures/demo.ova --net default");
    assert_eq!(plan.code, Some(0), "{plan:?}");
    for said in [
        "W0102 the host's QEMU has no vmxnet3; e1000e is the next",
        "W0106 the host's QEMU has no es1370; ich9 is the next",
    ] {
        assert!(plan.stdout.contains(said), "{said}\n{}", plan.stdout);
    }
    let offline = run(&bench, "plan fixtures/demo.ova --net default --offline");
    assert!(!offline.stdout.contains("the host's QEMU"), "{}", offline.stdout);
}

#[test]
fn a_host_without_kvm_makes_an_emulated_machine_unless_told_otherwise() {
    let bench = hosted();
    let domain = |line: &str| {
        let done = run(&bench, &format!("convert fixtures/demo.ova --net default {line}"));
        assert_eq!(done.code, Some(0), "{done:?}");
        let out = line.split("-o ").nth(1).unwrap();
        String::from_utf8(bench.read(&format!("{out}/domain.xml"))).unwrap()
    };
    assert!(domain("-o auto").starts_with("<domain type=\"qemu\""));
    assert!(domain("--virt-type kvm -o kvm").starts_with("<domain type=\"kvm\""));
    assert!(domain("--offline -o offline").starts_with("<domain type=\"kvm\""));
}

#[test]
fn only_a_host_that_was_named_must_answer() {
    let bench = hosted();
    let named = run(&bench, "plan fixtures/demo.ova --connect qemu+ssh://nobody/system");
    assert_eq!(named.code, Some(7), "{named:?}");
    assert!(
        named.stderr.starts_with("error[E0501]: no libvirt answers at qemu+ssh://nobody/system\n"),
        "{}",
        named.stderr
    );
    fs::remove_file(bench.path("virsh")).unwrap();
    bench.write("virsh", b"#!/bin/sh\nexit 1\n");
    fs::set_permissions(bench.path("virsh"), fs::Permissions::from_mode(0o755)).unwrap();
    let usual = run(&bench, "plan fixtures/demo.ova --net default");
    assert_eq!((usual.code, usual.stderr.as_str()), (Some(0), ""));
    let told = run(&bench, "plan fixtures/demo.ova --net default -v");
    assert_eq!(
        told.stderr,
        "info: no host is asked what it offers: qemu:///system cannot connect\n"
    );
}

#[test]
fn an_address_is_never_an_option_of_virsh() {
    let run = run(&hosted(), "plan fixtures/demo.ova --connect=--help");
    assert_eq!(run.code, Some(7));
    assert!(
        run.stderr.starts_with("error[E0502]: the address \"--help\" cannot be given to virsh\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn doctor_tells_what_works_and_what_to_install() {
    let bench = hosted();
    let doctor = run(&bench, "doctor");
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    insta::assert_snapshot!(doctor.stdout);
    let json = run(&bench, "doctor --json --connect qemu:///system");
    assert_eq!(json.code, Some(0), "{json:?}");
    insta::assert_snapshot!("doctor_json", json.stdout);
}

#[test]
fn doctor_without_a_host_exits_as_a_missing_dependency() {
    let doctor = run(&hosted(), "doctor --connect qemu:///session");
    assert_eq!(doctor.code, Some(9), "{doctor:?}");
    insta::assert_snapshot!(format!("{}--- stderr\n{}", doctor.stdout, doctor.stderr));
}

#[test]
fn a_host_that_stops_answering_is_asked_no_further_and_not_taken_for_one_without_pools() {
    let bench = hosted();
    let uuid = "echo 5b1c0000-0000-4000-8000-00000000000";
    let stuck = VIRSH
        .replace(&format!("{uuid}1"), &format!("{uuid}1; {uuid}2; {uuid}3"))
        .replace("'pool-dumpxml '*) cat", "'pool-dumpxml '*) echo once >> asked; cat")
        .replace("<pool type='dir'>", "<pool type='dir'><unfinished>");
    bench.write("virsh", stuck.as_bytes());
    let doctor = run(&bench, "doctor");
    let want =
        "qemu:///system cannot list its storage pools: its answer is not what libvirt writes";
    assert!(doctor.stdout.contains(want), "{}", doctor.stdout);
    // All together, and the first one alone.
    assert_eq!(fs::read_to_string(bench.path("asked")).unwrap(), "once\nonce\n");
}
