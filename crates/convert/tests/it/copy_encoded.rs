//! Copies whose clusters are compressed.

use std::{io, path::Path, sync::Arc};

use convert::copy::{
    CloneFormat, Measured, Summary, TargetOptions, copy_stream, measure, write_image,
};
use disk::{
    CLUSTER_BYTES, Compression, Declared, ExtentKind, Format, Image, Unheard, Workbench, qcow2,
};
use testkit::{MIB, content, stream_optimized};

use crate::copy::{Memory, guest_bytes, open, output, to_qcow2, vmdk, workers};

const ALL: [Compression; 4] =
    [Compression::None, Compression::Zlib, Compression::ZlibCompat, Compression::ZSTD];

pub(crate) fn write(
    image: &dyn Image,
    options: TargetOptions,
    threads: usize,
) -> (Vec<u8>, Summary) {
    let file = Arc::new(Memory::default());
    let summary = write_image(
        image,
        output(image, Arc::clone(&file) as _, options),
        workers(threads),
        &Unheard,
    )
    .expect("a sound copy");
    let bytes = file.bytes.lock().expect("no thread panicked").clone();
    (bytes, summary)
}

fn compress(image: &dyn Image, compression: Compression, threads: usize) -> Vec<u8> {
    let (bytes, summary) = write(image, TargetOptions::Qcow2(compression), threads);
    assert_eq!(summary.file_bytes, bytes.len() as u64);
    bytes
}

/// Lets QEMU check an image and compare it with the bytes that it is to hold, where it is installed.
pub(crate) fn qemu_finds_it_sound(written: &[u8], want: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.qcow2"), written).expect("room for it");
    std::fs::write(path("a.raw"), want).expect("room for it");
    let text = |path: &Path| path.to_str().expect("a plain name").to_owned();
    let (image, raw) = (text(&path("a.qcow2")), text(&path("a.raw")));
    for args in [
        &["check", "-f", "qcow2", &image][..],
        &["compare", "-f", "qcow2", "-F", "raw", &image, &raw],
    ] {
        let Some(output) = testkit::oracle("qemu-img", args) else { return };
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "qemu-img {args:?}: {said}");
        assert!(args[0] != "check" || said.contains("No errors were found"), "{said}");
    }
}

#[test]
fn every_compression_comes_through_from_every_source() {
    for capacity in [512, 65_536, 65_536 + 512, 3 * MIB + 65_536, 5 * MIB + 1024] {
        let want = content(capacity);
        let plain = open(want.clone(), Format::Raw);
        let packed = open(compress(&*plain, Compression::Zlib, 1), Format::Qcow2);
        for image in [vmdk(&want), plain, packed] {
            for compression in ALL {
                let one = compress(&*image, compression, 1);
                assert!(compress(&*image, compression, 5) == one, "{capacity} {compression:?}");
                if !matches!(compression, Compression::Zstd(_)) {
                    let found = guest_bytes(&*open(one.clone(), Format::Qcow2));
                    assert!(found == want, "{capacity} {compression:?}");
                }
                qemu_finds_it_sound(&one, &want);
            }
        }
    }
}

/// The deflate streams of an image, in the order of the disk.
fn streams(image: &dyn Image) -> Vec<Option<Vec<u8>>> {
    let mut streams = Vec::new();
    for extent in image.extents() {
        let extent = extent.expect("a sound image");
        if matches!(extent.kind, ExtentKind::Stored { .. }) {
            let mut stream = Vec::new();
            image.stored(&extent, &mut stream).expect("a sound record");
            streams.push(Some(stream));
        }
    }
    streams
}

#[test]
fn the_streams_of_the_source_are_taken_as_they_are() {
    let want = content(3 * MIB);
    let source = vmdk(&want);
    let first = open(compress(&*source, Compression::Zlib, 2), Format::Qcow2);
    let second = open(compress(&*first, Compression::Zlib, 2), Format::Qcow2);
    let mut taken = 0;
    for stream in streams(&*source).into_iter().flatten() {
        let body = &stream[2..stream.len() - 4];
        if body.len() < 65_024 {
            let holds =
                |image| streams(image).iter().flatten().any(|record| record.starts_with(body));
            assert!(holds(&*first) && holds(&*second));
            taken += 1;
        }
    }
    assert!(taken > 20, "{taken}");
    let anew = open(compress(&*source, Compression::ZlibCompat, 2), Format::Qcow2);
    assert_ne!(streams(&*anew), streams(&*first));
}

