//! Images that stand alone.

use std::sync::Arc;

use disk::{Declared, Format};
use proptest::prelude::*;
use testkit::{
    MIB, Vhdx, cases, guest_disks, stream_optimized, vdi_dynamic, vdi_static, vhd_dynamic,
    vhd_fixed, vhdx,
};

use crate::assert_reads_as;

/// Opens the image without a hint where its format has a magic, and reads it.
#[track_caller]
fn assert_opens_as(file: Vec<u8>, format: Format, disk: &[u8], what: &str) {
    let declared = match format {
        Format::Raw => Declared::Stated(Format::Raw),
        _ => Declared::Unknown,
    };
    let image = disk::open(Arc::new(file), declared).unwrap();
    assert_eq!(image.format(), format, "{what}");
    assert_reads_as(&*image, disk, what);
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_raw_image_is_read_back(disk in guest_disks(4)) {
        let bytes = disk.bytes();
        assert_opens_as(bytes.clone(), Format::Raw, &bytes, "raw");
    }

    #[test]
    fn a_stream_optimized_vmdk_is_read_back(disk in guest_disks(4)) {
        let bytes = disk.bytes();
        let file = stream_optimized(&bytes, "disk.vmdk");
        assert_opens_as(file, Format::Vmdk, &bytes, "streamOptimized");
    }

    #[test]
    fn vhds_are_read_back(disk in guest_disks(4)) {
        let bytes = disk.bytes();
        assert_opens_as(vhd_fixed(&bytes), Format::Vhd, &bytes, "fixed VHD");
        assert_opens_as(vhd_dynamic(&bytes), Format::Vhd, &bytes, "dynamic VHD");
    }

    #[test]
    fn vdis_are_read_back(disk in guest_disks(4)) {
        let bytes = disk.bytes();
        assert_opens_as(vdi_dynamic(&bytes), Format::Vdi, &bytes, "dynamic VDI");
        assert_opens_as(vdi_static(&bytes), Format::Vdi, &bytes, "static VDI");
    }

    #[test]
    fn vhdxs_are_read_back(disk in guest_disks(4)) {
        let bytes = disk.bytes();
        assert_opens_as(vhdx(&bytes), Format::Vhdx, &bytes, "VHDX");
        let large = Vhdx::new(&bytes).block_mib(2).build();
        assert_opens_as(large, Format::Vhdx, &bytes, "VHDX with blocks of 2 MiB");
    }
}

proptest! {
    #![proptest_config(cases(4))]

    #[test]
    fn a_disk_of_many_tables_is_read_back(disk in guest_disks(80)) {
        let bytes = disk.bytes();
        let file = stream_optimized(&bytes, "disk.vmdk");
        assert_opens_as(file, Format::Vmdk, &bytes, "streamOptimized");
        prop_assert!(bytes.len() as u64 <= 80 * MIB);
    }
}
