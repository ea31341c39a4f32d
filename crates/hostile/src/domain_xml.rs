//! libvirt domain XML of unknown origin: read, taken apart, scrubbed, edited.

use std::path::PathBuf;

use domain::{Changes, DriveDevice, drives, firmware_files, patch, scrub};
use vm::{Accelerator, DiskFormat, Uuid};

use crate::{Feed, descriptor};

/// A machine as libvirt dumps it while it runs, and what a stranger may put in.
const RUNNING: &str = include_str!("domain_xml/running.xml");

/// Documents of its moments.
const MOMENTS: [&str; 3] = [
    "<domainbackup mode='pull'><server transport='unix' socket='/s'/><disks>\
     <disk name='vda' backup='yes' incremental='c' exportname='vda' exportbitmap='backup-vda'>\
     <scratch file='/f'/></disk></disks></domainbackup>",
    "<domaincheckpoint><name>c</name><parent><name>b</name></parent>\
     <creationTime>1</creationTime><disks><disk name='vda' checkpoint='bitmap' bitmap='c' size='1'/>\
     </disks></domaincheckpoint>",
    "<domainsnapshot><name>s</name><state>running</state><creationTime>1</creationTime>\
     <memory snapshot='external' file='/m'/><disks><disk name='vda' snapshot='external'>\
     <source file='/a'/></disk></disks><domain type='kvm'><name>a</name></domain>\
     <inactiveDomain/></domainsnapshot>",
];

pub(crate) const DOMAIN_XML: Feed = Feed {
    name: "domain_xml",
    read,
    seeds: || {
        let written = descriptor::definitions().into_iter().map(String::into_bytes);
        let others = [RUNNING].into_iter().chain(MOMENTS).map(|text| text.as_bytes().to_vec());
        written.chain(others).collect()
    },
    words: &[
        b"<!DOCTYPE x [",
        b"<!ENTITY a \"b\">",
        b"<![CDATA[",
        b"]]>",
        b"<!--",
        b"-->",
        b"<?x ?>",
        b"&#x0;",
        b"&#10;",
        b"&lt;",
        b"&",
        b"\"",
        b"'",
        b"/>",
        b"<source file='/etc/shadow'/>",
        b"<backingStore type='file'>",
        b"</backingStore>",
        b" xmlns='urn:x'",
        b" xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'",
        b"<q:commandline>",
        b" type='block'",
        b" device='lun'",
        b" path='/etc'",
        b"<nvram type='file'>",
        b"</domain>",
        b"<domainsnapshot>",
        b"<inactiveDomain>",
    ],
    seal: None,
};

/// Reads a document in every way that there is.
///
/// # Panics
///
/// When what was scrubbed is not scrubbed, or what was edited is no document any more.
fn read(bytes: &[u8]) {
    if let Ok(read) = domain::read(bytes) {
        drop(domain::write(&read.machine));
    }
    drop(firmware_files(bytes));
    moments(bytes);
    let Ok(scrubbed) = scrub(bytes) else { return };
    let again = scrub(scrubbed.text.as_bytes()).expect("what was scrubbed is a document");
    assert_eq!(again.text, scrubbed.text, "nothing is left to be scrubbed");
    assert_eq!(again.findings, [], "nothing is left to be scrubbed: {}", scrubbed.text);
    edit(bytes);
    edit(scrubbed.text.as_bytes());
}

/// Reads a document of a moment; the definitions in that of a snapshot are documents again.
fn moments(bytes: &[u8]) {
    drop(domain::read_backup_job(bytes));
    drop(domain::read_checkpoint(bytes));
    let Ok(snapshot) = domain::read_snapshot(bytes) else { return };
    for text in [Some(snapshot.domain), snapshot.inactive].into_iter().flatten() {
        firmware_files(text.as_bytes()).expect("a definition in a document is a document");
    }
}

/// Edits a document as a restore does: another name, every drive somewhere else.
fn edit(bytes: &[u8]) {
    let Ok(before) = drives(bytes) else { return };
    let mut changes = Changes {
        name: Some("other & name".to_owned()),
        uuid: Some(Uuid([7; 16])),
        accelerator: Some(Accelerator::Qemu),
        as_definition: true,
        ..Changes::default()
    };
    for (number, drive) in before.iter().enumerate() {
        let target = drive.target.clone();
        match (number % 3, drive.device) {
            (_, DriveDevice::Lun) | (1, DriveDevice::Disk) => {
                let _ = changes.detach.insert(target);
            }
            (1, _) => {
                let _ = changes.eject.insert(target);
            }
            _ => {
                let image = PathBuf::from(format!("/images/{number}.qcow2"));
                changes.formats.insert(target.clone(), DiskFormat::Qcow2);
                changes.images.insert(target, image);
            }
        }
    }
    if firmware_files(bytes).is_ok_and(|files| files.variables.is_some()) {
        changes.nvram = Some("/images/VARS.fd".into());
    }
    let Ok(text) = patch(bytes, &changes) else { return };
    let after = drives(text.as_bytes()).unwrap_or_else(|error| panic!("{error} in {text}"));
    assert_eq!(after.len(), before.len() - changes.detach.len(), "no other drive goes: {text}");
}
