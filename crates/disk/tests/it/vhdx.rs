//! VHDX: built by hand, alone and in chains, damaged, and with a log that was not applied.

use std::{collections::HashMap, sync::Arc};

use disk::{
    Closed, Declared, Error, ExtentKind, FileName, Format, Gate, Image, Kind, Opened, Place,
    Result, Role, Unheard, check,
};
use proptest::prelude::*;
use testkit::{MIB, Vhdx, vhdx};

use crate::sample::{self, content, read_all, refusal};

const BAT_AT: usize = 3 << 20;

/// Where the first block is.
const DATA_AT: u64 = 4 << 20;

const ME: usize = MIB as usize;

fn open(bytes: &[u8]) -> Box<dyn Image> {
    sample::open(bytes, Format::Vhdx).unwrap()
}

fn put64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// A disk of 3.5 MiB with content in MiB 0 and 2.
fn guest() -> Vec<u8> {
    content(3 * ME + ME / 2, &[0, 1, 15, 32, 47])
}

#[test]
fn reads_a_dynamic_disk() {
    let (disk, file) = (guest(), vhdx(&guest()));
    let image = open(&file);
    let info = image.info();
    assert_eq!((image.variant(), info.unit_bytes), ("dynamic", Some(MIB)));
    assert_eq!((info.file_bytes, info.warnings.len()), (file.len() as u64, 0));
    assert_eq!(read_all(&*image).unwrap(), disk);
    let kinds: Vec<_> = image.extents().map(|extent| extent.unwrap().kind).collect();
    let data = |offset_bytes| ExtentKind::Data { offset_bytes };
    assert_eq!(kinds, [data(DATA_AT), ExtentKind::Hole, data(DATA_AT + MIB), ExtentKind::Hole]);
    assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
    let mut part = vec![9; 3000];
    image.read_at(&mut part, 2 * MIB - 1000).unwrap();
    assert_eq!(part, disk[2 * ME - 1000..2 * ME + 2000]);
}

#[test]
fn the_last_block_may_end_with_the_disk() {
    let mut disk = guest();
    disk[3 * ME..].fill(7);
    let mut file = vhdx(&disk);
    file.truncate(file.len() - ME / 2);
    let image = open(&file);
    assert_eq!(read_all(&*image).unwrap(), disk);
    assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
    file.pop();
    let want = format!(
        "block 3: bytes 6291456..6815744 are not inside the file of 6815743, at byte {}",
        BAT_AT + 24
    );
    assert_eq!(open(&file).extents().last().unwrap().unwrap_err().to_string(), want);
}

#[test]
fn states_of_zeros_are_zeros_whatever_lies_there() {
    let (mut disk, mut file) = (guest(), vhdx(&guest()));
    for (state, block) in [(1, 0), (2, 1), (3, 2)] {
        put64(&mut file, BAT_AT + block * 8, DATA_AT | state);
    }
    disk.fill(0);
    let image = open(&file);
    assert_eq!(read_all(&*image).unwrap(), disk);
    assert_eq!(image.extents().next().unwrap().unwrap().kind, ExtentKind::Zero);
}

#[test]
fn a_pending_log_is_replayed_in_memory_with_a_warning() {
    let disk = guest();
    let file = Vhdx::new(&disk).with_pending_log().build();
    let image = open(&file);
    assert_eq!(read_all(&*image).unwrap(), disk);
    let warnings: Vec<_> = image.warnings().iter().map(ToString::to_string).collect();
    let want =
        "the disk was not closed: its log was replayed in memory, entries: 1, at byte 1048576";
    assert_eq!(warnings, [want]);
    assert_eq!(image.warnings()[0].code, code::Code::W0610);
    let mut damaged = file;
    damaged[(1 << 20) + 100] ^= 1;
    let want =
        "the log is not empty, and no valid sequence of entries is found in it, at byte 1048576";
    assert_eq!(refusal(&damaged, Format::Vhdx).to_string(), want);
}

