//! What can be done to a libvirt host, each act with the one that takes it back.

use std::{path::Path, time::Duration};

use vm::{DiskFormat, Uuid};

use super::{Libvirt, LibvirtError, virsh::Order};

/// What an executor can do to a host of machines.
///
/// `define` is taken back by `undefine`, `start` by `destroy`, `create_volume` by `delete_volume`.
pub trait Hypervisor {
    /// Defines a machine; the host checks its XML against libvirt's schema.
    ///
    /// libvirt replaces a machine that has both the name and the UUID: a caller looks before.
    ///
    /// # Errors
    /// Another machine has the name or the UUID, or the host does not take the machine.
    fn define(&self, name: &str, xml: &str) -> Result<(), LibvirtError>;

    /// Whether there is a machine of this identity.
    ///
    /// # Errors
    /// The host does not say.
    fn is_defined(&self, machine: Uuid) -> Result<bool, LibvirtError>;

    /// Tells of a snapshot whose files are there already; it goes with the machine.
    ///
    /// # Errors
    /// There is no such machine, or the host does not take the snapshot.
    fn define_snapshot(&self, machine: Uuid, xml: &str) -> Result<(), LibvirtError>;

    /// Forgets a machine with its snapshots; its disks stay, and so do firmware variables: a machine
    /// that never ran has made none, so a file of that name is somebody else's.
    ///
    /// # Errors
    /// There is no such machine.
    fn undefine(&self, machine: Uuid) -> Result<(), LibvirtError>;

    /// Starts a machine.
    ///
    /// # Errors
    /// Something that it needs is missing on the host.
    fn start(&self, machine: Uuid) -> Result<(), LibvirtError>;

    /// Turns a machine off at once.
    ///
    /// # Errors
    /// It does not run.
    fn destroy(&self, machine: Uuid) -> Result<(), LibvirtError>;

    /// Lets a pool see files that were put into its folder.
    ///
    /// # Errors
    /// There is no such pool, or it is not active.
    fn refresh_pool(&self, pool: &str) -> Result<(), LibvirtError>;

    /// Makes an empty volume.
    ///
    /// # Errors
    /// A volume of that name is there, or there is no room.
    fn create_volume(&self, volume: &Volume<'_>) -> Result<(), LibvirtError>;

    /// Fills a volume with the bytes of a file of this machine.
    ///
    /// # Errors
    /// The file cannot be read, or is larger than the volume.
    fn fill_volume(&self, volume: &Volume<'_>, file: &Path) -> Result<(), LibvirtError>;

    /// Removes a volume.
    ///
    /// # Errors
    /// There is no such volume.
    fn delete_volume(&self, volume: &Volume<'_>) -> Result<(), LibvirtError>;
}

/// A volume that is made by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Volume<'a> {
    /// The pool that it is in.
    pub pool: &'a str,
    /// Its name in the pool.
    pub name: &'a str,
    /// Its format.
    pub format: DiskFormat,
    /// What it holds, in bytes.
    pub capacity_bytes: u64,
}

/// virsh reads the document from its standard input.
const DOCUMENT: (&str, &str) = ("--file", "/dev/stdin");

impl Hypervisor for Libvirt {
    fn define(&self, name: &str, xml: &str) -> Result<(), LibvirtError> {
        let what = format!("define the machine {name}");
        let order = Order { what: &what, verb: &["define", "--validate"], values: &[DOCUMENT] };
        self.act(&order, xml.as_bytes())
    }

    fn is_defined(&self, machine: Uuid) -> Result<bool, LibvirtError> {
        let verb = &["list", "--all", "--uuid"];
        let all = self.uuids(&Order { what: "list its machines", verb, values: &[] })?;
        Ok(all.contains(&machine))
    }

    fn define_snapshot(&self, machine: Uuid, xml: &str) -> Result<(), LibvirtError> {
        let machine = machine.to_string();
        let what = format!("tell of a snapshot of the machine {machine}");
        let values = [("--domain", &*machine), ("--xmlfile", "/dev/stdin")];
        let verb = &["snapshot-create", "--redefine"];
        self.act(&Order { what: &what, verb, values: &values }, xml.as_bytes())
    }

    fn undefine(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.machine("undefine", &["undefine", "--keep-nvram", "--snapshots-metadata"], machine)
    }

    fn start(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.machine("start", &["start"], machine)
    }

    fn destroy(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.machine("turn off", &["destroy"], machine)
    }

    fn refresh_pool(&self, pool: &str) -> Result<(), LibvirtError> {
        let what = format!("refresh the pool {pool}");
        let values = [("--pool", pool)];
        self.act(&Order { what: &what, verb: &["pool-refresh"], values: &values }, b"")
    }

    fn create_volume(&self, volume: &Volume<'_>) -> Result<(), LibvirtError> {
        let what = format!("make the volume {}", volume.name);
        let values = [
            ("--pool", volume.pool),
            ("--name", volume.name),
            ("--capacity", &*format!("{}B", volume.capacity_bytes)),
            ("--format", volume.format.as_str()),
        ];
        self.act(&Order { what: &what, verb: &["vol-create-as"], values: &values }, b"")
    }

    fn fill_volume(&self, volume: &Volume<'_>, file: &Path) -> Result<(), LibvirtError> {
        let what = format!("fill the volume {}", volume.name);
        let file = file
            .to_str()
            .ok_or_else(|| LibvirtError::unusable("the file", &file.display().to_string()))?;
        let values = [("--pool", volume.pool), ("--vol", volume.name), ("--file", file)];
        self.act(&Order { what: &what, verb: &["vol-upload", "--sparse"], values: &values }, b"")
    }

    fn delete_volume(&self, volume: &Volume<'_>) -> Result<(), LibvirtError> {
        let what = format!("remove the volume {}", volume.name);
        let values = [("--pool", volume.pool), ("--vol", volume.name)];
        self.act(&Order { what: &what, verb: &["vol-delete"], values: &values }, b"")
    }
}

impl Libvirt {
    /// Does something with a machine that takes no more words.
    pub(super) fn machine(
        &self,
        what: &str,
        verb: &'static [&'static str],
        machine: Uuid,
    ) -> Result<(), LibvirtError> {
        let machine = machine.to_string();
        let what = format!("{what} the machine {machine}");
        self.act(&Order { what: &what, verb, values: &[("--domain", &machine)] }, b"")
    }

    /// Does something with a machine that a document describes, within this time.
    pub(super) fn described(
        &self,
        what: &str,
        verb: &'static [&'static str],
        (machine, xml): (Uuid, &str),
        limit: Duration,
    ) -> Result<(), LibvirtError> {
        let machine = machine.to_string();
        let what = format!("{what} of the machine {machine}");
        let values = [("--domain", &*machine), ("--xmlfile", "/dev/stdin")];
        let order = Order { what: &what, verb, values: &values };
        self.act_within(&order, xml.as_bytes(), limit)
    }
}
