//! Which format an image has, and what its guest can be started by.

use std::sync::Arc;

use disk::{BootRecord, Declared, Format, Kind};
use testkit::{Qcow2, SparseMap, VmdkDescriptor, content, stream_optimized, vdi_static, vhd_fixed};

use crate::Feed;

pub(crate) const DETECT: Feed = Feed {
    name: "detect",
    read,
    seeds: || {
        let disk = content(4096);
        let mut vdi = vdi_static(&disk);
        vdi.truncate(1024 + disk.len());
        vec![
            disk.clone(),
            boot_disk(),
            stream_optimized(&boot_disk(), "a.vmdk"),
            SparseMap::of(&boot_disk(), 4096).hosted(""),
            SparseMap::of(&disk, 512).cowd(),
            VmdkDescriptor::new("custom").extent("RW 8 ZERO").text().into_bytes(),
            Qcow2::new(4096).cluster_bits(9).build().bytes,
            vdi,
            vhd_fixed(&boot_disk()),
        ]
    },
    words: &[
        b"KDMV",
        b"COWD",
        b"QFI\xfb",
        b"conectix",
        b"vhdxfile",
        b"# Disk DescriptorFile",
        b"createType",
        &0xcafe_babe_u64.to_le_bytes(),
        &0xbeda_107f_u32.to_le_bytes(),
        b"EFI PART",
        b"Hah!IdontNeedEFI",
        b"\x55\xaa",
    ],
    seal: None,
};

/// A disk with code for a BIOS and a GPT of two partitions.
fn boot_disk() -> Vec<u8> {
    let mut disk = vec![0; 8 << 10];
    disk[0] = 0xeb;
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk[512..520].copy_from_slice(b"EFI PART");
    disk[512 + 72] = 2;
    disk[512 + 80] = 4;
    disk[512 + 84] = 128;
    disk[1024..1040].copy_from_slice(b"Hah!IdontNeedEFI");
    disk
}

/// # Panics
///
/// When an image is opened as something else than what it was found to be, or a raw one is opened
/// that has the magic of a format, though nobody stated that it is raw.
fn read(bytes: &[u8]) {
    let bytes = Arc::new(bytes.to_vec());
    let found = disk::detect(&*bytes);
    let open = |declared| disk::open(bytes.clone(), declared);
    let is_other = |kind| matches!(kind, Kind::Mismatch | Kind::Malformed);
    for declared in [Declared::Unknown, Declared::Claimed(Format::Raw)] {
        match (open(declared), &found) {
            (Ok(image), Ok(Some(format))) => {
                assert_eq!(image.format(), *format);
                assert_ne!(declared, Declared::Claimed(Format::Raw), "{format} opened as raw");
                drop(BootRecord::read(&*image));
            }
            (Ok(image), Ok(None)) => {
                assert_eq!(declared, Declared::Claimed(Format::Raw), "opened without a magic");
                assert_eq!(image.format(), Format::Raw);
                BootRecord::read(&*image).expect("a raw image can be read anywhere");
            }
            (Ok(_), Err(error)) => panic!("opened as {declared:?}, and yet: {error}"),
            (Err(error), Ok(Some(_))) if declared == Declared::Claimed(Format::Raw) => {
                assert_eq!(error.kind(), Kind::Mismatch, "{error}");
            }
            (Err(error), Ok(None)) => assert!(is_other(error.kind()), "{error}"),
            (Err(_), _) => {}
        }
    }
    let Ok(image) = open(Declared::Stated(Format::Raw)) else { return };
    assert_eq!(image.format(), Format::Raw, "raw is raw, whatever its bytes are");
}
