//! Hosted sparse extents (monolithicSparse), built by hand.

use disk::{Format, Unheard, check};

use crate::sample::{self, GRAIN, content, read_all, read_pipe, refusal};

const SECTOR: usize = 512;
/// The sectors of the parts: two directories, their tables, and the first grain.
const REDUNDANT: usize = 21;
const DIRECTORY: usize = 30;
const FIRST_GRAIN: usize = 128;

/// A disk of four grains, of which the first and the third are stored, in reverse order.
struct Sparse {
    bytes: Vec<u8>,
    disk: Vec<u8>,
}

impl Sparse {
    fn new() -> Self {
        let disk = content(3 * GRAIN + 1024, &[0, 2]);
        let mut sparse = Self { bytes: vec![0; (FIRST_GRAIN + 256) * SECTOR], disk };
        sparse.put(0, b"KDMV");
        sparse.put32(4, 1);
        sparse.put32(8, 3);
        sparse.put32(12, sparse.disk.len() as u32 / 512);
        sparse.put32(20, 128);
        sparse.put32(28, 1);
        sparse.put32(36, 20);
        sparse.put32(44, 512);
        sparse.put32(48, REDUNDANT as u32);
        sparse.put32(56, DIRECTORY as u32);
        sparse.put32(64, FIRST_GRAIN as u32);
        sparse.put(73, b"\n \r\n");
        sparse.put(
            512,
            b"# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\n\
            createType=\"monolithicSparse\"\nRW 386 SPARSE \"x.vmdk\"\n",
        );
        for directory in [REDUNDANT, DIRECTORY] {
            sparse.put32(directory * SECTOR, directory as u32 + 1);
            sparse.entry(directory, 0, FIRST_GRAIN as u32 + 128);
            sparse.entry(directory, 2, FIRST_GRAIN as u32);
        }
        let disk = sparse.disk.clone();
        sparse.put((FIRST_GRAIN + 128) * SECTOR, &disk[..GRAIN]);
        sparse.put(FIRST_GRAIN * SECTOR, &disk[2 * GRAIN..3 * GRAIN]);
        sparse
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn put32(&mut self, at: usize, value: u32) {
        self.put(at, &value.to_le_bytes());
    }

    /// Sets an entry of the table that follows a directory.
    fn entry(&mut self, directory: usize, slot: usize, sector: u32) {
        self.put32((directory + 1) * SECTOR + 4 * slot, sector);
    }

    fn refusal(&self) -> String {
        refusal(&self.bytes, Format::Vmdk).to_string()
    }
}

#[test]
fn reads_a_disk_from_a_file_and_from_a_pipe() {
    let sparse = Sparse::new();
    let image = sample::open(&sparse.bytes, Format::Vmdk).unwrap();
    assert_eq!((image.variant(), image.warnings().len()), ("monolithicSparse", 0));
    assert_eq!(read_all(&*image).unwrap(), sparse.disk);
    assert_eq!(read_pipe(&sparse.bytes, Format::Vmdk).unwrap(), (sparse.disk, Vec::new()));
    assert_eq!(check(&*image, &Unheard).unwrap().faults, []);
}

#[test]
fn an_entry_of_one_is_zeros_only_where_the_header_says_so() {
    let mut sparse = Sparse::new();
    sparse.entry(DIRECTORY, 1, 1);
    let want =
        "grain 1: it lies in the header and the tables, which end at byte 65536, at byte 512";
    assert_eq!(sparse.refusal(), want);
    sparse.put32(8, 7);
    let image = sample::open(&sparse.bytes, Format::Vmdk).unwrap();
    assert_eq!(read_all(&*image).unwrap(), sparse.disk);
}

#[test]
fn names_the_grain_whose_place_is_wrong() {
    for (slot, sector, want) in [
        (
            1,
            22,
            "grain 1: it lies in the header and the tables, which end at byte 65536, at byte 11264",
        ),
        (1, 128, "grain 2: its bytes are those of another grain, too, at byte 65536"),
        (1, 384, "grain 1: its 65536 bytes are not inside the file of 196608, at byte 196608"),
        (
            1,
            u32::MAX,
            "grain 1: its 65536 bytes are not inside the file of 196608, at byte 2199023255040",
        ),
    ] {
        let mut sparse = Sparse::new();
        sparse.entry(DIRECTORY, slot, sector);
        assert_eq!(sparse.refusal(), want);
        let piped = read_pipe(&sparse.bytes, Format::Vmdk).unwrap_err().to_string();
        assert_eq!(piped, want);
    }
}

#[test]
fn a_check_sees_grains_that_overlap_in_part() {
    let mut sparse = Sparse::new();
    sparse.entry(DIRECTORY, 0, FIRST_GRAIN as u32 + 1);
    sparse.entry(DIRECTORY, 2, FIRST_GRAIN as u32 + 128);
    let image = sample::open(&sparse.bytes, Format::Vmdk).unwrap();
    let faults = check(&*image, &Unheard).unwrap().faults;
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].message, "bytes 131072..196608 are used twice, at byte 131072");
}

#[test]
fn the_last_grain_may_end_with_the_file() {
    let mut sparse = Sparse::new();
    sparse.entry(DIRECTORY, 3, FIRST_GRAIN as u32 + 256);
    let last = [7; 1024];
    sparse.bytes.extend_from_slice(&last);
    sparse.disk[3 * GRAIN..].copy_from_slice(&last);
    let image = sample::open(&sparse.bytes, Format::Vmdk).unwrap();
    assert_eq!(read_all(&*image).unwrap(), sparse.disk);
    assert_eq!(read_pipe(&sparse.bytes, Format::Vmdk).unwrap().0, sparse.disk);
    sparse.bytes.pop();
    let want = "grain 3: its 1024 bytes are not inside the file of 197631, at byte 196608";
    assert_eq!(sparse.refusal(), want);
}

