//! VMDKs whose descriptor names other files: split disks, and the deltas of snapshots.

use disk::{Format, is_zero};
use proptest::prelude::*;
use testkit::{Files, SparseMap, VmdkDescriptor, cases, guest_disks, stream_optimized};

use crate::{assert_reads_as, chains::chain};

const SECTOR: usize = 512;

/// How an extent is stored.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Flat,
    Sparse { grain_bytes: u64 },
    StreamOptimized,
    Cowd { grain_bytes: u64 },
    SeSparse,
    Zero,
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Flat),
        (13_u32..18).prop_map(|bits| Kind::Sparse { grain_bytes: 1 << bits }),
        Just(Kind::StreamOptimized),
        (9_u32..14).prop_map(|bits| Kind::Cowd { grain_bytes: 1 << bits }),
        Just(Kind::SeSparse),
        Just(Kind::Zero),
    ]
}

impl Kind {
    /// The words of the extent line, without the sectors.
    fn line(self, sectors: usize, name: &str) -> String {
        match self {
            Self::Flat => format!("RW {sectors} FLAT \"{name}\" 3"),
            Self::Sparse { .. } => format!("RW {sectors} SPARSE \"{name}\""),
            Self::StreamOptimized => format!("RDONLY {sectors} SPARSE \"{name}\""),
            Self::Cowd { .. } => format!("RW {sectors} VMFSSPARSE \"{name}\""),
            Self::SeSparse => format!("RW {sectors} SESPARSE \"{name}\""),
            Self::Zero => format!("RW {sectors} ZERO"),
        }
    }

    /// The file of the extent.
    fn file(self, part: &[u8], name: &str) -> Vec<u8> {
        match self {
            Self::Flat => [&[9; 3 * SECTOR], part, &[9; 100]].concat(),
            Self::Sparse { grain_bytes } => SparseMap::of(part, grain_bytes).hosted(""),
            Self::StreamOptimized => stream_optimized(part, name),
            Self::Cowd { grain_bytes } => SparseMap::of(part, grain_bytes).cowd(),
            Self::SeSparse => SparseMap::of(part, 4096).sesparse(),
            Self::Zero => Vec::new(),
        }
    }
}

/// Splits a disk into extents; what is left is the last one's.
fn split(disk: &[u8], parts: &[(usize, Kind)]) -> Files {
    let mut descriptor = VmdkDescriptor::new("custom");
    let (mut files, mut rest) = (Files::default(), disk);
    for (number, (sectors, kind)) in parts.iter().enumerate() {
        let is_last = number + 1 == parts.len();
        let wanted = if is_last { rest.len() } else { rest.len().min(sectors * SECTOR) };
        let (part, behind) = rest.split_at(wanted);
        rest = behind;
        if part.is_empty() {
            continue;
        }
        let kind = match kind {
            Kind::Zero if !is_zero(part) => Kind::Flat,
            kind => *kind,
        };
        let name = format!("part {number}.vmdk");
        descriptor = descriptor.extent(&kind.line(part.len() / SECTOR, &name));
        files = files.with(&name, kind.file(part, &name));
    }
    files.with("disk.vmdk", descriptor.text().into_bytes())
}

/// The delta of a disk above another, in grains of this size; COWD cannot hide what is below with
/// zeros, so it stores them.
fn delta(disk: &[u8], below: &[u8], kind: Kind) -> Vec<u8> {
    let grain_bytes = match kind {
        Kind::Sparse { grain_bytes } | Kind::Cowd { grain_bytes } => grain_bytes,
        _ => 4096,
    };
    let grain = usize::try_from(grain_bytes).unwrap();
    let mut map = SparseMap::new(disk.len() as u64, grain_bytes);
    for (index, here) in disk.chunks(grain).enumerate() {
        let mut shown = below.get(index * grain..).unwrap_or_default().to_vec();
        shown.resize(here.len(), 0);
        if here == shown {
            continue;
        }
        let index = index as u64;
        let hides = is_zero(here) && !matches!(kind, Kind::Cowd { .. });
        map = if hides { map.zero(index) } else { map.grain(index, here) };
    }
    match kind {
        Kind::Cowd { .. } => map.cowd(),
        Kind::Sparse { .. } => map.hosted(""),
        _ => map.sesparse(),
    }
}

/// A chain of three disks, the upper two of which are deltas.
fn deltas(disks: &[Vec<u8>; 3], kinds: [Kind; 2]) -> Files {
    let sectors = |disk: &[u8]| disk.len() / SECTOR;
    let base = VmdkDescriptor::new("monolithicFlat")
        .cid(1)
        .extent(&format!("RW {} FLAT \"base-flat.vmdk\" 0", sectors(&disks[0])));
    let mut files = Files::default()
        .with("base-flat.vmdk", disks[0].clone())
        .with("base.vmdk", base.text().into_bytes());
    for (number, (kind, pair)) in (1..).zip(kinds.into_iter().zip(disks.windows(2))) {
        let [below, disk] = pair else { unreachable!("windows of two") };
        let (name, extent) = (format!("{number}.vmdk"), format!("{number}-delta.vmdk"));
        let parent =
            if number == 1 { "base.vmdk".to_owned() } else { format!("{}.vmdk", number - 1) };
        let descriptor = VmdkDescriptor::new("vmfsSparse")
            .cid(number + 1)
            .parent(number, &format!("/vmfs/volumes/store/vm/{parent}"))
            .extent(&kind.line(sectors(disk), &extent));
        files = files
            .with(&extent, delta(disk, below, kind))
            .with(&name, descriptor.text().into_bytes());
    }
    files
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn monolithic_sparse_disks_are_read_back(disk in guest_disks(4), bits in 13_u32..18) {
        let bytes = disk.bytes();
        let line = format!("RW {} SPARSE \"disk.vmdk\"", bytes.len() / SECTOR);
        let descriptor = VmdkDescriptor::new("monolithicSparse").extent(&line).text();
        let file = SparseMap::of(&bytes, 1 << bits).hosted(&descriptor);
        let image = Files::default().with("disk.vmdk", file);
        let image = image.open_image("disk.vmdk", Format::Vmdk).unwrap();
        assert_reads_as(&*image, &bytes, "monolithicSparse");
    }

    #[test]
    fn split_disks_are_read_back(
        disk in guest_disks(3),
        parts in prop::collection::vec((1_usize..3000, kinds()), 1..8),
    ) {
        let bytes = disk.bytes();
        let image = split(&bytes, &parts).open_image("disk.vmdk", Format::Vmdk).unwrap();
        assert_reads_as(&*image, &bytes, "split");
    }

    #[test]
    fn deltas_show_their_parents(
        disks in [guest_disks(2), guest_disks(2), guest_disks(2)],
        picks in [0_usize..3, 0..3],
    ) {
        let kinds = picks.map(|pick| {
            [Kind::Sparse { grain_bytes: 65536 }, Kind::Cowd { grain_bytes: 512 }, Kind::SeSparse]
                [pick]
        });
        let disks = chain(&disks);
        let files = deltas(&disks, kinds);
        for (name, disk) in [("1.vmdk", &disks[1]), ("2.vmdk", &disks[2])] {
            let image = files.open_image(name, Format::Vmdk).unwrap();
            assert_reads_as(&*image, disk, name);
        }
    }
}
