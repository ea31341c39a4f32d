//! VDI, dynamic and static.

use disk::{Format, Image, Result};
use testkit::{content, vdi_dynamic, vdi_static};

use crate::{Feed, image};

/// A block of a VDI.
const BLOCK: usize = 1 << 20;

pub(crate) const VDI: Feed = Feed {
    name: "vdi",
    read: |bytes| image::judge(open(bytes)),
    seeds: || {
        let short = content(4 << 10);
        let mut sparse = vec![0; 2 * BLOCK];
        sparse.extend(&short);
        [vdi_dynamic(&short), vdi_static(&short), vdi_dynamic(&sparse)].map(cut).into()
    },
    words: &[
        &0xbeda_107f_u32.to_le_bytes(),
        &[1, 0, 1, 0],
        &[0x90, 1, 0, 0],
        &(BLOCK as u32).to_le_bytes(),
        &0xffff_ffff_u32.to_le_bytes(),
        &0xffff_fffe_u32.to_le_bytes(),
    ],
    seal: None,
};

pub(crate) fn open(bytes: &[u8]) -> Result<Box<dyn Image>> {
    image::open(bytes, Format::Vdi)
}

/// Leaves out what is behind the end of the disk in its last block: small inputs are fed sooner.
fn cut(mut file: Vec<u8>) -> Vec<u8> {
    file.truncate(1024 + (4 << 10));
    file
}
