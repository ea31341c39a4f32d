//! A disk above another, both from the input.

use disk::{Format, Image, Result};
use testkit::{
    Files, Qcow2, Qcow2Cluster, SparseMap, VmdkDescriptor, content, deflate, vhd_differencing,
    vhd_fixed,
};

use crate::{Feed, image, several};

/// The size of the lower disks; those above are larger where their format allows it.
const DISK: u64 = 8 << 10;

pub(crate) const CHAIN: Feed = Feed {
    name: "chain",
    read: |bytes| image::judge(open(bytes)),
    seeds: || vec![qcow2(Some("qcow2")), qcow2(None), vmdk(), vhd()],
    words: &[b"QFI\xfb", b"KDMV", b"conectix", b"bottom", b"top", b"qcow2", b"raw", b"vmdk"],
    seal: None,
};

/// Opens the upper disk as what it seems to be.
pub(crate) fn open(bytes: &[u8]) -> Result<Box<dyn Image>> {
    let (top, bottom) = several::split(bytes);
    let top = top.to_vec();
    let format = disk::detect(&top)?.unwrap_or(Format::Raw);
    Files::default().with("top", top).with("bottom", bottom.to_vec()).open_image("top", format)
}

/// Subclusters above a cluster that is compressed, or above the same bytes that are raw.
fn qcow2(format: Option<&str>) -> Vec<u8> {
    let bits = 14;
    let parts = Qcow2Cluster::Parts(0b110 | 0b1 << 40, vec![6; 1 << bits]);
    let top = Qcow2::new(3 * DISK).cluster_bits(bits).cluster(0, parts);
    let stored = Qcow2Cluster::Stored(deflate(&[content(DISK), vec![0; 1 << 13]].concat()));
    let bottom = Qcow2::new(2 * DISK).cluster_bits(bits).cluster(0, stored);
    let top = top.backing("bottom", Some(format.unwrap_or("raw"))).build();
    several::join(&top.bytes, &bottom.build().bytes)
}

/// A delta of grains of 4 KiB above larger ones.
fn vmdk() -> Vec<u8> {
    let disk = content(DISK);
    let line = format!("RW {} SPARSE \"top\"", DISK / 512);
    let bottom = VmdkDescriptor::new("monolithicSparse").cid(1);
    let top = bottom.clone().parent(1, "bottom").extent(&line).text();
    let bottom = bottom.extent(&line.replace("top", "bottom")).text();
    let map = SparseMap::new(DISK, 4096).grain(1, &disk[..4096]);
    several::join(&map.hosted(&top), &SparseMap::of(&disk, 8192).hosted(&bottom))
}

/// Sectors above a fixed disk.
fn vhd() -> Vec<u8> {
    let below = content(DISK);
    let mut above = below.clone();
    above[512..1024].fill(9);
    let bottom = vhd_fixed(&below);
    let mut top = vhd_differencing(&above, &below, &bottom, "bottom");
    let footer = top.len() - 512;
    top.drain(footer - ((512 << 10) - above.len())..footer);
    several::join(&top, &bottom)
}
