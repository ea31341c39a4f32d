//! Disks that are gzip'd as a whole.

use disk::{Declared, Format, Length};
use testkit::{SparseMap, content, gzip, stream_optimized};

use crate::{
    Feed,
    stream::{self, Dribble},
};

/// The length of the raw seed.
const RAW: u64 = 20 << 10;

pub(crate) const GZIP: Feed = Feed {
    name: "gzip",
    read: |bytes| {
        let unpacked = disk::gzip_len_bytes(Box::new(Dribble::new(bytes)), u64::MAX);
        for (declared, length) in [
            (Declared::Claimed(Format::Vmdk), Length::Unknown),
            (Declared::Claimed(Format::Raw), Length::Known(RAW)),
        ] {
            let opened = disk::open_gzip(Box::new(Dribble::new(bytes)), length, declared);
            let read = opened.and_then(|mut image| stream::read(&mut *image));
            assert!(read.is_err() || unpacked.is_ok(), "a disk in a stream that is damaged");
        }
    },
    seeds: || {
        let disk = content(RAW);
        let vmdk = stream_optimized(&disk, "a.vmdk");
        let (front, back) = vmdk.split_at(3000);
        let members = [gzip(front), gzip(back), vec![0; 600]].concat();
        let sparse = SparseMap::of(&disk, 4096).hosted("");
        vec![gzip(&vmdk), members, gzip(&disk), gzip(&sparse)]
    },
    words: &[b"\x1f\x8b\x08", b"\x1f\x8b\x08\x1c", b"\x03\x00", b"\x00\x00\x00\xff\xff", b"KDMV"],
    seal: None,
};
