//! What people see, word for word: stdout, stderr and exit code.

use crate::bench::Bench;

macro_rules! snapshots {
    ($($name:ident: [$($word:literal),*];)*) => {
        $(
            #[test]
            fn $name() {
                let bench = Bench::new();
                insta::assert_snapshot!(bench.run([$($word),*]).seen());
            }
        )*
    };
}

snapshots! {
    inspect: ["inspect", "fixtures/demo.ova"];
    inspect_full: ["inspect", "--full", "fixtures/demo.ova"];
    inspect_digests: ["inspect", "--check-digests", "fixtures/demo.ova"];
    inspect_json: ["inspect", "--json", "fixtures/demo.ova"];
    inspect_disk: ["inspect", "disk.vmdk"];
    plan: ["plan", "fixtures/demo.ova"];
    plan_virtio: [
        "plan", "fixtures/demo.ova", "--profile", "virtio", "--configuration", "large",
        "--net", "VM Network=br0", "--net", "DMZ=none", "--prop", "hostname=web"
    ];
    plan_strict: ["plan", "fixtures/demo.ova", "--strict"];
    convert: ["convert", "fixtures/demo.ova", "-o", "out"];
    verify: ["verify", "fixtures/demo.ova"];
    verify_quick: ["verify", "--level", "quick", "fixtures/demo.ova"];
    disk_info: ["disk", "info", "disk.vmdk"];
    disk_check: ["disk", "check", "disk.vmdk"];
    disk_compare: ["disk", "compare", "disk.vmdk", "disk.vmdk"];
    disk_convert: ["disk", "convert", "disk.vmdk", "-o", "disk.qcow2"];
    sample_create: ["sample", "create"];
    explain: ["explain", "e0203"];
    help: ["-h"];
    help_of_convert: ["convert", "--help"];
    help_of_batch: ["batch", "--help"];
    help_of_batch_run: ["batch", "run", "--help"];
    unknown_command: ["improt", "demo.ova"];
    unknown_option: ["inspect", "--fill", "demo.ova"];
    unknown_value: ["plan", "fixtures/demo.ova", "--profile", "best"];
    missing_argument: ["convert", "fixtures/demo.ova"];
    wrong_destination: ["convert", "fixtures/demo.ova", "-o", "x.qcow2"];
    unknown_configuration: ["plan", "fixtures/demo.ova", "--configuration", "huge"];
    no_such_file: ["inspect", "absent.ova"];
}
