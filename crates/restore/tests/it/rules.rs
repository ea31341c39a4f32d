//! The rules for foreign packages and foreign backups on a libvirt host.

use std::{fs, path::Path};

use code::Code;
use restore::{
    Choices, Plan, Policy, Source,
    plan::{Images, OnConflict, Where},
};
use testkit::{Descriptor, MIB, Package, Qcow2, Qcow2Cluster};

use crate::{on_host, ova};

/// The codes of what keeps a plan from being carried out.
fn blockers(plan: &Plan) -> Vec<Code> {
    plan.blockers().iter().map(|note| note.code).collect()
}

fn written(plan: &Plan) -> Vec<String> {
    let files = plan.machines.iter().flat_map(|machine| &machine.files);
    files
        .map(|file| {
            file.to.file_name().expect("the test made it so").to_string_lossy().into_owned()
        })
        .collect()
}

fn folder_source(folder: &Path) -> Box<dyn Source> {
    fs::create_dir(folder).expect("the test made it so");
    Package::small("web", MIB).write_to(folder);
    restore::open(&folder.join("web.ovf"), &Policy::default()).expect("the test made it so")
}

/// SPACEVM-39: an OVF alone defines the machine, and neither restores nor attaches disks.
#[test]
fn an_ovf_alone_restores_hardware_and_no_disk() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder_source(&folder.path().join("package"));
    let choices = Choices { images: Images::LeftOut, ..Choices::default() };
    let plan = on_host::plan(&*source, folder.path(), &choices).unwrap();
    assert_eq!((written(&plan), blockers(&plan)), (vec![], vec![]));
    assert!(plan.machines[0].machine.disks.is_empty());
    let xml = plan.machines[0].domain_xml.as_deref().unwrap();
    assert!(!xml.contains("<source file="), "{xml}");
    let row = plan.machines[0].rows.iter().find(|row| row.item == "disk0").unwrap();
    assert_eq!(row.reason, "hardware only: --with-disks brings it along");
    // Nothing is written, so that the host need not be within reach of files.
    let mut facts = on_host::facts(folder.path(), &*source);
    let Where::Host(host) = &mut facts.place else { panic!("a host was asked for") };
    host.is_local = false;
    let plan = restore::plan(source.facts(), &[], &facts, &choices).unwrap();
    assert_eq!(blockers(&plan), []);
}

/// SPACEVM-40: with disks they come from the folder of the descriptor.
#[test]
fn an_ovf_with_disks_takes_them_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder_source(&folder.path().join("package"));
    let plan = on_host::plan(&*source, folder.path(), &Choices::default()).unwrap();
    assert_eq!((written(&plan), blockers(&plan)), (vec!["web-disk0.qcow2".to_owned()], vec![]));
    fs::remove_file(folder.path().join("package/web-disk1.vmdk")).unwrap();
    let source = restore::open(&folder.path().join("package"), &Policy::default()).unwrap();
    let plan = on_host::plan(&*source, folder.path(), &Choices::default()).unwrap();
    assert_eq!(blockers(&plan), [Code::E0104]);
}

/// SPACEVM-42: scripts of an appliance are never run, and the plan says so.
#[test]
fn scripts_of_an_appliance_are_ignored_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let package = Package::small("web", MIB);
    let bytes = package.member("Setup.SH", b"#!/bin/sh\n".to_vec()).ova();
    let source = ova(folder.path(), &bytes).unwrap();
    let plan = on_host::plan(&*source, folder.path(), &Choices::default()).unwrap();
    let found = plan.findings.iter().filter(|finding| finding.code == Code::W0607);
    let found: Vec<&str> = found.map(|finding| finding.message.as_str()).collect();
    assert_eq!(found, ["the script Setup.SH is ignored: it is never run"]);
    assert_eq!((written(&plan), blockers(&plan)), (vec!["web-disk0.qcow2".to_owned()], vec![]));
    // What lies beside a descriptor and is not named there belongs to somebody else.
    let source = folder_source(&folder.path().join("package"));
    fs::write(folder.path().join("package/mine.sh"), "").unwrap();
    let plan = on_host::plan(&*source, folder.path(), &Choices::default()).unwrap();
    assert!(plan.findings.iter().all(|finding| finding.code != Code::W0607));
}

#[test]
fn a_licence_that_nobody_accepted_blocks_an_import_and_not_a_conversion() {
    let folder = tempfile::tempdir().unwrap();
    let descriptor = Descriptor::new("web", "debian10_64Guest")
        .section("<EulaSection><Info>x</Info><License>be nice</License></EulaSection>");
    let source = ova(folder.path(), &Package::new("web", &descriptor).ova()).unwrap();
    let convert = Choices::default();
    let plan = crate::plan(&*source, &folder.path().join("out"), &convert).unwrap();
    assert_eq!(blockers(&plan), []);
    let mut import = Choices { licences_bind: true, ..Choices::default() };
    let plan = on_host::plan(&*source, folder.path(), &import).unwrap();
    assert_eq!(blockers(&plan), [Code::W0402]);
    import.hardware.licences = convert::Licences::Accepted;
    assert_eq!(blockers(&on_host::plan(&*source, folder.path(), &import).unwrap()), []);
}

