//! COWD extents of ESX.

use disk::{Format, Image, Result};
use testkit::{SparseMap, content};

use crate::{Feed, image};

pub(crate) const COWD: Feed = Feed {
    name: "cowd",
    read: |bytes| image::judge(open(bytes)),
    seeds: || {
        let disk = content(20 << 10);
        let many_tables = SparseMap::new(8 << 20, 512).grain(0, &disk[..512]);
        vec![
            SparseMap::of(&disk, 512).cowd(),
            SparseMap::of(&disk, 4096).cowd(),
            many_tables.grain(12_300, &disk[..512]).cowd(),
        ]
    },
    words: &[b"COWD", b"KDMV", &[1, 0, 0, 0, 3, 0, 0, 0], &[4, 0, 0, 0], &u32::MAX.to_le_bytes()],
    seal: None,
};

pub(crate) fn open(bytes: &[u8]) -> Result<Box<dyn Image>> {
    image::open(bytes, Format::Vmdk)
}