#[test]
fn qemu_reads_the_disks_of_these_tests_as_they_are_meant() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (raw, vhdx) = (path("disk.raw"), path("disk.vhdx"));
    std::fs::write(&raw, guest()).unwrap();
    // QEMU reads no disk with logical sectors of 4096 bytes.
    for block_mib in [1, 2] {
        let maker = Vhdx::new(&guest()).block_mib(block_mib);
        for (file, repair) in
            [(maker.build(), None), (maker.with_pending_log().build(), Some("all"))]
        {
            std::fs::write(&vhdx, file).unwrap();
            // A pending log is replayed only by what may write.
            let check = ["check", "-f", "vhdx"].into_iter();
            let check = check.chain(repair.into_iter().flat_map(|what| ["-r", what]));
            for words in [
                check.chain([&*vhdx]).collect(),
                vec!["compare", "-f", "raw", "-F", "vhdx", &raw, &vhdx],
            ] {
                let Some(output) = testkit::oracle("qemu-img", &words) else { return };
                let told = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{words:?}: {told}");
            }
        }
    }
}

#[test]
fn names_the_block_that_is_wrong_and_goes_on_behind_it() {
    let good = vhdx(&guest());
    for (entry, want) in [
        (
            (5 << 20) | 6,
            "block 2: byte 5242880 is part of a table or of another block, at byte 5242880",
        ),
        (
            (2 << 20) | 6,
            "block 1: byte 2097152 is part of a table or of another block, at byte 2097152",
        ),
        (
            (6 << 20) | 6,
            "block 1: bytes 6291456..7340032 are not inside the file of 6291456, at byte 3145736",
        ),
    ] {
        let mut file = good.clone();
        put64(&mut file, BAT_AT + 8, entry);
        let image = open(&file);
        let (sound, wrong): (Vec<_>, Vec<_>) = image.extents().partition(Result::is_ok);
        let wrong: Vec<_> = wrong.into_iter().map(|error| error.unwrap_err().to_string()).collect();
        assert_eq!(wrong, [want]);
        let end = sound.last().unwrap().as_ref().unwrap().end_bytes();
        assert_eq!(end, image.capacity_bytes());
    }
}

#[test]
fn a_file_that_is_cut_is_refused_or_lost_nothing_that_is_read() {
    let disk = guest();
    for file in [vhdx(&disk), Vhdx::new(&disk).with_pending_log().build()] {
        for len in (0..file.len()).step_by(64 << 10) {
            let read = sample::open(&file[..len], Format::Vhdx).and_then(|image| read_all(&*image));
            assert_ne!(read.unwrap_err().kind(), Kind::Io, "{len}");
        }
    }
    let file = vhdx(&disk);
    let want =
        "block 2: bytes 5242880..6291456 are not inside the file of 6291455, at byte 3145744";
    assert_eq!(refusal(&file[..file.len() - 1], Format::Vhdx).to_string(), want);
}