#[test]
fn uses_the_redundant_directory_when_the_first_is_damaged() {
    let mut sparse = Sparse::new();
    sparse.put32(DIRECTORY * SECTOR, 0x00ff_fff0);
    let image = sample::open(&sparse.bytes, Format::Vmdk).unwrap();
    assert_eq!(read_all(&*image).unwrap(), sparse.disk);
    assert_eq!(
        image.warnings()[0].to_string(),
        "grain directory entry 0: table at sector 16777200 is not inside the file of 196608 bytes, \
         at byte 15360; the redundant grain directory is used, at byte 10752"
    );
    sparse.put32(DIRECTORY * SECTOR, 0);
    let image = sample::open(&sparse.bytes, Format::Vmdk).unwrap();
    assert_eq!(read_all(&*image).unwrap(), sparse.disk);
    assert_eq!(
        image.warnings()[0].to_string(),
        "grain directory entry 0 is empty in the first directory and not in the redundant one, \
         at byte 15360; the redundant grain directory is used, at byte 10752"
    );
    assert_eq!(read_pipe(&sparse.bytes, Format::Vmdk).unwrap().0, sparse.disk);
    sparse.put32(REDUNDANT * SECTOR, 0);
    assert_eq!(sample::open(&sparse.bytes, Format::Vmdk).unwrap().warnings(), []);
    sparse.put32(DIRECTORY * SECTOR, 0x00ff_fff0);
    sparse.put32(8, 1);
    assert!(sparse.refusal().starts_with("grain directory entry 0: table at sector 16777200"));
}

#[test]
fn a_table_behind_the_grains_needs_a_file() {
    let mut sparse = Sparse::new();
    let table = sparse.bytes[(DIRECTORY + 1) * SECTOR..(DIRECTORY + 5) * SECTOR].to_vec();
    sparse.put32(DIRECTORY * SECTOR, (sparse.bytes.len() / SECTOR) as u32);
    sparse.bytes.extend_from_slice(&table);
    let image = sample::open(&sparse.bytes, Format::Vmdk).unwrap();
    assert_eq!(read_all(&*image).unwrap(), sparse.disk);
    let error = read_pipe(&sparse.bytes, Format::Vmdk).unwrap_err();
    let want = "a table is behind the grains: this disk cannot be read from a pipe, save it to a file first";
    assert_eq!((error.to_string().as_str(), error.code()), (want, code::Code::E0405));
}

#[test]
fn nothing_in_the_name_of_a_sub_format_acts_on_a_terminal() {
    let mut sparse = Sparse::new();
    sparse.put(512, &[0; 512]);
    sparse.put(512, b"CID=1\ncreateType=\"\x1b[2Jx\"\n");
    let image = sample::open(&sparse.bytes, Format::Vmdk).unwrap();
    assert_eq!(image.variant(), "\\u{1b}[2Jx");
}

#[test]
fn refuses_a_delta_and_a_descriptor_about_other_files() {
    for (text, want) in [
        (
            "CID=2\nparentCID=00000001\nparentFileNameHint=\"base.vmdk\"\n",
            "the disk is a delta: it needs the parent 'base.vmdk' with CID 00000001 (its own CID is 00000002), at byte 512",
        ),
        (
            "CID=2\nRW 8 FLAT \"/etc/hostname\" 0\n",
            "the embedded descriptor names an extent of type FLAT: the disk lies in other files, at byte 512",
        ),
    ] {
        let mut sparse = Sparse::new();
        sparse.put(512, &[0; 512]);
        sparse.put(512, text.as_bytes());
        let error = refusal(&sparse.bytes, Format::Vmdk);
        assert_eq!((error.to_string().as_str(), error.code()), (want, code::Code::E0402));
    }
}

#[test]
fn a_file_cut_at_any_sector_is_refused() {
    let sparse = Sparse::new();
    for len in (0..sparse.bytes.len()).step_by(SECTOR) {
        let read = sample::open(&sparse.bytes[..len], Format::Vmdk);
        assert!(read.and_then(|image| read_all(&*image)).is_err(), "{len}");
        assert!(read_pipe(&sparse.bytes[..len], Format::Vmdk).is_err(), "{len}");
    }
}

#[test]
fn a_piece_that_starts_inside_a_cluster_ends_with_it() {
    const SMALL: usize = 4096;
    let mut sparse = Sparse::new();
    sparse.bytes = vec![0; FIRST_GRAIN * SECTOR + 47 * SMALL];
    let disk = vec![7; 48 * SMALL];
    let sound = Sparse::new();
    sparse.put(0, &sound.bytes[..SECTOR * 21]);
    sparse.put32(12, (disk.len() / 512) as u32);
    sparse.put32(20, 8);
    for directory in [REDUNDANT, DIRECTORY] {
        sparse.put32(directory * SECTOR, directory as u32 + 1);
        for grain in 1..48 {
            sparse.entry(directory, grain, (FIRST_GRAIN + (grain - 1) * 8) as u32);
        }
    }
    sparse.put(FIRST_GRAIN * SECTOR, &disk[SMALL..]);
    let reader = Box::new(std::io::Cursor::new(sparse.bytes.clone()));
    let len = sparse.bytes.len() as u64;
    let mut stream =
        disk::open_stream(reader, disk::Length::Known(len), disk::Declared::Stated(Format::Vmdk))
            .unwrap();
    let mut piece = disk::Piece::default();
    let mut pieces = Vec::new();
    while stream.next(&mut piece).unwrap() {
        pieces.push((piece.start_bytes, piece.len_bytes));
    }
    assert_eq!(pieces, [(4096, 61_440), (65_536, 131_072)]);
}
