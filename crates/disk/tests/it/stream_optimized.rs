//! streamOptimized VMDK: written here, read from a file and from a pipe, whole and damaged.

use disk::{
    Declared, ExtentKind, Format, Kind, Length, Progress, Unheard, check, compare, compare_stream,
};
use proptest::prelude::*;

use crate::sample::{self, GRAIN, content, read_all, read_pipe, refusal, stream_vmdk};

/// Three grains in two tables, the last of them short.
fn disk() -> Vec<u8> {
    content(513 * GRAIN + 1024, &[0, 2, 513])
}

fn open(bytes: &[u8]) -> Box<dyn disk::Image> {
    sample::open(bytes, Format::Vmdk).unwrap()
}

/// The place and the length of the record of each stored grain.
fn records(file: &[u8]) -> Vec<(usize, usize)> {
    let image = open(file);
    let stored = image.extents().filter_map(|extent| match extent.unwrap().kind {
        ExtentKind::Stored { offset_bytes, len_bytes, .. } => {
            Some((offset_bytes as usize, len_bytes as usize))
        }
        _ => None,
    });
    stored.collect()
}

#[test]
fn reads_what_it_wrote_from_a_file_and_from_a_pipe() {
    let (disk, file) = (disk(), stream_vmdk(&disk()));
    let image = open(&file);
    assert_eq!((image.variant(), image.warnings()), ("streamOptimized", &[][..]));
    assert_eq!(image.info().references[0].name, "disk.vmdk");
    assert_eq!(read_all(&*image).unwrap(), disk);
    assert_eq!(read_pipe(&file, Format::Vmdk).unwrap(), (disk, Vec::new()));
}

#[test]
fn gives_the_zlib_stream_of_a_grain_as_it_is() {
    let file = stream_vmdk(&disk());
    let image = open(&file);
    let grain = image.extents().next().unwrap().unwrap();
    let mut stream = Vec::new();
    image.stored(&grain, &mut stream).unwrap();
    let at = 65536 + 12;
    assert_eq!(stream, file[at..at + stream.len()]);
    let mut out = vec![0; GRAIN];
    libdeflater::Decompressor::new().zlib_decompress(&stream, &mut out).unwrap();
    assert_eq!(out, disk()[..GRAIN]);
    let hole = image.extents().nth(1).unwrap().unwrap();
    assert_eq!(
        image.stored(&hole, &mut stream).unwrap_err().to_string(),
        "the extent at byte 65536 of the disk is not stored compressed"
    );
}

#[test]
fn tolerates_an_end_that_is_not_as_it_should_be_and_says_so() {
    let disk = disk();
    let file = stream_vmdk(&disk);
    let end = file.len();
    let with_tail = |tail: &[u8]| [&file[..], tail].concat();
    let walked = "there is no footer; the grains are found by their own headers, at byte 65536";
    let no_end = |at: usize| format!("the end-of-stream marker is missing, at byte {at}");
    let behind =
        |n: usize| format!("{n} bytes behind the end of the stream are ignored, at byte {end}");
    for (bytes, want) in [
        (with_tail(&[0; 512]), vec![behind(512)]),
        (with_tail(b"\r\n"), vec![behind(2)]),
        (with_tail(&[0; 65536]), vec![behind(65536)]),
        (file[..end - 512].to_vec(), vec![no_end(end - 512)]),
        (file[..end - 1536].to_vec(), vec![walked.to_owned(), no_end(end - 1536)]),
    ] {
        let image = open(&bytes);
        let found: Vec<_> = image.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(found, want);
        assert_eq!(read_all(&*image).unwrap(), disk);
        let (piped, warnings) = read_pipe(&bytes, Format::Vmdk).unwrap();
        assert!(piped == disk && !warnings.is_empty());
    }
}

#[test]
fn a_directory_of_zeros_is_no_empty_disk() {
    let disk = disk();
    let mut file = stream_vmdk(&disk);
    // The directory has one sector, before the marker of the footer, the footer and the end.
    let directory = file.len() - 4 * 512;
    file[directory..directory + 512].fill(0);
    let image = open(&file);
    assert_eq!(read_all(&*image).unwrap(), disk);
    assert_eq!(
        image.warnings()[0].to_string(),
        "the grain directory is empty and the stream is not; the grains are found by their own headers, at byte 65536"
    );
    let empty = stream_vmdk(&[0; 3 * GRAIN]);
    assert_eq!(open(&empty).warnings(), []);
}

