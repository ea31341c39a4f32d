//! A source that somebody writes to while it is read makes nothing.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::symlink,
    path::Path,
    time::SystemTime,
};

use code::Code;
use flate2::{Compression, write::GzEncoder};
use host::dir::Dir;
use restore::{Choices, Level, Policy};
use testkit::{MIB, Package};

use crate::{Quiet, carry_out, names, plan};

/// The code and the message of a conversion that is planned before something happens to the source,
/// and carried out behind it. Nothing is left of it.
fn told(source: &Path, happens: &dyn Fn()) -> (Code, String) {
    let out = tempfile::tempdir().expect("a folder of the test's own");
    let mut source = restore::open(source, &Policy::default()).expect("a sound source");
    let plan = plan(&*source, &out.path().join("out"), &Choices::default())
        .expect("a source that can be planned");
    happens();
    let done = carry_out(&plan, &mut *source, &Dir::new("1"), &Quiet::default());
    assert_eq!(names(out.path()), Vec::<String>::new());
    let error = done.map(drop).expect_err("the source changed");
    (error.code(), error.to_string())
}

/// Says that a file was written to, without changing a byte of it.
fn touch(path: &Path) {
    // Not now: a tick of the clock may be longer than this test.
    let file = File::options().append(true).open(path).expect("a file of the test's own");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("a file of the test's own");
}

#[test]
fn an_archive_that_is_written_to_is_refused_whatever_its_digests_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.ova");
    let ova = Package::small("web", MIB).ova();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&ova).unwrap();
    let want = (Code::E0508, format!("{} changed while it was read", path.display()));
    for bytes in [ova, packed.finish().unwrap()] {
        fs::write(&path, &bytes).unwrap();
        assert_eq!(told(&path, &|| touch(&path)), want);
        let longer = || File::options().append(true).open(&path).unwrap().write_all(b"x").unwrap();
        assert_eq!(told(&path, &longer), want);
    }
}

#[test]
fn a_file_of_a_folder_is_the_one_that_was_looked_at_first() {
    let folder = tempfile::tempdir().unwrap();
    Package::small("web", MIB).write_to(folder.path());
    let at = |name: &str| folder.path().join(name);
    let disk = at("web-disk1.vmdk");
    let changed = |name: &str| (Code::E0508, format!("{name} changed while it was read"));
    assert_eq!(told(folder.path(), &|| touch(&disk)), changed("web-disk1.vmdk"));
    let another = || {
        fs::copy(&disk, at("other")).unwrap();
        fs::rename(at("other"), &disk).unwrap();
    };
    assert_eq!(told(folder.path(), &another), changed("web-disk1.vmdk"));
    assert_eq!(told(folder.path(), &|| touch(&at("web.mf"))), changed("web.mf"));
    let link = || {
        fs::rename(&disk, at("other")).unwrap();
        symlink("other", &disk).unwrap();
    };
    assert_eq!(told(folder.path(), &link), changed("web-disk1.vmdk"));
}

#[test]
fn what_changes_while_it_is_verified_is_not_called_sound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.ova");
    fs::write(&path, Package::small("web", MIB).ova()).unwrap();
    let mut source = restore::open(&path, &Policy::default()).unwrap();
    touch(&path);
    let error = restore::verify(&mut *source, Level::Digests, &disk::Unheard).unwrap_err();
    assert_eq!(error.code(), Code::E0508);
}
