//! Checkpoints: moments since which libvirt knows what was written.

use vm::Uuid;

use super::{
    Extent, Libvirt, LibvirtError, Scope, deletion,
    virsh::{ACT_LIMIT, MAX_LISTED, Order},
};

/// What a document of a checkpoint tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// What it is made of.
    Definition,
    /// What was written since, too: the `size` of each disk, in bytes. The machine has to run.
    Size,
}

/// The checkpoints of a machine.
pub trait Checkpoints {
    /// The names of the checkpoints, parents before their children.
    ///
    /// # Errors
    /// There is no such machine.
    fn checkpoints(&self, machine: Uuid) -> Result<Vec<String>, LibvirtError>;

    /// The document of a checkpoint, without the machine's definition; `domain::read_checkpoint` reads it.
    ///
    /// # Errors
    /// There is no such checkpoint, or a bitmap of it is gone
    /// ([`BadCheckpoint`](super::LibvirtKind::BadCheckpoint)) where sizes are asked for.
    fn checkpoint_xml(
        &self,
        machine: Uuid,
        name: &str,
        detail: Detail,
    ) -> Result<String, LibvirtError>;

    /// Makes a checkpoint by its document: what is written to its disks from now on is counted.
    ///
    /// # Errors
    /// The machine is off, one of that name is there, or an image can keep no bitmap.
    fn create_checkpoint(&self, machine: Uuid, xml: &str) -> Result<(), LibvirtError>;

    /// Deletes checkpoints. One that is deleted whole leaves what was written since it to its parent.
    ///
    /// # Errors
    /// There is no such checkpoint, or a whole one is deleted of a machine that is off or whose bitmaps
    /// are gone.
    fn delete_checkpoint(
        &self,
        machine: Uuid,
        name: &str,
        scope: Scope,
        extent: Extent,
    ) -> Result<(), LibvirtError>;

    /// Tells of a checkpoint whose bitmaps are there already, by its document; one of that name is
    /// replaced.
    ///
    /// # Errors
    /// The host does not take it.
    fn redefine_checkpoint(&self, machine: Uuid, xml: &str) -> Result<(), LibvirtError>;
}

impl Checkpoints for Libvirt {
    fn checkpoints(&self, machine: Uuid) -> Result<Vec<String>, LibvirtError> {
        let verb = &["checkpoint-list", "--name", "--topological"];
        self.names("list the checkpoints", verb, machine)
    }

    fn checkpoint_xml(
        &self,
        machine: Uuid,
        name: &str,
        detail: Detail,
    ) -> Result<String, LibvirtError> {
        let verb: &'static [&'static str] = match detail {
            Detail::Definition => &["checkpoint-dumpxml", "--no-domain"],
            Detail::Size => &["checkpoint-dumpxml", "--no-domain", "--size"],
        };
        let (what, machine) = (format!("show the checkpoint {name}"), machine.to_string());
        let values = [("--domain", &*machine), ("--checkpointname", name)];
        self.exact_text(&Order { what: &what, verb, values: &values })
    }

    fn create_checkpoint(&self, machine: Uuid, xml: &str) -> Result<(), LibvirtError> {
        self.described("make a checkpoint", &["checkpoint-create"], (machine, xml), ACT_LIMIT)
    }

    fn delete_checkpoint(
        &self,
        machine: Uuid,
        name: &str,
        scope: Scope,
        extent: Extent,
    ) -> Result<(), LibvirtError> {
        let verb = deletion::words("checkpoint-delete", scope, extent);
        let (what, machine) = (format!("delete the checkpoint {name}"), machine.to_string());
        let values = [("--domain", &*machine), ("--checkpointname", name)];
        self.act(&Order { what: &what, verb: &verb, values: &values }, b"")
    }

    fn redefine_checkpoint(&self, machine: Uuid, xml: &str) -> Result<(), LibvirtError> {
        let verb = &["checkpoint-create", "--redefine"];
        self.described("tell of a checkpoint", verb, (machine, xml), ACT_LIMIT)
    }
}

impl Libvirt {
    /// Asks for a list of names of a machine's, one a line.
    pub(super) fn names(
        &self,
        what: &str,
        verb: &'static [&'static str],
        machine: Uuid,
    ) -> Result<Vec<String>, LibvirtError> {
        let machine = machine.to_string();
        let said = self.exact_text(&Order { what, verb, values: &[("--domain", &machine)] })?;
        Ok(names(&said))
    }
}

/// Reads the names of a list; one may begin or end with blanks.
fn names(said: &str) -> Vec<String> {
    let lines = said.lines().filter(|line| !line.is_empty());
    lines.take(MAX_LISTED).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_as_they_are() {
        assert_eq!(names("relift-1\n relift 2 \n\n"), ["relift-1", " relift 2 "]);
        assert!(names("\n").is_empty());
    }
}
