//! qcow2 of both versions: compressed clusters, snapshots, a backing file, a data file.

use std::sync::{Arc, LazyLock};

use disk::{Declared, Format, Image, Result};
use testkit::{Files, Qcow2, Qcow2Cluster, content, deflate, zstd};

use crate::{Feed, image};

/// Clusters of the least size that subclusters can have, and smaller ones.
const EXTENDED_BITS: u32 = 14;
const SMALL_BITS: u32 = 12;

/// The size of a small cluster.
const CLUSTER: usize = 1 << SMALL_BITS;

/// What the input is called.
const NAME: &str = "input.qcow2";

/// The size of the disks.
const DISK: u64 = 10 * CLUSTER as u64 + 512;

pub(crate) const QCOW2: Feed = Feed {
    name: "qcow2",
    read,
    seeds,
    words: &[
        b"QFI\xfb",
        &[0, 0, 0, 2],
        &[0, 0, 0, 3],
        &[0, 0, 0, 9],
        &[0, 0, 0, 21],
        &0xe279_2aca_u32.to_be_bytes(),
        &0x4441_5441_u32.to_be_bytes(),
        &0x6803_f857_u32.to_be_bytes(),
        &0x2385_2875_u32.to_be_bytes(),
        &(1_u64 << 63 | 0x3000).to_be_bytes(),
        &(1_u64 << 62 | 0x3000).to_be_bytes(),
        &(1_u64 << 62 | 0xff << 54 | 0x3000).to_be_bytes(),
        b"base.raw",
        b"json:{}",
        b"\x28\xb5\x2f\xfd",
    ],
    seal: None,
};

pub(crate) fn open(bytes: &[u8]) -> Result<Box<dyn Image>> {
    let file = Arc::new(bytes.to_vec());
    disk::open_behind(&FILES.gate(NAME), file, Declared::Stated(Format::Qcow2))
}

/// Reads the image as it is, and as it was: one snapshot by its id, one by its name.
fn read(bytes: &[u8]) {
    image::judge(open(bytes));
    let file = Arc::new(bytes.to_vec());
    for name in ["1", "new"] {
        image::judge(disk::open_snapshot(&FILES.gate(NAME), file.clone(), name));
    }
}

/// What an image may name.
static FILES: LazyLock<Files> = LazyLock::new(|| {
    let data = [content(CLUSTER as u64), vec![3; CLUSTER]].concat();
    Files::default().with("base.raw", content(DISK / 1024 * 512)).with("data", data)
});

fn seeds() -> Vec<Vec<u8>> {
    let small = || Qcow2::new(DISK).cluster_bits(SMALL_BITS);
    let text = content(CLUSTER as u64);
    let data = |byte: u8| Qcow2Cluster::Data(vec![byte; CLUSTER]);
    let plain = || small().cluster(0, Qcow2Cluster::Data(text.clone())).cluster(10, data(5));
    let deflated = plain().cluster(2, Qcow2Cluster::Stored(deflate(&text)));
    let packed = plain().zstd().cluster(3, Qcow2Cluster::Stored(zstd(&text)));
    let snapshots = deflated.clone().snapshot("old").cluster(0, data(1)).snapshot("new");
    let extended = Qcow2::new(DISK).cluster_bits(EXTENDED_BITS);
    let parts = Qcow2Cluster::Parts(0b101 | 0b1010 << 32, vec![6; 1 << EXTENDED_BITS]);
    let images = [
        deflated.version_2(),
        packed.cluster(4, Qcow2Cluster::Zero),
        snapshots.cluster(9, data(2)),
        plain().backing("base.raw", Some("raw")),
        extended.cluster(1, parts).backing("base.raw", Some("raw")),
        small().cluster(3, data(8)).cluster(4, data(3)).data_file("data"),
    ];
    images.map(|image| image.build().bytes).into()
}
