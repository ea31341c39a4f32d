//! A pipe is judged as the same bytes in a file are.

use std::{fs, io::Cursor, path::Path};

use code::Code;
use host::dir::Dir;
use ovf::manifest::Algorithm;
use restore::{Choices, Error, Level, ManifestPolicy, Named, Outcome, Policy, Verdict};
use testkit::{Descriptor, MIB, Package, content, stream_optimized};

use crate::{Quiet, convert, files, ova};

/// A package of two disks with a manifest.
fn two_disks() -> Package {
    let descriptor = Descriptor::new("web", "debian10_64Guest")
        .controller("3", "6", "VirtualSCSI", "0")
        .disk("d1.vmdk", MIB, "3", "0")
        .disk("d2.vmdk", MIB, "3", "1");
    Package::new("web", &descriptor)
        .member("d1.vmdk", stream_optimized(&content(MIB), "d1.vmdk"))
        .member("d2.vmdk", stream_optimized(&content(MIB), "d2.vmdk"))
        .manifest(Algorithm::Sha256)
}

/// Converts from a pipe, then from a file; both must end alike.
#[expect(clippy::panic_in_result_fn, reason = "the two ways are compared wherever it is called")]
fn both(bytes: &[u8], choices: &Choices) -> Result<Outcome, Error> {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let out = folder.path().join("out");
    let policy = Policy { manifest: choices.manifest, ..Policy::default() };
    let run = |source: Result<Box<dyn restore::Source>, Error>| {
        let ended = source.and_then(|mut source| {
            convert(&mut *source, &out, choices, &Dir::new("1"), &Quiet::default())
        });
        let written = files(&out);
        fs::remove_dir_all(&out).ok();
        (ended, written)
    };
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    let (piped, from_pipe) = run(restore::open_stream(Named::stdin(), reader, &policy));
    fs::write(folder.path().join("a.ova"), bytes).expect("the folder takes writes");
    let (filed, from_file) = run(restore::open(&folder.path().join("a.ova"), &policy));
    let code = |ended: &Result<Outcome, Error>| ended.as_ref().err().map(Error::code);
    assert_eq!(code(&piped), code(&filed), "{piped:?} {filed:?}");
    assert!(from_pipe == from_file, "the files differ");
    piped
}

#[test]
fn every_disk_is_compared_with_its_line() {
    let other = stream_optimized(&vec![7; 1 << 20], "d2.vmdk");
    for package in [two_disks(), two_disks().manifest_last()] {
        assert!(both(&package.ova(), &Choices::default()).unwrap().manifest_matches);
        let swapped = package.ova_with_another("d2.vmdk", &other);
        let error = both(&swapped, &Choices::default()).unwrap_err();
        assert_eq!(error.code(), Code::E0203, "{error}");
        assert!(error.to_string().contains("d2.vmdk"), "{error}");
        let reader = Box::new(Cursor::new(swapped));
        let mut source = restore::open_stream(Named::stdin(), reader, &Policy::default()).unwrap();
        let rows = restore::verify(&mut *source, Level::Digests, &Quiet::default()).unwrap();
        let faults: Vec<&str> = rows
            .iter()
            .filter(|row| row.verdict == Verdict::Mismatch)
            .map(|row| row.name.as_str())
            .collect();
        assert_eq!(faults, ["d2.vmdk"]);
        assert!(rows.iter().any(|row| row.name == "web.ovf" && row.verdict == Verdict::Ok));
    }
}

#[test]
fn a_changed_descriptor_is_found_when_the_manifest_comes_last() {
    let package = two_disks().manifest_last();
    let descriptor = String::from_utf8(package.bytes("web.ovf").to_vec()).unwrap();
    let changed = descriptor.replace("512", "513");
    let bytes = package.ova_with_another("web.ovf", changed.as_bytes());
    assert_eq!(both(&bytes, &Choices::default()).unwrap_err().code(), Code::E0203);
}