#[test]
fn a_sector_of_zeros_among_the_grains_is_not_the_end() {
    let file = stream_vmdk(&disk());
    let (first, second) = (records(&file)[0], records(&file)[1]);
    let (at, behind) = (second.0, second.0 + 512);
    let mut bad = file.clone();
    bad[at..behind].fill(0);
    let ends = |len: usize| {
        let rest = len - behind;
        format!(
            "the stream ends without grain directory and footer, and {rest} bytes follow that are not all zero, at byte {at}"
        )
    };
    // With its tables behind the grains a file shows what is missing.
    let want = format!("grain 2: its header names sector 0, not 256, at byte {at}");
    assert_eq!(refusal(&bad, Format::Vmdk).to_string(), want);
    let piped = |bytes: &[u8]| read_pipe(bytes, Format::Vmdk).unwrap_err().to_string();
    assert_eq!(piped(&bad), ends(bad.len()));
    bad.truncate(file.len() - 1536);
    bad.extend_from_slice(&file[first.0..first.0 + first.1]);
    assert_eq!(refusal(&bad, Format::Vmdk).to_string(), ends(bad.len()));
    assert_eq!(piped(&bad), ends(bad.len()));
    // A marker that is not all zero ends nothing.
    bad[at] = 7;
    let want = format!("a marker of type 0 announces 7 sectors, it has 0, at byte {at}");
    assert_eq!(refusal(&bad, Format::Vmdk).to_string(), want);
    assert_eq!(piped(&bad), want);
}

#[test]
fn grains_that_begin_behind_the_end_are_no_empty_disk() {
    let mut file = stream_vmdk(&disk());
    let len = file.len() - 1536;
    file.truncate(len);
    file[64..72].copy_from_slice(&60_000_u64.to_le_bytes());
    let want = format!("the grains begin at byte 30720000, the file has {len} bytes, at byte 64");
    assert_eq!(refusal(&file, Format::Vmdk).to_string(), want);
    assert_eq!(read_pipe(&file, Format::Vmdk).unwrap_err().to_string(), want);
}

#[test]
fn names_the_grain_and_the_byte_of_a_damage() {
    let file = stream_vmdk(&disk());
    let (at, len) = records(&file)[1];
    let size = u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap()) as usize;
    let spoil = |at: usize, bytes: &[u8]| {
        let mut bad = file.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        refusal(&bad, Format::Vmdk).to_string()
    };
    assert_eq!(
        spoil(at, &[1, 1]),
        format!("grain 2: its header names sector 257, not 256, at byte {at}")
    );
    assert_eq!(
        spoil(at + 8, &u32::MAX.to_le_bytes()),
        format!(
            "grain 2: its stream has 4294967295 bytes, up to the next grain or the end are {}, at byte {at}",
            len - 12
        )
    );
    assert_eq!(
        spoil(at + 12, &[0x79]),
        format!(
            "grain 2: the zlib header is 0x795e, which is no deflate stream without a dictionary, at byte {at}"
        )
    );
    let sum = at + 12 + size - 4;
    let said = u32::from_be_bytes(file[sum..sum + 4].try_into().unwrap());
    assert_eq!(
        spoil(sum, &(said ^ 1).to_be_bytes()),
        format!(
            "grain 2: the adler32 is {:#010x}, that of the data is {said:#010x}, at byte {at}",
            said ^ 1
        )
    );
}

#[test]
fn a_grain_that_inflates_to_less_or_more_is_refused() {
    let file = stream_vmdk(&disk());
    let (at, _) = records(&file)[0];
    for (inflated, want) in [
        (1000, "grain 0: it inflates to 1000 bytes, not to 65536, at byte 65536"),
        (65537, "grain 0: it inflates to more than 65536 bytes, at byte 65536"),
    ] {
        let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::best());
        let mut stream = vec![0; 1000];
        let len = compressor.zlib_compress(&vec![5; inflated], &mut stream).unwrap();
        let mut bad = file.clone();
        bad[at + 8..at + 12].copy_from_slice(&(len as u32).to_le_bytes());
        bad[at + 12..at + 12 + len].copy_from_slice(&stream[..len]);
        assert_eq!(refusal(&bad, Format::Vmdk).to_string(), want);
        assert_eq!(read_pipe(&bad, Format::Vmdk).unwrap_err().to_string(), want);
    }
}

