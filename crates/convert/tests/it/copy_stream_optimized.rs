//! Copies to a streamOptimized VMDK.

use std::{io, process::Output};

use convert::{
    Kind,
    copy::{Copied, TargetOptions, content_id, measure_stream_optimized, write_stream_optimized},
};
use disk::{
    Codec, Compression, ExtentKind, Format, Image, Progress, Unheard, is_zero,
    vmdk::{StreamOptions, StreamWriter},
};
use testkit::{MIB, content, stream_optimized};

use crate::{
    copy::{Stop, Sum, guest_bytes, open, vmdk, workers},
    copy_encoded::write,
    copy_out::Pipe,
};

/// As the testkit writes it.
fn options(image: &dyn Image) -> StreamOptions {
    StreamOptions::new(image.capacity_bytes(), "a.vmdk", 0x1234_5678)
}

fn packed(image: &dyn Image, threads: usize) -> (Vec<u8>, Copied) {
    let mut out = Vec::new();
    let copied =
        write_stream_optimized(image, &mut out, &options(image), workers(threads), &Unheard);
    (out, copied.expect("a sound copy"))
}

/// The same disk as images whose clusters arrive plain, as zlib, as deflate and as zstd streams.
fn sources(disk: &[u8]) -> [Box<dyn Image>; 4] {
    let qcow2 = |compression| {
        open(write(&*vmdk(disk), TargetOptions::Qcow2(compression), 1).0, Format::Qcow2)
    };
    [
        open(disk.to_vec(), Format::Raw),
        vmdk(disk),
        qcow2(Compression::ZlibCompat),
        qcow2(Compression::ZSTD),
    ]
}

#[test]
fn every_capacity_comes_through_whatever_the_source_and_the_number_of_workers() {
    for capacity in [512, 65_536, 65_536 + 512, 3 * MIB + 65_536, 33 * MIB + 1024] {
        let want = content(capacity);
        for image in sources(&want) {
            let (file, copied) = packed(&*image, 1);
            let read = open(file.clone(), Format::Vmdk);
            assert_eq!((read.variant(), read.warnings()), ("streamOptimized", &[][..]));
            assert!(guest_bytes(&*read) == want, "{capacity} of {}", image.format());
            let grains = want.chunks(65_536).filter(|grain| !is_zero(grain));
            let told = Copied {
                capacity_bytes: capacity,
                data_bytes: grains.map(|grain| grain.len() as u64).sum(),
                file_bytes: file.len() as u64,
            };
            assert_eq!(copied, told, "{capacity} of {}", image.format());
            for threads in [2, 5] {
                assert!(packed(&*image, threads) == (file.clone(), copied), "{threads} workers");
            }
            let measured =
                measure_stream_optimized(&*image, &options(&*image), workers(2), &Unheard).unwrap();
            assert_eq!(measured.required_bytes, copied.file_bytes);
            assert!(measured.fully_allocated_bytes >= copied.file_bytes);
        }
    }
}

#[test]
fn what_is_written_is_what_the_writer_of_one_grain_at_a_time_writes() {
    let want = content(5 * MIB + 512);
    let file = stream_optimized(&want, "a.vmdk");
    // Once every grain is compressed here, once each is taken as it is.
    for image in [open(want, Format::Raw), vmdk(&content(5 * MIB + 512))] {
        assert!(packed(&*image, 3).0 == file, "from {}", image.format());
    }
}

/// The streams of the whole grains of an image, without what frames the deflate data.
fn deflate_streams(image: &dyn Image) -> Vec<Vec<u8>> {
    let mut streams = Vec::new();
    for extent in image.extents() {
        let extent = extent.expect("a sound image");
        let ExtentKind::Stored { codec, .. } = extent.kind else { continue };
        if extent.len_bytes < 65_536 {
            continue;
        }
        let mut stream = Vec::new();
        image.stored(&extent, &mut stream).expect("a sound stream");
        streams.push(match codec {
            Codec::Zlib => stream[2..stream.len() - 4].to_vec(),
            _ => stream,
        });
    }
    streams
}

#[test]
fn deflated_clusters_of_a_qcow2_become_grains_as_they_are() {
    // zlib-rs compresses other than libdeflate: another compressor's streams can be told.
    let want = content(3 * MIB);
    let compressed = write(&*vmdk(&want), TargetOptions::Qcow2(Compression::ZlibCompat), 2).0;
    let image = open(compressed, Format::Qcow2);
    let written = deflate_streams(&*open(packed(&*image, 2).0, Format::Vmdk));
    let ours = deflate_streams(&*vmdk(&want));
    let stored = deflate_streams(&*image);
    // A compressed cluster is known to the sector: the start of its neighbour may follow.
    let among =
        |grains: &[Vec<u8>], stream: &[u8]| grains.iter().any(|one| stream.starts_with(one));
    assert!(stored.iter().all(|stream| among(&written, stream)));
    let foreign = stored.iter().filter(|stream| !among(&ours, stream)).count();
    assert!(foreign > 10, "{foreign} of {} streams can be told from ours", stored.len());
}

#[test]
fn a_large_disk_takes_as_long_as_what_it_holds() {
    let capacity_bytes = 2 << 40;
    let options = StreamOptions::new(capacity_bytes, "a.vmdk", 7);
    let mut writer = StreamWriter::create(Vec::new(), &options).unwrap();
    for grain in [0, 40_000, capacity_bytes / 65_536 - 1] {
        writer.write_grain(grain, &content(65_536)).unwrap();
    }
    let file = writer.finish().unwrap();
    let image = open(file.clone(), Format::Vmdk);
    let mut out = Vec::new();
    let copied = write_stream_optimized(&*image, &mut out, &options, workers(2), &Unheard).unwrap();
    assert!(out == file);
    assert_eq!((copied.capacity_bytes, copied.data_bytes), (capacity_bytes, 3 * 65_536));
}

