//! A machine for tests: its images are real, its host is not.

use std::{fs::File, path::PathBuf, sync::Arc};

use disk::{Format, Target as _, qcow2};
use host::{
    fake::{Fake, FakeGuest},
    libvirt::{KnownSnapshot, Power},
};
use vm::Uuid;

use super::{
    Records, Subject,
    overlay::{self, Below},
};

/// The size of the guest's disk.
const CAPACITY_BYTES: u64 = 1 << 20;

/// The machine.
pub(crate) const MACHINE: Uuid = Uuid([7; 16]);

/// A folder with the images `base.qcow2 <- base.s1.qcow2 <- base.s2.qcow2`.
pub(crate) struct Lab {
    folder: tempfile::TempDir,
    pub(crate) records: Records,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let records = Records::of(&folder.path().join("state"), MACHINE);
        let lab = Self { folder, records };
        let file = File::create_new(lab.path("base.qcow2")).unwrap();
        qcow2::Writer::create(Arc::new(file), CAPACITY_BYTES).unwrap().finish().unwrap();
        lab.overlay("base.qcow2", "base.s1.qcow2");
        lab.overlay("base.s1.qcow2", "base.s2.qcow2");
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn overlay(&self, below: &str, name: &str) {
        let image = self.path(below);
        let below = Below { image: &image, format: Format::Qcow2, capacity_bytes: CAPACITY_BYTES };
        overlay::create(&Fake::new(None), &self.path(name), below).unwrap();
    }

    /// The images that are there.
    pub(crate) fn images(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| name != "state").collect();
        names.sort();
        names
    }

    pub(crate) fn definition(&self, head: &str) -> String {
        let head = self.path(head);
        format!(
            "<domain type='qemu'><name>old</name><uuid>{MACHINE}</uuid><memory>16384</memory>\
             <vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os><devices>\
             <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
             <source file='{}'/><target dev='vda' bus='virtio'/></disk>\
             <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>\
             <interface type='user'><mac address='52:54:00:00:00:01'/></interface>\
             </devices></domain>",
            head.display()
        )
    }

    pub(crate) fn snapshot(&self, name: &str, parent: Option<&str>, state: &str) -> KnownSnapshot {
        let parent =
            parent.map_or_else(String::new, |name| format!("<parent><name>{name}</name></parent>"));
        let definition = self.definition(state);
        let xml = format!(
            "<domainsnapshot><name>{name}</name>{parent}<state>shutoff</state>\
             <creationTime>17</creationTime><memory snapshot='no'/><disks>\
             <disk name='vda' snapshot='external'><source file='/gone'/></disk>\
             <disk name='sda' snapshot='no'/></disks>{definition}</domainsnapshot>"
        );
        KnownSnapshot { name: name.to_owned(), is_current: false, xml }
    }

    /// The machine, off: it writes to the second overlay, s1 keeps the base and s2 the first overlay.
    pub(crate) fn guest(&self) -> FakeGuest {
        let mut second = self.snapshot("s2", Some("s1"), "base.s1.qcow2");
        second.is_current = true;
        FakeGuest {
            power: Power::Off,
            definition: self.definition("base.s2.qcow2"),
            snapshots: vec![self.snapshot("s1", None, "base.qcow2"), second],
            ..FakeGuest::default()
        }
    }

    pub(crate) fn subject<'a>(&'a self, fake: &'a Fake) -> Subject<'a, Fake> {
        let (machine, records) = (MACHINE, &self.records);
        Subject { host: fake, files: fake, machine, name: "web", records, foreign: &[] }
    }

    /// The acts, with the folder called `F`.
    pub(crate) fn acts(&self, fake: &Fake) -> Vec<String> {
        let folder = self.folder.path().display().to_string();
        fake.acts().iter().map(|act| act.replace(&folder, "F")).collect()
    }
}
