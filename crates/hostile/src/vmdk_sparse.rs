//! Hosted sparse VMDKs, monolithic and deltas.

use disk::{Format, Image, Result};
use testkit::{SparseMap, VmdkDescriptor, content};

use crate::{Feed, image};

/// Not a whole number of grains.
const DISK: u64 = (64 << 10) + 1536;

pub(crate) const VMDK_SPARSE: Feed = Feed {
    name: "vmdk_sparse",
    read: |bytes| image::judge(open(bytes)),
    seeds: || {
        let line = format!("RW {} SPARSE \"a.vmdk\"", DISK / 512);
        let descriptor = VmdkDescriptor::new("monolithicSparse").extent(&line).text();
        let mut disk = content(DISK);
        disk[8 << 10..40 << 10].fill(0);
        let with_zeros = SparseMap::new(1 << 20, 4096).grain(0, &disk[..4096]).zero(1);
        vec![
            SparseMap::of(&disk, 4096).hosted(&descriptor),
            SparseMap::of(&disk, 64 << 10).hosted(""),
            with_zeros.grain(200, &disk[..100]).hosted(""),
        ]
    },
    words: &[b"KDMV", b"COWD", b"\n \r\n", &u64::MAX.to_le_bytes(), &[21, 0, 0, 0], &[7, 0, 3, 0]],
    seal: None,
};

pub(crate) fn open(bytes: &[u8]) -> Result<Box<dyn Image>> {
    image::open(bytes, Format::Vmdk)
}
