//! Images that are copied into a qcow2 image, and read back.

use std::sync::Arc;

use convert::copy::{self, Settings};
use disk::{CLUSTER_BYTES, Compression, Declared, Format, Image, Unheard, qcow2};
use testkit::{
    Memory, Qcow2, Qcow2Cluster, SparseMap, content, deflate, read_extents, stream_optimized,
    vhd_fixed,
};

use crate::Feed;

/// The largest disk that is copied.
const MAX_DISK_BYTES: u64 = 1 << 20;

/// The size of the disks.
const DISK: u64 = 100 << 10;

pub(crate) const COPY: Feed = Feed {
    name: "copy",
    read: |bytes| {
        let Ok(image) = disk::open(Arc::new(bytes.to_vec()), Declared::Unknown) else { return };
        if image.capacity_bytes() <= MAX_DISK_BYTES {
            for compression in [Compression::None, Compression::Zlib] {
                copy(&*image, compression);
            }
        }
    },
    seeds: || {
        let mut disk = vec![0; DISK as usize];
        disk[3000..70_000].copy_from_slice(&content(67_000));
        let stored = deflate(&content(CLUSTER_BYTES));
        let qcow2 = Qcow2::new(2 * CLUSTER_BYTES).cluster(1, Qcow2Cluster::Stored(stored));
        vec![
            stream_optimized(&disk, "a.vmdk"),
            SparseMap::of(&disk, 4096).hosted(""),
            qcow2.build().bytes,
            vhd_fixed(&disk[..20 << 10]),
        ]
    },
    words: &[b"KDMV", b"QFI\xfb", b"conectix", &[1, 0, 0, 0], &[0, 0, 0, 1], b"\x78\x9c"],
    seal: None,
};

/// # Panics
///
/// When the copy is another disk, or one is made of what cannot be read.
fn copy(image: &dyn Image, compression: Compression) {
    let target = Arc::new(Memory::default());
    let capacity = image.capacity_bytes();
    let mut writer = qcow2::Writer::create_with(target.clone(), capacity, compression.into())
        .expect("memory takes every write");
    let copied = copy::copy_image(image, &mut writer, Settings { workers: 1 }, &Unheard);
    match (read_extents(image), copied) {
        (Ok(disk), Ok(_)) => {
            let written = Arc::new(target.bytes());
            let written = disk::open(written, Declared::Stated(Format::Qcow2));
            let read = read_extents(&*written.expect("what was written can be opened"));
            assert!(
                read.expect("what was written can be read") == disk,
                "the copy is another disk"
            );
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => panic!("a sound disk is not copied: {error}"),
        (Err(error), Ok(_)) => panic!("a copy of what cannot be read: {error}"),
    }
}