#[test]
fn a_package_whose_name_the_host_has_is_blocked_or_renamed() {
    let folder = tempfile::tempdir().unwrap();
    let source = ova(folder.path(), &Package::small("web", MIB).ova()).unwrap();
    let mut facts = on_host::facts(folder.path(), &*source);
    let Where::Host(host) = &mut facts.place else { panic!("a host was asked for") };
    host.machines.push(host::libvirt::KnownMachine {
        name: "web".to_owned(),
        uuid: "5b1c0000-0000-4000-8000-000000000001".parse().unwrap(),
        is_active: false,
        macs: Vec::new(),
        disks: Vec::new(),
        own_disks: Vec::new(),
    });
    let plan = restore::plan(source.facts(), &[], &facts, &Choices::default()).unwrap();
    assert_eq!(blockers(&plan), [Code::E0503]);
    let choices = Choices { on_conflict: OnConflict::Rename, ..Choices::default() };
    let plan = restore::plan(source.facts(), &[], &facts, &choices).unwrap();
    assert_eq!((plan.machines[0].machine.name.as_str(), blockers(&plan)), ("web-2", vec![]));
}

/// A tar that somebody made by hand: no manifest, any order.
fn by_hand(path: &Path, members: &[(&str, Vec<u8>)]) {
    let file = fs::File::create_new(path).expect("the test made it so");
    let options = bundle::Options { form: bundle::Form::Tar, level: 1, unix_seconds: 17 };
    let mut writer = bundle::Writer::new(&file, options);
    for (name, bytes) in members {
        let name = ovf::EntryName::parse(name).expect("the test made it so");
        writer.add(&name, bytes, &disk::Unheard).expect("the test made it so");
    }
    writer.finish(None).expect("the test made it so");
}

fn domain(name: &str, image: &Path) -> Vec<u8> {
    let image = image.display();
    format!(
        "<domain type='kvm'><name>{name}</name><memory unit='MiB'>512</memory><vcpu>1</vcpu>\
         <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>\
         <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
         <source file='{image}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
    )
    .into_bytes()
}

/// SPACEVM-22, SPACEVM-23, SPACEVM-24: of several definitions the greatest number counts, which is no
/// matter of the order of texts or members.
#[test]
fn the_newest_definition_counts_and_an_older_one_is_never_used() {
    let folder = tempfile::tempdir().unwrap();
    let disk = || Qcow2::new(MIB).cluster(0, Qcow2Cluster::Data(vec![1; 65536])).build().bytes;
    let image = folder.path().join("web.qcow2");
    let generations = [
        ("1000-web.xml", domain("newer", &image)),
        ("web.qcow2", disk()),
        ("999-web.xml", domain("older", &image)),
    ];
    let path = folder.path().join("a.tar");
    by_hand(&path, &generations);
    let source = restore::open(&path, &Policy::default()).unwrap();
    let plan = on_host::plan(&*source, folder.path(), &Choices::default()).unwrap();
    assert_eq!(plan.machines[0].machine.name, "newer");
    assert_eq!((written(&plan), blockers(&plan)), (vec!["web.qcow2".to_owned()], vec![]));
    let broken =
        [("1000-web.xml", b"<domain>".to_vec()), generations[1].clone(), generations[2].clone()];
    let path = folder.path().join("b.tar");
    by_hand(&path, &broken);
    let error = restore::open(&path, &Policy::default()).err().unwrap();
    assert_eq!(error.code(), Code::E0604);
}

/// SPACEVM-20, SPACEVM-21, SPACEVM-22: whoever made the tar.
#[test]
fn a_tar_made_by_hand_with_a_chain_is_restored_without_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let image = || Qcow2::new(MIB).cluster(0, Qcow2Cluster::Data(vec![1; 65536]));
    let members = [
        ("top.snapshot", image().backing("base.qcow2", Some("qcow2")).build().bytes),
        ("17-web.xml", domain("web", &folder.path().join("top.snapshot"))),
        ("base.qcow2", image().build().bytes),
    ];
    let path = folder.path().join("a.tar");
    by_hand(&path, &members);
    let source = restore::open(&path, &Policy::default()).unwrap();
    let plan = on_host::plan(&*source, folder.path(), &Choices::default()).unwrap();
    assert_eq!(blockers(&plan), []);
    assert_eq!(written(&plan), ["base.qcow2", "top.snapshot"]);
}
