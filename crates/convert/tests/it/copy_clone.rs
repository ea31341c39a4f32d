//! Copies that keep the source's bytes as they are.

use std::{fs::File, sync::Arc};

use convert::{
    Kind,
    copy::{CloneFormat, TargetOptions, clone_image, write_image},
};
use disk::{CLUSTER_BYTES, Compression, Declared, FileBytes, Format, Image, Unheard};
use testkit::{MIB, content, stream_optimized};

use crate::{
    copy::{Memory, Stop, Sum, guest_bytes, open, output, vmdk, workers},
    copy_encoded::{qemu_finds_it_sound, write},
};

const QCOW2: TargetOptions = TargetOptions::Clone(CloneFormat::Qcow2);
const RAW: TargetOptions = TargetOptions::Clone(CloneFormat::Raw);

#[test]
fn a_clone_has_the_sources_bytes_and_the_guests() {
    for capacity in [65_536, 65_536 + 512, 3 * MIB + 65_536, 5 * MIB + 1024] {
        let want = content(capacity);
        let packed = stream_optimized(&want, "a.vmdk");
        let raw = open(want.clone(), Format::Raw);
        let zlib = write(&*raw, TargetOptions::Qcow2(Compression::Zlib), 2).0;
        for (bytes, format) in
            [(packed, Format::Vmdk), (want.clone(), Format::Raw), (zlib, Format::Qcow2)]
        {
            let image = open(bytes.clone(), format);
            let (clone, summary) = write(&*image, QCOW2, 1);
            assert!(clone[CLUSTER_BYTES as usize..][..bytes.len()] == bytes, "{capacity} {format}");
            assert_eq!(summary.file_bytes, clone.len() as u64);
            assert!(write(&*image, QCOW2, 4).0 == clone, "{capacity} {format}");
            assert!(
                guest_bytes(&*open(clone.clone(), Format::Qcow2)) == want,
                "{capacity} {format}"
            );
            qemu_finds_it_sound(&clone, &want);
        }
    }
}

#[test]
fn a_clone_of_a_file_is_that_of_memory() {
    let want = content(3 * MIB + 512);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (format, bytes, options) in [
        (Format::Vmdk, stream_optimized(&want, "a.vmdk"), QCOW2),
        (Format::Raw, want.clone(), QCOW2),
        (Format::Raw, want.clone(), RAW),
    ] {
        std::fs::write(path("source"), &bytes).unwrap();
        let source = FileBytes::new(File::open(path("source")).unwrap()).unwrap();
        let image = disk::open(Arc::new(source), Declared::Stated(format)).unwrap();
        let target = path("target");
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&target);
        let sum = Sum::default();
        let done = write_image(
            &*image,
            output(&*image, Arc::new(file.unwrap()), options),
            workers(2),
            &sum,
        )
        .unwrap();
        let written = std::fs::read(&target).unwrap();
        assert_eq!(done.file_bytes, written.len() as u64);
        assert!(written == write(&*open(bytes, format), options, 1).0, "{format} {options:?}");
        assert_eq!(sum.0.into_inner(), want.len() as u64);
    }
}

#[test]
fn refuses_what_cannot_be_pointed_at() {
    let text = |image: &dyn Image, format| {
        let file = Arc::new(Memory::default());
        let error = clone_image(image, file, format, workers(1), &Unheard).unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Source, code::Code::E0405));
        error.to_string()
    };
    let image = vmdk(&content(MIB));
    assert_eq!(text(&*image, CloneFormat::Raw), "a raw clone needs a raw image, this one is vmdk");
    // A disk that is shorter than a grain has only a grain that cannot be pointed at.
    let image = vmdk(&content(512));
    assert_eq!(
        text(&*image, CloneFormat::Qcow2),
        "the clone layout needs grains of 65536 bytes, deflated or at a multiple of them in the \
         file; this image has none"
    );
}

#[test]
fn a_disk_of_zeros_can_be_cloned() {
    let (clone, summary) = write(&*open(vec![0; 1 << 20], Format::Raw), QCOW2, 1);
    assert_eq!(summary.data_bytes % CLUSTER_BYTES, 0);
    assert!(guest_bytes(&*open(clone, Format::Qcow2)).iter().all(|byte| *byte == 0));
}

#[test]
fn a_stop_ends_a_clone() {
    for (image, format) in [
        (vmdk(&content(8 * MIB)), CloneFormat::Qcow2),
        (open(content(8 * MIB), Format::Raw), CloneFormat::Raw),
    ] {
        let file = Arc::new(Memory::default());
        let error = clone_image(&*image, file, format, workers(2), &Stop).unwrap_err();
        assert_eq!(error.kind(), Kind::Stopped);
    }
}
