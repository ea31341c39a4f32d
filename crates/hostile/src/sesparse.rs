//! `seSparse` extents of ESX.

use disk::{Format, Image, Result};
use testkit::{SparseMap, content};

use crate::{Feed, image};

pub(crate) const SESPARSE: Feed = Feed {
    name: "sesparse",
    read: |bytes| image::judge(open(bytes)),
    seeds: || {
        let disk = content(20 << 10);
        let two_tables = SparseMap::new(20 << 20, 4096).grain(4, &disk[..4096]).zero(5);
        vec![
            SparseMap::of(&disk, 4096).sesparse(),
            two_tables.grain(4097, &disk[4096..8192]).sesparse(),
        ]
    },
    words: &[
        &0xcafe_babe_u64.to_le_bytes(),
        &0xcafe_cafe_u64.to_le_bytes(),
        &0x2_0000_0001_u64.to_le_bytes(),
        &(1_u64 << 60).to_le_bytes(),
        &(2_u64 << 60).to_le_bytes(),
        &(3_u64 << 60).to_le_bytes(),
        &(0x1000_0000_u64 << 32).to_le_bytes(),
    ],
    seal: None,
};

pub(crate) fn open(bytes: &[u8]) -> Result<Box<dyn Image>> {
    image::open(bytes, Format::Vmdk)
}