#[test]
fn a_compressed_copy_of_a_pipe_is_that_of_the_file() {
    let want = content(4 * MIB + 512);
    for compression in ALL {
        let packed = stream_optimized(&want, "a.vmdk");
        let len = packed.len() as u64;
        let reader = Box::new(io::Cursor::new(packed));
        let mut stream =
            disk::open_stream(reader, disk::Length::Known(len), Declared::Claimed(Format::Vmdk))
                .unwrap();
        let file = Arc::new(Memory::default());
        let mut target = qcow2::Writer::create_with(
            Arc::clone(&file) as _,
            stream.capacity_bytes(),
            compression.into(),
        )
        .unwrap();
        copy_stream(&mut *stream, &mut target, workers(3), &Unheard).unwrap();
        let from_file = compress(&*vmdk(&want), compression, 1);
        assert!(*file.bytes.lock().unwrap() == from_file, "{compression:?}");
    }
}

#[test]
fn a_damaged_grain_is_never_passed_on() {
    let mut packed = stream_optimized(&content(2 * MIB), "a.vmdk");
    let grain =
        packed.windows(12).rposition(|w| w[..8] == (5 * 128_u64).to_le_bytes() && w[8..] != [0; 4]);
    let grain = grain.expect("grain 5 has a header");
    packed[grain + 30] ^= 1;
    let image = open(packed, Format::Vmdk);
    for options in [
        TargetOptions::Qcow2(Compression::Zlib),
        TargetOptions::Qcow2(Compression::ZSTD),
        TargetOptions::Clone(CloneFormat::Qcow2),
    ] {
        let file = Arc::new(Memory::default());
        let error =
            write_image(&*image, output(&*image, file, options), workers(2), &Unheard).unwrap_err();
        assert!(error.to_string().starts_with("grain 5: "), "{error}");
        assert!(error.to_string().ends_with(&format!("at byte {grain}")), "{error}");
    }
}

#[test]
fn what_is_measured_is_what_is_written() {
    let want = content(3 * MIB + 512);
    let mut options: Vec<_> = ALL.into_iter().map(TargetOptions::Qcow2).collect();
    options.extend([TargetOptions::Raw, TargetOptions::Clone(CloneFormat::Qcow2)]);
    for image in [vmdk(&want), open(want.clone(), Format::Raw)] {
        for options in &options {
            let Measured { required_bytes, fully_allocated_bytes } =
                measure(&*image, *options, workers(2), &Unheard).unwrap();
            let (bytes, summary) = write(&*image, *options, 2);
            assert_eq!(required_bytes, bytes.len() as u64, "{options:?}");
            assert_eq!(summary.file_bytes, required_bytes, "{options:?}");
            let full = match options {
                TargetOptions::Raw => want.len() as u64,
                _ => qcow2::allocated_bytes(want.len() as u64),
            };
            assert_eq!(fully_allocated_bytes, full, "{options:?}");
        }
    }
}

#[test]
fn a_copy_of_zeros_has_no_clusters() {
    let image = open(vec![0; 5 << 20], Format::Raw);
    for compression in ALL {
        let (bytes, summary) = write(&*image, TargetOptions::Qcow2(compression), 2);
        // The header, the L1 table, the refcount table and one block.
        assert_eq!((bytes.len() as u64, summary.data_bytes), (4 * CLUSTER_BYTES, 0));
    }
}

#[test]
fn a_compressed_cluster_that_fills_the_file_reads_as_before() {
    let want = content(2 * MIB);
    let image = open(to_qcow2(&*vmdk(&want), 1), Format::Qcow2);
    let packed = open(compress(&*image, Compression::Zlib, 2), Format::Qcow2);
    let mut bench = Workbench::new();
    for extent in packed.extents() {
        let extent = extent.unwrap();
        let range = extent.start_bytes as usize..extent.end_bytes() as usize;
        let mut out = vec![1; range.len()];
        packed.read_extent(&extent, &mut bench, &mut out).unwrap();
        assert!(out == want[range]);
    }
}