#[test]
fn a_damaged_and_changed_disk_is_a_wrong_digest() {
    let mut spoilt = stream_optimized(&content(MIB), "d2.vmdk");
    spoilt[65_600] ^= 0xff;
    for package in [two_disks(), two_disks().manifest_last()] {
        let bytes = package.ova_with_another("d2.vmdk", &spoilt);
        assert_eq!(both(&bytes, &Choices::default()).unwrap_err().code(), Code::E0203);
        let warn = Choices { manifest: ManifestPolicy::Warn, ..Choices::default() };
        assert_eq!(both(&bytes, &warn).unwrap_err().code(), Code::E0404);
    }
}

#[test]
fn members_are_found_by_what_the_descriptor_calls_them() {
    let disk = |name: &str| stream_optimized(&content(MIB), name);
    let other = stream_optimized(&vec![7; 1 << 20], "x.vmdk");
    let of = |href: &str| {
        Descriptor::new("web", "debian10_64Guest")
            .controller("3", "6", "VirtualSCSI", "0")
            .disk(href, MIB, "3", "0")
    };
    for package in [
        Package::new("web", &of("d1.vmdk"))
            .member("old/d1.vmdk", other.clone())
            .member("d1.vmdk", disk("d1.vmdk")),
        Package::new("web", &of("disk%201.vmdk"))
            .member("readme.txt", b"text".to_vec())
            .member("disk 1.vmdk", disk("disk 1.vmdk")),
    ] {
        both(&package.ova(), &Choices::default()).unwrap();
    }
}

#[test]
fn what_comes_to_be_known_late_is_said_and_strict_ends_on_it() {
    let package = two_disks().manifest(Algorithm::Sha1).manifest_last();
    let reader = || Box::new(Cursor::new(package.ova()));
    let folder = tempfile::tempdir().unwrap();
    let run = |choices: &Choices, out: &Path| {
        let mut source =
            restore::open_stream(Named::stdin(), reader(), &Policy::default()).unwrap();
        convert(&mut *source, out, choices, &Dir::new("1"), &Quiet::default())
    };
    let outcome = run(&Choices::default(), &folder.path().join("a")).unwrap();
    assert!(outcome.findings.iter().any(|finding| finding.code == Code::W0609), "{outcome:?}");
}

#[test]
fn a_second_manifest_is_refused_before_it_is_read() {
    let package = two_disks().member("other.mf", b"SHA1(x)= 00\n".to_vec());
    assert_eq!(both(&package.ova(), &Choices::default()).unwrap_err().code(), Code::E0105);
}

#[test]
fn an_unreadable_manifest_is_a_warning_where_that_is_the_policy() {
    let descriptor = Descriptor::new("web", "debian10_64Guest");
    let package = Package::new("web", &descriptor).member("web.mf", b"garbage line\n".to_vec());
    assert_eq!(both(&package.ova(), &Choices::default()).unwrap_err().code(), Code::E0202);
    let warn = Choices { manifest: ManifestPolicy::Warn, ..Choices::default() };
    both(&package.ova(), &warn).unwrap();
    let folder = tempfile::tempdir().unwrap();
    assert!(ova(folder.path(), &package.ova()).is_err());
}

#[test]
fn chunks_on_a_pipe_are_refused_by_name() {
    let descriptor = Descriptor::new("web", "debian10_64Guest")
        .controller("3", "6", "VirtualSCSI", "0")
        .disk("d1.vmdk", MIB, "3", "0");
    let disk = stream_optimized(&content(MIB), "d1.vmdk");
    let package = Package::new("web", &descriptor).member("d1.vmdk.000000000", disk);
    let reader = Box::new(Cursor::new(package.ova()));
    let mut source = restore::open_stream(Named::stdin(), reader, &Policy::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let choices = Choices::default();
    let ended = convert(&mut *source, &out, &choices, &Dir::new("1"), &Quiet::default());
    let error = ended.unwrap_err();
    assert_eq!(error.code(), Code::E0405);
    assert_eq!(error.to_string(), "d1.vmdk is cut into chunks, which are not joined on a pipe");
}