#[test]
fn a_pipe_finds_tables_that_list_something_else() {
    let file = stream_vmdk(&disk());
    // The second grain is named once, in the table behind it.
    let sector = records(&file)[1].0 as u32 / 512;
    let at = file.windows(4).rposition(|entry| entry == sector.to_le_bytes()).unwrap();
    let mut bad = file.clone();
    bad[at] ^= 1;
    let error = read_pipe(&bad, Format::Vmdk).unwrap_err().to_string();
    assert!(error.starts_with("grain table 0 does not list the grains"), "{error}");
    let mut twice = file.clone();
    let (at, _) = records(&file)[1];
    twice[at..at + 8].copy_from_slice(&0_u64.to_le_bytes());
    let error = read_pipe(&twice, Format::Vmdk).unwrap_err().to_string();
    assert_eq!(error, format!("grain 0 is there twice, at byte {at}"));
}

#[test]
fn a_footer_that_contradicts_the_header_is_refused() {
    let file = stream_vmdk(&disk());
    let footer = file.len() - 1024;
    for (at, value, want) in [
        (12, &[9][..], "the footer has the capacity 65545, the header 65666"),
        (20, &[64], "the footer has the grain size 64, the header 128"),
        (56, &[0xff; 8], "the footer does not say where the grain directory is"),
    ] {
        let mut bad = file.clone();
        bad[footer + at..footer + at + value.len()].copy_from_slice(value);
        if at == 12 {
            bad[footer + 13] = 0;
        }
        let want = format!("{want}, at byte {footer}");
        assert_eq!(refusal(&bad, Format::Vmdk).to_string(), want);
        assert_eq!(read_pipe(&bad, Format::Vmdk).unwrap_err().to_string(), want);
    }
}

#[test]
fn a_file_cut_anywhere_is_whole_or_refused_and_never_wrong() {
    let disk = content(6 * GRAIN, &[0, 2, 3, 5]);
    let file = stream_vmdk(&disk);
    for len in (0..66 * 1024).step_by(509).chain(65 * 1024..file.len()) {
        let cut = &file[..len];
        let read = sample::open(cut, Format::Vmdk).and_then(|image| read_all(&*image));
        if let Ok(read) = read {
            // Without its end a stream cannot show that grains are missing; what is there is right.
            let same = |(there, here): (&[u8], &[u8])| there == here || disk::is_zero(there);
            assert!(read.chunks(GRAIN).zip(disk.chunks(GRAIN)).all(same), "{len}");
            let warned = !sample::open(cut, Format::Vmdk).unwrap().warnings().is_empty();
            assert!(warned, "{len}");
        }
        if let Ok((_, warnings)) = read_pipe(cut, Format::Vmdk) {
            assert!(!warnings.is_empty(), "{len}");
        }
    }
}

#[test]
fn a_check_lists_every_fault() {
    let file = stream_vmdk(&disk());
    let report = check(&*open(&file), &Unheard).unwrap();
    assert_eq!((report.faults.len(), report.stored_units), (0, 3));
    assert_eq!(report.data_bytes, 2 * GRAIN as u64 + 1024);
    let mut bad = file.clone();
    for (at, _) in records(&file) {
        bad[at + 20] ^= 0x40;
    }
    let report = check(&*open(&bad), &Unheard).unwrap();
    assert_eq!((report.faults.len(), report.more), (3, false));
    assert_eq!(report.faults[1].offset_bytes, Some(records(&file)[1].0 as u64));
    assert_eq!(report.faults[1].code, code::Code::E0404);
}