#[test]
fn a_disk_of_zeros_is_a_file_without_grains() {
    let image = open(vec![0; 40 * MIB as usize], Format::Raw);
    let sum = Sum::default();
    let mut out = Vec::new();
    let copied =
        write_stream_optimized(&*image, &mut out, &options(&*image), workers(2), &sum).unwrap();
    assert_eq!((copied.data_bytes, copied.file_bytes), (0, 65_536 + 5 * 512));
    assert_eq!(sum.0.into_inner(), 40 * MIB);
    assert!(is_zero(&guest_bytes(&*open(out, Format::Vmdk))));
}

#[test]
fn the_disk_may_grow_and_never_shrink() {
    let want = content(MIB + 512);
    let image = vmdk(&want);
    let sized = |capacity_bytes| StreamOptions { capacity_bytes, ..options(&*image) };
    let mut out = Vec::new();
    let copied =
        write_stream_optimized(&*image, &mut out, &sized(2 * MIB), workers(2), &Unheard).unwrap();
    assert_eq!(copied.capacity_bytes, 2 * MIB);
    let read = guest_bytes(&*open(out, Format::Vmdk));
    assert!(read[..want.len()] == want && is_zero(&read[want.len()..]));
    let mut out = Vec::new();
    let error = write_stream_optimized(&*image, &mut out, &sized(MIB), workers(2), &Unheard);
    let want = "the VMDK is to have 1048576 bytes, the disk has 1049088";
    assert_eq!((error.unwrap_err().to_string().as_str(), out.len()), (want, 0));
}

#[test]
fn options_that_no_file_can_have_are_refused() {
    let image = vmdk(&content(MIB));
    for (change, want) in [
        (StreamOptions { level: 13, ..options(&*image) }, "a deflate level of 13 is not in 1..=12"),
        (
            StreamOptions { name: "a\"b".to_owned(), ..options(&*image) },
            "the file name 'a\\\"b' has a quote or a control character, or is over 255 bytes",
        ),
    ] {
        let error = write_stream_optimized(&*image, &mut io::sink(), &change, workers(1), &Unheard);
        assert_eq!(error.unwrap_err().to_string(), want);
    }
}

#[test]
fn a_reader_that_goes_is_told_from_other_failures() {
    let image = vmdk(&content(8 * MIB));
    let whole = packed(&*image, 1).0.len();
    for room in [0, 100_000, whole - 1] {
        for (kind, broken) in
            [(io::ErrorKind::BrokenPipe, true), (io::ErrorKind::StorageFull, false)]
        {
            let mut out = Pipe { room, kind };
            let error =
                write_stream_optimized(&*image, &mut out, &options(&*image), workers(3), &Unheard)
                    .unwrap_err();
            assert_eq!((error.kind(), error.is_broken_pipe()), (Kind::Target, broken));
        }
    }
}

#[test]
fn a_damaged_grain_is_named_and_a_stop_is_heard() {
    let mut spoiled = stream_optimized(&content(4 * MIB), "a.vmdk");
    let header = |w: &[u8]| w[..8] == (30 * 128_u64).to_le_bytes() && w[8..] != [0; 4];
    let grain = spoiled.windows(12).rposition(header).expect("grain 30 has a header");
    spoiled[grain + 40] ^= 1;
    let run = |image: &dyn Image, progress: &dyn Progress| {
        let to = &mut io::sink();
        write_stream_optimized(image, to, &options(image), workers(4), progress).unwrap_err()
    };
    let error = run(&*open(spoiled, Format::Vmdk), &Unheard);
    assert_eq!(error.kind(), Kind::Source);
    assert!(error.to_string().starts_with("grain 30: "), "{error}");
    let error = run(&*vmdk(&content(4 * MIB)), &Stop);
    assert_eq!(error.kind(), Kind::Stopped);
}

#[test]
fn the_content_id_is_that_of_the_disk_and_not_of_its_file() {
    let disk = content(MIB);
    let [first, others @ ..] = sources(&disk).map(|image| content_id(&*image).unwrap());
    assert_eq!(others, [first; 3]);
    let mut other = disk.clone();
    other[440] ^= 1;
    let longer = [disk, vec![0; 512]].concat();
    for disk in [other, longer, content(512)] {
        assert_ne!(content_id(&*open(disk, Format::Raw)).unwrap(), first);
    }
}

/// Lets QEMU say something of a file.
fn qemu_img(args: &[&str]) -> Option<Output> {
    let output = testkit::oracle("qemu-img", args)?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {args:?}: {said}");
    Some(output)
}

#[test]
fn qemu_finds_a_stream_optimized_vmdk_of_the_same_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (file, raw) = (path("a.vmdk"), path("a.raw"));
    for capacity in [512, 65_536, 3 * MIB + 512, 40 * MIB + 66_048] {
        let disk = content(capacity);
        std::fs::write(&raw, &disk).unwrap();
        for image in sources(&disk) {
            std::fs::write(&file, packed(&*image, 2).0).unwrap();
            let Some(info) = qemu_img(&["info", "--output=json", "-f", "vmdk", &file]) else {
                return;
            };
            let info = String::from_utf8_lossy(&info.stdout).into_owned();
            assert!(info.contains("\"create-type\": \"streamOptimized\""), "{info}");
            assert!(info.contains(&format!("\"virtual-size\": {capacity}")), "{info}");
            qemu_img(&["check", "-f", "vmdk", &file]);
            qemu_img(&["compare", "-f", "vmdk", "-F", "raw", &file, &raw]);
        }
    }
}
