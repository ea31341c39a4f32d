//! A VMX beside its disks: looked at, planned, converted.

use std::fs;

use serde_json::{Value, json};
use testkit::{MIB, SparseMap, VmdkDescriptor, Vmx, content};

use crate::bench::{Bench, Run};

/// Bytes of a grain of the disks made here.
const GRAIN: u64 = 64 << 10;

/// A folder with `vm.vmx` and what it names.
fn machine(vmx: &Vmx) -> Bench {
    let bench = Bench::empty();
    bench.write("vm.vmx", vmx.text().as_bytes());
    bench.write("vm.vmdk", &disk(&content(MIB)));
    bench
}

/// A disk in one sparse file.
fn disk(bytes: &[u8]) -> Vec<u8> {
    let sectors = bytes.len() / 512;
    let extent = format!("RW {sectors} SPARSE \"vm.vmdk\"");
    let descriptor = VmdkDescriptor::new("monolithicSparse").extent(&extent).text();
    SparseMap::of(bytes, GRAIN).hosted(&descriptor)
}

/// The codes of the warnings of a run.
fn codes(document: &Value) -> Vec<&str> {
    let warnings = document["warnings"].as_array().unwrap();
    warnings.iter().filter_map(|warning| warning["code"].as_str()).collect()
}

/// Converts, and gives the bytes that the guest sees on its first disk.
fn converted(bench: &Bench) -> Vec<u8> {
    let run = bench.run(["convert", "vm.vmx", "-o", "out", "--net", "user"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let raw = ["disk", "convert", "out/vm-disk0.qcow2", "-O", "raw", "-o", "disk.raw"];
    assert_eq!(bench.run(raw).code, Some(0));
    bench.read("disk.raw")
}

#[test]
fn inspect_tells_what_a_vmx_says() {
    let vmx = Vmx::small("vm").set("numvcpus", "4").set("cpuid.coresPerSocket", "2");
    let run = machine(&vmx).run(["inspect", "--json", "vm.vmx"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    let data = &run.json()["data"];
    assert_eq!((&data["kind"], &data["ovf_version"]), (&json!("vmx"), &Value::Null));
    assert_eq!(data["networks"], json!(["VM Network"]));
    assert_eq!((&data["manifest"], &data["signature"]), (&Value::Null, &json!("unsigned")));
    let system = &data["systems"][0];
    assert_eq!(
        system["os"],
        json!({"osinfo": "http://debian.org/debian/10", "vmware": "debian10-64", "cim_id": null})
    );
    let facts = ["name", "vcpus", "cores_per_socket", "memory_bytes", "firmware", "cdroms"];
    assert_eq!(
        facts.map(|key| system[key].clone()),
        [json!("vm"), json!(4), json!(2), json!(512 * MIB), json!("bios"), json!(1)]
    );
    let disk = &system["disks"][0];
    let facts = ["id", "file", "format", "bus", "controller", "unit"];
    assert_eq!(
        facts.map(|key| disk[key].clone()),
        ["scsi0:0", "vm.vmdk", "vmdk", "scsi", "pvscsi"]
            .map(Value::from)
            .into_iter()
            .chain([json!(0)])
            .collect::<Vec<_>>()[..]
    );
    assert!(disk["packed_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{disk}");
}

#[test]
fn inspect_shows_a_vmx_to_people() {
    let vmx = Vmx::small("vm").set("sched.cpu.min", "500").set("guestinfo.password", "hunter2");
    let run = machine(&vmx).run(["inspect", "--full", "vm.vmx"]);
    for part in
        ["VMX · VMware (vmx-14)", "Debian 10 64-bit", "on scsi0:0 (pvscsi)", "sched.cpu.min"]
    {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    assert!(run.stdout.contains("guestinfo.password") && !run.stdout.contains("hunter2"));
}

#[test]
fn a_vmx_without_its_disks_is_looked_at_and_not_converted() {
    let bench = machine(&Vmx::small("vm"));
    fs::remove_file(bench.path("vm.vmdk")).unwrap();
    let run = bench.run(["inspect", "--json", "vm.vmx"]);
    assert_eq!((run.code, codes(&run.json())), (Some(0), vec!["W0602"]));
    let run = bench.run(["convert", "vm.vmx", "-o", "out"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stderr.starts_with("error[E0104]: vm.vmdk is not beside the VMX\n"), "{run:?}");
    let run = bench.run(["verify", "vm.vmx"]);
    assert!(run.stdout.contains("vm.vmdk") && run.stdout.contains("missing"), "{run:?}");
}

#[test]
fn plan_has_one_row_for_each_item() {
    let vmx = Vmx::small("vm").device("sound", &[]).device("vmci0", &[]).set("a.b", "c");
    let run = machine(&vmx).run(["plan", "--json", "vm.vmx"]);
    let document = run.json();
    assert_eq!(document["data"]["source"]["kind"], "vmx");
    let rows = document["data"]["machines"][0]["rows"].as_array().unwrap();
    let items: Vec<_> = rows.iter().filter_map(|row| row["item"].as_str()).collect();
    let about = ["guest", "vcpu", "memory", "firmware", "machine"];
    let devices = ["disk0", "cdrom0", "scsi0", "ide1", "nic0", "sound", "vmci0", "settings"];
    assert_eq!(items, [&about[..], &devices[..]].concat());
}

#[test]
fn a_machine_becomes_a_folder() {
    let bench = machine(&Vmx::small("vm"));
    assert!(converted(&bench) == content(MIB));
    let files = bench.files("out");
    assert_eq!(files, ["out/domain.xml", "out/relift.result.json", "out/vm-disk0.qcow2"]);
    let result: Value = serde_json::from_slice(&bench.read("out/relift.result.json")).unwrap();
    assert_eq!(result["source"]["kind"], "vmx");
    let xml = String::from_utf8(bench.read("out/domain.xml")).unwrap();
    assert!(xml.contains("<name>vm</name>") && xml.contains("model=\"vmpvscsi\""), "{xml}");
}

#[test]
fn a_snapshot_is_read_through_its_own_chain() {
    let bench = machine(&Vmx::new("vm", "debian10-64").disk("scsi0:0", "vm-000001.vmdk"));
    let changed = vec![0xa5; usize::try_from(GRAIN).unwrap()];
    let descriptor = VmdkDescriptor::new("monolithicSparse")
        .cid(2)
        .parent(0x1234_5678, "vm.vmdk")
        .extent("RW 2048 SPARSE \"vm-000001.vmdk\"");
    let delta = SparseMap::new(MIB, GRAIN).grain(1, &changed).hosted(&descriptor.text());
    bench.write("vm-000001.vmdk", &delta);
    let mut want = content(MIB);
    want[changed.len()..2 * changed.len()].copy_from_slice(&changed);
    assert!(converted(&bench) == want);
    fs::remove_file(bench.path("vm.vmdk")).unwrap();
    let run = bench.run(["convert", "vm.vmx", "-o", "again"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stderr.starts_with("error[E0402]: "), "{run:?}");
}

#[test]
fn a_disk_of_the_old_host_is_taken_from_beside_the_vmx_and_nowhere_else() {
    let vmx = |file: &str| Vmx::new("vm", "debian10-64").disk("scsi0:0", file);
    let plan = |file: &str| machine(&vmx(file)).run(["plan", "--json", "vm.vmx"]);
    for file in ["/vmfs/volumes/4f-1/vm/vm.vmdk", "[ds1] vm/vm.vmdk", r"D:\VMs\vm\vm.vmdk"] {
        let run = plan(file);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(codes(&run.json()).contains(&"W0608"), "{file}: {run:?}");
    }
    let refused = |run: &Run| run.json()["error"]["code"].clone();
    for file in ["/etc/passwd", "../other.vmdk", "sub/../../x.vmdk", "json:{\"driver\":\"nbd\"}"] {
        assert_eq!(plan(file).code, Some(6), "{file}");
        let run = machine(&vmx(file)).run(["convert", "--json", "vm.vmx", "-o", "out"]);
        assert_eq!((run.code, refused(&run)), (Some(4), json!("E0104")), "{file}: {run:?}");
    }
}

#[test]
fn a_link_beside_a_vmx_is_not_followed() {
    let bench = machine(&Vmx::small("vm"));
    fs::rename(bench.path("vm.vmdk"), bench.path("real.vmdk")).unwrap();
    std::os::unix::fs::symlink("real.vmdk", bench.path("vm.vmdk")).unwrap();
    let run = bench.run(["inspect", "vm.vmx"]);
    assert_eq!(run.code, Some(4), "{run:?}");
    assert!(run.stderr.starts_with("error[E0105]: vm.vmdk is a link"), "{run:?}");
}

#[test]
fn an_image_beside_a_vmx_is_put_into_its_drive() {
    let vmx = Vmx::small("vm").cdrom("ide1:1", "seed.iso");
    let bench = machine(&vmx);
    bench.write("seed.iso", &[7; 4096]);
    converted(&bench);
    assert_eq!(bench.read("out/vm-cdrom0.iso"), [7; 4096]);
}

#[test]
fn a_file_that_is_no_vmx_is_refused_with_its_line() {
    let bench = Bench::empty();
    for (text, code, message) in [
        ("", "E0301", "no key at all, so that this is no VMX"),
        ("a = \"1\"\n<html>\n", "E0301", "a line that is not `key = \"value\"` (line 2)"),
        ("encryption.data = \"x\"\n", "E0402", "the VMX is encrypted"),
    ] {
        bench.write("vm.VMX", text.as_bytes());
        let run = bench.run(["inspect", "vm.VMX"]);
        assert_eq!(run.code, Some(4), "{run:?}");
        assert!(run.stderr.starts_with(&format!("error[{code}]: {message}\n")), "{run:?}");
    }
}

#[test]
fn a_vmx_has_no_configurations() {
    let run = machine(&Vmx::small("vm")).run(["plan", "vm.vmx", "--configuration", "small"]);
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("a VMX has no configuration or property 'small'"), "{run:?}");
}
