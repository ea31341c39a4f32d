//! Names of Linux interfaces: what a plan says of them, and the domain that keeps them.

use testkit::{Descriptor, MIB, Package, content, stream_optimized};

use crate::bench::{Bench, Run};

/// A folder with `vm.ova`: a Debian machine on AHCI with a card of each kind in VMware's slots.
fn bench() -> Bench {
    let descriptor = Descriptor::new("vm", "debian10_64Guest")
        .controller("3", "20", "vmware.sata.ahci", "0")
        .disk("vm-disk1.vmdk", MIB, "3", "0")
        .nic_in_slot("VmxNet3", "VM Network", "192")
        .nic_in_slot("E1000e", "VM Network", "160")
        .nic_in_slot("E1000", "VM Network", "224");
    let disk = stream_optimized(&content(MIB), "vm-disk1.vmdk");
    let bench = Bench::empty();
    bench.write("vm.ova", &Package::new("vm", &descriptor).member("vm-disk1.vmdk", disk).ova());
    bench
}

/// The machine converted to `out`, with these flags too.
pub(crate) fn converted(more: &[&str]) -> (Bench, Run) {
    let bench = bench();
    let words = ["convert", "vm.ova", "-o", "out", "--net", "user"];
    let run = bench.run(words.iter().chain(more));
    (bench, run)
}

/// The lines of a text that name a card.
fn of_cards(text: &str) -> String {
    let rows = text.lines().skip_while(|line| !line.contains("nic 0"));
    rows.take_while(|line| !line.is_empty()).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_plan_tells_what_becomes_of_each_name() {
    let run = bench().run(["plan", "vm.ova", "--net", "user"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    insta::assert_snapshot!(of_cards(&run.stdout), @r#"
    = nic 0  VM Network   VmxNet3            vmxnet3 → user network        W0304 ens192 becomes enp1s0: --keep-nic-names
    = nic 1  VM Network   E1000e             e1000e → user network         W0304 ens160 becomes enp2s0: --keep-nic-names
    = nic 2  VM Network   E1000              e1000 → user network          W0304 ens224 becomes ens1: --keep-nic-names
    "#);
    let run = bench().run(["plan", "vm.ova", "--net", "user", "--keep-nic-names"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("Next:  relift convert vm.ova --net user --keep-nic-names -o OUT"));
    insta::assert_snapshot!(of_cards(&run.stdout), @r#"
    = nic 0  VM Network   VmxNet3                vmxnet3 → user network        stays ens192
    = nic 1  VM Network   E1000e                 e1000e → user network         stays ens160
    ~ nic 2  VM Network   E1000                  e1000e → user network         stays ens224
                                                                               W0102 its name stays on a PCI Express card only, which e1000 is not
    = nic names           ens192 ens160 ens224   kept by a qemu: section       libvirt marks such a machine as tainted, and some tools refuse it; a .link file by MAC address in the guest does without: relift explain W0304
    "#);
}

#[test]
fn the_domain_shows_the_slots_that_the_names_came_from() {
    let (bench, run) = converted(&["--keep-nic-names"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let domain = String::from_utf8(bench.read("out/domain.xml")).unwrap();
    let folder = bench.path("out").canonicalize().unwrap();
    insta::assert_snapshot!(domain.replace(folder.to_str().unwrap(), "OUT"));
}

#[test]
fn the_pc_board_cannot_keep_names() {
    let (bench, run) = converted(&["--keep-nic-names", "--machine", "pc"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(
        run.stderr.starts_with("error[E0305]: --keep-nic-names needs the q35 board\n"),
        "{run:?}"
    );
    assert!(run.stderr.contains("fix:   --machine q35, or let the names change\n"), "{run:?}");
    assert!(bench.files("out").is_empty());
}

#[test]
fn json_has_the_note_of_each_card_and_no_note_where_the_name_stays() {
    let notes = |more: &[&str]| {
        let words = ["plan", "--json", "vm.ova", "--net", "user"];
        let document = bench().run(words.iter().chain(more)).json();
        let warnings = document["warnings"].as_array().unwrap().clone();
        let coded = warnings.iter().filter(|one| one["code"] == "W0304");
        coded.map(|one| format!("{}: {}", one["item"], one["hint"])).collect::<Vec<_>>()
    };
    let all = ["nic0", "nic1", "nic2"].map(|item| format!("{item:?}: \"--keep-nic-names\""));
    assert_eq!(notes(&[]), all);
    assert!(notes(&["--keep-nic-names"]).is_empty());
}
