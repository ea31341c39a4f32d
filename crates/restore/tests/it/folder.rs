//! What lies beside a descriptor.

use std::{fs, os::unix::fs::symlink};

use code::Code;
use host::dir::Dir;
use restore::{Choices, Policy};
use testkit::{MIB, Package};

use crate::{Quiet, convert};

#[test]
fn what_the_package_does_not_speak_of_is_somebody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("package");
    fs::create_dir(&package).unwrap();
    Package::small("web", MIB).write_to(&package);
    symlink("/nowhere", package.join("latest")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(package.join("socket")).unwrap();
    let mut source = restore::open(&package, &Policy::default()).unwrap();
    let out = folder.path().join("out");
    convert(&mut *source, &out, &Choices::default(), &Dir::new("1"), &Quiet::default()).unwrap();
}

#[test]
fn a_link_is_followed_where_it_was_typed_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("package");
    fs::create_dir(&package).unwrap();
    Package::small("web", MIB).write_to(&package);
    fs::rename(package.join("web.ovf"), folder.path().join("real")).unwrap();
    symlink(folder.path().join("real"), package.join("web.ovf")).unwrap();
    let error = restore::open(&package, &Policy::default()).err().unwrap();
    assert_eq!(error.code(), Code::E0105, "{error}");
    restore::open(&package.join("web.ovf"), &Policy::default()).unwrap();
}
