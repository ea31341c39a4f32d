//! What is written is what the package holds.

use std::{
    fs,
    io::{Cursor, Write as _},
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use host::dir::Dir;
use ovf::manifest::Algorithm;
use restore::{Choices, ManifestPolicy, Named, Policy};
use testkit::{Descriptor, MIB, Package, content, stream_optimized};

use crate::{Quiet, convert, files, names, ova};

/// The guest's bytes of a written qcow2.
fn guest_bytes(path: &std::path::Path) -> Vec<u8> {
    let file = fs::File::open(path).expect("a written file");
    let bytes = disk::FileBytes::new(file).expect("a written file");
    let image = disk::open(Arc::new(bytes), disk::Declared::Stated(disk::Format::Qcow2))
        .expect("a sound image");
    let mut out = vec![0; usize::try_from(image.capacity_bytes()).expect("a small disk")];
    image.read_at(&mut out, 0).expect("a sound image");
    out
}

#[test]
fn an_archive_becomes_disks_a_domain_and_a_result() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a/b/out");
    let mut source = ova(folder.path(), &Package::small("web", 3 * MIB).ova()).unwrap();
    let outcome =
        convert(&mut *source, &out, &Choices::default(), &Dir::new("1"), &Quiet::default())
            .unwrap();
    assert_eq!(names(&out), ["domain.xml", "relift.result.json", "web-disk0.qcow2"]);
    assert!(outcome.manifest_matches);
    assert_eq!(guest_bytes(&out.join("web-disk0.qcow2")), content(3 * MIB));
    let xml = fs::read_to_string(out.join("domain.xml")).unwrap();
    assert!(xml.contains(&format!("{}", out.join("web-disk0.qcow2").display())), "{xml}");
}

#[test]
fn a_pipe_gives_the_same_files_as_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    for package in [
        Package::small("web", 3 * MIB),
        Package::small("web", 3 * MIB).manifest(Algorithm::Sha512).manifest_last(),
        Package::small("web", MIB + 512),
    ] {
        let out = folder.path().join("out");
        let mut source = ova(folder.path(), &package.ova()).unwrap();
        convert(&mut *source, &out, &Choices::default(), &Dir::new("1"), &Quiet::default())
            .unwrap();
        let want = files(&out);
        fs::remove_dir_all(&out).unwrap();
        let reader = Box::new(Cursor::new(package.ova()));
        let mut source = restore::open_stream(Named::stdin(), reader, &Policy::default()).unwrap();
        let outcome =
            convert(&mut *source, &out, &Choices::default(), &Dir::new("1"), &Quiet::default())
                .unwrap();
        assert!(outcome.manifest_matches);
        assert_eq!(files(&out), want);
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn a_folder_gives_the_same_disks_as_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let package = Package::small("web", 2 * MIB);
    package.write_to(folder.path());
    let out = folder.path().join("out");
    for path in [folder.path().to_owned(), folder.path().join("web.ovf")] {
        let mut source = restore::open(&path, &Policy::default()).unwrap();
        convert(&mut *source, &out, &Choices::default(), &Dir::new("1"), &Quiet::default())
            .unwrap();
        assert_eq!(guest_bytes(&out.join("web-disk0.qcow2")), content(2 * MIB));
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn raw_output_is_the_guests_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut source = ova(folder.path(), &Package::small("web", 2 * MIB).ova()).unwrap();
    let choices = Choices { output: convert::copy::TargetOptions::Raw, ..Choices::default() };
    convert(&mut *source, &out, &choices, &Dir::new("1"), &Quiet::default()).unwrap();
    assert_eq!(fs::read(out.join("web-disk0.raw")).unwrap(), content(2 * MIB));
}

#[test]
fn empty_disks_images_in_drives_and_several_machines_are_made() {
    let descriptor = Descriptor::new("web", "debian10_64Guest")
        .controller("3", "6", "VirtualSCSI", "0")
        .disk("web-disk1.vmdk", MIB, "3", "0")
        .empty_disk(5 * MIB, "3", "1");
    let package = Package::new("web", &descriptor)
        .member("web-disk1.vmdk", stream_optimized(&content(MIB), "web-disk1.vmdk"));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut source = ova(folder.path(), &package.ova()).unwrap();
    convert(&mut *source, &out, &Choices::default(), &Dir::new("1"), &Quiet::default()).unwrap();
    assert_eq!(guest_bytes(&out.join("web-disk1.qcow2")), vec![0; 5 << 20]);
    assert_eq!(guest_bytes(&out.join("web-disk0.qcow2")), content(MIB));
}

#[test]
fn the_larger_of_two_capacities_is_built() {
    let descriptor = Descriptor::new("web", "debian10_64Guest")
        .controller("3", "6", "VirtualSCSI", "0")
        .disk("d.vmdk", 4 * MIB, "3", "0");
    let package = Package::new("web", &descriptor)
        .member("d.vmdk", stream_optimized(&content(MIB), "d.vmdk"));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut source = ova(folder.path(), &package.ova()).unwrap();
    convert(&mut *source, &out, &Choices::default(), &Dir::new("1"), &Quiet::default()).unwrap();
    let mut want = content(MIB);
    want.resize(4 << 20, 0);
    assert_eq!(guest_bytes(&out.join("web-disk0.qcow2")), want);
}

#[test]
fn a_gzipped_disk_is_compared_with_what_was_written_of_it() {
    let folder = tempfile::tempdir().unwrap();
    Package::small("web", 3 * MIB).write_to(folder.path());
    let path = |name: &str| folder.path().join(name);
    let descriptor = fs::read_to_string(path("web.ovf")).unwrap();
    let descriptor = descriptor.replacen("ovf:href=", "ovf:compression=\"gzip\" ovf:href=", 1);
    fs::write(path("web.ovf"), descriptor).unwrap();
    let disk = path("web-disk1.vmdk");
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&fs::read(&disk).unwrap()).unwrap();
    fs::write(&disk, encoder.finish().unwrap()).unwrap();
    let policy = Policy { manifest: ManifestPolicy::Skip, ..Policy::default() };
    let mut source = restore::open(&path("web.ovf"), &policy).unwrap();
    let choices = Choices { manifest: policy.manifest, ..Choices::default() };
    let out = path("out");
    convert(&mut *source, &out, &choices, &Dir::new("1"), &Quiet::default()).unwrap();
    assert_eq!(guest_bytes(&out.join("web-disk0.qcow2")), content(3 * MIB));
}