/// Files beside the disk.
struct Beside(HashMap<&'static str, Vec<u8>>);

impl Gate for Beside {
    fn open(&self, role: Role, name: &FileName, _from: &Place) -> Result<Opened> {
        assert_eq!(role, Role::Parent);
        let place = Place { name: name.text().to_owned(), file: None };
        match self.0.get(name.text()) {
            Some(bytes) => Ok(Opened { bytes: Arc::new(bytes.clone()), place }),
            // Of the errors of a gate a test can make only those of an empty one.
            None => Closed.open(role, name, &place),
        }
    }

    fn root(&self) -> Place {
        Place { name: "child.vhdx".to_owned(), file: None }
    }

    fn max_depth(&self) -> usize {
        16
    }
}

fn open_beside(child: &[u8], files: &[(&'static str, &[u8])]) -> Result<Box<dyn Image>> {
    let files = files.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect();
    let declared = Declared::Stated(Format::Vhdx);
    disk::open_behind(&Beside(files), Arc::new(child.to_vec()), declared)
}

fn refused(opened: Result<Box<dyn Image>>) -> Error {
    opened.err().unwrap()
}

const PARENT: [u8; 16] = [0x55; 16];

const LOCATOR: [(&str, &str); 2] = [
    ("relative_path", r".\folder\parent.vhdx"),
    ("parent_linkage", "{55555555-5555-5555-5555-555555555555}"),
];

/// A parent and a delta above it, in which every other sector of MiB 1 is new.
fn chain(sector_bytes: usize) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let below = guest();
    let mut above = content(5 * ME, &[48, 60]);
    above[..below.len()].copy_from_slice(&below);
    for sector in above[ME..2 * ME].chunks_mut(sector_bytes).step_by(2) {
        sector.fill(0x77);
    }
    above[2 * ME..3 * ME].fill(0);
    above[..4096].fill(0x11);
    let parent = Vhdx::new(&below).data_write_guid(PARENT).build();
    let child = Vhdx::new(&above).sector_bytes(sector_bytes).above(&below, &LOCATOR).build();
    (parent, child, above)
}

#[test]
fn a_delta_shows_its_parent_where_its_sector_bitmap_says_so() {
    for sector_bytes in [512, 4096] {
        let (parent, child, above) = chain(sector_bytes);
        let image = open_beside(&child, &[("parent.vhdx", &parent)]).unwrap();
        assert_eq!(
            (image.variant(), image.files()),
            ("differencing", &["", "parent.vhdx"].map(String::from)[..])
        );
        assert_eq!(image.info().references[0].name, "parent.vhdx");
        assert_eq!(read_all(&*image).unwrap(), above);
        assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
        for (at, len) in [(0, 5 * ME), (4000, 200), (ME + 100, 5000), (2 * ME - 3, 7), (4 * ME, 3)]
        {
            let mut part = vec![9; len];
            image.read_at(&mut part, at as u64).unwrap();
            assert_eq!(part, above[at..at + len], "{len} bytes at {at}");
        }
    }
}

#[test]
fn a_chain_of_three_is_read_and_one_without_an_end_is_not() {
    let (parent, child, above) = chain(512);
    let mut top = above.clone();
    top[3 * ME..3 * ME + 512].fill(0xcc);
    let locator = [
        ("volume_path", r"\\?\Volume{0}\child.vhdx"),
        ("relative_path", "child.vhdx"),
        ("parent_linkage", "20202020-2020-2020-2020-202020202020"),
    ];
    let top_file = Vhdx::new(&top).above(&above, &locator).build();
    let files = [("child.vhdx", &child[..]), ("parent.vhdx", &parent)];
    let declared = Declared::Stated(Format::Vhdx);
    struct Top(Beside);
    impl Gate for Top {
        fn open(&self, role: Role, name: &FileName, from: &Place) -> Result<Opened> {
            self.0.open(role, name, from)
        }
        fn root(&self) -> Place {
            Place { name: "top.vhdx".to_owned(), file: None }
        }
        fn max_depth(&self) -> usize {
            3
        }
    }
    let gate = Top(Beside(files.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect()));
    let image = disk::open_behind(&gate, Arc::new(top_file.clone()), declared).unwrap();
    assert_eq!(read_all(&*image).unwrap(), top);
    let own = open_beside(&top_file, &files);
    let want = "the parent 'child.vhdx' is an image of its own chain, which so has no end";
    assert_eq!(refused(own).to_string(), want);
}

#[test]
fn a_delta_alone_is_refused_with_the_name_and_the_guid_of_its_parent() {
    let (_, child, _) = chain(512);
    let error = refusal(&child, Format::Vhdx);
    let want = "the image needs its parent 'parent.vhdx', and only images that stand alone are read here; its data write GUID is 55555555-5555-5555-5555-555555555555, at byte 2162736";
    assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Denied, want));
}

