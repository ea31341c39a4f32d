//! What a plan decides before anything is done.

use std::fs;

use code::Code;
use host::dir::Dir;
use restore::{Choices, ManifestPolicy};
use testkit::{Descriptor, MIB, Package};

use crate::{Quiet, convert, ova, plan};

#[test]
fn a_file_of_the_same_name_blocks_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("domain.xml"), "mine").unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let mut source = ova(folder.path(), &Package::small("web", MIB).ova()).unwrap();
    let planned = plan(&*source, &out, &Choices::default()).unwrap();
    assert_eq!(planned.blockers().iter().map(|note| note.code).collect::<Vec<_>>(), [Code::E0509]);
    let run = |source: &mut dyn restore::Source, choices: &Choices| {
        convert(source, &out, choices, &Dir::new("1"), &Quiet::default())
    };
    assert_eq!(run(&mut *source, &Choices::default()).unwrap_err().code(), Code::E0509);
    assert_eq!(fs::read(out.join("domain.xml")).unwrap(), b"mine");
    let choices =
        Choices { replace: [out.join("domain.xml")].into_iter().collect(), ..Choices::default() };
    run(&mut *source, &choices).unwrap();
    assert_ne!(fs::read(out.join("domain.xml")).unwrap(), b"mine");
    assert_eq!(fs::read(out.join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn strict_makes_a_blocker_of_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let source = ova(folder.path(), &Package::small("web", MIB).ova()).unwrap();
    let choices = Choices { strict: true, ..Choices::default() };
    let planned = plan(&*source, &folder.path().join("out"), &choices).unwrap();
    assert_eq!(planned.blockers().last().unwrap().code, Code::E0802);
}

#[test]
fn a_required_manifest_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let package = Package::new("web", &Descriptor::new("web", "debian10_64Guest"));
    let source = ova(folder.path(), &package.ova()).unwrap();
    let choices = Choices { manifest: ManifestPolicy::Require, ..Choices::default() };
    let error = plan(&*source, &folder.path().join("out"), &choices).unwrap_err();
    assert_eq!(error.code(), Code::E0201);
}

#[test]
fn the_same_source_gives_the_same_plan_and_another_name_another_identity() {
    let folder = tempfile::tempdir().unwrap();
    let source = ova(folder.path(), &Package::small("web", MIB).ova()).unwrap();
    let xml = |name: Option<&str>| {
        let choices = Choices { name: name.map(str::to_owned), ..Choices::default() };
        let planned = plan(&*source, &folder.path().join("out"), &choices).unwrap();
        planned.machines[0].domain_xml.clone().unwrap()
    };
    assert_eq!(xml(None), xml(None));
    assert_ne!(xml(None), xml(Some("other")));
}

#[test]
fn an_unknown_machine_is_named_with_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let source = ova(folder.path(), &Package::small("web", MIB).ova()).unwrap();
    let choices = Choices { systems: vec!["db".to_owned()], ..Choices::default() };
    let error = plan(&*source, &folder.path().join("out"), &choices).unwrap_err();
    assert_eq!(error.code(), Code::E0302);
    assert_eq!(error.details()[0].value, "web");
}