#[test]
fn compares_guest_bytes_and_names_the_first_that_differs() {
    let disk = disk();
    let first = |other: &[u8], format| {
        let (a, b) = (open(&stream_vmdk(&disk)), sample::open(other, format).unwrap());
        let found = compare(&*a, &*b, &Unheard).unwrap();
        (found.first_difference_bytes, found.warnings.len())
    };
    assert_eq!(first(&sample::qcow2(&disk), Format::Qcow2), (None, 0));
    assert_eq!(first(&[&disk[..], &[0; 4096]].concat(), Format::Raw), (None, 1));
    assert_eq!(
        first(&[&disk[..], &[0, 0, 1], &[0; 509]].concat(), Format::Raw),
        (Some(disk.len() as u64 + 2), 0)
    );
    for at in [0, 2 * GRAIN + 77, 100 * GRAIN, disk.len() - 1] {
        let mut other = disk.clone();
        other[at] ^= 1;
        assert_eq!(first(&other, Format::Raw), (Some(at as u64), 0));
        assert_eq!(first(&sample::qcow2(&other), Format::Qcow2), (Some(at as u64), 0));
    }
}

#[test]
fn compares_what_passes_once_with_a_file() {
    let disk = disk();
    let packed = stream_vmdk(&disk);
    let first = |other: &[u8], format| {
        let length = Length::Known(packed.len() as u64);
        let declared = Declared::Claimed(Format::Vmdk);
        let mut stream = disk::open_stream(Box::new(&packed[..]), length, declared).unwrap();
        compare_stream(&mut *stream, &*sample::open(other, format).unwrap(), &Unheard).unwrap()
    };
    assert_eq!(first(&sample::qcow2(&disk), Format::Qcow2), None);
    assert_eq!(first(&[&disk[..], &[0; 4096]].concat(), Format::Raw), None);
    let longer = [&disk[..], &[0, 0, 1], &[0; 509]].concat();
    assert_eq!(first(&longer, Format::Raw), Some(disk.len() as u64 + 2));
    assert_eq!(first(&disk[..512 * GRAIN], Format::Raw), Some(513 * GRAIN as u64));
    // In a grain, between two, and in the short last one.
    for at in [0, 2 * GRAIN + 77, 100 * GRAIN, disk.len() - 1] {
        let mut other = disk.clone();
        other[at] ^= 1;
        assert_eq!(first(&other, Format::Raw), Some(at as u64));
        assert_eq!(first(&sample::qcow2(&other), Format::Qcow2), Some(at as u64));
    }
}

/// Says "stop" from the first question on.
struct Stop;

impl Progress for Stop {
    fn advance(&self, _: u64) {}

    fn stopped(&self) -> bool {
        true
    }
}

#[test]
fn long_work_ends_when_it_is_told_to() {
    let image = open(&stream_vmdk(&disk()));
    let check = check(&*image, &Stop).unwrap_err();
    let compare = compare(&*image, &*image, &Stop).unwrap_err();
    assert_eq!((check.kind(), compare.kind()), (Kind::Stopped, Kind::Stopped));
    assert_eq!(check.to_string(), "stopped on request");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_disk_is_read_back(
        sectors in 1_usize..2000,
        grains in proptest::collection::vec(0_usize..16, 0..8),
        at in 0_usize..2000 * 512,
        len in 0_usize..200_000,
    ) {
        let disk = content(sectors * 512, &grains);
        let file = stream_vmdk(&disk);
        let image = open(&file);
        prop_assert_eq!(&read_all(&*image).unwrap(), &disk);
        prop_assert_eq!(&read_pipe(&file, Format::Vmdk).unwrap().0, &disk);
        let at = at.min(disk.len());
        let mut part = vec![9; len.min(disk.len() - at)];
        image.read_at(&mut part, at as u64).unwrap();
        prop_assert_eq!(&part[..], &disk[at..at + part.len()]);
    }

    #[test]
    fn any_flipped_bit_of_a_grain_is_found(pick in 0_usize..1 << 20, bit in 0_u32..8) {
        let disk = content(4 * GRAIN, &[0, 1, 3]);
        let mut file = stream_vmdk(&disk);
        let (at, _) = records(&file)[pick % 3];
        let size = u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap()) as usize;
        file[at + pick % (size + 12)] ^= 1 << bit;
        // Some bits of a deflate stream change nothing: unused bits at its end.
        let read = sample::open(&file, Format::Vmdk).and_then(|image| read_all(&*image));
        prop_assert!(read.is_err() || read.unwrap() == disk);
    }
}
