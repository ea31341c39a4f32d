//! VHD, fixed and dynamic.

use disk::{Declared, Format};
use testkit::{content, vhd_dynamic, vhd_fixed, vhd_seal};

use crate::{Feed, image};

/// The length of a footer, in bytes.
const FOOTER: usize = 512;

/// Where the footer's checksum stands in it.
const FOOTER_SUM: usize = 64;

/// Where the dynamic header's checksum stands in it.
const HEADER_SUM: usize = 36;

pub(crate) const VHD: Feed = Feed {
    name: "vhd",
    read: |bytes| image::read(bytes, Declared::Stated(Format::Vhd)),
    seeds: || {
        let disk = content(1 << 20);
        vec![vhd_fixed(&disk[..64 << 10]), vhd_dynamic(&disk)]
    },
    words: &[b"conectix", b"cxsparse", &[0, 0, 0, 2], &[0, 0, 0, 3], &[0, 0, 0, 4]],
    seal: Some(seal),
};

/// Makes the checksums of both footers and of the dynamic header right.
fn seal(bytes: &mut [u8]) {
    let Some(last) = bytes.len().checked_sub(FOOTER) else { return };
    vhd_seal(&mut bytes[last..], FOOTER_SUM);
    if bytes.len() >= FOOTER + 1024 {
        vhd_seal(&mut bytes[..FOOTER], FOOTER_SUM);
        vhd_seal(&mut bytes[FOOTER..FOOTER + 1024], HEADER_SUM);
    }
}
