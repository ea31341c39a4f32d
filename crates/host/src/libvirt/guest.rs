//! What a machine is doing, what defines it, and how full its disks are.

use vm::Uuid;

use super::{Libvirt, LibvirtError, virsh::Order};

/// What a machine is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Power {
    /// It runs.
    Running,
    /// It has a process, and its processors stand still.
    Paused {
        /// Whether a disk that failed or filled up has stopped it, rather than somebody.
        by_error: bool,
    },
    /// It has no process.
    Off,
    /// Anything else, in libvirt's words: `in shutdown`, `crashed`, `pmsuspended (unknown)`.
    Other(String),
}

/// Which definition of a machine is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Definition {
    /// The one that it is started from the next time.
    Inactive,
    /// The same one with its secrets, such as the password of its screen: defined again, it is whole.
    Whole,
    /// The one that it runs by; that of a machine that is off is the other.
    Live,
}

/// How large a disk is, and how much of it lies on the host (`virDomainBlockInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockInfo {
    /// What the guest sees, in bytes.
    pub capacity_bytes: u64,
    /// What is allocated on the host, in bytes. Of a running machine it is the highest byte that QEMU
    /// has written.
    pub allocation_bytes: u64,
    /// The length of the file or the device, in bytes.
    pub physical_bytes: u64,
}

/// A disk that the guest could not read or write.
///
/// libvirt keeps showing the error of a disk after its machine was resumed, until the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockError {
    /// The disk, by the name of its target: `vda`.
    pub target: String,
    /// Whether there was no room, rather than anything else.
    pub is_full: bool,
}

/// What a machine says of itself, and how it is stopped and goes on.
///
/// `start` and `destroy` are acts of [`Hypervisor`](super::Hypervisor).
pub trait Guest {
    /// What the machine is doing.
    ///
    /// # Errors
    /// There is no such machine.
    fn power(&self, machine: Uuid) -> Result<Power, LibvirtError>;

    /// The domain XML of a machine, without its secrets.
    ///
    /// # Errors
    /// There is no such machine, or its document is not UTF-8.
    fn definition(&self, machine: Uuid, which: Definition) -> Result<String, LibvirtError>;

    /// Whether libvirt keeps the memory of a machine that is off, which goes on with it at its next start
    /// (`virsh managedsave`).
    ///
    /// # Errors
    /// The host does not say.
    fn has_saved_memory(&self, machine: Uuid) -> Result<bool, LibvirtError>;

    /// Lets a paused machine go on.
    ///
    /// # Errors
    /// It is off, or what stopped it lasts.
    fn resume(&self, machine: Uuid) -> Result<(), LibvirtError>;

    /// Starts a machine whose guest does not run: it has a process and its disks can be read.
    ///
    /// # Errors
    /// It is on, or something that it needs is missing on the host.
    fn start_paused(&self, machine: Uuid) -> Result<(), LibvirtError>;

    /// Asks the guest to turn itself off, and does not wait for it.
    ///
    /// # Errors
    /// It is off.
    fn shut_down(&self, machine: Uuid) -> Result<(), LibvirtError>;

    /// How large a disk is; `target` is its name in the definition: `vda`.
    ///
    /// # Errors
    /// There is no such machine or disk.
    fn block_info(&self, machine: Uuid, target: &str) -> Result<BlockInfo, LibvirtError>;

    /// The disks of a running machine that failed.
    ///
    /// # Errors
    /// It is off.
    fn block_errors(&self, machine: Uuid) -> Result<Vec<BlockError>, LibvirtError>;
}

/// The question for machines whose memory libvirt keeps.
const SAVED_MEMORY: &[&str] = &["list", "--all", "--with-managed-save", "--uuid"];

impl Guest for Libvirt {
    fn power(&self, machine: Uuid) -> Result<Power, LibvirtError> {
        let (what, machine) = ("say what the machine does", machine.to_string());
        let values = [("--domain", &*machine)];
        let order = Order { what, verb: &["domstate", "--reason"], values: &values };
        Ok(power(&self.text(&order)?))
    }

