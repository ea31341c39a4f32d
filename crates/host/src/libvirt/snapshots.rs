//! Snapshots of a machine, and the file with its memory.

use std::path::Path;

use vm::Uuid;

use super::{
    Extent, Libvirt, LibvirtError, Scope, deletion,
    error::There as _,
    virsh::{DATA_LIMIT, Order},
};

/// A snapshot as libvirt knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownSnapshot {
    /// Its name.
    pub name: String,
    /// Whether the machine goes on from it.
    pub is_current: bool,
    /// Its document, with the machine's definition; `domain::read_snapshot` reads it.
    pub xml: String,
}

/// What a new snapshot keeps. Its disks and files are in its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// The disks, of all at one moment or of none.
    Disks,
    /// The disks, without libvirt knowing of it: only the overlays are made.
    DisksUntold,
    /// Disks and memory of a machine that goes on meanwhile.
    Memory,
    /// The disks of a machine that is off, inside their images.
    Internal,
}

/// Whether a machine runs when its memory has been read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// It runs.
    Running,
    /// It waits for [`resume`](super::Guest::resume).
    Paused,
}

/// The snapshots of a machine.
///
/// None of them asks the guest to be quiet: who wants that freezes it before.
pub trait Snapshots {
    /// The snapshots, parents before their children.
    ///
    /// # Errors
    /// There is no such machine, or a document is not UTF-8.
    fn snapshots(&self, machine: Uuid) -> Result<Vec<KnownSnapshot>, LibvirtError>;

    /// Takes a snapshot by its document. New images and the file with the memory are made; they must not
    /// be there.
    ///
    /// # Errors
    /// A backup runs ([`Busy`](super::LibvirtKind::Busy)), a file is there or cannot be made.
    fn create_snapshot(&self, machine: Uuid, xml: &str, keeps: Keeps) -> Result<(), LibvirtError>;

    /// Tells of a snapshot whose files are there already, and that the machine goes on from it.
    ///
    /// One that the machine does not go on from is told of by
    /// [`define_snapshot`](super::Hypervisor::define_snapshot).
    ///
    /// # Errors
    /// There is no such machine, or the host does not take the snapshot.
    fn define_current_snapshot(&self, machine: Uuid, xml: &str) -> Result<(), LibvirtError>;

    /// Deletes snapshots.
    ///
    /// # Errors
    /// There is no such snapshot, or libvirt cannot merge its images
    /// ([`Unsupported`](super::LibvirtKind::Unsupported): external ones before 9.0 at least).
    fn delete_snapshot(
        &self,
        machine: Uuid,
        name: &str,
        scope: Scope,
        extent: Extent,
    ) -> Result<(), LibvirtError>;

    /// Takes the machine back to a snapshot; what it wrote since is lost.
    ///
    /// # Errors
    /// There is no such snapshot, or it is external and libvirt is older than 9.9
    /// ([`Unsupported`](super::LibvirtKind::Unsupported)).
    fn revert(&self, machine: Uuid, name: &str) -> Result<(), LibvirtError>;

    /// The domain XML in a file with a machine's memory.
    ///
    /// # Errors
    /// It is no such file.
    fn memory_definition(&self, memory: &Path) -> Result<String, LibvirtError>;

    /// Starts a machine from a file with its memory, by this definition in place of the one in the file.
    ///
    /// # Errors
    /// The machine is on, or the definition is not of the same hardware.
    fn restore_memory(&self, memory: &Path, xml: &str, wake: Wake) -> Result<(), LibvirtError>;
}

impl Snapshots for Libvirt {
    fn snapshots(&self, machine: Uuid) -> Result<Vec<KnownSnapshot>, LibvirtError> {
        let verb = &["snapshot-list", "--name", "--topological"];
        let names = self.names("list the snapshots", verb, machine)?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let machine = machine.to_string();
        let verb = &["snapshot-current", "--name"];
        let values = [("--domain", &*machine)];
        let current = Order { what: "name the current snapshot", verb, values: &values };
        let current = self.exact_text(&current).there()?;
        let current = current.as_deref().map(|name| name.strip_suffix('\n').unwrap_or(name));
        let known = |name: String| {
            let what = format!("show the snapshot {name}");
            let values = [("--domain", &*machine), ("--snapshotname", &*name)];
            let order = Order { what: &what, verb: &["snapshot-dumpxml"], values: &values };
            let xml = self.exact_text(&order)?;
            Ok(KnownSnapshot { is_current: current == Some(&*name), name, xml })
        };
        names.into_iter().map(known).collect()
    }

    fn create_snapshot(&self, machine: Uuid, xml: &str, keeps: Keeps) -> Result<(), LibvirtError> {
        let verb: &'static [&'static str] = match keeps {
            Keeps::Disks => &["snapshot-create", "--disk-only", "--atomic"],
            Keeps::DisksUntold => &["snapshot-create", "--disk-only", "--atomic", "--no-metadata"],
            Keeps::Memory => &["snapshot-create", "--live", "--atomic"],
            Keeps::Internal => &["snapshot-create", "--atomic"],
        };
        self.described("take a snapshot", verb, (machine, xml), DATA_LIMIT)
    }

    fn define_current_snapshot(&self, machine: Uuid, xml: &str) -> Result<(), LibvirtError> {
        let verb = &["snapshot-create", "--redefine", "--current"];
        self.described("tell of the current snapshot", verb, (machine, xml), DATA_LIMIT)
    }

    fn delete_snapshot(
        &self,
        machine: Uuid,
        name: &str,
        scope: Scope,
        extent: Extent,
    ) -> Result<(), LibvirtError> {
        let verb = deletion::words("snapshot-delete", scope, extent);
        let (what, machine) = (format!("delete the snapshot {name}"), machine.to_string());
        let values = [("--domain", &*machine), ("--snapshotname", name)];
        self.long_act(&Order { what: &what, verb: &verb, values: &values }, b"")
    }

    fn revert(&self, machine: Uuid, name: &str) -> Result<(), LibvirtError> {
        let (what, machine) = (format!("go back to the snapshot {name}"), machine.to_string());
        let values = [("--domain", &*machine), ("--snapshotname", name)];
        self.long_act(&Order { what: &what, verb: &["snapshot-revert"], values: &values }, b"")
    }

    fn memory_definition(&self, memory: &Path) -> Result<String, LibvirtError> {
        let values = [("--file", text_of(memory)?)];
        let what = "show the definition in a file with memory";
        self.exact_text(&Order { what, verb: &["save-image-dumpxml"], values: &values })
    }

    fn restore_memory(&self, memory: &Path, xml: &str, wake: Wake) -> Result<(), LibvirtError> {
        let verb: &'static [&'static str] = match wake {
            Wake::Running => &["restore", "--running"],
            Wake::Paused => &["restore", "--paused"],
        };
        let values = [("--file", text_of(memory)?), ("--xml", "/dev/stdin")];
        let what = "start a machine from a file with its memory";
        self.long_act(&Order { what, verb, values: &values }, xml.as_bytes())
    }
}

fn text_of(file: &Path) -> Result<&str, LibvirtError> {
    file.to_str().ok_or_else(|| LibvirtError::unusable("the file", &file.display().to_string()))
}
