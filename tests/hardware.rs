//! Flags and files that decide about the hardware, from the command line to `domain.xml`.

use testkit::{Descriptor, MIB, Package, stream_optimized};

use crate::bench::Bench;

/// A machine on UEFI with a disk whose bytes are these.
fn machine(disk: &[u8]) -> (Descriptor, Vec<u8>) {
    let descriptor = Descriptor::new("vm", "rhel8_64Guest")
        .controller("3", "6", "VirtualSCSI", "0")
        .disk("disk.vmdk", MIB, "3", "0")
        .nic("E1000", "net");
    (descriptor, stream_optimized(disk, "disk.vmdk"))
}

/// A disk with a partition table of UEFI, and code for a BIOS where `first` is not 0.
fn efi_disk(first: u8) -> Vec<u8> {
    let mut disk = vec![0_u8; MIB as usize];
    disk[0] = first;
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[512..520].copy_from_slice(b"EFI PART");
    disk[584..592].copy_from_slice(&2_u64.to_le_bytes());
    disk[592..596].copy_from_slice(&128_u32.to_le_bytes());
    disk[596..600].copy_from_slice(&128_u32.to_le_bytes());
    disk[1024..1040].copy_from_slice(&[
        0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
    ]);
    disk
}

fn bench(package: &Package) -> Bench {
    let bench = Bench::empty();
    bench.write("vm.ova", &package.ova());
    bench
}

#[test]
fn a_disk_that_only_uefi_starts_gets_uefi_where_it_can_be_looked_at() {
    for (first, line, want, said) in [
        (0, "relift convert vm.ova", true, "warning[W0108]"),
        (0xeb, "relift convert vm.ova", false, ""),
        (0, "cat vm.ova | relift convert -", false, ""),
        (0, "relift convert vm.ova --firmware bios", false, ""),
    ] {
        let (descriptor, disk) = machine(&efi_disk(first));
        let bench = bench(&Package::new("vm", &descriptor).member("disk.vmdk", disk));
        let run = bench.shell(&format!("{line} -o out"));
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        let xml = String::from_utf8(bench.read("out/domain.xml")).unwrap();
        assert_eq!(xml.contains(r#"<os firmware="efi">"#), want, "{line}: {xml}");
        assert!(run.stderr.contains(said), "{line}: {run:?}");
    }
}

#[test]
fn the_variables_of_the_firmware_are_kept_to_the_byte_and_missed_by_nobody() {
    let (descriptor, disk) = machine(&efi_disk(0));
    let descriptor = descriptor
        .setting("firmware", "efi")
        .file("old.nvram")
        .setting("nvram", "ovf:/file/old.nvram");
    let without = Package::new("vm", &descriptor).member("disk.vmdk", disk);
    let variables: Vec<u8> = (0..8684_u32).map(|at| (at % 251) as u8).collect();
    let with = without.clone().member("old.nvram", variables.clone());
    for line in ["relift convert vm.ova -o out", "cat vm.ova | relift convert - -o out"] {
        let there = bench(&with);
        let run = there.shell(line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        assert!(there.read("out/vm.nvram") == variables, "{line}");
        assert!(run.stderr.contains("W0104"), "{run:?}");
        let missing = bench(&without);
        let run = missing.shell(line);
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        assert!(!missing.path("out/vm.nvram").exists());
    }
}

#[test]
fn room_to_grow_and_single_items_reach_the_domain() {
    let (descriptor, disk) = machine(&efi_disk(0xeb));
    let bench = bench(&Package::new("vm", &descriptor).member("disk.vmdk", disk));
    let line = "relift convert vm.ova -o out --vcpus 2 --max-vcpus 8 --max-memory 2GiB --watchdog \
                --disk-bus ide --disk-bus disk0=virtio-scsi --nic-model nic0=e1000e";
    let run = bench.shell(line);
    assert_eq!(run.code, Some(0), "{run:?}");
    let xml = String::from_utf8(bench.read("out/domain.xml")).unwrap();
    for part in [
        r#"<vcpu placement="static" current="2">8</vcpu>"#,
        r#"<maxMemory unit="KiB" slots="16">2097152</maxMemory>"#,
        r#"<cell id="0" cpus="0-7" memory="524288" unit="KiB"/>"#,
        r#"<watchdog model="i6300esb" action="none"/>"#,
        r#"model="virtio-scsi""#,
        r#"<model type="e1000e"/>"#,
    ] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
    let run = bench.run(["plan", "vm.ova", "--disk-bus", "disk7=sata"]);
    assert_eq!(run.code, Some(6), "{run:?}");
    assert!(run.stdout.contains("no item is called 'disk7'"), "{run:?}");
    for (value, want) in [
        ("disk0=floppy", "'floppy' is none of virtio-blk, virtio-scsi, sata, ide, keep"),
        ("=sata", "an item is missing before ="),
    ] {
        let run = bench.run(["plan", "vm.ova", "--disk-bus", value]);
        assert_eq!(run.code, Some(2), "{run:?}");
        assert!(run.stderr.contains(want), "{run:?}");
    }
}