    fn definition(&self, machine: Uuid, which: Definition) -> Result<String, LibvirtError> {
        let verb: &'static [&'static str] = match which {
            Definition::Inactive => &["dumpxml", "--inactive"],
            Definition::Whole => &["dumpxml", "--inactive", "--security-info"],
            Definition::Live => &["dumpxml"],
        };
        let (what, machine) = ("show the machine", machine.to_string());
        self.exact_text(&Order { what, verb, values: &[("--domain", &machine)] })
    }

    fn has_saved_memory(&self, machine: Uuid) -> Result<bool, LibvirtError> {
        let (what, verb) = ("list machines with saved memory", SAVED_MEMORY);
        Ok(self.uuids(&Order { what, verb, values: &[] })?.contains(&machine))
    }

    fn resume(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.machine("resume", &["resume"], machine)
    }

    fn start_paused(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.machine("start, paused,", &["start", "--paused"], machine)
    }

    fn shut_down(&self, machine: Uuid) -> Result<(), LibvirtError> {
        self.machine("shut down", &["shutdown"], machine)
    }

    fn block_info(&self, machine: Uuid, target: &str) -> Result<BlockInfo, LibvirtError> {
        let (what, machine) = (format!("measure the disk {target}"), machine.to_string());
        let values = [("--domain", &*machine), ("--device", target)];
        let order = Order { what: &what, verb: &["domblkinfo"], values: &values };
        let said = self.patient_text(&order)?;
        block_info(&said).ok_or_else(|| LibvirtError::unread(&what, self.uri(), &said))
    }

    fn block_errors(&self, machine: Uuid) -> Result<Vec<BlockError>, LibvirtError> {
        let (what, machine) = ("say which disks failed", machine.to_string());
        let values = [("--domain", &*machine)];
        let said = self.patient_text(&Order { what, verb: &["domblkerror"], values: &values })?;
        Ok(block_errors(&said))
    }
}

/// Reads `virsh domstate --reason`: the state, and the reason in parentheses.
fn power(said: &str) -> Power {
    let said = said.trim();
    let (state, reason) = said.split_once(" (").unwrap_or((said, ""));
    match state {
        "running" => Power::Running,
        "paused" => Power::Paused { by_error: reason.trim_end_matches(')') == "I/O error" },
        "shut off" => Power::Off,
        _ => Power::Other(said.to_owned()),
    }
}

/// Reads `virsh domblkinfo`: a name and a number of bytes a line.
fn block_info(said: &str) -> Option<BlockInfo> {
    let number = |head: &str| {
        let mut lines = said.lines().filter_map(|line| line.strip_prefix(head));
        lines.next()?.trim().parse().ok()
    };
    Some(BlockInfo {
        capacity_bytes: number("Capacity:")?,
        allocation_bytes: number("Allocation:")?,
        physical_bytes: number("Physical:")?,
    })
}

/// Reads `virsh domblkerror`: `vdb: no space`, a line each, or a sentence that there are none.
fn block_errors(said: &str) -> Vec<BlockError> {
    let disk = |line: &str| {
        let (target, error) = line.split_once(": ")?;
        Some(BlockError { target: target.to_owned(), is_full: error.trim() == "no space" })
    };
    said.lines().filter_map(disk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_a_machine_that_a_disk_stopped_from_one_that_somebody_paused() {
        for (said, want) in [
            ("running (booted)\n\n", Power::Running),
            ("running", Power::Running),
            ("paused (user)\n", Power::Paused { by_error: false }),
            ("paused (I/O error)\n", Power::Paused { by_error: true }),
            ("shut off (crashed)\n", Power::Off),
            ("in shutdown (user)\n", Power::Other("in shutdown (user)".into())),
        ] {
            assert_eq!(power(said), want, "{said}");
        }
    }

    #[test]
    fn reads_the_sizes_of_a_disk_or_nothing() {
        let said =
            "Capacity:       2147483648\nAllocation:     1196032\nPhysical:       2162688\n\n";
        let want = BlockInfo {
            capacity_bytes: 2_147_483_648,
            allocation_bytes: 1_196_032,
            physical_bytes: 2_162_688,
        };
        assert_eq!(block_info(said), Some(want));
        for (line, other) in [("1196032", "-1"), ("1196032", "-"), ("Physical", "Logical")] {
            assert_eq!(block_info(&said.replace(line, other)), None, "{other}");
        }
    }

    #[test]
    fn reads_which_disks_failed_and_of_what() {
        let errors = block_errors("vda: unspecified error\nvdb: no space\n");
        let want = [("vda", false), ("vdb", true)];
        let want = want.map(|(target, is_full)| BlockError { target: target.into(), is_full });
        assert_eq!(errors, want);
        assert_eq!(block_errors("No errors found\n"), []);
    }
}
