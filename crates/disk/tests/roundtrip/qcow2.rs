//! qcow2 images of every kind of cluster, alone and above a backing file.

use disk::{CLUSTER_BYTES, Compression, Encoder, Format, is_zero};
use proptest::prelude::*;
use testkit::{Files, Qcow2, Qcow2Cluster, cases, guest_disks};

use crate::{assert_reads_as, chains::chain};

const CLUSTER: usize = CLUSTER_BYTES as usize;

/// A cluster of the extended layout has 32 of these.
const SUBCLUSTER: usize = CLUSTER / 32;

/// How the clusters that differ from the backing file are stored.
#[derive(Debug, Clone, Copy)]
enum Stored {
    Plain,
    Compressed(Compression),
    Subclusters,
}

/// An image of a disk, without the clusters that are the same in the backing file.
fn image(disk: &[u8], below: &[u8], stored: Stored) -> Qcow2 {
    let mut image = Qcow2::new(disk.len() as u64);
    if matches!(stored, Stored::Compressed(Compression::Zstd(_))) {
        image = image.zstd();
    }
    for (index, here) in (0..).zip(disk.chunks(CLUSTER)) {
        let mut shown = below.get(index * CLUSTER..).unwrap_or_default().to_vec();
        shown.resize(here.len(), 0);
        if here != shown {
            image = image.cluster(index as u64, cluster(here, &shown, stored));
        }
    }
    image
}

fn cluster(here: &[u8], below: &[u8], stored: Stored) -> Qcow2Cluster {
    let plain = || Qcow2Cluster::Data(here.to_vec());
    match stored {
        _ if is_zero(here) => Qcow2Cluster::Zero,
        Stored::Plain => plain(),
        Stored::Compressed(compression) => {
            let (mut whole, mut stream) = (here.to_vec(), Vec::new());
            whole.resize(CLUSTER, 0);
            let mut encoder = Encoder::new(compression).unwrap();
            let saves = encoder.encode(&whole, &mut stream).unwrap().is_some();
            if saves { Qcow2Cluster::Stored(stream) } else { plain() }
        }
        Stored::Subclusters => {
            let pairs = here.chunks(SUBCLUSTER).zip(below.chunks(SUBCLUSTER));
            let bits = (0..).zip(pairs).map(|(number, (here, below))| match () {
                () if here == below => 0,
                () if is_zero(here) => 1_u64 << 32 << number,
                () => 1 << number,
            });
            Qcow2Cluster::Parts(bits.sum(), here.to_vec())
        }
    }
}

fn ways() -> impl Strategy<Value = Stored> {
    prop_oneof![
        Just(Stored::Plain),
        Just(Stored::Compressed(Compression::Zlib)),
        Just(Stored::Compressed(Compression::ZlibCompat)),
        Just(Stored::Compressed(Compression::ZSTD)),
        Just(Stored::Subclusters),
    ]
}

proptest! {
    #![proptest_config(cases(32))]

    #[test]
    fn an_image_is_read_back(disk in guest_disks(3), stored in ways()) {
        let bytes = disk.bytes();
        let files = Files::default().with("a", image(&bytes, &[], stored).build().bytes);
        assert_reads_as(&*files.open_image("a", Format::Qcow2).unwrap(), &bytes, "alone");
    }

    #[test]
    fn a_data_file_is_read_back(disk in guest_disks(3)) {
        let bytes = disk.bytes();
        let built = image(&bytes, &[], Stored::Plain).data_file("data").build();
        let files = Files::default().with("a", built.bytes).with("data", built.data);
        assert_reads_as(&*files.open_image("a", Format::Qcow2).unwrap(), &bytes, "data file");
    }

    #[test]
    fn backing_files_are_shown(
        disks in [guest_disks(2), guest_disks(2), guest_disks(2)],
        stored in [ways(), ways()],
    ) {
        let [base, middle, top] = chain(&disks);
        let middle_image = image(&middle, &base, stored[0]).backing("base", Some("raw"));
        let top_image = image(&top, &middle, stored[1]).backing("middle", Some("qcow2"));
        let files = Files::default()
            .with("base", base)
            .with("middle", middle_image.build().bytes)
            .with("top", top_image.build().bytes);
        for (name, disk) in [("middle", &middle), ("top", &top)] {
            let image = files.open_image(name, Format::Qcow2).unwrap();
            assert_reads_as(&*image, disk, name);
        }
    }
}
