//! What is wrong is told by its code, and leaves nothing behind.

use std::{fs, io::Cursor};

use code::Code;
use host::dir::Dir;
use restore::{Choices, Error, ManifestPolicy, Named, Policy};
use testkit::{Descriptor, MIB, Package, content, stream_optimized};

use crate::{Quiet, convert, names, ova};

const DISK: &str = "web-disk1.vmdk";

/// Converts an OVA that must be refused, and looks that nothing is left.
fn refused(bytes: &[u8]) -> Error {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let out = folder.path().join("out");
    let error = ova(folder.path(), bytes)
        .and_then(|mut source| {
            convert(&mut *source, &out, &Choices::default(), &Dir::new("1"), &Quiet::default())
        })
        .expect_err("a package that must be refused");
    assert!(!out.exists(), "{:?}", names(&out));
    error
}

/// The same from a pipe.
fn refused_from_a_pipe(bytes: &[u8]) -> Error {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let out = folder.path().join("out");
    let reader = Box::new(Cursor::new(bytes.to_vec()));
    let error = restore::open_stream(Named::stdin(), reader, &Policy::default())
        .and_then(|mut source| {
            convert(&mut *source, &out, &Choices::default(), &Dir::new("1"), &Quiet::default())
        })
        .expect_err("a package that must be refused");
    assert!(!out.exists(), "{:?}", names(&out));
    error
}

#[test]
fn a_cut_archive_is_refused_wherever_it_is_cut() {
    let whole = Package::small("web", MIB).ova();
    let end = whole.len() - 1024;
    for cut in [600, 2000, end / 2, end - 600, end - 513] {
        for error in [refused(&whole[..cut]), refused_from_a_pipe(&whole[..cut])] {
            assert!(
                matches!(error.code(), Code::E0101 | Code::E0102 | Code::E0103 | Code::E0404),
                "{cut}: {error}"
            );
        }
        assert_ne!(refused(&whole[..cut]).code(), Code::E0404, "{cut}");
    }
}

#[test]
fn a_changed_disk_is_a_wrong_digest_even_where_it_cannot_be_decoded() {
    let package = Package::small("web", MIB);
    let sound = stream_optimized(&content(MIB), DISK);
    for at in [sound.len() - 700, 65_600] {
        let mut spoilt = sound.clone();
        spoilt[at] ^= 0xff;
        let error = refused(&package.ova_with_another(DISK, &spoilt));
        assert_eq!(error.code(), Code::E0203, "{at}: {error}");
        assert_eq!(error.to_string(), format!("checksum does not match for {DISK}"));
        let told: Vec<&str> = error.details().iter().map(|detail| detail.name).collect();
        assert_eq!(told, ["package", "manifest", "expected", "actual"]);
    }
    let another = stream_optimized(&vec![7; 1 << 20], DISK);
    for error in [
        refused(&package.ova_with_another(DISK, &another)),
        refused_from_a_pipe(&package.ova_with_another(DISK, &another)),
        refused_from_a_pipe(&package.manifest_last().ova_with_another(DISK, &another)),
    ] {
        assert_eq!(error.code(), Code::E0203, "{error}");
    }
}

#[test]
fn a_damaged_disk_without_a_manifest_names_grain_and_byte() {
    let descriptor = Descriptor::new("web", "debian10_64Guest")
        .controller("3", "6", "VirtualSCSI", "0")
        .disk(DISK, MIB, "3", "0");
    let mut disk = stream_optimized(&content(MIB), DISK);
    disk[65_600] ^= 0xff;
    let error = refused(&Package::new("web", &descriptor).member(DISK, disk).ova());
    assert_eq!(error.code(), Code::E0404);
    assert!(
        error.to_string().contains("grain 0") && error.to_string().contains("at byte"),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let package = Package::small("web", MIB);
    for error in
        [refused(&package.ova_without(DISK)), refused_from_a_pipe(&package.ova_without(DISK))]
    {
        assert_eq!(error.code(), Code::E0104);
        assert!(error.to_string().contains(DISK), "{error}");
    }
}

#[test]
fn a_warning_policy_goes_on_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let another = stream_optimized(&vec![7; 1 << 20], DISK);
    let bytes = Package::small("web", MIB).ova_with_another(DISK, &another);
    let mut source = ova(folder.path(), &bytes).unwrap();
    let choices = Choices { manifest: ManifestPolicy::Warn, ..Choices::default() };
    let outcome = convert(&mut *source, &out, &choices, &Dir::new("1"), &Quiet::default()).unwrap();
    assert_eq!(outcome.findings.iter().map(|f| f.code).collect::<Vec<_>>(), [Code::E0203]);
    assert!(!outcome.manifest_matches);
}

#[test]
fn a_stop_takes_everything_back() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let mut source = ova(folder.path(), &Package::small("web", 16 * MIB).ova()).unwrap();
    let watch = Quiet { stop_at_bytes: Some(MIB), ..Quiet::default() };
    let error =
        convert(&mut *source, &out, &Choices::default(), &Dir::new("1"), &watch).unwrap_err();
    assert!(error.is_stop());
    assert!(!out.exists(), "{:?}", names(&out));
}

#[test]
fn links_beside_a_descriptor_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("package");
    fs::create_dir(&package).unwrap();
    Package::small("web", MIB).write_to(&package);
    fs::rename(package.join(DISK), folder.path().join("secret")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("secret"), package.join(DISK)).unwrap();
    let error = restore::open(&package, &Policy::default()).err().unwrap();
    assert_eq!(error.code(), Code::E0105, "{error}");
}

#[test]
fn a_manifest_that_does_not_speak_of_what_is_there_is_incomplete() {
    let package = Package::small("web", MIB);
    let unlisted = package.clone().manifest_of(&["web.ovf"]);
    let absent = package.manifest_of(&["web.ovf", DISK, "gone.vmdk"]);
    for package in [unlisted, absent] {
        for error in [refused(&package.ova()), refused_from_a_pipe(&package.ova())] {
            assert_eq!(error.code(), Code::E0205, "{error}");
        }
    }
}

#[test]
fn a_certificate_without_a_manifest_is_refused() {
    let descriptor = Descriptor::new("web", "debian10_64Guest");
    let package =
        Package::new("web", &descriptor).member("web.cert", b"SHA256(web.mf)= 00\n".to_vec());
    for error in [refused(&package.ova()), refused_from_a_pipe(&package.ova())] {
        assert_eq!(error.code(), Code::E0204, "{error}");
    }
}
