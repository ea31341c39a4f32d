//! What storage and devices of the host mean for a backup.

use host::libvirt::VolumePlace;

use super::*;

const MDEV: &str = "<hostdev mode='subsystem' type='mdev' model='vfio-pci'>\
    <source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>";

/// The machine, off, whose disk `vdb` is something else.
fn with(lab: &Lab, vdb: &str) -> FakeGuest {
    let definition = lab.definition();
    let (before, rest) = definition.split_once("<disk type='file' device='cdrom'>").unwrap();
    let (before, _) = before.rsplit_once("<disk type='file'").unwrap();
    let definition = format!("{before}{vdb}<disk type='file' device='cdrom'>{rest}");
    FakeGuest { definition, ..off(lab) }
}

/// SPACEVM-11.
#[test]
fn a_machine_with_a_mediated_device_is_backed_up_only_while_it_is_off() {
    let lab = Lab::new();
    let definition = lab.definition().replace("</devices>", &format!("{MDEV}</devices>"));
    let fake = host(FakeGuest { definition: definition.clone(), ..lab.guest() });
    let error = lab.run(&lab.request(100), &fake).unwrap_err();
    let want = "the machine has a mediated device (mdev): it can be backed up only while it is off";
    assert_eq!((error.to_string().as_str(), error.code()), (want, Some(code::Code::E0510)));
    assert_eq!(fake.acts(), [""; 0]);
    let fake = host(FakeGuest { definition, ..off(&lab) });
    let made = lab.run(&lab.request(100), &fake).unwrap();
    let why =
        "the machine has a mediated device (mdev) and is only read while it is off: full each time";
    assert_eq!(modes(&made), [(Mode::Full, Some(why)); 2]);
    assert_eq!(fake.acts(), [""; 0], "it is not started for it");
}

/// SPACEVM-18, SPACEVM-19: where we differ, with the reason.
#[test]
fn volumes_of_lvm_and_zfs_are_read_whole_each_time_and_off_from_the_device_itself() {
    for (kind, what) in [("logical", "an LVM volume"), ("zfs", "a ZFS volume")] {
        let lab = Lab::new();
        std::fs::write(lab.path("lv"), vec![0x5a; CAPACITY_BYTES as usize]).unwrap();
        let place = VolumePlace { path: lab.path("lv"), pool_kind: kind.to_owned() };
        let disk = "<disk type='volume' device='disk'><driver type='raw'/>\
            <source pool='vg' volume='lv'/><target dev='vdb' bus='virtio'/></disk>";
        let guest = with(&lab, disk);
        let fake = host(FakeGuest { volumes: [("lv".to_owned(), place)].into(), ..guest });
        let made = lab.run(&lab.request(100), &fake).unwrap();
        let why = format!(
            "{what} (the volume lv of the pool vg) keeps no bitmap of changes: full each time"
        );
        assert_eq!(modes(&made), [(Mode::Full, None), (Mode::Full, Some(&*why))]);
        let made = lab.run(&lab.request(200), &fake).unwrap();
        assert_eq!(modes(&made), [(Mode::Incremental, None), (Mode::Full, Some(&*why))]);
        std::fs::remove_file(lab.path("web.tar")).unwrap();
        let plain = Request { keeps: Keeps::Nothing, ..lab.request(300) };
        let made = lab.run(&plain, &fake).unwrap();
        assert_eq!(modes(&made)[1], (Mode::Full, None));
        assert_eq!(content(&lab, &made.point.disks[1].member), [0x5a; CAPACITY_BYTES as usize]);
    }
}

#[test]
fn a_device_is_read_while_its_machine_is_off() {
    let lab = Lab::new();
    std::fs::write(lab.path("sdx"), vec![0x5a; CAPACITY_BYTES as usize]).unwrap();
    let disk = format!(
        "<disk type='block' device='disk'><driver type='raw'/><source dev='{}'/>\
         <target dev='vdb' bus='virtio'/></disk>",
        lab.path("sdx").display()
    );
    let request = Request { keeps: Keeps::Nothing, ..lab.request(100) };
    let made = lab.run(&request, &host(with(&lab, &disk))).unwrap();
    assert_eq!(content(&lab, &made.point.disks[1].member), [0x5a; CAPACITY_BYTES as usize]);
}

#[test]
fn what_can_be_read_only_by_a_process_of_the_machine_is_told_while_it_is_off() {
    let lab = Lab::new();
    let disk = "<disk type='network' device='disk'><driver type='raw'/>\
        <source protocol='rbd' name='pool/a'/><target dev='vdb' bus='virtio'/></disk>";
    let request = Request { keeps: Keeps::Nothing, ..lab.request(100) };
    let error = lab.run(&request, &host(with(&lab, disk))).unwrap_err();
    let want = "the disk vdb is on rbd:pool/a: it can be read while the machine runs, or is started \
        with --incrementable";
    assert_eq!(error.to_string(), want);
}

/// SPACEVM-17: recorded, not copied.
#[test]
fn luns_are_in_the_definition_and_not_copied() {
    let lab = Lab::new();
    let lun = "<disk type='block' device='lun'><driver type='raw'/><source dev='/dev/sdq'/>\
        <target dev='sdb' bus='scsi'/></disk>\
        <hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host2'/>\
        <address bus='0' target='1' unit='3'/></source></hostdev>";
    let definition = lab.definition().replace("</devices>", &format!("{lun}</devices>"));
    let request = Request { keeps: Keeps::Nothing, ..lab.request(100) };
    let made = lab.run(&request, &host(FakeGuest { definition, ..off(&lab) })).unwrap();
    let left: Vec<_> =
        made.point.left_out.iter().map(|it| (it.target.as_str(), it.reason.as_str())).collect();
    let want = [
        ("sdb", "a LUN: the guest speaks to the device itself; it is attached again at restore"),
        (
            "hostdev1",
            "a SCSI device of the host (scsi_host2 0:1:3): it is in the definition, and not copied",
        ),
    ];
    assert_eq!(left, want);
    let config = lab.bundle().config().unwrap();
    assert!(config.xml.contains("device='lun'") && config.xml.contains("scsi_host2"));
}
