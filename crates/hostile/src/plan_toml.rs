//! Plan files, which people edit.

use crate::Feed;

pub(crate) const PLAN_TOML: Feed = Feed {
    name: "plan_toml",
    read: |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        drop(cli::check_plan_file(text));
    },
    seeds: || vec![SEED.as_bytes().to_vec()],
    words: &[
        b"[[machine]]\n",
        b"[[machine.disk]]\n",
        b"[choices]\n",
        b"\"\"\"",
        b"'''",
        b"\\u0000",
        b"= [",
        b"[[[[[[[[",
        b"{a.b.c.d = ",
        b"schema = 1\n",
        b"profile = \"virtio\"\n",
        b"-1",
        b"0x8000000000000000",
        b"1e999",
        b"1979-05-27T07:32:00Z",
        b"../",
    ],
    seal: None,
};

/// A plan file with everything that one may hold.
const SEED: &str = r#"schema = 1
target = "dir:/out"

[source]
path = "/a.ova"
kind = "ova"
digest = "sha256:00"
descriptor = "sha256:01"

[choices]
ignore = ["sound"]

[[machine]]
id = "demo"
name = "demo"
uuid = "a074e305-745c-84da-852c-106272ef2391"
vcpus = 1
memory_bytes = 536870912
firmware = "bios"
machine = "q35"

[[machine.disk]]
id = "disk0"
file = "disk1.vmdk"
to = "disk0.qcow2"
format = "qcow2"
bus = "sata"

[[machine.nic]]
id = "nic0"
source = "VM Network"
target = "bridge:br0,vlan=30"
model = "vmxnet3"
mac = "52:54:00:24:90:08"

[[machine.row]]
item = "sound"
action = "changed"
code = "W0106"
from = "ensoniq1371"
to = "es1370"
reason = "nearest model"
"#;
