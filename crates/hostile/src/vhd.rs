//! VHD, fixed, dynamic and differencing.

use std::sync::LazyLock;

use disk::{Format, Image, Result};
use testkit::{Files, content, vhd_differencing, vhd_dynamic, vhd_fixed, vhd_seal};

use crate::{Feed, image};

/// The length of a footer, in bytes.
const FOOTER: usize = 512;

/// The length of a dynamic header, in bytes.
const HEADER: usize = 1024;

/// Where the footer's checksum stands in it.
const FOOTER_SUM: usize = 64;

/// Where the dynamic header's checksum stands in it.
const HEADER_SUM: usize = 36;

/// The size of the disks.
const DISK: usize = 16 << 10;

/// The block of the seeds, in bytes.
const BLOCK: usize = 512 << 10;

pub(crate) const VHD: Feed = Feed {
    name: "vhd",
    read: |bytes| image::judge(open(bytes)),
    seeds: || {
        let below = content(DISK as u64);
        let mut above = below.clone();
        above[4096..5120].fill(9);
        above[10_000] = 1;
        let delta = vhd_differencing(&above, &below, &vhd_fixed(&below), "parent.vhd");
        let mut sparse = vec![0; 2 * BLOCK];
        sparse.extend(&below);
        let dynamic = [vhd_dynamic(&below), vhd_dynamic(&sparse), delta].map(cut);
        dynamic.into_iter().chain([vhd_fixed(&below)]).collect()
    },
    words: &[
        b"conectix",
        b"cxsparse",
        b"W2ru",
        b"W2ku",
        &[0, 0, 0, 2],
        &[0, 0, 0, 3],
        &[0, 0, 0, 4],
        &[0, 0, 2, 0],
        &[0, 8, 0, 0],
        &[0, 0x20, 0, 0],
    ],
    seal: Some(seal),
};

pub(crate) fn open(bytes: &[u8]) -> Result<Box<dyn Image>> {
    PARENT.clone().with("input.vhd", bytes.to_vec()).open_image("input.vhd", Format::Vhd)
}

/// What a differencing disk may name.
static PARENT: LazyLock<Files> =
    LazyLock::new(|| Files::default().with("parent.vhd", vhd_fixed(&content(DISK as u64))));

/// Leaves out what is behind the end of the disk in its last block: small inputs are fed sooner.
fn cut(mut file: Vec<u8>) -> Vec<u8> {
    let footer = file.len() - FOOTER;
    file.drain(footer - (BLOCK - DISK)..footer);
    file
}

/// Makes the checksums of both footers and of the dynamic header right.
fn seal(bytes: &mut [u8]) {
    let Some(last) = bytes.len().checked_sub(FOOTER) else { return };
    vhd_seal(&mut bytes[last..], FOOTER_SUM);
    if bytes.len() < FOOTER + HEADER {
        return;
    }
    // A fixed disk begins with the guest's bytes.
    if bytes.starts_with(b"conectix") {
        vhd_seal(&mut bytes[..FOOTER], FOOTER_SUM);
    }
    let header = &mut bytes[FOOTER..FOOTER + HEADER];
    if header.starts_with(b"cxsparse") {
        vhd_seal(header, HEADER_SUM);
    }
}
