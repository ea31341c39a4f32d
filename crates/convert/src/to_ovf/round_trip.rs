//! What goes out comes back the same: every descriptor of `fixtures/ovf`, imported, exported, imported.

use std::{fs, path::Path};

use code::Code;
use ovf::{
    Envelope,
    writer::{Disk, Document, File},
};
use vm::{GuestFamily, Machine};

use super::{Exported, Image, Reader, to_ovf};
use crate::{Choices, Identity, Origin, Profile, from_ovf, map_hardware};

/// The machines of a descriptor, with the identity that it states.
fn import(bytes: &[u8], choices: &Choices) -> Vec<Machine> {
    let envelope = Envelope::parse(bytes).unwrap();
    let Ok(selection) = envelope.select(&ovf::Choices::default()) else { return Vec::new() };
    let machine = |system: &ovf::selection::SelectedSystem| {
        let name = system.name.clone().unwrap_or_default();
        let identity = Identity::new(b"", &system.handle, &name);
        let mut converted = map_hardware(&from_ovf(&envelope, system), choices, &name, &identity);
        for medium in converted.media {
            converted.machine.removables[medium.removable].image = Some("medium".into());
        }
        converted.machine
    };
    selection.systems.iter().map(machine).collect()
}

/// The text of an exported machine, its disks being files of one byte.
fn text(machine: &Machine, exported: Exported) -> String {
    let mut files = Vec::new();
    let mut disks = Vec::new();
    for image in exported.images {
        match image {
            Image::Disk { disk, id } => {
                let file_id = format!("file-{id}");
                let capacity_bytes = machine.disks[usize::from(disk.0)].capacity_bytes;
                disks.push(Disk {
                    id,
                    file_id: file_id.clone(),
                    capacity_bytes,
                    populated_bytes: 0,
                });
                files.push(File { href: format!("{file_id}.vmdk"), id: file_id, size_bytes: 1 });
            }
            Image::Medium { id, .. } => {
                files.push(File { href: format!("{id}.iso"), id, size_bytes: 1 });
            }
        }
    }
    let Exported { system, networks, .. } = exported;
    Document { files, disks, networks, system }.write().unwrap()
}

/// A machine without what an OVF cannot say, and the names that are made of its bytes.
fn comparable(mut machine: Machine) -> Machine {
    machine.title = None;
    // No id says only that a system is none of the usual ones.
    if machine.guest.family == GuestFamily::Other && machine.guest.osinfo.is_none() {
        machine.guest.family = GuestFamily::Unknown;
    }
    for disk in &mut machine.disks {
        disk.serial.clear();
        disk.wwn = disk.wwn.map(|_| 0);
    }
    machine
}

fn keep() -> Choices {
    Choices { mac: Origin::Keep, uuid: Origin::Keep, ..Choices::default() }
}

/// Whether a controller or a card became another one, so that the way back cannot find the first.
fn changes_hardware(exported: &Exported) -> bool {
    exported.rows.iter().any(|row| {
        let is_sound = row.item == "sound";
        row.notes.iter().any(|note| match note.code {
            Code::W0101 | Code::W0102 => true,
            Code::W0106 => is_sound,
            _ => false,
        })
    })
}

/// Sends every machine of the fixtures out and back; says how many came back.
fn there_and_back(reader: Reader) -> usize {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ovf"));
    let mut same = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        for machine in import(&fs::read(&path).unwrap(), &keep()) {
            let exported = to_ovf(&machine, reader);
            if reader != Reader::Generic && changes_hardware(&exported) {
                continue;
            }
            let text = text(&machine, exported);
            let back = import(text.as_bytes(), &keep()).remove(0);
            let (back, machine) = (comparable(back), comparable(machine));
            assert_eq!(back, machine, "{}\n{text}", path.display());
            same += 1;
        }
    }
    same
}

#[test]
fn each_machine_is_the_same_after_export_and_import() {
    assert!(there_and_back(Reader::Generic) >= 40);
}

#[test]
fn what_vmware_has_comes_back_from_there_the_same() {
    assert!(there_and_back(Reader::Vmware) >= 30);
}

#[test]
fn what_the_reader_has_not_becomes_the_nearest_and_says_so() {
    let bytes =
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/ovf/three-cards.ovf"));
    let choices = Choices { profile: Profile::Virtio, ..keep() };
    let machine = import(&bytes.unwrap(), &choices).remove(0);
    let row = |reader, item: &str| {
        let rows = to_ovf(&machine, reader).rows;
        let row = rows.into_iter().find(|row| row.item == item).unwrap();
        (row.to, row.notes.first().map(|note| note.code))
    };
    let nic = |reader| row(reader, "nic0");
    assert_eq!(nic(Reader::Vmware), ("VmxNet3 → default".to_owned(), Some(Code::W0102)));
    assert_eq!(nic(Reader::VirtualBox), ("virtio → default".to_owned(), None));
    let disk = |reader| row(reader, "controller3");
    assert_eq!(disk(Reader::Vmware), ("VirtualSCSI".to_owned(), Some(Code::W0101)));
    assert_eq!(disk(Reader::VirtualBox).0, "VirtioSCSI");
    assert_eq!(disk(Reader::Generic).0, "virtio-scsi");
}
