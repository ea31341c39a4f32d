//! Images that show the disk below them where they have nothing.

use disk::Format;
use proptest::prelude::*;
use testkit::{
    Files, GuestDisk, Vhdx, cases, guest_disks, vhd_differencing, vhd_dynamic, vhd_fixed,
};

use crate::assert_reads_as;

/// The disks of a chain.
const CHAIN: usize = 3;

/// Stands disks above one another, the lowest first: none is smaller than the one below, and each has,
/// from its middle on, what is below it.
pub(crate) fn chain(disks: &[GuestDisk; CHAIN]) -> [Vec<u8>; CHAIN] {
    let mut chain = disks.each_ref().map(GuestDisk::bytes);
    chain.sort_by_key(Vec::len);
    for upper in 1..CHAIN {
        let (below, above) = chain.split_at_mut(upper);
        let (below, disk) = (&below[upper - 1], &mut above[0]);
        let shared = (disk.len() / 2).min(below.len())..below.len();
        disk[shared.clone()].copy_from_slice(&below[shared]);
    }
    chain
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn differencing_vhds_show_their_parents(
        disks in [guest_disks(2), guest_disks(2), guest_disks(2)],
    ) {
        let [base, middle, top] = chain(&disks);
        for base_file in [vhd_fixed(&base), vhd_dynamic(&base)] {
            let middle_file = vhd_differencing(&middle, &base, &base_file, "base.vhd");
            let top_file = vhd_differencing(&top, &middle, &middle_file, "middle.vhd");
            let files = Files::default()
                .with("base.vhd", base_file)
                .with("middle.vhd", middle_file)
                .with("top.vhd", top_file);
            for (name, disk) in [("middle.vhd", &middle), ("top.vhd", &top)] {
                let image = files.open_image(name, Format::Vhd).unwrap();
                assert_reads_as(&*image, disk, name);
            }
        }
    }

    #[test]
    fn differencing_vhdxs_show_their_parents(
        disks in [guest_disks(2), guest_disks(2), guest_disks(2)],
    ) {
        let [base, middle, top] = chain(&disks);
        let child = |disk, parent, locator: [(&str, &str); 2]| {
            Vhdx::new(disk).data_write_guid([2; 16]).above(parent, &locator).build()
        };
        let base_link = ("parent_linkage", "{01010101-0101-0101-0101-010101010101}");
        let middle_link = ("parent_linkage", "{02020202-0202-0202-0202-020202020202}");
        let files = Files::default()
            .with("base.vhdx", Vhdx::new(&base).data_write_guid([1; 16]).build())
            .with("middle.vhdx", child(&middle, &base, [base_link, ("relative_path", "base.vhdx")]))
            .with("top.vhdx", child(&top, &middle, [middle_link, ("relative_path", "middle.vhdx")]));
        for (name, disk) in [("middle.vhdx", &middle), ("top.vhdx", &top)] {
            let image = files.open_image(name, Format::Vhdx).unwrap();
            assert_reads_as(&*image, disk, name);
        }
    }
}