#[test]
fn a_parent_that_is_another_disk_or_damaged_is_refused() {
    let (parent, child, above) = chain(512);
    let other = Vhdx::new(&above).build();
    let want = "the parent 'parent.vhdx' has the data write GUID 20202020-2020-2020-2020-202020202020, the disk was made above 55555555-5555-5555-5555-555555555555, at byte 2162736";
    assert_eq!(refused(open_beside(&child, &[("parent.vhdx", &other)])).to_string(), want);
    let want = "the file identifier is not vhdxfile, at byte 0 of parent.vhdx";
    assert_eq!(refused(open_beside(&child, &[("parent.vhdx", &above)])).to_string(), want);
    let mut damaged = parent;
    put64(&mut damaged, BAT_AT, 7);
    let image = open_beside(&child, &[("parent.vhdx", &damaged)]).unwrap();
    let want = "block 0: it is present in part, and the disk has no parent, at byte 3145728 of parent.vhdx";
    assert_eq!(read_all(&*image).unwrap_err().to_string(), want);
}

#[test]
fn a_sector_bitmap_that_is_missing_or_shared_is_refused() {
    let (parent, child, _) = chain(512);
    let bitmap_entry = BAT_AT + 4096 * 8;
    for (entry, want) in [
        (
            0,
            "the sector bitmap of chunk 0 has the entry 0x0000000000000000, whose state is not 6, at byte 3178496",
        ),
        (
            DATA_AT | 6,
            "the sector bitmap of chunk 0: byte 4194304 is part of a table or of a block, at byte 4194304",
        ),
    ] {
        let mut bad = child.clone();
        put64(&mut bad, bitmap_entry, entry);
        let image = open_beside(&bad, &[("parent.vhdx", &parent)]).unwrap();
        assert_eq!(read_all(&*image).unwrap_err().to_string(), want);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_disk_is_read_back(
        sectors in 0_usize..1500,
        grains in proptest::collection::vec(0_usize..96, 0..8),
        block in 0_u32..3,
        sector_bytes in prop_oneof![Just(512), Just(4096)],
        pending: bool,
    ) {
        let disk = content(sectors * 4096, &grains);
        let maker = Vhdx::new(&disk).block_mib(1 << block).sector_bytes(sector_bytes);
        let file = if pending { maker.with_pending_log() } else { maker }.build();
        prop_assert_eq!(read_all(&*open(&file)).unwrap(), disk);
    }

    #[test]
    fn any_delta_is_read_back(
        sectors in 1_usize..6000,
        below in proptest::collection::vec(0_usize..48, 0..6),
        changes in proptest::collection::vec((0_usize..6000, 1_usize..70, any::<u8>()), 0..12),
        pending: bool,
    ) {
        let parent = content(2 * ME, &below);
        let mut disk = parent.clone();
        disk.resize(sectors * 512, 0);
        for (start, len, fill) in changes {
            for sector in disk.chunks_mut(512).skip(start).take(len) {
                sector.fill(fill);
            }
        }
        let mut seen = parent.clone();
        seen.resize(disk.len().max(parent.len()), 0);
        let maker = Vhdx::new(&disk).above(&seen, &LOCATOR);
        let child = if pending { maker.with_pending_log() } else { maker }.build();
        let parent = Vhdx::new(&parent).data_write_guid(PARENT).build();
        let image = open_beside(&child, &[("parent.vhdx", &parent)]).unwrap();
        prop_assert_eq!(read_all(&*image).unwrap(), disk);
    }

    #[test]
    fn no_change_of_a_number_makes_it_panic(
        at in prop_oneof![
            2_usize * ME..2 * ME + 256,
            2 * ME + (64 << 10)..2 * ME + (64 << 10) + 400,
            3 * ME..3 * ME + 64,
            3 * ME + 4090 * 8..3 * ME + 4100 * 8,
        ],
        value: u64,
    ) {
        let (parent, mut child, _) = chain(512);
        put64(&mut child, at, value);
        if let Ok(image) = open_beside(&child, &[("parent.vhdx", &parent)])
            && image.capacity_bytes() < 1 << 30
        {
            drop(read_all(&*image));
            check(&*image, &Unheard).unwrap();
        }
    }
}
