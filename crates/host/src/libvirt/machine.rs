//! The machines of a host: names, identities, and which files are theirs.

use std::path::PathBuf;

use vm::{MacAddress, Uuid};

use super::{Libvirt, LibvirtError, many::Things, virsh::Order, xml::Element};

/// A machine that is defined on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownMachine {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: Uuid,
    /// Whether it runs, or is paused.
    pub is_active: bool,
    /// The addresses of its network cards.
    pub macs: Vec<MacAddress>,
    /// The files and devices of its disks and drives.
    pub disks: Vec<PathBuf>,
    /// Those that its disks are on themselves: what they stand on may be another machine's.
    pub own_disks: Vec<PathBuf>,
}

impl Libvirt {
    /// The machines of the host.
    ///
    /// # Errors
    /// The host does not say.
    pub fn machines(&self) -> Result<Vec<KnownMachine>, LibvirtError> {
        let what = "list its machines";
        let all = Order { what, verb: &["list", "--all", "--uuid"], values: &[] };
        let active = Order { what, verb: &["list", "--uuid"], values: &[] };
        let (all, active) = (self.uuids(&all)?, self.uuids(&active)?);
        let things = Things { what, verb: "dumpxml", option: "--domain", root: "domain" };
        let found = self.documents(&things, &all)?.into_iter();
        let mut machines: Vec<_> =
            found.filter_map(|(uuid, root)| read(&root, uuid, active.contains(&uuid))).collect();
        machines.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(machines)
    }
}

fn read(root: &Element, uuid: Uuid, is_active: bool) -> Option<KnownMachine> {
    let devices = root.child("devices");
    let all = |name: &'static str| devices.into_iter().flat_map(move |it| it.all(name));
    let mac = |card: &Element| card.child("mac")?.attribute("address")?.parse().ok();
    Some(KnownMachine {
        name: root.text_of("name")?.to_owned(),
        uuid,
        is_active,
        macs: all("interface").filter_map(mac).collect(),
        disks: all("disk").flat_map(files).collect(),
        own_disks: all("disk").filter(|disk| is_disk(disk)).filter_map(file).collect(),
    })
}

/// Whether the guest sees a disk, and no CD or floppy drive.
fn is_disk(disk: &Element) -> bool {
    matches!(disk.attribute("device"), None | Some("disk" | "lun"))
}

/// The file or device of a source.
fn file(layer: &Element) -> Option<PathBuf> {
    let source = layer.child("source")?;
    source.attribute("file").or_else(|| source.attribute("dev")).map(PathBuf::from)
}

/// What a disk reads: its own source, and those of the images below it.
fn files(disk: &Element) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut layer = Some(disk);
    while let Some(here) = layer {
        files.extend(file(here));
        layer = here.child("backingStore");
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::xml;

    #[test]
    fn reads_names_addresses_and_every_file_of_a_chain() {
        let text = "<domain><name>web</name><devices>\
            <disk><source file='/a/top.qcow2'/>\
              <backingStore><source file='/a/base.qcow2'/><backingStore/></backingStore></disk>\
            <disk><source dev='/dev/vg/x'/></disk><disk device='cdrom'><source file='/c.iso'/></disk>\
            <interface><mac address='52:54:00:00:00:01'/></interface>\
            <interface><mac address='nonsense'/></interface>\
            </devices></domain>";
        let uuid = "5b1c0000-0000-4000-8000-000000000001".parse().unwrap();
        let machine = read(&xml::parse(text.as_bytes(), "domain").unwrap(), uuid, true).unwrap();
        let want = KnownMachine {
            name: "web".into(),
            uuid,
            is_active: true,
            macs: vec!["52:54:00:00:00:01".parse().unwrap()],
            disks: ["/a/top.qcow2", "/a/base.qcow2", "/dev/vg/x", "/c.iso"]
                .map(PathBuf::from)
                .into(),
            own_disks: ["/a/top.qcow2", "/dev/vg/x"].map(PathBuf::from).into(),
        };
        assert_eq!(machine, want);
    }
}
